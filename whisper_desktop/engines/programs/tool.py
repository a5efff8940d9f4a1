"""Runs a program's own command-line tool to its end, and reads what it says without trusting it."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from whisper_desktop.engines.command import scrubbed
from whisper_desktop.language import tr
from whisper_desktop.wire import fields

_MOST_BYTES = 1_000_000
_MOST_QUOTED = 240
_MOST_TRIED = 20
"""Lines that look like JSON and are none."""

_DYING_S = 1.0
# Colours, cursor movements and window titles (ECMA-48), then whatever else could steer a terminal.
_STEERING = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[@-_]")
_CONTROLS = {code: None for code in (*range(32), *range(127, 160)) if code != 9}
_FRAME = re.compile("[\u2500-\u257f]")


@dataclass(frozen=True, slots=True)
class Said:
    """What a tool printed for programs (`out`) and for people (`err`), as plain text, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> object:
        """The JSON on standard output, also after lines that are none; None where there is none."""
        looks_like_it = (line for line in reversed(self.out.splitlines()) if line.lstrip()[:1] in ("{", "["))
        texts = (self.out, *islice(looks_like_it, _MOST_TRIED))
        return next((value for value in map(fields.parsed, texts) if value is not None), None)

    @property
    def told(self) -> str:
        """What it told people, as a sentence; empty where it said nothing."""
        text = quoted(self.err.strip() or self.out)
        return tr("It says: {text_}.", text_=text) if text else ""


class ToolFailed(Exception):
    """A tool could not be started, or did not end in time. The text is a sentence without a subject."""


async def run_tool(
    command: Sequence[str], *, timeout: float, env: Mapping[str, str], folder: Path | None = None
) -> Said:
    """Run `command`, in `folder`, until it exits, `timeout` seconds at most. Raises `ToolFailed`.

    Its exit is what counts, not the end of its output: what it woke may hold that open. When time is up, it
    alone is killed, for the same reason.
    """
    loop = asyncio.get_running_loop()
    try:
        transport, listener = await loop.subprocess_exec(
            _Listener,
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=persons_environment(env),
            cwd=folder,
            start_new_session=True,
        )
    except OSError as error:
        raise ToolFailed(tr("cannot be run: {strerror}", strerror=error.strerror)) from None
    try:
        await asyncio.wait({listener.exited}, timeout=timeout)
        if not listener.exited.done():
            raise ToolFailed(tr("did not end within {timeout:g} s", timeout=timeout))
    finally:
        if not listener.exited.done():
            transport.kill()
            await asyncio.wait({listener.exited}, timeout=_DYING_S)
        transport.close()
    code = transport.get_returncode()
    out, err = (plain(listener.pieces[number].decode("utf-8", "replace")) for number in (1, 2))
    return Said(-1 if code is None else code, out, err)


def persons_environment(env: Mapping[str, str]) -> dict[str, str]:
    """The environment for a program of the person's own: without keys, but with the proxies that it needs."""
    proxies = {name: value for name, value in env.items() if name.upper().endswith("_PROXY")}
    return {**scrubbed(env), **proxies}


class _Listener(asyncio.SubprocessProtocol):
    """Keeps the beginning of both streams and drops the rest, so that the tool never waits for a reader."""

    def __init__(self) -> None:
        self.exited: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.pieces = {1: bytearray(), 2: bytearray()}

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        kept = self.pieces[fd]
        kept += data[: _MOST_BYTES - len(kept)]

    def process_exited(self) -> None:
        # What it wrote before it exited is in the pipes already; one more round of the loop reads it.
        asyncio.get_running_loop().call_soon(self._end)

    def _end(self) -> None:
        if not self.exited.done():
            self.exited.set_result(None)


def plain(text: str) -> str:
    """Output without colours and control characters, and of a redrawn line only its last state."""
    lines = _STEERING.sub("", text).split("\n")
    return "\n".join(line.rstrip("\r").rpartition("\r")[2].translate(_CONTROLS) for line in lines)


def quoted(text: str) -> str:
    """The beginning of what a program said, as part of a sentence: one line, without frames, not endless."""
    told = " ".join(_FRAME.sub(" ", plain(text)).split()).removeprefix("Error: ")
    return (told if len(told) <= _MOST_QUOTED else told[:_MOST_QUOTED].rpartition(" ")[0]).rstrip(".")
