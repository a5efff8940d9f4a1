"""The OpenAI shapes that most servers share; what differs from server to server is a parameter."""

import time
import zlib
from collections.abc import Mapping
from dataclasses import replace

from tests.servers.answers import Answer
from tests.servers.http_wire import Request
from tests.servers.reactions import JSON_TYPE, Response, Stream, json_response, sse

Json = dict[str, object]
EVENT_STREAM = {"Content-Type": "text/event-stream", "Cache-Control": "no-cache"}
DONE = b"data: [DONE]\n\n"


def wants_usage(body: Mapping[str, object]) -> bool:
    """Whether a request asks for the usage chunk."""
    options = body.get("stream_options")
    return isinstance(options, dict) and options.get("include_usage") is True


def usage_of(answer: Answer) -> Json:
    """The usage object."""
    return {
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": answer.completion_tokens,
        "total_tokens": answer.prompt_tokens + answer.completion_tokens,
    }


def completion_id(request: Request, prefix: str = "chatcmpl-") -> str:
    """An id that the same request gets again."""
    return f"{prefix}{zlib.crc32(request.body):08x}"


def error_object(
    status: int, message: str, kind: str, code: object = None, headers: Mapping[str, str] = JSON_TYPE
) -> Response:
    """OpenAI's `{"error": {...}}`."""
    body = {"error": {"message": message, "type": kind, "param": None, "code": code}}
    return json_response(body, status, headers)


def chat_stream(
    answer: Answer,
    head: Mapping[str, object],
    *,
    usage: bool,
    role_with_first_token: bool = False,
    reasoning_field: str = "reasoning_content",
    choice_extra: Mapping[str, object] | None = None,
    error: tuple[bytes, ...] = (),
    headers: Mapping[str, str] = EVENT_STREAM,
) -> Stream:
    """A streamed chat completion. `head` is what every chunk begins with: id, object, created, model, ...

    Either a first chunk carries the role and empty content, or, with `role_with_first_token`, every chunk
    carries it beside its content, as Ollama does.
    """
    extra = choice_extra or {}

    def chunk(delta: Json, finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, **extra, "finish_reason": finish_reason}
        return sse({**head, "choices": [choice]})

    role: Json = {"role": "assistant"} if role_with_first_token else {}
    thought = [chunk({**role, "content": "", reasoning_field: token}) for token in answer.reasoning]
    said = [chunk({**role, "content": token}) for token in answer.tokens]
    closing = [chunk({}, answer.finish_reason)]
    if usage:
        closing.append(sse({**head, "choices": [], "usage": usage_of(answer)}))
    return Stream(
        headers=headers,
        opening=() if role_with_first_token else (chunk({"role": "assistant", "content": ""}),),
        tokens=(*thought, *said),
        closing=tuple(closing),
        done=DONE,
        error=error,
    )


def chat_response(
    answer: Answer,
    head: Mapping[str, object],
    *,
    reasoning_field: str = "reasoning_content",
    extra: Mapping[str, object] | None = None,
    headers: Mapping[str, str] = JSON_TYPE,
    broken: Response | None = None,
) -> Response:
    """A whole chat completion."""
    message: Json = {"role": "assistant", "content": answer.text}
    if answer.reasoning:
        message[reasoning_field] = "".join(answer.reasoning)
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": answer.finish_reason}
    body = {**head, "choices": [choice], "usage": usage_of(answer), **(extra or {})}
    response = json_response(body, headers=headers)
    return Response(200, response.body, headers, tokens=answer.completion_tokens, broken=broken)


def text_reaction(request: Request, answer: Answer) -> Response | Stream:
    """The older text completion, streamed where the request wants it."""
    head = chat_head(request, answer, streamed=False, object="text_completion")

    def choice(text: str, finish_reason: str | None) -> list[Json]:
        return [{"index": 0, "text": text, "logprobs": None, "finish_reason": finish_reason}]

    if not request.fields().get("stream"):
        body = {**head, "choices": choice(answer.text, answer.finish_reason), "usage": usage_of(answer)}
        return replace(json_response(body), tokens=answer.completion_tokens)
    pieces = tuple(sse({**head, "choices": choice(token, None)}) for token in answer.tokens)
    return Stream(
        EVENT_STREAM, (), pieces, (sse({**head, "choices": choice("", answer.finish_reason)}),), DONE
    )


def chat_head(request: Request, answer: Answer, *, streamed: bool, **more: object) -> Json:
    """The fields that begin a completion or each of its chunks."""
    return {
        "id": completion_id(request),
        "object": "chat.completion.chunk" if streamed else "chat.completion",
        "created": int(time.time()),
        "model": answer.model,
        **more,
    }


# What OpenAI itself would say; servers without words of their own are taken to imitate it.
GENERIC_WORDS: Mapping[str, tuple[int, str, str, str | None]] = {
    "busy_503": (503, "The server is overloaded. Please try again later.", "server_error", None),
    "error_500": (500, "The server had an error while processing your request.", "server_error", None),
    "rate_429": (429, "Rate limit reached for requests.", "requests", "rate_limit_exceeded"),
    "unauthorized_401": (401, "Incorrect API key provided.", "invalid_request_error", "invalid_api_key"),
    "payment_402": (402, "You exceeded your current quota.", "insufficient_quota", "insufficient_quota"),
    "forbidden_403_moderation": (
        403,
        "Your request was rejected as a result of our safety system.",
        "invalid_request_error",
        "content_policy_violation",
    ),
    "not_found_404_model": (
        404,
        "The model `{model}` does not exist.",
        "invalid_request_error",
        "model_not_found",
    ),
    "context_400": (
        400,
        "This model's maximum context length is {n_ctx} tokens. However, your messages resulted in "
        "{n_prompt} tokens. Please reduce the length of the messages.",
        "invalid_request_error",
        "context_length_exceeded",
    ),
    "bad_request_400": (400, "Invalid value for 'temperature': must be <= 2.", "invalid_request_error", None),
}


def retry_after(arg: str) -> dict[str, str]:
    """The `Retry-After` header of a rate limit whose fault has an argument."""
    seconds = arg.split(":")[0]
    return {"Retry-After": seconds} if seconds else {}


def generic_refusal(
    kind: str, request: Request, arg: str, n_prompt: int = 13055, n_ctx: int = 4096
) -> Response:
    """A refusal in OpenAI's words; for kinds that OpenAI does not have, an error 500."""
    status, message, type_, code = GENERIC_WORDS.get(kind, GENERIC_WORDS["error_500"])
    message = message.format(model=request.fields().get("model"), n_prompt=n_prompt, n_ctx=n_ctx)
    headers = {**JSON_TYPE, **(retry_after(arg) if kind in ("rate_429", "busy_503") else {})}
    return error_object(status, message, type_, code, headers)
