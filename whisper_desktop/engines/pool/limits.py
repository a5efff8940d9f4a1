"""How long a pool may take to start, how long a request may stand still, how many must be ready."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from whisper_desktop.values import Deadlines

if TYPE_CHECKING:
    from whisper_desktop.settings.schema import PoolSettings

Quorum = int | Literal["all"]


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """The patience with a pool, in seconds; the meaning of each is that of `Deadlines.pool_*`.

    `quorum` is how many roles must be ready before the pool answers. `heartbeat` is the time between two
    lines in the log while it starts, `look` between two looks at how far its engines are.
    """

    start: float
    grant: float
    start_most: float
    stall: float
    request: float
    quorum: Quorum = "all"
    heartbeat: float = 10.0
    look: float = 0.25

    def needed(self, roles: int) -> int:
        """How many of so many roles must be ready; never more than there are, and one at least."""
        return roles if self.quorum == "all" else max(1, min(self.quorum, roles))

    def of_engines(self, deadlines: Deadlines) -> Deadlines:
        """`deadlines` for an engine of the pool, so that none gives up before the pool does, or after it.

        An engine that is started again later has the same patience without progress; `start` is for all of
        them together.
        """
        return replace(
            deadlines,
            engine_start=self.stall,
            engine_stall=self.stall,
            engine_start_most=self.start_most,
        )


def limits_of(pool: "PoolSettings | None" = None, deadlines: Deadlines | None = None) -> PoolLimits:
    """What the person set under `llm.pool`, and for all the rest what `deadlines` say."""
    deadlines = deadlines or Deadlines()
    given: dict[str, float] = {}
    if pool is not None:
        values = {
            "start_minutes": ("start", 60 * pool.start_minutes),
            "grant_minutes": ("grant", 60 * pool.grant_minutes),
            "most_minutes": ("start_most", 60 * pool.most_minutes),
            "stall_seconds": ("stall", pool.stall_seconds),
            "request_seconds": ("request", pool.request_seconds),
        }
        given = dict(values[name] for name in values if name in pool.given())
    times = {
        "start": deadlines.pool_start,
        "grant": deadlines.pool_grant,
        "start_most": deadlines.pool_start_most,
        "stall": deadlines.pool_stall,
        "request": deadlines.pool_request,
        **given,
    }
    return PoolLimits(**times, quorum="all" if pool is None else pool.quorum)
