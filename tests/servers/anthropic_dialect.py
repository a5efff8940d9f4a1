"""The shapes of the Anthropic Messages API: messages, their events, models, errors."""

import zlib
from collections.abc import Mapping, Sequence

from tests.servers.answers import Answer
from tests.servers.http_wire import Request
from tests.servers.model_specs import ModelSpec
from tests.servers.openai_dialect import Json
from tests.servers.reactions import Response, Stream, json_response, sse

EVENT_STREAM = {"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache"}
STOP_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
    "refusal": "refusal",
}
OVERLOADED: Json = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}


def request_id(request: Request) -> str:
    """An id that the same request gets again."""
    return f"req_011C{zlib.crc32(request.body):08x}"


def error_response(
    request: Request,
    status: int,
    kind: str,
    message: str,
    headers: Mapping[str, str] | None = None,
    details: Json | None = None,
) -> Response:
    """Anthropic's error object, with the request's id in body and header."""
    error: Json = {"type": kind, "message": message, **({"details": details} if details else {})}
    body = {"type": "error", "error": error, "request_id": request_id(request)}
    own = {"Content-Type": "application/json", "request-id": request_id(request), **(headers or {})}
    return json_response(body, status, own)


def signature_of(thinking: str) -> str:
    """What proves that thinking was not changed on its way back."""
    return f"Sig{zlib.crc32(thinking.encode()):08x}=="


def call_id(given: str) -> str:
    """An id as Anthropic makes them."""
    return "toolu_" + given.removeprefix("call_")


def usage_at_start(answer: Answer) -> Json:
    """The usage of `message_start`: cached tokens are not among the input tokens."""
    return {
        "input_tokens": answer.prompt_tokens - answer.cached_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": answer.cached_tokens,
        "output_tokens": 1,
        "service_tier": "standard",
    }


def usage_at_end(answer: Answer) -> Json:
    """The usage of `message_delta`, cumulative."""
    return {
        "output_tokens": answer.completion_tokens,
        "output_tokens_details": {"thinking_tokens": len(answer.reasoning)},
    }


def stop_of(answer: Answer) -> Json:
    """Why it ended."""
    reason = STOP_REASONS[answer.finish_reason]
    details = {"type": "refusal", "category": "cyber", "explanation": "This could enable harm."}
    return {
        "stop_reason": reason,
        "stop_sequence": None,
        **({"stop_details": details} if reason == "refusal" else {}),
    }


def message_response(request: Request, answer: Answer, *, shown: bool, broken: Response) -> Response:
    """A whole message. Without `shown` the thinking is there, but empty."""
    thinking = "".join(answer.reasoning)
    content: list[Json] = []
    if thinking:
        said = {"thinking": thinking if shown else "", "signature": signature_of(thinking if shown else "")}
        content.append({"type": "thinking", **said})
    if answer.text:
        content.append({"type": "text", "text": answer.text})
    content += [
        {"type": "tool_use", "id": call_id(call.id), "name": call.name, "input": call.fields}
        for call in answer.tool_calls
    ]
    body = {
        "id": f"msg_{zlib.crc32(request.body):08x}",
        "type": "message",
        "role": "assistant",
        "model": answer.model,
        "content": content,
        **stop_of(answer),
        "usage": usage_at_start(answer) | usage_at_end(answer),
    }
    said_json = json_response(body)
    headers = {**said_json.headers, "request-id": request_id(request)}
    return Response(200, said_json.body, headers, tokens=answer.completion_tokens, broken=broken)


def message_stream(request: Request, answer: Answer, *, shown: bool, whole_calls: bool) -> Stream:
    """A streamed message: each block has a start, a delta for each token, and a stop; a ping comes early."""
    start: Json = {
        "id": f"msg_{zlib.crc32(request.body):08x}",
        "type": "message",
        "role": "assistant",
        "content": [],
        "model": answer.model,
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage_at_start(answer),
    }
    tokens: list[bytes] = []
    if answer.reasoning:
        tokens += _thinking(answer.reasoning, shown=shown)
    if answer.tokens:
        deltas: list[Json] = [{"type": "text_delta", "text": token} for token in answer.tokens]
        tokens += _block(int(bool(answer.reasoning)), {"type": "text", "text": ""}, deltas)
    first_call = int(bool(answer.reasoning)) + int(bool(answer.tokens))
    for index, call in enumerate(answer.tool_calls, first_call):
        block: Json = {"type": "tool_use", "id": call_id(call.id), "name": call.name, "input": {}}
        fragments = (call.arguments,) if whole_calls else ("", *call.fragments)
        pieces: list[Json] = [{"type": "input_json_delta", "partial_json": text} for text in fragments]
        tokens += _block(index, block, pieces)
    return Stream(
        {**EVENT_STREAM, "request-id": request_id(request)},
        opening=(event({"type": "message_start", "message": start}), event({"type": "ping"})),
        tokens=tuple(tokens),
        closing=(event({"type": "message_delta", "delta": stop_of(answer), "usage": usage_at_end(answer)}),),
        done=event({"type": "message_stop"}),
        error=(event(OVERLOADED),),
    )


def event(value: Json) -> bytes:
    """One event under its name."""
    return sse(value, str(value["type"]))


def _thinking(tokens: Sequence[str], *, shown: bool) -> list[bytes]:
    thinking = "".join(tokens) if shown else ""
    deltas: list[Json] = [{"type": "thinking_delta", "thinking": token} for token in tokens if shown]
    deltas.append({"type": "signature_delta", "signature": signature_of(thinking)})
    return _block(0, {"type": "thinking", "thinking": "", "signature": ""}, deltas)


def _block(index: int, block: Json, deltas: Sequence[Json]) -> list[bytes]:
    """One piece for each delta; the first brings the block's start along, the last its stop."""
    pieces = [event({"type": "content_block_delta", "index": index, "delta": delta}) for delta in deltas]
    pieces[0] = event({"type": "content_block_start", "index": index, "content_block": block}) + pieces[0]
    pieces[-1] += event({"type": "content_block_stop", "index": index})
    return pieces


def model_entry(model: ModelSpec) -> Json:
    """One entry of the list of models."""

    def support(*names: str) -> Json:
        return {"supported": any(name in model.capabilities for name in names)}

    return {
        "type": "model",
        "id": model.id,
        "display_name": model.id.replace("-", " ").title(),
        "created_at": "2026-05-22T00:00:00Z",
        "max_input_tokens": model.context_length,
        "max_tokens": 64000,
        "lifecycle": "active",
        "deprecated_at": None,
        "retires_at": None,
        "line": None,
        "capabilities": {
            **{name: {"supported": False} for name in ("batch", "citations", "code_execution", "pdf_input")},
            "image_input": support("vision"),
            "structured_outputs": support("completion"),
            "server_tools": {**support(), "web_search": support(), "code_execution": support()},
            "context_management": support(),
            "effort": support("thinking"),
            "thinking": {
                **support("thinking"),
                "types": {"adaptive": support("thinking"), "enabled": support("thinking")},
            },
        },
    }
