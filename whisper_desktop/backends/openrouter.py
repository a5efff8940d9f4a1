"""OpenRouter: many cloud models behind one key.

Its own list of models to fall back on (`models` in a request) is not used: that is decided by the chain,
where a person sees it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from whisper_desktop.backends.cloud import CloudBackend
from whisper_desktop.backends.openai_compatible import Json, OpenAICompatibleBackend
from whisper_desktop.discovery.answers import text
from whisper_desktop.errors import BackendError
from whisper_desktop.language import tr
from whisper_desktop.values import ErrorKind, Price
from whisper_desktop.wire import fields
from whisper_desktop.wire.openai import reasoning_object

_FREE = ":free"
_CHEAPEST = ":floor"


@dataclass(frozen=True, slots=True)
class KeyStatus:
    """What OpenRouter says about a key. Amounts are US dollars; None means no limit, or no end."""

    limit: float | None
    limit_remaining: float | None
    usage: float | None
    is_free_tier: bool
    expires_at: str | None


class OpenRouterBackend(CloudBackend, OpenAICompatibleBackend):
    """OpenRouter. A name may end in a variant such as `:free` or `:nitro`."""

    # How OpenRouter asks applications to introduce themselves; this one has no web site.
    extra_headers: ClassVar[Mapping[str, str]] = {
        "http-referer": "whisper://desktop",
        "x-openrouter-title": "Whisper Desktop",
    }

    def is_paid(self, model: str | None) -> bool:
        """Whether an answer of a model costs money."""
        return not (model or self.config.model or "").endswith(_FREE)

    async def price(self, model: str | None = None) -> Price | None:
        """What a model costs: what was set, else what the list says.

        A variant has its own price where it is listed. Of the others two are known: `:free` costs nothing,
        `:floor` not more than the model itself.
        """
        set_here = await super().price(model)
        named = model or self._model
        if set_here is not None or named is None:
            return set_here
        if not self._listing.is_known:
            await self.list_models()
        prices = {entry.id: entry.price for entry in self._listing.models}
        if named in prices:
            return prices[named]
        if named.endswith(_FREE):
            return Price(0.0, 0.0)
        return prices.get(named.removesuffix(_CHEAPEST))

    async def key_status(self) -> KeyStatus:
        """What is left of the key's limit. Raises `BackendError`."""
        endpoint = None
        try:
            endpoint = await self._endpoint()
            url = f"{endpoint.api_base}/key"
            said = fields.table(await self._get(endpoint, url, self._reach(endpoint, None)))
            data = fields.table(said.get("data"))
            if text(data.get("label")) is None:
                raise BackendError(ErrorKind.NOT_AN_LLM, tr("It says nothing about the key."))
        except BackendError as error:
            raise await self._failure(error, endpoint, None) from None
        return KeyStatus(
            limit=fields.number(data.get("limit")),
            limit_remaining=fields.number(data.get("limit_remaining")),
            usage=fields.number(data.get("usage")),
            is_free_tier=data.get("is_free_tier") is True,
            expires_at=text(data.get("expires_at")),
        )

    def _same(self, named: str, listed: str) -> bool:
        return listed in (named, named.rpartition(":")[0])

    def _reasoning(self, level: str) -> Json:
        return reasoning_object(level)
