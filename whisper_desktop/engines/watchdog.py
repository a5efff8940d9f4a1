"""Whether an engine is stuck: its process lives, and nothing comes of it.

Whoever owns the engine does this every `Deadlines.engine_watch` seconds while it is READY:

    verdict = watchdog.see(await look(http, address, pid, leases=leases, deadlines=deadlines))

and before a question is let in, `if watchdog.must_probe(slept(), leases)`: the same as a verdict PROBE. To
probe is to ask for one token; it counts as a lease while it runs, so that its slot is not taken for a
forgotten one. Then `watchdog.probed(passed)` gives the next verdict: FINE, PROBE once more, or STUCK.

What is STUCK, by the times of `Deadlines`:

    engine_hang        no progress, and hardly any CPU time is used: a dead graphics driver, a deadlock, a
                       stopped process
    engine_hang_busy   no progress, but it computes: one batch of a long prompt may take minutes
    engine_slot_free   everybody has left, and a slot stays busy without computing, or goes on writing

Where a card, or another computer, computes, hardly any CPU time is used while a batch is under way: there, a
slot that stays busy has `engine_hang` to be let go. To end the engine costs another load; the slot costs the
next question its turn, and all it has to do is to wait for that batch.

Progress is a change of any slot's task or counters: slots share one loop, and one may rightly wait for the
others. An engine that does not tell of its slots makes none: one that has nothing to do tells at once. A slot
that computes after everybody left is not forgotten: llama.cpp hears of it only between two batches, and tells
of its slots meanwhile.

Time in which nobody looked, because our own loop was busy or the computer slept, is not the engine's: a late
look moves every deadline back by as much.
"""

import asyncio
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

from whisper_desktop.engines.process import usage_of
from whisper_desktop.engines.readiness import authorization
from whisper_desktop.engines.spec import EngineAddress
from whisper_desktop.errors import BackendError
from whisper_desktop.language import mark, tr
from whisper_desktop.values import Deadlines, ErrorKind, Reach
from whisper_desktop.wire.replies import parse_json

if TYPE_CHECKING:
    from whisper_desktop.wire.http import Http

# --- What is seen -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SlotLook:
    """One slot of the engine. `done` are counters that change with every batch that was computed; empty where
    this build does not count what the slot is doing.
    """

    id: int
    busy: bool
    task: int | None
    done: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Look:
    """What an engine showed at one moment. `at` is monotonic seconds, when the look ended.

    `slots` is None where it did not answer in time, and empty where it answers but tells nothing about its
    slots (switched off, an unknown shape): then nothing can be judged. `cpu_seconds` and `memory_bytes`
    (resident) are of the process and all it started, None when it is gone. `leases` are those held now.
    `slept` is `slept()`.
    """

    at: float
    slots: tuple[SlotLook, ...] | None
    cpu_seconds: float | None
    memory_bytes: int | None
    leases: int
    slept: float

    @property
    def busy(self) -> tuple[SlotLook, ...]:
        """The slots that work on something, as far as it told."""
        return _busy(self.slots or ())


class Action(Enum):
    """What the owner of the engine should do."""

    FINE = "fine"
    STUCK = "stuck"
    """End it and start it again."""
    PROBE = "probe"
    """Ask it for one token before the next question, and tell `Watchdog.probed`."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do, and for STUCK a sentence for a person that says why."""

    action: Action = Action.FINE
    why: str = ""


FINE = Verdict()
PROBE = Verdict(Action.PROBE)


def _stuck(why: str) -> Verdict:
    return Verdict(Action.STUCK, why)


# --- What it means ----------------------------------------------------------------------------------------

_COMPUTES = 0.05
"""The share of one core that a process uses at least while it computes. An idle llama-server that is asked
for its slots every two seconds uses 0.0002 (measured); one that computes uses whole cores, or, where the work
is a graphics card's, what it takes to feed it (not measured).
"""

_PUNCTUAL = 3.0
"""A look follows the one before within this many times `engine_watch`: the wait between them, the wait for an
answer that does not come, and as much for everything else.
"""

_WOKE_UP = mark("since the computer woke up")
_ASLEEP = 0.5
"""A sleep of the computer that counts, in seconds; less is two clocks not read at the same moment."""

_PROBES = 2
"""How many probes in a row must fail: the first one after a sleep may be slow for the disk's sake."""


@dataclass(frozen=True, slots=True)
class _Effort:
    """When the process last crossed a mark of CPU time. Marks lie where they lie, whoever looks how often."""

    mark: int | None
    at: float

    def after(self, look: Look, within: float) -> "_Effort":
        """`within` is the time in which a process that computes crosses a mark."""
        if look.cpu_seconds is None:
            return self
        mark = int(look.cpu_seconds / (_COMPUTES * within))
        return self if mark == self.mark else _Effort(mark, look.at)


