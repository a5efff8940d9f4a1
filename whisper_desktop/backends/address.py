"""A server of which a person wrote down only the address, and who really answers there.

Ollama and LM Studio speak the OpenAI dialect, too, and that dialect does not tell which of their models run
on another machine. So whoever answers at an address near by is asked for their signs first, and where one of
them is there, its own list decides.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Unpack

from whisper_desktop.backends.base import BackendConfig
from whisper_desktop.backends.http_backend import HttpBackend, HttpParts
from whisper_desktop.backends.identity import Ask, who_passes_on
from whisper_desktop.backends.lm_studio import LMStudioBackend
from whisper_desktop.backends.ollama import OllamaBackend
from whisper_desktop.backends.openai_compatible import OpenAICompatibleBackend
from whisper_desktop.backends.request import Call, Endpoint, Question
from whisper_desktop.errors import BackendError
from whisper_desktop.values import ErrorKind, ModelInfo, Reach
from whisper_desktop.wire.address import parse_url

_SERVERS: Mapping[str, type[HttpBackend]] = {"lm_studio": LMStudioBackend, "ollama": OllamaBackend}


class AddressBackend(OpenAICompatibleBackend):
    """A server with the OpenAI dialect at an address, whoever it is."""

    def __init__(self, config: BackendConfig, **parts: Unpack[HttpParts]) -> None:
        super().__init__(config, **parts)
        self._roots: tuple[str, ...] = ()
        # A kind of its own that was found there is recognised by its own signs.
        if self._root and (config.as_given or config.id == "openai_compatible"):
            address = parse_url(self._root)
            if address.reach is not Reach.CLOUD:
                self._roots = tuple(dict.fromkeys((self._root, address.origin)))
        self._server: HttpBackend | None = None
        self._looked_at: float | None = None
        self._looking = asyncio.Lock()

    # --- who is there -------------------------------------------------------------------------------------

    async def _identify(self, endpoint: Endpoint, allowed: Reach) -> None:
        await super()._identify(endpoint, allowed)
        if not self._roots or self._is_known(1):
            return
        if self._looking.locked() and self._is_known(2):
            return  # Somebody asks already.
        async with self._looking:
            if not self._is_known(1):
                await self._look(endpoint, allowed)

    def _is_known(self, periods: int) -> bool:
        at = self._looked_at
        return at is not None and time.monotonic() - at < periods * self._deadlines.listing

    async def _look(self, endpoint: Endpoint, allowed: Reach) -> None:
        ask = self._asker(endpoint, allowed)
        try:
            found = None
            for root in self._roots:
                found = found or await _server_at(root, ask)
            self._is(found)
        except BackendError as error:
            # A server that does one thing at a time is busy, and was asked before.
            if error.kind is not ErrorKind.TOTAL_TIMEOUT or self._looked_at is None:
                raise
        self._looked_at = time.monotonic()

    def _is(self, found: tuple[str, str] | None) -> None:
        """Who is there now: the id and the root of a server whose own list is to be used, if any."""
        known = (self._server.id, self._server.config.url) if self._server is not None else None
        if found == known:
            return
        self._listing.forget()
        self._server = None
        if found is not None:
            id, root = found
            config = replace(self.config, id=id, url=root, as_given=True)
            # It asks over our connections, and with the key that a question brings along.
            self._server = _SERVERS[id](config, http=self._http, deadlines=self._deadlines)
            self._server.share_list(self)

    def _forget(self) -> None:
        super()._forget()
        self._looked_at = None
        if self._server is not None:
            self._server._forget()

    # --- what its own list says ---------------------------------------------------------------------------

    async def _models(self, endpoint: Endpoint, allowed: Reach) -> tuple[ModelInfo, ...]:
        if self._server is None:
            return await super()._models(endpoint, allowed)
        return await self._server._models(endpoint, allowed)

    async def _choose(self, endpoint: Endpoint, model: str | None, allowed: Reach) -> str | None:
        if self._server is None:
            return await super()._choose(endpoint, model, allowed)
        return await self._server._choose(endpoint, model, allowed)

    async def _choose_embedder(self, endpoint: Endpoint, model: str | None, allowed: Reach) -> str | None:
        if self._server is None:
            return await super()._choose_embedder(endpoint, model, allowed)
        return await self._server._choose_embedder(endpoint, model, allowed)

    def _meant(self, model: str | None) -> ModelInfo | None:
        return super()._meant(model) if self._server is None else self._server._meant(model)

    def _same(self, named: str, listed: str) -> bool:
        if self._server is None:
            return super()._same(named, listed)
        return self._server._same(named, listed)

    def _call(self, question: Question, model: str | None) -> Call:
        if isinstance(self._server, LMStudioBackend):
            return self._server._call(question, model)  # Which model it names in its answer is compared.
        return super()._call(question, model)


async def _server_at(root: str, ask: Ask) -> tuple[str, str] | None:
    id = await who_passes_on(root, ask)
    return None if id is None else (id, root)
