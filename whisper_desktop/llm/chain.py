"""Who of a chain can still be asked, in which order, and why the others are not.

Three lists: those whose turn has not come, those that were loading their model, and those that rest because
they failed a moment ago. The first are asked in their order; the others when nobody else is left.
"""

from collections.abc import Sequence

from whisper_desktop.backends.base import Backend
from whisper_desktop.llm import failures
from whisper_desktop.llm.breaker import State
from whisper_desktop.llm.decisions import longest_wait, may_ask, may_hedge
from whisper_desktop.llm.failures import Failure
from whisper_desktop.llm.health import Permit
from whisper_desktop.llm.places import model_of, place_of, reach_of
from whisper_desktop.llm.question import Question
from whisper_desktop.llm.shared import Shared
from whisper_desktop.values import Reach


class Chain:
    """The steps of one question. `only` says that there is but one: nobody is spared by resting then."""

    def __init__(self, steps: Sequence[Backend], question: Question, shared: Shared) -> None:
        self.only = len(steps) == 1
        self._steps = tuple(steps)
        self._turn = list(steps)
        self._loading: list[Backend] = []
        self._resting: list[Backend] = []
        self._question = question
        self._shared = shared
        self._too_small: int | None = None

    def next(self) -> Backend | None:
        """The one whose turn it is."""
        return self._turn.pop(0) if self._turn else None

    def take(self, backend: Backend) -> bool:
        """Take one out of its turn; False when its turn has come already."""
        if backend not in self._turn:
            return False
        self._turn.remove(backend)
        return True

    def place(self, backend: Backend) -> int:
        """Its position in the chain."""
        return self._steps.index(backend)

    def refusal(self, backend: Backend) -> Failure | None:
        """Why it is not asked at all; None where it is."""
        question, health = self._question, self._shared.health
        model = model_of(backend, question.model)
        if not may_ask(backend.reach_of(model), question.reach):
            return failures.needs_consent(backend, backend.reach_of(model))
        place = place_of(backend, question.model)
        lacking = question.needs - backend.capabilities
        if lacking or health.is_refused(place, question.needs):
            return failures.cannot(backend, lacking or question.needs)
        if self._too_small is not None and (backend.context_of(model) or 0) <= self._too_small:
            return failures.no_larger(backend)
        standing = health.standing(place)
        if self.only or standing.state not in (State.OPEN, State.BLOCKED):
            return None
        return failures.resting(backend, standing.kind, health.why(place))

    def somebody_left(self) -> bool:
        """Whether anybody else could still answer: in turn, or once its model is loaded."""
        return bool(self._loading) or any(self.refusal(backend) is None for backend in self._turn)

    def somebody_rests(self) -> bool:
        """Whether somebody was left out who could be asked after all."""
        return bool(self._resting)

    def rival(self, *, paid_allowed: bool) -> Backend | None:
        """Who could be asked side by side with the one whose turn it is."""
        for backend in self._turn:
            if self.refusal(backend) is None:
                model = model_of(backend, self._question.model)
                allowed = may_hedge(
                    reach=reach_of(backend, model),
                    ready=backend.is_ready(model),
                    paid=backend.is_paid(model),
                    paid_allowed=paid_allowed,
                )
                return backend if allowed else None
        return None

    def rests(self, backend: Backend) -> None:
        """It was left out, because it failed a moment ago."""
        self._resting.append(backend)

    def loads(self, backend: Backend) -> None:
        """It loads its model: it is asked again when nobody else has answered."""
        self._loading.append(backend)

    def too_small(self, context_length: int) -> None:
        """A context window of so many tokens does not hold the conversation."""
        self._too_small = max(context_length, self._too_small or 0)

    def next_loading(self) -> Backend | None:
        """One of those that were loading; they take turns."""
        return self._loading.pop(0) if self._loading else None

    def next_resting(self, *, no_network: bool, asked: frozenset[Backend]) -> Backend | None:
        """Of those that were left out, the one that may be asked first. Only one is tried: the others wait.

        Who was asked for this question already is not asked again, nor, without a network, who is far. None
        where it wants to be left alone for longer than it is waited for, which was told when it was left out.
        """
        resting, self._resting = self._resting, []
        able = [
            backend
            for backend in resting
            if backend not in asked and not (no_network and backend.config.reach is not Reach.THIS_MACHINE)
        ]
        if not able:
            return None
        health, places = self._shared.health, [place_of(each, self._question.model) for each in able]
        first = health.soonest(places)
        leave = health.ask(places[first], alone=True)
        if isinstance(leave, Permit):
            leave.released()  # It is asked for again with the attempt.
            return able[first]
        most, left = (
            longest_wait(self._shared.deadlines, batch=self._question.batch),
            self._question.time_left(),
        )
        worth_it = health.left(leave.until) <= (most if left is None else min(most, left))
        return able[first] if worth_it else None
