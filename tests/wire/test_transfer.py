"""Downloads over real sockets: whatever breaks, the file is there whole and right, or not at all."""

# ruff: noqa: ASYNC240 - the tests look at small files while nothing else happens

import asyncio
import hashlib
import itertools
import json
import os
import sys
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.ports import closed_port
from tests.servers.launch import RunningServer, start
from whisper_desktop.errors import ConsentRequired, NetworkBlocked, ReachError, TransferError
from whisper_desktop.values import Deadlines, Reach
from whisper_desktop.wire.address import parse_url
from whisper_desktop.wire.download_answers import Changed, Failure, read_offer, redirected, usable
from whisper_desktop.wire.http import Http
from whisper_desktop.wire.journal import Source
from whisper_desktop.wire.part_file import PartFile
from whisper_desktop.wire.transfer import DownloadProgress, download

MIB = 2**20
QUICK = replace(Deadlines(), retry_pause=0.002, download_stall=5.0)
DATA = bytes(range(256)) * 400
OTHER = DATA[::-1]


@dataclass
class Forge:
    """A release server whose files lie on another origin; each test has a file of its own there."""

    folder: Path
    front: RunningServer
    storage: RunningServer
    numbers: Iterator[int] = field(default_factory=itertools.count)
    file: Path = Path()

    def offer(self, data: bytes) -> str:
        """The address of a new file."""
        tag = f"b{next(self.numbers)}"
        self.file = self.folder / "o" / "r" / tag / "a.bin"
        self.file.parent.mkdir(parents=True)
        self.file.write_bytes(data)
        return f"{self.front.url}/o/r/releases/download/{tag}/a.bin"

    def mirror(self, url: str) -> str:
        """The same file at another address."""
        return url.replace(self.front.url, self.storage.url)

    def fault(self, mode: str, arg: object = "", count: int | None = None, on: str = "") -> None:
        """Of both servers, each its own count."""
        for server in (self.front, self.storage):
            server.set_fault(mode, arg, count, on)

    def asked(self) -> list[dict[str, Any]]:
        """The requests for the file itself that reached the storage since the last call."""
        requests = self.storage.requests()
        found = [each for each in requests[self._seen :] if "/release-assets/" in each["path"]]
        self._seen = len(requests)
        return found

    _seen: int = 0


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forge]:
    folder = tmp_path_factory.mktemp("forge")
    with start("release_server", "--folder", str(folder)) as storage:  # noqa: SIM117 - one needs the other
        with start("release_server", "--folder", str(folder), "--assets", storage.url) as front:
            yield Forge(folder, front, storage)


@pytest.fixture
def forge(running: Forge) -> Iterator[Forge]:
    running.asked()
    yield running
    running.fault("none")


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    client = Http()
    yield client
    assert client.under_way == 0
    await client.aclose()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "downloads" / "a.bin"


async def fetch(http: Http, target: Path, *urls: str, data: bytes | None = None, **more: Any) -> bytes:
    """Downloads, and what is there then. With `data` its checksum and size are asked for."""
    wanted: dict[str, Any] = {"allowed": Reach.THIS_MACHINE, "limit": 2**40, "deadlines": QUICK}
    wanted |= {"sha256": None, "size": None} if data is None else {"sha256": digest(data), "size": len(data)}
    assert await download(http, urls, target, **wanted | more) == target
    assert os.listdir(target.parent) == [target.name]
    return target.read_bytes()


async def refused(http: Http, target: Path, *urls: str, **more: Any) -> TransferError:
    """What is said when it cannot be had."""
    with pytest.raises(TransferError) as caught:
        await fetch(http, target, *urls, **more)
    assert caught.value.title == "a.bin could not be downloaded."
    assert caught.value.detail.endswith((".", ")."))
    assert caught.value.next_step
    assert "sig=" not in str(caught.value)
    assert not target.exists()
    return caught.value


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def arrive(part: PartFile, *pieces: bytes) -> None:
    """From the first byte on."""
    part.write(0, pieces, part.request(0, None, "00000000"))
    part.have.add(0, sum(map(len, pieces)))


def part_of(target: Path) -> Path:
    return target.with_name("a.bin.part")


