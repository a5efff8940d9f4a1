"""How the terminal speaks: JSON on request, tables and sentences otherwise, errors in three parts."""

import io
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

import click

from whisper_desktop.errors import ConsentRequired, LLMConnectionError, WhisperError
from whisper_desktop.values import Reach

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

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


@contextmanager
def progress(words: str) -> Iterator[Callable[[], None]]:
    """A sign on standard error that something is going on, where that is a terminal.

    The function it gives takes the sign away: call it before anything is printed.
    """
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console

    status = Console(stderr=True).status(words)
    status.start()
    try:
        yield status.stop
    finally:
        status.stop()


def say_error(error: WhisperError) -> None:
    """What happened, why, and what to do next, on standard error."""
    note(error.title)
    for part in (error.detail, error.next_step):
        if part:
            note(f"  {part}")
    refused = error.last_error if isinstance(error, LLMConnectionError) else error
    if isinstance(refused, ConsentRequired):
        note(f"  To allow it for one question: whisper-desktop chat --reach {refused.needed or Reach.CLOUD}")
    if isinstance(error, LLMConnectionError):
        _say_guidance(error)


def _say_guidance(error: LLMConnectionError) -> None:
    from whisper_desktop.chat import attempt_line

    for attempt in error.attempts:
        note(f"  - {attempt_line(attempt)}")
    guidance = error.setup_guidance
    if guidance is None:
        return
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
