"""What else there is beside a recommendation, each with the reason to take it."""

from collections.abc import Iterator

from whisper_desktop.advice.advised import Advised, choices_for
from whisper_desktop.advice.ranking import Choice
from whisper_desktop.advice.runners import PROGRAMS, can_do, needs_build, title_on
from whisper_desktop.advice.sentences import BUILD, program_name
from whisper_desktop.language import gigabytes, mark, tr
from whisper_desktop.values import Alternative

_SMALL = 1.8  # billions of parameters, at most
_CLEARLY_BETTER = 1.0  # points by which a model must be ahead to be pointed out


def alternatives(advised: Advised, *, without: str, top: Choice | None = None) -> tuple[Alternative, ...]:
    """A clearly better model, a smaller one, other programs, the cloud, and always the guide."""
    return tuple(_offers(advised, without, top))


def _offers(advised: Advised, without: str, top: Choice | None) -> Iterator[Alternative]:
    ranking, situation = advised.ranking, advised.situation
    offered = {without}
    best = max(ranking.choices, key=lambda choice: choice.score, default=None)
    if top is not None and best is not None and best.score > top.score + _CLEARLY_BETTER:
        here = without in PROGRAMS and can_do(without, best.model, best.fit)
        program = without if here else best.backend
        offered.add(program)
        reason = tr("Better answers, for {gigabytes} to download", gigabytes=gigabytes(best.model.file_bytes))
        if without in PROGRAMS and not here:
            reason += tr(
                ": it can place this model in memory as {program_name} cannot",
                program_name=program_name(without),
            )
        yield Alternative(program, title_on(program, best.model), f"{reason}.")
    small = next(
        (choice for choice in choices_for("ollama", ranking) if choice.model.billions <= _SMALL), None
    )
    if small is not None and (top is None or small.model.params < top.model.params):
        what = tr("Small and quick") if top is None else tr("Smaller and faster")
        if without == "openrouter":
            what = tr("It works offline")
        reason = tr(
            "{what}: {gigabytes} to download.", what=what, gigabytes=gigabytes(small.model.file_bytes)
        )
        yield Alternative("ollama", title_on("ollama", small.model), reason)
    if situation.tier >= 8:
        for program in situation.programs:
            choices = choices_for(program, ranking)
            if choices and program not in offered:
                manner = tr(_MANNER[program])
                if needs_build(program, choices[0].fit, situation.graphics):
                    manner += tr(", only {build}", build=tr(BUILD))
                yield Alternative(program, title_on(program, choices[0].model), f"{manner}.")
    if without != "openrouter":
        reason = tr("The cloud: nothing to download, and prompts leave this computer.")
        yield Alternative("openrouter", None, reason)
    yield Alternative("guide", None, tr("A tiny demo model that only knows this app."))


_MANNER = {
    "ollama": mark("A plain service that is steered from a terminal"),
    "lm_studio": mark("An app with windows of its own"),
    "builtin": mark("Whisper Desktop runs the model itself: no other program to install"),
}
