"""`engine`: one engine for all programs of a person, in the foreground or left in the background."""

import json
import os
import signal

from tests.cli.program import Program, engines_of, wait_until_gone


def test_one_engine_in_the_foreground_for_all_programs(program: Program) -> None:
    owner = program.start("engine", "start")
    owner.expect("The engine is ready, model guide")
    owner.expect("It runs here until Ctrl-C.")
    first = program.run("engine", "status", "--json").json
    assert first["state"] == "ready"

    answer = program.run("chat", "--guide", "--json", "Hello")
    assert answer.code == 0
    assert answer.json["provenance"]["backend"] == "guide"
    assert program.owner_pid() == owner.pid  # the second program did not take over
    assert engines_of(program.home) == [first["pid"]]
    assert program.run("engine", "status", "--json").json["pid"] == first["pid"]
    assert f"process {first['pid']}" in program.run("engine", "status").out

    again = program.run("engine", "start", "--json")  # it runs already: said, and nothing stays
    assert (again.code, again.json["pid"]) == (0, first["pid"])
    log = program.run("engine", "logs", "--json", "-n", "5").json["lines"]
    assert 1 <= len(log) <= 5

    os.kill(owner.pid, signal.SIGTERM)
    assert owner.wait() == 0
    assert wait_until_gone(first["pid"], 2)
    stopped = program.run("engine", "status", "--json")
    assert (stopped.code, stopped.json["state"], stopped.json["pid"]) == (0, "stopped", None)
    assert program.run("engine", "logs", "-n", "3").out.count("\n") == 3  # the log outlives the engine


def test_an_engine_in_the_background_until_it_is_stopped(program: Program) -> None:
    started = program.run("engine", "start", "--detach", "--json")
    assert started.code == 0
    owner = program.owner_pid()
    assert owner is not None
    assert program.run("engine", "start", "--detach", "--json").json["pid"] == started.json["pid"]
    assert program.owner_pid() == owner

    assert program.run("engine", "stop", "--json").json == {"stopped": True}
    assert wait_until_gone(started.json["pid"], 3)
    assert wait_until_gone(owner, 3)
    assert program.run("engine", "stop", "--json").json == {"stopped": False}
    assert program.run("engine", "stop").out == "No engine of ours is running.\n"


def test_an_engine_that_cannot_start_says_why_in_the_foreground_and_the_background(program: Program) -> None:
    model = program.home.parent / "broken.gguf"
    model.write_bytes(b"GGUF and nothing of it")
    env = {"WHISPER_GGUF_MODEL_PATH": str(model)}
    here = program.run("engine", "start", env=env)
    assert here.code == 1
    assert "broken.gguf" in here.err
    assert program.owner_pid() is None
    background = program.run("engine", "start", "--detach", "--json", env=env)
    assert background.code == 1
    assert "broken.gguf" in json.dumps(background.json["error"])
    assert program.owner_pid() is None


def test_ctrl_c_in_the_foreground_ends_the_engine(program: Program) -> None:
    owner = program.terminal("engine", "start")
    owner.expect("until Ctrl-C")
    (engine,) = engines_of(program.home)
    owner.type("\x03")
    assert "Traceback" not in owner.rest()
    assert owner.wait() == 0
    assert wait_until_gone(engine, 2)
