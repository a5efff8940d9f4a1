"""How the terminal speaks: JSON on request, tables and sentences otherwise, errors in three parts."""

import io
import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

import click

from whisper_desktop.errors import WhisperError
from whisper_desktop.values import Reach, Repair

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.status import Status

    from whisper_desktop.chat import Advice

_PIPE_WIDTH = 10_000  # columns: what is piped is never wrapped
# Everything that could steer a terminal, but not line ends and tabs: names and answers come from servers.
_CONTROLS = {code: None for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}


def clean(text: str) -> str:
    """Text from elsewhere as a terminal may show it: without control characters."""
    return text.translate(_CONTROLS)


def emit_json(data: object) -> None:
    """One JSON document on standard output."""
    unicode = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    click.echo(json.dumps(data, ensure_ascii=not unicode, indent=2))


def say(text: str = "") -> None:
    """A line for a person, as it is: no markup in it is interpreted."""
    _show(_plain(text))


def note(text: str) -> None:
    """A line on standard error: worth knowing, and not part of what was asked for."""
    click.echo(clean(text), err=True)


def heading(text: str) -> None:
    """The title of a part."""
    _show(_plain(text, "bold"))


def table(rows: Iterable[Sequence[str]], *, header: Sequence[str] = ()) -> None:
    """Aligned columns without lines."""
    from rich.table import Table

    grid = Table(box=None, show_header=bool(header), padding=(0, 2, 0, 0), pad_edge=False)
    for title in header:
        grid.add_column(title, header_style="dim", overflow="fold")
    for row in rows:
        grid.add_row(*(_plain(cell) for cell in row))
    _show(grid)


def _plain(text: str, style: str = "") -> "RenderableType":
    from rich.text import Text

    return Text(clean(text), style=style)


@cache
def _layout() -> "Console":
    """Lays out lines, in the terminal's width and colours. It never writes itself: `click.echo` does, which
    knows pipes that close early.
    """
    from rich.console import Console

    terminal = sys.stdout.isatty()
    return Console(
        file=io.StringIO(),
        highlight=False,
        force_terminal=terminal,
        width=None if terminal else _PIPE_WIDTH,
    )


def _show(what: "RenderableType") -> None:
    console = _layout()
    with console.capture() as captured:
        console.print(what)
    click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))


class Waiting:
    """A sign on standard error that something is going on, where that is a terminal; else nothing.

    After two seconds it says for how long. Take it away with `stop` before anything is printed.
    """

    def __init__(self) -> None:
        self._words = ""
        self._since = 0.0
        self._status: Status | None = None
        if sys.stderr.isatty():
            from rich.console import Console

            self._status = Console(stderr=True).status(self)

    def say(self, words: str) -> None:
        """Show the sign with these words."""
        if self._status is not None and words != self._words:
            if not self._words:
                self._since = time.monotonic()
            self._words = words
            self._status.start()

    def stop(self) -> None:
        """Take the sign away, until something is said again."""
        if self._status is not None:
            self._status.stop()
        self._words = ""

    def __rich__(self) -> "RenderableType":
        """What stands beside the turning sign now; asked for at each turn."""
        from whisper_desktop.chat import with_time

        return _plain(with_time(self._words, time.monotonic() - self._since))


@contextmanager
def progress(words: str) -> Iterator[Waiting]:
    """A sign that something is going on, for as long as the block runs or until it is stopped."""
    waiting = Waiting()
    waiting.say(words)
    try:
        yield waiting
    finally:
        waiting.stop()


def say_error(error: WhisperError) -> None:
    """What happened, why, and what to do next, on standard error; for a chain also what else was tried."""
    from whisper_desktop.chat import advice_on, attempt_line, failure_of, tries_besides

    advice = advice_on(error)
    note(error.title)
    for part in (error.detail, advice.first):
        if part:
            note(f"  {part}")
    consent = failure_of(error).consent
    if consent is not None:
        note(f"  To allow it for one question: whisper-desktop chat --reach {consent.needed or Reach.CLOUD}")
    for attempt in tries_besides(error):
        note(f"  - {attempt_line(attempt)}")
    for line in repair_lines(failure_of(error).repairs):
        note(line)
    _say_advice(advice)


def repair_lines(repairs: Sequence[Repair]) -> list[str]:
    """What could mend an engine, each with the command that does it."""
    return [
        f"  {each.label}: {each.detail} Run: {each.command or f'whisper-desktop engine repair {each.id}'}"
        for each in repairs
    ]


def _say_advice(advice: "Advice") -> None:
    if advice.steps:
        note("")
        note(advice.headline)
    for number, step in enumerate(advice.steps, 1):
        note(f"  {number}. {step}")
    for link in advice.links:
        note(f"  {link.title}: {link.url}")
    if advice.guide:
        note("  Or ask the guide about this app: whisper-desktop chat --guide")


def gigabytes(size: int | None) -> str:
    """A size as people read it: "4.9 GB", "820 MB", "unknown"."""
    if size is None:
        return "unknown"
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
