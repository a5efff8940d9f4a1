"""A server that speaks like Docker Model Runner: OpenAI's API under /engines, its own list under /models.

Constructed: the text of / and the fields of the native list beyond id and tags.
"""

import hashlib

from tests.servers.http_wire import Request
from tests.servers.openai_server import CREATED, OpenAIServer
from tests.servers.reactions import Reaction, Response, json_response, text_response
from tests.servers.serving import main


class DockerModelRunner(OpenAIServer):
    """See the module's docstring."""

    name = "docker_model_runner"
    api = ("/engines/v1", "/engines/llama.cpp/v1")
    owned_by = "docker"
    default_models = '["ai/smollm2:360M-Q4_K_M"]'

    def other_route(self, request: Request) -> Reaction | None:
        """The native list."""
        match request.method, request.path:
            case "GET", "/":
                return text_response("Docker Model Runner\n\nThe service is running.\n")
            case "GET", "/models":
                return json_response(
                    [
                        {
                            "id": f"sha256:{hashlib.sha256(model.id.encode()).hexdigest()}",
                            "tags": [model.id],
                            "created": CREATED,
                            "config": {
                                "format": "gguf",
                                "quantization": model.quantization,
                                "parameters": model.parameter_size,
                                "architecture": model.family,
                                "size": f"{model.size_bytes / 2**20:.2f} MiB",
                            },
                        }
                        for model in self.models
                    ]
                )
        return None

    def missing(self, request: Request) -> Response:
        """Go's answer."""
        return text_response("404 page not found\n", 404)


SERVER = DockerModelRunner

if __name__ == "__main__":
    main(DockerModelRunner)
