"""What starting other programs needs from the rest of the app, and the few questions asked at their ports."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from whisper_desktop.errors import BackendError, EngineError, WhisperError
from whisper_desktop.language import tr
from whisper_desktop.values import IDENTITIES, Deadlines, ErrorKind, Reach

if TYPE_CHECKING:
    from whisper_desktop.engines.programs.guarded import Guarded
    from whisper_desktop.wire.http import Http, Reply

T = TypeVar("T")

_MOST_BYTES = 1_000_000
_HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """`describe_owner` says in a sentence who has a port; it may block for a moment."""

    http: "Http"
    env: Mapping[str, str]
    deadlines: Deadlines = Deadlines()
    describe_owner: Callable[[int], str] = lambda _port: ""
    platform: str = sys.platform

    @property
    def home(self) -> Path:
        """The person's home, by the environment."""
        named = self.env.get("USERPROFILE" if self.platform == "win32" else "HOME")
        return Path(named) if named else Path.home()

    async def get(self, port: int, path: str) -> "Reply | None":
        """What a port of this computer answers; None where nobody does, or not in time."""
        try:
            return await self._ask(port, path)
        except WhisperError:
            return None

    async def is_taken(self, port: int) -> bool:
        """Whether anything accepts connections at a port of this computer."""
        try:
            await self._ask(port, "/")
        except BackendError as error:
            return error.kind is not ErrorKind.CONNECT_REFUSED
        return True

    async def _ask(self, port: int, path: str) -> "Reply":
        await self.http.warm_up()  # else the first answer could come late for a reason of ours
        return await self.http.request(
            "GET",
            root_of(port) + path,
            allowed=Reach.THIS_MACHINE,
            connect=self.deadlines.probe_connect,
            total=self.deadlines.probe_request,
            max_bytes=_MOST_BYTES,
        )

    async def port_taken(self, program: str, port: int) -> EngineError:
        """The error for a program that cannot listen because somebody else does."""
        return EngineError(
            tr(
                "Port {port} is taken, so {name}'s server cannot start there.",
                port=port,
                name=IDENTITIES[program].name,
            ),
            await asyncio.to_thread(self.describe_owner, port),
            tr(
                "End that program, or choose another port: whisper-desktop servers start {program} --port N",
                program=program,
            ),
            cause="port_taken",
        )

    async def wait_for(
        self, answer: Callable[[], Awaitable[T | None]], seconds: float, child: "Guarded | None" = None
    ) -> T | None:
        """The first answer that is one; None when the time is over, or as soon as `child` has ended."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while True:
            ended = child is not None and not child.alive
            found = await answer()
            if found is not None or ended or loop.time() > until:
                return found
            await asyncio.sleep(self.deadlines.loading_poll)


def root_of(port: int) -> str:
    """The address of a port of this computer."""
    return f"http://{_HOST}:{port}"


@dataclass(frozen=True, slots=True)
class Running:
    """A server of another program that answers.

    `was_there`: nothing had to be started. `child` is what we run for it, where we do. `note` is a sentence
    that the person should know, or empty.
    """

    program: str
    port: int
    was_there: bool
    child: "Guarded | None" = None
    note: str = ""

    @property
    def url(self) -> str:
        """Its address."""
        return root_of(self.port)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model that is loaded: its name for requests, its context in tokens where that was told.

    `was_there`: it was loaded before.
    """

    name: str
    context_length: int | None
    was_there: bool
