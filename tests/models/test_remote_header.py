"""The header of a model on a hub: a few megabytes over real sockets, whatever the hub does."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.fuzz.headers import ARRAY, Model, Value, Written, number, placed, text, vocabulary, write
from tests.servers.launch import RunningServer, start
from whisper_desktop.errors import ModelFileError, ReachError, TransferError
from whisper_desktop.models.gguf import GgufHeader, read_header
from whisper_desktop.models.remote_header import RemoteHeader, read_remote_header
from whisper_desktop.values import Deadlines, Reach
from whisper_desktop.wire.download_answers import Failure
from whisper_desktop.wire.http import Http

QUICK = replace(Deadlines(), retry_pause=0.002, download_stall=5.0)
MIB = 2**20
TOKEN = "hf_good"


@dataclass
class Hub:
    """A hub and its store; `folder` is one repository."""

    front: RunningServer
    store: RunningServer
    folder: Path

    def url(self, name: str) -> str:
        return f"{self.front.url}/org/repo/resolve/main/{name}"

    def offer(self, name: str, written: Written) -> str:
        """The address of a new file, with zeros for weights."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(written.data)
        with path.open("rb+") as file:
            file.truncate(written.file_bytes)
        return self.url(name)

    def ranges(self) -> list[str]:
        """What the store was asked for, in order."""
        return [each["headers"].get("range", "") for each in self.store.requests()]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    folder = tmp_path_factory.mktemp("hub")
    with start("hub", "--folder", str(folder)) as store:  # noqa: SIM117 - one needs the other
        with start("hub", "--folder", str(folder), "--cdn", store.url) as front:
            yield Hub(front, store, folder / "org" / "repo")


@pytest.fixture
def hub(running: Hub) -> Iterator[Hub]:
    yield running
    for server in (running.front, running.store):
        server.set_fault("none")
    for path in running.folder.rglob("*.*"):
        path.unlink()


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    client = Http()
    yield client
    assert client.under_way == 0
    await client.aclose()


async def read(http: Http, url: str, **more: Any) -> RemoteHeader:
    settings: dict[str, Any] = {"allowed": Reach.THIS_MACHINE, "deadlines": QUICK}
    return await read_remote_header(http, url, **settings | more)


def model(tokens: int = 0, merges: int = 0, *, place: int = 0, count: int = 1, size: int = 64) -> Written:
    """The file at `place` of a model in `count` files, each with ten tensors of `size` numbers."""
    pairs = [text("general.architecture", "llama"), number("llama.block_count", 10)]
    if count > 1:
        pairs += [number("split.no", place), number("split.count", count)]
    if tokens:
        pairs += vocabulary(tokens, merges)
    names = (f"blk.{layer}.part{place}.weight".encode() for layer in range(10))
    return write(Model(pairs, placed([(name, (size,), 0) for name in names])))


def plain(header: GgufHeader) -> tuple[object, ...]:
    return dict(header.metadata), header.file_bytes, header.tensors, header.missing_bytes


# --- what is fetched --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tokens", "merges", "ranges", "spare"),
    [(0, 0, 1, MIB), (32_000, 0, 1, MIB), (128_256, 280_147, 3, 3 * MIB), (262_144, 0, 2, MIB)],
)
async def test_the_header_is_that_of_the_file_and_little_more_is_fetched(
    http: Http, hub: Hub, tokens: int, merges: int, ranges: int, spare: int
) -> None:
    written = model(tokens, merges, size=2**19)
    url = hub.offer("a.gguf", written)
    before = len(hub.ranges())
    found = await read(http, url)
    assert plain(found.header) == plain(read_header(hub.folder / "a.gguf"))
    assert found.size_bytes == found.header.file_bytes == written.file_bytes
    assert len(written.data) <= found.fetched_bytes <= len(written.data) + spare
    assert len(hub.ranges()) - before == ranges


async def test_no_byte_is_fetched_twice(http: Http, hub: Hub) -> None:
    before = len(hub.ranges())
    found = await read(http, hub.offer("a.gguf", model(262_144, size=2**19)))
    spans = [tuple(map(int, each.removeprefix("bytes=").split("-"))) for each in hub.ranges()[before:]]
    assert [first for first, _ in spans] == [0, *(last + 1 for _, last in spans[:-1])]
    assert spans[-1][1] + 1 == found.fetched_bytes


async def test_many_tensors_take_few_requests(http: Http, hub: Hub) -> None:
    names = (f"blk.{number // 10}.a_tensor_with_a_name_of_{number % 10}".encode() for number in range(25_000))
    written = write(Model([], placed([(name, (8,), 0) for name in names])))
    before = len(hub.ranges())
    assert len((await read(http, hub.offer("a.gguf", written))).header.tensors) == 25_000
    assert len(hub.ranges()) - before == 2


