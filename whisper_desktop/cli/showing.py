"""An answer on the terminal while it comes: its text on standard output, what else happens on standard error.

A break stands in the text itself, because the text may go into a file: two attempts are never joined there
without a mark. Who did not answer is told when somebody does; where nobody does, the error tells it.
"""

import sys
from typing import assert_never

import click

from whisper_desktop.chat import attempt_line, failed_line, tool_call_line, waiting_line
from whisper_desktop.chat.breaks import Seam, SetAside, restart_lines, seam_lines
from whisper_desktop.cli import output
from whisper_desktop.values import (
    AnswerContinued,
    AnswerFinished,
    AnswerRestarted,
    AnswerStarted,
    Attempt,
    AttemptFailed,
    Progress,
    ReasoningDelta,
    StreamEvent,
    TextDelta,
    ToolCallDelta,
)


class AnswerOnTerminal:
    """Prints the events of one answer. `waiting` shows what is going on while no text comes."""

    def __init__(self, waiting: output.Waiting) -> None:
        self._waiting = waiting
        self._ends_line = True
        self._break: AnswerRestarted | AnswerContinued | None = None
        self._failed: list[Attempt] = []

    def show(self, event: StreamEvent) -> None:
        """Print what an event adds."""
        match event:
            case TextDelta(text):
                self._begin()
                self._waiting.stop()
                piece = output.clean(text)
                self._ends_line = piece.endswith("\n") if piece else self._ends_line
                click.echo(piece, nl=False)
            case Progress():
                self._wait(waiting_line(event))
            case ReasoningDelta():
                self._wait("Thinking…")
            case ToolCallDelta(call):
                self._note(tool_call_line(call))
            case AttemptFailed(attempt):
                self._failed.append(attempt)
                if not self._ends_line:
                    self._make_room()
                self._wait(failed_line(attempt))
            case AnswerRestarted() | AnswerContinued():
                self._break = event
            case AnswerStarted():
                self._begin(event.server_name)
            case AnswerFinished():
                pass
            case _:
                assert_never(event)

    def end(self) -> None:
        """The answer has ended, in whichever way: what follows begins on a line of its own."""
        self._mark_break()
        self._waiting.stop()
        self._end_line()

    def _wait(self, words: str) -> None:
        if words and self._ends_line:  # else the sign would stand in the middle of a line of the answer
            self._waiting.say(words)

    def _make_room(self) -> None:
        """What is not text goes to a line of its own, where both are on one screen."""
        self._waiting.stop()
        if sys.stdout.isatty():
            self._end_line()

    def _note(self, line: str) -> None:
        self._make_room()
        output.note(line)

    def _begin(self, speaker: str = "") -> None:
        """`speaker` begins to answer: say who did not, and where the answer broke."""
        failed, self._failed = self._failed, []
        for attempt in failed:
            self._note(attempt_line(attempt))
        self._mark_break(speaker)

    def _mark_break(self, speaker: str = "") -> None:
        """Say where the answer broke, before anything else is printed."""
        if self._break is None:
            return
        match self._break:
            case AnswerRestarted(failed, partial_text, partial_reasoning):
                aside = SetAside(failed, partial_text, partial_reasoning)
                (line,) = restart_lines((aside,), speaker)
            case AnswerContinued(failed, position):
                (line,) = seam_lines((Seam(position, failed),), speaker)
        self._break = None
        self._waiting.stop()
        self._end_line()
        click.echo(click.style(f"[{output.clean(line)}]", dim=True))

    def _end_line(self) -> None:
        if not self._ends_line:
            click.echo()
            self._ends_line = True
