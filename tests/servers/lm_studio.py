"""A server that speaks like LM Studio (0.4 and, by `--version`, older ones).

The traps: HTTP 200 for every unknown path, `error` as a string or an object, a request that names an
unknown model is answered by the loaded one, embedding models are not marked under /v1, 401 bodies that
name LM Studio and may repeat the token they got. Constructed, because no transcript is known: the texts
of 500, 503, 429, 402, 403, out_of_memory and of tools, schema and prefill refused, the in-stream error
form, and `deviceIdentifier` of an LM Link model (HTTP does not document one; `lms ls --json` has it).
"""

import argparse
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
    load_config,
    native_error,
    native_result,
    native_stream,
)
from tests.servers.lm_studio_instances import Instance, Instances
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
        self._instances = Instances(lambda: self.models)
        self._downloads: dict[str, Download] = {}

    @classmethod
    def add_options(cls, parser: argparse.ArgumentParser) -> None:
        """JIT loading, how long a load takes, and who may read the greeting."""
        parser.add_argument("--jit", choices=("on", "off"), default="on")
        parser.add_argument("--load-seconds", type=float, default=0)
        parser.add_argument("--download-seconds", type=float, default=0)
        parser.add_argument("--downloads", choices=("complete", "pause", "fail"), default="complete")
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
                return self._embed(request)
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
            return express_json(
                {"object": "list", "data": [self._legacy_entry(each) for each in self.models]}
            )
        if request.method == "GET" and path.startswith("/models/"):
            model = self.find(path.removeprefix("/models/"))
            if model:
                return express_json(self._legacy_entry(model))
        if request.method == "POST" and path == "/chat/completions":
            return self._chat(request, legacy=True)
        return self._unexpected(request)

    # --- models -------------------------------------------------------------------------------------------

    def _instances_of(self, model: ModelSpec) -> list[Instance]:
        return [] if self.is_loading else self._instances.of(model)

    def _legacy_entry(self, model: ModelSpec) -> Json:
        return legacy_described(model, self._instances.of(model), loading=self.is_loading)

    def _load(self, request: Request) -> Response:
        body = request.fields()
        model = self.find(body.get("model"))
        if "model" not in body:
            return native_error(400, "invalid_request", '"model" is required', "missing_required_parameter")
        if model is None:
            return native_error(
                404, "model_not_found", f"Model not found: {body['model']}", "model_not_found"
            )
        context = body.get("context_length")
        instance = self._instances.load(model, context if isinstance(context, int) else None)
        answer: Json = {
            "type": "embedding" if model.embedding else "llm",
            "instance_id": instance.id,
            "load_time_seconds": self.options.load_seconds,
            "status": "loaded",
        }
        if body.get("echo_load_config"):
            answer["load_config"] = load_config(instance)
        return replace(express_json(answer), delay_s=self.options.load_seconds)

    def _unload(self, request: Request) -> Response:
        name = request.fields().get("instance_id")
        instance = self._instances.named(name)
        if instance is None:
            return native_error(404, "model_not_found", f"No instance {name} is loaded", "model_not_found")
        self._instances.unload(instance)
        return express_json({"instance_id": name})

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
        going = {"pause": "paused", "fail": "failed"}.get(self.options.downloads, "downloading")
        if going != "downloading":
            part = min(part, 0.5)
        answer: Json = {
            "job_id": job.id,
            "status": "completed" if part == 1.0 else going,
            "total_size_bytes": job.total,
            "downloaded_bytes": int(job.total * part),
            "started_at": "2025-10-03T15:33:23.496Z",
        }
        if part == 1.0:
            answer["completed_at"] = "2025-10-03T15:43:12.102Z"
            if not self.find(job.model):
                self.models.append(ModelSpec(job.model, loaded=False, size_bytes=job.total))
        elif going == "downloading":
            answer |= {"bytes_per_second": job.total / job.seconds}
            answer |= {"estimated_completion": "2025-10-03T15:43:12.102Z"}
        return express_json(answer)

    # --- chat ---------------------------------------------------------------------------------------------

    def _pick(self, body: Json) -> tuple[Instance | None, float]:
        """The instance that answers a request, and the seconds it takes to load first."""
        instance, load_s = self._find_or_load(body.get("model"))
        if instance:
            ttl = body.get("ttl")
            instance.use(float(ttl) if isinstance(ttl, int | float) and instance.jit else None)
        return instance, load_s

    def _find_or_load(self, name: object) -> tuple[Instance | None, float]:
        if found := self._instances.named(name):
            return found, 0
        wanted = self.find(name)
        if wanted and (others := self._instances.of(wanted)):
            return others[0], 0
        if wanted and self.jit:
            return self._instances.load_just_in_time(wanted), self.options.load_seconds
        # The trap: whatever is loaded answers, without a word about it.
        return next((each for each in self._instances.current() if not each.model.embedding), None), 0

    def _embed(self, request: Request) -> Reaction:
        """Floats, whatever `encoding_format` asks for."""
        instance, load_s = self._pick(request.fields())
        if instance is None:
            return self._nothing_loaded()
        data = [
            {"object": "embedding", "embedding": vector, "index": index}
            for index, vector in enumerate(self.embeddings(request))
        ]
        usage = {"prompt_tokens": 0, "total_tokens": 0}
        said = express_json({"object": "list", "data": data, "model": instance.id, "usage": usage})
        return replace(said, delay_s=load_s)

    def _nothing_loaded(self) -> Response:
        message = {
            "message": NOTHING_LOADED,
            "type": "invalid_request_error",
            "param": "model",
            "code": None,
        }
        return express_json({"error": message}, 404 if self.options.old_errors else 400)

    def _chat(self, request: Request, *, legacy: bool) -> Reaction:
        body = request.fields()
        if not messages_of(body):
            return express_json({"error": "'messages' field is required"}, 400)
        if isinstance(form := body.get("response_format"), dict) and form.get("type") == "json_object":
            return self.refuse("bad_request_400", request, "")
        instance, load_s = self._pick(body)
        if instance is None:
            return self._nothing_loaded()
        prompt_tokens = count_prompt_tokens(messages_of(body))
        if prompt_tokens > instance.context_length:
            return self._too_long(prompt_tokens, instance.context_length)
        answer = self.answer(request, instance.id)
        field = self.options.reasoning_field or "reasoning_content"
        if request.path == "/v1/completions":
            return replace(text_reaction(request, answer), delay_s=load_s)
        if body.get("stream"):
            head = chat_head(request, answer, streamed=True, system_fingerprint=instance.model.id)
            stream = chat_stream(
                answer,
                head,
                usage=wants_usage(body),
                reasoning_field=field,
                whole_calls=self.options.tool_style == "whole",
                choice_extra={"logprobs": None},
                error=(sse({"error": {"message": "The model has crashed. (Exit code: 6)"}}, "error"),),
            )
            return replace(stream, delay_s=load_s)
        head = chat_head(request, answer, streamed=False)
        extra: Json = legacy_extra(answer, instance) if legacy else {"stats": {}}
        extra["system_fingerprint"] = instance.model.id
        said = chat_response(
            answer,
            head,
            reasoning_field=field,
            extra=extra,
            headers=EXPRESS_JSON,
            broken=self.refuse("crashed", request, ""),
        )
        return replace(said, delay_s=load_s)

    def _native_chat(self, request: Request) -> Reaction:
        body = request.fields()
        if "model" not in body:
            return native_error(400, "invalid_request", '"model" is required', "missing_required_parameter")
        instance, load_s = self._pick(body)
        if instance is None:
            return native_error(404, "model_not_found", NOTHING_LOADED, "model_not_found")
        thinks = body.get("reasoning") != "off"
        answer = self.answer(request, instance.id, ("max_output_tokens",), reasoning=thinks)
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
        return replace(said, headers={**said.headers, **retry_after(arg)}) if kind.endswith("_429") else said

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
