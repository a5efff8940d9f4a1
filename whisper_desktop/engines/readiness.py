"""When an engine is ready: it is ours, and it has really answered. `/health` proves neither.

Ours: it refuses a request without the key that we made for this start, and takes one with it. Ready: it has
written one token. llama.cpp answers 200 on /health while every completion fails.
"""

import asyncio
import json
import re
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from whisper_desktop.engines.diagnosis import explain
from whisper_desktop.engines.log import EngineLog
from whisper_desktop.engines.log_lines import LINE_MOST
from whisper_desktop.engines.memory import resident
from whisper_desktop.engines.process import memory_of
from whisper_desktop.engines.spec import EngineAddress, EngineSpec
from whisper_desktop.errors import BackendError
from whisper_desktop.language import mark, tr
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


_VARIES = re.compile(r"0x[0-9a-fA-F]+|\d+")
_KINDS_MOST = 4096


class Progress:
    """How long a start may still take: `engine_start` always, more while it makes progress, but not for ever.

    Progress is more of the model loaded, growing memory, or a new kind of log line, that is one which differs
    in more than its numbers: a loop that says the same for ever gets nowhere. Without any for `engine_stall`
    the start has failed. `loaded` is from 0 to 1, None where nothing tells; `peak_bytes` is the most memory
    that was seen.
    """

    def __init__(self, deadlines: Deadlines, clock: Callable[[], float] = time.monotonic) -> None:
        self.loaded: float | None = None
        self.peak_bytes: int | None = None
        self._clock = clock
        self._stall = deadlines.engine_stall
        now = clock()
        self._least, self._most = now + deadlines.engine_start, now + deadlines.engine_start_most
        self._moved = now
        self._kinds: set[str] = set()
        self._memory = 0

    def see(self, lines: Iterable[str], memory: int | None) -> None:
        """Tell the new lines of the log, and how much memory (bytes) is resident where that was looked at."""
        for line in lines:
            kind = _VARIES.sub("#", line[:LINE_MOST])
            if kind not in self._kinds and len(self._kinds) < _KINDS_MOST:
                self._kinds.add(kind)
                self._moved = self._clock()
        if memory is not None:
            self.peak_bytes = max(memory, self.peak_bytes or 0)
            if memory >= self._memory + _MEMORY_STEP:
                self._memory = memory
                self._moved = self._clock()

    def see_loaded(self, share: float) -> None:
        """Tell how much of the model is loaded, from 0 to 1."""
        if self.loaded is None or share > self.loaded:
            self.loaded = share
            self._moved = self._clock()

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
    progress: Progress | None = None,
) -> None:
    """Return when the engine at `address` is ready. Raises `EngineError`; does not see the process's end."""
    progress = progress or Progress(deadlines)
    quick, slow = deadlines.engine_poll, deadlines.engine_poll * _SLOWEST_POLL
    pause, mark = quick, log.count
    while not await _is_ours(http, spec, address, port):
        await asyncio.sleep(quick)
        if log.count == mark:  # else there is news already
            await log.wait_for_more(pause - quick)
        mark, lines = log.more(mark)
        progress.see(lines, await _memory_of(pid) if pause == slow else None)
        pause = quick if lines else min(pause * 1.5, slow)
        if progress.left <= 0:
            raise explain("start_timeout", spec, detail=tr(_OTHERS_MAY_BE_BUSY) if spec.rpc else "")
    await one_token(http, spec, address, max(progress.left, deadlines.engine_stall))


_OTHERS_MAY_BE_BUSY = mark(
    "A computer that it shares the model with serves one engine at a time and may be busy."
)


async def _memory_of(pid: int) -> int | None:
    memory = resident(pid)
    return memory if memory is not None else await asyncio.to_thread(memory_of, pid)


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


async def one_token(http: "Http", spec: EngineSpec, address: EngineAddress, limit: float) -> None:
    """Return when it has written a token, within `limit` seconds. Raises `EngineError`.

    A bare completion: the words of a chat template around it would be read for nothing at every start. It is
    the engine's warm-up as well, which is why the start is told to leave out its own.
    """
    body = {"prompt": "Hi", "max_tokens": 1, "temperature": 0}
    try:
        reply = await http.request(
            "POST",
            f"{address.url}/v1/completions",
            allowed=Reach.THIS_MACHINE,
            headers=authorization(address),
            json=body,
            total=limit,
        )
    except BackendError as error:
        cause = "stuck" if error.kind is ErrorKind.TOTAL_TIMEOUT else "cannot_answer"
        raise explain(cause, spec, detail=error.title) from error
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
        return tr("It answered: {part}.", part=message[:300].rstrip("."))
    return tr("It answered with status {status}.", status=reply.status)


def _json(reply: "Reply") -> object:
    try:
        return json.loads(reply.body)
    except (ValueError, RecursionError):
        return None
