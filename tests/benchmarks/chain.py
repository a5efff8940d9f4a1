"""All benchmarks of the chain one after the other: imports, request, chunks, throughput, failover, cancel.

It ends with what was missed. Run it with `python3 packaging/dev.py bench chain` on an idle machine; it takes
some minutes.
"""

import subprocess
import sys
import time

from tests.benchmarks._measure import ROOT

PROGRAMS = ("imports", "request", "chunks", "throughput", "failover", "cancel")


def main() -> int:
    """Each in a process of its own; 1 when one of them missed what must be met."""
    started = time.perf_counter()
    missed = []
    for name in PROGRAMS:
        print(f"\n=== {name} ===", flush=True)
        if subprocess.run([sys.executable, "-m", f"tests.benchmarks.{name}"], cwd=ROOT).returncode:
            missed.append(name)
    said = f"Missed in: {', '.join(missed)}." if missed else "Everything that must be met is met."
    print(f"\n{said} ({time.perf_counter() - started:.0f} s)")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
