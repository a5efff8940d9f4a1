"""`engine builds`: the real program, a local release server, and archives of programs that answer."""

import os
import signal
from collections.abc import Callable

import pytest

from tests.cli.here import run_here
from tests.cli.program import PATIENCE_S, Program, Result
from tests.engines.builds import conftest as of_builds
from tests.engines.builds.forge import Forge
from tests.engines.builds.programs import placed, working_server
from tests.engines.builds.programs import program as put_program
from tests.ports import closed_port
from whisper_desktop.engines.builds import keep
from whisper_desktop.settings.paths import resource

Builds = Callable[..., Result]

common_forge, forge = of_builds.common_forge, of_builds.forge


@pytest.fixture
def here(program: Program, forge: Forge) -> Builds:
    """`here("list")` runs `engine builds list` in this process, with the forge as the place where builds are
    listed, which `program` has too.
    """
    program.env["WHISPER_LLM__LLAMACPP__BUILD_INDEX"] = forge.index

    def run(*args: str, **more: str) -> Result:
        return run_here(program, "engine", "builds", *args, **more)

    return run


@pytest.fixture
def before(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    """b100 is installed and in use."""
    monkeypatch.setenv("WHISPER_HOME", str(program.home))
    with keep.changing():
        placed("b100-cpu", working_server("b100 (scripted)"))


def test_the_real_program_installs_without_a_terminal(here: Builds, forge: Forge, program: Program) -> None:
    forge.publish("b100")
    done = program.run("engine", "builds", "install", "--yes")
    assert done.code == 0, done.err
    assert "b100-cpu" in done.out
    assert "to download" in done.out
    assert "b100-cpu is installed" in done.out


@pytest.mark.usefixtures("before")
def test_builds_are_upgraded_listed_used_and_removed(here: Builds, forge: Forge) -> None:
    forge.publish("b101")
    upgraded = here("install", "--yes", "--json").json
    assert (upgraded["name"], upgraded["current"], upgraded["says"]) == ("b101-cpu", True, "b101 (scripted)")
    assert here("rollback", "--json").json["name"] == "b100-cpu"
    here("rollback")
    listed = here("list", "--json").json["builds"]
    assert [(row["name"], row["current"], row["previous"]) for row in listed] == [
        ("b101-cpu", True, False),
        ("b100-cpu", False, True),
    ]
    assert "previous" in here("list").out
    found = here("find", "--json").json["programs"]
    assert (found[0]["source"], found[0]["version"]) == ("installed", "b101 (scripted)")
    assert "b100-cpu is used from now on" in here("use", "b100-cpu").out
    assert here("remove", "b100-cpu", "--json").json == {"removed": "b100-cpu", "current": "b101-cpu"}
    assert "built-in engine is used" in here("remove", "b101-cpu").out
    assert here("rollback").code == 1
    assert "installed no build" in here("list").out
    unknown = here("use", "b7")
    assert (unknown.code, unknown.err.split("\n")[0]) == (1, "No build is called b7.")


@pytest.mark.usefixtures("before")
def test_the_engine_runs_on_the_installed_build(program: Program) -> None:
    model = program.home.parent / "model.gguf"
    model.write_bytes(resource("guide", "guide.gguf").read_bytes())
    owner = program.start("engine", "start", env={"WHISPER_GGUF_MODEL_PATH": str(model)})
    owner.expect("The engine is ready, model model")
    assert "engines/b100-cpu/" in run_here(program, "engine", "logs").out
    os.kill(owner.pid, signal.SIGTERM)
    assert owner.wait() == 0


def test_nothing_is_installed_without_a_yes(here: Builds, forge: Forge, program: Program) -> None:
    forge.publish("b100")
    seen = len(forge.server.requests())
    piped = here("install")
    assert piped.code == 1
    assert "Add --yes" in piped.err
    assert here("install", "--json").json["error"]["title"].startswith("Nothing was downloaded: b100-cpu")
    asked = program.terminal("engine", "builds", "install")
    asked.expect("Install it? [Y/n]")
    asked.type("n\n")
    assert asked.wait() == 130
    assert not any("/release-assets/" in entry["path"] for entry in forge.server.requests()[seen:])
    agreed = program.terminal("engine", "builds", "install")
    agreed.expect("Install it? [Y/n]")
    agreed.type("y\n")
    agreed.expect("b100-cpu is installed")
    assert agreed.wait() == 0


def test_a_certain_version_and_variant_and_ones_that_are_not_there(here: Builds, forge: Forge) -> None:
    for tag in ("b100", "b101"):
        forge.publish(tag)
    assert here("install", "--version", "b100", "--yes", "--json").json["name"] == "b100-cpu"
    missing = here("install", "--version", "b7", "--yes")
    assert missing.code == 1
    assert "There is no release b7." in missing.err
    other = here("install", "--variant", "metal", "--yes")
    assert other.code == 1
    assert "There is no build metal for Linux" in other.err
    assert "cpu" in other.err


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (
            {"WHISPER_ALLOW_NETWORK": "0", "WHISPER_LLM__LLAMACPP__BUILD_INDEX": ""},
            "the network is switched off",
        ),
        ({"WHISPER_LLM__LLAMACPP__BUILD_INDEX": f"http://127.0.0.1:{closed_port()}/x"}, "cannot be reached"),
    ],
)
def test_without_a_network_it_says_so(here: Builds, more: dict[str, str], words: str) -> None:
    result = here("install", "--yes", **more)
    assert result.code == 1
    assert words in result.err
    assert here("install", "--yes", "--json", **more).json["error"]["next_step"]


