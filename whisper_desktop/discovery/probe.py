"""Asks one place who is there, and what it has.

The rows of the table are tried in order with small GETs on one connection; what answered is kept, so that
no path is asked twice. Nothing is awaited beyond the scan's end: a server that was recognised in time is
reported even if its model list was not.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from whisper_desktop.discovery.answers import Answer, Answers
from whisper_desktop.discovery.known import GIVEN_MODELS, IN_THE_CLOUD, KNOWN, Known
from whisper_desktop.discovery.places import Way
from whisper_desktop.errors import BackendError, WhisperError
from whisper_desktop.language import mark, tr
from whisper_desktop.values import Deadlines, ErrorKind, Reach
from whisper_desktop.wire.http import Http, parse_json

KeyFor = Callable[[str], Awaitable[str | None]]
"""The key that belongs to an origin, or None."""

_LARGEST_ANSWER = 1_000_000

_NOBODY_THERE = frozenset(
    {
        ErrorKind.CONNECT_REFUSED,
        ErrorKind.CONNECT_TIMEOUT,
        ErrorKind.NAME_NOT_FOUND,
        ErrorKind.TLS,
        ErrorKind.OFFLINE,
        ErrorKind.NOT_CONFIGURED,
    }
)
_MANNERS = {
    ErrorKind.TOTAL_TIMEOUT: mark("accepts connections but did not answer in time; it may be busy or stuck"),
    ErrorKind.TOO_LARGE: mark("sends far more than a model server would"),
    ErrorKind.NOT_AN_LLM: mark("does not speak HTTP"),
    ErrorKind.CLOSED_EARLY: mark("closes the connection without an answer"),
    ErrorKind.STREAM_CUT: mark("breaks off in the middle of its answer"),
}


@dataclass(frozen=True, slots=True)
class Recognised:
    """A known server. `latency_s` is how long the fastest of its answers took."""

    known: Known
    answers: Answers
    latency_s: float


@dataclass(frozen=True, slots=True)
class Stranger:
    """Something listens and is no server we know. `manner` completes "It ...", or is empty."""

    manner: str = ""


@dataclass(frozen=True, slots=True)
class Nobody:
    """Nothing could be asked, and why."""

    error: WhisperError


Outcome = Recognised | Stranger | Nobody


async def look(
    way: Way, *, http: Http, deadlines: Deadlines, until: float, allowed: Reach, key_for: KeyFor | None = None
) -> Outcome:
    """Who answers at one address. Ends by `until` (the event loop's time); raises nothing but cancellation.

    `key_for` is asked only for an address that was given or has a key, and only after it refused a request
    without one: a program that was merely found never gets a key.
    """
    source = key_for if way.is_given or way.has_key else None
    asker = _Asker(way, http, deadlines, until, allowed, source)
    rows = IN_THE_CLOUD if way.reach is Reach.CLOUD else KNOWN
    try:
        known = await _recognise(rows, asker)
    except _Ended as ended:
        return ended.outcome
    except WhisperError as error:
        return Nobody(error)
    if known is None:
        return Stranger()
    await asyncio.gather(*(asker.ask_if_possible(path) for path in known.lists))
    return Recognised(known, asker.answers, asker.latency_s)


async def _recognise(rows: Iterable[Known], asker: "_Asker") -> Known | None:
    for row in rows:
        for sign in row.signs:
            answer = await asker.ask(sign.path)
            if answer is None or not sign.fits(answer):
                break
        else:
            return row
    return None


class _Ended(Exception):
    """The place has shown that asking on is pointless."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__()
        self.outcome = outcome


class _Asker:
    """Remembers what one address answered."""

    def __init__(
        self,
        way: Way,
        http: Http,
        deadlines: Deadlines,
        until: float,
        allowed: Reach,
        key_for: KeyFor | None,
    ) -> None:
        self._way = way
        self._http = http
        self._deadlines = deadlines
        self._until = until
        self._allowed = allowed
        self._key_for = key_for
        self._asked: set[str] = set()
        self.answers: dict[str, Answer] = {}
        self.latency_s = math.inf

    async def ask(self, path: str) -> Answer | None:
        """What a path answers; None for a redirect, or where nothing is to be asked. Raises `_Ended`."""
        if path in self._asked:
            return self.answers.get(path)
        url = self._url(path)
        if url is None:
            return None
        self._asked.add(path)
        try:
            answer = await self._get(url, self._deadlines.probe_request)
        except BackendError as error:
            if error.status is not None and 300 <= error.status < 400:
                return None
            raise _Ended(_meaning(error, is_first=not self.answers)) from None
        self.answers[path] = answer
        return answer

    async def ask_if_possible(self, path: str) -> None:
        """Keeps what a path answers, if it does before the scan ends."""
        if path in self._asked:
            return
        self._asked.add(path)
        try:
            answer = await self._get(self._way.root + path, self._left())
        except WhisperError:
            return
        self.answers[path] = answer

    def _url(self, path: str) -> str | None:
        if path != GIVEN_MODELS:
            return self._way.root + path
        given = self._way.given_path
        return None if given is None else f"{self._way.origin}{given}/models"

    def _left(self) -> float:
        return max(0.0, self._until - asyncio.get_running_loop().time())

    async def _get(self, url: str, limit: float) -> Answer:
        answer = await self._send(url, limit, {})
        if answer.is_refusal and self._key_for is not None:
            key = await self._key()
            if key is not None:
                return await self._send(url, limit, {"authorization": f"Bearer {key}"})
        return answer

    async def _key(self) -> str | None:
        assert self._key_for is not None
        try:
            async with asyncio.timeout(self._left()):
                return await self._key_for(self._way.shown_origin)
        except TimeoutError:
            return None

    async def _send(self, url: str, limit: float, headers: dict[str, str]) -> Answer:
        started = time.perf_counter()
        reply = await self._http.request(
            "GET",
            url,
            allowed=self._allowed,
            headers={"accept": "application/json", **headers},
            connect=min(self._deadlines.probe_connect, self._left()),
            total=min(limit, self._left()),
            max_bytes=_LARGEST_ANSWER,
        )
        # The fastest, since the first ones also waited for all the other questions that we asked at once.
        self.latency_s = min(self.latency_s, time.perf_counter() - started)
        try:
            content = parse_json(reply.body)
        except BackendError:
            content = None
        return Answer(reply.status, reply.headers, reply.body.decode("utf-8", "replace"), content)


def _meaning(error: BackendError, *, is_first: bool) -> Outcome:
    if error.kind in _NOBODY_THERE and is_first:
        return Nobody(error)
    return Stranger(tr(_MANNERS.get(error.kind, "")))
