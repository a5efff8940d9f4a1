"""What is told of a model and a program before anything runs, whatever lies at their paths."""

import asyncio
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from whisper_desktop.engines.launch import check_files
from whisper_desktop.engines.spec import EngineSpec
from whisper_desktop.errors import EngineError

Put = Callable[[Path], object]


def _cause(spec: EngineSpec) -> str:
    with pytest.raises(EngineError) as caught:
        check_files(spec)
    return caught.value.cause


def _nothing(path: Path) -> None:
    return


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pipes among its files")
async def test_a_pipe_in_place_of_the_model_is_told_and_not_waited_for(
    builtin: EngineSpec, tmp_path: Path
) -> None:
    pipe = tmp_path / "model.gguf"
    os.mkfifo(pipe)
    checking = asyncio.create_task(asyncio.to_thread(_cause, replace(builtin, model_path=pipe)))
    done, _ = await asyncio.wait({checking}, timeout=5)
    os.close(os.open(pipe, os.O_RDWR | os.O_NONBLOCK))  # lets one that waits for a writer go
    assert done, "it waits for somebody who writes into the pipe"
    assert await checking == "model_unreadable"


@pytest.mark.parametrize(
    ("put", "name", "cause"),
    [
        (_nothing, "model.gguf", "model_missing"),
        (Path.mkdir, "model.gguf", "not_a_model"),
        (_nothing, "x" * 300, "model_unreadable"),
        (_nothing, "file/model.gguf", "model_unreadable"),
    ],
    ids=["nothing", "a folder", "a name that is too long", "a file in place of its folder"],
)
def test_whatever_lies_at_the_model_s_path_has_a_cause(
    builtin: EngineSpec, tmp_path: Path, put: Put, name: str, cause: str
) -> None:
    (tmp_path / "file").touch()
    put(tmp_path / name)
    assert _cause(replace(builtin, model_path=tmp_path / name)) == cause


@pytest.mark.parametrize(
    ("put", "name", "cause"),
    [
        (_nothing, "llama-server", "binary_missing"),
        (_nothing, "file/llama-server", "binary_missing"),
        (Path.mkdir, "llama-server", "binary_not_executable"),
        (Path.touch, "llama-server", "binary_not_executable"),
        (_nothing, "x" * 300, "binary_not_executable"),
    ],
    ids=["nothing", "a file in place of its folder", "a folder", "not allowed to run", "a name too long"],
)
def test_whatever_lies_at_the_program_s_path_has_a_cause(
    builtin: EngineSpec, tmp_path: Path, put: Put, name: str, cause: str
) -> None:
    (tmp_path / "file").touch()
    put(tmp_path / name)
    assert _cause(replace(builtin, binary=tmp_path / name)) == cause
