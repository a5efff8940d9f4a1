"""A server that speaks like Jan's local API.

The traps: errors are plain text, only running sessions are listed, /openapi.json and / are open while
everything else wants the key and a known Host.
"""

from dataclasses import replace

from tests.servers.http_wire import Request
from tests.servers.model_specs import ModelSpec
from tests.servers.openai_dialect import Json, generic_refusal, retry_after
from tests.servers.openai_server import OpenAIServer
from tests.servers.reactions import Reaction, Response, json_response, text_response
from tests.servers.serving import main

DOCS = "<!DOCTYPE html><html><head><title>API Docs</title></head><body></body></html>"
TRUSTED = ("localhost", "127.0.0.1", "0.0.0.0", "[::1]")
WORDS = {
    "busy_503": (503, "No models are available"),
    "error_500": (502, "Proxy request to model failed: connection closed before message completed"),
    "crashed": (502, "Proxy request to model failed: connection refused"),
    "bad_request_400": (400, "Request body must contain a 'model' field"),
}


def host_name(request: Request) -> str:
    """The Host header without its port."""
    host = request.headers.get("host", "")
    return host if host.endswith("]") else host.rsplit(":", 1)[0] if ":" in host else host


class Jan(OpenAIServer):
    """See the module's docstring."""

    name = "jan"
    owned_by = "user"
    default_version = "0.7.3"

    def react(self, request: Request) -> Reaction:
        """The open pages, the Host, the key, then the proxy."""
        if request.method == "GET" and request.path == "/":
            return text_response(DOCS, content_type="text/html; charset=utf-8")
        if request.method == "GET" and request.path == "/openapi.json":
            info = {"title": "Jan", "description": "Jan's OpenAI-compatible API", "version": self.version}
            return json_response({"openapi": "3.0.0", "info": info, "paths": {"/chat/completions": {}}})
        if host_name(request) not in TRUSTED:
            return text_response("Invalid host header", 403)
        if self.key and not request.bearer:
            return text_response("Missing authorization header", 401)
        return super().react(request)

    def unauthorized(self, request: Request) -> Response:
        """Plain text."""
        return text_response("Invalid or missing authorization token", 401)

    def missing(self, request: Request) -> Response:
        """Plain text."""
        return text_response("Not Found", 404)

    def loading(self, request: Request) -> Response | None:
        """Jan has no session yet; its list still answers."""
        return text_response("No models are available", 503) if request.method == "POST" else None

    def model_list(self) -> Json:
        """Running sessions only."""
        running = [] if self.is_loading else [model for model in self.models if model.loaded]
        return {"object": "list", "data": [self.entry(model) | {"created": 1} for model in running]}

    def pick(self, name: object) -> ModelSpec | None:
        """Running sessions only."""
        model = self.find(name)
        return model if model and model.loaded else None

    def chat(self, request: Request) -> Reaction:
        """Jan hands the request to the session of its model."""
        if "model" not in request.fields():
            return self.refuse("bad_request_400", request, "")
        if not any(model.loaded for model in self.models):
            return self.refuse("busy_503", request, "")
        if self.pick(request.fields()["model"]) is None:
            return self.refuse("not_found_404_model", request, "")
        return super().chat(request)

    def refuse(self, kind: str, request: Request, arg: str) -> Response:
        """Plain text of the proxy, or what the model behind it said."""
        if kind == "unauthorized_401":
            return self.unauthorized(request)
        if kind == "not_found_404_model":
            return text_response(f"No running session found for model '{request.fields().get('model')}'", 404)
        if kind in WORDS:
            status, text = WORDS[kind]
            said = text_response(text, status)
            return replace(said, headers={**said.headers, **retry_after(arg)})
        return generic_refusal(kind, request, arg)


SERVER = Jan

if __name__ == "__main__":
    main(Jan)
