"""Ollama: started as what it is, filled, emptied, ended, and every way in which that fails."""

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
from whisper_desktop.engines.programs.guarded import Lifetime
from whisper_desktop.engines.programs.ollama import Installed, Ollama, installed
from whisper_desktop.errors import EngineError
from whisper_desktop.values import Deadlines

MODEL = "llama3.2:latest"


@pytest.fixture
def port() -> int:
    return closed_port()


@pytest.fixture
def ollama(home: Home, around: MakeSurroundings, tmp_path: Path) -> Ollama:
    """Ollama, installed as a program only, and not running."""
    home.install_ollama()
    return Ollama(around(), root=tmp_path)


# --- how it is installed ----------------------------------------------------------------------------------


def made(root: Path, *paths: str) -> None:
    for path in paths:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()


def test_on_linux_it_is_a_service_of_the_person_or_of_the_computer_or_a_program(tmp_path: Path) -> None:
    home, env = tmp_path / "home", {"PATH": ""}
    assert installed(tmp_path, home, env, platform="linux") == Installed(None)
    made(tmp_path, "usr/local/bin/ollama")
    program = tmp_path / "usr/local/bin/ollama"
    assert installed(tmp_path, home, env, platform="linux") == Installed(program)
    made(tmp_path, "etc/systemd/system/ollama.service")
    assert installed(tmp_path, home, env, platform="linux") == Installed(program, needs_root=True)
    made(home, ".config/systemd/user/ollama.service")
    service = ("systemctl", "--user", "start", "ollama")
    assert installed(tmp_path, home, env, platform="linux") == Installed(program, service)


def test_on_macos_the_app_is_opened_hidden(tmp_path: Path) -> None:
    program = "Applications/Ollama.app/Contents/Resources/ollama"
    made(tmp_path, program)
    found = installed(tmp_path, tmp_path, {"PATH": ""}, platform="darwin")
    command = ("open", "-j", "-a", "Ollama.app", "--args", "--fast-startup")
    assert found == Installed(tmp_path / program, command)


def test_on_windows_the_app_is_started_hidden(tmp_path: Path) -> None:
    made(tmp_path, "Programs/Ollama/ollama.exe", "Programs/Ollama/ollama app.exe")
    folder = tmp_path / "Programs" / "Ollama"
    env = {"LOCALAPPDATA": str(tmp_path), "PATH": ""}
    found = installed(Path("/"), tmp_path, env, platform="win32")
    command = (str(folder / "ollama app.exe"), "--hide", "--fast-startup")
    assert found == Installed(folder / "ollama.exe", command)


# --- a life -----------------------------------------------------------------------------------------------


async def test_its_server_ends_with_us(home: Home, ollama: Ollama, port: int) -> None:
    running = await ollama.start(port, await yes("ollama", "start", port))
    assert running.child is not None
    assert await ollama.version(port) == "0.33.0"
    assert (running.was_there, running.child.lifetime) == (False, Lifetime.OURS)
    (server,) = home.pids("ollama")
    assert started.recall("ollama") is None
    assert await running.child.stop(Deadlines())
    assert gone(server)


async def test_on_its_own_it_stays_until_it_is_stopped(home: Home, ollama: Ollama, port: int) -> None:
    await ollama.serve(port, await yes("ollama", "serve", port), lifetime=Lifetime.ITS_OWN)
    (server,) = home.pids("ollama")
    await ollama.stop(await yes("ollama", "stop"))
    assert await until(lambda: gone(server), 3)
    with pytest.raises(EngineError, match="was not started by this app"):
        await ollama.stop(await yes("ollama", "stop"))


async def test_a_service_of_the_person_is_started_as_that(home: Home, ollama: Ollama, port: int) -> None:
    home.install_systemctl()
    home.script(host=f"127.0.0.1:{port}")
    running = await ollama.start(port, await yes("ollama", "start", port))
    assert running.child is None, "the service lives its own life"
    assert home.calls()[0] == ["systemctl", "--user", "start", "ollama"]
    assert await ollama.version(port)