# --- when nothing breaks ----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 1000, 3 * MIB + 5])
@pytest.mark.parametrize("known", [True, False])
async def test_a_file_arrives_whole(http: Http, forge: Forge, target: Path, size: int, known: bool) -> None:
    data = os.urandom(size)
    seen: list[DownloadProgress] = []
    url = forge.offer(data)
    assert await fetch(http, target, url, data=data if known else None, on_progress=seen.append) == data
    if size or not known:  # Of an empty file with a known size nothing has to be asked for.
        assert seen[0] == DownloadProgress(0, size, forge.storage.url[7:])
        assert seen[-1] == DownloadProgress(size, size, forge.storage.url[7:])
    assert [each.done_bytes for each in seen] == sorted(each.done_bytes for each in seen)


async def test_redirects_are_followed_to_another_origin_without_any_credentials(
    http: Http, forge: Forge, target: Path
) -> None:
    await fetch(http, target, forge.offer(DATA), data=DATA)
    (request,) = forge.asked()
    assert set(request["headers"]) == {"host", "user-agent", "accept", "accept-encoding"}
    assert request["headers"]["accept-encoding"] == "identity"


async def test_a_file_that_is_there_with_the_right_checksum_is_not_asked_for(
    http: Http, forge: Forge, target: Path
) -> None:
    target.parent.mkdir()
    target.write_bytes(DATA)
    before = target.stat().st_mtime_ns
    assert await fetch(http, target, "http://127.0.0.1:9/nobody", data=DATA) == DATA
    assert target.stat().st_mtime_ns == before


@pytest.mark.parametrize("known", [True, False])
async def test_a_file_that_is_there_and_is_another_is_replaced(
    http: Http, forge: Forge, target: Path, known: bool
) -> None:
    target.parent.mkdir()
    target.write_bytes(OTHER)
    assert await fetch(http, target, forge.offer(DATA), data=DATA if known else None) == DATA


async def test_a_file_without_a_known_length_arrives(http: Http, forge: Forge, target: Path) -> None:
    forge.fault("no_length")
    seen: list[DownloadProgress] = []
    assert await fetch(http, target, forge.offer(DATA), on_progress=seen.append) == DATA
    assert seen[0].total_bytes is None
    assert seen[-1].total_bytes == len(DATA)


async def test_memory_does_not_grow_with_the_file(http: Http, forge: Forge, target: Path) -> None:
    data = bytes(32 * MIB)
    url, sha256 = forge.offer(data), digest(data)
    size = len(data)
    del data
    tracemalloc.start()
    try:
        await download(
            http,
            [url],
            target,
            allowed=Reach.THIS_MACHINE,
            sha256=sha256,
            size=size,
            limit=size,
            deadlines=QUICK,
        )
        assert tracemalloc.get_traced_memory()[1] < 12 * MIB
    finally:
        tracemalloc.stop()


# --- resuming ---------------------------------------------------------------------------------------------


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cuts=st.lists(st.integers(0, len(DATA)), min_size=1, max_size=4),
    mode=st.sampled_from(["cut_mid_stream", "die_mid_stream"]),
    known=st.booleans(),
    validator=st.sampled_from(["", "weak_etag", "no_validator"]),
)
async def test_wherever_it_is_cut_the_file_is_the_same(
    forge: Forge, tmp_path: Path, cuts: list[int], mode: str, known: bool, validator: str
) -> None:
    http, target = Http(), tmp_path / "downloads" / "a.bin"
    target.unlink(missing_ok=True)
    url = forge.offer(DATA)
    faults = [{"mode": mode, "arg": cut, "count": 1} for cut in cuts]
    forge.storage.set_faults(*faults, {"mode": validator or "none"})
    try:
        assert await fetch(http, target, url, data=DATA if known else None) == DATA
    finally:
        await http.aclose()


async def test_a_cut_is_gone_on_from_where_it_was(http: Http, forge: Forge, target: Path) -> None:
    forge.storage.set_fault("cut_mid_stream", "5000:0.1", 2)
    seen: list[DownloadProgress] = []
    assert await fetch(http, target, forge.offer(DATA), on_progress=seen.append) == DATA
    first, *others = [each["headers"] for each in forge.asked()]
    assert "range" not in first
    assert [each["range"] for each in others] == ["bytes=5000-", "bytes=10000-"]
    assert all(each["if-range"].startswith('"0x') for each in others)
    (said, _) = [each.waiting for each in seen if each.waiting]
    assert said.endswith("It is tried again in 1 s.")


