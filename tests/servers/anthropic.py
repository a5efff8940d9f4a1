"""A server that speaks like Anthropic's API: /v1/messages and /v1/models.

The traps: a key in `x-api-key` or as a bearer token, a required `anthropic-version` (of which the newer one
refuses sampling parameters), unknown fields refused, `max_tokens` required, 529 for overload, a 429 without
`retry-after` when a spend limit is reached, pings and named events, an error event in a stream, no end mark
but `message_stop`, thinking that must come back with its signature. What a model takes depends on its age
(see `anthropic_checks.py`). Constructed: the texts of tools, vision and schema refused, crashed and
out_of_memory.
"""

import argparse
from dataclasses import replace

from tests.servers.answers import count_prompt_tokens, messages_of
from tests.servers.anthropic_checks import VERSIONS, always_thinks, complaint, generation_of
from tests.servers.anthropic_dialect import error_response, message_response, message_stream, model_entry
from tests.servers.base import CONTEXT_EXAMPLE, Server
from tests.servers.http_wire import Request
from tests.servers.openai_dialect import Json, retry_after
from tests.servers.reactions import Reaction, Response, json_response
from tests.servers.serving import main

KEY = "sk-ant-test"
# kind: status, type, message
WORDS: dict[str, tuple[int, str, str]] = {
    "busy_503": (529, "overloaded_error", "Overloaded"),
    "error_500": (500, "api_error", "Internal server error"),
    "crashed": (500, "api_error", "Internal server error"),
    "out_of_memory": (500, "api_error", "Internal server error"),
    "rate_429": (
        429,
        "rate_limit_error",
        "This request would exceed your organization's rate limit of 50 requests per minute.",
    ),
    "quota_429": (429, "rate_limit_error", "You have reached your specified API usage limits."),
    "unauthorized_401": (401, "authentication_error", "invalid x-api-key"),
    "payment_402": (
        402,
        "billing_error",
        "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade "
        "or purchase credits.",
    ),
    "forbidden_403_moderation": (
        400,
        "invalid_request_error",
        "Output blocked by content filtering policy",
    ),
    "not_found_404_model": (404, "not_found_error", "model: {model}"),
    "context_400": (400, "invalid_request_error", "prompt is too long: {asked} tokens > {there} maximum"),
    "bad_request_400": (400, "invalid_request_error", "messages: at least one message is required"),
    "tools_refused": (400, "invalid_request_error", "'{model}' does not support tool use."),
    "vision_refused": (400, "invalid_request_error", "'{model}' does not support image input."),
    "schema_refused": (400, "invalid_request_error", "'{model}' does not support output format."),
    "prefill_refused": (
        400,
        "invalid_request_error",
        "This model does not support assistant message prefill. The conversation must end with a user "
        "message.",
    ),
}


class Anthropic(Server):
    """See the module's docstring."""

    name = "anthropic"
    common_headers = {"Server": "cloudflare", "via": "1.1 google"}
    default_models = (
        '[{"id": "claude-haiku-4-5-20251001", "context_length": 200000, '
        '"capabilities": ["completion", "tools", "vision", "thinking"]}, '
        '{"id": "claude-opus-5-5", "context_length": 1000000, '
        '"capabilities": ["completion", "tools", "vision", "thinking"]}]'
    )

    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__(options)
        self.key = self.key or KEY

    def react(self, request: Request) -> Reaction:
        """The key, the version, then the routes."""
        given = request.headers.get("x-api-key") or request.bearer
        if not given:
            return error_response(request, 401, "authentication_error", "x-api-key header is required")
        if given != self.key:
            return self.refuse("unauthorized_401", request, "")
        version = request.headers.get("anthropic-version", "")
        if version not in VERSIONS:
            said = "header is required" if not version else f'"{version}" is not a valid version'
            return error_response(request, 400, "invalid_request_error", f"anthropic-version: {said}")
        match request.method, request.path:
            case "GET", "/v1/models":
                return self._listed(request)
            case "POST", "/v1/messages":
                return self._message(request, version)
            case "POST", "/v1/messages/count_tokens":
                return json_response({"input_tokens": count_prompt_tokens(messages_of(request.fields()))})
        if request.method == "GET" and request.path.startswith("/v1/models/"):
            model = self.find(request.path.removeprefix("/v1/models/"))
            return json_response(model_entry(model)) if model else self._missing(request, request.path)
        return self._missing(request, request.path)

    def _listed(self, request: Request) -> Response:
        """A page of the models: `limit` (20) of them after `after_id`."""
        ids = [model.id for model in self.models]
        after = request.query.get("after_id")
        start = ids.index(after) + 1 if after in ids else 0
        page = self.models[start : start + int(request.query.get("limit", "20"))]
        return json_response(
            {
                "data": [model_entry(model) for model in page],
                "has_more": start + len(page) < len(ids),
                "first_id": page[0].id if page else None,
                "last_id": page[-1].id if page else None,
            }
        )

    def _message(self, request: Request, version: str) -> Reaction:
        body = request.fields()
        model = self.find(body.get("model"))
        if wrong := complaint(body, version):
            return error_response(request, 400, "invalid_request_error", wrong)
        if model is None:
            return self.refuse("not_found_404_model", request, "")
        prompt_tokens = count_prompt_tokens(messages_of(body))
        if prompt_tokens > model.context_length:
            return self._too_long(request, prompt_tokens, model.context_length)
        thinking = body.get("thinking")
        asked: Json = thinking if isinstance(thinking, dict) else {}
        thinks = asked.get("type") in ("enabled", "adaptive") or always_thinks(model.id)
        hidden = "omitted" if generation_of(model.id) >= (4, 7) else "summarized"
        shown = asked.get("display", hidden) == "summarized"
        answer = self.answer(request, model.id, ("max_tokens",), reasoning=thinks, continues=True)
        if not body.get("stream"):
            broken = self.refuse("error_500", request, "")
            return message_response(request, answer, shown=shown, broken=broken)
        return message_stream(request, answer, shown=shown, whole_calls=self.options.tool_style == "whole")

    # --- refusals -----------------------------------------------------------------------------------------

    def refuse(self, kind: str, request: Request, arg: str) -> Response:
        """Anthropic's words."""
        if kind == "context_400":
            return self._too_long(request, *CONTEXT_EXAMPLE)
        status, type_, message = WORDS.get(kind, WORDS["error_500"])
        details: Json | None = {"error_code": "enforced_spend_limit_reached"} if kind == "quota_429" else None
        said = error_response(
            request, status, type_, message.format(model=request.fields().get("model")), details=details
        )
        if kind in ("rate_429", "busy_503"):
            return replace(said, headers={**said.headers, **retry_after(arg), "x-should-retry": "true"})
        return said

    def _too_long(self, request: Request, asked: int, there: int) -> Response:
        status, type_, message = WORDS["context_400"]
        return error_response(request, status, type_, message.format(asked=asked, there=there))

    @staticmethod
    def _missing(request: Request, path: str) -> Response:
        return error_response(request, 404, "not_found_error", f"Not Found: {path}")


SERVER = Anthropic

if __name__ == "__main__":
    main(Anthropic)
