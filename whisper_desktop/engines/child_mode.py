"""llama-server's child mode: how it talks with a program that owns it.

Its router starts one llama-server a model with LLAMA_SERVER_ROUTER_PORT set. Such a child

- says on standard output how much of the model is loaded, which nothing else tells,
- ends when its standard input ends, on every system and however its owner ended,
- ends gracefully on a command on its standard input, which a thread of its own takes. SIGTERM is handled by
  whichever thread it interrupts; where that one holds the lock it needs, the server hangs (in 6 of 14
  tries while it wrote), until a second SIGTERM ends it.

What it does otherwise than without, as its source says and as was tried (llama.cpp of autumn 2026): on
SIGTERM it stops serving and then waits for its standard input, for ever. So it is told by the command to end,
and when it says that it is leaving although nobody here told it, and has stopped listening, it is killed. It
listens to standard input only once the model is loaded; until then SIGTERM ends it.

What it says stands among what it logs, where a model's own words may stand too. So nothing said is believed
that could do harm: being ready decides only how it is asked to end, and leaving has to be seen.

Builds of winter 2025/26 took the variable for the port of a router, and reported to that over HTTP; older
ones do not know it. So the variable is set only for a program that holds the words of this protocol.
"""

import json
import mmap
import re
from functools import lru_cache
from pathlib import Path

VARIABLE = "LLAMA_SERVER_ROUTER_PORT"
VALUE = "0"
"""Only that it is set matters; no router listens anywhere."""

EXIT = b"cmd_router_to_child:exit\n"
STATE = "cmd_child_to_router:state:"
LEAVING = "cleaning up before exit"

_READY = re.compile(re.escape(STATE) + r'\{"state": ?"ready", ?"payload": ?\{')
"""What is told of a ready model may be cut off, but not its first words."""

_LEAVES = re.compile(
    r"\d{1,6}\.\d\d\.\d{3}\.\d{3} I srv {1,16}\S{1,20}: (?:\S{1,20}: )?" + LEAVING + r"\.{3}$"
)


def is_spoken_by(binary: Path) -> bool:
    """Whether this llama-server knows child mode as it is here. Reads the file; call it in a thread.

    False for a build that keeps its server in a library beside the program: it is then run without.
    """
    try:
        stat = binary.stat()
        return _holds_the_words(binary, stat.st_mtime_ns, stat.st_size)
    except OSError:
        return False


@lru_cache(maxsize=16)
def _holds_the_words(binary: Path, _changed: int, size: int) -> bool:
    if not size:
        return False
    with binary.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        words = (STATE.encode(), EXIT.strip(), VARIABLE.encode())
        return all(content.find(word) >= 0 for word in words)


def load_progress(line: str) -> float | None:
    """How much is loaded, from 0 to 1 over all stages, from a line of a child; None for another line."""
    try:
        data = json.loads(line.removeprefix(STATE))
        payload = data["payload"]
        stages, value = payload["stages"], payload["value"]
        stage = stages.index(payload["current"])
        right = data["state"] == "loading" and isinstance(value, (int, float)) and 0 <= value <= 1
        return float((stage + value) / len(stages)) if right else None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def says_ready(line: str) -> bool:
    """Whether a child says in this line that it has loaded its model, and listens from now on."""
    return _READY.match(line) is not None


def says_leaving(line: str) -> bool:
    """Whether this line of the log is the one with which it stops serving, or looks like it."""
    return _LEAVES.match(line) is not None
