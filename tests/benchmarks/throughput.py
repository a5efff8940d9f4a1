"""How many requests a second: ours against plain httpx and httpx2, with 1, 16 and 64 at once.

`LLMClient` always streams. What must be met compares that with requests that do not, which cost less; what
the others need for the same streamed answer stands beside it.

Run it with `python3 packaging/dev.py bench throughput` on an idle machine.
"""

import asyncio
import statistics
import sys
import time
from contextlib import AsyncExitStack

import httpx

from tests.benchmarks._clients import Requests, Streams
from tests.benchmarks._measure import Do, peers, server, shuffled

AT_ONCE = (1, 16, 64)
REQUESTS = 640
ROUNDS = 5
BASE = "plain httpx, JSON"
OURS = ("ours: Http.request, JSON", "ours: LLMClient.chat_completion, streamed")


async def main() -> bool:
    """Measure, and print a line for each; whether what must be met is met."""
    found = peers("httpx2")
    met = True
    with server() as api_bases:
        async with AsyncExitStack() as stack:
            requests = Requests(stack, api_bases["good"])
            streams = Streams(stack, api_bases["good"], "m")
            kinds = {}
            for name, library in {"plain httpx": httpx, **found}.items():
                kinds[f"{name}, JSON"] = await requests.httpx(library)
                kinds[f"{name}, streamed"] = await streams.httpx(library)
            kinds |= dict(zip(OURS, (await requests.http(), await requests.chain()), strict=True))
            for at_once in AT_ONCE:
                rates = await _rates(kinds, at_once)
                print(f"\nRequests a second, {at_once} at once (median of {ROUNDS} x {REQUESTS})")
                for name, rate in rates.items():
                    print(f"  {rate:8,.0f}  {rate / rates[BASE]:6.2f} x  {name}")
                for ours in OURS:
                    above = all(rates[ours] > rate for name, rate in rates.items() if name not in OURS)
                    print(f"  {ours}: above each of the others: {'met' if above else 'MISSED'}")
                    met = met and above
                    if at_once == AT_ONCE[-1]:
                        twice = rates[ours] >= 2 * rates[BASE]
                        print(f"  {ours}: aim 2 x httpx: {'met' if twice else 'not yet'}")
    return met


async def _rates(kinds: dict[str, Do], at_once: int) -> dict[str, float]:
    rates: dict[str, list[float]] = {name: [] for name in kinds}
    for turn in range(ROUNDS + 1):
        for name in shuffled(kinds):
            rate = await _rate(kinds[name], at_once)
            if turn > 0:  # the first round warms up
                rates[name].append(rate)
    return {name: statistics.median(values) for name, values in rates.items()}


async def _rate(do: Do, at_once: int) -> float:
    async def worker() -> None:
        for _ in range(REQUESTS // at_once):
            await do()

    started = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(at_once)))
    return REQUESTS / (time.perf_counter() - started)


if __name__ == "__main__":
    sys.exit(not asyncio.run(main()))
