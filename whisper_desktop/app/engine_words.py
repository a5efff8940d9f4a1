"""What an engine of ours is doing, in words: a state is called the same in every front end."""

from math import ceil

from whisper_desktop.errors import EngineError
from whisper_desktop.values import GB, EngineState, EngineStatus

_LEAST = 50_000_000  # bytes: what would be rounded to 0.0 GB


def in_gigabytes(size: int) -> str:
    """Memory as people read it: "4.9 GB"; "under 0.1 GB" for a tiny model."""
    return f"{size / GB:.1f} GB" if size >= _LEAST else "under 0.1 GB"


def state_words(status: EngineStatus | None) -> str:
    """The state in a few words: "ready", "loading, 42 %", "starts again in 4 s"."""
    if status is None or status.state is EngineState.STOPPED:
        return "not running"
    match status.state:
        case EngineState.STARTING:
            return "loading" if status.progress is None else f"loading, {status.progress * 100:.0f} %"
        case EngineState.BACKING_OFF:
            return f"starts again {_soon(status.restart_in)}"
        case EngineState.SLEEPING:
            return "asleep"
        case EngineState.FAILED:
            return "cannot run"
        case _:
            return str(status.state.value)


def _soon(seconds: float | None) -> str:
    return "in a moment" if seconds is None or seconds < 1 else f"in {ceil(seconds)} s"


def status_lines(status: EngineStatus | None) -> tuple[str, ...]:
    """All that is known of an engine: its state with the facts, why it is so, and what it warns of."""
    if status is None or status.state is EngineState.STOPPED:
        return ("The engine is not running.",)
    words = state_words(status)
    is_ = "" if status.state in (EngineState.BACKING_OFF, EngineState.FAILED) else "is "
    facts = [f"The engine {is_}{words}"]
    if status.model:
        facts.append(f"model {status.model}")
    if status.memory_bytes:
        facts.append(f"{in_gigabytes(status.memory_bytes)} of memory")
    if status.url:
        facts.append(status.url)
    if status.pid:
        facts.append(f"process {status.pid}")
    if status.tokens_per_second:
        facts.append(f"{status.tokens_per_second:.1f} tokens a second")
    why = status.detail if " " in status.detail else ""  # "Ready." is said by the state
    return tuple(line for line in (f"{', '.join(facts)}.", why, status.warning) if line)


def no_model(who: str) -> EngineError:
    """What is said where `who` needs a model of the person's and none is set."""
    return EngineError(
        f"{who} has no model yet.",
        "No model file is set.",
        "Set one with `whisper-desktop config set llm.gguf_model_path FILE`, or open Setup.",
        cause="no_model",
    )
