"""A ranking and the memory it counts against, in the terminal: tables for a person, shapes for `--json`."""

from typing import Any

from whisper_desktop.advice import Choice, Ranking, model_title
from whisper_desktop.advice.sentences import duration, speed_range, tokens_figure
from whisper_desktop.cli import output
from whisper_desktop.machine.figures import MachineFigures
from whisper_desktop.models.fit import Budget
from whisper_desktop.models.speed import Speed
from whisper_desktop.values import IDENTITIES

_MOST_SHOWN = 5
_SOURCES = {
    "measured": "measured on this computer",
    "table": "from its name, by our tables",
    "guess": "a guess: no table of ours has it",
}

Json = dict[str, Any]


def print_arithmetic(budget: Budget, figures: MachineFigures) -> None:
    """What a model may take of the memory, and how fast that is."""
    output.heading("For a model")
    rows = []
    if budget.gpus:
        rows.append(("  Graphics", f"{budget.gpu_words}."))
    rows.append(("  Memory", f"{budget.host_words}."))
    if budget.unified:
        rows.append(("", "Both are the same memory, so what one takes the other does not have."))
    for gpu in figures.gpus:
        speed = f"{gpu.name or 'The graphics card'} reads {_rate(gpu.bandwidth)}, {_SOURCES[gpu.source]}."
        rows.append(("  Speed", speed))
    rate = f"A model on the processor reads {_rate(figures.host_bandwidth)}, {_SOURCES[figures.source]}."
    rows.append(("" if figures.gpus else "  Speed", rate))
    output.table(rows)


def _rate(bytes_a_second: float) -> str:
    return f"{bytes_a_second / 1e9:.0f} GB a second"


def print_ranking(ranking: Ranking, *, everything: bool) -> None:
    """The best choices as a table; on request all of them, and what is not offered and why."""
    if not ranking.choices:
        output.say(f"None of the models that we know suits {ranking.purpose.words} on this computer.")
    else:
        output.heading(f"For {ranking.purpose.words}, best first")
        shown = ranking.choices if everything else ranking.choices[:_MOST_SHOWN]
        output.table((_row(choice) for choice in shown), header=_HEADER)
    if everything:
        if ranking.rejected:
            output.say()
            output.heading("Not offered")
            output.table(("  " + model.id, sentence) for model, sentence in ranking.rejected)
    elif len(ranking.choices) > _MOST_SHOWN or ranking.rejected:
        more = max(0, len(ranking.choices) - _MOST_SHOWN)
        known = f"{more} more, and why" if more else "Why"
        output.say(f"  {known} {len(ranking.rejected)} are not offered: the same command with --all")


_HEADER = ("  Model", "Program", "Memory", "Context", "Tokens/s", "Answer", "Licence")


def _row(choice: Choice) -> tuple[str, ...]:
    return (
        "  " + model_title(choice.model.id),
        IDENTITIES[choice.backend].name,
        output.gigabytes(choice.fit.need.total),
        f"{choice.fit.context:,}",
        _speed(choice.speed),
        duration(choice.answer_seconds).removeprefix("about ") + (", thinks" if choice.thinking else ""),
        choice.model.licence,
    )


def _speed(speed: Speed) -> str:
    if speed.source == "measured":
        return f"{tokens_figure(speed.answer or 0.0)}, measured"
    return speed_range(speed) + ("" if speed.known else ", a guess")


def arithmetic_shape(budget: Budget, figures: MachineFigures) -> Json:
    """What `machine --json` adds: memory in bytes, speed in bytes a second."""
    return {
        "budget": {
            "gpu_bytes": list(budget.gpus),
            "host_bytes": budget.host,
            "unified": budget.unified,
            "gpu_words": budget.gpu_words if budget.gpus else "",
            "host_words": budget.host_words,
        },
        "figures": {
            "host_bandwidth": round(figures.host_bandwidth),
            "source": figures.source,
            "gpus": [
                {"name": gpu.name, "bandwidth": round(gpu.bandwidth), "source": gpu.source}
                for gpu in figures.gpus
            ],
        },
    }


def ranking_shape(ranking: Ranking) -> Json:
    """What `recommend --json` adds."""
    return {
        "purpose": ranking.purpose.value,
        "choices": [_choice(choice) for choice in ranking.choices],
        "rejected": [{"model": model.id, "reason": sentence} for model, sentence in ranking.rejected],
        "changes": list(ranking.changes),
    }


def _choice(choice: Choice) -> Json:
    fit, speed, model = choice.fit, choice.speed, choice.model
    return {
        "model": model.id,
        "name": choice.name,
        "backend": choice.backend,
        "present": choice.present,
        "score": round(choice.score, 2),
        "mode": fit.mode,
        "context": fit.context,
        "gpu_layers": list(fit.placement.gpu_layers),
        "experts_on_host": fit.placement.experts_on_host,
        "gpu_bytes": fit.need.gpu_bytes,
        "host_bytes": fit.need.host.total,
        "spare_bytes": fit.spare_bytes,
        "download_bytes": model.file_bytes,
        "tokens_per_second": None if speed.answer is None else round(speed.answer, 1),
        "tokens_per_second_range": [round(speed.low, 1), round(speed.high, 1)],
        "speed_source": speed.source,
        "answer_seconds": round(choice.answer_seconds, 1),
        "thinking": choice.thinking,
        "licence": model.licence,
        "confidence": choice.confidence.value,
        "reasons": list(choice.reasons),
    }
