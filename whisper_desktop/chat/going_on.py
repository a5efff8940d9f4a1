"""Going on with an answer that ended too soon: who stopped, and what comes, joined with a seam."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from whisper_desktop.chat.records import Node, TurnState
from whisper_desktop.errors import Interrupted, WhisperError
from whisper_desktop.language import tr
from whisper_desktop.values import (
    AnswerContinued,
    AnswerFinished,
    AnswerRestarted,
    Attempt,
    ErrorKind,
    StreamEvent,
    TextDelta,
)

_REPEATED = 24  # characters: so many of the beginning once more are no coincidence
_KINDS = {TurnState.STOPPED: ErrorKind.CANCELLED, TurnState.INTERRUPTED: ErrorKind.STREAM_CUT}


def can_go_on(node: Node) -> bool:
    """Whether an answer has text, and ended before its end: stopped, broken off, or cut at max_tokens."""
    broken = node.state in (TurnState.STOPPED, TurnState.INTERRUPTED) or node.finish_reason == "length"
    return broken and bool(node.text) and not node.tool_calls and node.parent is not None


def stopped_here(node: Node) -> Attempt:
    """The attempt that ended where an answer stopped, for its seam.

    Its kind is CANCELLED where the person, or the end of the app, stopped it, and None for one that only
    reached the length that was asked for.
    """
    if isinstance(node.error, Interrupted) and node.error.attempts:
        return node.error.attempts[-1]
    said, kind = node.provenance, _KINDS.get(node.state)
    if said is None:
        return Attempt("", "", "", None, kind, "", 0.0)
    return Attempt(said.backend, said.server_name, said.url, said.model, kind, "", said.total_seconds)


def left_behind(node: Node) -> Node:
    """An answer that nobody writes any more, because the app ended meanwhile, as a stopped one."""
    ended = WhisperError(
        tr("The app ended while this answer was written."),
        tr("What had come until then is here."),
        tr("Let it go on, or ask again."),
    )
    return replace(node, state=TurnState.STOPPED, error=ended)


async def with_seam(
    node: Node, events: AsyncGenerator[StreamEvent, None]
) -> AsyncGenerator[StreamEvent, None]:
    """The events of what goes on with an answer, with `AnswerContinued` before the first piece of text.

    Where that repeats the beginning of the answer, a model began it anew: `AnswerRestarted` comes instead, so
    that the two are not glued together.
    """
    failed, head = stopped_here(node), node.text.lstrip()[:_REPEATED]
    held: list[StreamEvent] = []
    said, joined = "", False
    async with aclosing(events) as coming:
        async for event in coming:
            if joined or not isinstance(event, TextDelta | AnswerFinished):
                yield event
                continue
            held.append(event)
            said += event.text
            begun = said.lstrip()
            if isinstance(event, TextDelta) and len(begun) < len(head) and head.startswith(begun):
                continue
            joined = True
            if begun.startswith(head):
                yield AnswerRestarted(failed, node.text, node.reasoning)
            elif said:
                yield AnswerContinued(failed, len(node.text))
            for each in held:
                yield each
