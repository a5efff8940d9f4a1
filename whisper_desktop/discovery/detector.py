"""`LocalLLMDetector`: everything is asked at once, and all of it ends within one deadline.

What is reported
- every server that was recognised, and every program that listens where one was looked for but is none
  (status `something_else`), so that "why does LM Studio not start on 1234" has an answer;
- every address that a person gave (settings, code, OLLAMA_HOST), also when nothing answers there;
- with `include_absent`, besides, each known server that is not running.
One server is reported once, although it may answer over IPv4, IPv6 and several names.

What is sent: small GETs, without any key to a server that was merely found. Places outside this computer
are asked only where a person gave their address or a key for it; places in the cloud only where the cloud is
allowed.
"""

import asyncio
import os
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager

from whisper_desktop.discovery import configured
from whisper_desktop.discovery.openrouter import URL as OPENROUTER_URL
from whisper_desktop.discovery.openrouter import look_at_openrouter
from whisper_desktop.discovery.places import Spot, Unusable, Way, spots
from whisper_desktop.discovery.probe import KeyFor, Nobody, Outcome, Recognised, look
from whisper_desktop.discovery.report import (
    absent_servers,
    is_same,
    nobody_we_know,
    server_at,
    unusable_address,
)
from whisper_desktop.errors import ConsentRequired
from whisper_desktop.language import tr
from whisper_desktop.values import IDENTITIES, Deadlines, Reach, ServerInfo, ServerStatus
from whisper_desktop.wire.http import Http

_DEADLINES = Deadlines()
_ORDER = {id: position for position, id in enumerate(("builtin", *IDENTITIES))}


