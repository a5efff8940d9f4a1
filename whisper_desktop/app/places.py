"""Where to look for servers, what was seen there, and what the person said about those nobody can place."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from whisper_desktop.app.keys import Keys, key_origin, openrouter_url, ports
from whisper_desktop.chat import failure_of
from whisper_desktop.errors import SettingsError, WhisperError
from whisper_desktop.events import Bus, ServersChanged
from whisper_desktop.language import tr
from whisper_desktop.values import IDENTITIES, Deadlines, ErrorKind, Reach, ServerInfo, ServerStatus
from whisper_desktop.wire.address import origin, reach_of

if TYPE_CHECKING:
    from whisper_desktop.settings import Settings
    from whisper_desktop.wire.http import Http

_ORDER = [name for name in IDENTITIES if name != "builtin"] + ["builtin"]
_GONE = ServerStatus.UNREACHABLE  # its address may be one that cannot be used


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
        self._seen: tuple[ServerInfo, ...] = ()
        self.scanned = False

    @property
    def servers(self) -> tuple[ServerInfo, ...]:
        """The servers of the last scan, with what the person says about them now."""
        return tuple(map(self._placed, self._seen))

    def is_on_trust(self, url: str) -> bool:
        """Whether it is only the person's word that says how far a question to this address goes."""
        there = [server for server in self._seen if server.url and server.status is not _GONE]
        placed = {origin(server.url) for server in there if server.reach is not None}
        return bool(url) and origin(url) in self._said().keys() - placed

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
                found.append(server)
                self._bus.publish(ServersChanged(tuple(map(self._placed, found)), scanning=True))
        self._seen = tuple(sorted(found, key=lambda server: _ORDER.index(server.id)))
        self._looked, self.scanned = looked, True
        self._bus.publish(ServersChanged(self.servers, scanning=False))
        return self.servers

    def _placed(self, server: ServerInfo) -> ServerInfo:
        """A server that nobody could place, with what the person has said about its address."""
        if server.reach is not None or not server.url or server.status is _GONE:
            return server
        return replace(server, reach=self._said().get(origin(server.url)))

    def _said(self) -> Mapping[str, Reach]:
        return self._settings().privacy.server_reach


_SAID = "privacy.server_reach"


@dataclass(frozen=True, slots=True)
class InQuestion:
    """A server that was left out because nobody can say where its models run. `place` is its address."""

    name: str
    place: str

    @property
    def words(self) -> str:
        """What the person is to know before they allow it."""
        return tr(
            "{self_name} at {place} may pass prompts on to the internet.",
            self_name=self.name,
            place=self.place,
        )


def server_in_question(error: WhisperError) -> InQuestion | None:
    """The server that an error asks to allow, the first where there are several; None where it asks for
    something else, or for nothing.
    """
    failure = failure_of(error)
    if failure.consent is None or failure.consent.needed is not None:
        return None
    left_out = (each for each in failure.attempts if each.kind is ErrorKind.CONSENT_REQUIRED and each.url)
    first = next(left_out, None)
    return InQuestion(first.server_name, origin(first.url)) if first is not None else None


def remember_allowed(place: str, *, env: Mapping[str, str] | None = None) -> None:
    """Keep that the person allows the server at this address: it counts as what its address says from then
    on, for whoever reads the settings. Blocks.

    Raises `SettingsError` where such answers are fixed by something stronger, or cannot be written.
    """
    from whisper_desktop.settings import Layer, load_settings, remember

    loaded = load_settings(env=env)
    if loaded.sources[_SAID] is Layer.ENVIRONMENT:
        raise SettingsError(
            tr("This cannot be remembered."),
            tr("{places} fixes which servers are allowed.", places=loaded.places[_SAID]),
            tr("Add {place} there, or remove the variable.", place=place),
            key=_SAID,
        )
    said = {**loaded.settings.privacy.server_reach, place: reach_of(place)}
    remember(_SAID, said, env=env)
