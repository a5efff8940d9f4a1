"""A server that speaks like KoboldCpp 1.115.

The traps: it imitates Ollama (/api/tags, /api/version) and llama.cpp (/props) besides OpenAI; only the
text "KoboldCpp" in /api/extra/version tells. The Ollama imitation here goes as far as detection looks.
"""

from tests.servers.http_wire import Request
from tests.servers.model_specs import ModelSpec
from tests.servers.ollama_dialect import chat_reaction, tag_of
from tests.servers.openai_dialect import generic_refusal
from tests.servers.openai_server import OpenAIServer
from tests.servers.reactions import HTML_PAGE, Reaction, Response, json_response
from tests.servers.serving import main


class KoboldCpp(OpenAIServer):
    """See the module's docstring."""

    name = "koboldcpp"
    owned_by = "koboldcpp"
    default_version = "1.115.2"
    default_models = '["koboldcpp/tinyllama-1.1b.Q4_K_M"]'

    def guards(self, request: Request) -> bool:
        """The page and the version stay open."""
        return request.path not in ("/", "/api/extra/version")

    def pick(self, name: object) -> ModelSpec | None:
        """One model; the name asked for is ignored."""
        return next(iter(self.models), None)

    def other_route(self, request: Request) -> Reaction | None:
        """Its own API and the ones it imitates."""
        model = self.pick(None)
        match request.method, request.path:
            case "GET", "/":
                return Response(200, HTML_PAGE, {"Content-Type": "text/html"})
            case "GET", "/api/extra/version":
                features = {"protected": bool(self.key), "llm": model is not None, "txt2img": False}
                return json_response({"result": "KoboldCpp", "version": self.version, **features})
            case "GET", "/api/v1/model":
                return json_response({"result": model.id if model else "inactive"})
            case "GET", "/api/v1/info/version":
                return json_response({"result": "1.2.5"})
            case "GET", "/api/v1/config/max_context_length" | "/api/extra/true_max_context_length":
                return json_response({"value": model.context_length if model else 0})
            case "POST", "/api/v1/generate":
                said = self.answer(request, "", ("max_length",)).text
                return json_response({"results": [{"text": said, "finish_reason": "stop"}]})
            case "GET", "/api/tags":
                return json_response({"models": [tag_of(each) for each in self.models]})
            case "GET", "/api/version":
                return json_response({"version": "0.7.0"})
            case "POST", "/api/chat":
                streamed = request.fields().get("stream") is not False
                return chat_reaction(self.answer(request, model.id if model else ""), streamed=streamed)
            case "GET", "/props":
                settings = {"n_ctx": model.context_length if model else 0}
                return json_response(
                    {"chat_template": "", "total_slots": 1, "default_generation_settings": settings}
                )
        return None

    def refuse(self, kind: str, request: Request, arg: str) -> Response:
        """Its own words where it is busy."""
        if kind == "busy_503":
            detail = {"msg": "Server is busy; please try again later.", "type": "service_unavailable"}
            return json_response({"detail": detail}, 503)
        return generic_refusal(kind, request, arg)


SERVER = KoboldCpp

if __name__ == "__main__":
    main(KoboldCpp)
