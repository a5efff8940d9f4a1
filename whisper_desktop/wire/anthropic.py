"""The Anthropic Messages dialect: values to JSON and back. No I/O.

What differs from OpenAI's: the system prompt is a field of its own, turns alternate, tool results are part of
a user's turn, `max_tokens` has to be there, and a stream has named events, the last being `message_stop`.

Models of different ages take different requests, and refuse what the others need (status 400), so that the
model's name decides: up to 4.5 they think within a budget of tokens, from 4.6 as much as an effort asks for,
from 4.7 they take no sampling parameters, and from 5.5 on (Fable and Mythos always) neither can thinking be
switched off nor the use of a tool be forced. A name without a number counts as the newest.

While a model works with tools it wants its thinking back, unchanged, with its signature. It travels in
`ToolCall.signature`, as a JSON list of the blocks that stood before the call.
"""

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from whisper_desktop.errors import BackendError
from whisper_desktop.language import tr
from whisper_desktop.values import (
    BackendEvent,
    ErrorKind,
    GenerationConfig,
    Message,
    ModelInfo,
    ReasoningDelta,
    Role,
    StreamEnd,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolSpec,
    Usage,
)
from whisper_desktop.wire import fields
from whisper_desktop.wire.calls import arguments_of, arguments_text, made_id
from whisper_desktop.wire.decoding import (
    LARGEST_ARGUMENTS,
    MOST_CALLS,
    CallParts,
    Json,
    StreamDecoder,
    broken_call,
    not_an_answer,
)
from whisper_desktop.wire.errors import error_in, is_error
from whisper_desktop.wire.sse import SSEReader
from whisper_desktop.wire.text import text_of

VERSION = "2023-06-01"
"""The header `anthropic-version`. Under the newer 2026-10-21 no model takes sampling parameters."""

DEFAULT_MAX_TOKENS = 16_384
"""Sent where the configuration has no limit: below what every model since Claude 4 can write (32,000 and
more), and enough for an answer with its thinking."""

_SMALLEST_BUDGET = 1024
_EIGHTHS = {"low": 1, "medium": 3, "high": 6}
"""How much of `max_tokens` a model that thinks within a budget may think."""

_FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
}
_GENERATION = re.compile(r"(?<!\d)(\d{1,2})(?:[-.](\d{1,2}))?(?!\d)")
_NEWEST = (99, 0)
_EMPTY_BLOCK = 64  # characters that a thinking block counts at least, so that their number is bounded, too
_NOT_IN_AN_ID = re.compile(r"[^a-zA-Z0-9_-]")


def encode_chat(
    messages: Sequence[Message], config: GenerationConfig, model: str | None, *, stream: bool = True
) -> Json:
    """The body of a request to /messages.

    Left out, because they would be refused: `seed`, `top_p` beside a temperature, sampling parameters for
    models that take none or while a model thinks, stop sequences of spaces only. Where a tool cannot be
    forced, the model chooses. A schema goes into `output_config.format`, the documented form of structured
    output.
    """
    habits = _Habits.of(model or "")
    body: Json = {"max_tokens": DEFAULT_MAX_TOKENS, **config.extra}
    if model is not None:
        body["model"] = model
    if config.max_tokens is not None:
        body["max_tokens"] = config.max_tokens
    system = "\n\n".join(each.content for each in messages if each.role is Role.SYSTEM and each.content)
    if system:
        body["system"] = system
    body["messages"] = _turns(messages)
    body["stream"] = stream
    stop = [text for text in config.stop if text.strip()]
    if stop:
        body["stop_sequences"] = stop
    if config.tools:
        body["tools"] = [_tool(tool) for tool in config.tools]
        body |= _tool_choice(config.tool_choice, habits)
    body |= _thinking(messages, config, habits, fields.count(body["max_tokens"]) or 0)
    thinks = fields.table(body.get("thinking")).get("type", "disabled") != "disabled"
    if habits.samples and not thinks:
        if config.temperature is not None:
            body["temperature"] = config.temperature
        elif config.top_p is not None:
            body["top_p"] = config.top_p
    output = _output_config(config, habits)
    if output:
        body["output_config"] = output
    return body


def accepts_prefill(model: str | None) -> bool:
    """Whether a model goes on with a last message of the assistant: those before 4.6 do."""
    return _Habits.of(model or "").goes_on


def decode_models(value: object) -> tuple[ModelInfo, ...]:
    """The models of `GET /models` that can still be used. Raises `BackendError`."""
    if is_error(value):
        raise error_in(value)
    listed = fields.table(value).get("data")
    if not isinstance(listed, list):
        raise BackendError(
            ErrorKind.NOT_AN_LLM,
            tr("There is no list of models at this address."),
            tr("Another kind of program answers here."),
            tr("Check the address; Anthropic's ends in /v1."),
        )
    return tuple(model for model in map(_model, listed) if model is not None)


