"""What the benchmarks of the chain have in common: the fast server, runs in turns, a table, a verdict.

Kinds that are compared run in the same minutes, in turns, in an order that is shuffled each time: a machine
that is busy for a while then slows all of them.
"""

import gc
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

Do = Callable[[], Awaitable[object]]


@contextmanager
def server() -> Iterator[Mapping[str, str]]:
    """The fast server in a process of its own: the API base of each of its behaviours."""
    command = [sys.executable, "-m", "tests.benchmarks._fast_server"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        ports: dict[str, int] = json.loads(process.stdout.readline())
        try:
            yield {name: f"http://127.0.0.1:{port}/v1" for name, port in ports.items()}
        finally:
            process.communicate()


def peers(*names: str) -> dict[str, Any]:
    """The libraries of these names that are installed; says which are not, and how to get them."""
    # No library shall look for a price list, a proxy or a place to report to while it is being measured.
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    os.environ["LITELLM_LOG"] = "ERROR"
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        del os.environ[name]
    found: dict[str, Any] = {}
    for name in names:
        try:
            found[name] = import_module(name)
        except ModuleNotFoundError:
            continue
    missing = [name for name in names if name not in found]
    if missing:
        print(f"Not compared: {', '.join(missing)}. `.venv/bin/pip install -e '.[bench]'` brings them.")
    return found


async def in_turns(
    kinds: Mapping[str, Do],
    *,
    rounds: int,
    each: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """How many seconds each call of each kind took: `each` calls in a row, in every round but the first."""
    taken: dict[str, list[float]] = {name: [] for name in kinds}
    for turn in range(rounds + 1):
        for name in shuffled(kinds):
            do = kinds[name]
            gc.collect()
            for _ in range(each):
                started = clock()
                await do()
                if turn > 0:  # the first round warms up
                    taken[name].append(clock() - started)
    return taken


def shuffled(names: Mapping[str, object]) -> list[str]:
    """The names in another order each time."""
    order = list(names)
    random.shuffle(order)
    return order


def medians(taken: Mapping[str, list[float]]) -> dict[str, float]:
    """The median of each kind."""
    return {name: statistics.median(values) for name, values in taken.items()}


def table(title: str, values: Mapping[str, float], base: str, *, unit: str = "µs", per: float = 1e6) -> None:
    """One line for each kind: its value, and the ratio to `base`."""
    print(f"\n{title}")
    for name, value in values.items():
        print(f"  {value * per:10.1f} {unit}  {value / values[base]:6.2f} x  {name}")


def verdict(what: str, value: float, *, must: float, aim: float | None = None, unit: str = "x") -> bool:
    """Says whether `value` is at most `must`, and at most `aim`; returns the former."""
    state = "met" if value <= must else "MISSED"
    further = "" if aim is None else f"; aim {aim:g} {unit}: {'met' if value <= aim else 'not yet'}"
    print(f"  {what}: {value:.2f} {unit} (must be at most {must:g} {unit}: {state}{further})")
    return value <= must
