"""What backends in the cloud have in common: they need a key, cost money, and have their models ready."""

from collections.abc import Mapping
from typing import ClassVar

from whisper_desktop.backends.http_backend import HttpBackend
from whisper_desktop.backends.options import TEXT, Kind, read_number
from whisper_desktop.backends.request import Endpoint
from whisper_desktop.errors import BackendError
from whisper_desktop.language import mark, tr
from whisper_desktop.values import ErrorKind, Price, Reach

_MILLION = 1_000_000


def _read_price(value: object) -> Price | None:
    if not isinstance(value, Mapping) or set(value) != {"prompt", "completion"}:
        return None
    prompt, completion = read_number(value["prompt"]), read_number(value["completion"])
    if prompt is None or completion is None or prompt < 0 or completion < 0:
        return None
    return Price(prompt / _MILLION, completion / _MILLION)


PRICE = Kind(mark("prompt and completion, each in US dollars for a million tokens"), _read_price)


class CloudBackend(HttpBackend):
    """A service in the cloud. It has no default model: which one answers decides what it costs.

    Option: `price`, its `prompt` and `completion` in US dollars for a million tokens.
    """

    needs_key: ClassVar[bool] = True
    known_options: ClassVar[dict[str, Kind]] = {"price": PRICE, "embedding_model": TEXT}

    def context_of(self, model: str | None) -> int | None:
        """The context window of a model: as much as the list says that it has."""
        entry = self._meant(model)
        return super().context_of(model) or (entry.max_context_length if entry else None)

    def is_ready(self, model: str | None) -> bool | None:
        """Whether a model is loaded: always."""
        return True

    def is_paid(self, model: str | None) -> bool:
        """Whether an answer costs money: as far as is known, all of them do."""
        return True

    async def price(self, model: str | None = None) -> Price | None:
        """What was set as the price; the service itself tells none."""
        return self._option("price", Price)

    async def _choose(self, endpoint: Endpoint, model: str | None, allowed: Reach) -> str | None:
        named = model or self.config.model
        if named is None:
            raise BackendError(
                ErrorKind.NOT_CONFIGURED,
                tr("No {self_name} model is chosen.", self_name=self.name),
                tr("They differ in price, so the choice is yours. Nothing was sent."),
                tr("Choose one: `whisper-desktop config set llm.{self_id}.model NAME`.", self_id=self.id),
                request_sent=False,
            )
        return named
