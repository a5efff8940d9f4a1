"""A server that speaks like OpenRouter: /api/v1 and the browser page of its sign-in.

The traps: /models answers without a key, `: OPENROUTER PROCESSING` comments, errors in a stream and,
under status 200, in a whole answer, error codes as numbers, strings or missing, usage in a last chunk
without choices, /credits only for management keys, one-time codes of the PKCE sign-in. The person in the
browser is played by `GET /auth?callback_url=...&code_challenge=...`, which consents at once (`--sign-in
deny`: refuses; `wait`: shows a page that nobody fills in) and redirects to the callback.
"""

import argparse
import base64
import hashlib
import itertools
import json
import time
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from tests.servers.answers import Answer, count_prompt_tokens, messages_of
from tests.servers.base import CONTEXT_EXAMPLE, Server
from tests.servers.http_wire import Request
from tests.servers.model_specs import ModelSpec
from tests.servers.openai_dialect import (
    EVENT_STREAM,
    RETRIABLE,
    Json,
    chat_response,
    chat_stream,
    embeddings_response,
    finish_reason_of,
    retry_after,
    usage_of,
)
from tests.servers.reactions import (
    HTML_PAGE,
    JSON_TYPE,
    Reaction,
    Response,
    Stream,
    json_bytes,
    json_response,
    sse,
    text_response,
)
from tests.servers.serving import main

KEY = "sk-or-v1-test"
PROCESSING = b": OPENROUTER PROCESSING\n\n"
WORDS: dict[str, tuple[int, str, str]] = {
    "busy_503": (
        503,
        "No available model provider that meets your routing requirements",
        "provider_overloaded",
    ),
    "error_500": (500, "Internal Server Error", "server"),
    "crashed": (502, "Provider returned error", "provider_unavailable"),
    "rate_429": (429, "Rate limit exceeded: free-models-per-min.", "rate_limit_exceeded"),
    "unauthorized_401": (401, "User not found.", "authentication"),
    "payment_402": (
        402,
        "Insufficient credits. Add more using https://openrouter.ai/settings/credits",
        "payment_required",
    ),
    "quota_429": (
        429,
        "Rate limit exceeded: free-models-per-day. Add 10 credits to unlock 1000 free model requests per day",
        "rate_limit_exceeded",
    ),
    "tools_refused": (404, "No endpoints found that support tool use.", "not_found"),
    "vision_refused": (404, "No endpoints found that support image input", "not_found"),
    "schema_refused": (
        404,
        "No endpoints found that can handle the requested parameters.",
        "not_found",
    ),
    "prefill_refused": (400, "Provider returned error", "invalid_request"),
    "not_found_404_model": (404, "No endpoints found for {model}.", "not_found"),
    "bad_request_400": (400, 'Input required: specify "prompt" or "messages"', "invalid_request"),
}


LATE = {
    402: ("Insufficient credits", "payment_required"),
    403: ("Output was flagged by moderation", "content_policy_violation"),
    429: ("Rate limit exceeded", "rate_limit_exceeded"),
    503: ("Provider is overloaded", "provider_overloaded"),
}


@dataclass
class Code:
    """A code of the sign-in: what it was asked with, when it was made, whether it was used."""

    challenge: str
    method: str
    made: float
    used: bool = False


def prices_of(model: ModelSpec) -> tuple[str, str]:
    """What a token of the prompt and one of the answer cost."""
    return ("0", "0") if model.id.endswith(":free") else (model.prompt_price, model.completion_price)


def openrouter_error(status: int, message: str, **metadata: object) -> Response:
    """OpenRouter's error object before a stream began."""
    error: Json = {"code": status, "message": message}
    if metadata:
        error["metadata"] = metadata
    return json_response({"error": error}, status)


