"""How right the arithmetic of memory is: what it predicts, and what an engine's process then takes.

Sparse models with the headers and sizes of real ones are started as the app starts them and given a prompt
of more than one batch, which fills their buffers. Two sets of shapes: the constants of `models/memory.py` are
fitted on one, the table comes from the other. Beside our prediction stands what others say: llama.cpp's own
llama-fit-params, the same with our correction, llmfit's formula, Ollama's, and 1.2 times the file.

Resident memory is all of the process that is in RAM: its own, and the pages of a mapped file. It says nothing
about graphics cards, macOS and Windows. What needs more than `--most GB` (9), or than half of the free
memory, is left out. `python3 packaging/dev.py bench memory [--most GB] [--only WORD] [--keep-constants]` runs
it; on an idle machine it takes about eight minutes.
"""

import argparse
import asyncio
import dataclasses
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path

import psutil

from tests.benchmarks._memory_cases import Case, checked_on, fitted_on
from tests.models.sparse_families import sparse
from tests.models.sparse_gguf import write_sparse
from whisper_desktop.engines import EngineAddress, EngineSpec, make_engine
from whisper_desktop.engines.oracle import corrected, needs
from whisper_desktop.engines.readiness import authorization
from whisper_desktop.errors import BackendError
from whisper_desktop.machine import detect_resources
from whisper_desktop.models.gguf import GgufHeader, read_header
from whisper_desktop.models.memory import BUILTIN, LLAMA_SERVER, ModelMemory, Need
from whisper_desktop.models.shape import ModelShape, shape_of
from whisper_desktop.values import GB, Deadlines, ErrorKind, Reach, ResourceInfo
from whisper_desktop.wire.http import Http

MEDIAN_MUST, WORST_MUST = 0.02, 0.05
TOKENS = 520  # more than one batch of 512
PATIENCE = 40.0  # seconds for the prompt: every layer uses the same buffers, so the first ones fill them
START = 600.0  # seconds
MIB = 2**20

_BITS = {
    "F16": 2.0,
    "Q8_0": 1.05,
    "Q6_K": 0.80,
    "Q5_K_M": 0.68,
    "IQ3_S": 0.48,
    "IQ2_XXS": 0.37,
    "IQ1_S": 0.37,
}
"""llmfit's bytes for a parameter (its models.rs); 0.58 for all of four bits."""


@dataclass(frozen=True)
class Result:
    """One line of the table: bytes."""

    case: Case
    measured: int
    predicted: Need
    others: dict[str, int]
    answered: bool

    def error(self, predicted: int) -> float:
        """How far off that prediction is, as a share of what was measured."""
        return predicted / self.measured - 1


async def main(arguments: list[str]) -> bool:
    """Fit, check, print; whether the promise is kept."""
    options = _options(arguments)
    if not os.environ.get("WHISPER_TEST_LLAMA_SERVER"):
        print("There is no reference llama-server: `packaging/dev.py llama-server` builds it.")
        return False
    resources = await asyncio.to_thread(detect_resources)
    deadlines = Deadlines(engine_start=START, engine_start_most=START, engine_stall=START)
    began = time.monotonic()
    http = Http(deadlines)
    try:
        with tempfile.TemporaryDirectory() as folder:
            bench = Bench(Path(folder), http, deadlines, resources, options.most * GB)
            if not options.keep_constants:
                await fit(bench)
            results = await check(bench, options.only)
    finally:
        await http.aclose()
    kept = summary(results)
    print(f"\n{await scope()}. {time.monotonic() - began:.0f} s.")
    return kept


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="dev.py bench memory", description=__doc__.partition("\n")[0])
    parser.add_argument("--most", type=float, default=9.0, metavar="GB", help="the largest run")
    parser.add_argument("--only", default="", metavar="WORD", help="only models with this in their name")
    parser.add_argument("--keep-constants", action="store_true", help="do not fit the constants first")
    return parser.parse_args(arguments)