async def test_what_arrived_is_kept_for_the_next_time(http: Http, forge: Forge, target: Path) -> None:
    url = forge.offer(DATA)
    forge.storage.set_faults(
        {"mode": "cut_mid_stream", "arg": "7000:0.1", "count": 1}, {"mode": "cut_mid_stream"}
    )
    error = await refused(http, target, url)
    assert "(7000 bytes) is kept" in error.next_step
    assert part_of(target).read_bytes() == DATA[:7000]
    forge.fault("none")
    forge.asked()
    assert await fetch(http, target, url) == DATA
    assert [each["headers"]["range"] for each in forge.asked()] == ["bytes=7000-"]


async def test_a_download_that_is_cancelled_keeps_what_it_has(http: Http, forge: Forge, target: Path) -> None:
    url = forge.offer(DATA)
    forge.storage.set_fault("slow", 100_000, 1)
    seen: list[DownloadProgress] = []

    def cancel(progress: DownloadProgress) -> None:
        seen.append(progress)
        if progress.done_bytes:
            task.cancel()

    task = asyncio.create_task(fetch(http, target, url, data=DATA, on_progress=cancel))
    with pytest.raises(asyncio.CancelledError):
        await task
    kept = part_of(target).read_bytes()
    assert len(kept) >= seen[-1].done_bytes > 0
    assert DATA.startswith(kept)
    assert await fetch(http, target, url, data=DATA) == DATA
    assert forge.asked()[-1]["headers"]["range"] == f"bytes={len(kept)}-"


async def test_nobody_waits_for_the_checksum_of_a_long_part_once_it_is_cancelled(
    http: Http, forge: Forge, target: Path
) -> None:
    size = 2**35
    target.parent.mkdir()
    noted = {"address": "", "validator": "", "total": size, "sha256": digest(DATA)}
    target.with_name("a.bin.part.json").write_text(json.dumps(noted))
    part_of(target).touch()
    os.truncate(part_of(target), size)  # 32 GiB of nothing, as older versions noted it
    checked: list[str] = []

    def cancel(progress: DownloadProgress) -> None:
        checked.append(progress.waiting)
        asyncio.get_running_loop().call_later(0.05, task.cancel)

    task = asyncio.create_task(
        fetch(http, target, forge.offer(DATA), data=DATA, size=size, limit=size, on_progress=cancel)
    )
    async with asyncio.timeout(2):
        with pytest.raises(asyncio.CancelledError):
            await task
    assert checked == ["Its checksum is computed."]
    assert part_of(target).stat().st_size == 2**35


@pytest.mark.parametrize("mode", ["ignore_range", "wrong_range", "range_416", "other_version", "busy_503"])
@pytest.mark.parametrize("known", [True, False])
async def test_a_server_that_does_not_go_on_gives_the_file_anew(
    http: Http, forge: Forge, target: Path, mode: str, known: bool
) -> None:
    forge.storage.set_faults(
        {"mode": "cut_mid_stream", "arg": "5000:0.1", "count": 1}, {"mode": mode, "count": 1}
    )
    assert await fetch(http, target, forge.offer(DATA), data=DATA if known else None) == DATA


async def test_the_rest_of_a_file_of_another_size_is_not_taken(
    http: Http, forge: Forge, target: Path
) -> None:
    url = forge.offer(DATA)
    faults = [{"mode": mode, "arg": "5000:0.1", "count": 1} for mode in ("cut_mid_stream", "foreign_range")]
    forge.storage.set_faults(*faults)
    assert await fetch(http, target, url) == DATA
    assert [each["headers"].get("range") for each in forge.asked()] == [None, "bytes=5000-", None]
    target.unlink()
    forge.storage.set_faults(*faults)
    assert "are offered" in (await refused(http, target, url, data=DATA)).detail
    assert part_of(target).read_bytes() == DATA[:5000]


