"""What a test server says: a deterministic answer to the last user message, cut into tokens."""

import base64
import json
import re
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tests.servers.asks import (
    Ask,
    content_text,
    count_prompt_tokens,
    messages_of,
    smallest,
    understand,
)
from tests.servers.faults import Fault

__all__ = ["content_text", "count_prompt_tokens", "messages_of"]  # for the servers: one door for both halves

REFUSAL = "I'm sorry, but I can't help with that."
FRAGMENT = 8  # characters of a call's arguments that make one token


@dataclass(frozen=True)
class ToolUse:
    """One call of a tool. `arguments` is the model's text, which should be a JSON object."""

    name: str
    arguments: str
    id: str = ""

    @property
    def fragments(self) -> tuple[str, ...]:
        """The arguments as they are streamed; joined they give the text."""
        cuts = range(0, len(self.arguments), FRAGMENT)
        return tuple(self.arguments[cut : cut + FRAGMENT] for cut in cuts) or ("",)

    @property
    def fields(self) -> dict[str, object]:
        """The arguments as an object; {} where they are none."""
        try:
            value = json.loads(self.arguments)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}


@dataclass(frozen=True)
class Answer:
    """A finished answer, before any dialect. Tokens keep their spaces: joined they give the text.

    `finish_reason` is stop, length, tool_calls, content_filter or refusal (then the tokens are the refusal).
    """

    model: str
    tokens: tuple[str, ...]
    reasoning: tuple[str, ...]
    finish_reason: str
    prompt_tokens: int
    tool_calls: tuple[ToolUse, ...] = ()
    cached_tokens: int = 0

    @property
    def text(self) -> str:
        """The visible text."""
        return "".join(self.tokens)

    @property
    def completion_tokens(self) -> int:
        """Everything that was generated: thinking and the fragments of calls included."""
        called = sum(len(call.fragments) for call in self.tool_calls)
        return len(self.tokens) + len(self.reasoning) + called


def tokens_of(text: str) -> tuple[str, ...]:
    """Words with the space before them; the pieces join to the text again."""
    return tuple(re.findall(r"\s*\S+|\s+$", text))


def compose(
    body: Mapping[str, object],
    *,
    model: str,
    text: str | None,
    tokens: int | None,
    reasoning: str,
    limit: int | None,
    tool_calls: Sequence[ToolUse] = (),
    tool_text: bool = False,
    continues: bool = False,
) -> Answer:
    """The answer to a request; the first of these that fits:

    the calls among `tool_calls` that the request offers and has no result for yet (after the text, with
    `tool_text`); `tokens` words; "NAME said: ..." for tool results; `text`; for a JSON schema the smallest
    value; "You showed ..." for images; "You said: ...".

    `limit` is the request's own limit on generated tokens; reaching it ends the answer with "length". With
    `continues` a last message of the assistant that begins the answer is not said again.
    """
    ask = understand(body)
    calls = _calls(ask, tool_calls)
    said_text = _text(ask, text, tokens)
    if continues and ask.prefill and said_text.startswith(ask.prefill):
        said_text = said_text[len(ask.prefill) :]
    said = tokens_of("" if calls and not tool_text else said_text)
    thought = tokens_of(reasoning)
    finish_reason = "tool_calls" if calls else "stop"
    if limit is not None and 0 <= limit < len(thought) + len(said):
        finish_reason, calls = "length", ()
        thought, said = thought[:limit], said[: max(0, limit - len(thought))]
    return Answer(model, said, thought, finish_reason, count_prompt_tokens(messages_of(body)), calls)


def _calls(ask: Ask, prepared: Sequence[ToolUse]) -> tuple[ToolUse, ...]:
    if ask.answered:
        return ()
    wanted = [call for call in prepared if call.name in ask.tools]
    return tuple(replace(call, id=_call_id(number, call)) for number, call in enumerate(wanted))


def _call_id(number: int, call: ToolUse) -> str:
    """The same for the same call at the same place."""
    return f"call_{zlib.crc32(f'{number} {call.name} {call.arguments}'.encode()):08x}"


def _text(ask: Ask, text: str | None, tokens: int | None) -> str:
    if tokens is not None:
        return " ".join(f"word{number}" for number in range(tokens))
    if ask.results:
        return "\n".join(f"{result.name} said: {result.text}" for result in ask.results)
    if text is not None:
        return text
    if ask.schema is not None:
        return json.dumps(smallest(ask.schema))
    if ask.images:
        noun = "image" if len(ask.images) == 1 else "images"
        return f"You showed {len(ask.images)} {noun}: {', '.join(ask.images)}."
    return f"You said: {ask.said}"


def twisted(answer: Answer, fault: Fault | None) -> Answer:
    """The answer as a fault of `TWISTS` changes it; the same answer for every other fault."""
    match fault.mode if fault else "":
        case "empty_answer":
            return replace(answer, tokens=(), reasoning=(), tool_calls=(), finish_reason="stop")
        case "content_filter":
            said = answer.tokens[: int(fault.number())] if fault else ()
            return replace(answer, tokens=said, tool_calls=(), finish_reason="content_filter")
        case "refusal":
            said = tokens_of(REFUSAL)
            return replace(answer, tokens=said, reasoning=(), tool_calls=(), finish_reason="refusal")
        case "other_model":
            return replace(answer, model=fault.arg if fault else "")
        case "huge_event":
            letters = int(fault.number(9) * 2**20) if fault else 0
            return replace(answer, tokens=("x" * letters, *answer.tokens))
    return answer


def token_limit(body: Mapping[str, object], *names: str) -> int | None:
    """The first of the named limits that the request sets; -1 and the like mean none."""
    for name in names:
        value = body.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
    return None


# --- embeddings -------------------------------------------------------------------------------------------


def texts_to_embed(value: object) -> list[str]:
    """The `input` of an embeddings request: a text, texts, or token numbers (each list is one text)."""
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list):
        return []
    if value and all(isinstance(each, int) for each in value):
        return [" ".join(map(str, value))]
    return [each if isinstance(each, str) else " ".join(map(str, each)) for each in value]


def embedding_of(text: str, dimensions: int) -> list[float]:
    """A vector of length 1 that belongs to the text: the same for the same text, another for another."""
    raw = [zlib.crc32(f"{number} {text}".encode()) / 2**31 - 1 for number in range(dimensions)]
    length = sum(each * each for each in raw) ** 0.5 or 1.0
    return [round(each / length, 6) for each in raw]


def base64_floats(vector: Sequence[float]) -> str:
    """A vector as `encoding_format: base64` has it: little-endian 32-bit floats."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
