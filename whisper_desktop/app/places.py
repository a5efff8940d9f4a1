"""Where to look for servers, and what was seen there."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING

from whisper_desktop.app.keys import Keys, key_origin, openrouter_url, ports
from whisper_desktop.events import Bus, ServersChanged
from whisper_desktop.values import IDENTITIES, Deadlines, Reach, ServerInfo, ServerStatus
from whisper_desktop.wire.address import origin

if TYPE_CHECKING:
    from whisper_desktop.settings import Settings
    from whisper_desktop.wire.http import Http

_ORDER = [name for name in IDENTITIES if name != "builtin"] + ["builtin"]


class Places:
    """The servers that were seen at the places that the settings, and the person, name.

    `settings` gives the settings as they are now, `builtin` the app's own engine as a server, `env` stands in
    for the environment. What is found is told on `bus`.
    """

    def __init__(
        self,
        *,
        settings: "Callable[[], Settings]",
        env: Mapping[str, str],
        http: "Http",
        deadlines: Deadlines,
        keys: Keys,
        builtin: Callable[[], ServerInfo | None],
        bus: Bus,
    ) -> None:
        self._settings = settings
        self._env = env
        self._http = http
        self._deadlines = deadlines
        self._keys = keys
        self._builtin = builtin
        self._bus = bus
        self._task: asyncio.Task[tuple[ServerInfo, ...]] | None = None
        self._named: set[str] = set()
        self._looked: Mapping[str, object] = {}
        self.servers: tuple[ServerInfo, ...] = ()
        self.scanned = False

    async def scan(self) -> tuple[ServerInfo, ...]:
        """Look for servers, telling each as it is found; callers at the same time share one scan."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._scan())
        return await asyncio.shield(self._task)

    async def know(self, backends: Iterable[str]) -> None:
        """See to it that the places of these backends were looked at: what stands at a backend's usual port
        must be known before it is trusted with a prompt, whoever named it.
        """
        self._named.update(backends)
        while not self.scanned or not self._covers(self._named):
            await self.scan()

    async def stop(self) -> None:
        """End a scan that is under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _covers(self, backends: Iterable[str]) -> bool:
        wanted = self._usual()
        return all(self._looked.get(each) == wanted.get(each) for each in backends)

    def _usual(self) -> dict[str, object]:
        """Where each known server is looked for: its port, or for Ollama the address that is set."""
        llm = self._settings().llm
        moved = ports(llm)
        usual: dict[str, object] = {id: moved.get(id, each.port) for id, each in IDENTITIES.items()}
        return {**usual, "ollama": llm.ollama.base_url} if llm.ollama.base_url else usual

    def _ports(self) -> dict[str, int]:
        """The ports to look at, 0 for none: without `auto_detect`, only those of servers that were named."""
        llm = self._settings().llm
        moved = ports(llm)
        if llm.auto_detect:
            return moved
        named = {llm.backend, *(llm.fallback_chain or ()), *self._named}
        usual = {id: moved.get(id, identity.port or 0) for id, identity in IDENTITIES.items()}
        return {id: port if id in named else 0 for id, port in usual.items()}

    async def _scan(self) -> tuple[ServerInfo, ...]:
        from whisper_desktop.discovery import LocalLLMDetector

        llm = self._settings().llm
        asked, usual = self._ports(), self._usual()
        looked = {id: place for id, place in usual.items() if asked.get(id) != 0 or not usual[id]}
        env = {**self._env, "OLLAMA_HOST": llm.ollama.base_url} if llm.ollama.base_url else self._env
        router = "openrouter" in self._keys.services
        detector = LocalLLMDetector(
            http=self._http,
            deadlines=self._deadlines,
            env=env,
            addresses=(*llm.addresses, *([llm.base_url] if llm.base_url else [])),
            keyed=await self._keys.elsewhere(),
            key_for=self._keys.of,
            openrouter_key=(lambda: self._keys.of(key_origin("openrouter", llm))) if router else None,
            openrouter_url=openrouter_url(llm),
            cloud_allowed=llm.reach is Reach.CLOUD,
            builtin=self._builtin,
            ports=asked,
        )
        found: list[ServerInfo] = []
        async with aclosing(detector.iter_servers()) as servers:
            async for server in servers:
                found.append(self._placed(server))
                self._bus.publish(ServersChanged(tuple(found), scanning=True))
        self.servers = tuple(sorted(found, key=lambda server: _ORDER.index(server.id)))
        self._looked, self.scanned = looked, True
        self._bus.publish(ServersChanged(self.servers, scanning=False))
        return self.servers

    def _placed(self, server: ServerInfo) -> ServerInfo:
        """A server that nobody could place, with what the person has said about its address."""
        if server.reach is not None or not server.url or server.status is ServerStatus.UNREACHABLE:
            return server
        said = self._settings().privacy.server_reach
        answers = {origin(url): reach for url, reach in said.items()}
        return replace(server, reach=answers.get(origin(server.url)))
