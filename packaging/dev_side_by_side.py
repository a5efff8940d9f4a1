"""pytest runs side by side: one line says how far they are; what each has printed is shown when it ends."""

import contextlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from dev_process import Progress, child
from dev_say import duration, say

_LOOK_EVERY_S = 0.1
_STOPPED = 1
_STYLE = re.compile(rb"\x1b\[[\d;]*m")
# `tests/wire/test_sse.py ..F..s [ 12%]`; a long line goes on without the name of the file.
_RESULTS = re.compile(rb"(?:\S+ )?([.sxXFE]+) +\[ *(\d+)%\]")


class Run(NamedTuple):
    """A pytest run: its name, the whole command, its environment, and the seconds that it may take."""

    name: str
    command: Sequence[str]
    env: Mapping[str, str]
    limit_s: float


class Tally:
    """How far a run is, by what it has printed so far."""

    def __init__(self) -> None:
        self._percent = 0
        self._failed = 0

    def read(self, line: bytes) -> None:
        """Takes a line of pytest's output into account."""
        if results := _RESULTS.fullmatch(_STYLE.sub(b"", line).strip()):
            self._percent = int(results[2])
            self._failed += len(re.findall(rb"[FE]", results[1]))

    def __str__(self) -> str:
        return f"{self._percent} %" + (f" ({self._failed} failed)" if self._failed else "")


def side_by_side(runs: Sequence[Run], cwd: Path) -> list[tuple[int, float]]:
    """Runs all of them at the same time; the exit status of each, and the seconds it took.

    One that reaches its time limit is stopped (status 1), and the others go on. When this is interrupted, all
    are stopped, and what they have printed so far is shown.
    """
    progress = Progress(time.monotonic())
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        started = []
        for number, run in enumerate(runs):
            started.append(_Started(run, folder / f"{number}.txt", cwd))
            stack.callback(started[-1].end)
        stack.callback(progress.clear)
        while going_on := [one for one in started if one.code is None]:
            progress.show(", ".join(one.how_far() for one in going_on))
            time.sleep(_LOOK_EVERY_S)
            for one in going_on:
                if one.has_ended() or one.is_late():
                    progress.clear()
                    one.end()
        return [(one.code or 0, one.seconds()) for one in started]


class _Started:
    """A run whose output goes into a file until it ends. `code` is its exit status, None until then."""

    def __init__(self, run: Run, output: Path, cwd: Path) -> None:
        self.code: int | None = None
        self._run = run
        self._output = output
        self._seen = 0
        self._tally = Tally()
        self._began = time.monotonic()
        self._ended: float | None = None
        self._child = contextlib.ExitStack()
        with output.open("wb") as into:
            self._process = self._child.enter_context(
                child(run.command, env=run.env, cwd=cwd, stdout=into, stderr=subprocess.STDOUT)
            )

    def seconds(self) -> float:
        """How long it has taken."""
        return (self._ended or time.monotonic()) - self._began

    def how_far(self) -> str:
        """Its name and how far it is."""
        with self._output.open("rb") as output:
            output.seek(self._seen)
            for line in output:
                if line.endswith(b"\n"):
                    self._tally.read(line)
                    self._seen += len(line)
        return f"{self._run.name} {self._tally}"

    def has_ended(self) -> bool:
        """Whether it has ended by itself."""
        return self._process.poll() is not None

    def is_late(self) -> bool:
        """Whether its time is over."""
        return self.seconds() > self._run.limit_s

    def end(self) -> None:
        """Stops it unless it has ended by itself, and shows what it printed; the second time nothing."""
        if self.code is not None:
            return
        by_itself = self.has_ended()
        self._child.close()
        self._ended = time.monotonic()
        self.code = self._process.returncode if by_itself else _STOPPED
        say(f"\n{self._run.name} ({duration(self.seconds())}):")
        with self._output.open("rb") as output:
            shutil.copyfileobj(output, sys.stdout.buffer)
        sys.stdout.flush()
        if not by_itself:
            say(f"{self._run.name}: stopped after {duration(self.seconds())}.")
