"""llama-server's own shapes and words, as functions of a model or an answer."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from tests.servers.answers import Answer
from tests.servers.http_wire import Request
from tests.servers.model_specs import ModelSpec
from tests.servers.openai_dialect import (
    DONE,
    Json,
    call_deltas,
    completion_id,
    finish_reason_of,
    message_of,
    usage_of,
    wants_usage,
)
from tests.servers.reactions import Response, Stream, json_response, sse

CPP_JSON = {"Content-Type": "application/json; charset=utf-8"}
CPP_ERROR = {**CPP_JSON, "Connection": "close"}  # its HTTP library hangs up after every refusal
READING_STEPS = 10
STREAM = {"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"}
STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "permission_error": 403,
    "not_found_error": 404,
    "server_error": 500,
    "not_supported_error": 501,
    "unavailable_error": 503,
}
BUILD = "b1-1652066"
WORDS = {
    "busy_503": ("unavailable_error", "no slot available"),
    "error_500": ("server_error", "Compute error."),
    "crashed": ("server_error", "Compute error."),
    "out_of_memory": ("server_error", "Compute error."),
    "forbidden_403_moderation": ("permission_error", "Forbidden"),
    "bad_request_400": ("invalid_request_error", "Expected 'messages' to be an array"),
    "tools_refused": ("server_error", "tools param requires --jinja flag"),
    "vision_refused": (
        "server_error",
        "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj",
    ),
    "schema_refused": (
        "invalid_request_error",
        'response_format type must be one of "text" or "json_object", but got: json_schema',
    ),
    "prefill_refused": (
        "invalid_request_error",
        "Assistant response prefill is incompatible with enable_thinking.",
    ),
}


def cpp_error(kind: str, message: str, **more: object) -> Response:
    """llama-server's error object with the status that belongs to its type."""
    status = STATUSES.get(kind, 400)
    return json_response(
        {"error": {"code": status, "message": message, "type": kind, **more}}, status, CPP_ERROR
    )


def cpp_json(value: object) -> Response:
    """JSON with llama-server's header."""
    return json_response(value, 200, CPP_JSON)


def too_long(n_prompt: int, n_ctx: int) -> Response:
    """A prompt that does not fit."""
    text = (
        f"request ({n_prompt} tokens) exceeds the available context size ({n_ctx} tokens), try increasing it"
    )
    return cpp_error("exceed_context_size_error", text, n_prompt_tokens=n_prompt, n_ctx=n_ctx)


def model_list(model: ModelSpec) -> Json:
    """/v1/models: an Ollama-like list beside OpenAI's."""
    capabilities = ["completion", "multimodal"] if "vision" in model.capabilities else ["completion"]
    like_ollama: Json = {
        "name": model.id,
        "model": model.id,
        "modified_at": "",
        "size": "",
        "digest": "",
        "type": "model",
        "description": "",
        "tags": [""],
        "capabilities": capabilities,
        "parameters": "",
        "details": {
            "parent_model": "",
            "format": "gguf",
            "family": "",
            "families": [""],
            "parameter_size": "",
            "quantization_level": "",
        },
    }
    entry: Json = {
        "id": model.id,
        "aliases": [model.id],
        "tags": [],
        "object": "model",
        "created": 1795246569,
        "owned_by": "llamacpp",
        "meta": {
            "vocab_type": 1,
            "n_vocab": 32000,
            "n_ctx": model.context_length,
            "n_ctx_train": model.max_context_length,
            "n_embd": 64,
            "n_params": 4178240,
            "size": model.size_bytes,
            "ftype": model.quantization,
        },
    }
    return {"models": [like_ollama], "object": "list", "data": [entry]}


def refused_prefill(messages: Sequence[Mapping[str, object]], body: Mapping[str, object]) -> Response | None:
    """What is wrong with a request whose last message is the assistant's, None where nothing is."""
    asked = bool(body.get("continue_final_message"))
    if messages[-1:] and messages[-1].get("role") == "assistant":
        if len(messages) > 1 and messages[-2].get("role") == "assistant" and not asked:
            text = "Cannot have 2 or more assistant messages at the end of the list."
            return cpp_error("invalid_request_error", text)
        if messages[-1].get("tool_calls"):
            text = "Cannot continue an assistant message that contains tool calls."
            return cpp_error("invalid_request_error", text)
    if asked and body.get("add_generation_prompt", True):
        text = "Cannot set both add_generation_prompt and continue_final_message to true."
        return cpp_error("invalid_request_error", text)
    return None


