"""After 15,000 requests that were cancelled early: does a pool of ten still answer, and what is left open?

Run it with `python3 packaging/dev.py bench cancel`.
"""

import asyncio
import os
import random
import sys
import time
from contextlib import AsyncExitStack, suppress

import httpx

from tests.benchmarks._clients import QUESTION, backend, body, own_http
from tests.benchmarks._measure import Do, server
from whisper_desktop.llm import LLMClient
from whisper_desktop.llm.shared import Shared

CANCELLED = 15_000
SLOTS = 10
AT_ONCE = 20
MOST_TURNS = 12  # of the event loop, from the start of a request to its end before the answer
LATER = 10
PATIENCE_S = 2.0


async def main() -> bool:
    """Measure, and print what is left; whether what must be met is met."""
    with server() as api_bases:
        async with AsyncExitStack() as stack:
            http = own_http(stack)
            shared = Shared(at_once=SLOTS)
            client = LLMClient([backend(http, api_bases["good"])], shared=shared)
            tasks, files = len(asyncio.all_tasks()), _open_files()
            print(f"\n{CANCELLED:,} requests, {AT_ONCE} at once, on {SLOTS} slots, each cancelled early")
            answered = await _churn("ours: LLMClient", lambda: client.chat_completion(QUESTION))
            await http.refresh()
            await asyncio.sleep(0)  # a socket closes at the end of the loop's turn
            left = {
                "requests under way": http.under_way,
                "sockets": http.open_sockets,
                "slots taken": shared.limiter.active,
                "waiting for a slot": shared.limiter.waiting,
                "tasks": len(asyncio.all_tasks()) - tasks,
                "open files": _open_files() - files,
            }
            print("  left: " + ", ".join(f"{count} {what}" for what, count in left.items()))
        await _httpx(f"{api_bases['good']}/chat/completions")
    met = answered == LATER and not any(left.values())
    print(f"  must: {LATER} of {LATER} later requests answered, nothing left: {'met' if met else 'MISSED'}")
    return met


async def _httpx(url: str) -> None:
    limits = httpx.Limits(max_connections=SLOTS)
    async with httpx.AsyncClient(trust_env=False, limits=limits, timeout=PATIENCE_S) as client:
        await _churn("plain httpx", lambda: client.post(url, json=body("m", stream=False)))


async def _churn(name: str, do: Do) -> int:
    started = time.perf_counter()

    async def worker() -> None:
        for _ in range(CANCELLED // AT_ONCE):
            task = asyncio.ensure_future(do())
            for _ in range(random.randrange(MOST_TURNS)):
                await asyncio.sleep(0)
            task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await task

    async def later() -> bool:
        try:
            async with asyncio.timeout(PATIENCE_S):
                await do()
        except Exception:
            return False
        return True

    await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
    taken = time.perf_counter() - started
    answered = sum(await asyncio.gather(*(later() for _ in range(LATER))))
    print(f"  {answered:2} of {LATER} later requests answered: {name} ({taken:.1f} s of cancelling)")
    return answered


def _open_files() -> int:
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


if __name__ == "__main__":
    sys.exit(not asyncio.run(main()))