@dataclass(frozen=True, slots=True)
class _Left:
    """A slot that is busy although nobody waits: how often it moved on all the same, and since when.

    `since` is when it was first found so; from its first move on, that. To move once is allowed: the next
    batch may begin before the engine hears that nobody waits.
    """

    slot: SlotLook
    since: float
    moves: int = 0


@dataclass(frozen=True, slots=True)
class Seen:
    """What the looks so far amount to. All times are monotonic seconds.

    `progress` is the last sign of it, or of nothing to do. `effort` and `short_effort` tell when it last
    computed, as measured over `engine_hang` and `engine_slot_free`. `slots` are what it told last.
    """

    at: float
    progress: float
    effort: _Effort
    short_effort: _Effort
    slots: tuple[SlotLook, ...] = ()
    left: tuple[_Left, ...] = ()

    @classmethod
    def first(cls, at: float) -> "Seen":
        """Before any look."""
        return cls(at, at, _Effort(None, at), _Effort(None, at))

    def later(self, seconds: float) -> "Seen":
        """The same, as if it had been `seconds` later; slots that are left busy begin anew."""
        effort = replace(self.effort, at=self.effort.at + seconds)
        return replace(self, progress=self.progress + seconds, effort=effort, left=())


def judge(seen: Seen, look: Look, deadlines: Deadlines, *, offloaded: bool) -> tuple[Seen, Verdict]:
    """What the next look means after those before it; `Seen` is for the one after it.

    `offloaded`: a card, or another computer, may do the work.
    """
    late = look.at - seen.at - _PUNCTUAL * deadlines.engine_watch
    if late > 0:
        seen = seen.later(late)
    told = seen.slots if look.slots is None else look.slots
    moved = look.slots is not None and (not look.busy or look.busy != _busy(seen.slots))
    now = Seen(
        at=look.at,
        progress=look.at if moved else seen.progress,
        effort=seen.effort.after(look, deadlines.engine_hang),
        short_effort=seen.short_effort.after(look, deadlines.engine_slot_free),
        slots=told,
        left=tuple(_left(seen, slot, look) for slot in look.busy) if look.leases == 0 else (),
    )
    return now, _verdict(now, look, deadlines, offloaded=offloaded)


def _verdict(now: Seen, look: Look, deadlines: Deadlines, *, offloaded: bool) -> Verdict:
    patience = deadlines.engine_hang if offloaded else deadlines.engine_slot_free
    for one in now.left:
        if one.moves > 1 and look.at - one.since >= deadlines.engine_slot_free:
            return _stuck(tr("It goes on with an answer that nobody waits for."))
        if look.at - max(one.since, now.short_effort.at) >= patience:
            return _stuck(tr("It does not let go of an answer that nobody waits for."))
    quiet, idle = look.at - now.progress, look.at - now.effort.at
    if min(quiet, idle) >= deadlines.engine_hang:
        if look.slots is None:
            return _stuck(tr("It no longer answers, and it computes nothing."))
        return _stuck(tr("It stopped in the middle of an answer, and it computes nothing."))
    uncounted = any(not slot.done for slot in _busy(now.slots))
    if quiet >= deadlines.engine_hang_busy and not uncounted:
        return _stuck(tr("It computes, but gets no further with its answer."))
    return FINE


def _busy(slots: tuple[SlotLook, ...]) -> tuple[SlotLook, ...]:
    return tuple(slot for slot in slots if slot.busy)


def _left(seen: Seen, slot: SlotLook, look: Look) -> _Left:
    before = next((one for one in seen.left if _same_task(one.slot, slot)), None)
    if before is None:
        return _Left(slot, look.at)
    if before.slot.done == slot.done:
        return before
    return _Left(slot, before.since if before.moves else look.at, before.moves + 1)


def _same_task(one: SlotLook, other: SlotLook) -> bool:
    return (one.id, one.task) == (other.id, other.task)


class Watchdog:
    """Judges the looks at one start of an engine; a new start gets a new one. Never waits, never does.

    `asleep` is `slept()` when the engine was proved to be ready: now, by default. `offloaded`: a card, or
    another computer, may do its work.
    """

    def __init__(self, deadlines: Deadlines, *, asleep: float | None = None, offloaded: bool = False) -> None:
        self._deadlines = deadlines
        self._offloaded = offloaded
        self._asleep = slept() if asleep is None else asleep
        self._seen: Seen | None = None
        self._unproved = False
        self._failed = 0
        self._since = tr(_WOKE_UP)

    def see(self, look: Look) -> Verdict:
        """Take the next look, in the order in which they were made."""
        before = self._seen or Seen.first(look.at)
        self._seen, verdict = judge(before, look, self._deadlines, offloaded=self._offloaded)
        if any(
            _same_task(old, new) and old.done != new.done for old in _busy(before.slots) for new in look.busy
        ):
            self._unproved = False  # as good as a probe; a sleep since then shows in the next line
        must_probe = self.must_probe(look.slept, look.leases)
        if verdict.action is Action.FINE and must_probe and not look.busy:
            return PROBE
        return verdict

    def must_probe(self, asleep: float, leases: int) -> bool:
        """Whether the computer slept, or there was doubt, since the last proof of life, and no answer under
        way may give another.

        `asleep` is `slept()` now.
        """
        if asleep - self._asleep > _ASLEEP:
            self._unproved, self._failed, self._since = True, 0, tr(_WOKE_UP)
        self._asleep = max(asleep, self._asleep)
        return self._unproved and leases == 0

    def doubt(self) -> None:
        """A question has failed inside it: it must prove itself before the next one."""
        self._unproved, self._failed, self._since = True, 0, tr("since a question failed inside it")

    def probed(self, passed: bool) -> Verdict:
        """Tell how a probe ended: FINE, PROBE again after the first failure, STUCK after the second."""
        self._failed = 0 if passed else self._failed + 1
        self._unproved = not passed
        if passed:
            return FINE
        if self._failed < _PROBES:
            return PROBE
        return _stuck(tr("It no longer answers {since}.", since=self._since))


