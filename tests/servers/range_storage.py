"""A hub whose large files lie on a content network: links that expire, ranges, and all that goes wrong there.

GET /files/NAME           302 to /cdn/NAME?sig=...; with `--token T` only for who brings it (else 401)
GET /cdn/NAME?sig=...     the file or a range of it, with ETag; 403 where the signature has expired
GET /__test__/sent        how many bytes of files have been handed to the system, as JSON

Options  --folder DIR   --pace BYTES_PER_S (of all connections together)   --token T
         --most N (connections that are served at once; more are answered with 429)
Faults   POST /__test__/fault: {"mode", "arg", "count", "on"}; `on` is a path (default: /cdn/)
  of the link   expire (403, and every link given out before is expired, too)  gone_410
                elsewhere:ORIGIN (the link leads there; concerns /files/)
  of the range  whole_200 (as if it had not been asked for)  unmeasured (that, and chunked)
                shifted (Content-Range of other bytes)  short:N (announces and sends N bytes less)
                long:N (chunked, N bytes more)  cut_short:N (announces all, ends regularly N bytes before)
                other_version (another ETag each time)  unnamed (no ETag)
  of the bytes  flip:AT[:reset] (the byte at AT is another one; the connection is reset 64 KiB later)
  of the way    drip:AFTER (a byte each 50 ms after AFTER bytes)  reset:AFTER  hang  busy_503  rate_429
"""

import argparse
import asyncio
import mmap
import re
import socket
import time
from dataclasses import dataclass
from pathlib import Path

from tests.servers.base import Service
from tests.servers.faults import Fault, FaultSwitch
from tests.servers.http_wire import Reply, Request, serve_connection
from tests.servers.serving import main

MODES = {
    "elsewhere", "expire", "gone_410", "whole_200", "shifted", "short", "long", "cut_short", "other_version",
    "unnamed", "unmeasured", "flip", "drip", "reset", "hang", "busy_503", "rate_429",
}  # fmt: skip

_BLOCK = 2**18
_PACED_BLOCK = 2**14
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


@dataclass
class RangeFault(Fault):
    """A fault of this server: `on` is a path."""

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ValueError(f"no fault is called {self.mode!r}; there are {', '.join(sorted(MODES))}")
        self.on = self.on or ("/files/" if self.mode == "elsewhere" else "/cdn/")

    def concerns(self, path: str, *, chat: bool) -> bool:
        """Whether a request for `path` meets this fault."""
        return path.startswith(self.on)


HEALTHY = RangeFault("short", "0")


