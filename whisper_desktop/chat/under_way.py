"""The words for an answer that is on its way: what it waits for, and what the model calls."""

from whisper_desktop.values import Phase, Progress, ToolCall

_LONGEST_ARGUMENTS = 200  # characters


def waiting_line(progress: Progress) -> str:
    """What the answer waits for: "Reading the prompt… 31 %", "Waiting for a free place; 2 before you"."""
    match progress.phase:
        case Phase.QUEUED:
            before = f"; {progress.ahead} before you" if progress.ahead else ""
            return f"Waiting for a free place{before}"
        case Phase.LOADING:
            return f"Loading the model…{_percent(progress.done)}"
        case Phase.READING:
            return f"Reading the prompt…{_percent(progress.done)}"


def _percent(done: float | None) -> str:
    return "" if done is None else f" {min(max(done, 0.0), 1.0):.0%}".replace("%", " %")


def tool_call_line(call: ToolCall) -> str:
    """A call as one line: `Calls get_weather with {"city": "Lisbon"}`."""
    arguments = " ".join(call.arguments.split())
    if len(arguments) > _LONGEST_ARGUMENTS:
        arguments = arguments[: _LONGEST_ARGUMENTS - 1] + "…"
    return f"Calls {call.name} with {arguments}" if arguments not in ("", "{}") else f"Calls {call.name}"
