"""Whether an engine that failed is started again, by itself or for the next question. Pure.

What passes by itself is tried again: at once, then after 1, 2, 4 ... 60 seconds, give or take a fifth, so
that several engines do not come back in step. Three failures within five minutes end that (all these times
are in `Deadlines`). What needs a change is not tried again by itself; a question tries it, within the same
budget, because a closed program may have given memory back. What stays as it is until a file or the
specification changes is not even tried for a question.
"""

from dataclasses import dataclass
from typing import Literal

from whisper_desktop.engines.diagnosis import DETERMINISTIC, TRANSIENT
from whisper_desktop.values import Deadlines

# Mended by installing something, which neither the model's file nor the program shows.
_MENDED_UNSEEN = frozenset({"library_missing", "builtin_missing"})

_BUDGET = 3
_KEPT = 16
"""Failures that are remembered: enough for the longest delay."""


@dataclass(frozen=True, slots=True)
class History:
    """When it failed since it last ran well: monotonic seconds, oldest first."""

    failures: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Again:
    """Start again in `delay` seconds."""

    delay: float
    history: History


@dataclass(frozen=True, slots=True)
class Never:
    """Leave it alone: trying again is pointless ("deterministic"), or was tried enough ("budget")."""

    reason: Literal["deterministic", "budget"]
    history: History


def after_failure(
    history: History,
    cause: str,
    now: float,
    *,
    ready_for: float | None,
    deadlines: Deadlines,
    jitter: float,
) -> Again | Never:
    """What follows a failure at `now`, after the engine was ready for `ready_for` seconds (None: never was).

    `jitter` is a number from 0 to 1, by chance.
    """
    ran_well = ready_for is not None and ready_for >= deadlines.engine_stable
    before = () if ran_well else history.failures
    failed = History((*before, now)[-_KEPT:])
    if cause not in TRANSIENT:
        return Never("deterministic", failed)
    if is_spent(failed, now, deadlines):
        return Never("budget", failed)
    return Again(_delay(len(failed.failures), deadlines) * (0.8 + 0.4 * jitter), failed)


def may_be_tried(history: History, cause: str, now: float, deadlines: Deadlines) -> bool:
    """Whether a question may start an engine that failed for `cause`, where no file and setting changed."""
    stays = cause in DETERMINISTIC and cause not in _MENDED_UNSEEN
    return not stays and not is_spent(history, now, deadlines)


def is_spent(history: History, now: float, deadlines: Deadlines) -> bool:
    """Whether it failed as often as it may within the budget's window."""
    since = now - deadlines.engine_budget_window
    return sum(failed > since for failed in history.failures) >= _BUDGET


def _delay(failures: int, deadlines: Deadlines) -> float:
    if failures <= 1:
        return 0.0
    return float(min(deadlines.engine_restart * 2 ** (failures - 2), deadlines.engine_restart_most))
