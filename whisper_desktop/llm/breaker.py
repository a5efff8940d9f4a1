"""When a backend that failed is left out, and when it is asked again: pure rules over a frozen value.

             good               bad                    refused (key)  neutral
  CLOSED     counted            counted, or OPEN       BLOCKED        -
  OPEN       as in HALF_OPEN    put off                BLOCKED        -
  HALF_OPEN  CLOSED (far: at 2) OPEN, twice as long    BLOCKED        the permit comes back
  BLOCKED    CLOSED             -                      put off        -

Time alone leads from OPEN and BLOCKED to HALF_OPEN, where one question at a time may go through, as a
probe. One that is not heard of for `Rules.permit` seconds counts as lost, and the breaker opens again.
Questions that are let through in spite of a breaker, because nobody else could answer them, count too, as
the table says.

Every change of state begins a new generation. What was asked in an older one changes nothing when it ends,
with one exception: a server that asks to be left alone for longer is left alone for longer.

Times are seconds of one monotonic clock, and the caller gives them: nothing here waits or reads a clock.
`jitter` is a factor (0.8 to 1.2) on a window, so that programs that failed together do not come back
together.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum, StrEnum
from typing import NamedTuple

from whisper_desktop.values import Deadlines, ErrorKind

LONGEST_FLOOR = 86_400.0
"""The longest time, in seconds, that a server is left alone because it asked for it."""

_IN_A_ROW = 3.0
_LAST = 20
_FEWEST = 5
_SHARE = 0.5
_SUCCESSES_FAR = 2


class State(StrEnum):
    """Where a breaker stands."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    BLOCKED = "blocked"


class Outcome(Enum):
    """What a question says about the health of whom it was put to."""

    GOOD = "good"
    BAD = "bad"
    REFUSED = "refused"
    NEUTRAL = "neutral"


class Ticket(NamedTuple):
    """Leave to ask: in which generation it was given, and whether it is the one probe of HALF_OPEN."""

    generation: int
    probe: bool


@dataclass(frozen=True, slots=True)
class Rules:
    """The durations of one breaker, in seconds: `first` and `most` bound its windows."""

    first: float
    most: float
    successes: int
    recent: float
    permit: float
    key_blocked: float
    longer: Mapping[ErrorKind, float]
    """Kinds whose first window is longer than `first`."""


def rules(deadlines: Deadlines, *, local: bool) -> Rules:
    """The rules for a backend on this computer (`local`), or for one that is farther away."""
    return Rules(
        first=deadlines.breaker_local if local else deadlines.breaker_far,
        most=deadlines.breaker_local_most if local else deadlines.breaker_far_most,
        successes=1 if local else _SUCCESSES_FAR,
        recent=deadlines.breaker_window,
        permit=2 * deadlines.first_token,
        key_blocked=deadlines.key_blocked,
        longer={
            ErrorKind.NOT_AN_LLM: deadlines.not_an_llm,
            # Finding out costs a whole connect deadline, where a refusal costs nothing.
            ErrorKind.CONNECT_TIMEOUT: deadlines.breaker_far,
            # A certificate does not heal by itself in seconds; a login page of a network may go away.
            ErrorKind.TLS: deadlines.breaker_far_most,
        },
    )


_AT_ONCE = frozenset(
    {
        ErrorKind.CONNECT_REFUSED,
        ErrorKind.CONNECT_TIMEOUT,
        ErrorKind.NAME_NOT_FOUND,
        ErrorKind.TLS,
        ErrorKind.OFFLINE,
        ErrorKind.NOT_AN_LLM,
        ErrorKind.MODEL_MISSING,
    }
)
_WEIGHT: Mapping[ErrorKind, float] = {
    **dict.fromkeys(_AT_ONCE, 1.0),
    ErrorKind.CLOSED_EARLY: 1.0,
    ErrorKind.OVERLOADED: 1.0,
    ErrorKind.RATE_LIMITED: 1.0,
    ErrorKind.SERVER_ERROR: 1.0,
    ErrorKind.FIRST_TOKEN_TIMEOUT: 1.0,
    ErrorKind.STALLED: 1.0,
    ErrorKind.TOTAL_TIMEOUT: 1.0,
    ErrorKind.STREAM_CUT: 1.0,
    ErrorKind.TRUNCATED: 1.0,
    ErrorKind.MALFORMED: 1.0,
    ErrorKind.ENGINE: 1.0,
    ErrorKind.EMPTY: 0.5,
}
_REFUSALS = frozenset({ErrorKind.AUTH, ErrorKind.QUOTA})


def outcome_of(kind: ErrorKind) -> Outcome:
    """What a failure says about the backend. NEUTRAL where it says nothing: it loads its model, the question
    was bad or too long, it was declined or cancelled, or we did not send it at all.
    """
    if kind in _REFUSALS:
        return Outcome.REFUSED
    return Outcome.BAD if kind in _WEIGHT else Outcome.NEUTRAL