@pytest.mark.parametrize("obeys", [True, False])
@pytest.mark.parametrize("longer", [0, 100])
async def test_a_file_that_changed_meanwhile_is_never_mixed(
    http: Http, forge: Forge, target: Path, obeys: bool, longer: int
) -> None:
    url = forge.offer(DATA)
    forge.storage.set_faults(
        {"mode": "cut_mid_stream", "arg": "5000:0.1", "count": 1}, {"mode": "cut_mid_stream"}
    )
    await refused(http, target, url)
    forge.file.write_bytes(OTHER + bytes(longer))
    forge.fault("none")
    if not obeys:
        forge.storage.set_fault("ignore_if_range")
    assert await fetch(http, target, url) == OTHER + bytes(longer)


async def test_a_part_of_something_else_is_noticed_by_the_checksum_and_fetched_again(
    http: Http, forge: Forge, target: Path
) -> None:
    url = forge.offer(DATA)
    part = PartFile(target)
    part.open()
    part.begin(Source("another mirror", '"tag"', len(DATA), digest(DATA)))
    arrive(part, OTHER[:5000])
    part.close()
    assert await fetch(http, target, url, data=DATA) == DATA
    assert [each["headers"].get("range") for each in forge.asked()] == ["bytes=5000-", "bytes=0-4999"]


@pytest.mark.parametrize("known", [True, False])
async def test_a_part_that_is_whole_is_not_asked_for_again(
    http: Http, forge: Forge, target: Path, known: bool
) -> None:
    url = forge.offer(DATA)
    sha256 = digest(DATA) if known else ""
    part = PartFile(target)
    part.open()
    part.begin(Source(digest(url.encode()), '"tag"', len(DATA), sha256))
    arrive(part, DATA)
    part.close()
    assert await fetch(http, target, url, data=DATA if known else None) == DATA
    assert forge.asked() == []


async def test_a_part_of_a_file_with_another_checksum_is_not_gone_on_with(
    http: Http, forge: Forge, target: Path
) -> None:
    url = forge.offer(DATA)
    part = PartFile(target)
    part.open()
    part.begin(Source(digest(url.encode()), '"tag"', len(DATA), digest(OTHER)))
    arrive(part, OTHER[:5000])
    part.close()
    assert await fetch(http, target, url, data=DATA) == DATA
    assert [each["headers"].get("range") for each in forge.asked()] == [None]


def test_a_file_that_is_shorter_than_the_part_is_another() -> None:
    kept = Source("a", '"tag"', None, "")
    with pytest.raises(Changed):
        read_offer("h", 416, {"content-range": "bytes */5000"}, 7000, None, kept, same=True)
    assert read_offer("h", 416, {"content-range": "bytes */7000"}, 7000, None, kept, same=True).total == 7000


@pytest.mark.parametrize("known", [True, False])
async def test_a_part_that_is_too_long_is_dropped(
    http: Http, forge: Forge, target: Path, known: bool
) -> None:
    url = forge.offer(DATA)
    part = PartFile(target)
    part.open()
    part.begin(Source(digest(url.encode()), '"tag"', len(DATA), digest(DATA) if known else ""))
    arrive(part, DATA, b"more")
    part.close()
    assert await fetch(http, target, url, data=DATA if known else None) == DATA
    assert [each["headers"].get("range") for each in forge.asked()] == [None]


NOTE: st.SearchStrategy[dict[str, object]] = st.fixed_dictionaries(
    {},
    optional={
        name: st.none() | st.integers(-5, 10**6) | st.booleans() | st.text(max_size=5) | st.just([])
        for name in ("address", "validator", "total", "sha256", "else")
    },
)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(note=st.binary(max_size=20) | NOTE.map(lambda value: json.dumps(value).encode()), part=st.binary())
async def test_whatever_the_note_says_the_file_is_right(
    forge: Forge, tmp_path: Path, note: bytes, part: bytes
) -> None:
    http, target = Http(), tmp_path / "downloads" / "a.bin"
    target.parent.mkdir(exist_ok=True)
    part_of(target).write_bytes(part)
    target.with_name("a.bin.part.json").write_bytes(note)
    try:
        assert await fetch(http, target, forge.offer(DATA)) == DATA
    finally:
        await http.aclose()


