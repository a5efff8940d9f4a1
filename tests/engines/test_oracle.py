"""Asking a real engine what a model needs: exact, quick, nothing loaded, nothing left behind."""

import asyncio
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from tests.engines.conftest import until
from tests.models.sparse_families import Kind, sparse
from tests.models.sparse_gguf import MIXTURE, ONE_BILLION, SMALL, WINDOWED, Shape, write_sparse
from whisper_desktop.engines.oracle import DeviceNeed, Needs, corrected, needs, read_answer, read_table
from whisper_desktop.engines.plan import Wishes, plan
from whisper_desktop.models.gguf import read_header
from whisper_desktop.models.memory import CacheType, ModelMemory, Placement
from whisper_desktop.models.shape import shape_of
from whisper_desktop.values import GIB, Deadlines, ResourceInfo

MIB = 2**20
MACHINE = ResourceInfo("Linux", "12", "x86_64", "cpu", 2, 2, 16 * GIB, 16 * GIB)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sparse model of 47 MiB."""
    return write_sparse(tmp_path_factory.mktemp("sparse") / "small.gguf", SMALL)


@pytest.fixture(params=["builtin", pytest.param("reference", marks=pytest.mark.reference_engine)])
def binary(request: pytest.FixtureRequest) -> Path | None:
    """Who is asked: None for the built-in engine."""
    if request.param == "builtin":
        return None
    found: Path = request.getfixturevalue("reference_llama_server")
    return found


def program(folder: Path, script: str) -> Path:
    """A folder with a llama-server, and a llama-fit-params that does what `script` says."""
    made = folder / "llama-fit-params"
    made.write_text(f"#!/bin/sh\n{script}\n")
    made.chmod(0o755)
    return folder / "llama-server"


@pytest.mark.parametrize(
    ("shape", "cache_type", "parallel"),
    [(SMALL, "f16", 1), (SMALL, "q8_0", 4), (WINDOWED, "f16", 1), (MIXTURE, "f16", 1)],
    ids=["dense", "q8_0 and four slots", "sliding windows", "mixture of experts"],
)
async def test_a_real_engine_confirms_the_plan_to_the_mebibyte(
    binary: Path | None, shape: Shape, cache_type: CacheType, parallel: int, tmp_path: Path
) -> None:
    model = write_sparse(tmp_path / "model.gguf", shape)
    answer = await needs(model, binary=binary, n_ctx=8192, cache_type=cache_type, parallel=parallel)
    assert answer is not None
    assert answer.source == ("llama-fit-params" if binary else "builtin")
    (host,) = answer.devices
    expected = plan(read_header(model), MACHINE, Wishes(8192, 0, cache_type, parallel)).expected
    assert expected.weights_bytes is not None
    assert expected.cache_bytes is not None
    assert expected.compute_bytes is not None
    assert (host.device, host.weights // MIB, host.cache // MIB) == (
        "Host",
        expected.weights_bytes // MIB,
        expected.cache_bytes // MIB,
    )
    if binary is None:
        # another version of llama.cpp than the one that the plan's arithmetic was read from
        assert host.compute == pytest.approx(expected.compute_bytes, rel=0.12)
    else:  # a tool that needs all outputs of a batch
        assert host.compute > 0.85 * expected.compute_bytes


async def test_asking_takes_no_memory_for_the_model(binary: Path | None, tmp_path: Path) -> None:
    model = write_sparse(tmp_path / "model.gguf", ONE_BILLION)
    before = time.monotonic()
    asked = asyncio.create_task(needs(model, binary=binary, n_ctx=262_144))
    most = 0
    while not asked.done():
        for child in psutil.Process().children(recursive=True):
            try:
                most = max(most, child.memory_info().rss)
            except psutil.NoSuchProcess:
                continue
        await asyncio.sleep(0.005)  # the children tell nothing meanwhile
    answer = await asked
    assert answer is not None
    assert answer.total > 7 * GIB
    assert most < GIB // 4
    assert time.monotonic() - before < Deadlines().engine_ask


async def test_a_model_that_is_not_there_has_no_needs(binary: Path | None, tmp_path: Path) -> None:
    assert await needs(tmp_path / "none.gguf", binary=binary, n_ctx=4096) is None


@pytest.mark.skipif(sys.platform == "win32", reason="the scripts are for a shell")
async def test_a_program_without_answer_is_replaced_by_the_builtin_engine(
    tmp_path: Path, small: Path
) -> None:
    for script in ("echo -c 4096 -ngl 37; exit 1", "echo Host many 4 8; yes | head -c 3000000"):
        answer = await needs(small, binary=program(tmp_path, script), n_ctx=4096)
        assert answer is not None
        assert answer.source == "builtin"


@pytest.mark.skipif(sys.platform == "win32", reason="the scripts are for a shell")
async def test_a_program_that_hangs_is_ended_with_all_it_started(tmp_path: Path, small: Path) -> None:
    hangs = program(tmp_path, "sleep 60 & sleep 60")
    asked = asyncio.create_task(needs(small, binary=hangs, n_ctx=4096, deadlines=Deadlines(engine_ask=0.5)))
    assert await until(lambda: len(psutil.Process().children(recursive=True)) == 3, 5.0)
    started = psutil.Process().children(recursive=True)
    await asked
    assert await until(lambda: not any(_runs(each) for each in started), 5.0)


@pytest.mark.skipif(sys.platform == "win32", reason="the scripts are for a shell")
async def test_whoever_stops_asking_leaves_nothing_behind(tmp_path: Path, small: Path) -> None:
    asked = asyncio.create_task(needs(small, binary=program(tmp_path, "sleep 60"), n_ctx=4096))
    assert await until(lambda: len(psutil.Process().children(recursive=True)) == 2, 5.0)
    started = psutil.Process().children(recursive=True)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    assert await until(lambda: not any(_runs(each) for each in started), 5.0)


@pytest.mark.skipif(sys.platform == "win32", reason="links need a right there")
async def test_a_llama_server_behind_a_link_is_asked_too(tmp_path: Path, small: Path) -> None:
    real, link = tmp_path / "cellar", tmp_path / "bin"
    real.mkdir()
    link.mkdir()
    server = program(real, 'echo "CUDA0 4403 4096 258 "; echo "Host 281 0 64 "')
    server.touch()
    (link / "llama-server").symlink_to(server)
    answer = await needs(small, binary=link / "llama-server", n_ctx=4096)
    assert answer == Needs(
        (DeviceNeed("CUDA0", 4403 * MIB, 4096 * MIB, 258 * MIB), DeviceNeed("Host", 281 * MIB, 0, 64 * MIB)),
        "llama-fit-params",
    )


def test_a_table_with_graphics_cards_is_read() -> None:
    # Not run: written after the format strings in llama.cpp's common/fit.cpp.
    first = [
        "I common_memory_breakdown_print: | memory breakdown [MiB]  | total    free    self   model   context   compute    unaccounted |",  # noqa: E501
        "I common_memory_breakdown_print: |   - CUDA0 (RTX 3060)    | 12288 = 11500 + (8655 =  4403 +    4096 +     156) +       -867 |",  # noqa: E501
        "I common_memory_breakdown_print: |   - Host                |                   345 =   281 +       0 +      64                |",  # noqa: E501
        "I common_params_fit_impl: projected to use 8655 MiB of device memory",
    ]
    assert read_table(first) == (
        DeviceNeed("CUDA0", 4403 * MIB, 4096 * MIB, 156 * MIB),
        DeviceNeed("Host", 281 * MIB, 0, 64 * MIB),
    )
    assert read_table(first + first) == read_table(first)
    assert read_table(first[1:]) == ()


# --- What an engine leaves out ----------------------------------------------------------------------------


def memory_of(path: Path) -> ModelMemory:
    """The memory of the model in this file."""
    shape = shape_of(read_header(path))
    assert shape is not None
    return ModelMemory(shape, MACHINE)


def test_an_answer_is_corrected_by_what_it_leaves_out(small: Path) -> None:
    memory = memory_of(small)
    said = Needs((DeviceNeed("Host", 48 * MIB, 40 * MIB, 300 * MIB),), "llama-fit-params")
    for placement in (Placement(4096), Placement(4096, load_mode="mmap"), Placement(4096, repack=False)):
        ours, host = memory.need(placement).host, corrected(said, memory, placement).host
        assert (host.weights, host.cache) == (48 * MIB, 40 * MIB)  # the engine's own
        assert host.compute == ours.compute < 300 * MIB  # which counts outputs that a server does not have
        assert (host.copies, host.other, host.checkpoints) == (ours.copies, ours.other, ours.checkpoints)
        assert (host.copies > 0) == (placement.load_mode == "mmap")
    less = replace(said, devices=(DeviceNeed("Host", 48 * MIB, 40 * MIB, MIB),))
    assert corrected(less, memory, Placement(4096)).host.compute == MIB


def test_a_table_that_is_repacked_is_added_to_what_an_engine_was_asked_without(tmp_path: Path) -> None:
    tied = Kind("llama", 1, 1024, 2048, 8192, 8, 8, 128, "Q4_0")
    model = sparse(tied)
    tensors = ((model.tensors[0][0], model.tensors[0][1], "Q4_0"), *model.tensors[1:])
    path = write_sparse(tmp_path / "tied.gguf", replace(model, tensors=tensors))
    memory = memory_of(path)
    said = Needs((DeviceNeed("Host", 200 * MIB, 8 * MIB, 60 * MIB),), "builtin")
    table = memory.shape.table.size_bytes
    assert corrected(said, memory, Placement(4096)).host.weights == 200 * MIB + table
    assert corrected(said, memory, Placement(4096, repack=False)).host.weights == 200 * MIB


def test_cards_keep_their_order_and_those_we_did_not_expect_are_counted(small: Path) -> None:
    host = DeviceNeed("Host", 10 * MIB, 0, 4 * MIB)
    cards = (DeviceNeed("CUDA0", 30 * MIB, 20 * MIB, MIB), DeviceNeed("CUDA1", 7 * MIB, 5 * MIB, MIB))
    for layers in ((2, 3), (5,), ()):
        need = corrected(Needs((*cards, host), "builtin"), memory_of(small), Placement(4096, layers))
        assert [part.weights // MIB for part in need.gpus] == [30, 7]
        assert [part.cache // MIB for part in need.gpus] == [20, 5]


def test_an_answer_without_the_host_is_none() -> None:
    assert read_answer(["CUDA0 1 2 3 "]) == ()
    assert read_answer([]) == ()


def _runs(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
