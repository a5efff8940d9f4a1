"""Keys: which address each belongs to, where it is kept, and which services have one."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from whisper_desktop.errors import SettingsError
from whisper_desktop.values import IDENTITIES, canonical_id
from whisper_desktop.wire.address import normalise_url, origin

if TYPE_CHECKING:
    from whisper_desktop.settings import LLMSettings, SecretStore


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


def key_origin(name: str, llm: "LLMSettings") -> str:
    """The origin a key belongs to, from a backend's id or an address. Raises `SettingsError`."""
    try:
        identity = IDENTITIES[canonical_id(name)]
    except KeyError:
        if any(mark in name for mark in ":."):
            return origin(normalise_url(name))
        raise SettingsError(
            f"Nothing called “{name}” takes a key.",
            "A key belongs to one server.",
            "Name a backend (openrouter, lm_studio, …) or its address (https://…).",
        ) from None
    if identity.id == "openrouter":
        return origin(openrouter_url(llm))
    if identity.root:
        return identity.root
    if identity.id == "ollama" and llm.ollama.base_url:
        return origin(llm.ollama.base_url)
    if identity.port is None:
        raise SettingsError(
            f"{identity.name} has no address of its own.",
            "",
            "Name the server's address instead (https://…).",
        )
    return f"http://127.0.0.1:{ports(llm).get(identity.id, identity.port)}"


def ports(llm: "LLMSettings") -> dict[str, int]:
    """The ports that the settings name."""
    return {"lm_studio": llm.lmstudio.port, "llama_cpp": llm.llamacpp.port}


def openrouter_url(llm: "LLMSettings") -> str:
    """OpenRouter's root; people copy the address of its API."""
    written = llm.openrouter.base_url or IDENTITIES["openrouter"].root
    return written.removesuffix("/v1").removesuffix("/api")
