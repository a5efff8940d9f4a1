"""Repairs that a person accepted for a model that did not start, as the settings keep them."""

from collections.abc import Mapping
from pathlib import Path

from whisper_desktop.errors import EngineError
from whisper_desktop.values import EngineStatus, Repair

REPAIRS = "llm.llamacpp.repairs"

Accepted = Mapping[str, tuple[str, ...]]


def offered(status: EngineStatus | None, repair: str) -> Repair:
    """The repair of this id that the engine offers. Raises `EngineError` when it can not be accepted so."""
    repairs = status.repairs if status is not None else ()
    found = next((each for each in repairs if each.id == repair), None)
    if found is None:
        others = ", ".join(each.id for each in repairs)
        raise EngineError(
            f"The repair “{repair}” is not offered.",
            f"Offered: {others}." if others else "Nothing is to be repaired at the moment.",
            "Start the engine with `whisper-desktop engine start`; what can be repaired is offered then.",
            cause="no_such_repair",
        )
    if not found.change:
        raise EngineError(
            f"“{found.label}” is not done by itself.",
            found.detail,
            f"Run `{found.command}`.",
            cause="no_such_repair",
        )
    return found


def with_change(accepted: Accepted, model: Path, change: str) -> dict[str, tuple[str, ...]]:
    """What is accepted, with one change more for this model; it takes the place of one of the same kind."""
    kind = change.partition("=")[0]
    kept = [each for each in accepted.get(str(model), ()) if each.partition("=")[0] != kind]
    return {**accepted, str(model): (*kept, change)}


def without(accepted: Accepted, model: Path) -> dict[str, tuple[str, ...]]:
    """What is accepted for other models."""
    return {path: changes for path, changes in accepted.items() if path != str(model)}
