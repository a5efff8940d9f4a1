"""What a test server says: a deterministic answer to the last user message, cut into tokens."""

import re
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Answer:
    """A finished answer, before any dialect. Tokens keep their spaces: joined they give the text."""

    model: str
    tokens: tuple[str, ...]
    reasoning: tuple[str, ...]
    finish_reason: str
    prompt_tokens: int

    @property
    def text(self) -> str:
        """The visible text."""
        return "".join(self.tokens)

    @property
    def completion_tokens(self) -> int:
        """Everything that was generated, thinking included."""
        return len(self.tokens) + len(self.reasoning)


def tokens_of(text: str) -> tuple[str, ...]:
    """Words with the space before them; the pieces join to the text again."""
    return tuple(re.findall(r"\s*\S+|\s+$", text))


def content_text(content: object) -> str:
    """The text of a message content, plain or a list of typed parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return ""


def messages_of(body: Mapping[str, object]) -> list[dict[str, object]]:
    """The messages of a chat request, or its `prompt` or `input` as one user message."""
    messages = body.get("messages")
    if isinstance(messages, list):
        return [message for message in messages if isinstance(message, dict)]
    for name in ("prompt", "input"):
        if name in body:
            return [{"role": "user", "content": body[name]}]
    return []


def count_prompt_tokens(messages: list[dict[str, object]]) -> int:
    """Words plus four for each message: a rule that tests can compute, not a tokenizer."""
    return sum(len(content_text(message.get("content")).split()) + 4 for message in messages)


def compose(
    body: Mapping[str, object],
    *,
    model: str,
    text: str | None,
    tokens: int | None,
    reasoning: str,
    limit: int | None,
) -> Answer:
    """The answer to a request: `text`, or "You said: ..."; `tokens` makes it that many words long.

    `limit` is the request's own limit on generated tokens; reaching it ends the answer with "length".
    """
    messages = messages_of(body)
    asked = next((m for m in reversed(messages) if m.get("role") == "user"), {})
    said = tokens_of(text if text is not None else f"You said: {content_text(asked.get('content'))}")
    if tokens is not None:
        said = tuple(("" if n == 0 else " ") + f"word{n}" for n in range(tokens))
    thought = tokens_of(reasoning)
    finish_reason = "stop"
    if limit is not None and 0 <= limit < len(thought) + len(said):
        finish_reason = "length"
        thought, said = thought[:limit], said[: max(0, limit - len(thought))]
    return Answer(model, said, thought, finish_reason, count_prompt_tokens(messages))


def token_limit(body: Mapping[str, object], *names: str) -> int | None:
    """The first of the named limits that the request sets; -1 and the like mean none."""
    for name in names:
        value = body.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
    return None
