"""Predicted speed beside measured speed, on this computer, on the processor, for models of several shapes.

First the product's own benchmark (`bench machine`) gives this computer's figures; then models that it has not
seen are timed, in rounds, so that what disturbs one round disturbs all models alike. Each line has what the
tables predict, what the measured figures predict, and what was measured. Needs 4 GB of memory and some
minutes. Run it with `python3 packaging/dev.py bench speed` on an idle machine.
"""

import asyncio
import os
import statistics
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from tests.models.sparse_gguf import ONE_BILLION, SMALL, THREE_BILLION, WINDOWED, Shape, write_sparse
from whisper_desktop.engines.bench import Bench, Benchmark
from whisper_desktop.machine import detect_resources
from whisper_desktop.machine.figures import MachineFigures, figures_for
from whisper_desktop.models.calibration import Timing, predicted
from whisper_desktop.models.shape import ModelShape
from whisper_desktop.models.speed import Speed
from whisper_desktop.models.synthetic import Synthetic, write_synthetic
from whisper_desktop.settings.paths import resource
from whisper_desktop.values import Deadlines
from whisper_desktop.wire.http import Http

ROUNDS = 3
MUST = 0.25  # the median error of an answer's speed, by the measured figures
MIXTURE = Shape(
    12, 2048, 32, 4, 128, 768, 8_192, tied=False, architecture="qwen3moe", experts=64, experts_used=8
)
"""Twelve layers like those of a mixture with thirty billion parameters."""

SHAPES = {
    "small": SMALL,
    "sliding windows": WINDOWED,
    "one billion": ONE_BILLION,
    "mixture": MIXTURE,
    "three billion": THREE_BILLION,
}


async def main() -> bool:
    """Measure, print a line for each model; whether the median error is small enough."""
    resources = await asyncio.to_thread(detect_resources)
    table = figures_for(resources, ())
    given = os.environ.get("WHISPER_TEST_LLAMA_SERVER")
    http = Http(Deadlines())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bench = Bench(
            resources,
            table,
            http=http,
            folder=folder,
            deadlines=Deadlines(),
            binary=Path(given) if given else None,
        )
        try:
            done = await bench.run()
            _show(done)
            models = await asyncio.to_thread(_models, folder)
            shapes: dict[str, ModelShape] = {}
            timings: dict[str, list[Timing]] = {each: [] for each in models}
            for _ in range(ROUNDS):
                for each, path in models.items():
                    shapes[each], timing = await bench.time_model(each, path, done.threads)
                    timings[each].append(timing)
        finally:
            await http.aclose()
    errors = [_line(each, shapes[each], timings[each], table, done.figures) for each in models]
    error = statistics.median(errors)
    print(f"median error of an answer's speed by the measured figures: {error:.0%}")
    return error <= MUST


def _models(folder: Path) -> dict[str, Path]:
    """The guide, half of the synthetic model, and sparse models: their weights are zeros."""
    half = folder / "half.gguf"
    write_synthetic(half, Synthetic(layers=14))
    sparse = {name: write_sparse(folder / f"{name}.gguf", shape) for name, shape in SHAPES.items()}
    return {"guide": resource("guide", "guide.gguf"), "half": half, **sparse}


def _show(done: Benchmark) -> None:
    figures = done.figures
    print(
        f"{figures.host_bandwidth / 1e9:.1f} GB/s, {figures.host_compute / 1e9:.0f} GFLOP/s, "
        f"{figures.layer_s * 1e6:.0f} us a layer, {done.threads} threads, {done.seconds:.0f} s"
    )
    for trial in done.trials:
        print(f"  {trial.threads} threads{', busy core' if trial.busy else ''}: {trial.answer}")
    for compared in done.compared:
        print(f"  {compared.timing.model}: {compared.timing.prompt}, {compared.timing.answer}")
    for warning in done.warnings:
        print(f"  {warning}")
    print(f"{'':18}{'prompt: table':>14}{'figures':>9}{'measured':>9}", end="")
    print(f"{'answer: table':>26}{'figures':>22}{'measured':>9}{'spread':>8}{'error':>8}", flush=True)


def _line(
    name: str, shape: ModelShape, timings: list[Timing], table: MachineFigures, measured: MachineFigures
) -> float:
    """Print one model's line; the error of the measured figures."""
    by_table, by_figures = (predicted(shape, timings[0], figures) for figures in (table, measured))
    answers = [timing.answer.median for timing in timings]
    prompt = statistics.median(timing.prompt.median for timing in timings if timing.prompt is not None)
    answer = statistics.median(answers)
    error = (by_figures.answer or 0) / answer - 1
    print(f"{name:18}{by_table.prompt:14.0f}{by_figures.prompt:9.0f}{prompt:9.0f}", end="")
    print(f"{_range(by_table):>26}{_range(by_figures):>22}{answer:9.1f}", end="")
    print(f"{_spread(answers):8.0%}{error:+8.0%}", flush=True)
    return abs(error)


def _range(speed: Speed) -> str:
    return f"{speed.answer:.1f} ({speed.low:.1f}-{speed.high:.1f})"


def _spread(values: Iterable[float]) -> float:
    ordered = sorted(values)
    return (ordered[-1] - ordered[0]) / statistics.median(ordered)


if __name__ == "__main__":
    sys.exit(0 if asyncio.run(main()) else 1)
