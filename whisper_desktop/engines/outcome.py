"""What a start really did, read from the engine's log, compared with what the plan said."""

from collections.abc import Sequence
from dataclasses import dataclass

from whisper_desktop.engines.spec import EngineSpec


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an engine's log says of its load; sizes are bytes, None is not said."""

    gpu_layers: int | None = None
    layers: int | None = None


def read_outcome(lines: Sequence[str]) -> Outcome:
    """The facts of a load from the lines that it printed."""
    return Outcome()


def warning_of(spec: EngineSpec, outcome: Outcome) -> str:
    """A sentence when an engine runs otherwise than planned; "" when it runs as planned."""
    return ""
