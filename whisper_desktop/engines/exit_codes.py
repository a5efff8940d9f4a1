"""What the way a process ended says by itself: exit codes, signals, Windows status values. Pure."""

import enum
import signal
from dataclasses import dataclass

from whisper_desktop.language import tr


class Way(enum.Enum):
    """How a process came to its end."""

    HUNG = "hung"
    """It did not: it still ran."""
    ASKED = "asked"
    """Told to stop; llama-server and the built-in engine then end with 0."""
    KILLED = "killed"
    """By a signal that cannot be caught, and that no program sends to itself."""
    LIMITED = "limited"
    """It used up the processor time that it was allowed."""
    ILLEGAL = "illegal"
    """An instruction that this processor does not have."""
    PAGE_LOST = "page lost"
    """A file that was mapped into its memory could not be read any more."""
    NO_MEMORY = "no memory"
    """Windows refused it memory."""
    NO_LIBRARY = "no library"
    """Windows did not find a library of it, or not what it needs inside."""
    OTHER_SYSTEM = "other system"
    """A program for another processor or system."""
    CRASHED = "crashed"
    """By a mistake of its own, an abort included."""
    ENDED = "ended"
    """By itself, with an exit code."""


@dataclass(frozen=True, slots=True)
class End:
    """A way, and what the system calls it: "SIGSEGV", "exit code 3", "status C0000005"."""

    way: Way
    name: str


_SIGNALS = {
    "SIGKILL": Way.KILLED,
    "SIGTERM": Way.ASKED,
    "SIGINT": Way.ASKED,
    "SIGHUP": Way.ASKED,
    "SIGQUIT": Way.ASKED,
    "SIGUSR1": Way.ASKED,
    "SIGUSR2": Way.ASKED,
    "SIGXCPU": Way.LIMITED,
    "SIGILL": Way.ILLEGAL,
    "SIGBUS": Way.PAGE_LOST,
}

# https://learn.microsoft.com/openspecs/windows_protocols/ms-erref (NTSTATUS); 0xC06D007x is the delay loader
# of Visual C++. 0xC0000409 is what abort() of the universal C runtime ends with, not only a broken stack.
_STATUSES = {
    0x40010004: Way.ASKED,  # the session ends, or a debugger
    0xC000013A: Way.ASKED,  # Ctrl-C, or its console was closed
    0xC0000006: Way.PAGE_LOST,
    0xC0000017: Way.NO_MEMORY,
    0xC000012D: Way.NO_MEMORY,  # the paging file is too small
    0xC000001D: Way.ILLEGAL,
    0xC000007B: Way.OTHER_SYSTEM,
    0xC0000135: Way.NO_LIBRARY,
    0xC0000138: Way.NO_LIBRARY,
    0xC0000139: Way.NO_LIBRARY,
    0xC0000142: Way.NO_LIBRARY,
    0xC06D007E: Way.NO_LIBRARY,
    0xC06D007F: Way.NO_LIBRARY,
}
_MOST_SIGNALS = 64
_FAILURE = 0x40000000
"""From here on an exit code is a Windows status value."""


def end_of(code: int | None) -> End:
    """What an exit code says: negative, or above 128 (a shell's way to say it), it is a signal."""
    if code is None:
        return End(Way.HUNG, "")
    if code == 0:
        return End(Way.ASKED, tr("exit code 0"))
    if code < -_MOST_SIGNALS or code >= _FAILURE:
        status = code & 0xFFFFFFFF  # some report it with a sign, or stretched to 64 bits
        return End(_STATUSES.get(status, Way.CRASHED), tr("status {status:X}", status=status))
    number = -code if code < 0 else code - 128 if code > 128 else 0
    try:
        name = signal.Signals(number).name
    except ValueError:
        return End(Way.ENDED, tr("exit code {code}", code=code))
    return End(_SIGNALS.get(name, Way.CRASHED), name)
