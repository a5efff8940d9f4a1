"""How long a dead first server delays the answer of the second: refused, 503, dying, silent.

Each question is asked by a client that has learnt nothing yet, over connections that are warm. What a dead
server adds is told against a chain of the second server alone, asked in turns with it. Run it with
`python3 packaging/dev.py bench failover` on an idle machine.
"""

import asyncio
import socket
import sys
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any

from tests.benchmarks._clients import MESSAGES, QUESTION, backend, litellm_router, own_http
from tests.benchmarks._measure import Do, in_turns, medians, peers, server, verdict
from whisper_desktop.backends.base import Backend
from whisper_desktop.llm import LLMClient
from whisper_desktop.values import Deadlines

ROUNDS, EACH = 30, 5
FIRST_TOKEN_S = 0.3
SILENT_ROUNDS = 10
ALONE = "the second server alone"
AGAIN = "refused, and known from the question before"


async def main() -> bool:
    """Measure, and print a line for each; whether what must be met is met."""
    found = peers("litellm")
    with server() as api_bases, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        first = {
            "refused": f"http://127.0.0.1:{closed.getsockname()[1]}/v1",
            "503": api_bases["unavailable"],
            "dies before the first token": api_bases["dies"],
        }
        async with AsyncExitStack() as stack:
            http = own_http(stack)
            good = backend(http, api_bases["good"])
            dead = {name: backend(http, api_base) for name, api_base in first.items()}
            met = await _dead(dead, good)
            deadlines = Deadlines(first_token=FIRST_TOKEN_S)
            silent = backend(http, api_bases["silent"], deadlines=deadlines)
            met.append(await _silent(silent, good, deadlines))
        if "litellm" in found:
            for name, api_base in first.items():
                await _router(name, litellm_router(found["litellm"], api_base, api_bases["good"]))
    return all(met)


async def _dead(dead: Mapping[str, Backend], good: Backend) -> list[bool]:
    kinds: dict[str, Do] = {name: _first_token(step, good) for name, step in dead.items()}
    known = LLMClient([dead["refused"], good])
    middle = medians(
        await in_turns(
            {**kinds, AGAIN: lambda: _ask(known), ALONE: _first_token(good)}, rounds=ROUNDS, each=EACH
        )
    )
    print(f"\nUntil the first token of the second server (median of {ROUNDS * EACH})")
    for name, value in middle.items():
        print(f"  {value * 1e3:9.2f} ms  {name}")
    return [
        verdict(
            f"added where the first is {name}",
            (middle[name] - middle[ALONE]) * 1e3,
            must=20,
            aim=5,
            unit="ms",
        )
        for name in (*kinds, AGAIN)
    ]


async def _silent(silent: Backend, good: Backend, deadlines: Deadlines) -> bool:
    taken = await in_turns({"silent": _first_token(silent, good, deadlines=deadlines)}, rounds=SILENT_ROUNDS)
    late = (max(taken["silent"]) - FIRST_TOKEN_S) * 1e3
    return verdict(
        f"most that a silent one adds to its deadline of {FIRST_TOKEN_S} s", late, must=20, unit="ms"
    )


async def _router(name: str, router: Any) -> None:
    """LiteLLM's router with its defaults, once, because it takes seconds."""
    started = time.perf_counter()
    ended = "an answer without text"
    try:
        async for chunk in await router.acompletion(model="m", messages=MESSAGES, stream=True):
            if chunk.choices and chunk.choices[0].delta.content:
                ended = "first token"
                break
    except Exception as error:
        ended = type(error).__name__
    print(f"  {(time.perf_counter() - started) * 1e3:9.1f} ms  litellm.Router, {name}: {ended}")


def _first_token(*steps: Backend, deadlines: Deadlines | None = None) -> Do:
    return lambda: _ask(LLMClient(steps, deadlines=deadlines, hedge=False))


async def _ask(client: LLMClient) -> None:
    async with client.stream(QUESTION) as events:
        async for event in events:
            if event.text:
                return
    raise AssertionError("there was no text")


if __name__ == "__main__":
    sys.exit(not asyncio.run(main()))
