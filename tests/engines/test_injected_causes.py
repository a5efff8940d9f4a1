"""Real faults, made to happen on both real engines: each is diagnosed right, and the repair that is offered
and accepted makes the engine start.

What cannot happen here (graphics cards, drivers, macOS, Windows) is a pure decision in `test_diagnosis`.
"""

import asyncio
import contextlib
import os
import signal
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.engines.conftest import MakeEngine
from whisper_desktop.engines.command import child_command, child_environment, child_folder, engine_flags
from whisper_desktop.engines.diagnosis import diagnose
from whisper_desktop.engines.evidence import Before, Evidence, gather
from whisper_desktop.engines.launch import free_port
from whisper_desktop.engines.repair import changed
from whisper_desktop.engines.spec import EngineSpec
from whisper_desktop.errors import EngineError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits and signals as Linux has them")

MIB = 2**20
SECONDS = 20.0
"""After which a test gives up; nothing here takes a tenth of it."""

Fault = Callable[[int], None]
"""What is done to a running engine's process."""


async def end_of(spec: EngineSpec, fault: Fault | None = None, *, inside: str = "") -> Evidence:
    """Start the engine as the app does, hurt it once it serves, and gather what is known about its end.

    Without a fault it ends by itself. `inside` is what a shell does first in the engine's own process.
    """
    port = spec.port or free_port()
    command = child_command(spec, engine_flags(spec, port), owner_pid=os.getpid(), nonce="nonce")
    before = Before.now()
    process = await asyncio.create_subprocess_exec(
        *("/bin/sh", "-c", f'{inside or ":"} && exec "$@"', "sh", *command),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=child_environment(os.environ, api_key="key", nonce="nonce"),
        cwd=child_folder(),
        start_new_session=True,
    )
    assert process.stdout is not None
    lines: list[str] = []
    serves = False
    try:
        async with asyncio.timeout(SECONDS):
            async for line in process.stdout:
                lines.append(line.decode("utf-8", "replace").rstrip("\n"))
                if len(lines) == 1:
                    before = Before.now(process.pid)
                if "all slots are idle" in lines[-1] and not serves:  # a signal before is lost
                    assert fault is not None, "it started although it should not have"
                    serves = True
                    fault(process.pid)
            code = await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return gather(before, code=code, lines=lines, port=port, ready=serves, model=spec.model_path)


async def why(spec: EngineSpec, fault: Fault | None = None, *, inside: str = "") -> EngineError:
    """The diagnosis of that end."""
    return diagnose(spec, await end_of(spec, fault, inside=inside))


def signalled(number: signal.Signals) -> Fault:
    return lambda pid: os.kill(pid, number)


# --- Killed and crashed -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "cause"),
    [
        (signal.SIGKILL, "killed"),
        (signal.SIGTERM, "killed"),
        (signal.SIGILL, "crashed"),
        (signal.SIGSEGV, "crashed"),
        (signal.SIGABRT, "crashed"),
    ],
)
async def test_a_running_engine_that_is_ended_by_a_signal(
    spec: EngineSpec, number: signal.Signals, cause: str
) -> None:
    error = await why(spec, signalled(number))
    assert error.cause == cause
    assert cause == "killed" or number.name in error.detail


async def test_a_model_that_is_cut_while_it_is_mapped(spec: EngineSpec, tmp_path: Path) -> None:
    model, port = tmp_path / "cut.gguf", free_port()
    model.write_bytes(spec.model_path.read_bytes())
    spec = replace(spec, model_path=model, load_mode="mmap", port=port, extra_args=("--no-warmup",))

    def cut_and_ask(_pid: int) -> None:
        os.truncate(model, 0)
        with socket.create_connection(("127.0.0.1", port)) as connection:
            body = b'{"prompt": "a", "n_predict": 1}'
            connection.sendall(
                b"POST /completion HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer key\r\n"
                b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
            )
            with contextlib.suppress(ConnectionError):
                connection.recv(1)

    evidence = await end_of(spec, cut_and_ask)
    assert evidence.code == -signal.SIGBUS
    assert diagnose(spec, evidence).cause == "model_unreadable"


# --- Memory -----------------------------------------------------------------------------------------------

LONG = 1_048_576
"""Tokens: 128 MiB of cache for the tiny model, and with large batches 1 GiB to compute with."""


def at_most(mebibytes: int) -> str:
    """For a shell: the system refuses its process more memory than this."""
    return f"ulimit -d {mebibytes * 1024}"


def limit_engines(monkeypatch: pytest.MonkeyPatch, folder: Path, mebibytes: int) -> None:
    """From now on every engine that the app starts gets at most this much memory."""
    program = folder / "limited-python"
    program.write_text(f'#!/bin/sh\n{at_most(mebibytes)}\nexec "{sys.executable}" "$@"\n')
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))


def accepted(error: EngineError, repair: str, spec: EngineSpec) -> EngineSpec:
    """`spec` after a person has accepted this repair."""
    return changed(spec, [each.change for each in error.repairs if each.id == repair])


