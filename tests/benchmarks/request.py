"""What a short answer costs: ours against plain httpx, httpx2, aiohttp, openai and litellm.

All ask the same fast server, in turns. Run it with `python3 packaging/dev.py bench request` on an idle
machine.
"""

import asyncio
import sys
from contextlib import AsyncExitStack

from tests.benchmarks._clients import Requests
from tests.benchmarks._measure import in_turns, medians, peers, server, table, verdict

ROUNDS, EACH = 20, 40
BASE = "plain httpx, JSON"
TRANSPORT = "ours: Http.request, JSON"
CHAIN = "ours: LLMClient.chat_completion, streamed"


async def main() -> bool:
    """Measure, and print a line for each; whether what must be met is met."""
    found = peers("httpx2", "openai", "litellm")
    with server() as api_bases:
        async with AsyncExitStack() as stack:
            requests = Requests(stack, api_bases["good"])
            kinds = {BASE: await requests.httpx(), "aiohttp, JSON": await requests.aiohttp()}
            if "httpx2" in found:
                kinds["httpx2, JSON"] = await requests.httpx(found["httpx2"])
            if "openai" in found:
                kinds["openai, JSON"] = await requests.openai(found["openai"])
                kinds["openai over our transport"] = await requests.openai(found["openai"], over_ours=True)
            if "litellm" in found:
                kinds["litellm.Router, JSON"] = await requests.litellm(found["litellm"])
            kinds |= {TRANSPORT: await requests.http(), CHAIN: await requests.chain()}
            middle = medians(await in_turns(kinds, rounds=ROUNDS, each=EACH))
    table(f"A short answer (median of {ROUNDS * EACH})", middle, BASE)
    met = [verdict(name, middle[name] / middle[BASE], must=1.0, aim=0.75) for name in (TRANSPORT, CHAIN)]
    for name in middle:
        if name in ("openai, JSON", "litellm.Router, JSON"):
            met.append(verdict(f"{CHAIN}, against {name}", middle[CHAIN] / middle[name], must=1.0))
    return all(met)


if __name__ == "__main__":
    sys.exit(not asyncio.run(main()))