class ChatDecoder(StreamDecoder):
    """Decodes one answer of /messages."""

    def __init__(self) -> None:
        super().__init__(SSEReader())
        self._calls: dict[int, CallParts] = {}
        self._number = 0
        self._answer_id: object = None
        self._thoughts = _Thoughts()
        self._window_full = False

    def end(self) -> StreamEnd:
        """See `StreamDecoder`. A context window that is full before the answer begins is CONTEXT_OVERFLOW."""
        if self._window_full and not self._output and self.failure is None:
            raise BackendError(
                ErrorKind.CONTEXT_OVERFLOW,
                tr("The conversation leaves no room for an answer."),
                tr("The model's context window is full."),
                tr("Shorten the conversation, or start a new one."),
            )
        return super().end()

    def _whole(self, value: object) -> Iterator[BackendEvent]:
        if is_error(value):
            raise error_in(value)
        message = fields.table(value)
        content = message.get("content")
        if not isinstance(content, list):
            raise not_an_answer()
        self._begin(message)
        for index, block in enumerate(content):
            yield from self._open(fields.table(block), index)
            yield from self._close(index)
        yield from self._stop(message)

    def _chunk(self, chunk: Json, name: str) -> Iterable[BackendEvent]:
        kind = chunk.get("type")
        if kind == "content_block_delta":
            delta = chunk.get("delta")
            return self._delta(delta, chunk.get("index")) if isinstance(delta, dict) else ()
        if kind == "content_block_start":
            return self._open(fields.table(chunk.get("content_block")), chunk.get("index"))
        if kind == "content_block_stop":
            return self._close(chunk.get("index"))
        if kind == "message_delta":
            self._count(chunk)
            return self._stop(fields.table(chunk.get("delta")))
        if kind == "message_start":
            self._begin(fields.table(chunk.get("message")))
        elif kind == "message_stop":
            events = () if self.finished else self._stop({"stop_reason": "end_turn"})
            self.done = True
            return events
        elif is_error(chunk):
            raise error_in(chunk)
        return ()

    def _delta(self, delta: Json, index: object) -> Iterable[BackendEvent]:
        kind = delta.get("type")
        if kind == "text_delta":
            text = text_of(delta.get("text"))
            return (TextDelta(text),) if text else ()
        if kind == "thinking_delta":
            thinking = text_of(delta.get("thinking"))
            self._thoughts.think(thinking)
            return (ReasoningDelta(thinking),) if thinking else ()
        if kind == "signature_delta":
            self._thoughts.sign(text_of(delta.get("signature")))
        elif kind == "input_json_delta" and isinstance(index, int) and index in self._calls:
            piece = text_of(delta.get("partial_json"))
            self._calls[index].add(piece)
            self._calling = bool(piece)
        return ()

    def _open(self, block: Json, index: object) -> Iterable[BackendEvent]:
        kind = block.get("type")
        if kind == "text":
            text = text_of(block.get("text"))
            return (TextDelta(text),) if text else ()
        if kind in ("thinking", "redacted_thinking"):
            thinking = text_of(block.get("thinking"))
            self._thoughts.begin(block)
            return (ReasoningDelta(thinking),) if thinking else ()
        if kind == "tool_use" and isinstance(index, int):
            if index in self._calls:
                raise broken_call(tr("Two of them are mixed up."))
            if self._number == MOST_CALLS:
                raise broken_call(tr("There are more than {most_calls} of them.", most_calls=MOST_CALLS))
            self._number += 1
            own_id = fields.name(block.get("id")) or made_id(self._answer_id, self._number)
            call = CallParts(own_id, fields.name(block.get("name")) or "")
            if block.get("input"):
                call.add(arguments_text(block["input"]))
            self._calls[index] = call
        return ()

    def _close(self, index: object) -> Iterable[BackendEvent]:
        if not isinstance(index, int) or index not in self._calls:
            return ()
        try:
            call = self._calls[index].call()
        except BackendError:
            return ()  # Cut off, or badly written: which of them it is, the stop reason tells.
        del self._calls[index]
        self._calling = False
        return (ToolCallDelta(replace(call, signature=self._thoughts.taken())),)

    def _begin(self, message: Json) -> None:
        self.model = fields.name(message.get("model"))
        self._answer_id = message.get("id")
        self._count(message)

    def _count(self, holder: Json) -> None:
        counts = fields.table(holder.get("usage"))
        fresh, output = fields.count(counts.get("input_tokens")), fields.count(counts.get("output_tokens"))
        cached = fields.count(counts.get("cache_read_input_tokens"))
        stored = fields.count(counts.get("cache_creation_input_tokens"))
        thought = fields.count(fields.table(counts.get("output_tokens_details")).get("thinking_tokens"))
        seen = self._usage
        self._usage = Usage(
            # In a stream's last count, only what has changed since the first need be there.
            prompt_tokens=seen.prompt_tokens if fresh is None else fresh + (cached or 0) + (stored or 0),
            completion_tokens=seen.completion_tokens if output is None else output,
            cached_prompt_tokens=seen.cached_prompt_tokens if cached is None else cached,
            reasoning_tokens=seen.reasoning_tokens if thought is None else thought,
        )

    def _stop(self, told: Json) -> Iterable[BackendEvent]:
        reason = fields.name(told.get("stop_reason"))
        if reason is None:
            return ()
        if reason == "refusal":
            raise _refused(fields.name(fields.table(told.get("stop_details")).get("explanation")))
        finish = _FINISH.get(reason, reason)
        events = [event for index in list(self._calls) for event in self._close(index)]
        if self._calls and finish == "length":
            raise broken_call(tr("The answer reached its length limit in the middle of it."))
        for call in self._calls.values():
            call.call()  # raises, and says what is wrong
        self._finish_reason = "tool_calls" if finish == "stop" and self._number else finish
        self._window_full = reason == "model_context_window_exceeded"
        return events


