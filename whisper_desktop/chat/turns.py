"""A path as questions with their answers, for front ends that know no branches."""

from collections.abc import Iterable
from dataclasses import dataclass

from whisper_desktop.chat.breaks import Seam, SetAside
from whisper_desktop.chat.records import Node, TurnState
from whisper_desktop.errors import WhisperError
from whisper_desktop.values import Provenance, Role, ToolCall


@dataclass(frozen=True, slots=True)
class Turn:
    """A question and what became of its answer. `error` is set for an interrupted or failed one.

    `seams` are where somebody else went on with the answer; `set_aside` are beginnings that broke off before
    somebody began it anew. They were shown, so they are kept, and they are never sent along.
    """

    question: str
    answer: str = ""
    reasoning: str = ""
    state: TurnState = TurnState.STREAMING
    provenance: Provenance | None = None
    error: WhisperError | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    seams: tuple[Seam, ...] = ()
    set_aside: tuple[SetAside, ...] = ()


def turns_of(path: Iterable[Node]) -> tuple[Turn, ...]:
    """The questions of a path, each with its answer; one that was never answered has none."""
    turns: list[Turn] = []
    asked: str | None = None
    for node in path:
        if node.role is Role.USER:
            if asked is not None:
                turns.append(Turn(asked, state=TurnState.STOPPED))
            asked = node.text
        elif node.role is Role.ASSISTANT:
            turns.append(_turn(asked or "", node))
            asked = None
    if asked is not None:
        turns.append(Turn(asked, state=TurnState.STOPPED))
    return tuple(turns)


def _turn(question: str, answer: Node) -> Turn:
    return Turn(
        question,
        answer.text,
        answer.reasoning,
        answer.state,
        answer.provenance if answer.state is TurnState.COMPLETE else None,
        answer.error,
        answer.tool_calls,
        answer.seams,
        answer.set_aside,
    )
