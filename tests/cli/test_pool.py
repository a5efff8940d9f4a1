"""`pool plan` and `pool try`, with the tiny model and as a stub."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from click.testing import CliRunner, Result

from tests.engines.tiny_model import write_tiny_model
from whisper_desktop.cli.pool import pool
from whisper_desktop.cli.running import Failed

Cli = Callable[..., Result]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "tiny.gguf")


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cli]:
    """Runs a command of the pool in this process; afterwards nothing may be left of it."""
    monkeypatch.setenv("WHISPER_LLM__LLAMACPP__N_CTX", "1024")
    before = {child.pid for child in psutil.Process().children(recursive=True)}

    def run(*args: str, **env: str) -> Result:
        done = CliRunner().invoke(pool, args, env=env)
        assert done.exception is None or isinstance(done.exception, Failed | SystemExit), done.exception
        return done

    yield run
    left = psutil.Process().children(recursive=True)
    assert [child for child in left if child.pid not in before] == []


def data(result: Result) -> Any:  # noqa: ANN401
    return json.loads(result.stdout)


def test_the_plan_says_what_would_run_and_why(cli: Cli, model: Path) -> None:
    shown = cli("plan", WHISPER_GGUF_MODEL_PATH=str(model))
    assert shown.exit_code == 0
    assert "one for each role" in shown.stdout or "One server with 5 slots" in shown.stdout
    assert "Context: 1,024 tokens for each." in shown.stdout
    told = data(cli("plan", "--json", WHISPER_GGUF_MODEL_PATH=str(model)))
    assert [each["role"] for each in told["roles"]] == ["planner", "coder", "runner", "critic", "summarizer"]
    assert sum(each["slots"] for each in told["instances"]) == 5
    assert 0 < told["need_bytes"] <= told["room_bytes"]
    assert told["warning"] == ""


def test_a_trial_answers_in_the_roles_that_are_asked_and_gives_figures(cli: Cli, model: Path) -> None:
    env = {"WHISPER_GGUF_MODEL_PATH": str(model), "WHISPER_LLM__POOL__ROLES": "planner,critic"}
    told = data(cli("try", "Hello", "--role", "critic", "--json", **env))
    assert list(told["answers"]) == ["critic"]
    answer = told["answers"]["critic"]
    assert answer["text"]
    assert answer["provenance"]["server_name"].endswith("(critic)")
    assert len(told["plan"]["roles"]) == 2
    assert told["detail"] == "All 2 roles are ready."
    assert told["ready_seconds"] > 0
    assert told["tokens_per_second"] > 0
    assert told["memory_bytes"] > 10_000_000
    assert told["stop_seconds"] < 3


def test_ctrl_c_during_a_trial_leaves_nothing_behind(model: Path) -> None:
    program = "import sys; from whisper_desktop.cli.pool import pool; pool(sys.argv[1:])"
    env = {**os.environ, "WHISPER_GGUF_MODEL_PATH": str(model), "WHISPER_LLM__LLAMACPP__N_CTX": "1024"}
    command = [sys.executable, "-c", program, "try", "Hello"]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        children: list[psutil.Process] = []
        until = time.monotonic() + 30
        while not children and time.monotonic() < until:
            children = psutil.Process(process.pid).children(recursive=True)
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=30)
    assert children
    assert b"tokens a second together" not in out
    assert psutil.wait_procs(children, timeout=3)[1] == []


def test_without_a_model_it_says_what_to_do(cli: Cli) -> None:
    result = cli("try", "Hello")
    assert result.exit_code == 1
    assert "The pool has no model yet." in result.stderr
    assert "config set llm.gguf_model_path" in result.stderr


def test_a_model_that_cannot_be_loaded_is_named_once_with_its_cause(cli: Cli, tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF and nothing of it")
    result = cli("try", "Hello", WHISPER_GGUF_MODEL_PATH=str(broken))
    assert result.exit_code == 1
    assert result.stderr.startswith("The pool could not be started: all 5 roles must be ready")
    assert result.stderr.count("broken.gguf") == 1


def test_a_role_that_is_not_set_is_named_with_those_that_are(cli: Cli, model: Path) -> None:
    result = cli("try", "Hello", "--role", "poet", WHISPER_GGUF_MODEL_PATH=str(model))
    assert result.exit_code == 1
    assert "The pool has no role poet." in result.stderr
    assert "planner, coder, runner, critic, summarizer" in result.stderr


def test_a_stub_needs_no_model(cli: Cli) -> None:
    env = {"WHISPER_LLM__POOL__STUB": "yes"}
    assert data(cli("plan", "--json", **env))["form"] == "stub"
    assert "stub is on" in cli("plan", **env).stdout
    shown = cli("try", "Hello", **env)
    assert shown.exit_code == 0
    assert "This is a stub of the planner; no model is running." in shown.stdout
    assert "All roles are ready, as stubs." in shown.stdout
