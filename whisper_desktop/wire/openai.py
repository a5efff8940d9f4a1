"""The OpenAI chat completions dialect, as nearly everybody speaks it: values to JSON and back. No I/O.

The decoder takes what real servers send, not only what the specification says: chunks with a role and nothing
else, `content: null`, content as a list of parts, reasoning under four names, a usage chunk with
`choices: []`, llama.cpp's `timings` and `prompt_progress`, function calls in fragments, in one piece, without
an index or with the same index for all, an error inside a 200, `[DONE]` without a finish reason and a finish
reason without `[DONE]`. What a server sends is checked by type before it is believed.
"""

import base64
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from whisper_desktop.errors import BackendError
from whisper_desktop.language import tr
from whisper_desktop.values import (
    BackendEvent,
    Embeddings,
    ErrorKind,
    GenerationConfig,
    Image,
    Message,
    ModelInfo,
    Phase,
    Price,
    Progress,
    ReasoningDelta,
    Role,
    TextDelta,
    ToolCall,
    ToolSpec,
    Usage,
)
from whisper_desktop.wire import fields
from whisper_desktop.wire.decoding import Json, StreamDecoder, not_an_answer
from whisper_desktop.wire.errors import error_in, is_error
from whisper_desktop.wire.openai_calls import CallJoiner
from whisper_desktop.wire.sse import SSEReader
from whisper_desktop.wire.text import text_of
from whisper_desktop.wire.vectors import vectors_of

_Number = TypeVar("_Number", int, float)

_CAPABILITIES = {
    "completion": "completion",
    "chat": "completion",
    "out:text": "completion",
    "in:image": "vision",
    "vision": "vision",
    "multimodal": "vision",
    "parameter:tools": "tools",
    "tools": "tools",
    "tool_use": "tools",
    "parameter:reasoning": "reasoning",
    "reasoning": "reasoning",
    "thinking": "reasoning",
    "out:embeddings": "embedding",
    "embedding": "embedding",
    "embeddings": "embedding",
}

# --- what is sent -----------------------------------------------------------------------------------------


def reasoning_effort(level: str) -> Json:
    """How OpenAI, Ollama and most others are told how much to think. `level` is "off" to "high"."""
    return {"reasoning_effort": "none" if level == "off" else level}


def reasoning_in_template(level: str) -> Json:
    """How llama.cpp, vLLM and SGLang are told: by arguments of the model's own chat template."""
    thinking: Json = {"enable_thinking": level != "off"}
    return {"chat_template_kwargs": thinking if level == "off" else thinking | {"reasoning_effort": level}}


def reasoning_object(level: str) -> Json:
    """How OpenRouter is told."""
    return {"reasoning": {"enabled": False} if level == "off" else {"effort": level}}


def encode_chat(
    messages: Sequence[Message],
    config: GenerationConfig,
    model: str | None,
    *,
    stream: bool = True,
    max_tokens_field: str = "max_tokens",
    reasoning: Callable[[str], Json] = reasoning_effort,
) -> Json:
    """The body of a chat completion request. What the configuration leaves out is left to the server.

    `context_length` has no field in this dialect. `extra` cannot change the question, the model or the form.
    """
    chosen: Json = {
        "temperature": config.temperature,
        "top_p": config.top_p,
        max_tokens_field: config.max_tokens,
        "seed": config.seed,
        "stop": list(config.stop) or None,
        "tools": [_tool(spec) for spec in config.tools] or None,
        "tool_choice": _tool_choice(config.tool_choice) if config.tools else None,
        "response_format": None if config.json_schema is None else _response_format(config.json_schema),
        "model": model,
    }
    body: Json = dict(config.extra)
    if config.reasoning is not None:
        for name, value in reasoning(config.reasoning).items():
            body[name] = {**fields.table(body.get(name)), **value} if isinstance(value, dict) else value
    body |= {name: value for name, value in chosen.items() if value is not None}
    body["messages"] = [_message(message) for message in messages]
    body["stream"] = stream
    if stream:
        body["stream_options"] = {"include_usage": True}
    return body