@pytest.mark.parametrize(
    ("headers", "validator"),
    [
        ({"etag": '"a"', "last-modified": "then"}, '"a"'),
        ({"etag": 'W/"a"', "last-modified": "then"}, "then"),
        ({"etag": f'"{"a" * 600}"', "last-modified": "then"}, ""),
        ({"etag": 'W/"a"'}, ""),
        ({}, ""),
    ],
)
def test_a_version_is_named_by_a_strong_tag_else_by_its_date(headers: dict[str, str], validator: str) -> None:
    assert read_offer("x", 200, headers, 0, None, same=False).validator == validator


@pytest.mark.parametrize(("mode", "asked"), [("weak_etag", "GMT"), ("no_validator", None)])
async def test_without_a_strong_tag_the_date_decides_and_without_a_date_nothing_is_resumed(
    http: Http, forge: Forge, target: Path, mode: str, asked: str | None
) -> None:
    url = forge.offer(DATA)
    forge.storage.set_fault(mode)
    part = PartFile(target)
    part.open()
    date = "Sat, 21 Nov 2026 10:00:00 GMT" if asked else ""
    part.begin(Source(digest(url.encode()), date, len(DATA), ""))
    arrive(part, DATA[:10])
    part.close()
    assert await fetch(http, target, url) == DATA
    headers = forge.asked()[0]["headers"]
    assert headers.get("if-range", "None").endswith(str(asked))
    assert ("range" in headers) == bool(asked)


# --- redirects and reach ----------------------------------------------------------------------------------


async def test_five_redirects_are_followed_and_no_more(http: Http, forge: Forge, target: Path) -> None:
    url = forge.offer(DATA)
    forge.storage.set_fault("redirect", count=4)
    assert await fetch(http, target, url) == DATA
    target.unlink()
    forge.storage.set_fault("redirect", count=5)
    assert "on and on" in (await refused(http, target, url)).detail


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("http://example.com/a", "without encryption"),
        ("ftp://127.0.0.1/a", "an address that is none"),
        ("file:///etc/passwd", "an address that is none"),
        ("https://me:secret@127.0.0.1/a", "an address that is none"),
        ("http://[", "an address that is none"),
    ],
)
async def test_a_redirect_to_where_nobody_should_go_is_not_followed(
    http: Http, forge: Forge, target: Path, where: str, said: str
) -> None:
    url = forge.offer(DATA)
    forge.storage.set_fault("redirect", where)
    error = await refused(http, target, url, allowed=Reach.CLOUD)
    assert said in error.detail
    assert "secret" not in str(error)


async def test_a_redirect_that_leads_farther_than_allowed_needs_consent(
    http: Http, forge: Forge, target: Path
) -> None:
    url = forge.offer(DATA)
    forge.storage.set_fault("redirect", "https://example.com/a")
    with pytest.raises(ConsentRequired):
        await fetch(http, target, url)
    http.allow_network = False
    with pytest.raises(NetworkBlocked):
        await fetch(http, target, url, allowed=Reach.CLOUD)


async def test_an_address_that_is_too_far_is_passed_over_while_there_is_another(
    http: Http, forge: Forge, target: Path
) -> None:
    url = forge.offer(DATA)
    assert await fetch(http, target, "https://example.com/a", url) == DATA
    forge.storage.set_fault("not_found_404")
    with pytest.raises(TransferError, match="does not have it. 1 more address did not help"):
        await fetch(http, target.with_name("b"), "https://example.com/a", url)
    with pytest.raises(ReachError):
        await fetch(http, target.with_name("b"), "https://example.com/a", "https://example.com/b")


