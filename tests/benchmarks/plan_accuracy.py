"""How right the plan is: what it expects, what a real engine says, and what the engine's process then takes.

Sparse models with the headers and sizes of real ones are planned, asked about, started on both engines, and
given a prompt that fills their buffers. Needs 8 GB of memory and some minutes. Run it with
`python3 packaging/dev.py bench plan_accuracy` on an idle machine.
"""

import asyncio
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.models.sparse_gguf import ONE_BILLION, THREE_BILLION, write_sparse
from whisper_desktop.engines import EngineAddress, EngineSpec, make_engine
from whisper_desktop.engines.oracle import needs
from whisper_desktop.engines.plan import Wishes, plan
from whisper_desktop.engines.readiness import authorization
from whisper_desktop.machine import detect_resources
from whisper_desktop.models.gguf import read_header
from whisper_desktop.values import Deadlines, Reach
from whisper_desktop.wire.http import Http

MUST = 0.05  # the largest error of the whole
PROMPT = " ab" * 600  # more than one batch of 512 tokens
PATIENCE = 900.0  # seconds
MIB = 2**20


@dataclass(frozen=True)
class Case:
    """One line of the table."""

    model: str
    binary: Path | None
    wishes: Wishes


def cases() -> Iterator[Case]:
    """What is measured."""
    given = os.environ.get("WHISPER_TEST_LLAMA_SERVER")
    binaries: list[Path | None] = [None, *([Path(given)] if given else [])]
    for binary in binaries:
        for model in ("1B", "3B"):
            for context in (4096, 32768):
                yield Case(model, binary, Wishes(context))
        yield Case("1B", binary, Wishes(4096, cache_type="q8_0"))
        yield Case("1B", binary, Wishes(4096, load_mode="mmap"))
        yield Case("1B", binary, Wishes(4096, load_mode="mmap", repack=True))
        yield Case("1B", binary, Wishes(4096, parallel=4))


async def main() -> bool:
    """Measure, print a line for each case; whether every plan is right."""
    resources = await asyncio.to_thread(detect_resources)
    deadlines = Deadlines(engine_start=PATIENCE, engine_start_most=PATIENCE, engine_stall=PATIENCE)
    print(f"{'':44}{'asked':>8}{'planned':>9}{'logged':>8}{'RSS':>8}{'error':>8}   (MiB)")
    met = []
    with tempfile.TemporaryDirectory() as folder:
        models = {
            name: write_sparse(Path(folder) / f"{name}.gguf", shape)
            for name, shape in (("1B", ONE_BILLION), ("3B", THREE_BILLION))
        }
        http = Http(deadlines)
        try:
            for case in cases():
                path, wishes = models[case.model], case.wishes
                made = plan(read_header(path), resources, wishes, builtin=case.binary is None)
                asked = await needs(
                    path,
                    n_ctx=made.n_ctx,
                    binary=case.binary,
                    cache_type=made.cache_type,
                    parallel=made.parallel,
                )
                spec = EngineSpec(
                    model_path=path,
                    alias=case.model,
                    n_ctx=made.n_ctx,
                    binary=case.binary,
                    load_mode=made.load_mode,
                    cache_type=made.cache_type,
                    repack=made.repack,
                    parallel=made.parallel,
                    expected=made.expected,
                )
                engine = make_engine(spec, http=http, deadlines=deadlines)
                try:
                    address = await engine.ensure_ready()
                    await fill(http, address)
                    status = engine.status()
                    assert status.pid is not None
                    taken = psutil.Process(status.pid).memory_info().rss
                    logged = engine.outcome.total_bytes if engine.outcome is not None else 0
                finally:
                    await engine.stop()
                expected = made.expected.total_bytes or 0
                error = expected / taken - 1
                met.append(abs(error) <= MUST)
                print(
                    f"{name_of(case):44}{(asked.total if asked else 0) / MIB:8.0f}{expected / MIB:9.0f}"
                    f"{logged / MIB:8.0f}{taken / MIB:8.0f}{error:+8.1%} {status.warning}",
                    flush=True,
                )
        finally:
            await http.aclose()
    return all(met)


def name_of(case: Case) -> str:
    """The case in a few words."""
    wishes = case.wishes
    variant = [
        f"{wishes.n_ctx} tokens",
        *(["q8_0"] if wishes.cache_type == "q8_0" else []),
        *([wishes.load_mode] if wishes.load_mode else []),
        *(["repacked"] if wishes.repack else []),
        *([f"{wishes.parallel} slots"] if wishes.parallel > 1 else []),
    ]
    return f"{case.model}, {'llama-server' if case.binary else 'built-in'}, {', '.join(variant)}"


async def fill(http: Http, address: EngineAddress) -> None:
    """Have the engine read a prompt of more than one batch."""
    reply = await http.request(
        "POST",
        f"{address.url}/completion",
        json={"prompt": PROMPT, "n_predict": 1},
        allowed=Reach.THIS_MACHINE,
        headers=authorization(address),
        total=PATIENCE,
    )
    assert reply.status == 200, reply.body


if __name__ == "__main__":
    sys.exit(not asyncio.run(main()))
