"""Engines that a crashed run of the app may have left behind: who they are, and ending only those.

Children end with their owner by themselves (see `child`). For the case that one did not, each is recorded
while it lives. A recorded process is ended only if its owner is dead, it started at the recorded moment (a
process id alone may long belong to somebody else), and it carries the recorded nonce.
"""

import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal

from whisper_desktop.errors import SettingsError
from whisper_desktop.settings.paths import run_dir

_RECORD_LIMIT = 4096


@dataclass(frozen=True, slots=True)
class Record:
    """One engine process. `started` and `owner_started` are what `start_identity` gave for the two."""

    engine: str
    pid: int
    started: str
    nonce: str
    owner_pid: int
    owner_started: str


def start_identity(pid: int) -> str | None:
    """A text that no other process with this id shares; None when there is no such process (or a dead one).

    On Linux the boot's id and the kernel's clock ticks: they do not move when the clock is set.
    """
    return _linux_identity(pid) if sys.platform == "linux" else _other_identity(pid)


def _linux_identity(pid: int) -> str | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
    # proc(5): the name in brackets may hold anything, so fields count from its end; 3 is the state,
    # 22 the start time.
    after_name = stat[stat.rindex(")") + 2 :].split()
    return None if after_name[0] in "ZX" else f"{boot}:{after_name[19]}"


def _other_identity(pid: int) -> str | None:
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.6f}"
    except psutil.Error:
        return None


def carries(pid: int, nonce: str) -> bool:
    """Whether the process has the nonce on its command line or else in its environment."""
    import psutil

    try:
        process = psutil.Process(pid)
        return nonce in process.cmdline() or nonce in process.environ().values()
    except (psutil.Error, OSError):
        return False


def decide(
    record: Record,
    identity: Callable[[int], str | None] = start_identity,
    carries: Callable[[int, str], bool] = carries,
) -> Literal["keep", "end", "forget"]:
    """What to do about a recorded process. Pure but for the two questions it asks about processes."""
    if identity(record.pid) != record.started or not record.started:
        return "forget"
    if identity(record.owner_pid) == record.owner_started:
        return "keep"
    return "end" if carries(record.pid, record.nonce) else "forget"


def remember(engine: str, pid: int, nonce: str, folder: Path | None = None) -> Path | None:
    """Record a process that we have just started; None when it has ended or nothing can be written."""
    started, owner_started = start_identity(pid), start_identity(os.getpid())
    if started is None or owner_started is None:
        return None
    record = Record(engine, pid, started, nonce, os.getpid(), owner_started)
    try:
        path = (folder or run_dir()) / f"engine-{nonce}.json"
        with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8") as file:
            json.dump(asdict(record), file)
    except (OSError, SettingsError):
        return None  # a full disk must not keep the engine from running; it is bound to us anyway
    return path


def forget(path: Path | None) -> None:
    """Remove a record: its process has ended."""
    if path is not None:
        path.unlink(missing_ok=True)


def read(path: Path) -> Record | None:
    """A record from its file, or None when it is not one."""
    try:
        with path.open("rb") as file:
            data = json.loads(file.read(_RECORD_LIMIT))
        record = Record(**{field.name: data[field.name] for field in fields(Record)})
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    numbers = (record.pid, record.owner_pid)
    texts = (record.engine, record.started, record.nonce, record.owner_started)
    right = all(type(number) is int and number > 1 for number in numbers)
    return record if right and all(type(text) is str and text for text in texts) else None


def end_orphans(folder: Path | None = None) -> tuple[Record, ...]:
    """End the engines of runs that crashed, and return them. Blocks for a moment; call it in a thread."""
    ended = []
    for path in (folder or run_dir()).glob("engine-*.json"):
        record = read(path)
        verdict = "forget" if record is None else decide(record)
        if verdict == "keep":
            continue
        if record is not None and verdict == "end":
            _end(record.pid)
            ended.append(record)
        forget(path)
    return tuple(ended)


def _end(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if sys.platform == "win32":
            os.kill(pid, signal.SIGTERM)  # TerminateProcess
        elif os.getpgid(pid) == pid:
            os.killpg(pid, signal.SIGKILL)
        else:
            os.kill(pid, signal.SIGKILL)
