"""llama-server's own shapes and words, as functions of a model or an answer."""

import time
from dataclasses import replace

from tests.servers.answers import Answer
from tests.servers.http_wire import Request
from tests.servers.model_specs import ModelSpec
from tests.servers.openai_dialect import DONE, Json, completion_id, usage_of, wants_usage
from tests.servers.reactions import Response, Stream, json_response, sse

CPP_JSON = {"Content-Type": "application/json; charset=utf-8"}
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
    "bad_request_400": ("invalid_request_error", "'messages' must be an array"),
}


def cpp_error(kind: str, message: str, **more: object) -> Response:
    """llama-server's error object with the status that belongs to its type."""
    status = STATUSES.get(kind, 400)
    return json_response(
        {"error": {"code": status, "message": message, "type": kind, **more}}, status, CPP_JSON
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


def whole_answer(request: Request, answer: Answer, build: str) -> Response:
    """A chat completion at once."""
    message: Json = {"role": "assistant", "content": answer.text}
    if answer.reasoning:
        message["reasoning_content"] = "".join(answer.reasoning)
    said = cpp_json(
        {
            "choices": [{"finish_reason": answer.finish_reason, "index": 0, "message": message}],
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


def streamed_answer(request: Request, answer: Answer, build: str) -> Stream:
    """A chat completion in chunks."""
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

    opening = [chunk({"role": "assistant", "content": None})]
    if body.get("return_progress"):
        total = answer.prompt_tokens
        for part in (total // 2, total):
            progress = {"total": total, "cache": 0, "processed": part, "time_ms": 3}
            opening.append(chunk({"role": "assistant", "content": None}, prompt_progress=progress))
    timings = _timings(answer)
    if wants_usage(body):
        last = sse({"choices": [], **tail, "usage": _usage(answer), "timings": timings})
        closing = [chunk({}, answer.finish_reason), last]
    else:
        closing = [chunk({}, answer.finish_reason, timings=timings)]
    return Stream(
        STREAM,
        tuple(opening),
        (
            *(chunk({"reasoning_content": token}) for token in answer.reasoning),
            *(chunk({"content": token}) for token in answer.tokens),
        ),
        tuple(closing),
        DONE,
        error=(sse({"error": {"code": 500, "message": "Compute error.", "type": "server_error"}}),),
    )


def _usage(answer: Answer) -> Json:
    return {**usage_of(answer), "prompt_tokens_details": {"cached_tokens": 0}}


def _timings(answer: Answer) -> Json:
    prompt, predicted = answer.prompt_tokens, answer.completion_tokens
    return {
        "cache_n": 0,
        "prompt_n": prompt,
        "prompt_ms": prompt * 20.0,
        "prompt_per_token_ms": 20.0,
        "prompt_per_second": 50.0,
        "predicted_n": predicted,
        "predicted_ms": predicted * 100.0,
        "predicted_per_token_ms": 100.0,
        "predicted_per_second": 10.0,
    }
