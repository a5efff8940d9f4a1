"""What is asked, and how it is to be answered: frozen values."""

import time
from dataclasses import dataclass

from whisper_desktop.values import GenerationConfig, Message, OnInterruption, Reach


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked. `needs` are the capabilities beside completion; `batch` says that nobody waits at a
    screen; `until` is the moment, on the monotonic clock, at which the caller's time is over.
    """

    messages: tuple[Message, ...]
    config: GenerationConfig
    reach: Reach
    model: str | None
    needs: frozenset[str] = frozenset()
    batch: bool = False
    until: float | None = None

    def time_left(self) -> float | None:
        """Seconds of the caller's time that are left, 0 at least; None without a limit."""
        return None if self.until is None else max(self.until - time.monotonic(), 0.0)

    @property
    def out_of_time(self) -> bool:
        """Whether the caller's time is over."""
        return self.until is not None and time.monotonic() >= self.until


@dataclass(frozen=True, slots=True)
class Wishes:
    """How a question is to be answered, beside what is asked.

    `hedge` allows the next backend to be asked side by side, `hedge_paid` also one that costs money.
    """

    on_interruption: OnInterruption = OnInterruption.STOP
    hedge: bool = True
    hedge_paid: bool = False
