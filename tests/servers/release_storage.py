"""The storage behind `release_server`: one file, whole or in part, and what can be wrong with that."""

import asyncio
import gzip
import re
import time
from collections.abc import Mapping
from email.utils import formatdate, parsedate_to_datetime
from pathlib import Path

from tests.servers.faults import Fault
from tests.servers.http_wire import Reply, Request
from tests.servers.reactions import Response

STORAGE = {"Server": "Windows-Azure-Blob/1.0 Microsoft-HTTPAPI/2.0", "x-ms-version": "2025-11-05"}

_BLOCK = 2**18
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_INVERTED = bytes(range(255, -1, -1))


def storage_error(status: int, code: str) -> Response:
    """A refusal in the words of this storage."""
    body = f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code></Error>'
    return Response(status, body.encode(), {"Content-Type": "application/xml", **STORAGE})


async def send_file(request: Request, reply: Reply, path: Path, fault: Fault) -> None:
    """Answers a GET or HEAD for the file, with all or a range of it."""
    data, stat = await asyncio.to_thread(lambda: (path.read_bytes(), path.stat()))
    tag, changed = f'"0x{stat.st_mtime_ns:X}{len(data):X}"', int(stat.st_mtime)
    if fault.mode == "other_version":
        tag, changed = f'"0x{time.time_ns():X}"', changed + 60
    if fault.mode == "other_bytes":
        data = data.translate(_INVERTED)
    headers = {
        **STORAGE,
        "Content-Type": "application/octet-stream",
        "Content-Disposition": request.query.get("response-content-disposition", "attachment"),
        "Accept-Ranges": "bytes",
        "ETag": f"W/{tag}" if fault.mode == "weak_etag" else tag,
        "Last-Modified": formatdate(changed, usegmt=True),
    }
    if fault.mode == "no_validator":
        del headers["ETag"], headers["Last-Modified"]
    if request.headers.get("if-none-match") == tag:
        await reply.send(304, headers, b"")
        return
    span = None if fault.mode == "ignore_range" else _range(request, headers, len(data), fault)
    if span is None:
        await _send_body(request, reply, 200, headers, data, fault)
        return
    first, last = span
    if first >= len(data) or fault.mode == "range_416":
        refusal = storage_error(416, "InvalidRange")
        said = {**STORAGE, **refusal.headers, "Content-Range": f"bytes */{len(data)}"}
        await reply.send(416, said, refusal.body)
        return
    if fault.mode == "wrong_range":
        first += 1
    total = len(data) + (1 if fault.mode == "foreign_range" else 0)
    headers["Content-Range"] = f"bytes {first}-{last}/{total}"
    await _send_body(request, reply, 206, headers, data[first : last + 1], fault)


def _range(request: Request, headers: Mapping[str, str], size: int, fault: Fault) -> tuple[int, int] | None:
    """The first and the last byte that are asked for; None where all of it is sent."""
    match = _RANGE.fullmatch(request.headers.get("range", ""))
    if match is None or match[0] == "bytes=-":
        return None
    condition = request.headers.get("if-range")
    if condition is not None and fault.mode != "ignore_if_range" and not _is_same(condition, headers):
        return None
    if not match[1]:
        return max(0, size - int(match[2])), size - 1
    return int(match[1]), min(size - 1, int(match[2])) if match[2] else size - 1


def _is_same(condition: str, headers: Mapping[str, str]) -> bool:
    """If-Range: a strong ETag that is the same, or exactly the date."""
    if condition.startswith('"'):
        return condition == headers.get("ETag")
    try:
        asked = parsedate_to_datetime(condition)
        return asked == parsedate_to_datetime(headers.get("Last-Modified", ""))
    except ValueError:
        return False


async def _send_body(
    request: Request, reply: Reply, status: int, headers: Mapping[str, str], body: bytes, fault: Fault
) -> None:
    if fault.mode == "gzip":
        body, headers = gzip.compress(body, 1), {**headers, "Content-Encoding": "gzip"}
    if fault.mode == "more":
        body += b"x" * int(fault.number())
    if request.method == "HEAD":
        await reply.send(status, headers, body)
        return
    chunked = fault.mode in ("no_length", "more")
    await reply.head(status, headers, length=None if chunked else len(body))
    breaks = fault.mode.endswith("_mid_stream")
    end = min(len(body), int(fault.number())) if breaks else len(body)
    view = memoryview(body)
    speed = fault.number() if fault.mode == "slow" else 0
    step = max(1, int(speed / 50)) if speed else _BLOCK
    for start in range(0, end, step):
        await reply.write(bytes(view[start : min(end, start + step)]))
        if speed:
            await asyncio.sleep(step / speed)
    if fault.mode == "cut_mid_stream":
        await asyncio.sleep(float(fault.variant or 0))
        reply.cut()
    elif fault.mode == "die_mid_stream":
        await reply.reset()
    elif fault.mode == "stall_mid_stream":
        await reply.silence()
    else:
        await reply.finish()
