"""`whisper-desktop ask` and links: shown by the desktop that runs, answered here where none does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.cli.program import Program, Result
from whisper_desktop.app import App
from whisper_desktop.control import Front, LocalCore
from whisper_desktop.events import Notice, WindowRequested

STUB = {"WHISPER_LLM_STUB": "1", "QT_QPA_PLATFORM": "xcb"}  # no display, whatever else runs here


@asynccontextmanager
async def desktop() -> AsyncIterator[list[object]]:
    """A desktop that runs in this process, and what it is told."""
    async with Front(lambda: App(overrides={"llm.stub": True}), desktop=True) as front:
        core = await front.core()
        assert isinstance(core, LocalCore)
        told: list[object] = []
        core.app.bus.listen(WindowRequested, told.append)
        core.app.bus.listen(Notice, told.append)
        yield told


async def said(program: Program, *words: str, piped: str = "") -> Result:
    return await asyncio.to_thread(program.run, *words, stdin=piped.encode())


def test_without_a_desktop_the_question_is_answered_here(program: Program) -> None:
    done = program.run("ask", "What", "is", "this?", env=STUB)
    assert done.code == 0
    assert "You said: What is this?" in done.out
    assert "stub" in done.out.splitlines()[-1]


def test_what_is_piped_in_goes_along(program: Program) -> None:
    done = program.run("ask", "Translate:", stdin=b"Guten Tag\n", env=STUB)
    assert "You said: Translate:\n\nGuten Tag" in done.out
    only = program.run("ask", stdin=b"Guten Tag\n", env=STUB)
    assert "You said: Guten Tag" in only.out


def test_nothing_to_ask_and_nowhere_to_show_it_is_told(program: Program) -> None:
    done = program.run("ask", env=STUB)
    assert done.code == 2
    assert "There is no question." in done.err


async def test_a_desktop_that_runs_shows_the_text_and_is_sent_nothing(program: Program) -> None:
    async with desktop() as told:
        done = await said(program, "ask", "Translate:", piped="Guten\tTag\u202e\n")
        assert (done.code, done.out, done.err) == (0, "", "")
        assert told == [WindowRequested("ask", "Translate:\n\nGuten    Tag")]


@pytest.mark.parametrize(
    ("link", "asked"),
    [
        ("whisper://chat/0f3c", WindowRequested("chat", "0f3c")),
        ("whisper://ask?text=Hi%21", WindowRequested("ask", "Hi!")),
        ("WHISPER://models/org/name", WindowRequested("models", "org/name")),
        ("whisper://settings/llm.reach", WindowRequested("settings", "llm.reach")),
    ],
)
async def test_a_link_goes_to_the_desktop_that_runs(
    program: Program, link: str, asked: WindowRequested
) -> None:
    async with desktop() as told:
        done = await said(program, link)
        assert (done.code, done.out, done.err) == (0, "", "")
        assert told == [asked]


async def test_a_link_that_leads_nowhere_is_told_in_the_desktop(program: Program) -> None:
    async with desktop() as told:
        assert (await said(program, "whisper://cellar")).code == 0
        window, notice = told
        assert window == WindowRequested("chat")
        assert isinstance(notice, Notice)
        assert "leads nowhere" in notice.title


def test_a_link_without_a_desktop_or_a_display_is_told(program: Program) -> None:
    done = program.run("whisper://ask?text=Hi", env=STUB)
    assert done.code == 1
    assert done.err == "There is no display here, and no desktop app runs that could open the link.\n"
    assert done.out == ""


async def test_a_terminal_that_is_the_owner_is_no_desktop(program: Program) -> None:
    async with Front(lambda: App(overrides={"llm.stub": True})) as terminal:
        await terminal.core()
        done = await said(program, "ask", "Hello")
        assert done.code == 0
        assert "You said: Hello" in done.out
