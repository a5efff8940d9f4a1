"""The OpenAI shapes that most servers share; what differs from server to server is a parameter."""

import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

from tests.servers.answers import (
    Answer,
    ToolUse,
    base64_floats,
    texts_to_embed,
)
from tests.servers.http_wire import Request
from tests.servers.reactions import JSON_TYPE, Response, Stream, json_response, sse

Json = dict[str, object]
EVENT_STREAM = {"Content-Type": "text/event-stream", "Cache-Control": "no-cache"}
DONE = b"data: [DONE]\n\n"


def wants_usage(body: Mapping[str, object]) -> bool:
    """Whether a request asks for the usage chunk."""
    options = body.get("stream_options")
    return isinstance(options, dict) and options.get("include_usage") is True


def usage_of(answer: Answer, *, details: bool = False) -> Json:
    """The usage object; with `details` what of it was cached and what was thinking."""
    usage: Json = {
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": answer.completion_tokens,
        "total_tokens": answer.prompt_tokens + answer.completion_tokens,
    }
    if details:
        usage["prompt_tokens_details"] = {"cached_tokens": answer.cached_tokens}
        usage["completion_tokens_details"] = {"reasoning_tokens": len(answer.reasoning)}
    return usage


def finish_reason_of(answer: Answer) -> str:
    """OpenAI has no word for a refusal: it stops."""
    return "stop" if answer.finish_reason == "refusal" else answer.finish_reason


def tool_call(call: ToolUse, index: int | None = None) -> Json:
    """A whole call; in a chunk it has its index."""
    place: Json = {} if index is None else {"index": index}
    function = {"name": call.name, "arguments": call.arguments}
    return {**place, "id": call.id, "type": "function", "function": function}


def message_of(answer: Answer, reasoning_field: str = "reasoning_content") -> Json:
    """The assistant's message of a whole answer."""
    refused = answer.finish_reason == "refusal"
    silent = refused or (answer.tool_calls and not answer.tokens)
    message: Json = {"role": "assistant", "content": None if silent else answer.text}
    if refused:
        message["refusal"] = answer.text
    if answer.reasoning:
        message[reasoning_field] = "".join(answer.reasoning)
    if answer.tool_calls:
        message["tool_calls"] = [tool_call(call) for call in answer.tool_calls]
    return message


def call_deltas(answer: Answer, *, whole: bool = False) -> list[list[Json]]:
    """The deltas of the calls, a list for each token: name and id come only with the first of a call.

    With `whole` a call comes in one piece, as Ollama sends it.
    """
    tokens: list[list[Json]] = []
    for index, call in enumerate(answer.tool_calls):
        if whole:
            tokens.append([{"tool_calls": [tool_call(call, index)]}])
            continue
        opening: Json = {"tool_calls": [tool_call(ToolUse(call.name, "", call.id), index)]}
        pieces: list[Json] = [
            {"tool_calls": [{"index": index, "function": {"arguments": fragment}}]}
            for fragment in call.fragments
        ]
        tokens += [[opening, pieces[0]], *([piece] for piece in pieces[1:])]
    return tokens


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
    whole_calls: bool = False,
    details: bool = False,
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
    text_field = "refusal" if answer.finish_reason == "refusal" else "content"
    said = [chunk({**role, text_field: token}) for token in answer.tokens]
    empty: Json = {**role, "content": ""} if role_with_first_token else {}
    called = [
        b"".join(chunk({**empty, **delta}) for delta in deltas)
        for deltas in call_deltas(answer, whole=whole_calls)
    ]
    closing = [chunk({}, finish_reason_of(answer))]
    if usage:
        closing.append(sse({**head, "choices": [], "usage": usage_of(answer, details=details)}))
    return Stream(
        headers=headers,
        opening=() if role_with_first_token else (chunk({"role": "assistant", "content": ""}),),
        tokens=(*thought, *said, *called),
        closing=tuple(closing),
        done=DONE,
        error=error,
    )


def chat_response(
    answer: Answer,
    head: Mapping[str, object],
    *,
    reasoning_field: str = "reasoning_content",
    details: bool = False,
    extra: Mapping[str, object] | None = None,
    headers: Mapping[str, str] = JSON_TYPE,
    broken: Response | None = None,
) -> Response:
    """A whole chat completion."""
    message = message_of(answer, reasoning_field)
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason_of(answer)}
    body = {**head, "choices": [choice], "usage": usage_of(answer, details=details), **(extra or {})}
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


def embeddings_response(
    request: Request, vectors: Sequence[list[float]], headers: Mapping[str, str] = JSON_TYPE
) -> Response:
    """/v1/embeddings: floats, or base64 where the request wants it."""
    body = request.fields()
    packed = body.get("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": index, "embedding": base64_floats(vector) if packed else vector}
        for index, vector in enumerate(vectors)
    ]
    spent = sum(len(text.split()) for text in texts_to_embed(body.get("input")))
    usage = {"prompt_tokens": spent, "total_tokens": spent}
    said: Json = {"object": "list", "data": data, "model": body.get("model"), "usage": usage}
    return json_response(said, headers=headers)


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
    "quota_429": (
        429,
        "You exceeded your current quota, please check your plan and billing details.",
        "insufficient_quota",
        "insufficient_quota",
    ),
    "tools_refused": (400, "`tools` is not supported with this model.", "invalid_request_error", None),
    "vision_refused": (
        400,
        "Invalid content type. image_url is only supported by certain models.",
        "invalid_request_error",
        None,
    ),
    "schema_refused": (
        400,
        "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model.",
        "invalid_request_error",
        None,
    ),
    "prefill_refused": (
        400,
        "This model does not support assistant message prefill. "
        "The conversation must end with a user message.",
        "invalid_request_error",
        None,
    ),
    "bad_request_400": (400, "Invalid value for 'temperature': must be <= 2.", "invalid_request_error", None),
}


RETRIABLE = ("rate_429", "quota_429", "busy_503")


def retry_after(arg: str) -> dict[str, str]:
    """The headers of a rate limit whose fault has an argument.

    Any text is the value of `Retry-After` as it stands. `name=value` names the header instead; several are
    divided by `|`, as in `retry-after-ms=1500|Date=Wed, 21 Oct 2026 07:28:00 GMT`.
    """
    if "=" in arg:
        return dict(pair.split("=", 1) for pair in arg.split("|"))
    return {"Retry-After": arg} if arg else {}


def generic_refusal(
    kind: str, request: Request, arg: str, n_prompt: int = 13055, n_ctx: int = 4096
) -> Response:
    """A refusal in OpenAI's words; for kinds that OpenAI does not have, an error 500."""
    status, message, type_, code = GENERIC_WORDS.get(kind, GENERIC_WORDS["error_500"])
    message = message.format(model=request.fields().get("model"), n_prompt=n_prompt, n_ctx=n_ctx)
    headers = {**JSON_TYPE, **(retry_after(arg) if kind in RETRIABLE else {})}
    return error_object(status, message, type_, code, headers)
