"""*Test connection* in words: what is asked, and what is said about the outcome. Pure."""

from whisper_desktop.errors import LLMConnectionError, WhisperError
from whisper_desktop.language import tr
from whisper_desktop.values import Completion, ConnectionReport


def question_for(backend: str | None) -> str:
    """What a backend is asked to see whether it answers; the guide knows only this app, and only English."""
    return "Who are you?" if backend == "guide" else tr("Say hello in one short sentence.")


def report_of(outcome: Completion | WhisperError) -> ConnectionReport:
    """The report for an answer that came, or for the error that came instead."""
    if isinstance(outcome, Completion):
        who = outcome.provenance
        return ConnectionReport(
            True,
            tr("{server_name} answers with {model}.", server_name=who.server_name, model=who.model),
            outcome.text.strip(),
            completion=outcome,
        )
    cause = outcome.last_error if isinstance(outcome, LLMConnectionError) and outcome.last_error else outcome
    return ConnectionReport(False, cause.title, cause.detail, cause.next_step)
