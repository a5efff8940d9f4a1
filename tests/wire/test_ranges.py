"""One range of a file: exactly that, or a sentence."""

import hashlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.servers.launch import RunningServer, start
from whisper_desktop.errors import ConsentRequired, TransferError
from whisper_desktop.values import Deadlines, Reach
from whisper_desktop.wire.http import Http
from whisper_desktop.wire.ranges import RangeReply, fetch_range

DATA = b"".join(hashlib.sha256(bytes([n])).digest() for n in range(250))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("hub")
    (folder / "a.bin").write_bytes(DATA)
    with start("range_storage", "--folder", str(folder), "--token", "t-1") as server:
        yield server


@pytest.fixture
def hub(running: RunningServer) -> Iterator[RunningServer]:
    yield running
    running.set_fault("none")


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    client = Http()
    await client.warm_up()
    yield client
    assert client.under_way == 0
    await client.aclose()


async def fetch(
    http: Http, hub: RunningServer, begin: int, length: int, *, key: str | None = "t-1", patience: float = 5.0
) -> RangeReply:
    deadlines = replace(Deadlines(), download_stall=patience)
    url = f"{hub.url}/files/a.bin"
    return await fetch_range(
        http, url, begin, length, allowed=Reach.THIS_MACHINE, key=key, deadlines=deadlines
    )


@pytest.mark.parametrize(("begin", "length"), [(0, 1), (0, 8000), (100, 50), (7990, 100), (0, 10**9)])
async def test_a_range_is_exactly_what_was_asked_for(
    http: Http, hub: RunningServer, begin: int, length: int
) -> None:
    found = await fetch(http, hub, begin, length)
    assert found.data == DATA[begin : begin + length]
    assert found.total == len(DATA)
    assert found.validator.startswith('"')


async def test_behind_a_long_signed_link_the_key_is_not_sent(http: Http, hub: RunningServer) -> None:
    other = f"http://localhost:{hub.port}"
    reply = await fetch(http, hub, 0, 10)
    assert reply.data == DATA[:10]
    asked = hub.requests()
    assert asked[-2]["headers"]["authorization"] == "Bearer t-1"
    assert len(asked[-1]["path"]) > 2048
    hub.set_fault("elsewhere", other)
    await fetch(http, hub, 0, 10)
    assert "authorization" not in hub.requests()[-1]["headers"]


@pytest.mark.parametrize("begin", [0, 5000])
async def test_of_a_server_that_sends_everything_only_the_range_is_kept(
    http: Http, hub: RunningServer, begin: int
) -> None:
    hub.set_fault("whole_200")
    assert (await fetch(http, hub, begin, 100)).data == DATA[begin : begin + 100]


@pytest.mark.parametrize(
    ("mode", "arg", "said"),
    [
        ("shifted", "", "another part"),
        ("short", "10", "less than it was asked for"),
        ("cut_short", "10", "ended before"),
        ("drip", "10", "next to nothing for 0.4 s"),
        ("hang", "", "sent nothing for 0.4 s"),
        ("gone_410", "", "does not have it"),
        ("rate_429", "", "HTTP 429"),
    ],
)
async def test_what_is_not_the_range_is_refused(
    http: Http, hub: RunningServer, mode: str, arg: str, said: str
) -> None:
    hub.set_fault(mode, arg)
    with pytest.raises(TransferError) as caught:
        await fetch(http, hub, 0, 8000, patience=0.4)
    assert said in caught.value.detail
    assert "t-1" not in str(caught.value) + repr(caught.value)


async def test_more_than_was_asked_for_is_left_there(http: Http, hub: RunningServer) -> None:
    hub.set_fault("long", 2**24)
    assert (await fetch(http, hub, 10, 100)).data == DATA[10:110]


async def test_a_refusal_tells_its_status(http: Http, hub: RunningServer) -> None:
    with pytest.raises(TransferError) as caught:
        await fetch(http, hub, 0, 10, key=None)
    assert getattr(caught.value, "status", None) == 401


async def test_behind_the_end_there_is_nothing(http: Http, hub: RunningServer) -> None:
    assert await fetch(http, hub, len(DATA), 10) == RangeReply(b"", len(DATA), "")


async def test_no_address_is_asked_that_is_farther_than_allowed(http: Http, tmp_path: Path) -> None:
    with pytest.raises(ConsentRequired):
        await fetch_range(
            http, "https://example.com/a", 0, 10, allowed=Reach.THIS_MACHINE, deadlines=Deadlines()
        )
