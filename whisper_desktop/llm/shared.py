"""What all clients of one app have in common: what was learnt of the backends, limits, figures, costs, hooks.

Everything in here belongs to one event loop and does no I/O, but for the ledger's file.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from itertools import count
from weakref import WeakSet

from whisper_desktop.backends.base import Backend
from whisper_desktop.errors import BackendError
from whisper_desktop.llm.health import Health
from whisper_desktop.llm.hooks import Hook, HookRunner
from whisper_desktop.llm.ledger import Ledger
from whisper_desktop.llm.limits import Limiter
from whisper_desktop.llm.metrics import Metrics, PerformanceStats
from whisper_desktop.llm.places import place_of
from whisper_desktop.values import Deadlines, Usage

_ANY_NUMBER = 10_000


class Shared:
    """One of each. A client that is given none makes its own.

    `at_once` bounds how many answers are generated at the same time, over all backends. `warn` gets a
    sentence for the person, when a hook is switched off, say.
    """

    def __init__(
        self,
        deadlines: Deadlines | None = None,
        *,
        at_once: int | None = None,
        ledger: Ledger | None = None,
        hooks: Sequence[Hook] = (),
        warn: Callable[[str], None] | None = None,
    ) -> None:
        self.deadlines = deadlines or Deadlines()
        self.health = Health(self.deadlines)
        self.limiter = Limiter(at_once or _ANY_NUMBER, deadlines=self.deadlines)
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
        self, backend: Backend, model: str | None, *, prompt_tokens: int, max_tokens: int | None
    ) -> AbstractContextManager[object] | None:
        """Money held for an answer of a paid backend. Raises `BackendError` BUDGET."""
        if self.ledger is None or not backend.paid:
            return None
        price = await backend.price(model)
        leave = await self.ledger.admit(price, prompt_tokens=prompt_tokens, max_tokens=max_tokens)
        if isinstance(leave, BackendError):
            raise leave
        return leave

    async def priced(self, backend: Backend, model: str, usage: Usage) -> Usage:
        """What an answer used, with its cost where the provider or its price list tells; recorded."""
        if not backend.paid:
            return usage
        cost = Ledger.cost(None if usage.cost_usd is not None else await backend.price(model), usage)
        if self.ledger is not None:
            self.ledger.record(backend.id, model, usage, cost)
        return usage if cost == usage.cost_usd else replace(usage, cost_usd=cost)

    def stats(self) -> PerformanceStats:
        """The figures, with the models that are loaded and the breakers as they stand now."""
        loaded, breakers = [], {}
        for backend in self._backends:
            place = place_of(backend, None)
            breakers[f"{backend.id} {place.origin}".strip()] = self.health.standing(place).state.value
            if backend.ready and place.local and backend.model_id:
                loaded.append(backend.model_id)
        return self.metrics.stats(loaded_models=sorted(set(loaded)), breakers=breakers)
