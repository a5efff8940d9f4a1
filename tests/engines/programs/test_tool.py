"""Another maker's tool is run in bounds, and what it says is read without trusting it."""

import os
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest

from whisper_desktop.engines.programs.tool import (
    Said,
    ToolFailed,
    persons_environment,
    plain,
    quoted,
    run_tool,
)

ENV = dict(os.environ)


def python(code: str) -> list[str]:
    return [sys.executable, "-S", "-E", "-c", code]


async def test_both_streams_and_the_exit_code_are_kept_apart() -> None:
    code = "import sys; print('{\"a\": 1}'); print('for you', file=sys.stderr); sys.exit(3)"
    said = await run_tool(python(code), timeout=20, env=ENV)
    assert said == Said(3, '{"a": 1}\n', "for you\n")
    assert said.json == {"a": 1}
    assert said.told == "It says: for you."


async def test_a_tool_that_hangs_is_ended_in_time() -> None:
    began = time.monotonic()
    with pytest.raises(ToolFailed, match=r"did not end within 0\.3 s"):
        await run_tool(python("import time; time.sleep(60)"), timeout=0.3, env=ENV)
    assert time.monotonic() - began < 5


async def test_what_a_tool_woke_neither_keeps_us_waiting_nor_is_ended_with_it() -> None:
    code = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-S', '-c', 'import time; time.sleep(30)'])\n"
        "print(child.pid, flush=True)"
    )
    began = time.monotonic()
    said = await run_tool(python(code), timeout=20, env=ENV)
    assert time.monotonic() - began < 15
    pid = int(said.out)
    assert psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    os.kill(pid, signal.SIGKILL)


async def test_output_without_end_is_drained_and_cut() -> None:
    code = "import sys; sys.stdout.write('x' * 3_000_000); sys.stderr.write('y' * 3_000_000)"
    said = await run_tool(python(code), timeout=20, env=ENV)
    assert (said.code, len(said.out), len(said.err)) == (0, 1_000_000, 1_000_000)


async def test_a_program_that_cannot_be_run_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ToolFailed, match="cannot be run: No such file"):
        await run_tool([str(tmp_path / "lms")], timeout=1, env=ENV)


async def test_it_runs_in_the_folder_and_with_the_environment_that_it_is_given(tmp_path: Path) -> None:
    code = "import os; print(os.getcwd(), os.environ.get('HUGGING_TOKEN'), os.environ['HTTPS_PROXY'])"
    env = {"HUGGING_TOKEN": "hf_secret", "HTTPS_PROXY": "http://proxy:8080"}
    said = await run_tool(python(code), timeout=20, env=env, folder=tmp_path)
    assert said.out.split() == [str(tmp_path), "None", "http://proxy:8080"]


def test_keys_stay_with_us_and_proxies_are_passed_on() -> None:
    env = {"OPENAI_API_KEY": "k", "HF_TOKEN": "t", "no_proxy": "x", "OLLAMA_MODELS": "/m", "PATH": "/bin"}
    kept = persons_environment(env)
    assert {"no_proxy", "OLLAMA_MODELS", "PATH"} <= set(kept)
    assert not {"OPENAI_API_KEY", "HF_TOKEN"} & set(kept)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("\x1b[91mError:\x1b[39m no", "Error: no"),
        ("\r\x1b[2K⠋ Loading 0%\r\x1b[2K⠋ Loading 100%", "⠋ Loading 100%"),
        ("one\r\ntwo\r\n", "one\ntwo\n"),
        ("\x1b]0;title\x07shown\x07", "shown"),
        ("a\x9b31mb\x00", "a31mb"),
    ],
)
def test_what_steers_a_terminal_is_removed(raw: str, text: str) -> None:
    assert plain(raw) == text


def test_a_framed_message_becomes_one_short_line() -> None:
    framed = (
        "╭─ Model not found ──╮\n│                    │\n│  No model \x1b[33mx\x1b[39m.       │\n╰──────╯"
    )
    assert quoted(framed) == "Model not found No model x"
    assert len(quoted("word " * 1000)) <= 240


@pytest.mark.parametrize(
    ("out", "value"),
    [
        ('[{"a": 1}]', [{"a": 1}]),
        ('A new version is there\n{"running": true}\n', {"running": True}),
        ("{not json", None),
        ('{"old": 1}\n' + "{not json\n" * 20, None),
        ("a note\n7\n", None),
        ("", None),
        ("[" * 100_000, None),
    ],
)
def test_json_is_found_where_it_is_and_nothing_is_made_up(out: str, value: object) -> None:
    assert Said(0, out, "").json == value
