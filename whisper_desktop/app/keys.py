"""Keys: which address each belongs to, where it is kept, and which services have one."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from whisper_desktop.errors import SettingsError, WhisperError
from whisper_desktop.language import tr
from whisper_desktop.values import IDENTITIES, Reach, canonical_id
from whisper_desktop.wire.address import normalise_url, origin

if TYPE_CHECKING:
    from whisper_desktop.settings import LLMSettings, SecretStore
    from whisper_desktop.settings.secrets import KeyPlace
    from whisper_desktop.wire.http import Http


@dataclass(frozen=True, slots=True)
class KeyStanding:
    """Whether an address has a key, and where that is. `service` is its id; "" is a server of one's own."""

    service: str
    name: str
    origin: str
    place: "KeyPlace"


@dataclass(frozen=True, slots=True)
class KeyCheck:
    """What a service says about a key: `accepted` is None where it could not be asked."""

    accepted: bool | None
    sentence: str


class Keys:
    """The keys of this person. `settings` gives the settings as they are now.

    The keyring blocks, and may wait for a person who unlocks it: it is asked in a thread.
    """

    def __init__(self, store: "SecretStore", settings: "Callable[[], LLMSettings]") -> None:
        self.store = store
        self._settings = settings
        self._services: frozenset[str] = frozenset()

    @property
    def services(self) -> frozenset[str]:
        """The ids of the services in the cloud that a key was kept for when last looked."""
        return self._services

    async def refresh(self) -> None:
        """Look which services have a key."""
        kept = await self.origins()
        services = [identity.id for identity in IDENTITIES.values() if identity.root]
        self._services = frozenset(each for each in services if key_origin(each, self._settings()) in kept)

    async def set(self, name: str, key: str) -> str:
        """Keep a key in the keyring (or for this run only); returns the sentence that says where it went."""
        place = key_origin(name, self._settings())
        await asyncio.to_thread(self.store.set, place, key)
        await self.refresh()
        return self.store.explanation

    async def remove(self, name: str) -> None:
        """Forget a key."""
        await asyncio.to_thread(self.store.remove, key_origin(name, self._settings()))
        await self.refresh()

    async def origins(self) -> tuple[str, ...]:
        """The origins that have a key; never a key."""
        return await asyncio.to_thread(self.store.list)

    async def elsewhere(self) -> tuple[str, ...]:
        """The origins that have a key and belong to no service that the app knows."""
        known = {key_origin(each.id, self._settings()) for each in IDENTITIES.values() if each.root}
        return tuple(place for place in await self.origins() if place not in known)

    async def of(self, place: str) -> str | None:
        """The key of an origin."""
        return await asyncio.to_thread(self.store.get, place)

    def source_for(self, url: str) -> Callable[[], Awaitable[str | None]]:
        """Fetches the key of an address when it is wanted, and not before."""

        async def key() -> str | None:
            return await self.of(origin(url)) if url else None

        return key


async def key_standings(store: "SecretStore", llm: "LLMSettings") -> tuple[KeyStanding, ...]:
    """The services that the app knows, then the other addresses that have a key."""
    services = [identity for identity in IDENTITIES.values() if identity.root]
    known = {key_origin(each.id, llm): each for each in services}

    def look() -> tuple[KeyStanding, ...]:
        others = [place for place in store.list() if place not in known]
        return (
            *(KeyStanding(each.id, each.name, place, store.place(place)) for place, each in known.items()),
            *(KeyStanding("", place, place, store.place(place)) for place in others),
        )

    return await asyncio.to_thread(look)


async def check_key(http: "Http", service: str, root: str, key: str) -> KeyCheck:
    """Ask the service at `root` whether it takes a key, by a request without a prompt, which costs nothing.

    `service` is its id; "" is a server of one's own, which speaks as OpenAI does.
    """
    name = IDENTITIES[service].name if service else root
    path, headers = _free_question(service, key)
    try:
        reply = await http.request("GET", root + path, allowed=Reach.CLOUD, headers=headers)
    except WhisperError as error:
        return KeyCheck(None, tr("It could not be tested: {reason}", reason=error))
    if reply.status in (401, 403) or (reply.status == 400 and b"API_KEY_INVALID" in reply.body):
        return KeyCheck(False, tr("{name} does not accept this key.", name=name))
    if reply.status == 200:
        return KeyCheck(True, tr("{name} accepts the key.", name=name))
    return KeyCheck(
        None,
        tr("It could not be tested: {name} answered with status {status}.", name=name, status=reply.status),
    )


def _free_question(service: str, key: str) -> tuple[str, dict[str, str]]:
    """The path and the headers of a request that only tells whether a key is good."""
    match service:
        case "openrouter":
            return "/api/v1/key", {"authorization": f"Bearer {key}"}
        case "anthropic":
            from whisper_desktop.wire.anthropic import VERSION

            return "/v1/models", {"x-api-key": key, "anthropic-version": VERSION}
        case "gemini":
            return "/v1beta/models?pageSize=1", {"x-goog-api-key": key}
        case _:
            return "/v1/models", {"authorization": f"Bearer {key}"}


def key_origin(name: str, llm: "LLMSettings") -> str:
    """The origin a key belongs to, from a backend's id or an address. Raises `SettingsError`."""
    try:
        identity = IDENTITIES[canonical_id(name)]
    except KeyError:
        if any(mark in name for mark in ":."):
            return origin(normalise_url(name))
        raise SettingsError(
            tr("Nothing called “{name}” takes a key.", name=name),
            tr("A key belongs to one server."),
            tr("Name a backend (openrouter, lm_studio, …) or its address (https://…)."),
        ) from None
    if identity.id == "openrouter":
        return origin(openrouter_url(llm))
    if identity.root:
        return identity.root
    if identity.id == "ollama" and llm.ollama.base_url:
        return origin(llm.ollama.base_url)
    if identity.port is None:
        raise SettingsError(
            tr("{name} has no address of its own.", name=identity.name),
            "",
            tr("Name the server's address instead (https://…)."),
        )
    return f"http://127.0.0.1:{ports(llm).get(identity.id, identity.port)}"


def ports(llm: "LLMSettings") -> dict[str, int]:
    """The ports that the settings name."""
    return {"lm_studio": llm.lmstudio.port, "llama_cpp": llm.llamacpp.port}


def openrouter_url(llm: "LLMSettings") -> str:
    """OpenRouter's root; people copy the address of its API."""
    written = llm.openrouter.base_url or IDENTITIES["openrouter"].root
    return written.removesuffix("/v1").removesuffix("/api")
