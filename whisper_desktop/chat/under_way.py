"""The words for an answer that is on its way: what it waits for, who failed, and what the model calls."""

from whisper_desktop.chat.provenance import outcome
from whisper_desktop.language import mark, tr, trn
from whisper_desktop.values import Attempt, ErrorKind, Phase, Progress, ToolCall

WAITING = mark("Waiting for the first word…")
"""What is said before anything is known; shown by `tr`."""
_WORTH_COUNTING = 2  # seconds: who waits longer wants to know for how long
_LONGEST_ARGUMENTS = 200  # characters


def waiting_line(progress: Progress) -> str:
    """What the answer waits for: "Ollama is reading the prompt… 31 %", "Waiting for a free place; 2 before
    you".

    "" for a prompt that has been read: it is not waited for any more, and a short one never was.
    """
    match progress.phase:
        case Phase.QUEUED:
            if not progress.ahead:
                return tr("Waiting for a free place")
            return trn(
                "Waiting for a free place; 1 before you",
                "Waiting for a free place; {count} before you",
                progress.ahead,
            )
        case Phase.LOADING:
            name = progress.server_name
            line = tr("{name} is loading its model…", name=name) if name else tr("Loading the model…")
            return line + _percent(progress.done)
        case Phase.READING if progress.done is not None and progress.done >= 1:
            return ""
        case Phase.READING:
            name = progress.server_name
            line = tr("{name} is reading the prompt…", name=name) if name else tr("Reading the prompt…")
            return line + _percent(progress.done)
        case Phase.CALLING:
            return tr("Preparing a function call…")


def failed_line(attempt: Attempt) -> str:
    """What is said while the chain goes on after a failed try; "" for one that nobody waited for.

    "Ollama is not running. Going on…"
    """
    if attempt.skipped or attempt.kind is ErrorKind.CANCELLED:
        return ""
    sentence, _, _ = outcome(attempt).partition(". ")
    return tr("{what_happened}. Going on…", what_happened=sentence)


def with_time(line: str, waited: float) -> str:
    """A line about waiting with the seconds it has taken, once there are two: "Loading the model… 7 s"."""
    if not line or waited < _WORTH_COUNTING:
        return line
    return f"{line}{' ' if line.endswith('…') else ' · '}{tr('{number} s', number=int(waited))}"


def tool_call_line(call: ToolCall) -> str:
    """A call as one line: `Calls get_weather with {"city": "Lisbon"}`."""
    arguments = " ".join(call.arguments.split())
    if len(arguments) > _LONGEST_ARGUMENTS:
        arguments = arguments[: _LONGEST_ARGUMENTS - 1] + "…"
    if arguments in ("", "{}"):
        return tr("Calls {function}", function=call.name)
    return tr("Calls {function} with {arguments}", function=call.name, arguments=arguments)


def _percent(done: float | None) -> str:
    return "" if done is None else f" {min(max(done, 0.0), 1.0):.0%}".replace("%", " %")