async def test_a_small_file_is_fetched_as_a_whole(http: Http, hub: Hub) -> None:
    written = write(Model([text("general.architecture", "llama")]))
    found = await read(http, hub.offer("small.gguf", written))
    assert found.header.architecture == "llama"
    assert found.fetched_bytes == found.size_bytes == len(written.data)


async def test_the_key_goes_to_the_hub_and_not_to_its_store(http: Http, hub: Hub) -> None:
    url = hub.offer("a.gguf", model(32_000))
    (hub.folder / "repo.json").write_text('{"gated": "auto"}')
    with pytest.raises(Failure) as caught:
        await read(http, url)
    assert caught.value.status == 401
    before = len(hub.store.requests())
    assert (await read(http, url, key=TOKEN)).header.layers == 10
    asked = hub.store.requests()[before:]
    assert asked
    assert not any("authorization" in each["headers"] for each in asked)


@pytest.mark.parametrize("url", ["http://[::1/a.gguf", "no address", "file:///etc/passwd", ""])
async def test_what_is_no_address_is_an_error(http: Http, url: str) -> None:
    with pytest.raises(TransferError):
        await read(http, url)


async def test_a_place_that_is_not_allowed_is_not_asked(http: Http) -> None:
    with pytest.raises(ReachError):
        await read(http, "https://models.example/a.gguf")


# --- models in several files ------------------------------------------------------------------------------


def name_of(place: int, count: int) -> str:
    return f"Q4 K/big #1-{place + 1:05}-of-{count:05}.gguf"


async def test_all_files_of_a_model_are_read_together(http: Http, hub: Hub) -> None:
    for place in range(9):
        hub.offer(name_of(place, 9), model(place=place, count=9, size=2**16))
    found = await read(http, hub.url("Q4%20K/big%20%231-00001-of-00009.gguf?download=true"))
    assert plain(found.header) == plain(read_header(hub.folder / name_of(0, 9)))
    assert found.size_bytes == sum(path.stat().st_size for path in hub.folder.rglob("big*"))
    assert len(found.header.tensors) == 90
    assert found.fetched_bytes <= MIB + 8 * 2**16


async def test_a_part_that_is_missing_is_named(http: Http, hub: Hub) -> None:
    for place in (0, 2):
        hub.offer(name_of(place, 3), model(place=place, count=3))
    with pytest.raises(ModelFileError, match=r"not complete. Missing: big #1-00002-of-00003.gguf"):
        await read(http, hub.url("Q4%20K/big%20%231-00001-of-00003.gguf"))


async def test_a_part_that_leads_in_a_circle_is_refused(http: Http, hub: Hub) -> None:
    for place in range(3):
        hub.offer(name_of(place, 3), model(place=0, count=3))
    with pytest.raises(ModelFileError, match="part 2 of 3 is another file"):
        await read(http, hub.url("Q4%20K/big%20%231-00001-of-00003.gguf"))


async def test_parts_that_hold_more_together_than_any_model_are_refused(http: Http, hub: Hub) -> None:
    for place in range(4):
        names = (f"t{number}".encode() for number in range(10_000))
        pairs = [number("split.no", place), number("split.count", 4)]
        hub.offer(name_of(place, 4), write(Model(pairs, placed([(name, (8,), 0) for name in names]))))
    with pytest.raises(ModelFileError, match="more entries than any model has"):
        await read(http, hub.url("Q4%20K/big%20%231-00001-of-00004.gguf"))


async def test_parts_with_headers_without_end_are_left_early(http: Http, hub: Hub) -> None:
    hub.offer(name_of(0, 3), model(place=0, count=3))
    for place in (1, 2):
        pairs = [number("split.no", place), (b"k", Value(ARRAY, [0] * 5000, 0)), number("split.count", 3)]
        written = write(Model(pairs))
        start = written.data.index((5000).to_bytes(8, "little"))
        head = written.data[:start] + (34_000_000).to_bytes(8, "little")
        tail = written.data[start + 8 + 5000 :]
        hub.offer(name_of(place, 3), Written(head + bytes(34_000_000) + tail, (), 40_000_000))
    with pytest.raises(ModelFileError, match="larger than that of any model"):
        await read(http, hub.url("Q4%20K/big%20%231-00001-of-00003.gguf"))


