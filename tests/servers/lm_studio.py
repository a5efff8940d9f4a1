"""A server that speaks like LM Studio (0.4 and, by `--version`, older ones).

The traps: HTTP 200 for every unknown path, `error` as a string or an object, a request that names an
unknown model is answered by the loaded one, embedding models are not marked under /v1, 401 bodies that
name LM Studio and may repeat the token they got. Constructed, because no transcript is known: the texts
of 500, 503, 429, 402, 403 and out_of_memory, the in-stream error form, and `deviceIdentifier` of an LM
Link model (HTTP does not document one; `lms ls --json` has it).
"""

import argparse
import itertools
import time
from dataclasses import dataclass, field, replace

from tests.servers.answers import count_prompt_tokens, messages_of
from tests.servers.base import CONTEXT_EXAMPLE, Server
from tests.servers.http_wire import Request
from tests.servers.lm_studio_dialect import (
    BAD_KEY,
    EXPRESS_JSON,
    NO_KEY,
    NOTHING_LOADED,
    WORDS,
    described,
    express_json,
    legacy_described,
    legacy_extra,
    listed,
    native_error,
    native_result,
    native_stream,
)
from tests.servers.model_specs import ModelSpec
from tests.servers.openai_dialect import (
    Json,
    chat_head,
    chat_response,
    chat_stream,
    retry_after,
    text_reaction,
    wants_usage,
)
from tests.servers.reactions import Reaction, Response, sse
from tests.servers.serving import main


@dataclass
class Download:
    """A download job: it is complete `seconds` after it began."""

    id: str
    model: str
    total: int
    seconds: float
    began: float = field(default_factory=time.monotonic)


def release(version: str) -> tuple[int, ...]:
    """A version as numbers that compare."""
    return tuple(int(part) for part in version.split(".") if part.isdigit())


