"""Exactly one owner, whoever starts when; a desktop takes over; what is asked is answered or told why not."""

import asyncio
import os
import stat
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest

from tests.control.asking import begin, events_of, question, socket_file
from tests.servers.fixtures import ServerFactory
from tests.servers.launch import RunningServer
from whisper_desktop.app import App
from whisper_desktop.control import Core, Front, LocalCore, RemoteCore
from whisper_desktop.control.address import OwnerLock, socket_address
from whisper_desktop.errors import ControlError, LLMConnectionError, OwnerGone
from whisper_desktop.events import WindowRequested
from whisper_desktop.values import AnswerFinished, Deadlines, TextDelta

MODEL = {"id": "m", "loaded": True}
SHORT = Deadlines(control_reply=3.0, shutdown=0.3)


def app_for(url: str | None = None, deadlines: Deadlines = SHORT) -> Callable[[], App]:
    """Makes apps whose chain is one server, or the stub."""
    overrides: dict[str, object] = {"llm.base_url": f"{url}/v1"} if url else {"llm.stub": True}
    return lambda: App(overrides={**overrides, "llm.auto_detect": False}, deadlines=deadlines)


def modes_in_run_folder() -> dict[str, int]:
    """What lies there, with its permissions."""
    folder = socket_file().parent
    paths = [folder, *folder.iterdir()]
    return {str(path.relative_to(folder)): stat.S_IMODE(path.stat().st_mode) for path in paths}


def leave_behind() -> None:
    """What an owner leaves that was killed, and worse."""
    socket_file().write_text("not even a socket")
    socket_file().with_name("owner.json").write_text('{"pid": 1, "token": "old"}')
    socket_file().with_name("owner.lock").touch()


async def tokens_until_disconnect(server: RunningServer) -> int:
    """How much of an answer was sent when its reader hung up; read in a thread, as the reader is here."""
    tokens: int = (await asyncio.to_thread(server.wait_for, "disconnect"))["tokens_sent"]
    return tokens


@asynccontextmanager
async def fronts(make_app: Callable[[], App], *, desktop: tuple[bool, ...]) -> AsyncIterator[list[Front]]:
    """One front for each entry of `desktop`, all closed at the end, the newest first."""
    made = [Front(make_app, desktop=each) for each in desktop]
    try:
        yield made
    finally:
        for front in reversed(made):
            await front.close()


async def test_of_many_that_start_at_once_exactly_one_is_the_owner() -> None:
    async with fronts(app_for(), desktop=(False,) * 6) as many:
        cores = await asyncio.gather(*(front.core() for front in many), *(front.core() for front in many))
        assert sum(core.is_owner for core in cores[:6]) == 1
        assert cores[:6] == cores[6:]  # asking twice at the same time gives the same core
        for core in cores[:6]:
            assert isinstance((await events_of(core, question()))[-1], AnswerFinished)


async def test_the_socket_and_its_folder_are_private_and_leave_nothing_behind() -> None:
    async with fronts(app_for(), desktop=(False,)) as (front,):
        await front.core()
        assert modes_in_run_folder() == {
            ".": 0o700,
            "owner.sock": 0o600,
            "owner.json": 0o600,
            "owner.lock": 0o600,
        }
    assert set(modes_in_run_folder()) == {".", "owner.lock"}


async def test_what_a_killed_owner_left_lying_is_replaced() -> None:
    leave_behind()
    async with fronts(app_for(), desktop=(False, False)) as (front, second):
        assert (await front.core()).is_owner
        assert not (await second.core()).is_owner


async def test_a_desktop_takes_over_from_a_terminal_and_a_second_one_raises_the_first() -> None:
    given_way: list[str] = []
    terminal = Front(app_for(), on_handover=lambda: given_way.append("terminal"))
    async with terminal, fronts(app_for(), desktop=(True, True, False)) as (desktop, second, late):
        assert (await terminal.core()).is_owner
        core = await desktop.core()
        assert isinstance(core, LocalCore)
        assert given_way == ["terminal"]
        raised: list[str] = []
        core.app.bus.listen(WindowRequested, lambda event: raised.append(event.window))

        theirs = await second.core()
        assert not theirs.is_owner
        assert await theirs.show("chat")
        assert raised == ["chat"]

        for front in (terminal, late):  # a terminal never takes over, and goes on through the desktop
            through = await front.core()
            assert isinstance(through, RemoteCore)
            assert through.has_desktop
            assert isinstance((await events_of(front, question()))[-1], AnswerFinished)
    assert not await terminal.running()


async def test_an_answer_that_a_takeover_cuts_off_says_so_and_the_next_question_works(
    servers: ServerFactory,
) -> None:
    server = servers("openai_compatible", "--tokens", "500", "--token-delay", "0.02", models=[MODEL])
    async with fronts(app_for(server.url), desktop=(False, True)) as (terminal, desktop):
        taking_over: list[asyncio.Task[Core]] = []

        def take_over() -> None:
            taking_over.append(asyncio.create_task(desktop.core()))

        with pytest.raises(OwnerGone) as caught:
            await events_of(terminal, question(), at="word3", do=take_over)
        assert "taken over" in caught.value.detail
        assert (await taking_over[0]).is_owner
        assert await tokens_until_disconnect(server) < 500
        await begin(terminal, question(), until="word0")
        assert not (await terminal.core()).is_owner


