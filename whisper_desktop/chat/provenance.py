"""The words about an answer, for every front end: who gave it, where, how fast, and why it was this one."""

from whisper_desktop.language import mark, number, tr
from whisper_desktop.values import Attempt, Provenance

GUIDE_LABEL = mark("Guide: a demo for this app")
"""Stands in the place of the model's name wherever the guide answers; shown by `tr`."""


def provenance_line(provenance: Provenance) -> str:
    """One line: "Qwen3.5 4B · LM Studio · this computer · 0.6 s · 31 tok/s", led by why after a failover."""
    why, who = why_line(provenance), who_line(provenance)
    return f"{why} {who}" if why else who


def who_line(provenance: Provenance) -> str:
    """Who answered, where it ran, after how long the first token came, how fast the rest, what it cost."""
    guide = provenance.backend == "guide"
    parts = [tr(GUIDE_LABEL)] if guide else [provenance.model, tr(provenance.server_name)]
    reach = provenance.reach.words
    parts.append(tr("{reach} (as given)", reach=reach) if provenance.as_given else reach)
    if provenance.ttft_seconds is not None:
        parts.append(seconds(provenance.ttft_seconds))
    if provenance.tokens_per_second:
        parts.append(tr("{number} tok/s", number=_speed(provenance.tokens_per_second)))
    if provenance.cost_usd:
        parts.append(_dollars(provenance.cost_usd))
    return " · ".join(part for part in parts if part)


def why_line(provenance: Provenance) -> str:
    """After a failover, why: "LM Studio did not answer, so Ollama did."; else nothing."""
    failed_over = any(attempt.kind is not None for attempt in provenance.attempts)
    return f"{provenance.reason.rstrip('.')}." if failed_over and provenance.reason else ""


def attempt_line(attempt: Attempt) -> str:
    """One try: "Ollama (qwen3.5:4b): answered after 0.6 s" or "LM Studio: nothing listens there (10 ms)".

    One that was left out without being asked has no duration.
    """
    who = f"{attempt.server_name} ({attempt.model})" if attempt.model else attempt.server_name
    if attempt.kind is None:
        return tr("{who}: answered after {time}", who=who, time=seconds(attempt.seconds))
    line = outcome(attempt, who)
    return line if attempt.skipped else f"{line} ({seconds(attempt.seconds)})"


def outcome(attempt: Attempt, who: str = "") -> str:
    """How a try failed, without a full stop; led by `who`, unless its first sentence has the name."""
    said = (attempt.detail or (attempt.kind or "failed").replace("_", " ")).rstrip(".")
    named = attempt.server_name in said.partition(". ")[0]
    return said if named else f"{who or attempt.server_name}: {said}"


def seconds(value: float) -> str:
    """A duration as people say it: "under 1 ms", "40 ms", "0.6 s", "12 s", "1.5 min"."""
    if value < 0.001:
        return tr("under 1 ms")
    if value < 0.1:
        return tr("{number} ms", number=number(value * 1000, ".0f"))
    if value < 60:
        return tr("{number} s", number=number(value, ".1f" if value < 10 else ".0f"))
    return tr("{number} min", number=number(value / 60, ".1f"))


def _dollars(value: float) -> str:
    if value < 0.0001:
        return tr("under $0.0001")
    return f"${number(value, '.4f' if value < 0.01 else ',.2f')}"


def _speed(value: float) -> str:
    return number(value, ".1f" if value < 10 else ",.0f")
