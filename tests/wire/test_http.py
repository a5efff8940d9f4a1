"""Transport faults on real sockets, the reach guard, keep-alive, and what a cancelled stream leaves."""

import asyncio
import contextlib
import gzip
import json
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

import pytest

from whisper_desktop.errors import BackendError, ConsentRequired, NetworkBlocked, ReachError
from whisper_desktop.values import Deadlines, ErrorKind, Reach
from whisper_desktop.wire.http import Http

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    client = Http()
    yield client
    await client.aclose()


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


async def failure(
    http: Http, url: str, *, allowed: Reach = Reach.THIS_MACHINE, **options: float
) -> BackendError:
    with pytest.raises(BackendError) as caught:
        await http.request("POST", url, allowed=allowed, json={"a": 1}, **options)  # type: ignore[arg-type]
    error = caught.value
    assert error.title
    assert "aiohttp" not in str(error)
    assert "httpx" not in str(error)
    return error


async def read_all(http: Http, url: str, take: Callable[[bytes], object]) -> None:
    async with http.stream("POST", url, allowed=Reach.THIS_MACHINE) as reply:
        async for piece in reply.iter_bytes():
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
    error = await failure(http, "http://nonexistent.invalid/v1", allowed=Reach.CLOUD)
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
    [b"SSH-2.0-OpenSSH_9.2\r\n", b"\x15\x03\x01\x00\x02\x02\x46", b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70000],
    ids=["ssh", "tls", "endless header"],
)
async def test_a_program_that_speaks_no_http_is_not_a_model_server(http: Http, response: bytes) -> None:
    async with serving(answering(response)) as url:
        error = await failure(http, url)
    assert error.kind is ErrorKind.NOT_AN_LLM


async def test_a_full_backlog_costs_the_connect_deadline_and_no_more(http: Http) -> None:
    with socket.socket() as listener, contextlib.ExitStack() as stack:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        where = listener.getsockname()
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(where)
        error = await failure(http, f"http://127.0.0.1:{where[1]}", connect=0.05)
    assert (error.kind, error.request_sent) == (ErrorKind.CONNECT_TIMEOUT, False)
    assert "0.05 s" in error.title


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
    assert "http://elsewhere.example/login" in error.title
    assert "token" not in str(error)


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


async def test_a_broken_gzip_body_is_malformed(http: Http) -> None:
    async with serving(
        answering(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope")
    ) as url:
        assert (await failure(http, url)).kind is ErrorKind.MALFORMED


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


async def test_a_fresh_connection_that_dies_is_not_tried_again(http: Http) -> None:
    connections = 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await read_request(reader)

    async with serving(handle) as url:
        await failure(http, url)
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
            async for piece in reply.iter_bytes():
                assert piece == b"hello"
                break
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
    async def resolve(*_question: object, **_options: object) -> list[object]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("203.0.113.7", 80))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    with pytest.raises(ReachError) as caught:
        await http.request("GET", "http://nas.local", allowed=Reach.MY_NETWORK)
    assert isinstance(caught.value, ConsentRequired)
    assert caught.value.needed is Reach.CLOUD
    assert "203.0.113.7" in caught.value.detail


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


async def test_proxies_of_the_environment_are_not_used_for_this_computer(
    http: Http, monkeypatch: pytest.MonkeyPatch, closed_port: int
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{closed_port}")
    async with serving(answering(OK)) as url:
        assert (await http.request("GET", url, allowed=Reach.CLOUD)).status == 200


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


async def test_a_proxy_that_cannot_be_used_is_named_and_does_not_break_local_traffic(
    http: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5h://127.0.0.1:1")
    error = await failure(http, "https://far.example", allowed=Reach.CLOUD)
    assert error.kind is ErrorKind.NOT_CONFIGURED
    assert "HTTPS_PROXY" in error.next_step
    async with serving(answering(OK)) as url:
        assert (await http.request("GET", url, allowed=Reach.CLOUD)).status == 200


async def test_an_address_that_cannot_be_used_is_a_kind_error(http: Http) -> None:
    assert (await failure(http, "ftp://127.0.0.1")).kind is ErrorKind.NOT_CONFIGURED


def test_importing_the_module_does_not_import_an_http_library() -> None:
    program = (
        "import sys, whisper_desktop.wire.http\n"
        "heavy = {'httpx', 'aiohttp', 'httpx_aiohttp', 'pydantic'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


async def test_the_default_connect_deadline_depends_on_how_far_the_server_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    http = Http(Deadlines(connect_network=0.05))

    async def resolve(*_question: object, **_options: object) -> list[object]:
        await asyncio.Event().wait()
        return []

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    error = await failure(http, "http://nas.local", allowed=Reach.MY_NETWORK)
    assert error.kind is ErrorKind.CONNECT_TIMEOUT
    assert "0.05 s" in error.title
    await http.aclose()
