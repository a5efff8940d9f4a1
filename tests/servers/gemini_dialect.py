"""The shapes of the Gemini API: chunks, models, errors."""

import base64
import zlib
from collections.abc import Sequence

from tests.servers.answers import Answer
from tests.servers.http_wire import Request
from tests.servers.model_specs import ModelSpec
from tests.servers.openai_dialect import Json
from tests.servers.reactions import Response, Stream, json_bytes, json_response, sse

JSON_UTF8 = {"Content-Type": "application/json; charset=UTF-8"}
EVENT_STREAM = {"Content-Type": "text/event-stream"}
STATUSES = {
    400: "INVALID_ARGUMENT",
    402: "FAILED_PRECONDITION",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
FINISH = {"stop": "STOP", "length": "MAX_TOKENS", "tool_calls": "STOP", "content_filter": "SAFETY"}
_RPC = "type.googleapis.com/google.rpc."


def error_object(status: int, message: str, *details: Json, code: str = "") -> Json:
    """Google's error object."""
    error: Json = {"code": status, "message": message, "status": code or STATUSES[status]}
    return {"error": {**error, "details": list(details)} if details else error}


def error_response(value: Json, *, as_list: bool) -> Response:
    """An error with its status; some answers wrap it into a list of one."""
    error = value["error"]
    assert isinstance(error, dict)
    return json_response([value] if as_list else value, int(str(error["code"])), JSON_UTF8)


def bad_key(reason: str = "API_KEY_INVALID") -> Json:
    """The detail that tells a bad key from a bad request: both are status 400."""
    return {"@type": _RPC + "ErrorInfo", "reason": reason, "domain": "googleapis.com"}


def quota(quota_id: str) -> Json:
    """The detail that says which limit was reached."""
    return {
        "@type": _RPC + "QuotaFailure",
        "violations": [{"quotaMetric": "generate_content_requests", "quotaId": quota_id, "quotaValue": "20"}],
    }


def retry_info(delay: str) -> Json:
    """The detail that says when to try again."""
    return {"@type": _RPC + "RetryInfo", "retryDelay": delay}


def bad_field(name: str, where: str) -> Json:
    """What a field that is not known is answered with."""
    message = f'Invalid JSON payload received. Unknown name "{name}"{where}: Cannot find field.'
    violation = {"description": message}
    return error_object(400, message, {"@type": _RPC + "BadRequest", "fieldViolations": [violation]})


def signature_of(name: str) -> str:
    """What proves that a call was not made up."""
    return base64.b64encode(f"signature of {name}".encode()).decode()


def usage_of(answer: Answer, said: int) -> Json:
    """The counts so far; thoughts are not among the candidates' tokens, and what is 0 is left out."""
    thought = len(answer.reasoning)
    written = max(0, said - thought)
    counts = {
        "promptTokenCount": answer.prompt_tokens,
        "candidatesTokenCount": written,
        "cachedContentTokenCount": answer.cached_tokens,
        "thoughtsTokenCount": min(thought, said),
        "totalTokenCount": answer.prompt_tokens + said,
    }
    return {name: count for name, count in counts.items() if count}


def parts_of_answer(answer: Answer, *, ids: bool, thoughts: bool) -> list[Json]:
    """One part for each token, and one for each call; the first call is signed."""
    parts: list[Json] = [{"text": token, "thought": True} for token in answer.reasoning if thoughts]
    parts += [{"text": token} for token in answer.tokens]
    for number, call in enumerate(answer.tool_calls):
        body: Json = {"name": call.name, "args": call.fields, **({"id": call.id} if ids else {})}
        signed = {"thoughtSignature": signature_of(call.name)} if ids and not number else {}
        parts.append({"functionCall": body, **signed})
    return parts


def blocked() -> Json:
    """The answer to a prompt that was not accepted: no candidates."""
    return {
        "promptFeedback": {"blockReason": "PROHIBITED_CONTENT"},
        "usageMetadata": {"promptTokenCount": 5, "totalTokenCount": 5},
        "modelVersion": "gemini",
    }


def content_response(
    request: Request, answer: Answer, *, ids: bool, thoughts: bool, broken: Response
) -> Response:
    """A whole answer."""
    if answer.finish_reason == "refusal":
        return json_response(blocked(), headers=JSON_UTF8)
    parts = parts_of_answer(answer, ids=ids, thoughts=thoughts)
    chunk = _chunk(request, answer, _joined(parts), answer.completion_tokens, FINISH[answer.finish_reason])
    said = json_response(chunk, headers=JSON_UTF8)
    return Response(200, said.body, JSON_UTF8, tokens=answer.completion_tokens, broken=broken)


def content_stream(request: Request, answer: Answer, *, ids: bool, thoughts: bool, as_sse: bool) -> Stream:
    """A stream: server-sent events with CR LF, or without `alt=sse` one JSON array, piece by piece."""
    if answer.finish_reason == "refusal":
        chunks, last = [], blocked()
    else:
        parts = parts_of_answer(answer, ids=ids, thoughts=thoughts)
        chunks = [_chunk(request, answer, [part], said) for said, part in enumerate(parts, 1)]
        finish = FINISH[answer.finish_reason]
        last = _chunk(request, answer, [{"text": ""}], answer.completion_tokens, finish)
    error = error_object(503, "The model is overloaded. Please try again later.")
    if as_sse:
        events = tuple(map(event, chunks))
        return Stream(EVENT_STREAM, (), events, (event(last),), error=(event(error),))
    pieces = [(b"," if number else b"[") + json_bytes(chunk) for number, chunk in enumerate(chunks)]
    comma = b"," if chunks else b"["
    ending, failing = comma + json_bytes(last) + b"]", comma + json_bytes(error) + b"]"
    return Stream(JSON_UTF8, (), tuple(pieces), (ending,), error=(failing,))


def event(value: Json) -> bytes:
    """One event as Google sends it."""
    return sse(value).replace(b"\n", b"\r\n")


def _joined(parts: Sequence[Json]) -> list[Json]:
    """Neighbouring texts as one part."""
    joined: list[Json] = []
    for part in parts:
        alike = joined and "text" in part and "text" in joined[-1]
        if alike and part.get("thought") == joined[-1].get("thought"):
            joined[-1] = joined[-1] | {"text": f"{joined[-1]['text']}{part['text']}"}
        else:
            joined.append(part)
    return joined


def _chunk(
    request: Request, answer: Answer, parts: Sequence[Json], said: int, finish: str | None = None
) -> Json:
    candidate: Json = {"content": {"parts": list(parts), "role": "model"}, "index": 0}
    if finish is not None:
        candidate["finishReason"] = finish
        if not parts:
            del candidate["content"]
    return {
        "candidates": [candidate],
        "usageMetadata": usage_of(answer, said),
        "modelVersion": answer.model,
        "responseId": f"resp{zlib.crc32(request.body):08x}",
    }


def model_entry(model: ModelSpec) -> Json:
    """One entry of the list of models."""
    chats = ["generateContent", "countTokens", "createCachedContent", "batchGenerateContent"]
    embeds = ["embedContent", "countTextTokens", "countTokens"]
    return {
        "name": f"models/{model.id}",
        "version": "001",
        "displayName": model.id.replace("-", " ").title(),
        "description": "A model.",
        "inputTokenLimit": model.context_length,
        "outputTokenLimit": 65536,
        "supportedGenerationMethods": embeds if "embedding" in model.capabilities else chats,
        "temperature": 1,
        "topP": 0.95,
        "topK": 64,
        "maxTemperature": 2,
        "thinking": "thinking" in model.capabilities,
    }