@pytest.mark.parametrize(
    ("here", "location", "there"),
    [
        ("https://a.example/x/y", "z?q=1", "https://a.example/x/z?q=1"),
        ("https://a.example/x", "//b.example/z", "https://b.example/z"),
        ("http://nas.local/x", "/y", "http://nas.local/y"),
        ("http://nas.local/x", "https://a.example/y", "https://a.example/y"),
        ("http://127.0.0.1:1/x", "http://localhost:2/y", "http://localhost:2/y"),
        ("https://a.example/x", "http://a.example/y", None),
        ("https://a.example/x", "http://nas.local/y", None),
        ("https://a.example/x", "https://nas.local/y", None),
        ("https://a.example/x", "https://127.0.0.1/y", None),
        ("https://a.example/x", "http://127.0.0.1:1234/y", None),
        ("https://nas.local/x", "http://nas.local/y", None),
        ("http://nas.local/x", "http://localhost/y", None),
        ("http://nas.local/x", "http://a.example/y", None),
        ("http://nas.local/x", "javascript:alert(1)", None),
    ],
)
def test_a_redirect_leads_neither_nearer_nor_to_plain_http(
    here: str, location: str, there: str | None
) -> None:
    if there is None:
        with pytest.raises(Failure):
            redirected(parse_url(here), location)
    else:
        assert redirected(parse_url(here), location).url == there


@pytest.mark.parametrize(
    "url", ["http://example.com/a", "ftp://127.0.0.1/a", "https://a b/", "", "http://1.2.3.4/"]
)
def test_an_address_that_is_not_safe_is_not_asked(url: str) -> None:
    with pytest.raises(Failure):
        usable(url)


# --- what is wrong with the answer ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "arg", "said"),
    [
        ("gzip", "", "packs the file"),
        ("html_200", "", "a web page instead"),
        ("not_found_404", "", "does not have it"),
        ("rate_403", "", "refused to send it (HTTP 403)"),
        ("error_500", "", "busy or broken (HTTP 500)"),
        ("busy_503", "", "busy or broken (HTTP 503)"),
        ("other_bytes", "", "its checksum is another"),
        ("close_before_headers", "", "closed the connection without an answer"),
        ("reset_before_headers", "", "closed the connection without an answer"),
    ],
)
async def test_what_is_wrong_is_said_and_nothing_is_left(
    http: Http, forge: Forge, target: Path, mode: str, arg: str, said: str
) -> None:
    url = forge.offer(DATA)
    forge.storage.set_fault(mode, arg)
    assert said in (await refused(http, target, url, data=DATA)).detail
    assert os.listdir(target.parent) == []
    forge.fault("none")
    assert await fetch(http, target, url, data=DATA) == DATA


@pytest.mark.parametrize("mode", ["error_500", "busy_503", "rate_429"])
async def test_what_may_pass_is_tried_a_few_times(http: Http, forge: Forge, target: Path, mode: str) -> None:
    url = forge.offer(DATA)
    forge.storage.set_fault(mode, count=5)
    assert await fetch(http, target, url) == DATA
    target.unlink()
    forge.asked()
    forge.storage.set_fault(mode)
    await refused(http, target, url)
    assert len(forge.asked()) == 6


async def test_new_bytes_begin_the_count_of_tries_anew(http: Http, forge: Forge, target: Path) -> None:
    data = os.urandom(8 * MIB)
    forge.storage.set_fault("cut_mid_stream", f"{MIB}:0.05")
    assert await fetch(http, target, forge.offer(data), data=data) == data
    assert len(forge.asked()) == 8


async def test_a_server_that_says_when_is_asked_then(http: Http, forge: Forge, target: Path) -> None:
    url = forge.offer(DATA)
    forge.storage.set_fault("busy_503", "0.2", 1)
    assert await fetch(http, target, url) == DATA
    first, second = [each["time"] for each in forge.asked()]
    assert second - first >= 0.2


async def test_a_server_that_wants_to_be_left_alone_for_long_is_left_alone(
    http: Http, forge: Forge, target: Path
) -> None:
    url = forge.offer(DATA)
    forge.storage.set_fault("rate_429", "3600")
    assert "left alone for 3600 s" in (await refused(http, target, url)).detail
    assert len(forge.asked()) == 1


async def test_silence_ends_a_try_and_the_next_one_goes_on(http: Http, forge: Forge, target: Path) -> None:
    forge.storage.set_faults(
        {"mode": "stall_mid_stream", "arg": "5000:0.1", "count": 1}, {"mode": "hang", "count": 1}
    )
    deadlines = replace(QUICK, download_stall=0.4)
    assert await fetch(http, target, forge.offer(DATA), deadlines=deadlines) == DATA
    assert [each["headers"].get("range") for each in forge.asked()] == [None, "bytes=5000-", "bytes=5000-"]


