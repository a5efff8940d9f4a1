"""Asking a front for an answer, in tests."""

from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

from whisper_desktop.control import AskRequest, Core, Front
from whisper_desktop.control.address import socket_address
from whisper_desktop.values import Message, Role, StreamEvent, TextDelta


def question(text: str = "Go", *, guide: bool = False) -> AskRequest:
    """A question without choices."""
    return AskRequest((Message(Role.USER, text),), guide=guide)


async def events_of(
    who: Front | Core, request: AskRequest, *, at: str = "", do: Callable[[], object] = lambda: None
) -> list[StreamEvent]:
    """The whole answer. `do` is called when the piece of text `at` comes."""
    seen = []
    async with aclosing(who.ask(request)) as events:
        async for event in events:
            seen.append(event)
            if at and isinstance(event, TextDelta) and event.text.strip() == at:
                do()
    return seen


async def begin(who: Front | Core, request: AskRequest, *, until: str) -> None:
    """Takes an answer up to a piece of text, and stops it there."""
    async with aclosing(who.ask(request)) as events:
        async for event in events:
            if isinstance(event, TextDelta) and event.text.strip() == until:
                return


def socket_file() -> Path:
    """The owner's socket."""
    return Path(socket_address())
