"""The words under an answer: who gave it, where, how fast, and why it was this one."""

from whisper_desktop.values import Attempt, Provenance


def provenance_line(provenance: Provenance) -> str:
    """One line: "Qwen3.5 4B · LM Studio · this computer · 0.6 s · 31 tok/s", led by why after a failover."""
    parts = [provenance.model, provenance.server_name, provenance.reach.words]
    if provenance.as_given:
        parts[-1] += " (as given)"
    if provenance.ttft_seconds is not None:
        parts.append(seconds(provenance.ttft_seconds))
    if provenance.tokens_per_second:
        parts.append(f"{_speed(provenance.tokens_per_second)} tok/s")
    line = " · ".join(parts)
    failed = len(provenance.attempts) > 1
    return f"{provenance.reason.rstrip('.')}. {line}" if failed and provenance.reason else line


def attempt_line(attempt: Attempt) -> str:
    """One try in words: "Ollama: answered after 0.6 s" or "LM Studio: nothing listens there (0.0 s)"."""
    if attempt.kind is None:
        return f"{attempt.server_name}: answered after {seconds(attempt.seconds)}"
    return f"{attempt.server_name}: {attempt.detail} ({seconds(attempt.seconds)})"


def seconds(value: float) -> str:
    """A duration as people say it: "40 ms", "0.6 s", "12 s"."""
    if value < 0.1:
        return f"{value * 1000:.0f} ms"
    return f"{value:.1f} s" if value < 10 else f"{value:.0f} s"


def _speed(value: float) -> str:
    return f"{value:.1f}" if value < 10 else f"{value:,.0f}"
