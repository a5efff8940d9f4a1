"""Ollama's own dialect, /api/chat and /api/embed: values to JSON and back. No I/O.

It is used in place of Ollama's OpenAI-compatible API because only here a request can choose the context
window, and an error in the middle of an answer arrives. An answer is NDJSON; `done: true` is the only sign
that it is complete. Arguments of tool calls are objects both ways.
"""

import base64
from collections.abc import Mapping, Sequence

from whisper_desktop.errors import BackendError
from whisper_desktop.language import tr
from whisper_desktop.values import (
    BackendEvent,
    Embeddings,
    ErrorKind,
    GenerationConfig,
    Message,
    ReasoningDelta,
    Role,
    StreamEnd,
    TextDelta,
    ToolCall,
    ToolSpec,
    Usage,
)
from whisper_desktop.wire import fields
from whisper_desktop.wire.calls import WholeCalls, arguments_of
from whisper_desktop.wire.decoding import Json, StreamDecoder, not_an_answer
from whisper_desktop.wire.errors import error_in, is_error
from whisper_desktop.wire.ndjson import NDJSONReader
from whisper_desktop.wire.text import text_of
from whisper_desktop.wire.vectors import vectors_of

# What of `GenerationConfig.extra` belongs beside "options"; everything else is an option of the model runner.
_TOP_LEVEL = frozenset({"keep_alive", "truncate", "shift", "think", "format", "logprobs", "top_logprobs"})
_NANOSECONDS = 1e9


def encode_chat(
    messages: Sequence[Message], config: GenerationConfig, model: str | None, *, stream: bool = True
) -> Json:
    """The body of a chat request. What the configuration leaves out is left to the server, but for one thing:
    a conversation that does not fit is to be refused (`truncate: false`), not shortened in silence.

    Ollama has no `tool_choice`: "none" sends no tools, a name sends that tool alone, "required" is not more
    than "auto". Of `config.extra`, `keep_alive` and the like stand where Ollama looks for them, and all other
    names among the options.
    """
    body: Json = {"truncate": False}
    body |= {name: value for name, value in config.extra.items() if name in _TOP_LEVEL}
    if model is not None:
        body["model"] = model
    names = {call.id: call.name for message in messages for call in message.tool_calls}
    body["messages"] = [_message(message, names) for message in messages]
    body["stream"] = stream
    tools = _tools(config.tools, config.tool_choice)
    if tools:
        body["tools"] = tools
    if config.json_schema is not None:
        body["format"] = dict(config.json_schema)
    if config.reasoning is not None:
        body["think"] = False if config.reasoning == "off" else config.reasoning
    options = _options(config)
    if options:
        body["options"] = options
    return body


def encode_embeddings(texts: Sequence[str], model: str) -> Json:
    """The body of a request to /api/embed."""
    return {"model": model, "input": list(texts)}


def decode_embeddings(value: object) -> Embeddings:
    """The answer of /api/embed. Raises `BackendError`."""
    if is_error(value):
        raise error_in(value)
    answer = fields.table(value)
    usage = Usage(prompt_tokens=fields.count(answer.get("prompt_eval_count")))
    return Embeddings(vectors_of(answer.get("embeddings")), fields.name(answer.get("model")), usage)


