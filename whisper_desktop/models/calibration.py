"""From what two models reach on a computer to what its memory gives and a layer takes. Arithmetic only."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from whisper_desktop.machine.figures import GpuFigures, MachineFigures
from whisper_desktop.models.memory import Placement
from whisper_desktop.models.shape import ModelShape
from whisper_desktop.models.speed import Speed, predict

_CONTEXT = 1024


@dataclass(frozen=True, slots=True)
class Rate:
    """Tokens a second: the median of `runs` of so many `tokens`, and how far they lie apart, as a share.

    Without any run that ended, it is what it is slower than.
    """

    median: float
    spread: float
    runs: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Timing:
    """One model, timed. `busy`: beside a core that had other work. `gpu`: the card it was on, "" for none."""

    model: str
    threads: int
    answer: Rate
    prompt: Rate | None = None
    busy: bool = False
    gpu: str = ""


def predicted(shape: ModelShape, timing: Timing, figures: MachineFigures) -> Speed:
    """What these figures say of a model that is run as it was timed."""
    gpus = [gpu.name for gpu in figures.gpus]
    layers = [0] * len(gpus)
    if timing.gpu:
        layers[gpus.index(timing.gpu)] = shape.all_layers
    placement = Placement(_CONTEXT, tuple(layers))
    return predict(shape, placement, figures, context_used=timing.answer.tokens // 2)


def calibrated(figures: MachineFigures, timed: Sequence[tuple[ModelShape, Timing]]) -> MachineFigures:
    """The figures with what was measured in their place. `timed` are a model too large for any cache and then
    a small one, both on the processor or both on one card.

    For one token: seconds = bytes / bandwidth + layers * seconds of a layer, twice. A prompt of the first one
    tells the arithmetic.
    """
    if len(timed) < 2:
        return figures
    (large, at_large), (small, at_small) = timed[0], timed[1]
    bandwidth, layer_s = _solved(
        (_bytes(large, at_large, figures), len(large.layers), 1 / at_large.answer.median),
        (_bytes(small, at_small, figures), len(small.layers), 1 / at_small.answer.median),
    )
    rate = predicted(large, at_large, _ideal(figures)).prompt
    compute = at_large.prompt.median / rate if at_large.prompt is not None and rate else None
    if at_large.gpu:
        gpus = (
            replace(
                gpu,
                bandwidth=bandwidth,
                efficiency=1.0,
                layer_s=layer_s,
                compute=compute or gpu.compute,
                source="measured",
            )
            if gpu.name == at_large.gpu
            else gpu
            for gpu in figures.gpus
        )
        return replace(figures, gpus=tuple(gpus))
    return replace(
        figures,
        host_bandwidth=bandwidth,
        layer_s=layer_s,
        host_compute=compute or figures.host_compute,
        source="measured",
    )


def best_threads(trials: Iterable[Timing]) -> int:
    """The number of threads with the highest geometric mean of its speeds, quiet and beside a busy core.

    Of two alike, the larger number. Raises `ValueError` without any trial.
    """
    speeds: dict[int, list[float]] = {}
    for trial in trials:
        speeds.setdefault(trial.threads, []).append(trial.answer.median)
    return max(
        speeds, key=lambda threads: (math.prod(speeds[threads]) ** (1 / len(speeds[threads])), threads)
    )


def _bytes(shape: ModelShape, timing: Timing, figures: MachineFigures) -> float:
    """What one token reads: its seconds where a byte takes one second, and all else no time."""
    answer = predicted(shape, timing, _ideal(figures)).answer
    return 1 / answer if answer else 0.0


def _ideal(figures: MachineFigures) -> MachineFigures:
    """A computer on which a byte and an operation take one second each, and a layer none."""
    gpus = (
        GpuFigures(1.0, 1.0, 1.0, 0.0, 0.0, 0.0, gpu.unified, gpu.name, "measured") for gpu in figures.gpus
    )
    return MachineFigures(1.0, 1.0, tuple(gpus), 0.0, "measured")


Equation = tuple[float, int, float]
"""The bytes that a token reads, the layers it goes through, and its seconds."""


def _solved(large: Equation, small: Equation) -> tuple[float, float]:
    """The bandwidth in bytes a second, and the seconds of a layer.

    Where both do not fit into the seconds that were measured, the layers take none of them.
    """
    many, many_layers, long = large
    few, few_layers, short = small
    determinant = many * few_layers - few * many_layers
    slowness = (long * few_layers - short * many_layers) / determinant if determinant else 0.0
    layer_s = (many * short - few * long) / determinant if determinant else 0.0
    if slowness <= 0 or layer_s < 0:
        return many / long, 0.0
    return 1 / slowness, layer_s
