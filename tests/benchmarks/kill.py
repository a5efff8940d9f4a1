"""What is lost when the program is killed with kill -9 at 200 random moments while answers stream.

Each run writes a conversation of its own, at 500 pieces a second, into a file that the runs before it were
killed over; every twentieth begins a new file. Printed for each: when it was killed, how many pieces it had
put, and what of them is missing afterwards. The promise is at most the last half second, and that everything
before is whole. Run it with `python3 packaging/dev.py bench kill`; takes five minutes.
"""

import asyncio
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

from tests.chat.store.dying import Lost, lost, marks, started

KILLS = 200
EACH_FILE = 20
LATEST = 1.5  # seconds after the first piece
PROMISED = 0.5
OPENING = 0.1  # the share of runs that are killed at any moment from their very start


def main() -> bool:
    """Kill and print; whether the promise was kept every time."""
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else KILLS
    print(" kill      at    pieces put   missing  characters        lost")
    found = [missing for number in range(kills) if (missing := _one(number)) is not None]
    taken = [one.seconds for one in found]
    whole = sum(one.pieces == 0 for one in found)
    print(f"{kills} kills, {kills - len(found)} of them before the first piece; nothing lost in {whole}.")
    print(
        f"Lost: median {statistics.median(taken) * 1000:.0f} ms, most {max(taken) * 1000:.0f} ms "
        f"and {max(one.characters for one in found)} characters (promised: at most {PROMISED * 1000:.0f} ms)."
    )
    return max(taken) <= PROMISED


def _one(number: int) -> Lost | None:
    if number % EACH_FILE == 0:
        _folders.append(tempfile.TemporaryDirectory())
    path = Path(_folders[-1].name) / "conversations.db"
    run = f"run{number}"
    process = started(path, run)
    try:
        begun = time.monotonic()
        anywhere = random.random() < OPENING
        while not anywhere and not marks(path, run):
            time.sleep(0.002)
            assert process.poll() is None
        first = time.monotonic()
        time.sleep(random.uniform(0.0, LATEST))
    finally:
        process.kill()
        killed = time.monotonic()
        process.wait()
    put = len(marks(path, run))
    missing = asyncio.run(lost(path, run, killed))
    at = killed - (begun if anywhere else first)
    print(
        f"{number + 1:5}  {at * 1000:5.0f} ms  {put:10}  {missing.pieces:8}  {missing.characters:10}"
        f"  {missing.seconds * 1000:7.0f} ms" + ("  (any moment)" if anywhere else ""),
        flush=True,
    )
    return missing if put else None


_folders: list[tempfile.TemporaryDirectory[str]] = []

if __name__ == "__main__":
    sys.exit(0 if main() else 1)
