"""What we started in other programs and left running, so that this, and nothing else, may be ended later.

One file a program in the run folder. It counts only while the process in it is the one that was started: a
process id alone may belong to somebody else by now.
"""

import contextlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from whisper_desktop.engines.orphans import start_identity
from whisper_desktop.settings.paths import run_dir

Part = Literal["guard", "app", "server"]
"""What of it we started: a guard of ours with all below it, the program itself, or only its server."""

_MOST_BYTES = 4096
_PARTS: tuple[Part, ...] = ("guard", "app", "server")


@dataclass(frozen=True, slots=True)
class Started:
    """A program that runs because of us. `identity` is what `start_identity` gave for `pid`."""

    program: str
    pid: int
    identity: str
    port: int
    parts: tuple[Part, ...]


def remember(program: str, pid: int, port: int, *parts: Part) -> None:
    """Record what was started, besides what we started before in the same process. Raises `OSError`."""
    identity = start_identity(pid)
    if identity is None:
        return
    before = recall(program)
    if before is not None and before.identity == identity:
        parts = tuple(part for part in _PARTS if part in (*before.parts, *parts))
    text = json.dumps(asdict(Started(program, pid, identity, port, parts)))
    path = _file(program)
    fresh = path.with_suffix(".new")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)


def recall(program: str) -> Started | None:
    """What we started of a program and still runs; None where that is nothing."""
    found = _read(_file(program))
    if found is None or found.program != program or start_identity(found.pid) != found.identity:
        return None
    return found


def forget(program: str, *parts: Part) -> None:
    """It has been ended: all of it, or these parts."""
    found = recall(program) if parts else None
    left = tuple(part for part in found.parts if part not in parts) if found else ()
    if found is not None and left:
        _file(program).write_text(json.dumps(asdict(replace(found, parts=left))), encoding="utf-8")
    else:
        _file(program).unlink(missing_ok=True)


def _file(program: str) -> Path:
    return run_dir() / f"program-{program}.json"


def _read(path: Path) -> Started | None:
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
        with path.open("rb") as file:
            data = json.loads(file.read(_MOST_BYTES))
        parts = tuple(part for part in _PARTS if part in data["parts"])
        found = Started(str(data["program"]), data["pid"], str(data["identity"]), data["port"], parts)
        if type(found.pid) is int and found.pid > 1 and type(found.port) is int and found.identity:
            return found
    return None