def whole_answer(request: Request, answer: Answer, build: str, *, echo: str = "") -> Response:
    """A chat completion at once. `echo` is the prefill that it repeats."""
    message = {**message_of(answer), "content": echo + answer.text}
    said = cpp_json(
        {
            "choices": [{"finish_reason": finish_reason_of(answer), "index": 0, "message": message}],
            "created": int(time.time()),
            "model": answer.model,
            "system_fingerprint": build,
            "object": "chat.completion",
            "usage": _usage(answer),
            "id": completion_id(request),
            "timings": _timings(answer),
        }
    )
    broken = cpp_error("server_error", "Compute error.")
    return replace(said, tokens=answer.completion_tokens, broken=broken)


def streamed_answer(
    request: Request, answer: Answer, build: str, *, echo: str = "", prompt_s: float = 0
) -> Stream:
    """A chat completion in chunks. `echo` comes with the first token; the prompt is read in `prompt_s`."""
    body = request.fields()
    tail: Json = {
        "created": int(time.time()),
        "id": completion_id(request),
        "model": answer.model,
        "system_fingerprint": build,
        "object": "chat.completion.chunk",
    }

    def chunk(delta: Json, finish_reason: str | None = None, **more: object) -> bytes:
        choice = {"finish_reason": finish_reason, "index": 0, "delta": delta}
        return sse({"choices": [choice], **tail, **more})

    role: Json = {"role": "assistant", "content": None}
    reading = []
    if body.get("return_progress"):
        for done, took_s in _reading(answer, prompt_s):
            progress = {
                "total": answer.prompt_tokens,
                "cache": answer.cached_tokens,
                "processed": done,
                "time_ms": int(took_s * 1000),
            }
            reading.append(chunk(role, prompt_progress=progress))
    said = list(answer.tokens)
    if echo and said:
        said[0] = echo + said[0]
    timings = _timings(answer)
    finish_reason = finish_reason_of(answer)
    if wants_usage(body):
        last = sse({"choices": [], **tail, "usage": _usage(answer), "timings": timings})
        closing = [chunk({}, finish_reason), last]
    else:
        closing = [chunk({}, finish_reason, timings=timings)]
    return Stream(
        STREAM,
        opening=(chunk(role),),
        tokens=(
            *(chunk({"reasoning_content": token}) for token in answer.reasoning),
            *(chunk({"content": token}) for token in said),
            *(b"".join(map(chunk, deltas)) for deltas in call_deltas(answer)),
        ),
        closing=tuple(closing),
        done=DONE,
        error=(sse({"error": {"code": 500, "message": "Compute error.", "type": "server_error"}}),),
        delay_s=0 if reading else prompt_s,
        reading=tuple(reading),
        reading_s=prompt_s,
    )


def _reading(answer: Answer, prompt_s: float) -> list[tuple[int, float]]:
    """How far the prompt has been read, and after how many seconds: the beginning, the steps, the end."""
    steps = READING_STEPS if prompt_s else 1
    new = answer.prompt_tokens - answer.cached_tokens
    return [
        (answer.cached_tokens + new * step // steps, prompt_s * step / steps) for step in range(steps + 1)
    ]


def _usage(answer: Answer) -> Json:
    return {**usage_of(answer), "prompt_tokens_details": {"cached_tokens": answer.cached_tokens}}


def _timings(answer: Answer) -> Json:
    prompt, predicted = answer.prompt_tokens - answer.cached_tokens, answer.completion_tokens
    return {
        "cache_n": answer.cached_tokens,
        "prompt_n": prompt,
        "prompt_ms": prompt * 20.0,
        "prompt_per_token_ms": 20.0,
        "prompt_per_second": 50.0,
        "predicted_n": predicted,
        "predicted_ms": predicted * 100.0,
        "predicted_per_token_ms": 100.0,
        "predicted_per_second": 10.0,
    }