def encode_embeddings(texts: Sequence[str], model: str | None) -> Json:
    """The body of an embeddings request."""
    body: Json = {"input": list(texts)}
    return body if model is None else {"model": model, **body}


def _message(message: Message) -> Json:
    body: Json = {"role": message.role.value, "content": message.content}
    if message.images:
        text: list[Json] = [{"type": "text", "text": message.content}] if message.content else []
        body["content"] = text + [_image(image) for image in message.images]
    if message.tool_calls:
        body["tool_calls"] = [_call(call) for call in message.tool_calls]
    if message.role is Role.TOOL:
        body["tool_call_id"] = message.tool_call_id
        if message.name:
            body["name"] = message.name
    return body


def _image(image: Image) -> Json:
    data = base64.b64encode(image.data).decode("ascii")
    return {"type": "image_url", "image_url": {"url": f"data:{image.media_type};base64,{data}"}}


def _call(call: ToolCall) -> Json:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _tool(spec: ToolSpec) -> Json:
    function: Json = {
        "name": spec.name,
        "parameters": {"type": "object", "properties": {}, **spec.parameters},
    }
    if spec.description:
        function["description"] = spec.description
    return {"type": "function", "function": function}


def _tool_choice(choice: str | None) -> object:
    if choice in (None, "auto", "none", "required"):
        return choice
    return {"type": "function", "function": {"name": choice}}


def _response_format(schema: Mapping[str, object]) -> Json:
    wanted = {"name": "answer", "strict": True, "schema": dict(schema)}
    return {"type": "json_schema", "json_schema": wanted}


# --- what comes back --------------------------------------------------------------------------------------


class ChatDecoder(StreamDecoder):
    """Decodes one answer of /chat/completions."""

    _last_mark = "[DONE]"

    def __init__(self) -> None:
        super().__init__(SSEReader())
        self._calls: CallJoiner | None = None

    def _whole(self, value: object) -> list[BackendEvent]:
        if is_error(value):
            raise error_in(value)
        if not isinstance(value, dict) or not isinstance(value.get("choices"), list):
            raise not_an_answer()
        return self._chunk(value, "") + self._complete()

    def _mark(self, data: str, name: str) -> Iterable[BackendEvent]:
        if data.strip() != self._last_mark:
            return super()._mark(data, name)
        return self._complete()

    def _chunk(self, chunk: Json, name: str) -> list[BackendEvent]:
        if ("error" in chunk or chunk.get("object") == "error") and is_error(chunk):
            raise error_in(chunk)
        if self.model is None:
            self.model = fields.name(chunk.get("model"))
        if chunk.get("usage") or chunk.get("timings"):
            self._usage = _usage(self._usage, chunk)
        progress = _progress(chunk["prompt_progress"]) if "prompt_progress" in chunk else []
        choices = chunk.get("choices")
        if not isinstance(choices, list) or not choices:
            return progress
        return progress + self._choice(fields.table(choices[0]), chunk)

    def _choice(self, choice: Json, chunk: Json) -> list[BackendEvent]:
        if choice.get("index"):
            return []  # a second answer to the same question, which nobody asked for
        if "error" in choice and is_error(choice):
            raise error_in(choice)
        events: list[BackendEvent] = []
        delta = fields.table(choice.get("delta") or choice.get("message"))
        text = delta.get("content")
        if isinstance(text, str) and len(delta) == 1:  # what nearly every chunk is
            if text:
                events.append(TextDelta(text_of(text)))
        elif delta:
            events += _said(delta)
            if delta.get("tool_calls") or delta.get("function_call"):
                events += self._called(delta, chunk.get("id"))
        reason = choice.get("finish_reason")
        if reason:
            events += self._finish(fields.name(reason) or "stop")
        return events

    def _called(self, delta: Json, answer_id: object) -> list[BackendEvent]:
        if self._calls is None:
            self._calls = CallJoiner(answer_id)
        fragments = delta.get("tool_calls") or [{"function": delta.get("function_call")}]
        events: list[BackendEvent] = []
        for fragment in fragments if isinstance(fragments, list) else ():
            events += self._calls.take(fields.table(fragment))
        self._calling = self._calls.grows
        return events

    def _finish(self, reason: str) -> list[BackendEvent]:
        if reason in ("error", "content_filter"):
            self._calls = None  # Nothing of such an answer is to be run.
        events = self._calls.finish() if self._calls is not None else []
        called = self._calls is not None and reason in ("stop", "function_call")
        self._finish_reason = "tool_calls" if called else reason
        return events

    def _complete(self) -> list[BackendEvent]:
        """Nothing follows, and several servers give no other reason for the end."""
        events = self._finish(self._finish_reason or "stop")
        self.done = True
        return events