class OpenRouter(Server):
    """See the module's docstring."""

    name = "openrouter"
    common_headers = {"Server": "cloudflare"}
    default_models = (
        '[{"id": "openai/gpt-4o-mini", "context_length": 128000}, "meta-llama/llama-3.2-3b-instruct:free"]'
    )

    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__(options)
        self.key = self.key or KEY
        self._codes: dict[str, Code] = {}
        self._numbers = itertools.count(1)

    @classmethod
    def add_options(cls, parser: argparse.ArgumentParser) -> None:
        """What the account is like and how long a sign-in code lives."""
        parser.add_argument("--key-info", default="{}", help="JSON that overrides fields of /key")
        parser.add_argument("--code-lifetime", type=float, default=600, metavar="S")
        parser.add_argument("--string-error-code", action="store_true", help="the older in-stream error")
        parser.add_argument("--sign-in", default="allow", choices=("allow", "deny", "wait"))
        parser.add_argument("--issued-key", default=KEY, help="the key that the sign-in hands out")

    # --- routes -------------------------------------------------------------------------------------------

    def react(self, request: Request) -> Reaction:
        """Public paths first, then the key, then the rest."""
        path = request.path
        if path == "/auth" and request.method == "GET":
            return self._consent(request)
        if not path.startswith("/api/"):
            return Response(
                200 if path == "/" else 404, HTML_PAGE, {"Content-Type": "text/html; charset=utf-8"}
            )
        route = path.removeprefix("/api/v1")
        if route == "/auth/keys":
            return self._exchange(request)
        if route == "/models" and request.method == "GET":
            data = [self._described(model) for model in self.models]
            return json_response({"data": data, "total_count": len(data), "links": {"next": None}})
        if not request.bearer:
            return openrouter_error(401, "Missing Authentication header")
        if request.bearer != self.key:
            return self.refuse("unauthorized_401", request, "")
        match request.method, route:
            case "GET", "/models/user":
                return json_response({"data": [self._described(model) for model in self.models]})
            case "GET", "/key":
                return self._key_info()
            case "GET", "/credits":
                return openrouter_error(403, "Only management keys can perform this operation")
            case "POST", "/chat/completions":
                return self._chat(request)
            case "POST", "/embeddings":
                return embeddings_response(request, self.embeddings(request))
        return openrouter_error(404, "Not Found")

    @staticmethod
    def _described(model: ModelSpec) -> Json:
        prompt, completion = prices_of(model)
        return {
            "id": model.id,
            "canonical_slug": model.id,
            "name": model.id,
            "created": 1692901234,
            "description": "A model.",
            "context_length": model.context_length,
            "architecture": {
                "modality": "text->text",
                "input_modalities": ["text", "image"] if "vision" in model.capabilities else ["text"],
                "output_modalities": ["text"],
                "tokenizer": "GPT",
                "instruct_type": None,
            },
            "pricing": {"prompt": prompt, "completion": completion, "request": "0", "image": "0"},
            "top_provider": {
                "context_length": model.context_length,
                "max_completion_tokens": None,
                "is_moderated": True,
            },
            "per_request_limits": None,
            "supported_parameters": ["temperature", "max_tokens"]
            + (["tools", "tool_choice"] if "tools" in model.capabilities else []),
            "default_parameters": None,
            "expiration_date": None,
        }

    def _key_info(self) -> Response:
        data: Json = {
            "label": f"{self.key[:12]}...{self.key[-3:]}",
            "limit": None,
            "limit_remaining": None,
            "limit_reset": None,
            "include_byok_in_limit": False,
            "usage": 25.5,
            "usage_daily": 25.5,
            "usage_weekly": 25.5,
            "usage_monthly": 25.5,
            "byok_usage": 0,
            "byok_usage_daily": 0,
            "byok_usage_weekly": 0,
            "byok_usage_monthly": 0,
            "is_free_tier": False,
            "is_management_key": False,
            "is_provisioning_key": False,
            "creator_user_id": "user_test",
            "expires_at": None,
            "rate_limit": {
                "interval": "1h",
                "requests": 1000,
                "note": "This field is deprecated and safe to ignore.",
            },
        }
        return json_response({"data": data | json.loads(self.options.key_info)})

    # --- sign-in ------------------------------------------------------------------------------------------

    def _consent(self, request: Request) -> Response:
        code = f"code-{next(self._numbers)}"
        challenge = request.query.get("code_challenge", "")
        method = request.query.get("code_challenge_method", "plain" if challenge else "")
        self._codes[code] = Code(challenge, method, time.monotonic())
        callback = request.query.get("callback_url")
        if not callback:
            return text_response(f"Your code: {code}")
        if self.options.sign_in == "wait":
            return text_response("Sign in or create an account")
        outcome = {"code": code} if self.options.sign_in == "allow" else {"error": "access_denied"}
        mark = "&" if "?" in callback else "?"
        return Response(302, b"", {"Location": f"{callback}{mark}{urlencode(outcome)}"})

    def _exchange(self, request: Request) -> Response:
        if request.method != "POST":
            return openrouter_error(405, "Method Not Allowed")
        body = request.fields()
        method = body.get("code_challenge_method", "")
        if method not in ("", "S256", "plain"):
            return openrouter_error(400, "Invalid code_challenge_method")
        code = self._codes.get(str(body.get("code")))
        verifier = str(body.get("code_verifier", ""))
        if code is None or code.used or method != code.method or not self._proves(code, verifier):
            return openrouter_error(403, "Invalid code or code_verifier")
        if time.monotonic() - code.made > self.options.code_lifetime:
            return openrouter_error(403, "Authorization code expired")
        code.used = True
        return json_response({"key": self.options.issued_key, "user_id": "user_test"})

    @staticmethod
    def _proves(code: Code, verifier: str) -> bool:
        if code.method == "S256":
            digest = hashlib.sha256(verifier.encode()).digest()
            return base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == code.challenge
        return code.method == "" or verifier == code.challenge

    # --- chat ---------------------------------------------------------------------------------------------

    def _chat(self, request: Request) -> Reaction:
        body = request.fields()
        if "messages" not in body and "prompt" not in body:
            return self.refuse("bad_request_400", request, "")
        wanted = body.get("models")
        names = list(wanted) if isinstance(wanted, list) else [body.get("model")]
        model = next((found for name in names if (found := self._named(name))), None)
        if model is None:
            return openrouter_error(400, f"{names[0]} is not a valid model ID", error_type="invalid_request")
        prompt_tokens = count_prompt_tokens(messages_of(body))
        if prompt_tokens > model.context_length:
            return self._too_long(prompt_tokens, model.context_length)
        answer = self.answer(request, model.id)
        generation = f"gen-{next(self._numbers):010d}"
        headers = {"X-Generation-Id": generation}
        head: Json = {"id": generation, "provider": "TestProvider", "model": answer.model}
        usage = self._usage(answer, model)
        if body.get("stream"):
            return self._stream(request, answer, head, usage, headers)
        head |= {"object": "chat.completion", "created": 1755800000}
        return chat_response(
            answer,
            head,
            reasoning_field="reasoning",
            extra={"usage": usage},
            headers={**JSON_TYPE, **headers},
            broken=self._broken(answer, head),
        )

    def _named(self, name: object) -> ModelSpec | None:
        """The model of this name, or of the name without its variant (`:nitro`, `:floor`, `:online`)."""
        return self.find(name) or self.find(str(name).rpartition(":")[0])

    def _stream(
        self, request: Request, answer: Answer, head: Json, usage: Json, headers: dict[str, str]
    ) -> Stream:
        head = head | {"object": "chat.completion.chunk", "created": 1755800000}
        stream = chat_stream(
            answer,
            head,
            usage=False,
            role_with_first_token=True,
            reasoning_field="reasoning",
            whole_calls=self.options.tool_style == "whole",
            choice_extra={"native_finish_reason": None, "logprobs": None},
            headers={**EVENT_STREAM, **headers},
        )
        empty: Json = {"role": "assistant", "content": ""}
        reason = finish_reason_of(answer)
        finish: Json = {"index": 0, "delta": empty, "finish_reason": reason, "native_finish_reason": reason}
        failed: Json = {"index": 0, "delta": {"content": ""}, "finish_reason": "error"}
        error = self._late_error(request.twist.variant if request.twist else "")
        return replace(
            stream,
            opening=(PROCESSING, PROCESSING),
            closing=(
                sse({**head, "choices": [finish]}),
                PROCESSING,
                sse({**head, "choices": [], "usage": usage}),
            ),
            error=(sse({**head, "error": error, "choices": [failed]}),),
        )

    def _late_error(self, code: str) -> Json:
        """The error inside a stream; `code` is what the fault asks for, a number or a word."""
        if not code:
            code = "server_error" if self.options.string_error_code else "429"
        if not code.isdecimal():
            return {"code": code, "message": "Provider disconnected unexpectedly"}
        message, kind = LATE.get(int(code), ("Provider returned error", "provider_unavailable"))
        return {"code": int(code), "message": message, "metadata": {"error_type": kind}}

    @staticmethod
    def _usage(answer: Answer, model: ModelSpec) -> Json:
        prompt, completion = map(float, prices_of(model))
        cached: Json = {"cached_tokens": answer.cached_tokens, "cache_write_tokens": 0}
        return {
            **usage_of(answer, details=True),
            "prompt_tokens_details": cached,
            "cost": round(answer.prompt_tokens * prompt + answer.completion_tokens * completion, 12),
            "is_byok": False,
            "cost_details": {"upstream_inference_cost": None},
        }

    @staticmethod
    def _broken(answer: Answer, head: Json) -> Response:
        half = "".join(answer.tokens[: len(answer.tokens) // 2])
        choice = {
            "message": {"role": "assistant", "content": half},
            "finish_reason": "error",
            "error": {
                "code": 502,
                "message": "Provider disconnected mid-stream",
                "metadata": {"error_type": "provider_unavailable"},
            },
        }
        return json_response({**head, "choices": [choice]})

    # --- refusals -----------------------------------------------------------------------------------------

    def refuse(self, kind: str, request: Request, arg: str) -> Response:
        """OpenRouter's words. `rate_429:40:availability` (or busy_503) gives the form without `code`."""
        model = str(request.fields().get("model"))
        if kind == "context_400":
            return self._too_long(*CONTEXT_EXAMPLE)
        if kind == "forbidden_403_moderation":
            return openrouter_error(
                403,
                f'{model} requires moderation. Your input was flagged for "violence".',
                reasons=["violence"],
                flagged_input="...",
                provider_name="OpenAI",
                model_slug=model,
            )
        if kind in ("rate_429", "busy_503") and arg.endswith(":availability"):
            return self._unavailable(model, int(kind[-3:]), int(arg.removesuffix(":availability")))
        status, message, error_type = WORDS.get(kind, WORDS["error_500"])
        said = openrouter_error(status, message.format(model=model), error_type=error_type)
        if kind not in RETRIABLE:
            return said
        headers = {**said.headers, **retry_after(arg)}
        if kind.endswith("_429"):
            headers |= {
                "X-RateLimit-Limit": "20",
                "X-RateLimit-Remaining": "0",
                "X-RateLimit-Reset": "1755800060000",
            }
        return replace(said, headers=headers)

    @staticmethod
    def _too_long(n_prompt: int, n_ctx: int) -> Response:
        text = (
            f"This endpoint's maximum context length is {n_ctx} tokens. However, you requested about "
            f"{n_prompt} tokens. Please reduce the length of either one."
        )
        return openrouter_error(400, text, error_type="context_length_exceeded")

    @staticmethod
    def _unavailable(model: str, status: int, seconds: int) -> Response:
        """The newer form, which has `availability` and no `code`."""
        full = status == 429
        code = "capacity_exhausted" if full else "temporarily_unavailable"
        what = "at capacity" if full else "temporarily unavailable"
        error: Json = {
            "message": f"All providers for {model} are {what}. Retry after {seconds} seconds.",
            "error_type": "rate_limit_exceeded" if full else "provider_overloaded",
            "http_status": status,
            "availability": {
                "code": code,
                "retryable": True,
                "retry_after": seconds,
                "requested_models": [model],
                "affected_providers": ["anthropic"],
                "fallback_models": [],
                "docs_url": f"https://openrouter.ai/docs/errors#{code}",
            },
            "metadata": {"previous_errors": [{"provider": "anthropic", "code": code, "status": status}]},
        }
        return Response(status, json_bytes({"error": error}), {**JSON_TYPE, "Retry-After": str(seconds)})


SERVER = OpenRouter

if __name__ == "__main__":
    main(OpenRouter)
