"""llama-server's replay buffer: a stream with `X-Conversation-Id` goes on when its client leaves.

The bytes of the stream are kept; `GET /v1/stream` reads them again from any offset and follows what is still
being generated, `DELETE /v1/stream` stops it.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field

from tests.servers.playing import timed
from tests.servers.reactions import Stream

LARGEST_BUFFER = 4 * 1024 * 1024


@dataclass
class Session:
    """The stream of one conversation: `dropped` bytes from its beginning are no longer in `buffer`."""

    conversation: str
    largest: int = LARGEST_BUFFER
    buffer: bytearray = field(default_factory=bytearray)
    dropped: int = 0
    pieces: int = 0
    done: bool = False
    cancelled: bool = False
    started: float = field(default_factory=time.time)
    completed: float = 0
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def total(self) -> int:
        """All bytes there ever were."""
        return self.dropped + len(self.buffer)

    def append(self, piece: bytes) -> None:
        """One more piece of the stream; the oldest bytes make room."""
        self.buffer += piece
        self.pieces += 1
        surplus = max(0, len(self.buffer) - self.largest)
        del self.buffer[:surplus]
        self.dropped += surplus
        self._tell()

    def end(self, *, cancelled: bool = False) -> None:
        """Nothing more will come."""
        if not self.done:
            self.done, self.cancelled, self.completed = True, cancelled, time.time()
            self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    async def reached(self, pieces: int) -> bool:
        """Waits until so many pieces exist; False where the stream ended before."""
        while self.pieces < pieces and not self.done:
            await self._news.wait()
        return self.pieces >= pieces

    async def read(self, offset: int) -> AsyncGenerator[bytes, None]:
        """The bytes from `offset` on, until the stream ends or they were dropped."""
        while offset >= self.dropped:
            if piece := bytes(self.buffer[offset - self.dropped :]):
                offset += len(piece)
                yield piece
            elif self.done:
                return
            else:
                await self._news.wait()


class Replay:
    """The sessions of a server, one for a conversation at most.

    `note` is told when a generation ended.
    """

    def __init__(self, note: Callable[..., None], largest: int) -> None:
        self._note = note
        self._largest = largest
        self._sessions: dict[str, Session] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, conversation: str, stream: Stream, *, wait_s: float, token_delay_s: float) -> Session:
        """Starts to generate `stream` in place of whatever this conversation had."""
        self.drop(conversation)
        session = self._sessions[conversation] = Session(conversation, self._largest)
        task = asyncio.ensure_future(self._generate(session, stream, wait_s, token_delay_s))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return session

    async def _generate(self, session: Session, stream: Stream, wait_s: float, token_delay_s: float) -> None:
        await asyncio.sleep(wait_s)
        for pause_s, piece in timed(stream, token_delay_s):
            await asyncio.sleep(pause_s)
            if session.cancelled:
                break
            session.append(piece)
        session.end()
        made = session.pieces - len(stream.reading) - len(stream.opening)
        tokens = min(max(0, made), len(stream.tokens))
        self._note("generated", conversation=session.conversation, tokens=tokens, cancelled=session.cancelled)

    def get(self, conversation: str) -> Session | None:
        """The session of a conversation."""
        return self._sessions.get(conversation)

    def drop(self, conversation: str) -> None:
        """Stops and forgets a conversation, where there is one."""
        if session := self._sessions.pop(conversation, None):
            session.end(cancelled=True)

    def look_up(self, wanted: Sequence[object]) -> list[dict[str, object]]:
        """What is known about the named conversations and their `NAME::MODEL` variants."""
        return [
            {
                "conversation_id": session.conversation,
                "is_done": session.done,
                "total_bytes": session.total,
                "started_at": int(session.started),
                "completed_at": int(session.completed),
            }
            for name in wanted
            for session in self._sessions.values()
            if session.conversation == name or session.conversation.startswith(f"{name}::")
        ]