def decode_embeddings(value: object) -> Embeddings:
    """The vectors of an embeddings answer, in the order of the texts. Raises `BackendError`."""
    if is_error(value):
        raise error_in(value)
    answer = fields.table(value)
    listed = answer.get("data")
    if not isinstance(listed, list):
        raise not_an_answer()
    entries = [fields.table(entry) for entry in listed]
    places = [fields.count(entry.get("index")) for entry in entries]
    if sorted(place for place in places if place is not None) == list(range(len(entries))):
        entries = [
            entry for _, entry in sorted(zip(places, entries, strict=True), key=lambda pair: pair[0] or 0)
        ]
    vectors = vectors_of([_floats(entry.get("embedding")) for entry in entries])
    return Embeddings(vectors, fields.name(answer.get("model")), _usage(Usage(), answer))


def _floats(vector: object) -> object:
    """A vector as numbers, where it came as base64 of little-endian 32-bit floats."""
    if not isinstance(vector, str):
        return vector
    try:
        data = base64.b64decode(vector, validate=True)
        return list(struct.unpack(f"<{len(data) // 4}f", data))
    except (ValueError, struct.error):
        return None


def decode_models(value: object) -> tuple[ModelInfo, ...]:
    """The models of `GET /models`, whatever else stands beside them. Raises `BackendError` NOT_AN_LLM."""
    if is_error(value):
        raise error_in(value)
    if isinstance(value, dict) and ("data" in value or "models" in value):
        listed = value.get("data", value.get("models")) or []  # Ollama without models says null
        if isinstance(listed, list):
            # llama.cpp says what its model can do in a second list, which is Ollama's.
            beside = value.get("models")
            abilities = {
                fields.name(entry.get("name")): entry.get("capabilities")
                for entry in map(fields.table, beside if isinstance(beside, list) else ())
            }
            models = (_model(fields.table(entry), abilities) for entry in listed)
            return tuple(model for model in models if model is not None)
    raise BackendError(
        ErrorKind.NOT_AN_LLM,
        tr("There is no list of models at this address."),
        tr("Another kind of program answers here."),
        tr("Check the address; for most servers it ends in /v1."),
    )


def _model(entry: Json, abilities: Mapping[str | None, object]) -> ModelInfo | None:
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
        capabilities=_capabilities(entry, abilities.get(name)),
        price=_price(fields.table(entry.get("pricing"))),
    )


def _capabilities(entry: Json, beside: object) -> tuple[str, ...]:
    """What a model can do, as far as the entry says: OpenRouter in three places, others in one."""
    architecture = fields.table(entry.get("architecture"))
    listed = entry.get("capabilities") or beside
    found = {
        _CAPABILITIES[word]
        for words, kind in (
            (architecture.get("input_modalities"), "in:"),
            (architecture.get("output_modalities"), "out:"),
            (entry.get("supported_parameters"), "parameter:"),
            (listed, ""),
        )
        for given in (words if isinstance(words, list) else ())
        if isinstance(given, str) and (word := kind + given) in _CAPABILITIES
    }
    return tuple(sorted(found))


