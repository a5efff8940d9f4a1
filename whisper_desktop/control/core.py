"""`Core`: the verbs that the owner offers, in process (`LocalCore`) or over the socket (`RemoteCore`)."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol

from whisper_desktop.values import EngineStatus, Message, Reach, StreamEvent

PROTOCOL = 3


@dataclass(frozen=True, slots=True)
class AskRequest:
    """One question with its history and choices; None means what the settings say."""

    messages: tuple[Message, ...]
    guide: bool = False
    backend: str | None = None
    model: str | None = None
    reach: Reach | None = None


class Core(Protocol):
    """What a front end may ask of the owner, wherever the owner runs.

    Every verb raises `OwnerGone` when the owner ends meanwhile.
    """

    @property
    def is_owner(self) -> bool:
        """Whether this very process is the owner."""
        ...

    def ask(self, request: AskRequest) -> AsyncGenerator[StreamEvent, None]:
        """Stream one answer; closing the generator stops it."""
        ...

    async def engine_status(self) -> EngineStatus | None:
        """The built-in engine's status, None when it was never started."""
        ...

    async def engine_start(self) -> EngineStatus:
        """Start the engine and wait until it answers."""
        ...

    async def engine_stop(self) -> None:
        """Stop the engine."""
        ...

    async def engine_sleep(self) -> bool:
        """Free the engine's memory now; the next question wakes it. False when nothing could be freed."""
        ...

    async def engine_repair(self, repair: str) -> None:
        """Accept one of the repairs that the engine's status offers; the next start has it."""
        ...

    async def engine_log(self, lines: int) -> list[str]:
        """The newest lines of the engine's log."""
        ...

    async def reload(self) -> None:
        """Read the settings again: somebody has written them."""
        ...

    async def show(self, window: str, value: str = "", *, say: str = "") -> bool:
        """Ask the desktop to show a window; False when the owner has no desktop.

        `value` goes with the window, as in `links.Opening`; `say` is a sentence for the person. Raises
        `ControlError` where the owner is a version that cannot do that.
        """
        ...

    async def conversations_changed(self, ids: Sequence[str]) -> None:
        """Conversations were changed by another program: these, or, with none, any of them."""
        ...