@dataclass(frozen=True)
class Bench:
    """What every run needs."""

    folder: Path
    http: Http
    deadlines: Deadlines
    resources: ResourceInfo
    most: float

    def write(self, case: Case) -> Path:
        """The model's file, which is removed by the caller."""
        return write_sparse(self.folder / "model.gguf", sparse(case.kind))

    async def run(self, case: Case, path: Path, tokens: int) -> tuple[int, bool]:
        """What the engine's process takes once it has read that many tokens; whether it got to its answer."""
        start = case.placement
        spec = EngineSpec(
            model_path=path,
            alias="model",
            n_ctx=start.n_ctx,
            binary=case.binary,
            load_mode=start.load_mode,
            cache_type=start.cache_type,
            repack=start.repack,
            parallel=start.parallel,
        )
        engine = make_engine(spec, http=self.http, deadlines=self.deadlines)
        try:
            address = await engine.ensure_ready()
            answered = await self._fill(address, tokens)
            pid = engine.status().pid
            assert pid is not None
            return psutil.Process(pid).memory_info().rss, answered
        finally:
            await engine.stop()

    async def _fill(self, address: EngineAddress, tokens: int) -> bool:
        body = {"prompt": [300 + number % 700 for number in range(tokens)], "n_predict": 1}
        try:
            reply = await self.http.request(
                "POST",
                f"{address.url}/completion",
                json=body,
                allowed=Reach.THIS_MACHINE,
                headers=authorization(address),
                total=PATIENCE,
            )
        except BackendError as error:
            if error.kind is ErrorKind.TOTAL_TIMEOUT:
                return False
            raise
        assert reply.status == 200, reply.body
        return True


# --- The constants ----------------------------------------------------------------------------------------


async def fit(bench: Bench) -> None:
    """Find what the program, a token, a merge and a tensor take, by least squares; print it beside ours."""
    import numpy as np

    print("What a process takes with an empty model, in bytes, fitted on shapes that are not in the table:")
    print(f"{'':32}{'base':>14}{'a token':>9}{'a merge':>9}{'a tensor':>9}   furthest off")
    for builtin, ours in ((False, LLAMA_SERVER), (True, BUILTIN)):
        rows, rests = [], []
        for case in fitted_on(builtin):
            path = bench.write(case)
            shape = shape_of(read_header(path))
            assert shape is not None
            predicted = predict(case, shape, bench.resources)
            measured, _ = await bench.run(case, path, TOKENS)
            merges = shape.vocabulary if shape.merges is None else shape.merges
            rows.append([1, shape.vocabulary, merges, shape.tensors])
            rests.append(measured - predicted.total + ours.of(shape))
        matrix, rest = np.array(rows, float), np.array(rests, float)
        found, *_ = np.linalg.lstsq(matrix, rest, rcond=None)
        name = "built-in" if builtin else "llama-server"
        off = abs(matrix @ found - rest).max()
        print(_program(f"{name}, now", found) + f"{off / 1e6:12.1f} MB")
        print(_program("  in models/memory.py", dataclasses.astuple(ours)), flush=True)
    print()


def _program(name: str, values: Iterable[float]) -> str:
    base, token, merge, tensor = values
    return f"{name:32}{base:14,.0f}{token:9,.0f}{merge:9,.0f}{tensor:9,.0f}"


# --- The table --------------------------------------------------------------------------------------------


async def check(bench: Bench, only: str) -> list[Result]:
    """Measure each shape and print its line."""
    print(f"{'(MB)':44}{'predicted':>10}{'measured':>10}{'error':>8}", end="")
    print("".join(f"{name:>11}" for name in ("fit-params", "corrected", "llmfit", "Ollama", "file x 1.2")))
    results = []
    for case in checked_on():
        if only not in case.name:
            continue
        label = f"{case.name}, {case.variant}"
        path = bench.write(case)
        header = read_header(path)
        shape = shape_of(header)
        assert shape is not None
        predicted = predict(case, shape, bench.resources)
        if predicted.total > min(bench.most, psutil.virtual_memory().available / 2):
            print(
                f"{label:44}{predicted.total / 1e6:10,.0f}  left out: more than may be taken now", flush=True
            )
            continue
        others = await what_others_say(case, path, header, shape, bench)
        measured, answered = await bench.run(case, path, TOKENS)
        result = Result(case, measured, predicted, others, answered)
        results.append(result)
        print(
            f"{label:44}{predicted.total / 1e6:10,.0f}{measured / 1e6:10,.0f}"
            f"{result.error(predicted.total):+8.1%}"
            + "".join(f"{result.error(each):+11.0%}" for each in others.values())
            + ("" if answered else "  prompt not finished"),
            flush=True,
        )
    return results


