"""Repairs that a person accepted for a model that did not start, as the settings keep them."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from whisper_desktop.errors import EngineError
from whisper_desktop.language import tr
from whisper_desktop.values import EngineStatus, Repair

REPAIRS = "llm.llamacpp.repairs"

Accepted = Mapping[str, tuple[str, ...]]
Engines = Mapping[Path, EngineStatus]
"""Our engines by the model of each."""


def offered(engines: Engines, repair: str) -> dict[Path, Repair]:
    """The repair of this id, for every model whose engine offers it: a broken driver stops all of them.

    Raises `EngineError` when none offers it, or it cannot be accepted so.
    """
    found = {model: each for model, status in engines.items() for each in status.repairs if each.id == repair}
    if not found:
        raise _not_offered(repair, dict.fromkeys(each.id for each in _all(engines.values())))
    for each in found.values():
        if not each.change:
            raise EngineError(
                tr("“{label}” is not done by itself.", label=each.label),
                each.detail,
                tr("Run `{command}`.", command=each.command),
                cause="no_such_repair",
            )
    return found


def _all(statuses: Iterable[EngineStatus]) -> Iterable[Repair]:
    return (repair for status in statuses for repair in status.repairs)


def _not_offered(repair: str, others: Iterable[str]) -> EngineError:
    names = ", ".join(others)
    if names:
        next_step = tr("Choose one of these.")
    else:
        next_step = tr("Start the engine; what can be repaired is offered when it cannot run.")
    return EngineError(
        tr("The repair “{repair}” is not offered.", repair=repair),
        tr("Offered: {names}.", names=names) if names else tr("Nothing is to be repaired at the moment."),
        next_step,
        cause="no_such_repair",
    )


def with_changes(accepted: Accepted, repairs: Mapping[Path, Repair]) -> dict[str, tuple[str, ...]]:
    """What is accepted, with one change more for each model; it takes the place of one of the same kind."""
    changed = dict(accepted)
    for model, repair in repairs.items():
        kind = repair.change.partition("=")[0]
        kept = [each for each in changed.get(str(model), ()) if each.partition("=")[0] != kind]
        changed[str(model)] = (*kept, repair.change)
    return changed


def of(accepted: Accepted, models: Iterable[Path]) -> tuple[str, ...]:
    """What is accepted for these models."""
    return tuple(change for model in models for change in accepted.get(str(model), ()))


def without(accepted: Accepted, models: Iterable[Path]) -> dict[str, tuple[str, ...]]:
    """What is accepted for other models."""
    gone = {str(model) for model in models}
    return {path: changes for path, changes in accepted.items() if path not in gone}