# --- Looking ----------------------------------------------------------------------------------------------

_LARGEST_ANSWER = 1_000_000
"""Bytes. A slot takes 1.5 kB, in older builds its prompt besides."""

_MOST_SLOTS = 1024

_SILENT = frozenset(
    {
        ErrorKind.CONNECT_REFUSED,
        ErrorKind.CONNECT_TIMEOUT,
        ErrorKind.CLOSED_EARLY,
        ErrorKind.STREAM_CUT,
        ErrorKind.TOTAL_TIMEOUT,
    }
)


def slept() -> float:
    """For how many seconds this computer has been asleep, counted from an arbitrary moment.

    It is the difference of two clocks that nobody can set, one of which stands still in a sleep. Only Linux
    has been tried. On another system the wall clock stands in: to set it costs a probe.
    """
    if sys.platform == "linux":
        return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)
    elif sys.platform == "darwin":  # noqa: RET505 - mypy skips the branches of other systems only as branches
        # Python's monotonic clock is mach_absolute_time, which stands still; clock_gettime(3) runs on.
        return time.clock_gettime(time.CLOCK_MONOTONIC) - time.monotonic()
    elif sys.platform == "win32":
        # Python's monotonic clock runs on, this one stands still. It counts in units of 100 ns.
        import ctypes

        awake = ctypes.c_ulonglong()
        ctypes.windll.kernel32.QueryUnbiasedInterruptTime(ctypes.byref(awake))
        return time.monotonic() - awake.value / 1e7
    else:
        return time.time() - time.monotonic()


async def look(http: "Http", address: EngineAddress, pid: int, *, leases: int, deadlines: Deadlines) -> Look:
    """Look at the engine. Waits `Deadlines.engine_watch` for its answer; never raises for what it answers."""
    slots = await _ask(http, address, deadlines.engine_watch)
    usage = await asyncio.to_thread(usage_of, pid)
    cpu, memory = (usage.cpu_seconds, usage.memory_bytes) if usage is not None else (None, None)
    return Look(time.monotonic(), slots, cpu, memory, leases, slept())


async def _ask(http: "Http", address: EngineAddress, limit: float) -> tuple[SlotLook, ...] | None:
    try:
        reply = await http.request(
            "GET",
            f"{address.url}/slots",
            allowed=Reach.THIS_MACHINE,
            headers=authorization(address),
            total=limit,
            max_bytes=_LARGEST_ANSWER,
        )
        return read_slots(parse_json(reply.body)) if reply.status == 200 else ()
    except BackendError as error:
        return None if error.kind in _SILENT else ()


def read_slots(answer: object) -> tuple[SlotLook, ...]:
    """The slots in an answer to GET /slots; whatever is not one is left out.

    The first builds that had it told `state` and `task_id`, later ones tell `is_processing` and `id_task`.
    What a slot has written is counted in `next_token`, once an object, now a list of one; what it has read
    of its prompt is counted by newer builds only.
    """
    entries = answer[:_MOST_SLOTS] if isinstance(answer, list) else []
    found = (_slot(entry) for entry in entries if isinstance(entry, dict))
    return tuple(slot for slot in found if slot is not None)


def _slot(entry: Mapping[str, object]) -> SlotLook | None:
    number, busy = _number(entry, "id"), entry.get("is_processing", entry.get("state"))
    if number is None or not isinstance(busy, int):
        return None
    task = _number(entry, "id_task")
    following = entry.get("next_token")
    if isinstance(following, list):
        following = following[0] if following else None
    written = _number(following, "n_decoded") if isinstance(following, dict) else None
    prompt = [_number(entry, name) for name in ("n_prompt_tokens", "n_prompt_tokens_processed")]
    done = tuple(count for count in (*prompt, written) if count is not None)
    counted = written or prompt != [None, None]
    return SlotLook(
        number, bool(busy), _number(entry, "task_id") if task is None else task, done if counted else ()
    )


def _number(entry: Mapping[str, object], name: str) -> int | None:
    value = entry.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
