"""Child processes of dev.py: each with a deadline, none left behind, output shown only when it matters."""

import collections
import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dev_say import Trouble, duration, say

_POSIX = os.name == "posix"
_KEPT_LINES = 400
_NEWS_EVERY_S = 20.0
_LOOK_EVERY_S = 0.1
_LINE_EVERY_S = 1.0
_END_WITHIN_S = 10.0
_LAST_WORDS_S = 1.0


class Ended(NamedTuple):
    """How a child ended: its exit status, the last lines it wrote, and how long it took."""

    code: int
    lines: list[str]
    seconds: float

    def tail(self, count: int = 15) -> str:
        """The last lines, indented, for showing above a sentence that says what to do."""
        shown = [line for line in self.lines if line.strip()][-count:]
        return "\n".join(f"    {line}" for line in shown)


def quiet(
    command: Sequence[str | Path],
    *,
    limit_s: float,
    doing: str = "",
    step: Callable[[str], str | None] = lambda line: None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    keep: int | None = _KEPT_LINES,
) -> Ended:
    """Runs `command` and keeps the last `keep` lines of its output (None: all).

    `doing` says what is being done, and `step` may say it anew from a line of the output (None: nothing new).
    On a terminal it stands on one line that is rewritten, elsewhere a line appears now and then.
    Raises Trouble when the program is missing or has not ended after `limit_s` seconds.
    """
    started = time.monotonic()
    kept: collections.deque[str] = collections.deque(maxlen=keep)
    arrived: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    progress = Progress(started, doing)
    streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    text: dict[str, Any] = {"text": True, "encoding": "utf-8", "errors": "replace"}
    with child(command, env=env, cwd=cwd, **streams, **text) as process:
        output = process.stdout
        assert output is not None  # stdout=PIPE

        def read() -> None:
            with output:
                for line in output:
                    arrived.put(line.rstrip("\n"))
            arrived.put(None)

        # A thread, because a pipe cannot be read with a deadline on every system.
        threading.Thread(target=read, daemon=True).start()
        give_up = started + limit_s
        more = True
        while more or process.poll() is None:
            if time.monotonic() > give_up:
                progress.clear()
                if process.poll() is not None:  # only a grandchild is left, holding the pipe open
                    break
                raise Trouble(f"{_name(command)} has not ended after {duration(limit_s)} and was stopped.")
            if process.poll() is not None:
                give_up = min(give_up, time.monotonic() + _LAST_WORDS_S)
            try:
                line = arrived.get(timeout=_LOOK_EVERY_S)
            except queue.Empty:
                progress.show()
                continue
            if line is None:
                more = False
                continue
            kept.append(line)
            progress.show(step(line))
        progress.clear()
    return Ended(process.returncode, list(kept), time.monotonic() - started)


def attached(
    command: Sequence[str | Path],
    *,
    limit_s: float,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> int:
    """Runs `command` with our own standard output and error; returns its exit status.

    One that is still there after `limit_s` seconds is stopped, with all it started, and Trouble is raised.
    """
    with child(command, env=env, cwd=cwd) as process:
        try:
            return process.wait(timeout=limit_s)
        except subprocess.TimeoutExpired:
            raise Trouble(
                f"{_name(command)} has not ended after {duration(limit_s)} and was stopped."
            ) from None


@contextlib.contextmanager
def child(
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    **options: Any,
) -> Iterator["subprocess.Popen[str]"]:
    """A child in a process group of its own; when the block ends, whichever way, the whole group is gone."""
    try:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            env=None if env is None else dict(env),
            cwd=cwd,
            start_new_session=_POSIX,
            **options,
        )
    except OSError as error:
        raise Trouble(f"{_name(command)} cannot be started: {error.strerror}.") from error
    try:
        yield process
    finally:
        _end(process)


def _end(process: "subprocess.Popen[str]") -> None:
    if not _POSIX:  # not run: written for Windows, tried on Linux only
        if process.poll() is None:
            process.kill()
            process.wait(timeout=_END_WITHIN_S)
        return
    # First SIGINT: Python programs (pip, pytest) clean up on it.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            break
        _signal_group(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=_END_WITHIN_S)
    _signal_group(process.pid, signal.SIGKILL)  # what the child itself has left behind


def _signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


class Progress:
    """The one line that says what is being done and for how long."""

    def __init__(self, started: float, doing: str = "") -> None:
        self._started = started
        self._terminal = sys.stderr.isatty()
        self._last = started
        self._step = doing

    def show(self, step: str | None = None) -> None:
        self._step = step or self._step
        now = time.monotonic()
        if not self._step or now - self._last < (_LINE_EVERY_S if self._terminal else _NEWS_EVERY_S):
            return
        self._last = now
        text = f"  {duration(now - self._started)}: {self._step}"
        if self._terminal:
            width = os.get_terminal_size(sys.stderr.fileno()).columns or 80
            sys.stderr.write("\r\x1b[2K" + text[: width - 1])
            sys.stderr.flush()
        else:
            say(text)

    def clear(self) -> None:
        if self._terminal:
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()


def _name(command: Sequence[str | Path]) -> str:
    return Path(command[0]).name