async def test_a_file_that_comes_slowly_is_waited_for(http: Http, forge: Forge, target: Path) -> None:
    forge.storage.set_fault("slow", 100_000)  # a second, a few bytes at a time
    deadlines = replace(QUICK, download_stall=0.6)
    assert await fetch(http, target, forge.offer(DATA), deadlines=deadlines) == DATA
    assert len(forge.asked()) == 1


async def test_a_file_of_another_size_is_not_taken(http: Http, forge: Forge, target: Path) -> None:
    url = forge.offer(DATA)
    error = await refused(http, target, url, data=DATA + b"x")
    assert f"should have {len(DATA) + 1} bytes, but {len(DATA)} are offered" in error.detail
    assert os.listdir(target.parent) == []


@pytest.mark.parametrize("mode", ["none", "no_length"])
async def test_no_more_than_the_limit_is_taken(http: Http, forge: Forge, target: Path, mode: str) -> None:
    data = os.urandom(3 * MIB)
    url = forge.offer(data)
    forge.storage.set_fault(mode)
    await refused(http, target, url, limit=len(data) - 1)
    assert os.listdir(target.parent) == []
    assert await fetch(http, target, url, limit=len(data)) == data


async def test_a_body_that_does_not_end_is_left_at_the_limit(http: Http, forge: Forge, target: Path) -> None:
    url = forge.offer(DATA)
    forge.storage.set_fault("more", 2**27)
    before = len(forge.storage.log("disconnect"))
    await refused(http, target, url, limit=2 * MIB)
    forge.storage.wait_for("disconnect", before + 1)


async def test_a_file_that_is_known_to_be_too_large_is_not_asked_for(
    http: Http, forge: Forge, target: Path
) -> None:
    await refused(http, target, forge.offer(DATA), size=101, limit=100)
    assert forge.asked() == []


@pytest.mark.parametrize("known", [True, False])
async def test_more_bytes_than_the_file_has_are_not_taken(
    http: Http, forge: Forge, target: Path, known: bool
) -> None:
    data = os.urandom(3 * MIB)
    url = forge.offer(data)
    forge.storage.set_fault("more", 1)
    await refused(http, target, url, size=len(data), sha256=digest(data) if known else None)
    assert os.listdir(target.parent) == []


async def test_fewer_bytes_than_the_file_has_are_not_all_of_it(
    http: Http, forge: Forge, target: Path
) -> None:
    url = forge.offer(DATA[:5000])
    forge.storage.set_fault("no_length")
    seen: list[DownloadProgress] = []
    await refused(http, target, url, size=len(DATA), on_progress=seen.append)
    assert any("before all of the file was there" in each.waiting for each in seen)


async def test_a_checksum_that_is_none_and_a_list_without_addresses_are_refused_at_once(
    http: Http, forge: Forge, target: Path
) -> None:
    assert "checksum" in (await refused(http, target, forge.offer(DATA), sha256="abc")).detail
    assert "No address" in (await refused(http, target)).detail
    assert forge.asked() == []
    assert not target.parent.exists()


async def test_a_checksum_in_capitals_is_the_same(http: Http, forge: Forge, target: Path) -> None:
    assert await fetch(http, target, forge.offer(DATA), sha256=digest(DATA).upper()) == DATA


# --- mirrors ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["error_500", "not_found_404", "other_bytes", "close_before_headers"])
async def test_where_one_address_fails_the_next_one_is_asked(
    http: Http, forge: Forge, target: Path, mode: str
) -> None:
    forge.storage.set_fault(mode, count=1)
    url = forge.offer(DATA)
    nobody = f"http://127.0.0.1:{closed_port()}/a"
    assert await fetch(http, target, nobody, url, forge.mirror(url), data=DATA) == DATA
    assert len(forge.asked()) == 2


async def test_a_mirror_goes_on_where_the_first_one_ended_if_there_is_a_checksum(
    http: Http, forge: Forge, target: Path
) -> None:
    url = forge.offer(DATA)
    for data, expected in ((DATA, "bytes=5000-"), (None, None)):
        forge.storage.set_fault("cut_mid_stream", "5000:0.1", 1)
        assert await fetch(http, target, url, forge.mirror(url), data=data) == DATA
        first, second = [each["headers"] for each in forge.asked()]
        assert "range" not in first
        assert second.get("range") == expected
        assert "if-range" not in second
        target.unlink()