async def test_a_service_of_the_computer_is_left_to_an_administrator(
    home: Home, ollama: Ollama, port: int, tmp_path: Path
) -> None:
    made(tmp_path, "etc/systemd/system/ollama.service")
    with pytest.raises(EngineError) as caught:
        await ollama.start(port, await yes("ollama", "start", port))
    assert caught.value.cause == "needs_root"
    assert "sudo systemctl start ollama" in caught.value.next_step
    assert home.calls() == []


async def test_a_server_of_ones_own_beside_the_service_names_the_other_models(
    home: Home, ollama: Ollama, port: int, tmp_path: Path
) -> None:
    service_models = tmp_path / "usr/share/ollama/.ollama/models"
    service_models.mkdir(parents=True)
    running = await ollama.serve(port, await yes("ollama", "serve", port))
    assert running.child is not None
    own = home.folder / ".ollama" / "models"
    assert (
        running.note
        == f"This Ollama has the models in {own}, not those of the computer's service in {service_models}."
    )
    await running.child.stop(Deadlines())


@pytest.mark.parametrize("verb", ["start", "serve"])
async def test_no_second_server_is_started_beside_one_that_answers(
    home: Home, ollama: Ollama, servers: ServerFactory, verb: str
) -> None:
    port = servers("ollama").port
    if verb == "start":
        running = await ollama.start(port, await yes("ollama", "start", port))
    else:
        running = await ollama.serve(port, await yes("ollama", "serve", port))
    assert running.was_there
    assert home.calls() == []


# --- faults of the start ----------------------------------------------------------------------------------


async def test_where_it_is_not_installed_that_is_said(
    around: MakeSurroundings, port: int, tmp_path: Path
) -> None:
    with pytest.raises(EngineError, match="not installed") as caught:
        await Ollama(around(), root=tmp_path).start(port, await yes("ollama", "start", port))
    assert caught.value.cause == "program_missing"


async def test_a_port_that_a_stranger_has_is_told_and_not_fought_for(
    home: Home, around: MakeSurroundings, port: int, tmp_path: Path
) -> None:
    home.install_ollama()
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", port))
        stranger.listen()
        with pytest.raises(EngineError, match=f"Port {port} is taken.*somebody on {port}") as caught:
            await Ollama(around(IMPATIENT), root=tmp_path).start(port, await yes("ollama", "start", port))
    assert caught.value.cause == "port_taken"
    assert home.calls() == []


@pytest.mark.parametrize(
    ("script", "cause", "sentence"),
    [
        ({"mute": True}, "program_silent", r"does not answer on port \d+. It was given 0.5 s"),
        ({"dies": "could not create directory"}, "program_refused", "is: could not create directory."),
        ({"dies": "listen tcp 127.0.0.1:1: bind: address already in use"}, "port_taken", "It belongs to"),
    ],
)
async def test_a_start_that_fails_says_why_and_leaves_nothing(
    home: Home,
    around: MakeSurroundings,
    port: int,
    tmp_path: Path,
    script: dict[str, object],
    cause: str,
    sentence: str,
) -> None:
    home.install_ollama()
    home.script(**script)
    deadlines = IMPATIENT if "mute" in script else PATIENT
    with pytest.raises(EngineError) as caught:
        await Ollama(around(deadlines), root=tmp_path).start(port, await yes("ollama", "start", port))
    assert re.search(sentence, str(caught.value)), str(caught.value)
    assert caught.value.cause == cause
    assert [pid for pid in home.pids() if not gone(pid)] == []


async def test_a_service_that_does_not_start_is_quoted(home: Home, ollama: Ollama, port: int) -> None:
    home.install_systemctl()
    home.script(refuse={"systemctl": "Unit ollama.service is masked."})
    with pytest.raises(EngineError, match="It says: Unit ollama.service is masked."):
        await ollama.start(port, await yes("ollama", "start", port))


