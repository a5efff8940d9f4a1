"""What a streamed chunk costs until it is an event: ours against httpx with json, openai and litellm.

Twice: an answer that arrives as fast as it is read, by the clock on the wall; and one whose chunks arrive one
by one, as models write them, by the processor's time, because there the server sets the pace.
Run it with `python3 packaging/dev.py bench chunks` on an idle machine.
"""

import asyncio
import sys
import time
from contextlib import AsyncExitStack
from typing import Any

from tests.benchmarks._clients import Streams
from tests.benchmarks._fast_server import events
from tests.benchmarks._measure import Do, in_turns, medians, peers, server, table, verdict
from whisper_desktop.values import TextDelta
from whisper_desktop.wire.openai import ChatDecoder

CHUNKS = 2000
ROUNDS = 11
PIECE = 2**16
BASE = "httpx, aiter_lines and json.loads"
CHAIN = "ours: LLMClient.stream"
DECODER = "ours: the decoder alone, without a network"


async def main() -> bool:
    """Measure, and print a line for each; whether what must be met is met."""
    found = peers("httpx2", "openai", "litellm")
    met = []
    with server() as api_bases:
        async with AsyncExitStack() as stack:
            for model, clock, title in (
                (f"chunks-{CHUNKS}", time.perf_counter, "A chunk of an answer that arrives at once"),
                (f"trickle-{CHUNKS}", time.process_time, "A chunk that arrives alone (processor's time)"),
            ):
                kinds = await _kinds(Streams(stack, api_bases["good"], model), found)
                kinds[DECODER] = _decoder(alone=clock is time.process_time)
                for name, do in kinds.items():
                    if await do() != CHUNKS:
                        raise AssertionError(f"{name} did not count {CHUNKS} chunks")
                taken = await in_turns(kinds, rounds=ROUNDS, clock=clock)
                middle = {name: value / CHUNKS for name, value in medians(taken).items()}
                table(f"{title} (median of {ROUNDS} answers of {CHUNKS})", middle, BASE)
                met += _judge(middle, peers_too=clock is time.perf_counter)
    return all(met)


async def _kinds(streams: Streams, found: dict[str, Any]) -> dict[str, Do]:
    kinds = {BASE: await streams.httpx()}
    if "httpx2" in found:
        kinds["httpx2, aiter_lines and json.loads"] = await streams.httpx(found["httpx2"])
    if "openai" in found:
        kinds["openai"] = await streams.openai(found["openai"])
        kinds["openai over our transport"] = await streams.openai(found["openai"], over_ours=True)
    if "litellm" in found:
        kinds["litellm.Router"] = await streams.litellm(found["litellm"])
    return kinds | {
        "ours: bytes from the transport, not decoded": await streams.bytes(),
        "ours: Backend.stream_batches": await streams.backend(),
        CHAIN: await streams.chain(),
    }


def _decoder(*, alone: bool) -> Do:
    whole = b"".join(events(CHUNKS))
    pieces = events(CHUNKS) if alone else [whole[at : at + PIECE] for at in range(0, len(whole), PIECE)]

    async def do() -> int:
        decoder = ChatDecoder()
        return sum([type(event) is TextDelta for piece in pieces for event in decoder.feed(piece)])

    return do


def _judge(middle: dict[str, float], *, peers_too: bool) -> list[bool]:
    ours = middle[CHAIN]
    print(f"  {CHAIN}: {1 / ours:,.0f} chunks a second")
    met = [verdict("against httpx", ours / middle[BASE], must=1.0, aim=0.5)]
    for name, aim in (("openai", 1 / 5), ("litellm.Router", 1 / 20)):
        if peers_too and name in middle:
            met.append(verdict(f"against {name}", ours / middle[name], must=1.0, aim=aim))
    return met


if __name__ == "__main__":
    sys.exit(not asyncio.run(main()))