class LMStudio(Server):
    """See the module's docstring."""

    name = "lm_studio"
    common_headers = {"X-Powered-By": "Express", "Connection": "keep-alive", "Keep-Alive": "timeout=5"}
    idle_s = 5.0
    default_version = "0.4.21"
    default_models = '["qwen/qwen3-4b-2507"]'

    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__(options)
        self.jit = options.jit == "on"
        self._jit_loaded: set[str] = set()
        self._instances = itertools.count(2)
        self._extra_instances: dict[str, list[str]] = {}
        self._downloads: dict[str, Download] = {}

    @classmethod
    def add_options(cls, parser: argparse.ArgumentParser) -> None:
        """JIT loading, how long a load takes, and who may read the greeting."""
        parser.add_argument("--jit", choices=("on", "off"), default="on")
        parser.add_argument("--load-seconds", type=float, default=0)
        parser.add_argument("--download-seconds", type=float, default=0)
        parser.add_argument("--greeting-needs-key", action="store_true")
        parser.add_argument(
            "--old-errors", action="store_true", help="the texts of 0.3: 404, 'Trying to keep'"
        )

    # --- routes -------------------------------------------------------------------------------------------

    def react(self, request: Request) -> Reaction:
        """The answer; whatever is not known is answered with 200 and an error."""
        path, method = request.path, request.method
        greeting = path == "/lmstudio-greeting"
        if self.key and request.bearer != self.key and not (greeting and not self.options.greeting_needs_key):
            return self._wants_key(request)
        if greeting and method == "GET":
            return express_json({"lmstudio": True})
        if path.startswith("/api/v1/") and release(self.version) >= (0, 4):
            return self._native(request)
        if path.startswith("/api/v0/") and release(self.version) >= (0, 3, 6):
            return self._legacy(request)
        match method, path:
            case "GET", "/v1/models":
                return express_json(
                    {
                        "object": "list",
                        "data": [listed(model) for model in self.models if self.jit or model.loaded],
                    }
                )
            case "POST", "/v1/chat/completions" | "/v1/completions":
                return self._chat(request, legacy=False)
            case "POST", "/v1/embeddings":
                data = [{"object": "embedding", "embedding": [0.1, 0.2, 0.3], "index": 0}]
                return express_json({"object": "list", "data": data, "model": request.fields().get("model")})
        return self._unexpected(request)

    def _unexpected(self, request: Request) -> Response:
        return express_json({"error": f"Unexpected endpoint or method. ({request.method} {request.path})"})

    def _native(self, request: Request) -> Reaction:
        path = request.path.removeprefix("/api/v1")
        match request.method, path:
            case "GET", "/models":
                return express_json(
                    {"models": [described(model, self._instances_of(model)) for model in self.models]}
                )
            case "POST", "/models/load":
                return self._load(request)
            case "POST", "/models/unload":
                return self._unload(request)
            case "POST", "/models/download":
                return self._download(request)
            case "POST", "/chat":
                return self._native_chat(request)
        if request.method == "GET" and path.startswith("/models/download/status/"):
            return self._download_status(path.rsplit("/", 1)[1])
        return self._unexpected(request)

    def _legacy(self, request: Request) -> Reaction:
        path = request.path.removeprefix("/api/v0")
        if request.method == "GET" and path == "/models":
            data = [legacy_described(model, loading=self.is_loading) for model in self.models]
            return express_json({"object": "list", "data": data})
        if request.method == "GET" and path.startswith("/models/"):
            model = self.find(path.removeprefix("/models/"))
            if model:
                return express_json(legacy_described(model, loading=self.is_loading))
        if request.method == "POST" and path == "/chat/completions":
            return self._chat(request, legacy=True)
        return self._unexpected(request)

    # --- models -------------------------------------------------------------------------------------------

    def _instances_of(self, model: ModelSpec) -> list[str]:
        if not model.loaded or self.is_loading:
            return []
        return [model.id, *self._extra_instances.get(model.id, [])]

    def _load(self, request: Request) -> Response:
        body = request.fields()
        model = self.find(body.get("model"))
        if "model" not in body:
            return native_error(400, "invalid_request", '"model" is required', "missing_required_parameter")
        if model is None:
            return native_error(
                404, "model_not_found", f"Model not found: {body['model']}", "model_not_found"
            )
        instance = model.id
        if model.loaded:  # a second load makes a second instance
            instance = f"{model.id}:{next(self._instances)}"
            self._extra_instances.setdefault(model.id, []).append(instance)
        context = body.get("context_length")
        if isinstance(context, int):
            model.context_length = context
        model.loaded = True
        answer: Json = {
            "type": "embedding" if model.embedding else "llm",
            "instance_id": instance,
            "load_time_seconds": self.options.load_seconds,
            "status": "loaded",
        }
        if body.get("echo_load_config"):
            answer["load_config"] = {"context_length": model.context_length, "flash_attention": True}
        said = express_json(answer)
        return replace(said, delay_s=self.options.load_seconds)

    def _unload(self, request: Request) -> Response:
        instance = request.fields().get("instance_id")
        for model in self.models:
            extra = self._extra_instances.get(model.id, [])
            if instance in extra:
                extra.remove(str(instance))
                return express_json({"instance_id": instance})
            if model.id == instance and model.loaded:
                model.loaded = bool(extra)
                return express_json({"instance_id": instance})
        return native_error(404, "model_not_found", f"No instance {instance} is loaded", "model_not_found")

    def _download(self, request: Request) -> Response:
        wanted = str(request.fields().get("model"))
        if self.find(wanted):
            return express_json({"status": "already_downloaded"})
        job = Download(
            f"job_{len(self._downloads):010x}", wanted, 2_279_145_003, self.options.download_seconds
        )
        self._downloads[job.id] = job
        return express_json(
            {
                "job_id": job.id,
                "status": "downloading",
                "total_size_bytes": job.total,
                "started_at": "2025-10-03T15:33:23.496Z",
            }
        )

    def _download_status(self, job_id: str) -> Response:
        job = self._downloads.get(job_id)
        if job is None:
            return native_error(404, "job_not_found", f"Job not found: {job_id}", "job_not_found")
        part = 1.0 if not job.seconds else min(1.0, (time.monotonic() - job.began) / job.seconds)
        answer: Json = {
            "job_id": job.id,
            "status": "completed" if part == 1.0 else "downloading",
            "total_size_bytes": job.total,
            "downloaded_bytes": int(job.total * part),
            "started_at": "2025-10-03T15:33:23.496Z",
        }
        if part == 1.0:
            answer["completed_at"] = "2025-10-03T15:43:12.102Z"
            if not self.find(job.model):
                self.models.append(ModelSpec(job.model, loaded=False, size_bytes=job.total))
        else:
            answer |= {"bytes_per_second": job.total / job.seconds}
            answer |= {"estimated_completion": "2025-10-03T15:43:12.102Z"}
        return express_json(answer)

    # --- chat ---------------------------------------------------------------------------------------------

    def _pick(self, name: object) -> tuple[ModelSpec | None, float]:
        """The model that answers a request for `name`, and how long it takes to load first."""
        wanted = next(
            (m for m in self.models if name == m.id or name in self._extra_instances.get(m.id, [])), None
        )
        if wanted and not wanted.loaded and self.jit:
            for model in self.models:  # auto-evict keeps one model that was loaded just in time
                if model.id in self._jit_loaded:
                    model.loaded = False
            self._jit_loaded = {wanted.id}
            wanted.loaded = True
            return wanted, self.options.load_seconds
        if wanted and wanted.loaded:
            return wanted, 0
        # The trap: whatever is loaded answers, without a word about it.
        return next((m for m in self.models if m.loaded and not m.embedding), None), 0

    def _chat(self, request: Request, *, legacy: bool) -> Reaction:
        body = request.fields()
        if not messages_of(body):
            return express_json({"error": "'messages' field is required"}, 400)
        if isinstance(form := body.get("response_format"), dict) and form.get("type") == "json_object":
            return self.refuse("bad_request_400", request, "")
        model, load_s = self._pick(body.get("model"))
        if model is None:
            message = {
                "message": NOTHING_LOADED,
                "type": "invalid_request_error",
                "param": "model",
                "code": None,
            }
            return express_json({"error": message}, 404 if self.options.old_errors else 400)
        prompt_tokens = count_prompt_tokens(messages_of(body))
        if prompt_tokens > model.context_length:
            return self._too_long(prompt_tokens, model.context_length)
        answer = self.answer(request, model.id)
        if request.path == "/v1/completions":
            return replace(text_reaction(request, answer), delay_s=load_s)
        if body.get("stream"):
            head = chat_head(request, answer, streamed=True, system_fingerprint=model.id)
            stream = chat_stream(
                answer,
                head,
                usage=wants_usage(body),
                choice_extra={"logprobs": None},
                error=(sse({"error": {"message": "The model has crashed. (Exit code: 6)"}}, "error"),),
            )
            return replace(stream, delay_s=load_s)
        head = chat_head(request, answer, streamed=False)
        extra: Json = legacy_extra(answer, model) if legacy else {"stats": {}}
        extra["system_fingerprint"] = model.id
        said = chat_response(
            answer, head, extra=extra, headers=EXPRESS_JSON, broken=self.refuse("crashed", request, "")
        )
        return replace(said, delay_s=load_s)

    def _native_chat(self, request: Request) -> Reaction:
        body = request.fields()
        if "model" not in body:
            return native_error(400, "invalid_request", '"model" is required', "missing_required_parameter")
        model, load_s = self._pick(body["model"])
        if model is None:
            return native_error(404, "model_not_found", NOTHING_LOADED, "model_not_found")
        answer = self.answer(request, model.id, ("max_output_tokens",))
        result = native_result(answer, load_s)
        if body.get("stream"):
            return native_stream(answer, result, load_s)
        return replace(express_json(result), delay_s=load_s, tokens=answer.completion_tokens)

    # --- refusals -----------------------------------------------------------------------------------------

    def refuse(self, kind: str, request: Request, arg: str) -> Response:
        """LM Studio's words; where none are known, a plain string, which is its most common form."""
        if kind == "unauthorized_401":
            return self._wants_key(request)
        if kind == "context_400":
            return self._too_long(*CONTEXT_EXAMPLE)
        if kind == "not_found_404_model":
            message = f'Model "{request.fields().get("model")}" not found'
            body = {"error": {"message": message, "type": "invalid_request_error", "code": "model_not_found"}}
            return express_json(body, 404)
        status, words = WORDS[kind]
        said = express_json(words, status)
        return replace(said, headers={**said.headers, **retry_after(arg)}) if kind == "rate_429" else said

    def _wants_key(self, request: Request) -> Response:
        token = request.bearer
        if token:
            body: Json = {
                "type": "invalid_request",
                "code": "invalid_api_key",
                "message": BAD_KEY.format(token=token),
            }
        else:
            body = {"message": NO_KEY, "code": "invalid_api_key"}
        return express_json({"error": body}, 401)

    def _too_long(self, n_prompt: int, n_ctx: int) -> Response:
        text = (
            "The number of tokens to keep from the initial prompt is greater than the context length "
            f"(n_keep: {n_prompt}>= n_ctx: {n_ctx}). Try to load the model with a larger context length, or "
            "provide a shorter input."
        )
        if self.options.old_errors:
            text = (
                f"Trying to keep the first {n_prompt} tokens when context the overflows. However, the model "
                f"is loaded with context length of only {n_ctx} tokens, which is not enough."
            )
        return express_json({"error": text}, 400)


SERVER = LMStudio

if __name__ == "__main__":
    main(LMStudio)
