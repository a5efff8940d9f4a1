"""A server that speaks like LocalAI (4.x; `--old` for versions that only tell their name on /).

The traps: it shares port 8080 with llama.cpp and answers Ollama's routes besides OpenAI's.
"""

import argparse

from tests.servers.http_wire import Request
from tests.servers.ollama_dialect import chat_reaction, tag_of
from tests.servers.openai_server import OpenAIServer
from tests.servers.reactions import HTML_PAGE, Reaction, Response, json_response
from tests.servers.serving import main


class LocalAI(OpenAIServer):
    """See the module's docstring."""

    name = "localai"
    owned_by = ""
    default_version = "v4.9.0"

    @classmethod
    def add_options(cls, parser: argparse.ArgumentParser) -> None:
        """Whether the well-known file exists."""
        parser.add_argument("--old", action="store_true")

    def guards(self, request: Request) -> bool:
        """With a key, everything but the health checks is closed."""
        return request.path not in ("/readyz", "/healthz")

    def other_route(self, request: Request) -> Reaction | None:
        """Identity, health and Ollama's routes."""
        match request.method, request.path:
            case "GET", "/.well-known/localai.json" if not self.options.old:
                endpoints = {"models": "/v1/models", "chat_completions": "/v1/chat/completions"}
                return json_response({"version": self.version, "endpoints": endpoints})
            case "GET", "/":
                if "application/json" in request.headers.get("accept", "") and self.options.old:
                    return json_response({"Title": f"LocalAI API - {self.version}", "Version": self.version})
                return Response(200, HTML_PAGE, {"Content-Type": "text/html"})
            case "GET", "/readyz" | "/healthz":
                return Response(200, b"")
            case "GET", "/version":
                return json_response({"version": self.version})
            case "GET", "/api/version":
                return json_response({"version": "0.9.0"})
            case "GET", "/api/tags":
                return json_response({"models": [tag_of(model) for model in self.models]})
            case "GET", "/api/ps":
                return json_response({"models": [tag_of(model) for model in self.models if model.loaded]})
            case "POST", "/api/chat":
                body = request.fields()
                answer = self.answer(request, str(body.get("model")))
                return chat_reaction(answer, streamed=body.get("stream") is not False)
        return None


SERVER = LocalAI

if __name__ == "__main__":
    main(LocalAI)