@pytest.mark.usefixtures("before")
def test_a_failed_trial_and_a_wrong_checksum_leave_the_old_build(here: Builds, forge: Forge) -> None:
    forge.publish("b101", text=working_server(behave="no-answer"))
    tried = here("install", "--yes")
    assert tried.code == 1
    assert "The build b101-cpu was not installed." in tried.err
    assert "b100-cpu stays in use." in tried.err
    forge.publish("b102")
    forge.server.set_fault("other_bytes")
    wrong = here("install", "--yes")
    assert wrong.code == 1
    assert "checksum" in wrong.err
    assert [row["name"] for row in here("list", "--json").json["builds"]] == ["b100-cpu"]


@pytest.mark.usefixtures("before")
def test_a_disk_that_takes_no_more_leaves_the_old_build(here: Builds, forge: Forge, program: Program) -> None:
    forge.publish("b101", text=working_server() + "#" + os.urandom(500_000).hex())
    full = program.run("engine", "builds", "install", "--yes", shell='ulimit -f 100; exec "$@"')
    assert full.code == 1
    assert "b101-bin" in full.err
    assert "written to the disk" in full.err
    assert "b100-cpu stays in use." in full.err
    assert here("list", "--json").json["builds"][0]["current"] is True


def test_a_program_killed_on_the_way_leaves_nothing_in_use_and_the_next_goes_on(
    here: Builds, forge: Forge, program: Program
) -> None:
    forge.publish("b100", text=working_server() + "#" + os.urandom(2**20).hex())
    forge.server.set_fault("slow", 500_000, count=1)
    seen = len(forge.server.requests())
    killed = program.start("engine", "builds", "install", "--yes")
    forge.server.wait_for("request", count=seen + 3, timeout=PATIENCE_S)
    killed.kill()
    assert here("list", "--json").json == {"builds": []}
    assert here("install", "--yes").code == 0
    folder = program.home / "data" / "engines"
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == ["b100-cpu", "downloads"]
    assert list((folder / "downloads").iterdir()) == []


def test_programs_of_other_apps_are_listed_with_consent_only_and_never_run(
    here: Builds, program: Program
) -> None:
    home = program.home.parent
    backend = home / ".lmstudio" / "extensions" / "backends" / "llama.cpp-linux-x86_64-avx2-2.9.0"
    theirs = put_program(backend, f"#!/bin/sh\ntouch {home / 'was-run'}\n")
    assert "LM Studio" not in here("find").out
    found = here("find", "--others").out
    assert f"{theirs} (LM Studio's own)" in found
    assert "It was not run." in found
    (row,) = here("find", "--others", "--json").json["programs"]
    assert (row["source"], row["usable"], row["version"]) == ("lm_studio", None, None)
    assert not (home / "was-run").exists()


def test_a_program_that_is_no_llama_server_is_shown_with_the_reason(here: Builds, program: Program) -> None:
    other = put_program(program.home.parent / "bin", "#!/bin/sh\necho hello\n")
    row = here("find", "--json", WHISPER_LLM__LLAMACPP__SERVER_PATH=str(other)).json["programs"][0]
    assert (row["source"], row["usable"]) == ("settings", False)
    assert "It says: hello" in row["detail"]