@dataclass(frozen=True, slots=True)
class Breaker:
    """How it stands. `kind` and `since` tell of the failure that opened or blocked it.

    `until` is the end of OPEN and BLOCKED, and the moment when the permit of HALF_OPEN counts as lost;
    `floor` is until when the server asked to be left alone; `window` is the length of the last window,
    without jitter.
    """

    state: State = State.CLOSED
    generation: int = 0
    kind: ErrorKind | None = None
    since: float = 0.0
    until: float = 0.0
    floor: float = 0.0
    window: float = 0.0
    permit_out: bool = False
    successes: int = 0
    in_a_row: float = 0.0
    recent: tuple[tuple[float, float], ...] = ()


class _Result(NamedTuple):
    """The end of a question, as the transitions need it."""

    now: float
    probe: bool
    jitter: float = 1.0
    kind: ErrorKind = ErrorKind.SERVER_ERROR
    retry_after: float = 0.0


def settled(breaker: Breaker, now: float, rules: Rules, *, jitter: float = 1.0) -> Breaker:
    """The breaker as time alone has left it."""
    if breaker.state is State.HALF_OPEN and breaker.permit_out and breaker.until <= now:
        silence = ErrorKind.FIRST_TOKEN_TIMEOUT
        breaker = _opened(breaker, rules, _Result(breaker.until, probe=True, jitter=jitter, kind=silence))
    if breaker.state in (State.OPEN, State.BLOCKED) and breaker.until <= now:
        breaker = _moved(breaker, State.HALF_OPEN)
    return breaker


def ask(
    breaker: Breaker, now: float, rules: Rules, *, jitter: float = 1.0, alone: bool = False
) -> tuple[Breaker, Ticket | None]:
    """Leave to ask, or None. `alone`: nobody else could answer, so only a server's own wish forbids it."""
    breaker = settled(breaker, now, rules, jitter=jitter)
    if breaker.state is State.CLOSED:
        return breaker, Ticket(breaker.generation, probe=False)
    if breaker.state is State.HALF_OPEN and not breaker.permit_out:
        ticket = Ticket(breaker.generation, probe=True)
        return replace(breaker, permit_out=True, until=now + rules.permit), ticket
    if alone and breaker.floor <= now:
        return breaker, Ticket(breaker.generation, probe=False)
    return breaker, None


def succeeded(breaker: Breaker, ticket: Ticket, now: float, rules: Rules) -> Breaker:
    """The breaker after an answer."""
    return _after(breaker, ticket, Outcome.GOOD, rules, _Result(now, ticket.probe))


def failed(
    breaker: Breaker,
    ticket: Ticket,
    kind: ErrorKind,
    now: float,
    rules: Rules,
    *,
    retry_after: float | None = None,
    jitter: float = 1.0,
) -> Breaker:
    """The breaker after a failure. `retry_after`: for how many seconds the server asked to be left alone."""
    result = _Result(now, ticket.probe, jitter, kind, _believed(retry_after))
    return _after(breaker, ticket, outcome_of(kind), rules, result)


def released(breaker: Breaker, ticket: Ticket, now: float, rules: Rules) -> Breaker:
    """The breaker after a question that says nothing about the backend: only a probe's permit comes back."""
    return _after(breaker, ticket, Outcome.NEUTRAL, rules, _Result(now, ticket.probe))


def forgiven(breaker: Breaker, now: float, *, changed: bool) -> Breaker:
    """The breaker after news from outside. `changed`: the settings or the key are others now, so nothing of
    the past holds. Else it was seen to answer, or the computer woke up: that ends windows and frees the
    permit of a probe, but it neither makes a refused key good nor ends the time that a server asked for.
    """
    if changed:
        fresh = Breaker(generation=breaker.generation + 1)
        if breaker.state is State.CLOSED:
            return fresh
        return replace(fresh, state=State.HALF_OPEN, kind=breaker.kind, since=breaker.since)
    if breaker.state is State.OPEN and breaker.floor > now:
        return replace(breaker, until=breaker.floor)
    if breaker.state in (State.OPEN, State.HALF_OPEN):
        return _moved(breaker, State.HALF_OPEN)
    return breaker


# --- The transitions --------------------------------------------------------------------------------------


def _after(breaker: Breaker, ticket: Ticket, outcome: Outcome, rules: Rules, result: _Result) -> Breaker:
    if ticket.generation == breaker.generation:
        return _TRANSITIONS[breaker.state, outcome](breaker, rules, result)
    floor = result.now + result.retry_after
    if outcome is Outcome.BAD and breaker.state is State.OPEN and floor > max(result.now, breaker.floor):
        return replace(breaker, until=max(breaker.until, floor), floor=floor)
    return breaker


def _moved(breaker: Breaker, state: State) -> Breaker:
    """The same breaker in another state and a new generation, with nothing counted yet."""
    return Breaker(
        state,
        breaker.generation + 1,
        breaker.kind,
        breaker.since,
        breaker.until,
        breaker.floor,
        breaker.window,
    )


