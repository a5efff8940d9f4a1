"""`engine sleep`, `engine repair` and `engine logs --follow` as processes, over real engines."""

import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.program import Program, Result, wait_until_gone

TOO_MUCH = 2_000_000  # tokens: the tiny model needs about 2 GB for that
LIMITED = 'ulimit -d 1500000; exec "$@"'  # KiB of memory, for the command and the engine that it starts
STATUS = {
    "engine", "state", "model", "url", "pid", "memory_bytes", "detail", "cause", "repairs", "warning",
    "progress", "restart_in", "tokens_per_second",
}  # fmt: skip


Limited = Callable[..., Result]


@pytest.fixture
def limited(tiny: Program) -> Limited:
    """`limited("engine", "start")`: with too little memory for the context that is set."""
    tiny.env["WHISPER_LLM__LLAMACPP__N_CTX"] = str(TOO_MUCH)
    return lambda *args: tiny.run(*args, shell=LIMITED)


def kept(program: Program) -> Any:
    """The accepted repairs in the app's own file."""
    choices = yaml.safe_load((program.home / "config" / "choices.yaml").read_text("utf-8"))
    return choices["llm"]["llamacpp"]["repairs"]


# --- repairs ----------------------------------------------------------------------------------------------


def test_a_repair_is_offered_accepted_kept_and_forgotten_from_the_terminal_alone(
    tiny: Program, limited: Limited, model: Path
) -> None:
    failed = limited("chat", "Hello")
    assert failed.code == 1
    assert "There is not enough memory for this model." in failed.err
    assert "Run: whisper-desktop engine repair smaller_context" in failed.err

    other = limited("engine", "repair", "no_such", "--json")  # said by the start that fails again
    assert other.code == 1
    offered = {each["id"]: each for each in other.json["error"]["repairs"]}
    assert set(offered["smaller_context"]) == {"id", "label", "detail", "change", "command"}

    repaired = limited("engine", "repair", "smaller_context", "--json")
    assert repaired.code == 0, repaired.raw
    assert repaired.json["repaired"] == "smaller_context"
    change = offered["smaller_context"]["change"]
    assert kept(tiny) == {str(model): [change]}
    assert tiny.owner_pid() is None  # nothing stays behind

    assert f"Accepted for this model: {change}." in limited("engine", "repair").out
    assert f"context: {int(change.partition('=')[2]):,} tokens" in limited("engine", "plan").out
    assert limited("engine", "repair", "--undo").out == f"Forgotten: {change}.\n"
    assert not kept(tiny)


def test_an_engine_that_another_program_keeps_is_repaired_there(tiny: Program, model: Path) -> None:
    owner = tiny.start("engine", "start")
    owner.expect("until Ctrl-C")
    assert tiny.run("engine", "repair", "other_port").out == (
        "There is nothing to repair: the engine starts as it is.\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        tiny.run("config", "set", "llm.llamacpp.engine_port", str(port))
        assert f"Port {port} is taken" in tiny.run("engine", "start").err
        status = tiny.run("engine", "status").out
        assert "The engine cannot run, model tiny." in status
        assert "Run: whisper-desktop engine repair other_port" in status
        failed = tiny.run("engine", "status", "--json").json
        assert set(failed) == STATUS
        assert (failed["state"], failed["cause"]) == ("failed", "port_taken")
        assert [each["id"] for each in failed["repairs"]] == ["other_port"]

        wrong = tiny.run("engine", "repair", "smaller_context")
        assert wrong.code == 1
        assert "Offered: other_port." in wrong.err
        repaired = tiny.run("engine", "repair", "other_port", "--json").json
        assert (repaired["repaired"], repaired["engine"]["state"]) == ("other_port", "ready")
        assert kept(tiny) == {str(model): ["port=auto"]}
        assert tiny.run("engine", "repair", "--json").json == {"repairs": [], "accepted": ["port=auto"]}
        assert tiny.owner_pid() == owner.pid


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("engine", "repair", "no_gpu", "--undo"), "Either a repair, or --undo."),
        (("engine", "logs", "--follow", "--json"), "cannot be one JSON document"),
        (("engine", "logs", "-n", "0"), "0"),
    ],
)
def test_a_wrong_use_is_told_with_the_way_to_the_help(
    program: Program, args: tuple[str, ...], says: str
) -> None:
    wrong = program.run(*args)
    assert wrong.code == 2
    assert says in wrong.err
    assert "--help` shows how." in wrong.err


# --- sleeping ---------------------------------------------------------------------------------------------


def test_an_engine_sleeps_on_demand_and_wakes_with_the_next_question(tiny: Program) -> None:
    assert tiny.run("engine", "sleep").out == "There is nothing to free: no engine of ours is awake.\n"
    pid = tiny.run("engine", "start", "--detach", "--json").json["pid"]
    assert tiny.run("engine", "sleep", "--json").json == {"freed": True}
    assert wait_until_gone(pid, 1)
    asleep = tiny.run("engine", "status")
    assert asleep.out == "The engine is asleep, model tiny.\nIt sleeps: its memory was asked for.\n"
    answer = tiny.run("chat", "--json", "Hello")
    assert answer.json["provenance"]["backend"] == "builtin"
    status = tiny.run("engine", "status", "--json").json
    assert set(status) == STATUS
    assert (status["state"], status["pid"] != pid) == ("ready", True)
    tiny.run("engine", "stop")


# --- the log ----------------------------------------------------------------------------------------------


def test_a_log_is_followed_from_its_newest_lines_on_until_ctrl_c(tiny: Program) -> None:
    logs = tiny.home / "logs"
    logs.mkdir(parents=True)
    (logs / "engine-builtin.log").write_text("one\ntwo\nthree\n")
    following = tiny.start("engine", "logs", "--follow", "-n", "2")
    assert following.expect("three\n") == "two\nthree\n"
    started = tiny.run("engine", "start", "--detach", "--json").json
    following.expect("starting builtin on port")
    os.kill(following.pid, signal.SIGINT)
    assert following.wait() == 130
    assert "Traceback" not in following.rest()
    tiny.run("engine", "stop")
    assert wait_until_gone(started["pid"], 3)