class ChatDecoder(StreamDecoder):
    """Decodes one answer of /api/chat. `is_remote`: it says that the model runs on another machine."""

    def __init__(self) -> None:
        super().__init__(NDJSONReader())
        self.is_remote = False
        self._calls = WholeCalls()
        self._only_loaded = False

    def end(self) -> StreamEnd:
        """See `StreamDecoder`. A model that was only loaded or unloaded has not answered (EMPTY)."""
        if self._only_loaded and not self._output and self.failure is None:
            raise BackendError(
                ErrorKind.EMPTY,
                tr("The answer is empty."),
                tr("Ollama loaded or unloaded the model and generated nothing."),
                tr("Try again."),
            )
        return super().end()

    def _whole(self, value: object) -> list[BackendEvent]:
        if not isinstance(value, dict) or not (is_error(value) or isinstance(value.get("message"), dict)):
            raise not_an_answer()
        return self._chunk(value, "")

    def _chunk(self, chunk: Json, name: str) -> list[BackendEvent]:
        if "error" in chunk and is_error(chunk):
            raise error_in(chunk)
        if chunk.get("remote_host") or chunk.get("remote_model"):
            self.is_remote = True
        events: list[BackendEvent] = []
        message = chunk.get("message")
        if isinstance(message, dict):
            thinking = text_of(message.get("thinking"))
            if thinking:
                events.append(ReasoningDelta(thinking))
            text = text_of(message.get("content"))
            if text:
                events.append(TextDelta(text))
            calls = message.get("tool_calls")
            if calls:
                events += self._tool_calls(calls, chunk.get("created_at"))
        if chunk.get("done") is True:
            self._finish(chunk)
        return events

    def _tool_calls(self, calls: object, created_at: object) -> list[BackendEvent]:
        events: list[BackendEvent] = []
        for entry in calls if isinstance(calls, list) else ():
            entry = fields.table(entry)
            function = fields.table(entry.get("function"))
            # Older servers give no ids.
            call = self._calls.take(
                function.get("name"),
                function.get("arguments"),
                id=entry.get("id"),
                answer_id=created_at,
            )
            if call is not None:
                events.append(call)
        return events

    def _finish(self, chunk: Json) -> None:
        self.done = True
        reason = fields.name(chunk.get("done_reason")) or "stop"
        self._only_loaded = reason in ("load", "unload")
        self._finish_reason = "tool_calls" if self._calls.number and reason == "stop" else reason
        self.model = fields.name(chunk.get("model"))
        read, written = fields.count(chunk.get("prompt_eval_count")), fields.count(chunk.get("eval_count"))
        self._usage = Usage(
            prompt_tokens=read,
            completion_tokens=written,
            tokens_per_second=_per_second(written, chunk.get("eval_duration")),
            prompt_tokens_per_second=_per_second(read, chunk.get("prompt_eval_duration")),
        )


def _message(message: Message, names: Mapping[str, str]) -> Json:
    body: Json = {"role": message.role.value, "content": message.content}
    if message.images:
        body["images"] = [base64.b64encode(image.data).decode() for image in message.images]
    if message.tool_calls:
        body["tool_calls"] = [_tool_call(call) for call in message.tool_calls]
    if message.role is Role.TOOL:
        body["tool_name"] = message.name or names.get(message.tool_call_id, "")
        body["tool_call_id"] = message.tool_call_id
    return body


def _tool_call(call: ToolCall) -> Json:
    return {"id": call.id, "function": {"name": call.name, "arguments": arguments_of(call)}}


def _tools(tools: Sequence[ToolSpec], choice: str | None) -> list[Json]:
    if choice == "none":
        return []
    named = [tool for tool in tools if tool.name == choice]
    return [
        {
            "type": "function",
            "function": {
                "name": tool.name,
                "description": tool.description,
                "parameters": dict(tool.parameters) or {"type": "object", "properties": {}},
            },
        }
        for tool in named or tools
    ]


def _options(config: GenerationConfig) -> Json:
    given = config.extra.get("options")
    options: Json = dict(given) if isinstance(given, Mapping) else {}
    reserved = _TOP_LEVEL | {"options", "model", "messages", "stream", "tools"}
    options |= {name: value for name, value in config.extra.items() if name not in reserved}
    chosen: Json = {
        "num_ctx": config.context_length,
        "num_predict": config.max_tokens,
        "temperature": config.temperature,
        "top_p": config.top_p,
        "seed": config.seed,
        "stop": list(config.stop) or None,
    }
    return options | {name: value for name, value in chosen.items() if value is not None}


def _per_second(tokens: int | None, duration: object) -> float | None:
    """Ollama's durations are nanoseconds; it leaves out those that are 0."""
    nanoseconds = fields.number(duration)
    return tokens / (nanoseconds / _NANOSECONDS) if tokens and nanoseconds else None
