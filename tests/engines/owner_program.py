"""A small program that owns an engine: starts it, lets an answer stream, says so, and waits to be killed.

Arguments: the model's file and, optionally, a llama-server.
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
    model, *binary = (Path(word) for word in sys.argv[1:])
    spec = EngineSpec(model, "tiny", n_ctx=CONTEXT, binary=binary[0] if binary else None)
    engine = make_engine(spec, http=Http())
    stream = ForeignStream(await engine.ensure_ready())
    await asyncio.to_thread(stream.first.wait)
    print(json.dumps({"pid": engine.status().pid}), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
