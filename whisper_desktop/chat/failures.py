"""What every front end shows of an error, whichever type it has: its tries, a consent, and what to do."""

from dataclasses import dataclass

from whisper_desktop.errors import (
    BackendError,
    ConsentRequired,
    EngineError,
    Interrupted,
    LLMConnectionError,
    ReachError,
    WhisperError,
)
from whisper_desktop.values import Attempt, DownloadLink, ErrorKind, Repair, SetupGuidance

_SET_UP_FIRST = (ErrorKind.NOT_CONFIGURED, ErrorKind.CONNECT_REFUSED, ErrorKind.MODEL_MISSING)
_LINKED = (*_SET_UP_FIRST, ErrorKind.AUTH)


@dataclass(frozen=True, slots=True)
class Failure:
    """`attempts` are all tries in order. `consent` is what the person may allow: the error itself where a
    chain stopped to ask, or one step of a chain that found nobody. `guidance` says what else can be done.
    `repairs` are what could mend an engine of ours, the likeliest first.
    """

    attempts: tuple[Attempt, ...] = ()
    guidance: SetupGuidance | None = None
    consent: ConsentRequired | None = None
    repairs: tuple[Repair, ...] = ()


def failure_of(error: WhisperError) -> Failure:
    """What is known about an error."""
    match error:
        case LLMConnectionError():
            last = error.last_error
            consent = last if isinstance(last, ConsentRequired) else None
            return Failure(error.attempts, error.setup_guidance, consent, error.repairs)
        case ReachError():
            consent = error if isinstance(error, ConsentRequired) else None
            return Failure(error.attempts, error.setup_guidance, consent, error.repairs)
        case BackendError() | Interrupted():
            return Failure(error.attempts, repairs=error.repairs)
        case EngineError():
            return Failure(repairs=error.repairs)
        case _:
            return Failure()


@dataclass(frozen=True, slots=True)
class Advice:
    """What to do about an error: the sentence `first`, then `steps` below a `headline`, and `links`.

    Each may be empty. `guide` says that asking the guide may help.
    """

    first: str
    headline: str = ""
    steps: tuple[str, ...] = ()
    links: tuple[DownloadLink, ...] = ()
    guide: bool = False


def advice_on(error: WhisperError) -> Advice:
    """What to do, said once. The guidance says how to set something up, the error's own words what its cause
    is: where only one server was asked, and it was there, they know better.
    """
    failure = failure_of(error)
    guidance, kind = failure.guidance, getattr(error, "kind", None)
    if guidance is None:
        return Advice(error.next_step)
    links = guidance.links if kind in _LINKED else ()
    if not guidance.steps or (len(guidance.steps) == 1 and error.next_step and kind not in _SET_UP_FIRST):
        return Advice(error.next_step, links=links)
    if len(guidance.steps) == 1:
        return Advice(guidance.steps[0], links=links, guide=guidance.offer_guide)
    # A question comes first, and then what else can be done.
    first = error.next_step if failure.consent is not None else ""
    return Advice(first, guidance.headline, guidance.steps, guidance.links, guidance.offer_guide)


def tries_besides(error: WhisperError) -> tuple[Attempt, ...]:
    """The tries that tell more than the error's own words: none where there was only one, or each went alike.

    A question leaves out those that it is about.
    """
    attempts = failure_of(error).attempts
    others = tuple(each for each in attempts if not each.detail.startswith(error.title))
    if len(attempts) < 2 or not others:
        return ()
    return others if isinstance(error, ConsentRequired) else attempts