class RangeStorage(Service):
    """See the module's docstring."""

    name = "range_storage"

    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__(options)
        self._folder = Path(options.folder)
        self._pace: float = options.pace
        self._token: str = options.token
        self._most: int = options.most
        self._faults = FaultSwitch()
        self._signature = 1
        self._serving = 0
        self._sent = 0
        self._free_at = 0.0

    @classmethod
    def add_options(cls, parser: argparse.ArgumentParser) -> None:
        """What it has, and how fast."""
        parser.add_argument("--folder", required=True)
        parser.add_argument("--pace", type=float, default=0)
        parser.add_argument("--token", default="")
        parser.add_argument("--most", type=int, default=0)

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves HTTP requests until either side has had enough."""
        if self._pace:
            writer.transport.set_write_buffer_limits(0)
            # What waits in this machine's own buffers was never on a line of that pace.
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _PACED_BLOCK)
        await serve_connection(reader, writer, self._handle, self.log.note, {}, None)

    async def _handle(self, request: Request, reply: Reply) -> None:
        if request.path == "/__test__/sent":
            await reply.send(200, {}, str(self._sent).encode())
            return
        if request.path == "/__test__/fault":
            self._faults = FaultSwitch(_faults(request.json()))
            await reply.send(200, {}, b"{}")
            return
        self.log.note_request(request)
        fault = self._faults.take(request.path, chat=False) or HEALTHY
        if request.path.startswith("/files/"):
            await self._give_link(request, reply, fault)
            return
        self._serving += 1
        try:
            if not await self._refused(request, reply, fault):
                await self._serve(request, reply, fault)
        finally:
            self._serving -= 1

    async def _give_link(self, request: Request, reply: Reply, fault: Fault) -> None:
        if self._token and request.bearer != self._token:
            await reply.send(401, {}, b"Access to this model is restricted")
            return
        name = request.path.removeprefix("/files/")
        there = fault.arg if fault.mode == "elsewhere" else f"http://{request.headers['host']}"
        policy = "x" * 3000
        await reply.send(302, {"Location": f"{there}/cdn/{name}?sig={self._signature}&policy={policy}"}, b"")

    async def _refused(self, request: Request, reply: Reply, fault: Fault) -> bool:
        if fault.mode == "expire":
            self._signature += 1
        if request.query.get("sig") != str(self._signature):
            await reply.send(403, {"Content-Type": "application/xml"}, b"<Code>AccessDenied</Code>")
        elif fault.mode == "gone_410":
            self._signature += 1
            await reply.send(410, {}, b"")
        elif fault.mode == "rate_429" or (self._most and self._serving > self._most):
            await reply.send(429, {}, b"")
        elif fault.mode == "busy_503":
            await reply.send(503, {}, b"")
        elif fault.mode == "hang":
            await reply.silence()
        else:
            return False
        return True

    async def _serve(self, request: Request, reply: Reply, fault: Fault) -> None:
        path = self._folder / request.path.removeprefix("/cdn/")
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            size, mode = len(data), fault.mode
            tag = f'"{path.stat().st_mtime_ns:x}-{size:x}"'
            tag = f'"{time.time_ns():x}"' if mode == "other_version" else tag
            headers = {"ETag": tag, "Accept-Ranges": "bytes", "Content-Type": "application/octet-stream"}
            if mode == "unnamed":
                del headers["ETag"]
            asked = _RANGE.fullmatch(request.headers.get("range", ""))
            if (
                asked is None
                or mode in ("whole_200", "unmeasured")
                or request.headers.get("if-range", tag) != tag
            ):
                status, start, end = 200, 0, size
            else:
                status, start, end = 206, int(asked[1]), min(size, int(asked[2]) + 1) if asked[2] else size
                if start >= size:
                    await reply.send(416, {"Content-Range": f"bytes */{size}"}, b"")
                    return
                if mode == "short":
                    end = max(start + 1, end - int(fault.number()))
                off = 1 if mode == "shifted" else 0
                headers["Content-Range"] = f"bytes {start + off}-{end - 1 + off}/{size}"
            long = mode == "long" and status == 206
            unmeasured = long or mode in ("cut_short", "unmeasured")
            await reply.head(status, headers, length=None if unmeasured else end - start)
            if mode == "cut_short":
                end -= int(fault.number())
            await self._send(reply, data, start, end, fault)
            if long:
                await reply.write(b"x" * int(fault.number()))
            if reply.keep_alive:
                await reply.finish()

    async def _send(self, reply: Reply, data: mmap.mmap, start: int, end: int, fault: Fault) -> None:
        block, sound = _PACED_BLOCK if self._pace else _BLOCK, end
        flipped = int(fault.number()) if fault.mode == "flip" else -1
        if fault.mode in ("drip", "reset"):
            sound = min(end, start + int(fault.number()))
        elif fault.variant == "reset" and start <= flipped < end:
            sound = min(end, flipped + 2**16)
        for at in range(start, sound, block):
            piece = data[at : min(sound, at + block)]
            if at <= flipped < at + len(piece):
                changed = bytearray(piece)
                changed[flipped - at] ^= 0xFF
                piece = bytes(changed)
            if self._pace:
                await self._take_turn(len(piece))
            await reply.write(piece)
            self._sent += len(piece)
        if fault.mode == "drip":
            for at in range(sound, end):
                await asyncio.sleep(0.05)
                await reply.write(data[at : at + 1])
        elif sound < end:
            await reply.reset()

    async def _take_turn(self, count: int) -> None:
        now = time.monotonic()
        self._free_at = max(now - 0.05, self._free_at) + count / self._pace
        await asyncio.sleep(max(0.0, self._free_at - now))


def _faults(value: object) -> list[Fault]:
    faults: list[Fault] = []
    for item in value if isinstance(value, list) else [value]:
        if not isinstance(item, dict):
            raise ValueError("a fault is an object with mode, arg, count, on")
        if item.get("mode") not in (None, "none"):
            count, arg = item.get("count"), item.get("arg")
            arg = "" if arg is None else str(arg)
            on = str(item.get("on") or "")
            faults.append(RangeFault(str(item["mode"]), arg, None if count is None else int(count), on))
    return faults


SERVER = RangeStorage

if __name__ == "__main__":
    main(RangeStorage)
