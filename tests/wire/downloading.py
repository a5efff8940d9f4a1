"""A process that downloads one file from this computer and can be killed at any moment.

python -m tests.wire.downloading URL TARGET SHA256 SIZE [CONNECTIONS]

It writes a line with the number of bytes that are there each time somebody is told, and `took S peak N` at
the end: seconds, and how many bytes of memory it had at most above what it had before the first byte came.
"""

import asyncio
import resource
import sys
import time
from pathlib import Path

from whisper_desktop.values import Deadlines, Reach
from whisper_desktop.wire.http import Http
from whisper_desktop.wire.transfer import DownloadProgress, download


async def main(url: str, target: str, sha256: str, size: str, connections: str = "4") -> None:
    """Download it."""
    http = Http()
    await http.warm_up()
    before, began = _peak(), time.perf_counter()

    def tell(progress: DownloadProgress) -> None:
        print(progress.done_bytes, flush=True)

    await download(
        http,
        [url],
        Path(target),
        allowed=Reach.THIS_MACHINE,
        sha256=sha256,
        size=int(size),
        limit=int(size),
        deadlines=Deadlines(),
        connections=int(connections),
        on_progress=tell,
    )
    await http.aclose()
    print("took", time.perf_counter() - began, "peak", _peak() - before, flush=True)


def _peak() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
