"""What an engine failed of, and whether it is worth another try: `restarts` with a memory."""

import time
from collections.abc import Callable

from whisper_desktop.engines.launch import Files
from whisper_desktop.engines.restarts import Again, History, Never, after_failure, may_be_tried
from whisper_desktop.errors import EngineError
from whisper_desktop.language import tr
from whisper_desktop.values import Deadlines


class Failures:
    """The failures of one engine. `last` is there until it runs again, or is forgotten.

    `chance` gives numbers from 0 to 1.
    """

    def __init__(self, deadlines: Deadlines, chance: Callable[[], float]) -> None:
        self.last: EngineError | None = None
        self._deadlines = deadlines
        self._chance = chance
        self._history = History()
        self._files: Files | None = None

    def take(self, error: EngineError, files: Files | None, *, ready_for: float | None) -> float | None:
        """One more, after so many seconds READY (None: never); `files` are those that were started with.

        Returns in how many seconds to start again; None to leave it alone, with what to say in `last`.
        """
        decision = after_failure(
            self._history,
            error.cause,
            time.monotonic(),
            ready_for=ready_for,
            deadlines=self._deadlines,
            jitter=self._chance(),
        )
        self._history, self._files = decision.history, files
        match decision:
            case Never("budget"):
                self.last = _left_alone(error)
            case _:
                self.last = error
        return decision.delay if isinstance(decision, Again) else None

    def forget(self) -> None:
        """Somebody wants to try again, or something has changed that may mend it."""
        self.last, self._history = None, History()

    def forbid(self, files: Files) -> EngineError | None:
        """Why a question does not start it with its `files` as they are now; None where it may be tried."""
        if self.last is None or files != self._files:
            self.forget()
            return None
        allowed = may_be_tried(self._history, self.last.cause, time.monotonic(), self._deadlines)
        return None if allowed else self.last


def _left_alone(error: EngineError) -> EngineError:
    return EngineError(
        error.title,
        tr(
            "{detail} It failed again and again, so it is not started by itself any more.",
            detail=error.detail,
        ).strip(),
        error.next_step,
        cause=error.cause,
        repairs=error.repairs,
    )