class _Thoughts:
    """The thinking blocks of an answer as they have to be sent back, collected for the next tool call.

    Of thinking beyond any sense nothing is kept.
    """

    def __init__(self) -> None:
        self._blocks: list[dict[str, list[str]]] = []
        self._size = 0

    def begin(self, block: Json) -> None:
        """A block that begins, with what it begins with."""
        names = ("data",) if block.get("type") == "redacted_thinking" else ("thinking", "signature")
        self._blocks.append({name: [] for name in names})
        self._size += _EMPTY_BLOCK
        for name in names:
            self._add(name, text_of(block.get(name)))

    def think(self, text: str) -> None:
        """More of the block's text."""
        self._add("thinking", text)

    def sign(self, text: str) -> None:
        """The block's signature."""
        self._add("signature", text)

    def taken(self) -> str:
        """All blocks since the last call, as JSON; "" without any."""
        blocks, self._blocks = self._blocks, []
        joined = [{name: "".join(pieces) for name, pieces in block.items()} for block in blocks]
        if not joined or self._size > LARGEST_ARGUMENTS:
            return ""
        return json.dumps(
            [{"type": "redacted_thinking" if "data" in block else "thinking", **block} for block in joined]
        )

    def _add(self, name: str, text: str) -> None:
        self._size += len(text)
        if self._size > LARGEST_ARGUMENTS:
            self._blocks.clear()
        elif self._blocks and name in self._blocks[-1]:
            self._blocks[-1][name].append(text)


@dataclass(frozen=True, slots=True)
class _Habits:
    """What a model takes, by its age."""

    budget: bool
    """Thinks within a budget of tokens."""
    adaptive: bool
    """Thinks as much as an effort asks for."""
    always: bool
    """Thinking cannot be switched off, and tools cannot be forced."""
    samples: bool
    """Takes temperature and top_p."""
    hides: bool
    """Keeps its thinking to itself unless asked."""
    goes_on: bool
    """Goes on with a last message of the assistant."""

    @classmethod
    def of(cls, model: str) -> "_Habits":
        """By the first number in the name: claude-opus-4-5-20251101 is 4.5, claude-sonnet-4-20250514 4.0."""
        found = _GENERATION.search(model)
        age = (int(found[1]), int(found[2] or 0)) if found else _NEWEST
        return cls(
            budget=(3, 7) <= age < (4, 6),
            adaptive=age >= (4, 6),
            always=age >= (5, 5) or "fable" in model or "mythos" in model,
            samples=age < (4, 7),
            hides=age >= (4, 7),
            goes_on=age < (4, 6),
        )


