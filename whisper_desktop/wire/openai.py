"""The OpenAI chat completions dialect, as nearly everybody speaks it: values to JSON and back. No I/O.

The decoder takes what real servers send, not only what the specification says: chunks with a role and nothing
else, `content: null`, content as a list of parts, reasoning as `reasoning` or `reasoning_content`, a usage
chunk with `choices: []`, llama.cpp's `timings`, an error inside a 200, `[DONE]` without a finish reason and a
finish reason without `[DONE]`. What a server sends is checked by type before it is believed.
"""

import json
from collections.abc import Sequence

from whisper_desktop.errors import BackendError
from whisper_desktop.values import (
    ErrorKind,
    GenerationConfig,
    Message,
    ModelInfo,
    ReasoningDelta,
    StreamEnd,
    TextDelta,
    Usage,
)
from whisper_desktop.wire import fields
from whisper_desktop.wire.openai_errors import error_in, is_error

MOST_MALFORMED = 3

Delta = TextDelta | ReasoningDelta
Json = dict[str, object]


def encode_chat(
    messages: Sequence[Message],
    config: GenerationConfig,
    model: str | None,
    *,
    stream: bool = True,
    max_tokens_field: str = "max_tokens",
) -> Json:
    """The body of a chat completion request. What the configuration leaves out is left to the server."""
    body: Json = dict(config.extra)
    if model is not None:
        body["model"] = model
    body["messages"] = [{"role": message.role.value, "content": message.content} for message in messages]
    body["stream"] = stream
    if stream:
        body["stream_options"] = {"include_usage": True}
    chosen: Json = {
        "temperature": config.temperature,
        "top_p": config.top_p,
        max_tokens_field: config.max_tokens,
        "seed": config.seed,
        "stop": list(config.stop) or None,
    }
    return body | {name: value for name, value in chosen.items() if value is not None}


class ChatDecoder:
    """Decodes one answer, chunk by chunk; `deltas` are handed out, the rest is kept for `end`.

    `finished` is true once the answer is complete, `done` once nothing can follow.
    """

    def __init__(self) -> None:
        self.done = False
        self._finish_reason: str | None = None
        self._usage = Usage()
        self._model: str | None = None
        self._chunks = 0
        self._malformed = 0
        self._output = False

    @property
    def finished(self) -> bool:
        """Whether the server has said that the answer is complete."""
        return self.done or self._finish_reason is not None

    def deltas(self, data: str) -> list[Delta]:
        """What one event adds to the answer. Raises `BackendError` for an error inside the stream."""
        if data.strip() == "[DONE]":
            self.done = True
            return []
        try:
            chunk = json.loads(data)
        except (ValueError, RecursionError):
            chunk = None
        if not isinstance(chunk, dict):
            self._tolerate_malformed()
            return []
        return self._of_chunk(chunk)

    def whole(self, value: object) -> list[Delta]:
        """The same for an answer that came in one piece, as plain JSON."""
        if not isinstance(value, dict) or (
            not is_error(value) and not isinstance(value.get("choices"), list)
        ):
            raise BackendError(
                ErrorKind.NOT_AN_LLM,
                "The answer is not a chat completion.",
                "Another kind of program answers at this address.",
                "Check the address; for most servers it ends in /v1.",
            )
        deltas = self._of_chunk(value)
        self.done = True
        return deltas

    def end(self) -> StreamEnd:
        """What is known once nothing more comes. Raises `BackendError` TRUNCATED or EMPTY."""
        if not self._chunks and self._malformed:
            raise self._broken()
        if not self.finished and self._chunks:
            raise BackendError(
                ErrorKind.TRUNCATED,
                "The stream ended without saying that the answer is complete.",
                "The model or the server may have crashed.",
                "Try again, or use another backend.",
            )
        if self._finish_reason == "error":
            raise BackendError(ErrorKind.SERVER_ERROR, "The server gave up in the middle of the answer.")
        if self._finish_reason == "content_filter":
            raise BackendError(ErrorKind.CONTENT_FILTER, "The answer was withheld by a content filter.")
        if not self._output:
            raise BackendError(
                ErrorKind.EMPTY,
                "The answer is empty.",
                "" if self._chunks else "The server opened a stream and sent nothing.",
                "Try again, or choose another model.",
            )
        return StreamEnd(self._finish_reason or "stop", self._usage, self._model)

    def _of_chunk(self, chunk: Json) -> list[Delta]:
        self._chunks += 1
        if is_error(chunk):
            raise error_in(chunk)
        if self._model is None:
            self._model = fields.name(chunk.get("model"))
        self._usage = _merge(self._usage, chunk)
        choices = chunk.get("choices")
        if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
            return []
        choice: Json = choices[0]
        if is_error(choice):
            raise error_in(choice)
        found = _deltas_of(choice.get("delta")) or _deltas_of(choice.get("message"))
        self._output = self._output or bool(found)
        self._finish_reason = fields.name(choice.get("finish_reason")) or self._finish_reason
        return found

    def _tolerate_malformed(self) -> None:
        self._malformed += 1
        if self._malformed > MOST_MALFORMED:
            raise self._broken()

    def _broken(self) -> BackendError:
        return BackendError(
            ErrorKind.MALFORMED,
            "The server's stream is broken: it is not valid JSON.",
            f"{self._malformed} of its events could not be read.",
            "Try again, or use another backend.",
        )


