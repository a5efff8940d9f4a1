"""What is known about the health of backends, learnt from the questions that were put to them.

A question goes through up to three breakers, so that a failure is blamed on what it says something about:
the server's (a backend at an origin), the model's (a missing model leaves the server's other models alone),
and for everything beyond this computer the network's (without a network, no server is at fault).
"""

import math
import random
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from whisper_desktop.language import mark, tr, trn
from whisper_desktop.llm import breaker as breakers
from whisper_desktop.llm.breaker import Breaker, Rules, State, Ticket
from whisper_desktop.values import Deadlines, ErrorKind

MOST_PLACES = 256
"""How many servers, and how many models, are remembered; the one that was not used for longest goes first."""

_FIGURES = 64
_FEWEST_FIGURES = 5
_WEIGHT_OF_NEW = 0.3
_REFUSALS = 16
_JITTER = (0.8, 1.2)


class Place(NamedTuple):
    """Where a question goes: a backend's id, its origin ("" in process), the model, and whether it is all on
    this computer.
    """

    backend: str
    origin: str
    model: str | None
    local: bool


@dataclass(frozen=True, slots=True)
class Shut:
    """Leave it out: why, as a kind and as a plain sentence, and until when, on the clock of `Health`."""

    kind: ErrorKind
    detail: str
    until: float


@dataclass(frozen=True, slots=True)
class Standing:
    """How a place stands, `until` when on the clock of `Health`, and the kind of failure that led there."""

    state: State
    until: float = 0.0
    kind: ErrorKind | None = None


_WELL = Standing(State.CLOSED)


class _Scope(Enum):
    NETWORK = "network"
    SERVER = "server"
    MODEL = "model"


class _Gate:
    """A breaker in use: the one thing here that changes."""

    __slots__ = ("breaker", "rules", "scope")

    def __init__(self, scope: _Scope, rules: Rules) -> None:
        self.scope = scope
        self.rules = rules
        self.breaker = Breaker()


class _Learnt:
    """What is remembered about a model at a server."""

    __slots__ = ("first_tokens", "p95", "prompt_speed", "refused")

    def __init__(self) -> None:
        self.first_tokens: deque[float] = deque(maxlen=_FIGURES)
        self.p95: float | None = None
        self.prompt_speed: float | None = None
        self.refused: deque[frozenset[str]] = deque(maxlen=_REFUSALS)


class Permit:
    """Leave to ask. Say once how it ended: `succeeded`, `failed` or `released`; what comes after is ignored.

    `probe` is True for the one question that tries out a place that had failed.
    """

    __slots__ = ("_began", "_health", "_tickets", "probe")

    def __init__(self, health: "Health", tickets: Sequence[tuple[_Gate, Ticket]]) -> None:
        self._health = health
        self._tickets = tickets
        self._began = False
        self.probe = any(ticket.probe for _, ticket in tickets)

    def began(self) -> None:
        """The answer has begun. For a probe that is its good outcome, so that nobody waits for the end of a
        long answer, and it is not taken for lost; how it ends is said all the same. Of no effect for
        others.
        """
        if self.probe and self._tickets and not self._began:
            self._began = True
            self._tickets = self._health._renewed(self._tickets)

    def succeeded(self) -> None:
        """It answered."""
        tickets = self._spent()
        if not self._began:
            self._health._succeeded(tickets)

    def failed(self, kind: ErrorKind, retry_after: float | None = None) -> None:
        """It failed, and asked to be left alone for `retry_after` seconds, if it did.

        A kind that says nothing about the place (it loads its model, the question was bad) counts as
        released.
        """
        self._health._failed(self._spent(), kind, retry_after)

    def released(self) -> None:
        """It neither answered nor failed: cancelled, a bad request, a declined message, nothing was sent."""
        self._health._released(self._spent())

    def _spent(self) -> Sequence[tuple[_Gate, Ticket]]:
        tickets, self._tickets = self._tickets, ()
        return tickets


