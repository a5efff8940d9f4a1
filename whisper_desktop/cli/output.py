"""How the terminal speaks: JSON on request, tables and sentences otherwise, errors in three parts."""

import json
import sys
from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING

import click

from whisper_desktop.errors import LLMConnectionError, WhisperError

if TYPE_CHECKING:
    from rich.console import Console


@cache
def console() -> "Console":
    """Standard output for people: colours and width from the terminal, none of both in a pipe."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=not sys.stdout.isatty())


def emit_json(data: object) -> None:
    """One JSON document on standard output."""
    click.echo(json.dumps(data, ensure_ascii=False, indent=2))


def say(text: str = "") -> None:
    """A line for a person, as it is: no markup in it is interpreted."""
    console().print(text, markup=False)


def heading(text: str) -> None:
    """The title of a part."""
    console().print(text, style="bold", markup=False)


def table(rows: Iterable[Sequence[str]], *, header: Sequence[str] = ()) -> None:
    """Aligned columns without lines, two spaces in from the left."""
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, show_header=bool(header), padding=(0, 2, 0, 0), pad_edge=False)
    for title in header:
        grid.add_column(title, header_style="dim", overflow="fold")
    for row in rows:
        grid.add_row(*(Text(cell) for cell in row))
    console().print(grid)


def say_error(error: WhisperError) -> None:
    """What happened, why, and what to do next, on standard error."""
    click.echo(f"{error.title}", err=True)
    if error.detail:
        click.echo(f"  {error.detail}", err=True)
    if error.next_step:
        click.echo(f"  {error.next_step}", err=True)
    if isinstance(error, LLMConnectionError):
        _say_guidance(error)


def _say_guidance(error: LLMConnectionError) -> None:
    from whisper_desktop.chat import attempt_line

    for attempt in error.attempts:
        click.echo(f"  - {attempt_line(attempt)}", err=True)
    guidance = error.setup_guidance
    if guidance is None:
        return
    click.echo("", err=True)
    click.echo(guidance.headline, err=True)
    for number, step in enumerate(guidance.steps, 1):
        click.echo(f"  {number}. {step}", err=True)
    for link in guidance.links:
        click.echo(f"     {link.title}: {link.url}", err=True)
    if guidance.offer_guide:
        click.echo("  Or ask the guide about this app: whisper-desktop chat --guide", err=True)


def gigabytes(size: int | None) -> str:
    """A size as people read it: "4.9 GB", "820 MB", "unknown"."""
    if size is None:
        return "unknown"
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