def _price(pricing: Json) -> Price | None:
    """OpenRouter's prices: strings, US dollars a token. A negative one stands for "it depends"."""
    prompt, completion = _dollars(pricing.get("prompt")), _dollars(pricing.get("completion"))
    request = _dollars(pricing.get("request", "0"))
    if prompt is None or completion is None or request is None:
        return None
    return Price(prompt, completion, request)


def _dollars(amount: object) -> float | None:
    try:
        return fields.number(float(amount)) if isinstance(amount, str) else fields.number(amount)
    except ValueError:
        return None


def _progress(value: object) -> list[BackendEvent]:
    """llama.cpp reads the prompt: `processed` of `total` tokens, those from its cache included."""
    told = fields.table(value)
    total, processed = fields.count(told.get("total")), fields.count(told.get("processed"))
    done = min(processed / total, 1.0) if total and processed is not None else None
    return [Progress(Phase.READING, done)]


def _said(delta: Json) -> list[BackendEvent]:
    thoughts, content = "", delta.get("content") or delta.get("refusal")
    if isinstance(content, list):
        thoughts, text = _parts(content)
    else:
        text = text_of(content)
    # Some servers send the same reasoning under several names.
    thoughts = (
        text_of(delta.get("reasoning_content"))
        or text_of(delta.get("reasoning"))
        or _details(delta.get("reasoning_details"))
        or thoughts
    )
    events: list[BackendEvent] = []
    if thoughts:
        events.append(ReasoningDelta(thoughts))
    if text:
        events.append(TextDelta(text))
    return events


def _details(details: object) -> str:
    """OpenRouter's `reasoning_details`: texts, summaries, and what is encrypted and not for us."""
    pieces = map(fields.table, details if isinstance(details, list) else ())
    return "".join(text_of(piece.get("text")) or text_of(piece.get("summary")) for piece in pieces)


def _parts(content: Sequence[object]) -> tuple[str, str]:
    """Reasoning and text of content that came as a list of parts."""
    parts = [fields.table(part) for part in content]
    thoughts = (part.get("thinking") for part in parts)  # Mistral's: a list of parts again
    return (
        "".join(_details(thought) or text_of(thought) for thought in thoughts),
        "".join(text_of(part.get("text")) for part in parts),
    )


def _usage(seen: Usage, chunk: Json) -> Usage:
    counts, speeds = fields.table(chunk.get("usage")), fields.table(chunk.get("timings"))
    read = fields.table(counts.get("prompt_tokens_details"))
    written = fields.table(counts.get("completion_tokens_details"))
    return Usage(
        _first(fields.count(counts.get("prompt_tokens")), _read(speeds), seen.prompt_tokens),
        _first(
            fields.count(counts.get("completion_tokens")),
            fields.count(speeds.get("predicted_n")),
            seen.completion_tokens,
        ),
        fields.number(speeds.get("predicted_per_second")) or seen.tokens_per_second,
        fields.number(speeds.get("prompt_per_second")) or seen.prompt_tokens_per_second,
        _first(fields.number(counts.get("cost")), seen.cost_usd),
        _first(
            fields.count(read.get("cached_tokens")),
            fields.count(counts.get("prompt_cache_hit_tokens")),  # DeepSeek's name
            fields.count(speeds.get("cache_n")),
            seen.cached_prompt_tokens,
        ),
        _first(fields.count(written.get("reasoning_tokens")), seen.reasoning_tokens),
    )


def _read(speeds: Json) -> int | None:
    """llama.cpp's timings count what was evaluated, and apart from it what came from the cache."""
    evaluated = fields.count(speeds.get("prompt_n"))
    return None if evaluated is None else evaluated + (fields.count(speeds.get("cache_n")) or 0)


def _first(*values: _Number | None) -> _Number | None:
    return next((value for value in values if value is not None), None)