def predict(case: Case, shape: ModelShape, resources: ResourceInfo) -> Need:
    """What we say it takes once `TOKENS` are read."""
    # The reference build and the built-in engine see no graphics card, whatever this computer has.
    alone = replace(resources, gpus=())
    placement = replace(case.placement, filled=TOKENS)
    return ModelMemory(shape, alone, builtin=case.builtin).need(placement)


async def what_others_say(
    case: Case, path: Path, header: GgufHeader, shape: ModelShape, bench: Bench
) -> dict[str, int]:
    """Their figures for the same start, in bytes."""
    start = case.placement
    asked = await needs(
        path,
        n_ctx=start.n_ctx,
        binary=Path(os.environ["WHISPER_TEST_LLAMA_SERVER"]),
        cache_type=start.cache_type,
        parallel=start.parallel,
    )
    assert asked is not None, case.name
    ours = ModelMemory(shape, replace(bench.resources, gpus=()), builtin=case.builtin)
    parameters = sum(prod(tensor.shape) for tensor in header.tensors)
    context = start.n_ctx * start.parallel
    layers = len(shape.layers)
    kv_heads = [group.kv_heads for group in shape.kv_groups]
    wide = max((group.k_dim for group in shape.kv_groups), default=0)
    plain = shape.width // shape.heads if shape.heads else 0
    least = min([*kv_heads, *([1] if len(kv_heads) < layers else [])])
    return {
        "fit-params": asked.total,
        "corrected": corrected(asked, ours, replace(start, filled=TOKENS)).total,
        "llmfit": round(
            parameters * _BITS.get(case.kind.quant, 0.58)
            + 2 * layers * max(kv_heads, default=0) * wide * context * 2
            + 0.5e9
        ),
        "Ollama": header.file_bytes + 2 * layers * least * plain * context * 2,
        "file x 1.2": round(1.2 * header.file_bytes),
    }


def summary(results: Iterable[Result]) -> bool:
    """Print median and worst of everybody; whether ours are what was promised."""
    rows = list(results)
    if not rows:
        print("Nothing was measured.")
        return False
    errors = {"ours": [abs(row.error(row.predicted.total)) for row in rows]}
    for name in rows[0].others:
        errors[name] = [abs(row.error(row.others[name])) for row in rows]
    print(f"\n{len(rows)} shapes{'':15}{'median':>10}{'worst':>10}")
    for name, values in errors.items():
        print(f"  {name:20}{statistics.median(values):10.1%}{max(values):10.1%}")
    kept = statistics.median(errors["ours"]) <= MEDIAN_MUST and max(errors["ours"]) <= WORST_MUST
    print(f"Promised: median at most {MEDIAN_MUST:.0%}, worst at most {WORST_MUST:.0%}: ", end="")
    print("kept" if kept else "NOT KEPT")
    return kept


async def scope() -> str:
    """What these figures hold for."""
    from importlib.metadata import version

    program = os.environ["WHISPER_TEST_LLAMA_SERVER"]
    asked = await asyncio.create_subprocess_exec(
        program, "--version", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await asked.communicate()
    named = next((line for line in said.decode(errors="replace").splitlines() if "version" in line), "?")
    return (
        f"Scope: the processor alone, {platform.system()} {platform.machine()}; llama-server "
        f"{named.strip()}; built-in engine {version('xllamacpp')}"
    )


if __name__ == "__main__":
    sys.exit(not asyncio.run(main(sys.argv[1:])))