# --- what can be wrong ------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", [b"GGUX", b"<!doctype html>", b"GGUF\x03\0\0\0" + b"\xff" * 16])
async def test_what_is_no_model_is_named(http: Http, hub: Hub, damage: bytes) -> None:
    url = hub.offer("a.gguf", Written(damage, (), 5000))
    with pytest.raises(ModelFileError, match="The file a.gguf is not a model that can be used"):
        await read(http, url)


async def test_a_header_that_goes_on_for_ever_is_left_early(http: Http, hub: Hub) -> None:
    pairs = [(b"key", vocabulary(300_000)[0][1])]
    data = bytearray(write(Model(pairs)).data)
    at = data.index(b"key") + 3 + 4 + 4
    data[at : at + 8] = (1_900_000).to_bytes(8, "little")
    with pytest.raises(ModelFileError, match="cut short"):
        await read(http, hub.offer("a.gguf", Written(bytes(data), (), 12 * MIB)))
    data[at : at + 8] = (2**60).to_bytes(8, "little")
    before = len(hub.ranges())
    with pytest.raises(ModelFileError, match="more entries"):
        await read(http, hub.offer("b.gguf", Written(bytes(data), (), 12 * MIB)))
    assert len(hub.ranges()) - before == 1


async def test_a_file_that_ends_inside_its_header_is_named(http: Http, hub: Hub) -> None:
    written = model(128_256)
    url = hub.offer("a.gguf", Written(written.data[: 2 * MIB], (), 2 * MIB))
    with pytest.raises(ModelFileError, match="cut short"):
        await read(http, url)


async def test_a_store_that_sends_everything_is_left_when_there_is_enough(http: Http, hub: Hub) -> None:
    written = model(128_256, size=2**20)
    url = hub.offer("a.gguf", written)
    hub.store.set_fault("ignore_range")
    found = await read(http, url)
    assert found.size_bytes == written.file_bytes > 40 * MIB
    assert found.fetched_bytes < len(written.data) + 4 * MIB


async def test_a_file_that_changed_once_is_read_anew(http: Http, hub: Hub) -> None:
    url = hub.offer("a.gguf", model(128_256))
    hub.store.set_fault("other_version", count=1)
    found = await read(http, url)
    assert plain(found.header) == plain(read_header(hub.folder / "a.gguf"))


@pytest.mark.parametrize("fault", ["other_version", "foreign_range"])
async def test_a_file_that_keeps_changing_is_an_error(http: Http, hub: Hub, fault: str) -> None:
    url = hub.offer("a.gguf", model(128_256))
    faults = [{"mode": fault, "arg": place, "count": 1, "on": ""} for place in range(4)]
    hub.store.set_faults(*(each for one in faults for each in (one, {**one, "mode": "slow", "arg": 0})))
    with pytest.raises(TransferError, match=r"a.gguf holds cannot be told. It changed twice"):
        await read(http, url)


async def test_a_store_that_does_not_name_the_version_is_believed(http: Http, hub: Hub) -> None:
    hub.store.set_fault("no_validator")
    assert (await read(http, hub.offer("a.gguf", model(128_256)))).header.layers == 10


@pytest.mark.parametrize("fault", ["busy_503", "close_before_headers", "cut_mid_stream:1000"])
async def test_what_may_pass_is_tried_again(http: Http, hub: Hub, fault: str) -> None:
    url = hub.offer("a.gguf", model(32_000))
    mode, _, argument = fault.partition(":")
    hub.store.set_fault(mode, argument, count=2)
    assert (await read(http, url)).header.layers == 10
    hub.store.set_fault(mode, argument)
    with pytest.raises(TransferError):
        await read(http, url)


@pytest.mark.parametrize("fault", ["wrong_range", "range_416", "gzip", "html_200", "redirect"])
async def test_a_store_that_answers_something_else_is_an_error(http: Http, hub: Hub, fault: str) -> None:
    url = hub.offer("a.gguf", model(32_000))
    hub.store.set_fault(fault)
    with pytest.raises(TransferError) as caught:
        await read(http, url)
    assert caught.value.detail
    assert caught.value.next_step


async def test_a_file_of_unknown_size_is_an_error(http: Http) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-3/*\r\n")
        writer.write(b"Content-Length: 4\r\nConnection: close\r\n\r\nGGUF")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(TransferError, match="does not say how large it is"):
            await read(http, f"http://127.0.0.1:{port}/a.gguf")


async def test_a_file_that_is_not_there_says_so_with_its_status(http: Http, hub: Hub) -> None:
    hub.offer("a.gguf", model())
    before = len(hub.front.requests())
    with pytest.raises(Failure) as caught:
        await read(http, hub.url("none.gguf"))
    assert caught.value.status == 404
    assert len(hub.front.requests()) - before == 1
