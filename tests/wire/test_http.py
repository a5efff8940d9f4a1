"""Transport faults on real sockets, the reach guard, keep-alive, and what a cancelled stream leaves."""

import asyncio
import contextlib
import gzip
import json
import socket
import subprocess
import sys
import threading
import time
import traceback
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import aiohttp
import pytest

from whisper_desktop.errors import BackendError, ConsentRequired, NetworkBlocked, ReachError
from whisper_desktop.values import Deadlines, ErrorKind, Reach
from whisper_desktop.wire.http import Http

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

KEY = "Bearer sk-not-to-be-seen"
MIB = 2**20
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    """Whatever a test does to it: when it ends, no request is under way."""
    client = Http()
    yield client
    assert client.under_way == 0
    await client.aclose()
    assert client.open_sockets == 0


@asynccontextmanager
async def serving(handle: Handler, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """A raw server: `handle` gets every connection."""
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await handle(reader, writer)
        except (ConnectionError, asyncio.CancelledError, asyncio.IncompleteReadError):
            pass
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(connected, host, port)
    bound = server.sockets[0].getsockname()[1]
    try:
        yield f"http://{f'[{host}]' if ':' in host else host}:{bound}"
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return head + await reader.readexactly(int(value))
    return head


def answering(response: bytes) -> Handler:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(response)
        await writer.drain()

    return handle


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port of ours on which nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


@contextmanager
def full_backlog(port: int = 0) -> Iterator[int]:
    """A port whose connections nobody accepts."""
    with socket.socket() as listener, contextlib.ExitStack() as stack:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(0)
        where = listener.getsockname()
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(where)
        yield where[1]


@contextmanager
def hanging_resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Name lookups block their thread until the block ends; gives the names that were asked for."""
    asked: list[str] = []
    end = threading.Event()

    def getaddrinfo(host: str, *_question: object) -> list[object]:
        asked.append(host)
        end.wait()
        raise socket.gaierror(socket.EAI_AGAIN, "refused by the test")

    with monkeypatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", getaddrinfo)
        try:
            yield asked
        finally:
            end.set()


async def failure(
    http: Http, url: str, *, allowed: Reach = Reach.THIS_MACHINE, key: bool = True, **options: float
) -> BackendError:
    with pytest.raises(BackendError) as caught:
        await http.request(
            "POST",
            url,
            allowed=allowed,
            json={"a": 1},
            headers={"authorization": KEY} if key else {},
            **options,  # type: ignore[arg-type]
        )
    error = caught.value
    assert error.title
    assert "aiohttp" not in str(error)
    assert KEY not in "".join(traceback.format_exception(error))
    assert not isinstance(error.__context__, aiohttp.ClientError)  # these hold our headers
    return error


async def read_all(http: Http, url: str, take: Callable[[bytes], object]) -> None:
    async with http.stream("POST", url, allowed=Reach.THIS_MACHINE) as reply:
        while piece := await reply.next_piece():
            take(piece)


async def test_a_request_is_sent_as_json_and_its_whole_answer_comes_back(http: Http) -> None:
    seen = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await read_request(reader))
        writer.write(b'HTTP/1.1 418 Teapot\r\nX-Thing: A\r\nContent-Length: 8\r\n\r\n{"a": 1}')

    async with serving(handle) as url:
        reply = await http.request("POST", url + "/x?y=1", allowed=Reach.THIS_MACHINE, json={"q": "ü"})
    assert (reply.status, reply.headers["x-thing"], reply.json()) == (418, "A", {"a": 1})
    head, _, body = seen[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /x?y=1 HTTP/1.1\r\n")
    assert b"content-type: application/json" in head.lower()
    assert json.loads(body) == {"q": "ü"}


async def test_a_refused_connection_is_told_as_nobody_listening(http: Http, closed_port: int) -> None:
    error = await failure(http, f"http://127.0.0.1:{closed_port}")
    assert (error.kind, error.request_sent) == (ErrorKind.CONNECT_REFUSED, False)
    assert f"127.0.0.1:{closed_port}" in error.title


async def test_a_name_that_does_not_exist_is_not_mistaken_for_a_dead_server(http: Http) -> None:
    try:
        await asyncio.get_running_loop().getaddrinfo("nonexistent.invalid", 80)
    except socket.gaierror as lookup:
        expected = ErrorKind.OFFLINE if lookup.errno == socket.EAI_AGAIN else ErrorKind.NAME_NOT_FOUND
    error = await failure(http, "https://nonexistent.invalid/v1", allowed=Reach.CLOUD)
    assert (error.kind, error.request_sent) == (expected, False)


async def test_a_connection_closed_before_any_byte_is_closed_early(http: Http) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)

    async with serving(handle) as url:
        error = await failure(http, url)
    assert (error.kind, error.request_sent) == (ErrorKind.CLOSED_EARLY, True)


async def test_a_reset_before_any_byte_is_closed_early(http: Http) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        writer.transport.abort()

    async with serving(handle) as url:
        error = await failure(http, url)
    assert error.kind is ErrorKind.CLOSED_EARLY


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n",
    ],
    ids=["length", "chunked"],
)
async def test_a_body_that_is_cut_off_is_never_taken_for_a_whole_one(http: Http, response: bytes) -> None:
    async with serving(answering(response)) as url:
        error = await failure(http, url)
        assert error.kind is ErrorKind.STREAM_CUT
        pieces: list[bytes] = []
        with pytest.raises(BackendError) as caught:
            await read_all(http, url, pieces.append)
    assert caught.value.kind is ErrorKind.STREAM_CUT
    assert b"".join(pieces) == b"part"


async def test_tls_to_a_plain_port_is_a_tls_error_that_suggests_http(http: Http) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()

    async with serving(handle) as url:
        error = await failure(http, url.replace("http:", "https:"))
    assert (error.kind, error.request_sent) == (ErrorKind.TLS, False)
    assert url in error.next_step


@pytest.mark.parametrize(
    "response",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x15\x03\x01\x00\x02\x02\x46",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70000,
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 10_000 + b"\r\n",
    ],
    ids=["ssh", "tls", "endless header", "endless headers"],
)
async def test_a_program_that_speaks_no_http_is_not_a_model_server(http: Http, response: bytes) -> None:
    async with serving(answering(response)) as url:
        error = await failure(http, url)
    assert error.kind is ErrorKind.NOT_AN_LLM


async def test_a_full_backlog_costs_the_connect_deadline_and_no_more(http: Http) -> None:
    with full_backlog() as port:
        error = await failure(http, f"http://127.0.0.1:{port}", connect=0.05)
    assert (error.kind, error.request_sent) == (ErrorKind.CONNECT_TIMEOUT, False)
    assert "0.05 s" in error.title


async def test_no_server_is_blamed_while_our_own_loop_is_blocked(http: Http) -> None:
    await http.warm_up()
    async with serving(answering(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi")) as url:
        asking = asyncio.create_task(http.request("GET", url, allowed=Reach.THIS_MACHINE, connect=0.2))
        while http.open_sockets == 0:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0)
        time.sleep(0.3)  # noqa: ASYNC251 - that is the point
        assert (await asking).body == b"hi"


async def test_a_server_that_never_accepts_is_left_however_busy_we_are(http: Http) -> None:
    await http.warm_up()
    with full_backlog() as port:
        asking = asyncio.create_task(failure(http, f"http://127.0.0.1:{port}", connect=0.1))
        while not asking.done():
            time.sleep(0.15)  # noqa: ASYNC251
            await asyncio.sleep(0)
        assert asking.result().kind is ErrorKind.CONNECT_TIMEOUT


async def test_a_server_that_trickles_its_answer_meets_the_total_deadline(http: Http) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with serving(handle) as url:
        error = await failure(http, url, total=0.1)
    assert error.kind is ErrorKind.TOTAL_TIMEOUT


async def test_a_redirect_is_an_error_that_names_where_it_wanted_to_go(http: Http) -> None:
    response = (
        b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere.example/login?token=1\r\nContent-Length: 0\r\n\r\n"
    )
    async with serving(answering(response)) as url:
        error = await failure(http, url)
    assert (error.kind, error.status) == (ErrorKind.NOT_AN_LLM, 302)
    assert "to http://elsewhere.example." in error.title
    assert "token" not in str(error)


@pytest.mark.parametrize("location", [b"/login", b"http://\x1b]52;c;eA==\x07x\xff/", b"x\x1b[31m", b""])
async def test_a_redirect_to_what_is_no_address_repeats_nothing_of_it(http: Http, location: bytes) -> None:
    response = b"HTTP/1.1 302 Found\r\nLocation: " + location + b"\r\nContent-Length: 0\r\n\r\n"
    async with serving(answering(response)) as url:
        error = await failure(http, url)
    assert error.kind is ErrorKind.NOT_AN_LLM
    assert error.title.isprintable()
    assert location.strip() == b"" or location.decode("latin-1") not in str(error)


async def test_a_body_beyond_the_limit_is_refused_also_when_it_was_compressed(http: Http) -> None:
    packed = gzip.compress(b"0" * 10_000_000)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    async with serving(answering(head + packed)) as url:
        assert (
            len((await http.request("GET", url, allowed=Reach.CLOUD, max_bytes=10_000_000)).body)
            == 10_000_000
        )
        with pytest.raises(BackendError) as caught:
            await http.request("GET", url, allowed=Reach.CLOUD, max_bytes=1_000_000)
    assert caught.value.kind is ErrorKind.TOO_LARGE


@pytest.mark.parametrize("encoding", [b"gzip", b"br"])
async def test_a_body_that_cannot_be_unpacked_is_malformed(http: Http, encoding: bytes) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: " + encoding + b"\r\nContent-Length: 4\r\n\r\n"
    async with serving(answering(head + b"nope")) as url:
        assert (await failure(http, url)).kind is ErrorKind.MALFORMED


async def test_nothing_packed_is_asked_for_on_this_computer(http: Http) -> None:
    seen = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await read_request(reader))
        writer.write(OK)

    async with serving(handle) as url:
        await http.request("GET", url, allowed=Reach.THIS_MACHINE)
    assert b"accept-encoding: identity\r\n" in seen[0].lower()


async def test_others_get_their_turn_while_a_small_body_unpacks_to_much(http: Http) -> None:
    packed = gzip.compress(b": p\n\n" * 10_000_000)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    size = largest = turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    def take(piece: bytes) -> None:
        nonlocal size, largest
        size, largest = size + len(piece), max(largest, len(piece))

    async with serving(answering(head + packed)) as url:
        counting = asyncio.create_task(count_turns())
        await read_all(http, url, take)
        counting.cancel()
    assert size == 50_000_000
    assert largest <= MIB
    assert turns > size / MIB


async def test_cancelling_ends_a_small_body_that_unpacks_to_much(http: Http) -> None:
    packed = gzip.compress(b"0" * 50_000_000)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    size = 0

    def take(piece: bytes) -> None:
        nonlocal size
        size += len(piece)
        asyncio.get_running_loop().call_soon(reading.cancel)

    async with serving(answering(head + packed)) as url:
        reading = asyncio.create_task(read_all(http, url, take))
        with pytest.raises(asyncio.CancelledError):
            await reading
    assert size <= 2 * MIB


@pytest.mark.parametrize("window", [31, 15], ids=["gzip", "deflate"])
async def test_each_piece_of_a_compressed_stream_is_unpacked_as_it_arrives(http: Http, window: int) -> None:
    read = asyncio.Event()
    packer = zlib.compressobj(wbits=window)
    encoding = b"gzip" if window == 31 else b"deflate"

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: " + encoding + b"\r\nConnection: close\r\n\r\n")
        for text in (b"one", b"two", b"three"):
            writer.write(packer.compress(text) + packer.flush(zlib.Z_SYNC_FLUSH))
            await read.wait()
            read.clear()
        writer.write(packer.flush())

    pieces: list[bytes] = []

    def take(piece: bytes) -> None:
        pieces.append(piece)
        read.set()

    async with serving(handle) as url:
        await read_all(http, url, take)
    assert pieces == [b"one", b"two", b"three"]


@pytest.mark.parametrize(
    ("body", "content_type", "kind"),
    [
        (b"<!doctype html><html>", "text/html", ErrorKind.NOT_AN_LLM),
        (b"", "", ErrorKind.NOT_AN_LLM),
        (b"{", "application/json", ErrorKind.MALFORMED),
        (b"[" * 100_000, "application/json", ErrorKind.MALFORMED),
        (b"\xff\xfe\x00", "application/json", ErrorKind.MALFORMED),
    ],
)
async def test_an_answer_that_is_no_json_says_so(
    http: Http, body: bytes, content_type: str, kind: ErrorKind
) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    async with serving(answering(head.encode() + body)) as url:
        reply = await http.request("GET", url, allowed=Reach.THIS_MACHINE)
    with pytest.raises(BackendError) as caught:
        reply.json()
    assert caught.value.kind is kind


async def test_a_kept_connection_that_the_server_closed_is_replaced_unseen(http: Http) -> None:
    requests: list[int] = []
    connections = 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        mine = connections
        await read_request(reader)
        requests.append(mine)
        writer.write(OK)
        await writer.drain()
        await read_request(reader)  # The second request on the first connection dies unanswered.
        requests.append(mine)

    async with serving(handle) as url:
        for _ in range(2):
            assert (await http.request("POST", url, allowed=Reach.THIS_MACHINE, json={})).status == 200
    assert requests == [1, 1, 2]


@pytest.mark.parametrize("begun", [b"HTTP/1.1 2", b"HTTP/1.1 200 OK\r\nContent-"])
async def test_a_request_whose_answer_had_begun_is_not_sent_again(http: Http, begun: bytes) -> None:
    requests = 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        await read_request(reader)
        writer.write(OK)
        await read_request(reader)
        requests += 1
        writer.write(begun)

    async with serving(handle) as url:
        await http.request("POST", url, allowed=Reach.THIS_MACHINE, json={})
        error = await failure(http, url)
    assert error.kind is ErrorKind.CLOSED_EARLY
    assert requests == 1


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_fresh_connection_that_dies_is_not_tried_again(http: Http, method: str) -> None:
    connections = 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await read_request(reader)

    async with serving(handle) as url:
        with pytest.raises(BackendError):
            await http.request(method, url, allowed=Reach.THIS_MACHINE)
    assert connections == 1


async def test_connections_are_kept_and_reused(http: Http) -> None:
    connections = 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while True:
            await read_request(reader)
            writer.write(OK)

    async with serving(handle) as url:
        for _ in range(5):
            await http.request("POST", url, allowed=Reach.THIS_MACHINE, json={})
    assert connections == 1


async def test_leaving_a_stream_closes_its_socket_at_once(http: Http) -> None:
    gone = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        assert await reader.read() == b""
        gone.set()

    async with serving(handle) as url:
        async with http.stream("POST", url, allowed=Reach.THIS_MACHINE) as reply:
            assert await reply.next_piece() == b"hello"
        await asyncio.wait_for(gone.wait(), 1)


@pytest.mark.parametrize("answered", [True, False], ids=["mid-body", "before headers"])
async def test_cancelling_closes_the_socket_at_once(http: Http, answered: bool) -> None:
    asked, gone = asyncio.Event(), asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        if answered:
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        asked.set()
        assert await reader.read() == b""
        gone.set()

    async with serving(handle) as url:
        task = asyncio.create_task(read_all(http, url, len))
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(gone.wait(), 1)


async def test_early_cancellations_leave_a_client_that_still_answers(http: Http) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            writer.write(OK)

    async with serving(handle) as url:
        for turns in range(60):
            task = asyncio.create_task(http.request("POST", url, allowed=Reach.THIS_MACHINE, json={}))
            for _ in range(turns % 12):
                await asyncio.sleep(0)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        replies = await asyncio.gather(
            *(http.request("POST", url, allowed=Reach.THIS_MACHINE, json={}) for _ in range(10))
        )
    assert [reply.status for reply in replies] == [200] * 10


async def test_closing_the_client_ends_open_streams_and_refuses_new_ones(http: Http) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        await reader.read()

    async with serving(handle) as url:
        first = asyncio.Event()
        reading = asyncio.create_task(read_all(http, url, lambda _piece: first.set()))
        await first.wait()
        await http.aclose()
        with pytest.raises(BackendError) as caught:
            await reading
        assert caught.value.kind is ErrorKind.STREAM_CUT
        with pytest.raises(BackendError, match="closing"):
            await http.request("GET", url, allowed=Reach.THIS_MACHINE)


async def test_after_a_refresh_connections_are_new_and_open_streams_go_on(http: Http) -> None:
    connections = 0
    idle_gone, go_on = asyncio.Event(), asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while head := await read_request(reader):
            if b"/slow" in head:
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nwo")
                await go_on.wait()
                writer.write(b"rd")
            else:
                writer.write(OK)

    async def closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK)
        assert await reader.read() == b""
        idle_gone.set()

    async with (
        serving(handle) as url,
        http.stream("GET", url + "/slow", allowed=Reach.THIS_MACHINE) as reply,
    ):
        await http.request("GET", url, allowed=Reach.THIS_MACHINE)
        await http.refresh()
        await http.request("GET", url, allowed=Reach.THIS_MACHINE)
        assert connections == 3
        go_on.set()
        assert await reply.read() == b"word"
    async with serving(closing) as url:
        await http.request("GET", url, allowed=Reach.THIS_MACHINE)
        await http.refresh()
        await asyncio.wait_for(idle_gone.wait(), 1)
    assert http.open_sockets <= 1


async def test_what_is_open_is_counted_and_comes_back_to_nothing(http: Http, closed_port: int) -> None:
    async with serving(answering(OK)) as url:
        assert (http.under_way, http.open_sockets) == (0, 0)
        async with http.stream("GET", url, allowed=Reach.THIS_MACHINE) as reply:
            assert (http.under_way, http.open_sockets) == (1, 1)
            await reply.read()
        await failure(http, f"http://127.0.0.1:{closed_port}")
        assert http.under_way == 0
    await http.refresh()
    assert http.open_sockets == 0


# --- large requests ---------------------------------------------------------------------------------------


async def test_a_large_request_arrives_whole(http: Http) -> None:
    seen = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            seen.append(await read_request(reader))
            writer.write(OK)

    large = {"image": "x" * (3 * MIB)}
    async with serving(handle) as url:
        for _ in range(2):
            await http.request("POST", url, allowed=Reach.THIS_MACHINE, json=large)
    assert [json.loads(request.partition(b"\r\n\r\n")[2]) for request in seen] == [large, large]


async def test_a_large_request_that_was_taken_may_be_thought_about_for_long() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        await asyncio.sleep(0.2)
        writer.write(OK)

    http = Http(Deadlines(request=0.1))
    large = {"image": "x" * MIB}
    async with (
        serving(handle) as url,
        http.stream("POST", url, allowed=Reach.THIS_MACHINE, json=large) as reply,
    ):
        assert await reply.read() == b"{}"
    await http.aclose()


@asynccontextmanager
async def not_reading(greeting: bytes = b"") -> AsyncIterator[tuple[str, asyncio.Event, asyncio.Event]]:
    """A server that takes nothing of a request; its address, and two events.

    The first says that no more of a request fits into the buffers, the second that the connection is gone.
    """
    import fcntl
    import termios

    loop = asyncio.get_running_loop()
    stuck, gone = asyncio.Event(), asyncio.Event()

    class Stubborn(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            transport.pause_reading()
            transport.write(greeting)
            look(transport)

        def connection_lost(self, error: Exception | None) -> None:
            gone.set()

    def look(transport: asyncio.Transport, buffered_before: int = 0) -> None:
        sock = transport.get_extra_info("socket")
        buffered = int.from_bytes(fcntl.ioctl(sock.fileno(), termios.FIONREAD, bytes(4)), sys.byteorder)
        if buffered == buffered_before > 0:
            stuck.set()
        state = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
        if state == _ESTABLISHED:
            loop.call_later(0.005, look, transport, buffered)
        else:
            transport.abort()

    server = await loop.create_server(Stubborn, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", stuck, gone
    finally:
        server.close()


_ESTABLISHED = 1  # TCP_ESTABLISHED of tcp_states.h
_VAST = {"image": "x" * (16 * MIB)}
_needs_tcp_info = pytest.mark.skipif(sys.platform != "linux", reason="looks into Linux's sockets")


@_needs_tcp_info
async def test_a_server_that_does_not_take_the_request_is_left_after_a_while() -> None:
    http = Http(Deadlines(request=0.05))
    await http.warm_up()
    async with not_reading() as (url, _stuck, gone):
        started = time.monotonic()
        with pytest.raises(BackendError) as caught:
            async with http.stream("POST", url, allowed=Reach.THIS_MACHINE, json=_VAST):
                pass
        taken = time.monotonic() - started
        await asyncio.wait_for(gone.wait(), 1)
    assert caught.value.kind is ErrorKind.STALLED
    # 0.05 s, and a tenth of it for each of the 16 MiB.
    assert 0.13 <= taken < 0.13 + 0.2
    assert http.under_way == 0
    await http.aclose()


@_needs_tcp_info
async def test_cancelling_a_request_that_is_not_taken_closes_its_socket_at_once(http: Http) -> None:
    async with not_reading() as (url, stuck, gone):
        task = asyncio.create_task(http.request("POST", url, allowed=Reach.THIS_MACHINE, json=_VAST))
        await stuck.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(gone.wait(), 1)


@_needs_tcp_info
async def test_an_answer_that_comes_before_the_request_is_taken_counts(http: Http) -> None:
    refusal = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 10\r\n\r\ntoo large!"
    async with not_reading(refusal) as (url, _stuck, gone):
        reply = await http.request("POST", url, allowed=Reach.THIS_MACHINE, json=_VAST)
        await asyncio.wait_for(gone.wait(), 1)
    assert (reply.status, reply.body) == (413, b"too large!")


# --- reach ------------------------------------------------------------------------------------------------


class NoLookups:
    """Fails the test if anything asks the DNS or connects."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[object] = []

        def getaddrinfo(*question: object, **_options: object) -> list[object]:
            self.asked.append(question)
            raise socket.gaierror(socket.EAI_NONAME, "refused by the test")

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@pytest.mark.parametrize(
    ("url", "allowed", "needed"),
    [
        ("http://192.168.1.20:1234", Reach.THIS_MACHINE, Reach.MY_NETWORK),
        ("http://nas.local:11434", Reach.THIS_MACHINE, Reach.MY_NETWORK),
        ("https://openrouter.ai/api/v1", Reach.THIS_MACHINE, Reach.CLOUD),
        ("https://openrouter.ai/api/v1", Reach.MY_NETWORK, Reach.CLOUD),
        ("http://8.8.8.8", Reach.MY_NETWORK, Reach.CLOUD),
        ("http://localhost.evil.example", Reach.MY_NETWORK, Reach.CLOUD),
    ],
)
async def test_what_goes_too_far_is_refused_before_even_the_name_is_looked_up(
    http: Http, monkeypatch: pytest.MonkeyPatch, url: str, allowed: Reach, needed: Reach
) -> None:
    lookups = NoLookups(monkeypatch)
    with pytest.raises(ConsentRequired) as caught:
        await http.request("GET", url, allowed=allowed)
    assert caught.value.needed is needed
    assert lookups.asked == []


@pytest.mark.parametrize("url", ["http://10.0.0.1", "https://openrouter.ai", "http://nas.local"])
async def test_with_the_network_switched_off_only_this_computer_is_reachable(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    lookups = NoLookups(monkeypatch)
    http = Http(allow_network=False)
    with pytest.raises(NetworkBlocked):
        await http.request("GET", url, allowed=Reach.CLOUD)
    assert lookups.asked == []
    async with serving(answering(OK)) as here:
        assert (await http.request("GET", here, allowed=Reach.THIS_MACHINE)).status == 200
    await http.aclose()


async def test_a_local_name_that_leads_out_of_the_network_is_refused_before_it_is_called(
    http: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    def resolve(*_question: object) -> list[object]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("203.0.113.7", 80))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(ReachError) as caught:
        await http.request("GET", "http://nas.local", allowed=Reach.MY_NETWORK)
    assert isinstance(caught.value, ConsentRequired)
    assert caught.value.needed is Reach.CLOUD
    assert "203.0.113.7" in caught.value.detail


@pytest.mark.parametrize("header", ["authorization", "x-api-key", "X-Goog-Api-Key"])
async def test_a_key_does_not_go_to_the_internet_unless_the_way_is_secure(
    http: Http, monkeypatch: pytest.MonkeyPatch, header: str
) -> None:
    lookups = NoLookups(monkeypatch)
    with pytest.raises(BackendError) as caught:
        await http.request("GET", "http://far.example", allowed=Reach.CLOUD, headers={header: KEY})
    error = caught.value
    assert (error.kind, error.request_sent) == (ErrorKind.NOT_CONFIGURED, False)
    assert error.title == "A key is not sent over a connection that is not secure."
    assert "https://far.example" in error.next_step
    assert lookups.asked == []
    for url, key in (("https://far.example", True), ("http://far.example", False)):
        await failure(http, url, allowed=Reach.CLOUD, key=key)
    assert len(lookups.asked) == 2


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_localhost_finds_a_server_on_either_loopback_address_without_dns(
    http: Http, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    try:
        async with serving(answering(OK), host) as url:
            lookups = NoLookups(monkeypatch)
            port = url.rpartition(":")[2]
            reply = await http.request("GET", f"http://localhost:{port}", allowed=Reach.THIS_MACHINE)
    except OSError as error:
        pytest.skip(f"this machine has no {host}: {error}")
    assert reply.status == 200
    assert lookups.asked == []


async def test_localhost_finds_a_server_on_the_second_address_although_the_first_hangs(http: Http) -> None:
    try:
        async with serving(answering(OK), "::1") as url:
            with full_backlog(int(url.rpartition(":")[2])) as port:
                started = time.monotonic()
                reply = await http.request("GET", f"http://localhost:{port}", allowed=Reach.THIS_MACHINE)
                taken = time.monotonic() - started
    except OSError as error:
        pytest.skip(f"this machine has no ::1: {error}")
    assert reply.status == 200
    assert taken <= 0.3


async def test_lookups_that_hang_hurt_nobody_on_this_computer(
    http: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"far{number}.example" for number in range(40)]
    with hanging_resolver(monkeypatch) as asked:
        tasks = [
            asyncio.create_task(http.request("GET", f"http://{name}", allowed=Reach.CLOUD))
            for name in (*names, *names)
        ]
        refused, hanging = await asyncio.wait(tasks, timeout=0.1)
        async with serving(answering(OK)) as url:
            started = time.monotonic()
            port = url.rpartition(":")[2]
            for host in ("127.0.0.1", "localhost"):
                await http.request("GET", f"http://{host}:{port}", allowed=Reach.THIS_MACHINE)
            await asyncio.to_thread(len, "what else needs a thread")
            taken = time.monotonic() - started
        for task in hanging:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    assert taken < 0.3
    # The same name is asked for once, and there is an end to the threads.
    assert sorted(asked) == sorted(names[:16])
    assert len(hanging) == 32
    errors = [error for error in results if isinstance(error, BackendError)]
    assert {error.kind for error in errors} == {ErrorKind.OFFLINE}
    assert len(errors) == len(refused)


def test_a_lookup_that_hangs_does_not_keep_the_program_from_ending() -> None:
    program = (
        "import asyncio, socket, threading\n"
        "socket.getaddrinfo = lambda *question: threading.Event().wait()\n"
        "from whisper_desktop.values import Reach\n"
        "from whisper_desktop.wire.http import Http\n"
        "async def main():\n"
        "    http = Http()\n"
        "    try:\n"
        "        await http.request('GET', 'http://far.example', allowed=Reach.CLOUD, connect=0.05)\n"
        "    except Exception as error:\n"
        "        print(error.kind)\n"
        "    await http.aclose()\n"
        "asyncio.run(main())\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], check=True, timeout=10, capture_output=True, text=True
    )
    assert ended.stdout.strip() == "connect_timeout"


PROXIES = ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "HTTPS_PROXY", "https_proxy")
UNUSABLE_PROXIES = (
    "socks5h://user:secret@127.0.0.1:1",
    "user:secret@127.0.0.1:1",
    "http://user:secret@[::1:1",
    "http://user:secret@:0",
    "http://user:secret@127.0.0.1:99999",
    "http://",
    "garbage",
    "http://ex ample",
    "\u202ehttp://secret",
)


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:{closed_port}", *UNUSABLE_PROXIES])
async def test_proxies_of_the_environment_are_not_used_for_this_computer(
    monkeypatch: pytest.MonkeyPatch, closed_port: int, proxy: str
) -> None:
    for name in PROXIES:
        monkeypatch.setenv(name, proxy.replace("{closed_port}", str(closed_port)))
    http = Http()
    async with serving(answering(OK)) as url:
        for allowed in Reach:
            assert (await http.request("GET", url, allowed=allowed)).status == 200
    await http.aclose()


async def test_a_far_address_goes_through_the_proxy_of_the_environment(
    http: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await read_request(reader))
        writer.write(OK)

    async with serving(handle) as proxy:
        monkeypatch.setenv("http_proxy", proxy)
        assert (await http.request("GET", "http://far.example/v1", allowed=Reach.CLOUD)).status == 200
    assert seen[0].startswith(b"GET http://far.example/v1 HTTP/1.1")


@pytest.mark.parametrize("proxy", UNUSABLE_PROXIES)
async def test_a_proxy_that_cannot_be_used_is_named_without_its_password(
    http: Http, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    error = await failure(http, "https://far.example", allowed=Reach.CLOUD)
    assert (error.kind, error.request_sent) == (ErrorKind.NOT_CONFIGURED, False)
    assert "HTTPS_PROXY" in error.next_step
    assert "secret" not in str(error)


async def test_a_proxy_that_does_not_answer_is_told_as_the_proxy(
    http: Http, monkeypatch: pytest.MonkeyPatch, closed_port: int
) -> None:
    monkeypatch.setenv("ALL_PROXY", f"http://user:secret@127.0.0.1:{closed_port}")
    for url in ("http://far.example", "https://far.example"):
        error = await failure(http, url, allowed=Reach.CLOUD, key=url.startswith("https"))
        assert (error.kind, error.request_sent) == (ErrorKind.OFFLINE, False)
        assert "secret" not in "".join(traceback.format_exception(error))


async def test_a_far_address_that_no_proxy_names_is_not_sent_to_the_proxy(
    http: Http, monkeypatch: pytest.MonkeyPatch, closed_port: int
) -> None:
    monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{closed_port}")
    monkeypatch.setenv("NO_PROXY", "far.example")
    lookups = NoLookups(monkeypatch)
    await failure(http, "https://far.example", allowed=Reach.CLOUD)
    assert len(lookups.asked) == 1


async def test_an_address_that_cannot_be_used_is_a_kind_error(http: Http) -> None:
    assert (await failure(http, "ftp://127.0.0.1")).kind is ErrorKind.NOT_CONFIGURED


def test_importing_the_module_does_not_import_an_http_library() -> None:
    program = (
        "import sys, whisper_desktop.wire.http\n"
        "heavy = {'httpx', 'aiohttp', 'pydantic'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


async def test_the_default_connect_deadline_depends_on_how_far_the_server_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    http = Http(Deadlines(connect_network=0.05))
    with hanging_resolver(monkeypatch):
        error = await failure(http, "http://nas.local", allowed=Reach.MY_NETWORK)
    assert error.kind is ErrorKind.CONNECT_TIMEOUT
    assert "0.05 s" in error.title
    await http.aclose()
