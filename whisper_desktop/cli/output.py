"""How the terminal speaks: JSON on request, tables and sentences otherwise, errors in three parts."""

import io
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

import click

from whisper_desktop.errors import WhisperError
from whisper_desktop.values import Reach, SetupGuidance

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.status import Status

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

    Take it away with `stop` before anything is printed.
    """

    def __init__(self) -> None:
        self._words = ""
        self._status: Status | None = None
        if sys.stderr.isatty():
            from rich.console import Console

            self._status = Console(stderr=True).status("")

    def say(self, words: str) -> None:
        """Show the sign with these words."""
        if self._status is not None and words != self._words:
            self._words = words
            self._status.update(words)
            self._status.start()

    def stop(self) -> None:
        """Take the sign away, until something is said again."""
        self._words = ""
        if self._status is not None:
            self._status.stop()


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
    """What happened, why, and what to do next, on standard error; for a chain also each try of it."""
    from whisper_desktop.chat import attempt_line, failure_of

    note(error.title)
    for part in (error.detail, error.next_step):
        if part:
            note(f"  {part}")
    failure = failure_of(error)
    if failure.consent is not None:
        reach = failure.consent.needed or Reach.CLOUD
        note(f"  To allow it for one question: whisper-desktop chat --reach {reach}")
    for attempt in failure.attempts:
        note(f"  - {attempt_line(attempt)}")
    if failure.guidance is not None:
        _say_guidance(failure.guidance)


def _say_guidance(guidance: SetupGuidance) -> None:
    note("")
    note(guidance.headline)
    for number, step in enumerate(guidance.steps, 1):
        note(f"  {number}. {step}")
    for link in guidance.links:
        note(f"     {link.title}: {link.url}")
    if guidance.offer_guide:
        note("  Or ask the guide about this app: whisper-desktop chat --guide")


def gigabytes(size: int | None) -> str:
    """A size as people read it: "4.9 GB", "820 MB", "unknown"."""
    if size is None:
        return "unknown"
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
