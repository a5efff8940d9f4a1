"""Servers that speak OpenAI's API and little else: `--flavor` vllm, sglang, llama_swap, mlx, or generic."""

import argparse
from dataclasses import replace

from tests.servers.http_wire import Request
from tests.servers.model_specs import ModelSpec
from tests.servers.openai_dialect import Json, error_object, generic_refusal
from tests.servers.openai_server import CREATED, OpenAIServer
from tests.servers.reactions import HTML_PAGE, Reaction, Response, json_response, text_response
from tests.servers.serving import main


class VLLM(OpenAIServer):
    """vLLM: `owned_by` and `max_model_len`, /version, FastAPI's 404, a key under /v1 only."""

    common_headers = {"Server": "uvicorn"}
    owned_by = "vllm"
    default_version = "0.11.2"

    def entry(self, model: ModelSpec) -> Json:
        """vLLM's entry."""
        return {
            **super().entry(model),
            "root": model.id,
            "parent": None,
            "max_model_len": model.context_length,
            "permission": [{"id": "modelperm-1", "object": "model_permission", "allow_sampling": True}],
        }

    def other_route(self, request: Request) -> Reaction | None:
        """The paths of its instruments."""
        match request.method, request.path:
            case "GET", "/health":
                return Response(200, b"")
            case "GET", "/version":
                return json_response({"version": self.version})
        return None

    def unauthorized(self, request: Request) -> Response:
        """A string, not an object."""
        return json_response({"error": "Unauthorized"}, 401)

    def missing(self, request: Request) -> Response:
        """FastAPI's answer."""
        return json_response({"detail": "Not Found"}, 404)

    def refuse(self, kind: str, request: Request, arg: str) -> Response:
        """vLLM's error codes are the HTTP status."""
        if kind == "not_found_404_model":
            name = request.fields().get("model")
            return error_object(404, f"The model `{name}` does not exist.", "NotFoundError", 404)
        return generic_refusal(kind, request, arg)


class SGLang(VLLM):
    """SGLang."""

    owned_by = "sglang"


class LlamaSwap(OpenAIServer):
    """llama-swap: a proxy that swaps models; /api/version must not be taken for Ollama."""

    owned_by = "llama-swap"
    default_version = "170"

    def entry(self, model: ModelSpec) -> Json:
        """Its entry tells the state."""
        loaded = model.loaded and not self.is_loading
        return {**super().entry(model), "status": {"value": "loaded" if loaded else "unloaded"}}

    def chat(self, request: Request) -> Reaction:
        """Any known model answers; it is swapped in first."""
        if (model := self.find(request.fields().get("model"))) is not None:
            for other in self.models:
                other.loaded = other is model
        return super().chat(request)

    def other_route(self, request: Request) -> Reaction | None:
        """Status, health and the page."""
        match request.method, request.path:
            case "GET", "/health":
                return text_response("OK")
            case "GET", "/":
                return Response(302, b"", {"Location": "/ui"})
            case "GET", "/ui":
                return Response(200, HTML_PAGE, {"Content-Type": "text/html; charset=utf-8"})
            case "GET", "/api/version":
                return json_response(
                    {"version": self.version, "commit": "0bdb372", "build_date": "2026-08-01"}
                )
            case "GET", "/running":
                running = [
                    {
                        "model": model.id,
                        "state": "starting" if self.is_loading else "ready",
                        "cmd": "llama-server",
                        "proxy": "http://127.0.0.1:5800",
                        "ttl": 0,
                        "name": "",
                        "description": "",
                    }
                    for model in self.models
                    if model.loaded
                ]
                return json_response({"running": running})
        return None

    def missing(self, request: Request) -> Response:
        """Go's answer."""
        return text_response("404 page not found\n", 404)


class MLX(OpenAIServer):
    """mlx_lm.server: entries without owner, a fingerprint in answers."""

    def entry(self, model: ModelSpec) -> Json:
        """No `owned_by`."""
        return {"id": model.id, "object": "model", "created": CREATED}

    def chat(self, request: Request) -> Reaction:
        """With a fingerprint."""
        reaction = super().chat(request)
        if isinstance(reaction, Response) and reaction.status == 200:
            marked = reaction.body.replace(b'"choices"', b'"system_fingerprint":"0.29.1-mlx","choices"', 1)
            return replace(reaction, body=marked)
        return reaction


FLAVORS: dict[str, type[OpenAIServer]] = {
    "generic": OpenAIServer,
    "vllm": VLLM,
    "sglang": SGLang,
    "llama_swap": LlamaSwap,
    "mlx": MLX,
}


class OpenAICompatible(OpenAIServer):
    """The one among them that `--flavor` names."""

    name = "openai_compatible"

    @classmethod
    def add_options(cls, parser: argparse.ArgumentParser) -> None:
        """Which server it is."""
        parser.add_argument("--flavor", choices=sorted(FLAVORS), default="generic")

    @classmethod
    def create(cls, options: argparse.Namespace) -> OpenAIServer:
        """The server of that flavor."""
        return FLAVORS[options.flavor](options)


SERVER = OpenAICompatible

if __name__ == "__main__":
    main(OpenAICompatible)
