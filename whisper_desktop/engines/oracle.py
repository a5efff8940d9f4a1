"""Asking a real engine what a model would need, without loading it: exact where our own arithmetic is not.

llama.cpp can lay out a model without taking memory for it. `llama-fit-params`, which comes with llama-server,
prints the result; the built-in engine logs it on the way to a load, which is then given up. Either runs as a
child that is bound to us, for less than a second.
"""

import os
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from whisper_desktop.engines.log_lines import LINE_MOST
from whisper_desktop.engines.output import output_of
from whisper_desktop.engines.spec import EngineSpec
from whisper_desktop.models.memory import CacheType, ModelMemory, Need, Part, Placement
from whisper_desktop.values import Deadlines

_MIB = 2**20
_FIT_PARAMS = "llama-fit-params.exe" if sys.platform == "win32" else "llama-fit-params"
_ANSWER = re.compile(r"^(\S{1,80}) (\d{1,9}) (\d{1,9}) (\d{1,9}) {0,8}$")
_TABLE = "memory breakdown [MiB]"
_ROW = re.compile(
    r"\| {1,20}- (\S[^|]{0,120})\|[^|]{0,80}?\d = {1,20}(\d{1,9}) \+ {1,20}(\d{1,9}) \+ {1,20}(\d{1,9})"
)
_HOST = "Host"


@dataclass(frozen=True, slots=True)
class DeviceNeed:
    """What would lie on one device, in bytes, told in whole MiB. "Host" is the computer's own memory."""

    device: str
    weights: int
    cache: int
    compute: int

    @property
    def total(self) -> int:
        """Their sum."""
        return self.weights + self.cache + self.compute


@dataclass(frozen=True, slots=True)
class Needs:
    """What an engine says a model needs, and which one said so: "llama-fit-params" or "builtin".

    Without the program itself and its vocabulary, and without second copies of repacked weights. The compute
    buffers of llama-fit-params are larger than a server's, which reads one answer from a batch and not all.
    """

    devices: tuple[DeviceNeed, ...]
    source: str

    @property
    def total(self) -> int:
        """On all devices together, in bytes."""
        return sum(device.total for device in self.devices)


async def needs(
    model: Path,
    *,
    n_ctx: int,
    binary: Path | None = None,
    cache_type: CacheType = "f16",
    n_gpu_layers: int | str = "auto",
    parallel: int = 1,
    deadlines: Deadlines | None = None,
) -> Needs | None:
    """What `model` would need with `n_ctx` tokens for each of `parallel` slots; None where no engine tells.

    Asks the `llama-fit-params` beside `binary`, else the built-in engine. Waits `Deadlines.engine_ask` for
    each; raises nothing for what they do.
    """
    flags = ["-m", str(model), "-c", str(n_ctx * parallel), "-np", str(parallel), "--no-repack"]
    if cache_type != "f16":
        flags += ["-ctk", cache_type, "-ctv", cache_type, "-fa", "on"]
    if n_gpu_layers != "auto":
        flags += ["-ngl", str(n_gpu_layers)]
    deadlines = deadlines or Deadlines()
    beside = _beside(binary) if binary is not None else None
    if beside is not None:
        lines = await _said(beside, model, [*flags, "--fit-print", "on"], deadlines)
        if found := read_answer(lines):
            return Needs(found, "llama-fit-params")
    # Nothing is to be loaded: an adapter that is not there ends it in good order after all is laid out.
    layout = ["--no-alloc", "-lm", "none", "--no-warmup", "--fit", "on", "-lv", "4"]
    given_up = ["--lora", f"{model}.none", "--port", "0"]
    found = read_table(await _said(None, model, [*flags, *layout, *given_up], deadlines))
    return Needs(found, "builtin") if found else None


def corrected(needs: Needs, memory: ModelMemory, placement: Placement) -> Need:
    """What an engine said, with what it leaves out: second copies of weights, the program, checkpoints.

    Weights and caches are the engine's, exact to the MiB. Compute buffers are its own only where they are no
    more than ours: llama-fit-params lays out answers to all tokens of a batch, and a server to one.
    """
    ours = memory.need(placement)
    asked = memory.need(replace(placement, load_mode="none", repack=False))
    told = {device.device: device for device in needs.devices}
    host = told.pop(_HOST, None)
    cards = list(told.values())

    def part(ours: Part, asked: Part, said: DeviceNeed | None) -> Part:
        if said is None:
            return ours
        weights = max(0, said.weights + ours.weights - asked.weights)
        return replace(ours, weights=weights, cache=said.cache, compute=min(said.compute, ours.compute))

    gpus = [part(mine, plain, said) for mine, plain, said in zip(ours.gpus, asked.gpus, cards, strict=False)]
    gpus += [Part(said.weights, 0, said.cache, said.compute) for said in cards[len(ours.gpus) :]]
    return Need(tuple(gpus), part(ours.host, asked.host, host))


def _beside(binary: Path) -> Path | None:
    """The program that comes with this llama-server, which may be a link into its folder."""
    try:
        places = (binary.parent / _FIT_PARAMS, binary.resolve().parent / _FIT_PARAMS)
        return next((place for place in places if os.access(place, os.X_OK)), None)
    except OSError:
        return None


async def _said(
    program: Path | None, model: Path, flags: Sequence[str], deadlines: Deadlines
) -> Sequence[str]:
    """What a program, or the built-in engine, prints until it ends; nothing when it does not in time."""
    try:
        output = await output_of(EngineSpec(model, model.stem, n_ctx=0, binary=program), flags, deadlines)
    except OSError:
        return ()
    return output.lines


def read_answer(lines: Iterable[str]) -> tuple[DeviceNeed, ...]:
    """The devices in what `llama-fit-params --fit-print on` prints; () when it printed something else."""
    found = tuple(_device(match) for line in lines if (match := _ANSWER.match(line)))
    return found if found and found[-1].device == _HOST else ()


def read_table(lines: Iterable[str]) -> tuple[DeviceNeed, ...]:
    """The devices in the first table of memory that an engine logs; () without one."""
    found: list[DeviceNeed] = []
    inside = False
    for line in lines:
        if inside:
            match = _ROW.search(line[:LINE_MOST])
            if match is None:
                break
            found.append(_device(match))
        inside = inside or _TABLE in line
    return tuple(found)


def _device(match: re.Match[str]) -> DeviceNeed:
    weights, cache, compute = (int(match[group]) * _MIB for group in (2, 3, 4))
    return DeviceNeed(match[1].split(" (", 1)[0].rstrip(), weights, cache, compute)
