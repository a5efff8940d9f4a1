"""A server that speaks like Lemonade.

The traps: it answers Ollama's routes, can be configured onto Ollama's port, and sends index.html with
status 200 for every unknown GET outside its API.
"""

from tests.servers.http_wire import Request
from tests.servers.ollama_dialect import chat_reaction, tag_of
from tests.servers.openai_server import OpenAIServer
from tests.servers.reactions import HTML_PAGE, Reaction, Response, json_response
from tests.servers.serving import main


class Lemonade(OpenAIServer):
    """See the module's docstring."""

    name = "lemonade"
    api = ("/api/v1", "/v1", "/api/v0", "/v0")
    owned_by = "lemonade"
    default_version = "9.3.3"
    default_models = '["Llama-3.2-3B-Instruct-GGUF"]'

    def api_route(self, request: Request, route: str) -> Reaction | None:
        """Health and statistics beside OpenAI's routes."""
        match request.method, route:
            case "GET", "/health":
                loaded = [] if self.is_loading else [model for model in self.models if model.loaded]
                return json_response(
                    {
                        "status": "ok",
                        "version": self.version,
                        "model_loaded": loaded[0].id if loaded else None,
                        "all_models_loaded": [
                            {
                                "model_name": model.id,
                                "checkpoint": f"unsloth/{model.id}:{model.quantization}",
                                "type": "embedding" if model.embedding else "llm",
                                "device": "gpu",
                                "recipe": "llamacpp",
                                "backend_url": "http://127.0.0.1:8001/v1",
                            }
                            for model in loaded
                        ],
                    }
                )
            case "GET", "/stats":
                return json_response({"time_to_first_token": 0.5, "tokens_per_second": 20.0})
        return super().api_route(request, route)

    def other_route(self, request: Request) -> Reaction | None:
        """Ollama's routes, then the page for whatever is left."""
        match request.method, request.path:
            case "GET", "/live":
                return json_response({"status": "ok"})
            case "GET", "/api/tags":
                return json_response({"models": [tag_of(model) for model in self.models]})
            case "GET", "/api/version":
                return json_response({"version": "0.16.1"})
            case "POST", "/api/chat":
                body = request.fields()
                answer = self.answer(request, str(body.get("model")))
                return chat_reaction(answer, streamed=body.get("stream") is not False)
        outside = not request.path.startswith(("/api/", "/v0/", "/v1/"))
        if request.method == "GET" and outside:
            return Response(200, HTML_PAGE, {"Content-Type": "text/html"})
        return None


SERVER = Lemonade

if __name__ == "__main__":
    main(Lemonade)