def decode_models(value: object) -> tuple[ModelInfo, ...]:
    """The models of `GET /models`, whatever else stands beside them. Raises `BackendError` NOT_AN_LLM."""
    if is_error(value):
        raise error_in(value)
    if isinstance(value, dict) and ("data" in value or "models" in value):
        listed = value.get("data", value.get("models")) or []  # Ollama without models says null
        if isinstance(listed, list):
            return tuple(model for model in map(_model, listed) if model is not None)
    raise BackendError(
        ErrorKind.NOT_AN_LLM,
        "There is no list of models at this address.",
        "Another kind of program answers here.",
        "Check the address; for most servers it ends in /v1.",
    )


def _model(entry: object) -> ModelInfo | None:
    if not isinstance(entry, dict):
        return None
    name = fields.name(entry.get("id")) or fields.name(entry.get("name"))
    if name is None:
        return None
    meta = fields.table(entry.get("meta"))
    state = fields.table(entry.get("status")).get("value")
    context = fields.count(entry.get("max_model_len")) or fields.count(meta.get("n_ctx"))
    return ModelInfo(
        id=name,
        loaded=state in ("loaded", "sleeping") if isinstance(state, str) else None,
        context_length=context,
        max_context_length=fields.count(meta.get("n_ctx_train")) or fields.count(entry.get("context_length")),
        size_bytes=fields.count(meta.get("size")),
    )


def _deltas_of(delta: object) -> list[Delta]:
    if not isinstance(delta, dict):
        return []
    found: list[Delta] = []
    # Some servers send the same reasoning under both names.
    reasoning = _text(delta.get("reasoning_content")) or _text(delta.get("reasoning"))
    if reasoning:
        found.append(ReasoningDelta(reasoning))
    text = _text(delta.get("content")) or _text(delta.get("refusal"))
    if text:
        found.append(TextDelta(text))
    return found


def _text(content: object) -> str:
    if isinstance(content, str):
        # JSON can carry half of a surrogate pair, which no terminal and no file takes.
        return (
            content
            if content.isascii()
            else content.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        )
    if isinstance(content, list):
        return "".join(_text(part.get("text")) for part in content if isinstance(part, dict))
    return ""


def _merge(usage: Usage, chunk: Json) -> Usage:
    counts, speeds = fields.table(chunk.get("usage")), fields.table(chunk.get("timings"))
    if not counts and not speeds:
        return usage
    return Usage(
        prompt_tokens=fields.count(counts.get("prompt_tokens")) or usage.prompt_tokens,
        completion_tokens=fields.count(counts.get("completion_tokens"))
        or fields.count(speeds.get("predicted_n"))
        or usage.completion_tokens,
        tokens_per_second=fields.number(speeds.get("predicted_per_second")) or usage.tokens_per_second,
        prompt_tokens_per_second=fields.number(speeds.get("prompt_per_second"))
        or usage.prompt_tokens_per_second,
        cost_usd=fields.number(counts.get("cost")) if "cost" in counts else usage.cost_usd,
    )