async def test_a_mirror_that_cannot_go_on_does_not_cost_what_is_there(
    http: Http, forge: Forge, target: Path
) -> None:
    url = forge.offer(DATA)
    nobody = f"http://127.0.0.1:{closed_port()}/a"
    forge.storage.set_fault("cut_mid_stream", "5000:0.1", 1)
    assert await fetch(http, target, url, nobody) == DATA
    assert [each["headers"].get("range") for each in forge.asked()] == [None, "bytes=5000-"]


async def test_a_mirror_with_another_file_does_not_cost_what_is_there(
    http: Http, forge: Forge, target: Path
) -> None:
    other = forge.offer(OTHER + b"more")
    url = forge.offer(DATA)
    forge.storage.set_fault("cut_mid_stream", "5000:0.1", 1)
    assert await fetch(http, target, url, other, data=DATA) == DATA
    assert [each["headers"].get("range") for each in forge.asked()] == [None, *["bytes=5000-"] * 2]


async def test_a_mirror_whose_file_is_too_large_is_passed_over(
    http: Http, forge: Forge, target: Path
) -> None:
    large, url = forge.offer(DATA * 2), forge.offer(DATA)
    assert await fetch(http, target, large, url, limit=len(DATA)) == DATA


async def test_when_nobody_gives_it_the_first_answer_is_told(http: Http, forge: Forge, target: Path) -> None:
    url = forge.offer(DATA)
    forge.storage.set_fault("not_found_404")
    nobody = f"http://127.0.0.1:{closed_port()}/a"
    error = await refused(http, target, forge.mirror(url), nobody, url)
    assert error.detail == f"{forge.storage.url[7:]} does not have it. 2 more addresses did not help."


# --- the disk ---------------------------------------------------------------------------------------------


async def test_two_downloads_of_one_file_do_not_meet(http: Http, forge: Forge, target: Path) -> None:
    url = forge.offer(DATA)
    forge.storage.set_fault("slow", 200_000)
    second: asyncio.Task[bytes] | None = None

    def begin_another(progress: DownloadProgress) -> None:
        nonlocal second
        if second is None:
            second = asyncio.create_task(fetch(http, target, url))

    assert await fetch(http, target, url, on_progress=begin_another) == DATA
    assert second is not None
    with pytest.raises(TransferError, match="being downloaded already"):
        await second
    assert len(forge.asked()) == 1


async def test_a_file_for_which_there_is_no_room_is_not_asked_for(
    http: Http, forge: Forge, target: Path
) -> None:
    error = await refused(http, target, forge.offer(DATA), size=10**17, limit=10**18)
    assert "no room" in error.detail
    assert error.next_step.startswith("Free at least ")
    assert forge.asked() == []


@pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full")
@pytest.mark.parametrize("size", [1000, 5 * MIB])
async def test_a_full_disk_is_named(http: Http, forge: Forge, target: Path, size: int) -> None:
    target.parent.mkdir()
    part_of(target).symlink_to("/dev/full")
    with pytest.raises(TransferError, match="could not be written to the disk. The disk is full. Free some"):
        await fetch(http, target, forge.offer(bytes(size)))
    assert not target.exists()
    assert len(forge.asked()) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit of POSIX")
async def test_a_disk_that_cannot_hold_large_files_is_named_and_the_part_stays_right(
    http: Http, forge: Forge, target: Path
) -> None:
    import resource

    url = forge.offer(os.urandom(5 * MIB))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 * MIB + 7, before[1]))
    try:
        with pytest.raises(TransferError, match="larger than this disk"):
            await fetch(http, target, url)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert forge.file.read_bytes().startswith(part_of(target).read_bytes())
    assert await fetch(http, target, url) == forge.file.read_bytes()


async def test_a_folder_in_the_place_of_the_file_is_noticed_before_anybody_is_asked(
    http: Http, forge: Forge, target: Path
) -> None:
    target.mkdir(parents=True)
    with pytest.raises(TransferError, match="could not be written"):
        await fetch(http, target, forge.offer(DATA))
    assert forge.asked() == []
