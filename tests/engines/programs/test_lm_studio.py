"""LM Studio through `lms`: started, filled, emptied, ended, and every way in which that fails."""

import json
import os
import re
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from tests.engines.conftest import gone, until
from tests.engines.programs.conftest import IMPATIENT, PATIENT, MakeSurroundings, yes
from tests.ports import closed_port
from tests.servers.fixtures import ServerFactory
from tests.servers.programs import Home
from whisper_desktop.engines.programs import started
from whisper_desktop.engines.programs.lm_studio import LMStudio
from whisper_desktop.engines.programs.lm_studio_home import lm_studio_home
from whisper_desktop.engines.programs.lms import find_lms
from whisper_desktop.errors import EngineError

MODEL, THINKER = "qwen/qwen3-4b-2507", "qwen/qwen3-4b-thinking"


@pytest.fixture
def port() -> int:
    return closed_port()


@pytest.fixture
def studio(home: Home, around: MakeSurroundings) -> LMStudio:
    """LM Studio, installed and not running."""
    home.install_lms()
    return LMStudio(around())


@pytest.fixture
def awake(home: Home, studio: LMStudio) -> LMStudio:
    """LM Studio, running as somebody else has started it, without its server."""
    home.wake()
    return studio


async def start(studio: LMStudio, port: int) -> None:
    running = await studio.start(port, await yes("lm_studio", "start", port))
    assert (running.port, running.was_there) == (port, False)


def words(home: Home) -> list[str]:
    """The commands of `lms` so far, without their options."""
    return [" ".join(word for word in call[1:3] if not word.startswith("-")) for call in home.calls()]


# --- finding it -------------------------------------------------------------------------------------------


def test_its_folder_is_the_one_it_points_to_else_the_old_else_the_new_one(tmp_path: Path) -> None:
    assert lm_studio_home(tmp_path) == tmp_path / ".lmstudio"
    (tmp_path / ".cache" / "lm-studio").mkdir(parents=True)
    assert lm_studio_home(tmp_path) == tmp_path / ".cache" / "lm-studio"
    (tmp_path / ".lmstudio-home-pointer").write_text(f"{tmp_path / 'elsewhere'}\n")
    assert lm_studio_home(tmp_path) == tmp_path / "elsewhere"
    for nonsense in (b"relative/path", b"\xff\xfe", b"/a\0b"):
        (tmp_path / ".lmstudio-home-pointer").write_bytes(nonsense)
        assert lm_studio_home(tmp_path) == tmp_path / ".cache" / "lm-studio"


def test_the_tool_is_in_its_folder_else_on_path(tmp_path: Path) -> None:
    on_path = tmp_path / "bin" / "lms"
    on_path.parent.mkdir()
    on_path.write_text("#!/bin/sh\n")
    on_path.chmod(0o755)
    env = {"PATH": str(on_path.parent)}
    assert find_lms(tmp_path, {"PATH": ""}, platform="linux") is None
    assert find_lms(tmp_path, env, platform="linux") == on_path
    own = tmp_path / ".lmstudio" / "bin" / "lms"
    own.parent.mkdir(parents=True)
    own.touch()
    assert find_lms(tmp_path, env, platform="linux") == own


async def test_where_it_is_not_installed_that_is_said(
    home: Home, around: MakeSurroundings, port: int
) -> None:
    with pytest.raises(EngineError, match="not installed") as caught:
        await LMStudio(around()).start(port, await yes("lm_studio", "start", port))
    assert caught.value.cause == "program_missing"


# --- a life -----------------------------------------------------------------------------------------------


async def test_it_is_started_filled_emptied_and_ended(home: Home, studio: LMStudio, port: int) -> None:
    await start(studio, port)
    loaded = await studio.load(MODEL, await yes("lm_studio", "load", MODEL), context_length=8192)
    assert (loaded.name, loaded.context_length, loaded.was_there) == (MODEL, 8192, False)
    again = await studio.load(MODEL, await yes("lm_studio", "load", MODEL), context_length=4096)
    assert (again.name, again.was_there) == (MODEL, True)
    await studio.unload(MODEL, await yes("lm_studio", "unload", MODEL))
    assert await studio.loaded() == ()
    (daemon,) = home.pids("daemon")
    await studio.stop(await yes("lm_studio", "stop"))
    assert await until(lambda: gone(daemon), 5)
    assert not await studio.greets(port)


async def test_a_larger_context_makes_a_second_instance(awake: LMStudio) -> None:
    await awake.load(MODEL, await yes("lm_studio", "load", MODEL), context_length=4096)
    larger = await awake.load(MODEL, await yes("lm_studio", "load", MODEL), context_length=9000)
    assert (larger.name, larger.context_length) == (f"{MODEL}:2", 9000)