class Health:
    """The health of all places, shared by all clients of an app: no I/O, no tasks, no timers. One loop uses
    it.

    `clock` is monotonic; `wall` only serves to say the time of day in a sentence.
    """

    def __init__(
        self,
        deadlines: Deadlines,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        rng: random.Random | None = None,
    ) -> None:
        self._clock = clock
        self._wall = wall
        self._rng = rng or random.Random()
        self._local = breakers.rules(deadlines, local=True)
        self._far = breakers.rules(deadlines, local=False)
        # Being offline ends at any moment, and finding out costs nothing.
        self._network = _Gate(_Scope.NETWORK, self._local)
        self._servers: OrderedDict[tuple[str, str], _Gate] = OrderedDict()
        self._models: OrderedDict[tuple[str, str, str | None], _Gate] = OrderedDict()
        self._learnt: OrderedDict[tuple[str, str, str | None], _Learnt] = OrderedDict()

    # --- Asking -------------------------------------------------------------------------------------------

    def ask(self, place: Place, *, alone: bool = False) -> Permit | Shut:
        """Leave to ask, or why not. `alone`: nobody else could answer, so it may be asked in spite of its
        failures, unless the server itself asked to be left alone.
        """
        gates = self._gates(place)
        now = self._clock()
        tickets: list[tuple[_Gate, Ticket]] = []
        shut: list[_Gate] = []
        for gate in gates:
            if gate.breaker.state is State.CLOSED:
                tickets.append((gate, Ticket(gate.breaker.generation, probe=False)))
                continue
            gate.breaker, ticket = breakers.ask(
                gate.breaker, now, gate.rules, jitter=self._jitter(), alone=alone
            )
            if ticket is None:
                shut.append(gate)
            else:
                tickets.append((gate, ticket))
        if not shut:
            return Permit(self, tickets)
        self._released(tickets)
        last = max((gate.breaker for gate in shut), key=lambda breaker: breaker.until)
        until = last.floor if alone else last.until
        return Shut(last.kind or ErrorKind.SERVER_ERROR, _why(last, now, self._wall()), until)

    def left(self, until: float) -> float:
        """Seconds until a moment that a `Shut` or a `Standing` names; 0 where it has passed."""
        return max(until - self._clock(), 0.0)

    def standing(self, place: Place) -> Standing:
        """How it stands: a look that changes nothing."""
        worst = self._worst(place, self._clock())
        return Standing(worst.state, worst.until, worst.kind) if worst else _WELL

    def why(self, place: Place) -> str:
        """Why it is left out, as a plain sentence; "" where it is not."""
        now = self._clock()
        worst = self._worst(place, now)
        return _why(worst, now, self._wall()) if worst else ""

    def soonest(self, places: Sequence[Place]) -> int:
        """The index of the place that may be asked first."""
        return min(range(len(places)), key=lambda index: self.standing(places[index]).until)

    # --- News from outside --------------------------------------------------------------------------------

    def forgive(self, origin: str | None = None) -> None:
        """The settings or the key of an origin (None: of all) are others now: nothing of the past holds."""
        self._tell(origin, changed=True)
        for key, learnt in self._learnt.items():
            if origin is None or key[1] == origin:
                learnt.refused.clear()

    def ask_again(self, origin: str | None = None) -> None:
        """It was seen to answer, or the computer woke up: who failed may be asked again at once. A refused
        key stays refused, and the time that a server asked for goes on.
        """
        self._tell(origin, changed=False)

    def _tell(self, origin: str | None, *, changed: bool) -> None:
        now = self._clock()
        servers = [gate for key, gate in self._servers.items() if origin is None or key[1] == origin]
        models = [gate for key, gate in self._models.items() if origin is None or key[1] == origin]
        for gate in (self._network, *servers, *models):
            gate.breaker = breakers.forgiven(gate.breaker, now, changed=changed)

    # --- What is learnt on the way ------------------------------------------------------------------------

    def refused(self, place: Place, needs: frozenset[str]) -> None:
        """It cannot do what was asked of it ("tools", "vision", "json_schema"). Remembered until forgiven."""
        if needs and not self.is_refused(place, needs):
            self._learn(place).refused.append(needs)

    def is_refused(self, place: Place, needs: frozenset[str]) -> bool:
        """Whether it is known that it cannot do all of this together."""
        learnt = self._learnt.get((place.backend, place.origin, place.model))
        return learnt is not None and any(known <= needs for known in learnt.refused)

    def learn(
        self, place: Place, *, ttft: float | None = None, prompt_tokens_per_second: float | None = None
    ) -> None:
        """Figures of an answer: seconds until its first token, and how fast the prompt was read."""
        learnt = self._learn(place)
        if ttft is not None and ttft >= 0:
            learnt.first_tokens.append(ttft)
            learnt.p95 = None
        if prompt_tokens_per_second is not None and 0 < prompt_tokens_per_second < math.inf:
            known = learnt.prompt_speed
            learnt.prompt_speed = (
                prompt_tokens_per_second
                if known is None
                else known + _WEIGHT_OF_NEW * (prompt_tokens_per_second - known)
            )

    def first_token_p95(self, place: Place) -> float | None:
        """Within how many seconds 95 of 100 answers began (nearest rank, of the last 64); None below 5."""
        learnt = self._learnt.get((place.backend, place.origin, place.model))
        if learnt is None or len(learnt.first_tokens) < _FEWEST_FIGURES:
            return None
        if learnt.p95 is None:
            ordered = sorted(learnt.first_tokens)
            learnt.p95 = ordered[math.ceil(0.95 * len(ordered)) - 1]
        return learnt.p95

    def prompt_speed(self, place: Place) -> float | None:
        """Tokens of a prompt read in a second, recent answers counting most; None where nobody told."""
        learnt = self._learnt.get((place.backend, place.origin, place.model))
        return None if learnt is None else learnt.prompt_speed

    # --- The outcomes, from the permits -------------------------------------------------------------------

    def _renewed(self, tickets: Sequence[tuple[_Gate, Ticket]]) -> Sequence[tuple[_Gate, Ticket]]:
        counted = [gate.breaker.generation == ticket.generation for gate, ticket in tickets]
        self._succeeded(tickets)
        return [
            (gate, Ticket(gate.breaker.generation, probe=False) if now_counts else ticket)
            for (gate, ticket), now_counts in zip(tickets, counted, strict=True)
        ]

    def _succeeded(self, tickets: Sequence[tuple[_Gate, Ticket]]) -> None:
        if not tickets:
            return
        now = self._clock()
        for gate, ticket in tickets:
            # Only servers count their successes while all is well.
            if gate.scope is _Scope.SERVER or gate.breaker.state is not State.CLOSED:
                gate.breaker = breakers.succeeded(gate.breaker, ticket, now, gate.rules)

    def _failed(
        self, tickets: Sequence[tuple[_Gate, Ticket]], kind: ErrorKind, retry_after: float | None
    ) -> None:
        now = self._clock()
        blamed = _BLAMED.get(kind, _Scope.SERVER)
        for gate, ticket in tickets:
            if gate.scope is blamed:
                gate.breaker = breakers.failed(
                    gate.breaker,
                    ticket,
                    kind,
                    now,
                    gate.rules,
                    retry_after=retry_after,
                    jitter=self._jitter(),
                )
            else:
                gate.breaker = breakers.released(gate.breaker, ticket, now, gate.rules)

    def _released(self, tickets: Sequence[tuple[_Gate, Ticket]]) -> None:
        if not tickets:
            return
        now = self._clock()
        for gate, ticket in tickets:
            gate.breaker = breakers.released(gate.breaker, ticket, now, gate.rules)

    # --- The registry -------------------------------------------------------------------------------------

    def _gates(self, place: Place) -> tuple[_Gate, ...]:
        rules = self._local if place.local else self._far
        server_key = (place.backend, place.origin)
        server = self._servers.get(server_key)
        if server is None:
            server = self._servers[server_key] = _Gate(_Scope.SERVER, rules)
        self._servers.move_to_end(server_key)
        model_key = (place.backend, place.origin, place.model)
        model = self._models.get(model_key)
        if model is None:
            model = self._models[model_key] = _Gate(_Scope.MODEL, rules)
        self._models.move_to_end(model_key)
        if len(self._servers) > MOST_PLACES:
            self._servers.popitem(last=False)
        if len(self._models) > MOST_PLACES:
            self._models.popitem(last=False)
        return (server, model) if place.local else (self._network, server, model)

    def _known(self, place: Place) -> list[_Gate]:
        server = self._servers.get((place.backend, place.origin))
        model = self._models.get((place.backend, place.origin, place.model))
        network = None if place.local else self._network
        return [gate for gate in (network, server, model) if gate is not None]

    def _learn(self, place: Place) -> _Learnt:
        key = (place.backend, place.origin, place.model)
        learnt = self._learnt.get(key)
        if learnt is None:
            learnt = self._learnt[key] = _Learnt()
        self._learnt.move_to_end(key)
        if len(self._learnt) > MOST_PLACES:
            self._learnt.popitem(last=False)
        return learnt

    def _worst(self, place: Place, now: float) -> Breaker | None:
        """Of the breakers on the way there, the one that stays shut for longest; None when all are closed."""
        shut = [gate for gate in self._known(place) if gate.breaker.state is not State.CLOSED]
        settled = [breakers.settled(gate.breaker, now, gate.rules) for gate in shut]
        return max(settled, key=lambda breaker: breaker.until, default=None)

    def _jitter(self) -> float:
        return self._rng.uniform(*_JITTER)


