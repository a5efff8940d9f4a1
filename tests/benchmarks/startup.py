"""How long until something happens: import, second start, look around, first answer of the guide.

Each line is the median of interleaved runs, and where there is something to compare with, the ratio to it.
Run it with `python3 packaging/dev.py bench startup` on an idle machine.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
RUNS = 11

PROGRAMS: dict[str, Sequence[str]] = {
    "python that does nothing": [sys.executable, "-c", "pass"],
    "import whisper_desktop": [sys.executable, "-c", "import whisper_desktop"],
    "whisper-desktop --version": [sys.executable, "-m", "whisper_desktop", "--version"],
    "dev.py run -- --version": [sys.executable, "packaging/dev.py", "run", "--", "--version"],
    "detect --json": [sys.executable, "-m", "whisper_desktop", "detect", "--json"],
    "chat --guide: a first answer": [
        *(sys.executable, "-m", "whisper_desktop", "chat", "--guide", "What can you do?")
    ],
    "no display: look around, recommend, answer": [sys.executable, "-m", "whisper_desktop"],
}
COMPARED = (
    ("import whisper_desktop", "python that does nothing"),
    ("dev.py run -- --version", "whisper-desktop --version"),
)


def seconds(command: Sequence[str], home: str) -> float:
    """The wall time of one run, from start to exit code 0."""
    env = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    env["WHISPER_HOME"] = home
    started = time.perf_counter()
    subprocess.run(
        command, cwd=ROOT, env=env, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    return time.perf_counter() - started


def main() -> int:
    """Measure, and print one line each."""
    times: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    with tempfile.TemporaryDirectory() as home:
        for run in range(RUNS + 1):
            for name, command in PROGRAMS.items():
                taken = seconds(command, home)
                if run > 0:  # the first round warms the caches
                    times[name].append(taken)
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, median in medians.items():
        spread = f"{min(times[name]) * 1000:.0f} to {max(times[name]) * 1000:.0f}"
        print(f"{median * 1000:7.0f} ms  {name}   ({spread})")
    for name, base in COMPARED:
        difference = (medians[name] - medians[base]) * 1000
        print(f"{name} adds {difference:.0f} ms to: {base}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
