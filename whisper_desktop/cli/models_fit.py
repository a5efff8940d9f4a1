"""`models fit`: whether one model runs on this computer, part by part, and what would change the answer."""

from typing import TYPE_CHECKING, Any

import click

from whisper_desktop.cli import output
from whisper_desktop.cli.running import json_option, run, with_app

if TYPE_CHECKING:
    from whisper_desktop.app.model_fit import Estimate
    from whisper_desktop.models.memory import Part

_PARTS = (
    ("weights", "weights"),
    ("repacked copies", "copies"),
    ("KV cache", "cache"),
    ("computing", "compute"),
    ("checkpoints", "checkpoints"),
    ("the program", "other"),
)


@click.command()
@click.argument("model")
@click.option("--context", type=click.IntRange(1, 10_000_000), help="For so many tokens of context.")
@click.option("--no-ask", is_flag=True, help="Arithmetic alone: do not let the engine check the memory.")
@json_option
def fit(model: str, context: int | None, no_ask: bool, as_json: bool) -> None:
    """Say whether MODEL fits on this computer.

    MODEL is a name from `models list` or the catalogue, a GGUF file, REPO/FILE or REPO:QUANT on Hugging Face,
    or an address. Of what is elsewhere only the header is fetched, a few megabytes.
    """
    told = run(
        with_app(lambda app: app.models.fit(model, context, ask=not no_ask)),
        as_json=as_json,
        words=f"Looking at {model}…",
    )
    if as_json:
        output.emit_json(_shape(told))
    else:
        _print(told)
        if told.fit is not None and told.subject.path is None:
            output.say(f"  To fetch it: whisper-desktop models pull {model}")


def _print(told: "Estimate") -> None:
    from whisper_desktop.app.model_fit_words import headline, sentences

    output.say(headline(told))
    output.say()
    columns = list(told.need.gpus) if any(part.total for part in told.need.gpus) else []
    header = [f"Card {number}" if len(columns) > 1 else "Graphics" for number, _ in enumerate(columns, 1)]
    parts = [*columns, told.need.host]
    rows = [
        ("  " + words, *(_size(getattr(part, field)) for part in parts))
        for words, field in _PARTS
        if any(getattr(part, field) for part in parts)
    ]
    rows.append(("  in all", *(output.gigabytes(part.total) for part in parts)))
    budgets = [*told.budget.gpus[: len(columns)], told.budget.host]
    rows.append(("  may be used", *(output.gigabytes(size) for size in budgets)))
    output.table(rows, header=("", *header, "Memory"))
    output.say()
    for sentence in sentences(told):
        output.say(f"  {sentence}")
    if told.fit is not None:
        output.say(f"  In llama-server: {' '.join(told.flags)}")


def _size(size: int) -> str:
    return output.gigabytes(size) if size else ""


def _shape(told: "Estimate") -> dict[str, object]:
    """`models fit --json`. Sizes are bytes, contexts tokens, speeds tokens a second.

    `mode` is gpu, experts (of a mixture, in the computer's memory), partial, cpu, or null where it does not
    fit. `figures_from` is file, header or catalogue; `asked` the engine that checked the memory.
    """
    from whisper_desktop.app.model_fit_words import headline, sentences

    fit, speed = told.fit, told.speed
    return {
        "model": told.subject.name,
        "path": str(told.subject.path) if told.subject.path is not None else None,
        "figures_from": told.subject.known_from,
        "asked": told.asked or None,
        "size_bytes": told.subject.shape.file_bytes,
        "fits": fit is not None,
        "mode": told.mode,
        "context": told.context,
        "largest_context": told.largest,
        "largest_context_q8_0": told.largest_packed,
        "train_context": told.subject.shape.train_ctx,
        "gpu_layers": list(told.placement.gpu_layers),
        "layers": told.subject.shape.all_layers,
        "experts_on_host": told.placement.experts_on_host if told.placement.layers_on_gpus else 0,
        "flags": list(told.flags),
        "need": {
            "gpus": [_part(part) for part in told.need.gpus],
            "host": _part(told.need.host),
            "total_bytes": told.need.total,
        },
        "budget": {
            "gpu_bytes": list(told.budget.gpus),
            "host_bytes": told.budget.host,
            "unified": told.budget.unified,
        },
        "spare_bytes": fit.spare_bytes if fit is not None else None,
        "free_now_bytes": told.free_now,
        "missing": None
        if told.shortfall is None
        else {"bytes": told.shortfall.missing_bytes, "where": told.shortfall.where},
        "speed": None
        if speed is None or speed.answer is None
        else {
            "answer": round(speed.answer, 2),
            "low": round(speed.low, 2),
            "high": round(speed.high, 2),
            "prompt": None if speed.prompt is None else round(speed.prompt, 1),
            "source": speed.source,
            "predicted": None if speed.predicted is None else round(speed.predicted, 2),
        },
        "sentences": [headline(told), *sentences(told)],
    }


def _part(part: "Part") -> dict[str, Any]:
    named = {f"{field}_bytes": getattr(part, field) for _, field in _PARTS}
    return {**named, "total_bytes": part.total}
