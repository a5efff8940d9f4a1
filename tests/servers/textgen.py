"""A server that speaks like text-generation-webui ("TextGen") with --api.

The traps: only the loaded model is listed, `model_name` is the text "None" when idle, the model a
request names is ignored, FastAPI's error forms, and a Host guard that answers 400.
"""

import argparse

from tests.servers.answers import messages_of
from tests.servers.http_wire import Request
from tests.servers.model_specs import ModelSpec
from tests.servers.openai_dialect import Json, generic_refusal
from tests.servers.openai_server import OpenAIServer
from tests.servers.reactions import Reaction, Response, json_response, text_response
from tests.servers.serving import main


class TextGen(OpenAIServer):
    """See the module's docstring."""

    name = "textgen"
    common_headers = {"Server": "uvicorn"}
    owned_by = "user"

    @classmethod
    def add_options(cls, parser: argparse.ArgumentParser) -> None:
        """The key for managing models."""
        parser.add_argument("--admin-key", default="")

    def react(self, request: Request) -> Reaction:
        """The Host guard comes first."""
        if request.headers.get("host", "").rsplit(":", 1)[0] not in ("localhost", "127.0.0.1"):
            return json_response({"detail": "Invalid host header"}, 400)
        return super().react(request)

    def _loaded(self) -> ModelSpec | None:
        return next((model for model in self.models if model.loaded and not self.is_loading), None)

    def model_list(self) -> Json:
        """The loaded model only."""
        loaded = self._loaded()
        return {"object": "list", "data": [self.entry(loaded) | {"created": 0}] if loaded else []}

    def pick(self, name: object) -> ModelSpec | None:
        """The loaded model, whatever was asked for."""
        return self._loaded()

    def api_route(self, request: Request, route: str) -> Reaction | None:
        """The internal paths, then OpenAI's."""
        match request.method, route:
            case "GET", "/internal/health":
                return json_response({"status": "ok"})
            case "GET", "/internal/model/info":
                loaded = self._loaded()
                return json_response(
                    {
                        "model_name": loaded.id if loaded else "None",
                        "lora_names": [],
                        "loader": "llama.cpp" if loaded else None,
                    }
                )
            case "GET", "/internal/model/list":
                if self._is_admin(request):
                    return json_response({"model_names": [model.id for model in self.models]})
                return self.unauthorized(request)
            case "POST", "/internal/model/load":
                if not self._is_admin(request):
                    return self.unauthorized(request)
                wanted = self.find(request.fields().get("model_name"))
                if wanted is None:
                    return text_response("Internal Server Error", 500)
                for model in self.models:
                    model.loaded = model is wanted
                return json_response("OK")
        return super().api_route(request, route)

    def _is_admin(self, request: Request) -> bool:
        wanted = self.options.admin_key or self.key
        return not wanted or request.bearer == wanted

    def chat(self, request: Request) -> Reaction:
        """FastAPI checks the body first; without a model there is an error 500."""
        if not messages_of(request.fields()):
            where = ["body", "messages"]
            return json_response(
                {"detail": [{"type": "missing", "loc": where, "msg": "Field required"}]}, 422
            )
        if self._loaded() is None:
            return text_response("Internal Server Error", 500)
        return super().chat(request)

    def unauthorized(self, request: Request) -> Response:
        """FastAPI's form."""
        return json_response({"detail": "Unauthorized"}, 401)

    def missing(self, request: Request) -> Response:
        """FastAPI's form."""
        return json_response({"detail": "Not Found"}, 404)

    def refuse(self, kind: str, request: Request, arg: str) -> Response:
        """FastAPI's forms where they are known."""
        if kind == "unauthorized_401":
            return self.unauthorized(request)
        if kind in ("error_500", "crashed"):
            return text_response("Internal Server Error", 500)
        return generic_refusal(kind, request, arg)


SERVER = TextGen

if __name__ == "__main__":
    main(TextGen)
