"""A server that speaks like Ollama 0.33.

The traps: plain text root, `"data": null` under /v1 without models, two spellings of "not found", NDJSON
pull that fails late under status 200, a stream under /v1 that swallows errors (an empty chunk, then the
end), cloud models on a local port, an empty 403 for foreign Host headers, silent truncation of long
conversations. Constructed: the 401 of a key-checking proxy in front (Ollama itself has no keys), 402,
and 403 of moderation.
"""

import argparse
import ipaddress
import math
import re
import socket
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from tests.servers.answers import (
    Answer,
    count_prompt_tokens,
    embedding_of,
    messages_of,
    texts_to_embed,
    token_limit,
)
from tests.servers.base import Server
from tests.servers.http_wire import Request
from tests.servers.model_specs import ModelSpec
from tests.servers.ollama_dialect import (
    NOW,
    OLLAMA_JSON,
    chat_reaction,
    details_of,
    digest_of,
    elsewhere,
    embedded,
    error_text,
    full_name,
    plain_json,
    pull_stream,
    tag_of,
)
from tests.servers.openai_dialect import (
    Json,
    chat_response,
    chat_stream,
    embeddings_response,
    retry_after,
    text_reaction,
    wants_usage,
)
from tests.servers.reactions import Reaction, Response, sse, text_response
from tests.servers.serving import main

LIMITS = ("max_completion_tokens", "max_tokens")
STOPPED = (
    "model runner has unexpectedly stopped, this may be due to resource limitations or an internal error, "
    "check ollama server logs for details"
)
KEEP_ALIVE_S = 300.0
NEVER_S = 292 * 365 * 86400.0  # what Ollama shows for a model that stays for ever
CONTEXT = "the input length exceeds the context length"
# kind: status, text; under /v1 the same text in OpenAI's form.
WORDS = {
    "busy_503": (503, "server busy, please try again.  maximum pending requests exceeded"),
    "error_500": (500, "an error was encountered while running the model: unexpected EOF"),
    "crashed": (500, STOPPED),
    "out_of_memory": (
        500,
        "llama-server reported out-of-memory during startup: cudaMalloc failed: out of memory",
    ),
    "payment_402": (402, "this model requires a subscription"),
    "forbidden_403_moderation": (403, "ollama cloud is disabled: remote model details are unavailable"),
    "context_400": (400, CONTEXT),
    "tools_refused": (400, '"{model}" does not support tools'),
    "vision_refused": (
        500,
        "Failed to create new sequence: failed to process inputs: this model is missing data required for "
        "image input",
    ),
    "schema_refused": (400, 'invalid format; expected "json" or a valid JSON Schema object'),
    "prefill_refused": (400, '"{model}" does not support assistant prefill'),
    "bad_request_400": (400, "invalid character 'x' looking for beginning of value"),
}
V1_TYPES = {400: "invalid_request_error", 404: "not_found_error"}
METHODS = {
    "/": ("GET", "HEAD"),
    "/api/version": ("GET", "HEAD"),
    "/api/status": ("GET",),
    "/api/tags": ("GET", "HEAD"),
    "/api/ps": ("GET",),
    "/api/show": ("POST",),
    "/api/pull": ("POST",),
    "/api/delete": ("DELETE",),
    "/api/chat": ("POST",),
    "/api/generate": ("POST",),
    "/api/embed": ("POST",),
    "/api/embeddings": ("POST",),
    "/v1/models": ("GET",),
    "/v1/chat/completions": ("POST",),
    "/v1/completions": ("POST",),
    "/v1/embeddings": ("POST",),
}


def seconds_of(keep_alive: object) -> float:
    """How long a model stays: seconds or a text like "10m"; None is the default. Raises ValueError.

    Less than nothing is for ever.
    """
    if keep_alive is None:
        return KEEP_ALIVE_S
    if isinstance(keep_alive, int | float):
        seconds = float(keep_alive)
    else:
        found = re.fullmatch(r"(-?[\d.]+)(ms|s|m|h|)", str(keep_alive))
        if not found or (not found[2] and float(found[1])):
            raise ValueError(f'time: invalid duration "{keep_alive}"')
        seconds = float(found[1]) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "": 1}[found[2]]
    return math.inf if seconds < 0 else seconds