_BLAMED = {ErrorKind.OFFLINE: _Scope.NETWORK, ErrorKind.MODEL_MISSING: _Scope.MODEL}
"""Whose fault a failure is, where it is not the server's."""


# --- The words --------------------------------------------------------------------------------------------

_DID_NOT = mark("It did not answer")
_DID = {
    ErrorKind.CLOSED_EARLY: mark("It closed the connection"),
    ErrorKind.OVERLOADED: mark("It was busy"),
    ErrorKind.RATE_LIMITED: mark("It asked to slow down"),
    ErrorKind.SERVER_ERROR: mark("It failed"),
    ErrorKind.STALLED: mark("It stopped in the middle of an answer"),
    ErrorKind.STREAM_CUT: mark("It stopped in the middle of an answer"),
    ErrorKind.TRUNCATED: mark("It stopped in the middle of an answer"),
    ErrorKind.MALFORMED: mark("It sent something unreadable"),
    ErrorKind.EMPTY: mark("It gave an empty answer"),
    ErrorKind.ENGINE: mark("It could not start"),
    ErrorKind.TLS: mark("Its certificate was not accepted"),
    ErrorKind.NAME_NOT_FOUND: mark("Its address was not found"),
    ErrorKind.NOT_AN_LLM: mark("Something that is not a model server answered at its address"),
    ErrorKind.MODEL_MISSING: mark("It did not have the model"),
    ErrorKind.OFFLINE: mark("There was no network"),
    ErrorKind.QUOTA: mark("It had no credit left"),
    ErrorKind.AUTH: mark("It refused access"),
}


