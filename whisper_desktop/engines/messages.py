"""What an engine's one owner is told: by those who use it, and by its own helpers about what they found."""

import asyncio
from dataclasses import dataclass
from typing import Literal

from whisper_desktop.engines.launch import Files, Launch
from whisper_desktop.engines.leases import Lease
from whisper_desktop.engines.spec import EngineAddress
from whisper_desktop.errors import EngineError

# --- Those who use it -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ensure:
    """Somebody asks. `ordered` is a person's own start: it is always tried, and goes on when nobody waits."""

    answer: "asyncio.Future[EngineAddress]"
    lease: Lease | None = None
    ordered: bool = False


@dataclass(frozen=True, slots=True)
class GaveUp:
    """Somebody who asked waits no longer."""


@dataclass(frozen=True, slots=True)
class Stop:
    """It is to be ended; `for_good`: nobody may start it again."""

    answer: "asyncio.Future[None]"
    for_good: bool


@dataclass(frozen=True, slots=True)
class Rest:
    """It is to be ended to free its memory, if nobody uses it."""

    answer: "asyncio.Future[bool]"
    reason: str


@dataclass(frozen=True, slots=True)
class Respecified:
    """Its specification has changed."""


# --- Its helpers ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StartEnded:
    """A start has succeeded or failed."""

    launch: Launch
    task: "asyncio.Task[EngineAddress]"


@dataclass(frozen=True, slots=True)
class Deserted:
    """Nobody has waited for this start for a while; None is one that was still to come."""

    launch: Launch | None


@dataclass(frozen=True, slots=True)
class Exited:
    """Its process has ended by itself, and this is why."""

    launch: Launch
    error: EngineError


@dataclass(frozen=True, slots=True)
class Hung:
    """Its process is stuck, and this is why."""

    launch: Launch
    error: EngineError


@dataclass(frozen=True, slots=True)
class Tired:
    """It should sleep, and this is why."""

    launch: Launch
    reason: str


@dataclass(frozen=True, slots=True)
class ProvedAgain:
    """It still answers, after a sleep of the computer."""

    launch: Launch


@dataclass(frozen=True, slots=True)
class EndEnded:
    """Its process is gone, or cannot be ended."""

    gone: bool


@dataclass(frozen=True, slots=True)
class TimeToRestart:
    """The back-off is over."""


@dataclass(frozen=True, slots=True)
class Reconsidered:
    """It has failed, somebody asks, and these are its files now."""

    files: Files


@dataclass(frozen=True, slots=True)
class Broken:
    """A helper has failed where nothing may fail: a mistake of ours."""

    error: BaseException


Message = (
    Ensure
    | GaveUp
    | Stop
    | Rest
    | Respecified
    | StartEnded
    | Deserted
    | Exited
    | Hung
    | Tired
    | ProvedAgain
    | EndEnded
    | TimeToRestart
    | Reconsidered
    | Broken
)


@dataclass(frozen=True, slots=True)
class Ending:
    """What follows once a process that is being ended is gone. `error` is why it is "lost"."""

    then: Literal["stopped", "asleep", "again", "lost"]
    detail: str
    error: EngineError | None = None
