"""What all clients of one app have in common: what was learnt of the backends, limits, figures, costs, hooks.

Everything in here belongs to one event loop and does no I/O, but for the ledger's file.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING
from weakref import WeakSet

from whisper_desktop.backends.base import Backend
from whisper_desktop.errors import BackendError
from whisper_desktop.llm.health import Health
from whisper_desktop.llm.hooks import Hook, HookRunner
from whisper_desktop.llm.limits import Limiter
from whisper_desktop.llm.messages import most_tokens
from whisper_desktop.llm.metrics import Metrics, PerformanceStats
from whisper_desktop.llm.places import place_of
from whisper_desktop.values import Deadlines, GenerationConfig, Message, Price, Usage

if TYPE_CHECKING:
    from whisper_desktop.llm.ledger import Ledger

log = logging.getLogger(__name__)


class Shared:
    """One of each. A client that is given none makes its own.

    `at_once` bounds how many answers are generated at the same time, over all backends. `warn` gets a
    sentence for the person, when a hook is switched off, say.
    """

    def __init__(
        self,
        deadlines: Deadlines | None = None,
        *,
        at_once: int = 10,
        ledger: "Ledger | None" = None,
        hooks: Sequence[Hook] = (),
        warn: Callable[[str], None] | None = None,
    ) -> None:
        self.deadlines = deadlines or Deadlines()
        self.health = Health(self.deadlines)
        self.limiter = Limiter(at_once, deadlines=self.deadlines)
        self.metrics = Metrics()
        self.ledger = ledger
        self.hooks = HookRunner(hooks, self.deadlines, warn=warn)
        self._numbers = count(1)
        self._backends: WeakSet[Backend] = WeakSet()

    def new_id(self) -> str:
        """The id of a question, for the figures."""
        return str(next(self._numbers))

    def seen(self, backend: Backend) -> None:
        """A backend is about to be asked: its state is part of the figures from now on."""
        self._backends.add(backend)

    async def leave_to_spend(
        self, backend: Backend, model: str | None, *, prompt: Sequence[Message], config: GenerationConfig
    ) -> AbstractContextManager[object] | None:
        """Money held for the most that an answer of a paid model may cost.

        Raises `BackendError` BUDGET, and where there is a limit whatever keeps the price from being known.
        """
        if self.ledger is None or not self.ledger.is_limited or not backend.is_paid(model):
            return None
        price = await backend.price(model)
        most = most_tokens(prompt, config)
        leave = await self.ledger.admit(price, prompt_tokens=most, max_tokens=config.max_tokens)
        if isinstance(leave, BackendError):
            raise leave
        return leave

    async def priced(self, backend: Backend, model: str | None, usage: Usage) -> Usage:
        """What an answer used, with its cost where the provider or its price list tells; recorded.

        `model` is the one that was asked for. Never raises: a price that cannot be had in time is unknown.
        """
        if not backend.is_paid(model):
            return usage
        price = None
        if usage.cost_usd is None:
            price = await self._price(backend, model, self.deadlines.request)
        cost = _cost(price, usage)
        self._record(backend, model, usage, cost)
        return usage if cost == usage.cost_usd else replace(usage, cost_usd=cost)

    async def spent_in_vain(
        self, backend: Backend, model: str | None, *, prompt_tokens: int, completion_tokens: int
    ) -> None:
        """Record an answer that was sent and never became whole: it costs what came of it, as far as that can
        be told here. Never raises but for a cancellation, and then it is recorded without a price.
        """
        if self.ledger is None or not backend.is_paid(model):
            return
        usage = Usage(prompt_tokens, completion_tokens)
        price = None
        try:
            price = await self._price(backend, model, self.deadlines.cleanup)
        finally:
            self._record(backend, model, usage, _cost(price, usage))

    async def _price(self, backend: Backend, model: str | None, seconds: float) -> Price | None:
        try:
            async with asyncio.timeout(seconds):
                return await backend.price(model)
        except Exception as error:
            log.info("What %s costs is not known: %s.", backend.name, type(error).__name__)
            return None

    def _record(self, backend: Backend, model: str | None, usage: Usage, cost: float | None) -> None:
        if self.ledger is not None:
            self.ledger.record(backend.id, model or backend.model_id or "", usage, cost)

    def stats(self) -> PerformanceStats:
        """The figures, with the models that are loaded and the breakers as they stand now."""
        loaded, breakers = [], {}
        for backend in self._backends:
            place = place_of(backend, None)
            breakers[f"{backend.id} {place.origin}".strip()] = self.health.standing(place).state.value
            if backend.is_ready(None) and place.local and backend.model_id:
                loaded.append(backend.model_id)
        return self.metrics.stats(loaded_models=sorted(set(loaded)), breakers=breakers)


def _cost(price: Price | None, usage: Usage) -> float | None:
    """What an answer cost, in US dollars. The ledger and its decimals load with the first that is paid."""
    from whisper_desktop.llm.ledger import Ledger

    return Ledger.cost(price, usage)
