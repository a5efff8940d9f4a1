"""The engine child by itself: who may run it, its flags, and its exit codes."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import xllamacpp

from whisper_desktop.engines.child import FlagError, apply_flags
from whisper_desktop.engines.command import child_folder, own_program
from whisper_desktop.engines.launch import free_port


def child(words: Sequence[str], *, owner: int | None = None) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*own_program(), "--engine-child", str(os.getpid() if owner is None else owner), "nonce", *words],
        cwd=child_folder(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def result(words: Sequence[str], *, owner: int | None = None) -> tuple[int, str]:
    with child(words, owner=owner) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        output = process.stdout.read()
        return process.wait(), output


def test_a_child_whose_owner_has_gone_ends_at_once() -> None:
    code, output = result(["builtin"], owner=1)
    assert (code, "has ended" in output) == (1, True)


def test_words_that_make_no_sense_get_the_usage() -> None:
    assert result(["nonsense"])[0] == 2
    assert result(["exec"])[0] == 2


@pytest.mark.parametrize("mode", ["exec", "stay"])
def test_a_binary_that_is_not_there_is_named(mode: str, tmp_path: Path) -> None:
    code, output = result([mode, str(tmp_path / "none")])
    assert code == 127
    assert f"cannot run '{tmp_path / 'none'}': No such file or directory" in output


@pytest.mark.parametrize("mode", ["exec", "stay"])
def test_a_file_that_is_no_program_is_named(mode: str, tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_bytes(b"\x00\x01 no program")
    text.chmod(0o755)
    code, output = result([mode, str(text)])
    assert (code, "Exec format error" in output) == (126, True)


@pytest.mark.parametrize("mode", ["exec", "stay"])
def test_the_exit_code_of_the_binary_is_the_childs(mode: str) -> None:
    assert result([mode, sys.executable, "-c", "raise SystemExit(7)"])[0] == 7


@pytest.mark.parametrize("mode", ["exec", "stay"])
def test_the_signal_that_ends_the_binary_ends_the_child(mode: str) -> None:
    assert result([mode, sys.executable, "-c", "import os; os.abort()"])[0] == -signal.SIGABRT


def test_what_the_owner_writes_reaches_a_binary_that_is_waited_on() -> None:
    """Where the child cannot become the binary, it passes the words of child mode on."""
    echo = "import sys; print('up', flush=True); print('heard', sys.stdin.readline())"
    with child(["stay", sys.executable, "-c", echo]) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.stdin.write("cmd_router_to_child:exit\n")
        process.stdin.flush()
        assert process.stdout.readline() == "heard cmd_router_to_child:exit\n"
        assert process.wait(5) == 0


def test_the_end_of_a_binary_that_is_waited_on_does_not_depend_on_its_reading() -> None:
    with child(["stay", sys.executable, "-c", "import os; os.close(0); raise SystemExit(5)"]) as process:
        assert process.stdin is not None
        process.stdin.write("nobody reads this\n" * 10)
        process.stdin.flush()
        assert process.wait(5) == 5


def test_sigterm_ends_the_builtin_engine_with_exit_code_0(tiny_model: Path) -> None:
    words = ["builtin", "-m", str(tiny_model), "-c", "512", "-t", "1", "--port", str(free_port())]
    with child(words) as process:
        assert process.stdout is not None
        assert any("listening on" in line for line in process.stdout)
        # The handler is installed right after that line; before it, SIGTERM kills, as with llama-server.
        os.kill(process.pid, signal.SIGTERM)
        try:
            assert process.wait(5) in (0, -signal.SIGTERM)
        finally:
            process.kill()


def test_a_model_that_cannot_be_loaded_ends_it_with_exit_code_1(tmp_path: Path) -> None:
    code, output = result(["builtin", "-m", str(tmp_path / "none.gguf"), "--port", str(free_port())])
    assert (code, "failed to open GGUF file" in output) == (1, True)
    assert "Traceback" not in output


def test_the_child_imports_nothing_heavy() -> None:
    listing = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, whisper_desktop.__main__, whisper_desktop.engines.child;print(*sys.modules)",
        ],
        cwd=child_folder(),
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert not {"asyncio", "httpx", "pydantic", "psutil", "PySide6", "xllamacpp", "json"} & set(listing)


def test_flags_set_what_they_name() -> None:
    params = xllamacpp.CommonParams()
    flags = "-m x.gguf -a one -c 512 --host 127.0.0.1 --port 0 -np 1 -t 3 -ngl all -lm mmap --metrics"
    apply_flags(params, [*flags.split(), "-ctk", "q8_0", "-fa", "on", "--no-repack"], xllamacpp)
    assert (params.model.path, params.model_alias, params.n_ctx) == ("x.gguf", {"one"}, 512)
    assert (params.cpuparams.n_threads, params.n_gpu_layers, params.endpoint_metrics) == (3, -2, True)
    assert params.load_mode == xllamacpp.llama_load_mode.LLAMA_LOAD_MODE_MMAP
    assert params.cache_type_k == xllamacpp.ggml_type.GGML_TYPE_Q8_0
    assert params.flash_attn_type == xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_ENABLED
    assert params.no_extra_bufts is True


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--nonsense"], "error: invalid argument: --nonsense"),
        (["-c"], 'argument "-c": expected value for argument'),
        (["-c", "many"], 'argument "-c"'),
        (["-c", "-5"], "-5 is less than 0"),
        (["--port", "99999"], "99999 is not a port"),
        (["-ngl", "some"], 'argument "-ngl"'),
        (["-ngl", "-3"], "less than 0"),
        (["-lm", "floppy"], 'argument "-lm"'),
        (["-ctk", "q99"], 'argument "-ctk"'),
        (["-fa", "perhaps"], 'argument "-fa"'),
        (["-t", "0"], "0 is less than 1"),
        (["-c", "9" * 40], 'argument "-c"'),
    ],
)
def test_a_flag_that_cannot_be_used_is_named(flags: list[str], words: str) -> None:
    with pytest.raises(FlagError, match=words.replace("(", r"\(")):
        apply_flags(xllamacpp.CommonParams(), flags, xllamacpp)
