"""What every front end shows of an error besides its words, whichever type it has."""

from dataclasses import dataclass

from whisper_desktop.errors import (
    BackendError,
    ConsentRequired,
    Interrupted,
    LLMConnectionError,
    ReachError,
    WhisperError,
)
from whisper_desktop.values import Attempt, SetupGuidance


@dataclass(frozen=True, slots=True)
class Failure:
    """`attempts` are all tries in order. `consent` is what the person may allow: the error itself where a
    chain stopped to ask, or one step of a chain that found nobody. `guidance` says what else can be done.
    """

    attempts: tuple[Attempt, ...] = ()
    guidance: SetupGuidance | None = None
    consent: ConsentRequired | None = None


def failure_of(error: WhisperError) -> Failure:
    """What is known about an error."""
    match error:
        case LLMConnectionError():
            last = error.last_error
            consent = last if isinstance(last, ConsentRequired) else None
            return Failure(error.attempts, error.setup_guidance, consent)
        case ReachError():
            consent = error if isinstance(error, ConsentRequired) else None
            return Failure(error.attempts, error.setup_guidance, consent)
        case BackendError() | Interrupted():
            return Failure(error.attempts)
        case _:
            return Failure()
