"""What a program prints until it ends, for what is asked and not served. It is a stranger: all is bounded."""

import asyncio
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from whisper_desktop.engines.command import child_command, child_folder, scrubbed
from whisper_desktop.engines.log import EngineLog
from whisper_desktop.engines.process import spawn
from whisper_desktop.engines.spec import EngineSpec
from whisper_desktop.values import Deadlines

_OUTPUT_LIMIT = 1_000_000  # bytes
_MOST_LINES = 20_000
"""llama-server's help has about 1 500 lines."""


@dataclass(frozen=True, slots=True)
class Output:
    """The lines of either output and the exit code, which is None where it did not end by itself: in time, or
    before it had printed too much (`endless`).
    """

    lines: tuple[str, ...]
    code: int | None
    endless: bool = False


async def output_of(spec: EngineSpec, flags: Sequence[str], deadlines: Deadlines) -> Output:
    """Run the program of `spec`, or the built-in engine, with these flags. It ends with us; it and everything
    it started are ended after `Deadlines.engine_ask`. Raises `OSError` when the system refuses to start it.
    """
    log = EngineLog(None, ring_bytes=_OUTPUT_LIMIT)
    command = child_command(spec, list(flags), owner_pid=os.getpid(), nonce=secrets.token_hex(8))
    process = await spawn(command, env=scrubbed(os.environ), folder=child_folder(), log=log)
    flood = asyncio.create_task(_more_than(_MOST_LINES, log, deadlines.engine_ask))
    try:
        ends: set[asyncio.Future[int] | asyncio.Future[None]] = {process.exited, flood}
        await asyncio.wait(ends, timeout=deadlines.engine_ask, return_when=asyncio.FIRST_COMPLETED)
        if process.alive:
            return Output((), None, endless=log.count > _MOST_LINES)
        code = await process.finish(deadlines)
        return Output(tuple(log.since(0)), code)
    finally:
        flood.cancel()
        if process.alive:
            await process.end_now(deadlines)
        process.kill()


async def _more_than(lines: int, log: EngineLog, patience: float) -> None:
    """Return when the log has grown beyond `lines`."""
    while log.count <= lines:
        await log.wait_for_more(patience)
