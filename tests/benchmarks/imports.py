"""How long `import whisper_desktop.llm` takes, against `import httpx`, in fresh processes in turns.

Run it with `python3 packaging/dev.py bench imports` on an idle machine.
"""

import statistics
import subprocess
import sys

from tests.benchmarks._measure import ROOT, shuffled, verdict

ROUNDS = 21
OURS, BASE = "whisper_desktop.llm", "httpx"
MODULES = {OURS: "", BASE: "", "whisper_desktop.wire.connections": "the first request loads this"}


def milliseconds(module: str) -> float:
    """How long one import takes in a process that has imported nothing before."""
    program = (
        "import time; started = time.perf_counter()\n"
        f"import {module}\n"
        "print((time.perf_counter() - started) * 1000)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, stdout=subprocess.PIPE)
    return float(done.stdout)


def main() -> bool:
    """Measure, and print a line for each; whether what must be met is met."""
    taken: dict[str, list[float]] = {module: [] for module in MODULES}
    for turn in range(ROUNDS + 1):
        for module in shuffled(MODULES):
            value = milliseconds(module)
            if turn > 0:  # the first round warms the caches
                taken[module].append(value)
    middle = {module: statistics.median(values) for module, values in taken.items()}
    print(f"\nImporting (median of {ROUNDS} fresh processes)")
    for module, value in middle.items():
        print(f"  {value:7.1f} ms  {module}   {MODULES[module]}".rstrip())
    return verdict(f"import {OURS}", middle[OURS], must=150, aim=middle[BASE] + 30, unit="ms")


if __name__ == "__main__":
    sys.exit(not main())