async def test_a_short_answer_is_finished_before_a_desktop_takes_over(servers: ServerFactory) -> None:
    server = servers("openai_compatible", "--tokens", "20", "--token-delay", "0.02", models=[MODEL])
    make_app = app_for(server.url, Deadlines())
    async with fronts(make_app, desktop=(False, True)) as (terminal, desktop):
        taking_over: list[asyncio.Task[Core]] = []

        def take_over() -> None:
            taking_over.append(asyncio.create_task(desktop.core()))

        seen = await events_of(terminal, question(), at="word3", do=take_over)
        assert isinstance(seen[-1], AnswerFinished)
        assert (await taking_over[0]).is_owner


async def test_stopping_an_answer_over_the_socket_stops_it_at_the_server(servers: ServerFactory) -> None:
    server = servers("openai_compatible", "--tokens", "500", "--token-delay", "0.02", models=[MODEL])
    async with fronts(app_for(server.url), desktop=(False, False)) as (owner, other):
        await owner.core()
        assert not (await other.core()).is_owner
        await begin(other, question(), until="word3")
        assert await tokens_until_disconnect(server) < 500
        assert await (await other.core()).engine_status() is None  # the line itself goes on


async def test_an_asker_that_hangs_up_stops_its_answer(servers: ServerFactory) -> None:
    server = servers("openai_compatible", "--tokens", "500", "--token-delay", "0.02", models=[MODEL])
    async with fronts(app_for(server.url), desktop=(False, False)) as (owner, other):
        await owner.core()
        async with aclosing(other.ask(question())) as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    await other.close()
                    break
        assert await tokens_until_disconnect(server) < 500


async def test_an_owner_that_is_done_stays_until_the_other_program_has_its_answer(
    servers: ServerFactory,
) -> None:
    server = servers("openai_compatible", "--tokens", "30", "--token-delay", "0.02", models=[MODEL])
    lingered: list[bool] = []
    owner = Front(app_for(server.url), on_linger=lambda: lingered.append(True))
    async with fronts(app_for(server.url), desktop=(False,)) as (other,):
        async with owner:
            await owner.core()
            events = other.ask(question())
            await anext(events)
        text = "".join([event.text async for event in events if isinstance(event, TextDelta)])
        assert text.endswith("word29")
        assert lingered == [True]
        await begin(other, question(), until="word0")
        assert (await other.core()).is_owner


async def test_a_question_to_an_owner_that_is_just_ending_reaches_the_next_one() -> None:
    async with fronts(app_for(), desktop=(False, False)) as (owner, other):
        await owner.core()
        remote = await other.core()
        assert isinstance(remote, RemoteCore)
        await owner.close()
        with pytest.raises(OwnerGone):
            await remote.engine_status()
        assert isinstance((await events_of(other, question()))[-1], AnswerFinished)


async def test_errors_arrive_with_their_attempts(servers: ServerFactory) -> None:
    server = servers("openai_compatible", models=[MODEL])
    server.kill()
    async with fronts(app_for(server.url), desktop=(False, False)) as (owner, other):
        await owner.core()
        with pytest.raises(LLMConnectionError) as caught:
            await events_of(other, question())
        assert caught.value.attempts
        assert caught.value.setup_guidance is not None


async def test_a_mistake_inside_the_owner_is_told_to_the_asker_and_the_line_stays() -> None:
    async with fronts(app_for(), desktop=(True, False)) as (desktop, other):
        core = await desktop.core()
        assert isinstance(core, LocalCore)
        remote = await other.core()

        def fail(event: WindowRequested) -> None:
            raise LookupError(event.window)

        core.app.bus.listen(WindowRequested, fail)
        with pytest.raises(ControlError, match="our mistake"):
            await remote.show("chat")
        assert await remote.engine_status() is None


async def test_a_start_that_fails_lets_go_of_the_lock() -> None:
    socket_file().mkdir()
    async with fronts(app_for(), desktop=(False, False)) as (front, other):
        with pytest.raises(ControlError, match="cannot be used"):
            await front.core()
        socket_file().rmdir()
        assert (await other.core()).is_owner


async def test_a_lock_that_is_held_by_something_silent_is_told_in_time() -> None:
    lock = OwnerLock()
    assert lock.take() is not None
    try:
        async with fronts(app_for(), desktop=(False,)) as (front,):
            with pytest.raises(ControlError, match="does not answer"):
                await front.core()
    finally:
        lock.release()


def test_a_short_folder_that_somebody_else_could_change_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHISPER_HOME", str(tmp_path / ("h" * 120)))
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        monkeypatch.setattr("tempfile.tempdir", folder)
        short = Path(folder) / f"whisper-desktop-{os.getuid()}"
        assert Path(socket_address()).parent == short
        short.chmod(0o777)
        with pytest.raises(ControlError, match="another user"):
            socket_address()
        short.rmdir()
        short.symlink_to(tmp_path)
        with pytest.raises(ControlError, match="another user"):
            socket_address()
