"""`servers`: LM Studio and Ollama from the terminal, never without a yes."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.here import run_here
from tests.cli.program import Program, Result, wait_until_gone
from tests.ports import closed_port
from tests.servers.fixtures import ServerFactory
from tests.servers.programs import Home

Here = Callable[..., Result]


@pytest.fixture
def home(tmp_path: Path, program: Program) -> Iterator[Home]:
    """The home of a person who has LM Studio's and Ollama's programs, none of them running."""
    folder = Home(tmp_path / "home")
    folder.install_lms()
    folder.install_ollama()
    program.env |= {"HOME": str(folder.folder), "PATH": folder.env["PATH"]}
    try:
        yield folder
    finally:
        folder.end_all()


@pytest.fixture
def here(program: Program, home: Home) -> Here:
    """`here("ports")` runs `servers ports` in this process."""

    def run(*args: str, **more: str) -> Result:
        return run_here(program, "servers", *args, **more)

    return run


@pytest.fixture
def port() -> int:
    return closed_port()


MODEL = "qwen/qwen3-4b-2507"


# --- asking -----------------------------------------------------------------------------------------------


def test_in_a_terminal_it_asks_and_a_no_is_a_no(program: Program, home: Home, port: int) -> None:
    asking = program.terminal("servers", "start", "ollama", "--port", str(port))
    asking.expect(f"Start Ollama on port {port}? [y/N]: ")
    asking.type("\n")
    asking.expect("Nothing was done.")
    assert asking.wait() == 1
    assert home.calls() == []


def test_after_a_yes_it_runs_until_ctrl_c(program: Program, home: Home, port: int) -> None:
    asking = program.terminal("servers", "start", "ollama", "--port", str(port))
    asking.expect("[y/N]: ")
    asking.type("y\n")
    asking.expect(f"Ollama runs on port {port}.")
    asking.expect("It runs here until Ctrl-C.")
    (server,) = home.pids("ollama")
    asking.type("\x03")
    asking.wait()
    assert wait_until_gone(server, 3)


@pytest.mark.parametrize("command", [["start"], ["unload", MODEL]])
def test_without_a_terminal_and_without_yes_nothing_is_done(
    here: Here, home: Home, command: list[str]
) -> None:
    verb, *rest = command
    done = here(verb, "lm_studio", *rest, "--json")
    assert done.code == 1
    assert done.json["error"]["next_step"] == "Add --yes to say it beforehand."
    assert home.pids() == []


# --- doing ------------------------------------------------------------------------------------------------


def test_lm_studio_is_started_with_a_model_and_ended_again(here: Here, home: Home, port: int) -> None:
    started = here("start", "lmstudio", "--port", str(port), "--load", MODEL, "--yes", "--json")
    assert started.json == {
        "program": "lm_studio",
        "url": f"http://127.0.0.1:{port}",
        "port": port,
        "was_running": False,
        "process": None,
        "note": "",
        "model": {"name": MODEL, "context_length": 4096, "was_loaded": False},
    }
    again = here("start", "lm_studio", "--port", str(port))
    assert again.out == f"LM Studio runs already on port {port}.\n", "and nobody had to be asked"
    (daemon,) = home.pids("daemon")
    assert here("stop", "lm_studio", "-y").out == "LM Studio is stopped.\n"
    assert wait_until_gone(daemon, 3)


def test_detached_it_outlives_the_command_until_it_is_stopped(
    program: Program, here: Here, home: Home, port: int
) -> None:
    started = program.run("servers", "start", "ollama", "--port", str(port), "--detach", "--yes")
    assert started.out == f"Ollama runs on port {port}.\n"
    (server,) = home.pids("ollama")
    loaded = here("load", "ollama", "llama3.2", "--port", str(port), "--minutes", "9", "-y")
    assert loaded.out == "llama3.2:latest is loaded in Ollama with 4,096 tokens of context.\n"
    emptied = here("unload", "ollama", "llama3.2", "--port", str(port), "-y")
    assert emptied.out == "llama3.2 is unloaded.\n"
    assert here("stop", "ollama", "-y").code == 0
    assert wait_until_gone(server, 3)


def test_what_cannot_be_done_is_said_in_three_parts(here: Here, port: int) -> None:
    failed = here("load", "ollama", "llama3.2", "--port", str(port), "--yes")
    assert failed.code == 1
    assert failed.err.splitlines()[0] == "Ollama is not running."
    assert "whisper-desktop servers start ollama" in failed.err
    unknown = here("start", "jan", "--yes")
    assert unknown.code == 2
    assert "jan is none of lm_studio, ollama" in unknown.err


def test_ollama_on_another_computer_is_not_started_here(here: Here, home: Home) -> None:
    failed = here("start", "ollama", "-y", OLLAMA_HOST="192.168.7.7")
    assert "Ollama is set to be on another computer: 192.168.7.7:11434." in failed.err
    assert home.calls() == []


# --- ports ------------------------------------------------------------------------------------------------


def test_ports_are_told_with_who_has_them(here: Here, servers: ServerFactory, port: int) -> None:
    server = servers("ollama")
    told = here("ports", str(server.port), str(port))
    first, second = told.out.splitlines()
    assert first.startswith(f"Ollama 0.33.0 answers on port {server.port}: python")
    assert f"(process {server.pid})" in first
    assert second == f"Port {port} is free."
    (claim,) = here("ports", str(server.port), "--json").json["ports"]
    assert claim["verdict"] == "adopt"
    assert claim["owner"]["process"] == server.pid
    assert claim["server"] == {"id": "ollama", "name": "Ollama", "version": "0.33.0"}


def test_without_ports_the_usual_ones_are_told(here: Here) -> None:
    told = here("ports", "--json").json["ports"]
    assert {11434, 8080} <= {claim["port"] for claim in told}