class LocalLLMDetector:
    """Looks for model servers.

    - `http`: what to send with; without it one is made for each scan and closed after it.
    - `env`: where OLLAMA_HOST and the home folder are read (default: this process's environment).
    - `addresses`: places that a person gave, in any form that `wire.address.normalise_url` understands.
    - `keyed`: origins that have a key: asked too, but a key says nothing of where a server runs its models.
    - `key_for(origin)`: the key for an address of either kind; asked only when the server wants one.
    - `openrouter_key`, `openrouter_url`, `cloud_allowed`: OpenRouter is asked only with a key and permission.
    - `builtin`: tells about the app's own engine, which is not looked for but known.
    - `ports`: other ports than the usual ones, by id; 0 to leave that server alone.
    """

    def __init__(
        self,
        *,
        http: Http | None = None,
        deadlines: Deadlines = _DEADLINES,
        env: Mapping[str, str] | None = None,
        addresses: Sequence[str] = (),
        keyed: Sequence[str] = (),
        key_for: KeyFor | None = None,
        openrouter_key: Callable[[], Awaitable[str | None]] | None = None,
        openrouter_url: str = OPENROUTER_URL,
        cloud_allowed: bool = False,
        builtin: Callable[[], ServerInfo | None] | None = None,
        ports: Mapping[str, int] | None = None,
    ) -> None:
        self._http = http
        self._deadlines = deadlines
        self._env = os.environ if env is None else env
        self._addresses = tuple(addresses)
        self._keyed = tuple(keyed)
        self._key_for = key_for
        self._openrouter_key = openrouter_key
        self._openrouter_url = openrouter_url
        self._cloud_allowed = cloud_allowed
        self._builtin = builtin
        self._ports = dict(ports or {})

    async def detect_available_servers(self, *, include_absent: bool = False) -> list[ServerInfo]:
        """All that `iter_servers` tells, in a stable order: by use, then as in the table of ids."""
        async with aclosing(self.iter_servers(include_absent=include_absent)) as servers:
            found = [server async for server in servers]
        return sorted(found, key=_position)

    async def iter_servers(self, *, include_absent: bool = False) -> AsyncGenerator[ServerInfo, None]:
        """Servers as they are found; ends within `deadlines.scan_total` seconds.

        Loading the HTTP library, once in a process, is not part of that time. Use it with
        `contextlib.aclosing` when you may leave early: then all questions end, and their sockets are
        closed.
        """
        builtin = self._builtin() if self._builtin else None
        if builtin is not None:
            yield builtin
        plan, unusable = await asyncio.to_thread(self._plan)
        for address in unusable:
            yield unusable_address(address)
        found_ids = set()
        async with self._sender(plan) as http, aclosing(self._ask_all(http, plan)) as servers:
            async for server in servers:
                found_ids.add(server.id)
                yield server
        if include_absent:
            for absent in absent_servers(found_ids, self._ports):
                yield absent

    def _plan(self) -> tuple[tuple[Spot, ...], tuple[Unusable, ...]]:
        given: list[tuple[str, str | None]] = [(address, None) for address in self._addresses]
        ollama_host = self._env.get("OLLAMA_HOST", "").strip()
        if ollama_host:
            given.append((configured.ollama_url(ollama_host), "ollama"))
        wanted = self._ports.get("lm_studio") != 0
        lm_studio = configured.lm_studio_port(configured.home_folder(self._env)) if wanted else None
        return spots(self._ports, [lm_studio] if lm_studio else [], given, _is_own_host, self._keyed)

    @asynccontextmanager
    async def _sender(self, plan: Sequence[Spot]) -> AsyncIterator[Http]:
        http = self._http
        if http is None:
            http = Http(self._deadlines, allow_network=await self._may_leave(plan))
        try:
            await http.warm_up()
            yield http
        finally:
            if self._http is None:
                await http.aclose()

    async def _may_leave(self, plan: Sequence[Spot]) -> bool:
        """What the settings say, read only when anything outside of this computer is to be asked."""
        ways = (way for spot in plan for way in spot.ways)
        wants_openrouter = self._openrouter_key is not None and self._cloud_allowed
        if not wants_openrouter and all(way.reach is Reach.THIS_MACHINE for way in ways):
            return False
        return await asyncio.to_thread(_network_is_allowed, self._env)

    async def _ask_all(self, http: Http, plan: Sequence[Spot]) -> AsyncGenerator[ServerInfo, None]:
        until = asyncio.get_running_loop().time() + self._deadlines.scan_total
        results: asyncio.Queue[ServerInfo | None] = asyncio.Queue()
        tasks = [asyncio.create_task(self._look_at(spot, http, until, results)) for spot in plan]
        if self._openrouter_key is not None and self._cloud_allowed:
            tasks.append(asyncio.create_task(self._look_at_openrouter(http, until, results)))
        running = len(tasks)
        try:
            while running:
                server = await results.get()
                if server is None:
                    running -= 1
                else:
                    yield server
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _look_at_openrouter(
        self, http: Http, until: float, results: "asyncio.Queue[ServerInfo | None]"
    ) -> None:
        assert self._openrouter_key is not None
        try:
            url = self._openrouter_url.rstrip("/")
            server = await look_at_openrouter(http, self._openrouter_key, url=url, until=until)
            if server is not None:
                results.put_nowait(server)
        finally:
            results.put_nowait(None)

    async def _look_at(
        self, spot: Spot, http: Http, until: float, results: "asyncio.Queue[ServerInfo | None]"
    ) -> None:
        """Asks all ways to one place side by side; tells each server there once, and None at the end."""
        looks = [asyncio.create_task(self._look(way, http, until)) for way in spot.ways]
        told: list[ServerInfo] = []
        others: list[tuple[Way, Outcome]] = []
        try:
            # In the order of the ways, so that a server that answers over several has the same address each
            # time.
            for way, task in zip(spot.ways, looks, strict=True):
                outcome = await task
                if not isinstance(outcome, Recognised):
                    others.append((way, outcome))
                    continue
                server = server_at(way, outcome)
                if not any(is_same(server, known) for known in told):
                    told.append(server)
                    results.put_nowait(server)
            if not told:
                unknown = nobody_we_know(spot, others, self._ports)
                if unknown is not None:
                    results.put_nowait(unknown)
        finally:
            for task in looks:
                task.cancel()
            results.put_nowait(None)

    async def _look(self, way: Way, http: Http, until: float) -> Outcome:
        if way.reach is Reach.CLOUD and not self._cloud_allowed:
            return Nobody(
                ConsentRequired(
                    tr("{url} was not asked: it is in the cloud, and that is not allowed.", url=way.url),
                    next_step=tr("Allow the cloud in Settings to use it."),
                    needed=Reach.CLOUD,
                )
            )
        return await look(
            way,
            http=http,
            deadlines=self._deadlines,
            until=until,
            allowed=way.reach,
            key_for=self._key_for,
        )


def _position(server: ServerInfo) -> tuple[bool, bool, int, str]:
    return (
        server.status is ServerStatus.UNREACHABLE,
        server.status is ServerStatus.SOMETHING_ELSE,
        _ORDER.get(server.id, len(_ORDER)),
        server.url,
    )


def _network_is_allowed(env: Mapping[str, str]) -> bool:
    from whisper_desktop.settings.layers import load_settings

    return load_settings(env=env).settings.llm.allow_network


def _is_own_host(host: str) -> bool:
    """Whether a host is this computer: an address of one of its interfaces can be bound. Asks no name
    server.
    """
    if host in (socket.gethostname().lower(), f"{socket.gethostname().lower()}.local"):
        return True
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.inet_pton(family, host)
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((host, 0))
    except OSError:
        return False
    return True