async def test_an_instance_gets_the_name_and_the_options_that_were_asked_for(
    home: Home, awake: LMStudio
) -> None:
    consent = await yes("lm_studio", "load", MODEL)
    loaded = await awake.load(MODEL, consent, identifier="mine", idle_seconds=600, gpu="off")
    assert loaded.name == "mine"
    assert ["lms", "load", MODEL, "--yes", "--identifier=mine", "--ttl=600", "--gpu=off"] in home.calls()


async def test_looking_wakes_nothing(home: Home, studio: LMStudio, port: int) -> None:
    assert await studio.running(port) is None
    assert await studio.loaded() == ()
    for effect in (
        studio.load(MODEL, await yes("lm_studio", "load", MODEL)),
        studio.unload(MODEL, await yes("lm_studio", "unload", MODEL)),
    ):
        with pytest.raises(EngineError, match="not running") as caught:
            await effect
        assert "servers start lm_studio" in caught.value.next_step
    assert home.pids() == []
    assert set(words(home)) == {"server status", "daemon status"}


async def test_a_server_that_answers_is_used_as_it_is(
    home: Home, studio: LMStudio, servers: ServerFactory
) -> None:
    port = servers("lm_studio").port
    running = await studio.start(port, await yes("lm_studio", "start", port))
    assert running.was_there
    assert home.calls() == []


async def test_a_server_on_another_port_is_used_there(
    home: Home, studio: LMStudio, servers: ServerFactory, port: int
) -> None:
    other = servers("lm_studio").port
    config = home.lm_studio / ".internal" / "http-server-config.json"
    config.write_text(json.dumps({"port": other, "networkInterface": "127.0.0.1"}))
    running = await studio.start(port, await yes("lm_studio", "start", port))
    assert (running.port, running.was_there) == (other, True)
    assert running.note == f"LM Studio's server runs on port {other}, not on {port}."


async def test_a_server_that_wants_a_token_is_known_by_that(studio: LMStudio, servers: ServerFactory) -> None:
    assert await studio.greets(servers("lm_studio", "--auth", "sk-lm-1", "--greeting-needs-key").port)


# --- only what we started is ended ------------------------------------------------------------------------


async def test_what_somebody_else_started_is_left_alone(
    home: Home, studio: LMStudio, servers: ServerFactory
) -> None:
    server = servers("lm_studio")
    await studio.start(server.port, await yes("lm_studio", "start", server.port))
    with pytest.raises(EngineError, match="was not started by this app") as caught:
        await studio.stop(await yes("lm_studio", "stop"))
    assert caught.value.cause == "not_ours"
    assert await studio.greets(server.port)


async def test_of_an_app_that_ran_already_only_the_server_is_ended(
    home: Home, studio: LMStudio, port: int
) -> None:
    daemon = home.wake()
    await start(studio, port)
    await studio.stop(await yes("lm_studio", "stop"))
    assert "daemon down" not in words(home)
    assert not gone(daemon)
    assert not await studio.greets(port)


async def test_a_process_id_that_somebody_else_has_now_is_not_ended(
    home: Home, studio: LMStudio, port: int
) -> None:
    await start(studio, port)
    (daemon,) = home.pids("daemon")
    started.remember("lm_studio", os.getpid(), port, "app", "server")  # as if it had been another one
    await studio.stop(await yes("lm_studio", "stop"))
    assert "daemon down" not in words(home)
    assert not gone(daemon)


def test_a_record_counts_only_while_its_process_lives_and_when_it_can_be_read(tmp_path: Path) -> None:
    started.remember("lm_studio", os.getpid(), 1234, "app")
    started.remember("lm_studio", os.getpid(), 1234, "server")
    kept = started.recall("lm_studio")
    assert kept is not None
    assert kept.parts == ("app", "server")
    started.forget("lm_studio", "server")
    left = started.recall("lm_studio")
    assert left is not None
    assert left.parts == ("app",)
    file = next(tmp_path.rglob("program-lm_studio.json"))
    told = json.loads(file.read_text())
    broken: object
    for broken in ({**told, "identity": "another"}, {**told, "pid": "1"}, {**told, "pid": 1}, [], {}):
        file.write_text(json.dumps(broken))
        assert started.recall("lm_studio") is None
    file.write_text("{" * 5000)
    assert started.recall("lm_studio") is None
    started.forget("lm_studio")
    assert not file.exists()


# --- faults of the start ----------------------------------------------------------------------------------


async def test_a_port_that_a_stranger_has_is_told_and_not_fought_for(
    home: Home, around: MakeSurroundings, port: int
) -> None:
    home.install_lms()
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", port))
        stranger.listen()
        with pytest.raises(EngineError) as caught:
            await LMStudio(around(IMPATIENT)).start(port, await yes("lm_studio", "start", port))
    assert str(caught.value).startswith(
        f"Port {port} is taken, so LM Studio's server cannot start there. It belongs to somebody on {port}."
    )
    assert caught.value.cause == "port_taken"
    assert home.pids() == []