def _unchanged(breaker: Breaker, rules: Rules, result: _Result) -> Breaker:
    return breaker


def _counted_good(breaker: Breaker, rules: Rules, result: _Result) -> Breaker:
    recent = (*breaker.recent[1 - _LAST :], (result.now, 0.0))
    return Breaker(generation=breaker.generation, recent=recent)


def _counted_bad(breaker: Breaker, rules: Rules, result: _Result) -> Breaker:
    weight = _WEIGHT[result.kind]
    oldest = result.now - rules.recent
    recent = (*(past for past in breaker.recent if past[0] > oldest), (result.now, weight))[-_LAST:]
    in_a_row = breaker.in_a_row + weight
    often = len(recent) >= _FEWEST and sum(past[1] for past in recent) >= _SHARE * len(recent)
    if in_a_row >= _IN_A_ROW or often or result.kind in _AT_ONCE or result.retry_after:
        return _opened(breaker, rules, result)
    return replace(breaker, in_a_row=in_a_row, recent=recent)


def _opened(breaker: Breaker, rules: Rules, result: _Result) -> Breaker:
    """OPEN: for the first window of this kind, or after HALF_OPEN for twice the last one."""
    first = max(rules.longer.get(result.kind, 0.0), rules.first)
    again = breaker.state is State.HALF_OPEN
    window = min(max(2 * breaker.window, first), max(rules.most, first)) if again else first
    floor = result.now + result.retry_after
    # A server that names its time the first time is taken at its word.
    until = floor if result.retry_after and not again else max(floor, result.now + window * result.jitter)
    return replace(
        _moved(breaker, State.OPEN),
        kind=result.kind,
        since=result.now,
        until=until,
        floor=floor,
        window=window,
    )


def _put_off(breaker: Breaker, rules: Rules, result: _Result) -> Breaker:
    """OPEN for longer, not twice as long: many may have asked at once because nobody else could answer."""
    floor = max(breaker.floor, result.now + result.retry_after)
    until = max(breaker.until, floor, result.now + breaker.window * result.jitter)
    return replace(breaker, kind=result.kind, since=result.now, until=until, floor=floor)


def _better(breaker: Breaker, rules: Rules, result: _Result) -> Breaker:
    """CLOSED after enough successes, until then HALF_OPEN with its permit free for the next probe."""
    successes = breaker.successes + 1
    if successes >= rules.successes:
        return _closed(breaker, rules, result)
    if breaker.state is State.OPEN:
        breaker = _moved(breaker, State.HALF_OPEN)
    return replace(breaker, successes=successes, permit_out=breaker.permit_out and not result.probe)


def _closed(breaker: Breaker, rules: Rules, result: _Result) -> Breaker:
    return Breaker(generation=breaker.generation + 1, recent=((result.now, 0.0),))


def _blocked(breaker: Breaker, rules: Rules, result: _Result) -> Breaker:
    until = result.now + max(rules.key_blocked, result.retry_after)
    return replace(_moved(breaker, State.BLOCKED), kind=result.kind, since=result.now, until=until)


def _blocked_longer(breaker: Breaker, rules: Rules, result: _Result) -> Breaker:
    until = result.now + max(rules.key_blocked, result.retry_after)
    return replace(breaker, kind=result.kind, since=result.now, until=max(breaker.until, until))


def _permit_back(breaker: Breaker, rules: Rules, result: _Result) -> Breaker:
    return replace(breaker, permit_out=False) if result.probe else breaker


_Transition = Callable[[Breaker, Rules, _Result], Breaker]

_TRANSITIONS: Mapping[tuple[State, Outcome], _Transition] = {
    (State.CLOSED, Outcome.GOOD): _counted_good,
    (State.CLOSED, Outcome.BAD): _counted_bad,
    (State.CLOSED, Outcome.REFUSED): _blocked,
    (State.CLOSED, Outcome.NEUTRAL): _unchanged,
    (State.OPEN, Outcome.GOOD): _better,
    (State.OPEN, Outcome.BAD): _put_off,
    (State.OPEN, Outcome.REFUSED): _blocked,
    (State.OPEN, Outcome.NEUTRAL): _unchanged,
    (State.HALF_OPEN, Outcome.GOOD): _better,
    (State.HALF_OPEN, Outcome.BAD): _opened,
    (State.HALF_OPEN, Outcome.REFUSED): _blocked,
    (State.HALF_OPEN, Outcome.NEUTRAL): _permit_back,
    (State.BLOCKED, Outcome.GOOD): _closed,
    (State.BLOCKED, Outcome.BAD): _unchanged,
    (State.BLOCKED, Outcome.REFUSED): _blocked_longer,
    (State.BLOCKED, Outcome.NEUTRAL): _unchanged,
}


def _believed(retry_after: float | None) -> float:
    """A server's wish in seconds, 0 where it makes none: nonsense is no wish, and a day is the most."""
    if retry_after is None or not math.isfinite(retry_after):
        return 0.0
    return min(max(retry_after, 0.0), LONGEST_FLOOR)