def host_is_allowed(host: str) -> bool:
    """Ollama's guard against foreign names while it listens on loopback."""
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    name = name.strip("[]").lower().rstrip(".")
    if name in ("", "localhost", socket.gethostname().lower()):
        return True
    if name.endswith((".localhost", ".local", ".internal")):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


class Ollama(Server):
    """See the module's docstring."""

    name = "ollama"
    default_version = "0.33.0"
    default_models = '["llama3.2:latest"]'

    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__(options)
        self._num_ctx: dict[str, int] = {}
        self._expires: dict[str, float] = {}

    @classmethod
    def add_options(cls, parser: argparse.ArgumentParser) -> None:
        """What pulls and loads do, and how old the server is."""
        parser.add_argument("--load-seconds", type=float, default=0)
        parser.add_argument("--pull-error", default="", help="pulls fail late with this text")
        parser.add_argument("--pull-delay", type=float, default=0)
        parser.add_argument("--no-tag-capabilities", action="store_true", help="/api/tags of an older server")

    # --- routes -------------------------------------------------------------------------------------------

    def react(self, request: Request) -> Reaction:
        """The guard, then the routes."""
        self._expire()
        if not host_is_allowed(request.headers.get("host", "")):
            return Response(403, b"")
        if self.key and request.bearer != self.key:
            return text_response("Unauthorized", 401)
        path = request.path
        if path.startswith("/v1/models/") and request.method == "GET":
            model = self._named(path.removeprefix("/v1/models/"))
            return plain_json(self._v1_model(model)) if model else self._missing(request, path.split("/")[-1])
        if path not in METHODS:
            return text_response("404 page not found", 404, "text/plain")
        if request.method not in METHODS[path]:
            return text_response("405 method not allowed", 405, "text/plain")
        return self._route(request)

    def _route(self, request: Request) -> Reaction:
        body = request.fields()
        match request.path:
            case "/":
                return text_response("Ollama is running")
            case "/api/version":
                return plain_json({"version": self.version})
            case "/api/status":
                return plain_json({"cloud": {"disabled": False, "source": "none"}})
            case "/api/tags":
                capabilities = not self.options.no_tag_capabilities
                return plain_json({"models": [tag_of(m, capabilities=capabilities) for m in self.models]})
            case "/api/ps":
                running = [m for m in self.models if m.loaded and not m.remote_host and not self.is_loading]
                return plain_json({"models": [self._running(m) for m in running]})
            case "/v1/models":
                data = [self._v1_model(model) for model in self.models]
                return plain_json({"object": "list", "data": data or None})
            case "/api/pull":
                return self._pull(request)
        if not request.body:
            return error_text("missing request body", 400)
        try:
            request.json()
        except ValueError as error:
            return self._error(request, 400, str(error))
        model = self._named(body.get("model") or body.get("name"))
        if model is None:
            return self._missing(request, body.get("model") or body.get("name"))
        match request.path:
            case "/api/show":
                return plain_json(self._shown(model))
            case "/api/delete":
                self.models.remove(model)
                return Response(200, b"")
            case "/api/embed" | "/api/embeddings" | "/v1/embeddings":
                return self._embed(request, model)
        return self._generate(request, model)

    # --- models -------------------------------------------------------------------------------------------

    def _named(self, name: object) -> ModelSpec | None:
        return next((m for m in self.models if full_name(m.id) == full_name(str(name))), None)

    @staticmethod
    def _v1_model(model: ModelSpec) -> Json:
        owner = model.id.split("/")[-2] if "/" in model.id else "library"
        return {"id": full_name(model.id), "object": "model", "created": 1746889608, "owned_by": owner}

    def _context(self, model: ModelSpec) -> int:
        """The context the model is loaded with, in tokens."""
        return self._num_ctx.get(model.id, model.context_length)

    def _running(self, model: ModelSpec) -> Json:
        size = model.size_bytes + 500_000_000
        return {
            "name": full_name(model.id),
            "model": full_name(model.id),
            "size": size,
            "digest": digest_of(model),
            "details": details_of(model),
            "expires_at": self._expiry_text(model),
            "size_vram": size,
            "context_length": self._context(model),
        }

    def _expiry_text(self, model: ModelSpec) -> str:
        left = self._expires.get(model.id, time.monotonic() + KEEP_ALIVE_S) - time.monotonic()
        left = min(left, NEVER_S)
        return (datetime.now(UTC) + timedelta(seconds=left)).isoformat().replace("+00:00", "Z")

    def _load(self, model: ModelSpec, context: int, keep_alive: float) -> float:
        """Loads the model with this context, again where it has another; the seconds that takes."""
        fits = model.loaded and self._context(model) == context
        model.loaded = keep_alive > 0
        self._num_ctx[model.id] = context
        self._expires[model.id] = time.monotonic() + keep_alive
        return 0.0 if fits else float(self.options.load_seconds)

    def _expire(self) -> None:
        for model in self.models:
            if self._expires.get(model.id, math.inf) <= time.monotonic():
                model.loaded = False
                del self._expires[model.id]

    @staticmethod
    def _shown(model: ModelSpec) -> Json:
        shown: Json = {
            "modelfile": '# Modelfile generated by "ollama show"\n',
            "template": "{{ .Prompt }}",
            "details": details_of(model),
            "model_info": {
                "general.architecture": model.family,
                f"{model.family}.context_length": model.max_context_length,
            },
            "capabilities": list(model.capabilities),
            "modified_at": "2025-05-10T08:06:48.639712648-07:00",
        }
        shown |= elsewhere(model)
        return shown

    def _pull(self, request: Request) -> Reaction:
        body = request.fields()
        name = str(body.get("model") or body.get("name") or "")
        if not name:
            return error_text("missing request body" if not request.body else "invalid model name", 400)

        def arrived() -> None:
            if self._named(name) is None:
                self.models.append(ModelSpec(full_name(name), loaded=False))

        if body.get("stream") is False:
            if self.options.pull_error:
                return error_text(self.options.pull_error, 500)
            arrived()
            return plain_json({"status": "success"})
        return pull_stream(name, arrived, self.options.pull_delay, self.options.pull_error)

    # --- chat ---------------------------------------------------------------------------------------------

    def _generate(self, request: Request, model: ModelSpec) -> Reaction:
        body = request.fields()
        v1 = request.path.startswith("/v1/")
        generate = request.path.endswith(("/generate", "/v1/completions"))
        if "completion" not in model.capabilities:
            verb = "generate" if generate else "chat"
            return self._error(request, 400, f'"{body.get("model")}" does not support {verb}')
        if body.get("tools") and "tools" not in model.capabilities:
            return self.refuse("tools_refused", request, "")
        think = body.get("think")
        if think not in (None, False) and "thinking" not in model.capabilities:
            return self._error(request, 400, f'"{body.get("model")}" does not support thinking')
        try:
            keep_alive = seconds_of(body.get("keep_alive"))
        except ValueError as error:
            return self._error(request, 400, str(error))
        options = body.get("options")
        options = options if isinstance(options, dict) and not v1 else {}
        wanted = options.get("num_ctx")
        context = wanted if isinstance(wanted, int) else model.context_length
        context = min(context, model.max_context_length)
        if not v1 and not (body.get("prompt") if generate else messages_of(body)):
            return self._load_or_unload(request, model, context, keep_alive, generate=generate)
        prompt_tokens = count_prompt_tokens(messages_of(body))
        if prompt_tokens > context and body.get("truncate") is False:
            return self._error(request, 400, CONTEXT)
        delay = self._load(model, context, keep_alive)
        answer = self._answer(request, options)
        answer = replace(answer, prompt_tokens=min(prompt_tokens, context))
        broken = self._error(request, 500, STOPPED)
        if v1:
            return self._v1_chat(request, answer, delay, broken)
        return chat_reaction(
            answer,
            streamed=body.get("stream") is not False,
            generate=generate,
            delay_s=delay,
            broken=broken,
            error_text=STOPPED,
            passed_on=elsewhere(model),
        )

    def _answer(self, request: Request, options: Json) -> Answer:
        thinks = request.fields().get("think") is not False and bool(self.options.reasoning)
        name = str(request.fields().get("model"))
        return self.answer(
            request,
            name,
            LIMITS,
            reasoning=thinks,
            continues=True,
            limit=token_limit(options, "num_predict"),
        )

    def _embed(self, request: Request, model: ModelSpec) -> Response:
        body = request.fields()
        if request.path == "/v1/embeddings":
            return embeddings_response(request, self.embeddings(request), OLLAMA_JSON)
        if request.path == "/api/embeddings":
            return plain_json({"embedding": embedding_of(str(body.get("prompt")), self.options.dimensions)})
        spent = [len(text.split()) for text in texts_to_embed(body.get("input"))]
        if body.get("truncate") is False and max(spent, default=0) > model.context_length:
            return self._error(request, 400, CONTEXT)
        return plain_json(embedded(body.get("model"), self.embeddings(request), sum(spent)))

    def _load_or_unload(
        self, request: Request, model: ModelSpec, context: int, keep_alive: float, *, generate: bool
    ) -> Reaction:
        body = request.fields()
        delay = self._load(model, context, keep_alive)
        said: Json = {"response": ""} if generate else {"message": {"role": "assistant", "content": ""}}
        reason = "load" if keep_alive > 0 else "unload"
        answer = plain_json(
            {"model": body.get("model"), "created_at": NOW, **said, "done": True, "done_reason": reason}
        )
        return replace(answer, delay_s=delay if keep_alive > 0 else 0)

    def _v1_chat(self, request: Request, answer: Answer, delay_s: float, broken: Response) -> Reaction:
        body = request.fields()
        if request.path == "/v1/completions":
            return replace(text_reaction(request, answer), delay_s=delay_s)
        streamed = bool(body.get("stream"))
        field = self.options.reasoning_field or "reasoning"
        head: Json = {
            "id": "chatcmpl-437",
            "object": "chat.completion.chunk" if streamed else "chat.completion",
            "created": 1755800000,
            "model": answer.model,
            "system_fingerprint": "fp_ollama",
        }
        if not streamed:
            said = chat_response(answer, head, reasoning_field=field, broken=broken)
            return replace(said, delay_s=delay_s)
        nothing = {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}
        stream = chat_stream(
            answer,
            head,
            usage=wants_usage(body),
            role_with_first_token=True,
            reasoning_field=field,
            whole_calls=self.options.tool_style != "fragments",
            error=(sse({**head, "choices": [nothing]}),),  # the error itself is swallowed
        )
        return replace(stream, delay_s=delay_s)

    # --- refusals -----------------------------------------------------------------------------------------

    def refuse(self, kind: str, request: Request, arg: str) -> Response:
        """Ollama's words, in the form of the path that was asked."""
        name = request.fields().get("model")
        if kind == "unauthorized_401":
            signin = "https://ollama.com/connect?name=test&key=c3NoLWVkMjU1MTk"
            return plain_json({"error": "unauthorized", "signin_url": signin}, 401)
        if kind == "not_found_404_model":
            return self._error(request, 404, f'model "{name}" not found, try pulling it first')
        if kind in ("rate_429", "quota_429"):
            text = "you've reached your hourly usage limit, please upgrade to continue"
            said = plain_json({"StatusCode": 429, "Status": "429 Too Many Requests", "error": text}, 429)
            return Response(429, said.body, {**said.headers, **retry_after(arg)})
        status, message = WORDS[kind]
        return self._error(request, status, message.format(model=name))

    def _missing(self, request: Request, name: object) -> Response:
        return self._error(request, 404, f"model '{name}' not found")

    @staticmethod
    def _error(request: Request, status: int, message: str) -> Response:
        if not request.path.startswith("/v1/"):
            return error_text(message, status)
        kind = V1_TYPES.get(status, "api_error")
        return plain_json({"error": {"message": message, "type": kind, "param": None, "code": None}}, status)


SERVER = Ollama

if __name__ == "__main__":
    main(Ollama)