async def test_a_server_that_is_verified_late_has_started(home: Home, studio: LMStudio, port: int) -> None:
    home.script(late=0.3, attempts=2)
    await start(studio, port)


@pytest.mark.parametrize(
    ("script", "limits", "cause", "sentence"),
    [
        (
            {"never": True, "attempts": 2},
            {},
            "tool_refused",
            "could not start its server. It says: Failed to verify",
        ),
        ({"refuse": {"daemon_up": "no licence"}}, {}, "tool_refused", "could not start. It says: no licence"),
        ({"moved": True}, {}, "app_moved", "no longer where its command-line tool looks"),
        ({"hang": ["server_start"]}, {"program_start": 2}, "tool_stuck", "did not end within 2 s"),
        ({"hang": ["server_status"]}, {"engine_ask": 0.5}, "tool_stuck", "to do: lms server status"),
        ({"garbage": ["server_status"]}, {}, "tool_unknown", "does not understand"),
        ({"refuse": {"server_status": "database is locked"}}, {}, "tool_refused", "database is locked"),
    ],
)
async def test_a_start_that_fails_says_why(
    home: Home,
    around: MakeSurroundings,
    port: int,
    script: dict[str, object],
    limits: dict[str, float],
    cause: str,
    sentence: str,
) -> None:
    home.install_lms()
    home.script(**script)
    deadlines = replace(PATIENT, request=0.3, **limits)
    with pytest.raises(EngineError) as caught:
        await LMStudio(around(deadlines)).start(port, await yes("lm_studio", "start", port))
    assert re.search(sentence, str(caught.value)), str(caught.value)
    assert caught.value.cause == cause
    assert "\x1b" not in str(caught.value)
    ours = started.recall("lm_studio")
    assert (ours.parts if ours else ()) == (("app",) if home.pids("daemon") else ())


async def test_a_tool_without_the_daemon_commands_starts_the_server_all_the_same(
    home: Home, studio: LMStudio, port: int
) -> None:
    home.script(old=True)
    await start(studio, port)
    assert "daemon up" in words(home)
    assert len(await studio.loaded()) == 0


# --- faults of models -------------------------------------------------------------------------------------


async def test_a_name_that_only_resembles_a_model_loads_nothing(home: Home, awake: LMStudio) -> None:
    with pytest.raises(EngineError, match="has no model called qwen3-4b on this computer") as caught:
        await awake.load("qwen3-4b", await yes("lm_studio", "load", "qwen3-4b"))
    assert caught.value.cause == "model_missing"
    assert THINKER in caught.value.detail
    assert "load qwen3-4b" not in words(home)


@pytest.mark.parametrize("script", [{"takes": THINKER}, {"meanwhile": THINKER, "fails": "No memory."}])
async def test_another_model_that_is_loaded_since_may_be_somebody_elses_and_stays(
    home: Home, awake: LMStudio, script: dict[str, object]
) -> None:
    home.script(**script)
    with pytest.raises(EngineError, match=f"could not load {MODEL}.*Loaded meanwhile: {THINKER}."):
        await awake.load(MODEL, await yes("lm_studio", "load", MODEL))
    assert [model.key for model in await awake.loaded()] == [THINKER]


async def test_a_load_that_fails_says_why(home: Home, awake: LMStudio) -> None:
    home.script(fails="Model loading was stopped due to insufficient system resources.")
    with pytest.raises(EngineError, match="It says: Model loading was stopped due to insufficient"):
        await awake.load(MODEL, await yes("lm_studio", "load", MODEL))


async def test_what_is_not_loaded_cannot_be_unloaded(home: Home, awake: LMStudio) -> None:
    with pytest.raises(EngineError, match="has no model x loaded") as caught:
        await awake.unload("x", await yes("lm_studio", "unload", "x"))
    assert caught.value.cause == "not_loaded"


async def test_a_name_that_is_an_option_reaches_no_command(home: Home, studio: LMStudio) -> None:
    home.script(models=["--all", MODEL])
    home.wake()
    with pytest.raises(EngineError, match="no model called --all"):
        await studio.load("--all", await yes("lm_studio", "load", "--all"))


async def test_an_error_that_comes_with_exit_code_0_is_one(home: Home, awake: LMStudio) -> None:
    await awake.load(MODEL, await yes("lm_studio", "load", MODEL))
    home.script(keeps=True)
    with pytest.raises(EngineError, match=f"could not unload {MODEL}.*is busy"):
        await awake.unload(MODEL, await yes("lm_studio", "unload", MODEL))


async def test_a_list_that_is_none_is_said(home: Home, awake: LMStudio) -> None:
    home.script(garbage=["ps"])
    with pytest.raises(EngineError, match="does not understand"):
        await awake.loaded()
