"""A second start, a link and a command show a window of the desktop that runs; other changes are told too."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.control.asking import socket_file
from whisper_desktop.app import App
from whisper_desktop.app.links import Opening
from whisper_desktop.control import Front, LocalCore, RemoteCore
from whisper_desktop.control.address import socket_address
from whisper_desktop.control.changes import tell_conversations_changed
from whisper_desktop.control.core import PROTOCOL
from whisper_desktop.errors import ControlError
from whisper_desktop.events import ConversationsChanged, Notice, WindowRequested
from whisper_desktop.values import Deadlines

SHORT = Deadlines(control_reply=3.0, shutdown=0.3)


def make_app() -> App:
    return App(overrides={"llm.stub": True, "llm.auto_detect": False}, deadlines=SHORT)


@asynccontextmanager
async def desktop() -> AsyncIterator[tuple[Front, list[object]]]:
    """A desktop that runs, and what is told on its bus."""
    front = Front(make_app, desktop=True)
    try:
        core = await front.core()
        assert isinstance(core, LocalCore)
        told: list[object] = []
        for kind in (WindowRequested, Notice, ConversationsChanged):
            core.app.bus.listen(kind, told.append)
        yield front, told
    finally:
        await front.close()


async def connected() -> RemoteCore:
    remote = await RemoteCore.connect(SHORT)
    assert remote is not None
    return remote


async def test_a_window_is_asked_for_with_what_goes_into_it() -> None:
    async with desktop() as (_, told):
        remote = await connected()
        assert await remote.show("ask", "What is “this”?\nAnd that?")
        assert await remote.show("chat")
        await remote.close()
        assert told == [WindowRequested("ask", "What is “this”?\nAnd that?"), WindowRequested("chat")]


async def test_a_second_start_with_a_link_that_leads_nowhere_says_so_in_the_first() -> None:
    async with desktop() as (_, told):
        second = Front(make_app, desktop=True)
        assert not await second.own_or_show(Opening("chat", "", "It leads nowhere."))
        await second.close()
        assert told == [WindowRequested("chat"), Notice("It leads nowhere.")]


async def test_a_start_in_the_background_shows_nothing_of_the_desktop_that_runs() -> None:
    async with desktop() as (_, told):
        second = Front(make_app, desktop=True)
        assert not await second.own_or_show(None)
        await second.close()
        assert told == []


async def test_without_a_desktop_nothing_can_be_shown() -> None:
    async with Front(make_app) as terminal:
        await terminal.core()
        remote = await connected()
        assert not await remote.show("ask", "Hello")
        await remote.close()


async def test_a_window_that_is_none_is_refused_in_words() -> None:
    async with desktop() as (_, told):
        remote = await connected()
        with pytest.raises(ControlError, match="has no window “cellar”"):
            await remote.show("cellar")
        await remote.close()
        assert told == []


@pytest.mark.parametrize("args", [{"window": 7}, {"window": "ask", "value": ["x"]}, {"token": {}}])
async def test_what_is_no_text_is_refused(args: dict[str, object]) -> None:
    async with desktop() as (_, told):
        remote = await connected()
        with pytest.raises(ControlError, match="did not understand"):
            await remote._call("show", args)
        await remote.close()
        assert told == []


async def test_what_lets_a_window_come_to_the_front_is_handed_over_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with desktop() as (front, _):
        assert front.activation_token() == ""
        remote = await connected()
        monkeypatch.setenv("DESKTOP_STARTUP_ID", "shell-12_TIME345")
        await remote.show("chat")
        assert front.activation_token() == "shell-12_TIME345"
        monkeypatch.setenv("XDG_ACTIVATION_TOKEN", "kwin-67")
        await remote.show("chat")
        assert front.activation_token() == "kwin-67"
        assert front.activation_token() == ""
        monkeypatch.setenv("XDG_ACTIVATION_TOKEN", "x" * 5000)
        await remote.show("chat")
        assert front.activation_token() == ""
        await remote.close()


class QuittingSlowly(App):
    """An app that takes its time to end, until it is let go."""

    def __init__(self) -> None:
        super().__init__(overrides={"llm.stub": True, "llm.auto_detect": False}, deadlines=SHORT)
        self.ending = asyncio.Event()
        self.let_go = asyncio.Event()

    async def stop(self) -> None:
        self.ending.set()
        await self.let_go.wait()
        await super().stop()


async def test_a_start_while_the_desktop_quits_waits_for_its_end_and_takes_its_place() -> None:
    quitting = QuittingSlowly()
    first, second = Front(lambda: quitting, desktop=True), Front(make_app, desktop=True)
    assert await first.own_or_show(None)
    assert not await second.own_or_show(None)
    closing = asyncio.create_task(first.close())
    await quitting.ending.wait()
    starting = asyncio.create_task(second.own_or_show(Opening()))
    heard, _ = await asyncio.wait({starting}, timeout=0.1)
    assert not heard  # neither shown by the one that ends, nor an owner beside it
    quitting.let_go.set()
    assert await starting
    await closing
    await second.close()


async def test_conversations_that_another_program_changed_are_looked_at_again() -> None:
    await tell_conversations_changed(["a"])  # nobody runs: nobody has to be told
    async with desktop() as (_, told):
        await tell_conversations_changed(["a", "b"])
        await tell_conversations_changed()
        assert told == [ConversationsChanged(("a", "b")), ConversationsChanged()]


@asynccontextmanager
async def older_owner(answer: Callable[[dict[str, Any]], object]) -> AsyncIterator[list[dict[str, Any]]]:
    """An owner of the version before: it says nothing of values, and answers by `answer`."""
    heard: list[dict[str, Any]] = []
    ended: list[asyncio.Task[None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        ended.append(task)
        while line := await reader.readline():
            request = json.loads(line)
            heard.append(request)
            told = {"pid": 1, "desktop": True} if request["id"] == 0 else answer(request)
            reply = told if isinstance(told, dict) and "error" in told else {"ok": told}
            writer.write(json.dumps({"id": request["id"], **reply}).encode() + b"\n")
        writer.close()
        await writer.wait_closed()

    path = socket_address()
    socket_file().with_name("owner.json").write_text('{"pid": 1, "token": "t"}')
    server = await asyncio.start_unix_server(serve, path)
    try:
        yield heard
    finally:
        server.close()
        await asyncio.gather(*ended)


def unknown_verb(request: dict[str, Any]) -> object:
    if request["verb"] == "show":
        return True
    return {"error": {"type": "ControlError", "title": f"The running app does not know {request['verb']}."}}


async def test_an_older_desktop_is_only_asked_for_what_it_can_show() -> None:
    async with older_owner(unknown_verb) as heard:
        remote = await connected()
        assert await remote.show("chat")
        for window, value in (("ask", ""), ("chat", "an id"), ("settings", "ui.theme")):
            with pytest.raises(ControlError, match="older version.*Quit it"):
                await remote.show(window, value)
        await remote.close()
        assert heard[0]["protocol"] == PROTOCOL
        assert [each["verb"] for each in heard[1:]] == ["show"]


async def test_an_older_desktop_that_cannot_look_again_is_left_alone() -> None:
    async with older_owner(unknown_verb):
        await tell_conversations_changed()


async def test_an_older_program_still_raises_this_desktop() -> None:
    async with desktop() as (_, told):
        remote = await connected()
        assert await remote._call("show", {"window": "chat"}) is True
        await remote.close()
        assert told == [WindowRequested("chat")]
