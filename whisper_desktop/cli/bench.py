"""`bench machine`: how fast models run on this computer, measured, and kept for the advice."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from whisper_desktop.cli import output
from whisper_desktop.cli.running import Failed, json_option, of_owner, run
from whisper_desktop.control import RemoteCore
from whisper_desktop.errors import SettingsError
from whisper_desktop.values import Deadlines

if TYPE_CHECKING:
    from whisper_desktop.engines.bench import Benchmark
    from whisper_desktop.machine.figures import MachineFigures
    from whisper_desktop.models.calibration import Rate, Timing


@click.group()
def bench() -> None:
    """Measure what this computer reaches."""


@bench.command()
@click.option("--layers", type=click.IntRange(1, 28), hidden=True, help="Time a smaller model.")
@click.option("--limit", type=click.FloatRange(1, 60), default=60.0, hidden=True, help="Seconds.")
@json_option
def machine(layers: int | None, limit: float, as_json: bool) -> None:
    """Measure how fast models run on this computer. Takes about a minute, two at most.

    The app's own engine runs the guide and a synthetic model of a gigabyte, which is removed afterwards. What
    comes of it is kept, and the advice goes by it from then on.
    """
    with output.progress("Looking at the computer…") as waiting:
        done, kept = run(_measured(layers, limit, waiting.say), as_json=as_json)
    if as_json:
        output.emit_json(_shape(done, kept))
    else:
        show(done, kept)
    if not kept and not done.disturbed:
        raise Failed


async def _measured(layers: int | None, limit: float, say: Callable[[str], None]) -> "tuple[Benchmark, bool]":
    """What was measured, and whether it is kept."""
    from whisper_desktop.engines import find_binary
    from whisper_desktop.engines.bench import Bench
    from whisper_desktop.machine import detect_resources
    from whisper_desktop.machine.figures import figures_for
    from whisper_desktop.models.graphics import judge_graphics
    from whisper_desktop.models.measured import FILE, MeasuredStore, machine_key
    from whisper_desktop.models.synthetic import Synthetic
    from whisper_desktop.settings import load_settings
    from whisper_desktop.settings.paths import cache_dir, data_dir
    from whisper_desktop.wire.http import Http

    deadlines = Deadlines()
    settings = await asyncio.to_thread(load_settings)
    resources = await asyncio.to_thread(detect_resources)
    running = await of_owner(RemoteCore.engine_status, None)
    if running is not None and running.pid is not None:
        output.note(f"The app's own engine is running ({running.model}), which may disturb this.")
    store = MeasuredStore(data_dir() / FILE)
    http = Http(deadlines)
    try:
        done = await Bench(
            resources,
            figures_for(resources, judge_graphics(resources).gpus),
            http=http,
            folder=cache_dir(),
            deadlines=deadlines,
            binary=find_binary(settings.settings.llm.llamacpp.server_path),
            model=Synthetic(layers=layers) if layers else None,
            say=say,
            limit=limit,
        ).run()
    except OSError as error:
        raise SettingsError(
            "The synthetic model could not be written.",
            f"The system says: {error.strerror}.",
            f"See whether {cache_dir()} can be written to and has a gigabyte of room.",
        ) from None
    finally:
        await http.aclose()
    kept = not done.disturbed and await asyncio.to_thread(
        store.save_calibration, machine_key(resources), done.figures
    )
    if store.notice:
        output.note(store.notice)
    return done, kept


def show(done: "Benchmark", kept: bool) -> None:
    """Print what came of it, for a person."""
    for sentence in done.warnings:
        output.say(sentence)
    output.say(f"Measured in {done.seconds:.0f} s:")
    for name, value in _figures(done.figures).items():
        output.say(f"  {name}: {value}")
    output.say()
    output.table(
        [
            (
                each.timing.model + (f" on {each.timing.gpu}" if each.timing.gpu else ""),
                str(each.timing.threads),
                _rate(each.timing.prompt),
                _rate(each.timing.answer),
                f"{each.predicted.answer or 0:.1f} ({each.predicted.low:.1f} to {each.predicted.high:.1f})",
            )
            for each in done.compared
        ],
        header=("tokens/s", "threads", "prompt", "answer", "answer, predicted before"),
    )
    output.say()
    output.table(
        [
            (f"{each.threads}", "beside a busy core" if each.busy else "nothing else", _rate(each.answer))
            for each in done.trials
        ],
        header=("threads", "what else runs", "answer, tokens/s"),
    )
    output.say(f"Best on the whole: {done.threads} thread{'s' if done.threads > 1 else ''}.")
    if done.disturbed:
        output.say("Something else kept the computer busy, so this is not kept. Try again when it is quiet.")
    elif kept:
        output.say("The advice goes by this from now on.")
    else:
        from whisper_desktop.models.measured import FILE
        from whisper_desktop.settings.paths import data_dir

        output.note(f"This could not be kept in {data_dir() / FILE}, so the advice does not go by it.")
        output.note("  See whether there is room, and who may write there; then measure again.")


def _figures(figures: "MachineFigures") -> dict[str, str]:
    told = {
        "memory, as a model reads it": f"{figures.host_bandwidth / 1e9:.1f} GB/s",
        "arithmetic, as a prompt is read": f"{figures.host_compute / 1e9:.0f} GFLOP/s",
        "each layer of a model, for one token": f"{figures.layer_s * 1e3:.3f} ms",
    }
    for gpu in figures.gpus:
        if gpu.source == "measured":
            told[f"memory of {gpu.name}"] = f"{gpu.bandwidth / 1e9:.1f} GB/s"
            told[f"arithmetic of {gpu.name}"] = f"{gpu.compute / 1e9:.0f} GFLOP/s"
    return told


def _rate(rate: "Rate | None") -> str:
    if rate is None:
        return ""
    return f"{rate.median:.1f} (within {rate.spread:.0%})" if rate.runs else f"below {rate.median:.1f}"


def _shape(done: "Benchmark", kept: bool) -> dict[str, object]:
    """`bench machine --json`. Rates are a second; bandwidths in bytes, arithmetic in operations."""
    figures = done.figures
    return {
        "seconds": round(done.seconds, 1),
        "host": {
            "bandwidth": round(figures.host_bandwidth),
            "compute": round(figures.host_compute),
            "layer_s": figures.layer_s,
            "source": figures.source,
        },
        "gpus": [
            {
                "name": gpu.name,
                "bandwidth": round(gpu.bandwidth * gpu.efficiency),
                "compute": round(gpu.compute),
                "layer_s": gpu.layer_s,
                "source": gpu.source,
            }
            for gpu in figures.gpus
        ],
        "models": [
            {
                **_timing(each.timing),
                "predicted": {
                    "prompt": each.predicted.prompt,
                    "answer": each.predicted.answer,
                    "low": each.predicted.low,
                    "high": each.predicted.high,
                },
            }
            for each in done.compared
        ],
        "trials": [_timing(each) for each in done.trials],
        "threads": done.threads,
        "warnings": list(done.warnings),
        "kept": kept,
    }


def _timing(timing: "Timing") -> dict[str, object]:
    return {
        "model": timing.model,
        "gpu": timing.gpu or None,
        "threads": timing.threads,
        "busy": timing.busy,
        "prompt": _rate_shape(timing.prompt),
        "answer": _rate_shape(timing.answer),
    }


def _rate_shape(rate: "Rate | None") -> dict[str, object] | None:
    if rate is None:
        return None
    return {"tokens_per_second": rate.median, "spread": rate.spread, "runs": rate.runs, "tokens": rate.tokens}
