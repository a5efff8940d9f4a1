"""A program that downloads what its journal says, until nothing is left: to be killed at any moment.

python -m tests.models.download_program FOLDER JOURNAL ENDPOINT [SOURCE ...]

It prints one line of JSON for each change that matters: the states, and how many bytes are there.
"""

import asyncio
import json
import sys
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

from whisper_desktop.models.downloads import Downloads
from whisper_desktop.models.hub import Hub
from whisper_desktop.models.sources import parse_source
from whisper_desktop.values import Deadlines
from whisper_desktop.wire.http import Http


async def main(folder: str, journal: str, endpoint: str, *sources: str) -> None:
    """Add the sources, then run until no job waits or runs."""
    http = Http()
    deadlines = replace(Deadlines(), retry_pause=0.01)
    hub = Hub(http, endpoint=endpoint, deadlines=deadlines)
    downloads = Downloads(http, Path(folder), Path(journal), hub=hub, deadlines=deadlines)
    for source in sources:
        await downloads.add(parse_source(source, endpoint=endpoint))
    await downloads.open()
    running = asyncio.create_task(downloads.run())
    async with aclosing(downloads.watch()) as changes:
        async for jobs in changes:
            told = [[job.state, job.progress.done_bytes, job.error] for job in jobs]
            print(json.dumps(told), flush=True)
            if not any(job.state in ("waiting", "running") for job in jobs):
                break
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await downloads.aclose()
    await http.aclose()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
