"""When an engine that nobody uses gives its memory back. The next question wakes it.

Never while a lease is held. With memory short or on battery it sleeps sooner, but not between two messages of
a conversation: `RestPolicy.pause` after the last one. Pressure that goes on does not make it flap either: the
question that woke it begins a new pause.

Only the computer's own memory is judged: nobody tells how short another program finds a graphics card's.
"""

from dataclasses import dataclass

from whisper_desktop.language import tr
from whisper_desktop.machine.pressure import Pressure

# What counts as memory being short. Stalls alone may come from one program's own limit, or from a slow disk,
# and a nearly full memory without stalls is what a well used computer looks like: so the kernel's figure
# decides where there is one, and fullness alone only at a level where the next program will stall.

_STALLED = 0.1
"""The share of ten seconds in which some program waited for memory. GLib's memory monitor asks programs to
drop their caches at 0.05 of two seconds, systemd-oomd kills at 0.6 of thirty: to sleep lies between the two.
"""

_FULL = 0.05
"""The share of memory left at which it is short, whatever the stalls."""

_FULL_UNTOLD = 0.1
"""The same where nobody tells of stalls; earlyoom begins to end programs at this one."""

_HELPS = 0.5
"""The engine is worth ending where it holds at least this share of what is still available."""


@dataclass(frozen=True, slots=True)
class RestPolicy:
    """When to sleep: after `idle` seconds without a question (None: never for that), or after `pause` seconds
    while memory is short, or while the computer runs on its battery.

    The pause is the time to read an answer of 400 words (240 a minute) and to think of the next question. To
    keep a model for that long costs next to nothing; to load it again for every message reads all of it from
    the disk, which is what a computer short of memory, or of power, can least afford.
    """

    idle: float | None = None
    under_pressure: bool = False
    on_battery: bool = False
    pause: float = 120.0


@dataclass(frozen=True, slots=True)
class Signs:
    """What decides. `idle_for` is seconds since the last lease ended, or since the start; `engine_bytes` is
    what the engine has resident. `pressure` may be None where nothing was measured.
    """

    idle_for: float
    leases: int
    pressure: Pressure | None = None
    engine_bytes: int | None = None


def needs_pressure(policy: RestPolicy, idle_for: float, leases: int) -> bool:
    """Whether a measurement could decide anything now, so that it is worth making."""
    return (policy.under_pressure or policy.on_battery) and leases == 0 and idle_for >= policy.pause


def why_rest(policy: RestPolicy, signs: Signs) -> str | None:
    """Why the engine should sleep now, as a sentence for its status; None when it should not."""
    if signs.leases > 0:
        return None
    if policy.idle is not None and signs.idle_for >= policy.idle:
        return tr("It sleeps: nobody asked for {span}.", span=_span(policy.idle))
    if signs.pressure is None or not needs_pressure(policy, signs.idle_for, signs.leases):
        return None
    if policy.under_pressure and _short(signs.pressure) and _helps(signs):
        return tr("It sleeps: memory was short, and nobody was asking.")
    if policy.on_battery and signs.pressure.on_battery:
        return tr("It sleeps: the computer runs on its battery, and nobody was asking.")
    return None


def _short(pressure: Pressure) -> bool:
    if pressure.short is not None:
        return pressure.short
    if pressure.total_bytes <= 0:
        return False
    left = pressure.available_bytes / pressure.total_bytes
    if pressure.stalled is None:
        return left < _FULL_UNTOLD
    return pressure.stalled >= _STALLED or left < _FULL


def _helps(signs: Signs) -> bool:
    if signs.pressure is None or signs.engine_bytes is None:
        return False
    return signs.engine_bytes >= _HELPS * signs.pressure.available_bytes


def _span(seconds: float) -> str:
    if seconds < 60:
        return tr("1 second") if seconds == 1 else tr("{seconds:g} seconds", seconds=seconds)
    minutes = seconds / 60
    return tr("1 minute") if minutes == 1 else tr("{minutes:g} minutes", minutes=minutes)