def _why(breaker: Breaker, now: float, wall: float) -> str:
    """Why it is left out, as a sentence."""
    kind = breaker.kind or ErrorKind.SERVER_ERROR
    if kind is ErrorKind.AUTH and breaker.state is State.BLOCKED:
        return tr("It refused access; set its key, or another one.")
    if breaker.floor > now:
        return tr("It asked to be left alone {until}.", until=_until(breaker.floor - now, wall))
    what = f"{tr(_DID.get(kind, _DID_NOT))} {_ago(now - breaker.since)}"
    if breaker.state is State.HALF_OPEN and not breaker.permit_out:
        return f"{what}."
    if breaker.state is State.HALF_OPEN:
        return tr("{what}; another question is trying it now.", what=what)
    return tr("{what}; it is asked again in {span}.", what=what, span=_span(breaker.until - now))


def _until(seconds: float, wall: float) -> str:
    if seconds < 60:
        return tr("for {span}", span=_span(seconds))
    then, today = time.localtime(wall + seconds), time.localtime(wall)
    at = time.strftime("%H:%M", then)
    return (
        tr("until {time}", time=at) if then.tm_yday == today.tm_yday else tr("until {time} tomorrow", time=at)
    )


def _ago(seconds: float) -> str:
    return tr("just now") if seconds < 1 else tr("{span} ago", span=_span(math.floor(seconds)))


def _span(seconds: float) -> str:
    """A duration as people say it, rounded up."""
    if seconds < 60:
        return tr("{seconds} s", seconds=max(math.ceil(seconds), 1))
    if seconds < 3600:
        minutes = math.ceil(seconds / 60)
        return trn("{count} minute", "{count} minutes", minutes)
    hours = math.ceil(seconds / 3600)
    return trn("{count} hour", "{count} hours", hours)
