"""When an engine is ready: it is ours, and it has really answered. `/health` proves neither.

Ours: it refuses a request without the key that we made for this start, and takes one with it. Ready: it has
written one token. llama.cpp answers 200 on /health while every completion fails.
"""

import asyncio
import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from whisper_desktop.engines.diagnosis import explain
from whisper_desktop.engines.log import EngineLog
from whisper_desktop.engines.process import memory_of
from whisper_desktop.engines.spec import EngineAddress, EngineSpec
from whisper_desktop.errors import BackendError
from whisper_desktop.values import Deadlines, ErrorKind, Reach

if TYPE_CHECKING:
    from whisper_desktop.wire.http import Http, Reply

_SLOWEST_POLL = 10.0
"""How many times slower than at first a silent engine is asked."""

_MEMORY_STEP = 8 * 2**20
"""Growth of resident memory, in bytes, that counts as progress of a load."""

_NOT_YET = (
    ErrorKind.CONNECT_REFUSED,
    ErrorKind.CONNECT_TIMEOUT,
    ErrorKind.CLOSED_EARLY,
    ErrorKind.STREAM_CUT,
    ErrorKind.TOTAL_TIMEOUT,
)


class Progress:
    """How long a start may still take: `engine_start` always, more while it makes progress, but not for ever.

    Progress is a new log line or growing memory; without any for `engine_stall` the start has failed.
    """

    def __init__(self, deadlines: Deadlines, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._stall = deadlines.engine_stall
        now = clock()
        self._least, self._most = now + deadlines.engine_start, now + deadlines.engine_start_most
        self._moved = now
        self._lines = 0
        self._memory = 0

    def see(self, lines: int, memory: int | None) -> None:
        """Tell how many log lines there are and how much memory (bytes) is resident."""
        grown = memory is not None and memory >= self._memory + _MEMORY_STEP
        if lines > self._lines or grown:
            self._moved = self._clock()
        self._lines = max(self._lines, lines)
        if grown and memory is not None:
            self._memory = memory

    @property
    def left(self) -> float:
        """Seconds until the start counts as failed; not positive when it has."""
        return min(max(self._least, self._moved + self._stall), self._most) - self._clock()


async def prove(
    http: "Http",
    spec: EngineSpec,
    address: EngineAddress,
    *,
    port: int,
    pid: int,
    log: EngineLog,
    deadlines: Deadlines,
) -> None:
    """Return when the engine at `address` is ready. Raises `EngineError`; does not see the process's end."""
    progress = Progress(deadlines)
    quick, slow = deadlines.engine_poll, deadlines.engine_poll * _SLOWEST_POLL
    pause = quick
    while not await _is_ours(http, spec, address, port):
        lines = log.count
        await asyncio.sleep(quick)
        await log.wait_for_more(pause - quick)
        # Memory is looked at only where a load takes long: the first look imports psutil.
        progress.see(log.count, memory_of(pid) if pause == slow else None)
        pause = quick if log.count > lines else min(pause * 1.5, slow)
        if progress.left <= 0:
            raise explain("start_timeout", spec)
    await _one_token(http, spec, address, max(progress.left, deadlines.engine_stall))


async def _is_ours(http: "Http", spec: EngineSpec, address: EngineAddress, port: int) -> bool:
    """Whether it is loaded and ours; False while nothing answers there or it loads."""
    # /props needs the key in every version of llama.cpp, unlike /health and, in older ones, /v1/models.
    url = f"{address.url}/props"
    try:
        without = await http.request("GET", url, allowed=Reach.THIS_MACHINE)
        if without.status == 503:
            return False
        if without.status == 401:
            reply = await http.request("GET", url, allowed=Reach.THIS_MACHINE, headers=authorization(address))
            if reply.status == 200:
                return True
    except BackendError as error:
        if error.kind in _NOT_YET:
            return False
        raise explain("foreign_server", spec, port=port) from error
    raise explain("foreign_server", spec, port=port)


async def _one_token(http: "Http", spec: EngineSpec, address: EngineAddress, limit: float) -> None:
    body = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1, "temperature": 0}
    try:
        reply = await http.request(
            "POST",
            f"{address.url}/v1/chat/completions",
            allowed=Reach.THIS_MACHINE,
            headers=authorization(address),
            json=body,
            total=limit,
        )
    except BackendError as error:
        raise explain("cannot_answer", spec, detail=error.title) from error
    if reply.status != 200 or not _has_choice(reply):
        raise explain("cannot_answer", spec, detail=_complaint(reply))


def authorization(address: EngineAddress) -> dict[str, str]:
    """The header that an engine of ours asks for."""
    return {"Authorization": f"Bearer {address.api_key}"} if address.api_key else {}


def _has_choice(reply: "Reply") -> bool:
    data = _json(reply)
    choices = data.get("choices") if isinstance(data, dict) else None
    return isinstance(choices, list) and len(choices) > 0


def _complaint(reply: "Reply") -> str:
    data = _json(reply)
    error = data.get("error") if isinstance(data, dict) else None
    message = error.get("message") if isinstance(error, dict) else None
    if isinstance(message, str) and message:
        return f"It answered: {message[:300].rstrip('.')}."
    return f"It answered with status {reply.status}."


def _json(reply: "Reply") -> object:
    try:
        return json.loads(reply.body)
    except (ValueError, RecursionError):
        return None
