"""What an engine of ours is doing, in words: a state is called the same in every front end."""

from math import ceil

from whisper_desktop.errors import EngineError
from whisper_desktop.language import gigabytes, tr
from whisper_desktop.values import EngineState, EngineStatus

OURS = ("builtin", "guide")
"""The ids of the engines that this app starts."""

_LEAST = 50_000_000  # bytes: what would be rounded to 0.0 GB


def in_gigabytes(size: int) -> str:
    """Memory as people read it: "4.9 GB"; "under 0.1 GB" for a tiny model."""
    return gigabytes(size) if size >= _LEAST else tr("under 0.1 GB")


def state_words(status: EngineStatus | None) -> str:
    """The state in a few words: "ready", "loading, 42 %", "starts again in 4 s"."""
    if status is None or status.state is EngineState.STOPPED:
        return tr("not running")
    match status.state:
        case EngineState.STARTING:
            return (
                tr("loading")
                if status.progress is None
                else tr("loading, {progress:.0f} %", progress=status.progress * 100)
            )
        case EngineState.BACKING_OFF:
            return tr("starts again {soon}", soon=_soon(status.restart_in))
        case EngineState.SLEEPING:
            return tr("asleep")
        case EngineState.FAILED:
            return tr("cannot run")
        case _:
            return tr("ready") if status.state is EngineState.READY else tr("stopping")


def _soon(seconds: float | None) -> str:
    return tr("in a moment") if seconds is None or seconds < 1 else tr("in {ceil} s", ceil=ceil(seconds))


def status_lines(status: EngineStatus | None) -> tuple[str, ...]:
    """All that is known of an engine: its state with the facts, why it is so, and what it warns of."""
    if status is None or status.state is EngineState.STOPPED:
        return (tr("The engine is not running."),)
    words = state_words(status)
    verb_in_words = status.state in (EngineState.BACKING_OFF, EngineState.FAILED)
    facts = [
        tr("The engine {words}", words=words) if verb_in_words else tr("The engine is {words}", words=words)
    ]
    if status.model:
        facts.append(tr("model {model}", model=status.model))
    if status.memory_bytes:
        facts.append(tr("{memory_bytes} of memory", memory_bytes=in_gigabytes(status.memory_bytes)))
    if status.url:
        facts.append(status.url)
    if status.pid:
        facts.append(tr("process {pid}", pid=status.pid))
    if status.tokens_per_second:
        facts.append(
            tr("{tokens_per_second:.1f} tokens a second", tokens_per_second=status.tokens_per_second)
        )
    told_by_state = status.detail in (tr("Ready."), tr("Not started."))
    why = "" if told_by_state else status.detail
    return tuple(line for line in (f"{', '.join(facts)}.", why, status.warning) if line)


def no_model(who: str) -> EngineError:
    """What is said where `who` needs a model of the person's and none is set."""
    return EngineError(
        tr("{who} has no model yet.", who=who),
        tr("No model file is set."),
        tr("Set one with `whisper-desktop config set llm.gguf_model_path FILE`, or open Setup."),
        cause="no_model",
    )