async def test_a_shorter_context_makes_an_engine_start_that_was_refused_memory(
    spec: EngineSpec, start: MakeEngine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    limit = 540
    spec = replace(spec, n_ctx=LONG)
    contexts = []
    for _ in range(2):
        error = await why(spec, inside=at_most(limit))
        assert error.cause == "out_of_memory", error
        assert error.repairs[0].id == "smaller_context"
        spec = accepted(error, "smaller_context", spec)
        contexts.append(spec.n_ctx)
    assert contexts == [LONG // 2, LONG // 4]
    limit_engines(monkeypatch, tmp_path, limit)
    assert (await start(spec).ensure_ready()).url


async def test_a_conversation_memory_of_8_bits_fits_where_16_do_not(
    spec: EngineSpec, start: MakeEngine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    limit = 510
    spec = replace(
        spec, n_ctx=2 * LONG, extra_args=("-b", "32", "-ub", "32")
    )  # the cache is the largest piece
    error = await why(spec, inside=at_most(limit))
    assert error.cause == "out_of_memory", error
    limit_engines(monkeypatch, tmp_path, limit)
    assert (await start(accepted(error, "quantized_cache", spec)).ensure_ready()).url


@pytest.mark.parametrize("limit", [30, 60, 100, 140])
async def test_an_engine_that_gets_hardly_any_memory_says_so(spec: EngineSpec, limit: int) -> None:
    error = await why(replace(spec, n_ctx=LONG), inside=at_most(limit))
    assert error.cause == "out_of_memory", error


@pytest.fixture
def small_group() -> Iterator[Path]:
    """A control group whose processes are ended by the kernel when they need more than 48 MiB."""
    group = own_memory_group() / f"whisper-test-{os.getpid()}"
    limit = "memory.limit_in_bytes" if "/memory/" in f"{group}" else "memory.max"
    try:
        group.mkdir()
        (group / limit).write_text(str(48 * MIB))
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    yield group
    group.rmdir()


def own_memory_group() -> Path:
    groups = dict(line.split(":", 2)[1:] for line in Path("/proc/self/cgroup").read_text().splitlines())
    if "memory" in groups:
        return Path(f"/sys/fs/cgroup/memory{groups['memory']}")
    return Path(f"/sys/fs/cgroup{groups.get('', '/')}")


async def test_the_kernel_s_kill_for_lack_of_memory_is_told_from_any_other(
    spec: EngineSpec, small_group: Path
) -> None:
    evidence = await end_of(replace(spec, n_ctx=LONG), inside=f"echo $$ > {small_group}/cgroup.procs")
    assert evidence.code == -signal.SIGKILL
    assert evidence.oom_kills == 1
    error = diagnose(spec, evidence)
    assert error.cause == "oom_killed"


# --- The model --------------------------------------------------------------------------------------------


def damaged(model: bytes) -> dict[str, tuple[bytes, str]]:
    """The model, damaged in every way, and the cause that each should get."""
    name = b"blk.0.attn_q.weight"
    shape = model.index(name) + len(name)
    dimensions = int.from_bytes(model[shape : shape + 4], "little")
    kind = shape + 4 + 8 * dimensions

    def put(place: int, value: bytes) -> bytes:
        return model[:place] + value + model[place + len(value) :]

    def swap(old: bytes, new: bytes) -> bytes:
        assert len(old) == len(new)
        assert old in model
        return model.replace(old, new)

    return {
        "empty": (b"", "model_corrupt"),
        "a web page": (b"<html>" + model[6:], "not_a_model"),
        "cut in its first bytes": (model[:20], "model_corrupt"),
        "cut in its header": (model[:2000], "model_corrupt"),
        "cut in its weights": (model[:-5000], "model_corrupt"),
        "a count that is impossible": (put(8, struct.pack("<Q", 2**60)), "model_corrupt"),
        "a type flipped to another one": (put(kind, struct.pack("<I", 1)), "model_corrupt"),
        "a shape flipped": (put(shape + 4, struct.pack("<Q", 64)), "model_corrupt"),
        "a type that does not exist": (put(kind, struct.pack("<I", 250)), "unsupported_model"),
        "a format of the future": (put(4, struct.pack("<I", 9)), "unsupported_model"),
        "a format of the past": (put(4, struct.pack("<I", 1)), "unsupported_model"),
        "a big-endian one": (put(4, struct.pack(">I", 3)), "unsupported_model"),
        "a weight of another name": (swap(name, b"blk.0.attn_x.weight"), "unsupported_model"),
        "a missing key": (swap(b"llama.embedding_length", b"llama.embedding_lengtx"), "unsupported_model"),
        "a tokenizer nobody knows": (
            swap(b"\4\0\0\0\0\0\0\0gpt2", b"\4\0\0\0\0\0\0\0gptX"),
            "unsupported_model",
        ),
        "an architecture nobody knows": (
            swap(b"\5\0\0\0\0\0\0\0llama", b"\5\0\0\0\0\0\0\0llamX"),
            "unsupported_model",
        ),
        "a broken chat template": (swap(b"{% for m in", b"{% forx m in"[:11]), "chat_template"),
    }


async def test_every_damage_to_a_model_gets_its_cause(spec: EngineSpec, tmp_path: Path) -> None:
    cases = damaged(spec.model_path.read_bytes())
    two_at_once = asyncio.Semaphore(2)

    async def cause_of(number: int, content: bytes) -> str:
        model = tmp_path / f"{number}.gguf"
        model.write_bytes(content)
        async with two_at_once:
            error = await why(replace(spec, model_path=model))
        assert error.repairs, error
        return error.cause

    causes = await asyncio.gather(*(cause_of(number, case[0]) for number, case in enumerate(cases.values())))
    assert dict(zip(cases, causes, strict=True)) == {name: case[1] for name, case in cases.items()}


async def test_a_model_that_is_gone(spec: EngineSpec, tmp_path: Path) -> None:
    assert (await why(replace(spec, model_path=tmp_path / "gone.gguf"))).cause == "model_missing"


async def test_a_cache_that_the_model_s_heads_cannot_be_divided_into_is_taken_back(
    spec: EngineSpec, start: MakeEngine, tmp_path: Path
) -> None:
    content = spec.model_path.read_bytes()
    for key, number in (
        ("attention.head_count", 2),
        ("attention.head_count_kv", 2),
        ("rope.dimension_count", 16),
    ):
        # A key, its type (4: a number of 32 bits), its value: two heads of 16 elements, where there was one.
        place = content.index(f"llama.{key}".encode() + struct.pack("<I", 4)) + len(f"llama.{key}") + 4
        content = content[:place] + struct.pack("<I", number) + content[place + 4 :]
    model = tmp_path / "odd.gguf"
    model.write_bytes(content)
    odd = replace(spec, model_path=model, cache_type="q8_0")
    error = await why(odd)
    assert error.cause == "cache_type"
    assert (await start(accepted(error, "remove_option", odd)).ensure_ready()).url


# --- Ports, options, files, programs ----------------------------------------------------------------------


async def test_a_port_that_is_taken_is_exchanged_for_a_free_one(spec: EngineSpec, start: MakeEngine) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        fixed = replace(spec, port=other.getsockname()[1])
        error = await why(fixed)
        assert error.cause == "port_taken"
        assert (await start(accepted(error, "other_port", fixed)).ensure_ready()).url


@pytest.mark.parametrize("options", [("--nonsense", "5"), ("-ctk", "nonsense"), ("-t", "many")])
async def test_an_option_that_the_engine_refuses_is_left_out(
    spec: EngineSpec, start: MakeEngine, options: tuple[str, ...]
) -> None:
    wrong = replace(spec, extra_args=options)
    error = await why(wrong)
    assert error.cause == "bad_flag"
    assert options[0] in error.title
    assert (await start(accepted(error, "remove_option", wrong)).ensure_ready()).url


@pytest.mark.reference_engine
async def test_a_further_file_that_is_gone_is_left_out(reference: EngineSpec, start: MakeEngine) -> None:
    wrong = replace(reference, extra_args=("--mmproj", "/nowhere.gguf"))
    error = await why(wrong)
    assert error.cause == "extra_file"
    assert (await start(accepted(error, "remove_option", wrong)).ensure_ready()).url


@pytest.mark.reference_engine
async def test_another_computer_that_does_not_answer_is_left_out(
    reference: EngineSpec, start: MakeEngine
) -> None:
    alone = replace(reference, rpc=(f"127.0.0.1:{free_port()}",))
    error = await why(alone)
    if error.cause == "bad_flag":
        pytest.skip("this build of the reference engine has no RPC")
    assert error.cause == "computer_lost"
    assert (await start(accepted(error, "remove_option", alone)).ensure_ready()).url


@pytest.mark.parametrize(
    ("content", "cause"),
    [(b"\x7fELF\2\1\1 not really", "binary_not_executable"), (None, "binary_missing")],
)
async def test_a_program_that_cannot_run_is_exchanged_for_the_built_in_engine(
    builtin: EngineSpec, start: MakeEngine, tmp_path: Path, content: bytes | None, cause: str
) -> None:
    program = tmp_path / "llama-server"
    if content is not None:
        program.write_bytes(content)
        program.chmod(0o755)
    wrong = replace(builtin, binary=program)
    error = await why(wrong)
    assert error.cause == cause
    assert (await start(accepted(error, "other_build", wrong)).ensure_ready()).url


@pytest.mark.reference_engine
async def test_a_library_that_is_missing_is_named(reference: EngineSpec, tmp_path: Path) -> None:
    """The program asks for a library by a name of the same length that no system has."""
    assert reference.binary is not None
    program = tmp_path / "llama-server"
    program.write_bytes(reference.binary.read_bytes().replace(b"libstdc++.so.6\0", b"libstdcxx.so.6\0"))
    program.chmod(0o755)
    error = await why(replace(reference, binary=program))
    assert error.cause == "library_missing"
    assert "libstdcxx.so.6" in error.title