def _thinking(
    messages: Sequence[Message], config: GenerationConfig, habits: _Habits, max_tokens: int
) -> Json:
    if config.reasoning is None:
        return {}
    if config.reasoning == "off":
        return {"thinking": {"type": "disabled"}} if habits.adaptive and not habits.always else {}
    if habits.adaptive:
        return {"thinking": {"type": "adaptive", **({"display": "summarized"} if habits.hides else {})}}
    # A budget goes together neither with a forced tool nor with calls whose thinking is not at hand.
    forced = bool(config.tools) and config.tool_choice not in (None, "auto", "none")
    if not habits.budget or max_tokens <= _SMALLEST_BUDGET or forced or _thinking_is_missing(messages):
        return {}
    budget = max(_SMALLEST_BUDGET, max_tokens * _EIGHTHS.get(config.reasoning, 3) // 8)
    return {"thinking": {"type": "enabled", "budget_tokens": budget}}


def _thinking_is_missing(messages: Sequence[Message]) -> bool:
    """Whether the last turn of the assistant has calls of another maker's model, or without thinking."""
    last = next((each for each in reversed(messages) if each.role is Role.ASSISTANT), None)
    calls = last.tool_calls if last is not None else ()
    return bool(calls) and not any(_thoughts_before(call) for call in calls)


def _output_config(config: GenerationConfig, habits: _Habits) -> Json:
    given = config.extra.get("output_config")
    output: Json = dict(given) if isinstance(given, Mapping) else {}
    if config.reasoning is not None and habits.adaptive:
        if config.reasoning != "off":
            output["effort"] = config.reasoning
        elif habits.always:
            output["effort"] = "low"
    if config.json_schema is not None:
        output["format"] = {"type": "json_schema", "schema": dict(config.json_schema)}
    return output


def _tool(tool: ToolSpec) -> Json:
    body: Json = {"name": tool.name, "input_schema": {"type": "object", **tool.parameters}}
    return body | {"description": tool.description} if tool.description else body


def _tool_choice(choice: str | None, habits: _Habits) -> Json:
    if choice is None:
        return {}
    if choice in ("auto", "none"):
        return {"tool_choice": {"type": choice}}
    if habits.always:
        return {"tool_choice": {"type": "auto"}}
    return {"tool_choice": {"type": "any"} if choice == "required" else {"type": "tool", "name": choice}}


def _turns(messages: Sequence[Message]) -> list[Json]:
    turns: list[tuple[str, list[Json]]] = []
    for message in messages:
        blocks = _blocks(message)
        role = "assistant" if message.role is Role.ASSISTANT else "user"
        if blocks and turns and turns[-1][0] == role:
            turns[-1][1].extend(blocks)
        elif blocks:
            turns.append((role, blocks))
    if turns and turns[-1][0] == "assistant" and turns[-1][1][-1]["type"] == "text":
        # An answer that is to be continued must not end in spaces.
        last = turns[-1][1][-1]
        last["text"] = str(last["text"]).rstrip()
    return [{"role": role, "content": blocks} for role, blocks in turns]


def _blocks(message: Message) -> list[Json]:
    if message.role is Role.SYSTEM:
        return []
    said: list[Json] = [_image(image.data, image.media_type) for image in message.images]
    if message.content.strip():
        said.append({"type": "text", "text": message.content})
    if message.role is Role.TOOL:
        result: Json = {"type": "tool_result", "tool_use_id": _id(message.tool_call_id)}
        return [result | {"content": said} if said else result]
    for position, call in enumerate(message.tool_calls):
        use: Json = {"type": "tool_use", "id": _id(call.id), "name": call.name, "input": arguments_of(call)}
        thoughts = _thoughts_before(call)
        said = [*said, *thoughts, use] if position else [*thoughts, *said, use]
    return said


def _image(data: bytes, media_type: str) -> Json:
    source = {"type": "base64", "media_type": media_type, "data": base64.b64encode(data).decode()}
    return {"type": "image", "source": source}


def _id(given: str) -> str:
    """An id as Anthropic takes it; calls of other servers have dots and colons in theirs."""
    return _NOT_IN_AN_ID.sub("_", given) or "call"


def _thoughts_before(call: ToolCall) -> list[Json]:
    """The blocks that `ChatDecoder` put into the signature; none for another maker's."""
    blocks = fields.parsed(call.signature)
    return [block for block in blocks if isinstance(block, dict)] if isinstance(blocks, list) else []


def _model(entry: object) -> ModelInfo | None:
    listed = fields.table(entry)
    name = fields.name(listed.get("id"))
    if name is None or listed.get("lifecycle") == "retired":
        return None
    context = fields.count(listed.get("max_input_tokens"))
    told = fields.table(listed.get("capabilities"))
    able = {"vision": "image_input", "reasoning": "thinking"}
    found = (word for word, key in able.items() if fields.table(told.get(key)).get("supported") is True)
    return ModelInfo(
        id=name,
        context_length=context,
        max_context_length=context,
        capabilities=("completion", "tools", *found) if told else (),
    )


def _refused(explanation: str | None) -> BackendError:
    return BackendError(
        ErrorKind.CONTENT_FILTER,
        tr("The model declined to answer."),
        tr("It says: “{explanation}”", explanation=explanation) if explanation else "",
        tr("Put the question in another way."),
    )
