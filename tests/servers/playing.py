"""How a reaction goes out, whole or broken in the way a fault says."""

import asyncio
import contextlib
from collections.abc import Iterator

from tests.servers import disguises
from tests.servers.faults import Fault
from tests.servers.http_wire import Reply
from tests.servers.reactions import Live, Reaction, Response, Stream

BROKEN_JSON = b'{"choices":[{"message":{"role":"assi'
BROKEN_SSE = (
    b'data: {"choices":[{"delta":{"content":"Hel\n\n'
    b"data: this is not json\n\n"
    b"data: [1,2\n\n"
    b"\xff\xfe\x00\x01 nonsense\n\n"
)
BROKEN_NDJSON = b'{"message":{"content":"Hel\nthis is not json\n\xff\xfe\x00\x01\n'
MALFORMED_SSE = b'data: {"choices":[{"delta":{"content":"Hel\n\n'
MALFORMED_NDJSON = b'{"message":{"content":"Hel\n'
PAUSE_BETWEEN_CUTS_S = 0.0005  # long enough that the pieces are read one by one
FLOOD_BLOCK = 64 * 1024


async def play(reaction: Reaction, reply: Reply, fault: Fault | None, token_delay_s: float) -> None:
    """Sends a reaction, broken or disguised in the way `fault` says."""
    mode = fault.mode if fault else ""
    if isinstance(reaction, Live):
        await _play_live(reaction, reply)
        return
    await asyncio.sleep(reaction.delay_s)
    reaction = disguises.disguised(reaction, mode)
    if fault and mode in ("garbage", "empty_200", "hang_headers", "comments_only"):
        await _play_nonsense(reaction, reply, fault)
    elif isinstance(reaction, Response):
        await _play_response(reaction, reply, mode)
    elif isinstance(reaction, Stream):
        await _play_stream(reaction, reply, fault, token_delay_s)


async def _play_live(live: Live, reply: Reply) -> None:
    await reply.head(200, live.headers)
    async with contextlib.aclosing(live.pieces) as pieces:
        async for piece in pieces:
            await reply.write(piece)
    await reply.finish()


def _is_ndjson(reaction: Reaction) -> bool:
    return "ndjson" in reaction.headers.get("Content-Type", "")


async def _play_nonsense(reaction: Reaction, reply: Reply, fault: Fault) -> None:
    streamed = isinstance(reaction, Stream)
    if fault.mode == "comments_only":
        await reply.head(200, reaction.headers)
        while True:
            await reply.write(b"\n" if _is_ndjson(reaction) else b": keep-alive\n\n")
            await asyncio.sleep(fault.number(1.0))
    elif fault.mode == "empty_200":
        await reply.head(200, reaction.headers, length=None if streamed else 0)
        await reply.finish()
    elif fault.mode == "hang_headers":
        await reply.head(200, reaction.headers, length=None if streamed else 1000)
        await reply.silence()
    elif streamed:
        await reply.head(200, reaction.headers)
        await reply.write(BROKEN_NDJSON if _is_ndjson(reaction) else BROKEN_SSE)
        await reply.finish()
    else:
        await reply.send(200, reaction.headers, BROKEN_JSON)


async def _play_response(response: Response, reply: Reply, mode: str) -> None:
    if mode in ("error_mid_stream", "error_first") and response.broken:
        response = response.broken
    elif mode in ("die_mid_stream", "eof_mid_stream", "cut_mid_stream", "stall_mid_stream"):
        await reply.head(response.status, response.headers, length=len(response.body))
        await reply.write(response.body[: len(response.body) // 2])
        if mode == "die_mid_stream":
            await reply.reset()
        elif mode == "stall_mid_stream":
            await reply.silence()
        else:
            reply.cut()
        return
    await reply.send(response.status, response.headers, response.body)
    reply.tokens_sent = response.tokens


def timed(stream: Stream, token_delay_s: float) -> Iterator[tuple[float, bytes]]:
    """All pieces of a stream in their order, each with the seconds before it."""
    for number, piece in enumerate(stream.reading):
        yield stream.reading_s / (len(stream.reading) - 1) if number else 0.0, piece
    yield from ((0.0, piece) for piece in stream.opening)
    yield from ((token_delay_s, piece) for piece in stream.tokens)
    yield from ((0.0, piece) for piece in (*stream.closing, stream.done))


async def _play_stream(stream: Stream, reply: Reply, fault: Fault | None, token_delay_s: float) -> None:
    mode = fault.mode if fault else ""
    breaks_at = int(fault.number()) if fault and mode.endswith("_mid_stream") else None
    malformed_at = int(fault.number()) if fault and mode == "malformed" else None
    before = len(stream.reading) + len(stream.opening)
    last_token = before + len(stream.tokens)
    await reply.head(200, stream.headers)
    if mode == "error_first":
        await _break_stream("error_mid_stream", stream, reply)
        return
    for number, (pause_s, piece) in enumerate(timed(stream, token_delay_s)):
        if mode == "stall_reading" and fault and number == int(fault.number()):
            await reply.silence()
        if number == last_token and mode == "flood" and fault:
            await _flood(stream, reply, int(fault.number()))
        token = number - before if before <= number <= last_token else None
        if breaks_at is not None and token is not None and (token == breaks_at or number == last_token):
            await _break_stream(mode, stream, reply)
            return
        if malformed_at is not None and token == malformed_at and fault:
            bad = MALFORMED_NDJSON if _is_ndjson(stream) else MALFORMED_SSE
            await reply.write(bad * int(fault.variant or 1))
        if mode == "no_finish" and last_token <= number < last_token + len(stream.closing):
            continue
        if mode == "no_done" and number == last_token + len(stream.closing):
            if fault and fault.arg == "close":
                await reply.finish()
                return
            await reply.silence()
        if stream.generation is None:
            await asyncio.sleep(pause_s)
        elif not await stream.generation.reached(number + 1):
            break
        await _write(reply, piece, mode)
        reply.tokens_sent += before <= number < last_token
    await reply.finish()
    if stream.at_end:
        stream.at_end()


async def _write(reply: Reply, piece: bytes, mode: str) -> None:
    if mode not in disguises.CUTS:
        await reply.write(piece)
        return
    for cut in disguises.cuts(piece, mode):
        await reply.write(cut)
        await asyncio.sleep(PAUSE_BETWEEN_CUTS_S)


async def _flood(stream: Stream, reply: Reply, size: int) -> None:
    """The answer's tokens again and again, as fast as the client takes them, until `size` bytes went out."""
    once = b"".join(stream.tokens)
    times = max(1, FLOOD_BLOCK // max(1, len(once)))
    sent = 0 if once else size
    while sent < size:
        await reply.write(once * times)
        sent += len(once) * times
        reply.tokens_sent += len(stream.tokens) * times


async def _break_stream(mode: str, stream: Stream, reply: Reply) -> None:
    if mode == "die_mid_stream":
        await reply.reset()
    elif mode == "stall_mid_stream":
        await reply.silence()
    elif mode == "cut_mid_stream":
        reply.cut()
    else:
        for piece in stream.error if mode == "error_mid_stream" else ():
            await reply.write(piece)
        await reply.finish()