# --- models -----------------------------------------------------------------------------------------------


@pytest.fixture
def served(servers: ServerFactory) -> int:
    """The port of an Ollama with a model here, one in the cloud, and one that only embeds."""
    embeds = {"id": "nomic-embed-text:latest", "embedding": True, "loaded": False}
    cloud = {"id": "gpt-oss:120b-cloud", "remote_host": "https://ollama.com", "loaded": False}
    return servers("ollama", models=[{"id": MODEL, "loaded": False}, cloud, embeds]).port


async def test_a_model_is_loaded_and_unloaded(ollama: Ollama, served: int) -> None:
    loaded = await ollama.load("llama3.2", served, await yes("ollama", "load", "llama3.2"))
    assert (loaded.name, loaded.context_length, loaded.was_there) == (MODEL, 4096, False)
    again = await ollama.load(MODEL, served, await yes("ollama", "load", MODEL))
    assert again.was_there
    await ollama.unload("llama3.2", served, await yes("ollama", "unload", "llama3.2"))
    with pytest.raises(EngineError, match="has no model llama3.2 loaded"):
        await ollama.unload("llama3.2", served, await yes("ollama", "unload", "llama3.2"))


async def test_it_stays_as_long_as_was_asked_for(ollama: Ollama, servers: ServerFactory) -> None:
    server = servers("ollama", models=[{"id": MODEL, "loaded": False}])
    await ollama.load(MODEL, server.port, await yes("ollama", "load", MODEL), idle_seconds=1800)
    (request,) = server.requests("/api/generate")
    assert request["body"] == {"model": MODEL, "stream": False, "keep_alive": 1800}


@pytest.mark.parametrize(
    ("model", "cause", "sentence"),
    [
        ("qwen3", "model_missing", f"has no model called qwen3. It has: {MODEL}, .* ollama pull qwen3"),
        ("gpt-oss:120b-cloud", "model_elsewhere", "passes it on to the cloud"),
        ("nomic-embed-text", "program_refused", "does not support generate"),
    ],
)
async def test_what_cannot_be_loaded_is_said(
    ollama: Ollama, served: int, model: str, cause: str, sentence: str
) -> None:
    with pytest.raises(EngineError) as caught:
        await ollama.load(model, served, await yes("ollama", "load", model))
    assert re.search(sentence, str(caught.value)), str(caught.value)
    assert caught.value.cause == cause


async def test_too_little_memory_is_said(ollama: Ollama, servers: ServerFactory) -> None:
    server = servers("ollama", "--fault", "out_of_memory", models=[{"id": MODEL, "loaded": False}])
    server.set_fault("out_of_memory", on="/api/generate")
    with pytest.raises(EngineError, match="out of memory") as caught:
        await ollama.load(MODEL, server.port, await yes("ollama", "load", MODEL))
    assert caught.value.cause == "out_of_memory"
    assert "smaller model" in caught.value.next_step


async def test_a_load_that_does_not_end_is_given_up(
    home: Home, around: MakeSurroundings, servers: ServerFactory
) -> None:
    server = servers("ollama", "--load-seconds", "30", models=[{"id": MODEL, "loaded": False}])
    with pytest.raises(EngineError, match=f"could not load {MODEL}.*within 0.5 s") as caught:
        await Ollama(around(replace(PATIENT, model_load=0.5))).load(
            MODEL, server.port, await yes("ollama", "load", MODEL)
        )
    assert caught.value.cause == "program_silent"


async def test_where_it_does_not_run_nothing_is_loaded(home: Home, ollama: Ollama, port: int) -> None:
    with pytest.raises(EngineError, match="not running") as caught:
        await ollama.load(MODEL, port, await yes("ollama", "load", MODEL))
    assert "servers start ollama" in caught.value.next_step
    assert home.calls() == []
