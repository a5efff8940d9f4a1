"""What is known about the end of an engine's process, gathered for `diagnosis`."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Evidence:
    """The end of one process. Sizes are bytes; None is unknown.

    `code` is the exit code (negative: that signal), None for a process that hung and still ran. `lines` is
    what it printed since its start. `ready` says whether it had ever answered. `peak_bytes` is the most
    memory it was seen to have, `available_bytes` what the computer had free when it ended, `oom_kills` how
    many processes the kernel ended for lack of memory meanwhile (in our own control group where it counts).
    """

    code: int | None
    lines: Sequence[str]
    port: int | None = None
    ready: bool = False
    peak_bytes: int | None = None
    available_bytes: int | None = None
    oom_kills: int | None = None
