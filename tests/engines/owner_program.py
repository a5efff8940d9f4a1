"""A small program that owns an engine, says so, and waits to be killed.

Arguments: loading, idle or answering; the model's file and, optionally, a llama-server with its options.
"""

import asyncio
import json
import sys
from pathlib import Path

from tests.engines.streaming import ForeignStream
from tests.engines.tiny_model import CONTEXT
from whisper_desktop.engines.spec import EngineSpec
from whisper_desktop.engines.supervisor import make_engine
from whisper_desktop.wire.http import Http


async def main() -> None:
    moment, model, *rest = sys.argv[1:]
    binary = Path(rest[0]) if rest else None
    spec = EngineSpec(Path(model), "tiny", n_ctx=CONTEXT, binary=binary, extra_args=tuple(rest[1:]))
    engine = make_engine(spec, http=Http())
    starting = asyncio.create_task(engine.ensure_ready())
    if moment == "loading":
        while engine.status().pid is None:  # noqa: ASYNC110 - nothing is told at this moment
            await asyncio.sleep(0.001)
    else:
        address = await starting
        if moment == "answering":
            stream = ForeignStream(address)
            await asyncio.to_thread(stream.first.wait)
    print(json.dumps({"pid": engine.status().pid}), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
