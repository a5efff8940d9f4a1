"""What is said when a step is left out, an answer breaks off, or nobody answers: pure words."""

from collections.abc import Sequence

from whisper_desktop.backends.base import Backend
from whisper_desktop.errors import (
    BackendError,
    ConsentRequired,
    Interrupted,
    LLMConnectionError,
    ReachError,
    WhisperError,
)
from whisper_desktop.language import tr, trn
from whisper_desktop.llm.decisions import most_actionable, told_apart, what_happened
from whisper_desktop.values import Attempt, ErrorKind, Reach, Repair, SetupGuidance

Failure = BackendError | ReachError


def nobody_answered(
    attempts: tuple[Attempt, ...], errors: Sequence[Failure], guidance: SetupGuidance | None
) -> WhisperError:
    """The error of a chain that is at its end: about what a person can do most about, with all tries."""
    if not attempts:
        return LLMConnectionError(
            tr("There is no backend that could answer."),
            tr("No model server that could answer was found, and none is set."),
            tr("Open Setup, or start LM Studio or Ollama."),
            setup_guidance=guidance,
        )
    overflow = next((error for error in errors if error.kind is ErrorKind.CONTEXT_OVERFLOW), None)
    if isinstance(overflow, BackendError):
        overflow.attempts = attempts
        return overflow
    consent = [error for error in errors if isinstance(error, ConsentRequired)]
    if consent:
        return _asks_consent(consent, attempts, guidance, _repairs(errors))
    index = most_actionable(attempts)
    headline = errors[index]
    named = told_apart(attempts)
    others = [each for each in named if (each.backend, each.url) != (named[index].backend, named[index].url)]
    detail = f"{headline.detail} {what_happened(others)}." if others else headline.detail
    return LLMConnectionError(
        headline.title,
        detail.strip(),
        headline.next_step,
        kind=headline.kind,
        attempts=attempts,
        last_error=errors[-1],
        setup_guidance=guidance,
        repairs=_repairs(errors),
    )


def _repairs(errors: Sequence[Failure]) -> tuple[Repair, ...]:
    """What could mend engines of ours, each once."""
    return tuple(dict.fromkeys(repair for error in errors for repair in error.repairs))


def _asks_consent(
    asking: Sequence[ConsentRequired],
    attempts: tuple[Attempt, ...],
    guidance: SetupGuidance | None,
    repairs: tuple[Repair, ...],
) -> ConsentRequired:
    """The nearest step that was left out because of its reach: its sentence, with what the others did."""
    order = [*Reach, None]
    nearest = min(asking, key=lambda error: order.index(error.needed))
    others = [each for each in told_apart(attempts) if each.kind is not ErrorKind.CONSENT_REQUIRED]
    detail = f"{what_happened(others)}. {nearest.detail}" if others else nearest.detail
    return ConsentRequired(
        nearest.title,
        detail,
        nearest.next_step,
        needed=nearest.needed,
        attempts=attempts,
        setup_guidance=guidance,
        repairs=repairs,
    )


def broken(text: str, failure: Failure, attempts: tuple[Attempt, ...]) -> Interrupted:
    """An answer that broke off after `text`."""
    words = len(text.split())
    return Interrupted(
        trn("The answer stopped after {count} word.", "The answer stopped after {count} words.", words)
        if words
        else tr("The answer stopped before its first word."),
        f"{failure.title} {failure.detail}".strip() + (tr(" The text so far is kept.") if words else ""),
        failure.next_step or tr("Try again, or use another backend."),
        partial_text=text,
        kind=failure.kind,
        attempts=attempts,
        repairs=failure.repairs,
    )


def slower(backend: Backend) -> BackendError:
    """The other one of two that were asked side by side was faster."""
    return BackendError(
        ErrorKind.CANCELLED,
        tr("{backend_name} was slower.", backend_name=backend.name),
        tr("It was stopped."),
    )


def resting(backend: Backend, kind: ErrorKind | None, why: str) -> BackendError:
    """Its breaker is open."""
    kind = kind or ErrorKind.CONNECT_REFUSED
    # Why a key was refused says what helps; time does not.
    step = "" if kind is ErrorKind.AUTH else tr("Ask again later, or use another backend.")
    return BackendError(
        kind, tr("{backend_name} was left out.", backend_name=backend.name), why, step, request_sent=False
    )


def cannot(backend: Backend, needs: frozenset[str]) -> BackendError:
    """It lacks capabilities that the question needs."""
    words = {
        "tools": tr("call functions"),
        "vision": tr("see images"),
        "json_schema": tr("answer in a given shape"),
    }
    what = tr(" or ").join(words.get(need, need) for need in sorted(needs))
    return BackendError(
        ErrorKind.UNSUPPORTED,
        tr("{backend_name} was not asked: it cannot {what}.", backend_name=backend.name, what=what),
        "",
        tr("Use another model or backend."),
        request_sent=False,
    )


def no_larger(backend: Backend) -> BackendError:
    """The conversation was too long elsewhere, and may be here."""
    return BackendError(
        ErrorKind.CONTEXT_OVERFLOW,
        tr(
            "{backend_name} was not asked: its context window is not known to be larger.",
            backend_name=backend.name,
        ),
        "",
        tr("Start a new chat, shorten the message, or use a model with a larger context window."),
        request_sent=False,
    )


def needs_consent(backend: Backend, reach: Reach | None) -> ConsentRequired:
    """It lies beyond the reach that is allowed."""
    if reach is None:
        return ConsentRequired(
            tr("{backend_name} was not asked.", backend_name=backend.name),
            tr(
                "Nobody can say where the model at {base_url} runs. Nothing was sent.",
                base_url=backend.base_url,
            ),
            tr("Allow it if you trust it, or choose another backend."),
            needed=None,
        )
    place = {Reach.MY_NETWORK: tr("in your network, not on this computer"), Reach.CLOUD: tr("in the cloud")}
    return ConsentRequired(
        tr(
            "{backend_name} was not asked, because it is {part}.",
            backend_name=backend.name,
            part=place.get(reach, reach.words),
        ),
        tr("Nothing was sent."),
        tr(
            "Allow {part} for this conversation, or use a model on this computer.",
            part=tr("the cloud") if reach is Reach.CLOUD else reach.words,
        ),
        needed=reach,
    )
