"""Downloads over several connections at once: whatever one of them does, the file is right."""

# ruff: noqa: ASYNC240 - the tests look at small files while nothing else happens

import asyncio
import hashlib
import os
import random
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.servers.launch import ROOT, RunningServer, start
from whisper_desktop.errors import TransferError
from whisper_desktop.values import Deadlines, Reach
from whisper_desktop.wire.bandwidth import Bandwidth
from whisper_desktop.wire.http import Http
from whisper_desktop.wire.journal import Source
from whisper_desktop.wire.part_file import PartFile
from whisper_desktop.wire.transfer import DownloadProgress, download

MIB = 2**20
SIZE = 40 * MIB + 12345
QUICK = replace(Deadlines(), retry_pause=0.01, download_stall=5.0)


@dataclass
class Hub:
    """A hub with one large file."""

    server: RunningServer
    file: Path
    data: bytes
    seen: int = 0

    @property
    def url(self) -> str:
        """Of the file; it leads to a link."""
        return f"{self.server.url}/files/{self.file.name}"

    @property
    def sha256(self) -> str:
        """Of the file as it should be."""
        return hashlib.sha256(self.data).hexdigest()

    def asked(self, path: str = "/cdn/") -> list[dict[str, Any]]:
        """The requests since the last call."""
        requests = self.server.requests()
        found = [each for each in requests[self.seen :] if each["path"].startswith(path)]
        self.seen = len(requests)
        return found

    def ranges(self) -> list[tuple[int, int]]:
        """The ranges that were asked for since the last call, in order."""
        found = [each["headers"].get("range", "bytes=0-")[6:].split("-") for each in self.asked()]
        return sorted((int(first), int(last) + 1 if last else SIZE) for first, last in found)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    folder, data = tmp_path_factory.mktemp("hub"), random.Random(5).randbytes(SIZE)
    (folder / "a.bin").write_bytes(data)
    with start("range_storage", "--folder", str(folder)) as server:
        yield Hub(server, folder / "a.bin", data)


@pytest.fixture
def hub(running: Hub) -> Iterator[Hub]:
    running.asked()
    yield running
    running.server.set_fault("none")


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    client = Http()
    yield client
    assert client.under_way == 0
    await client.aclose()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "downloads" / "a.bin"


async def fetch(http: Http, hub: Hub, target: Path, *urls: str, **more: Any) -> None:
    """Downloads, and looks whether it is the file and nothing else."""
    wanted: dict[str, Any] = {"allowed": Reach.THIS_MACHINE, "limit": 2**40, "deadlines": QUICK}
    wanted |= {"sha256": hub.sha256, "size": SIZE}
    assert await download(http, urls or (hub.url,), target, **wanted | more) == target
    assert os.listdir(target.parent) == [target.name]
    assert target.read_bytes() == hub.data


async def cancelled_at(http: Http, hub: Hub, target: Path, done: int, **more: Any) -> None:
    """Begins, and is cancelled when so many bytes are there."""

    def cancel(progress: DownloadProgress) -> None:
        if progress.done_bytes >= done:
            task.cancel()

    bandwidth = Bandwidth(16 * MIB)
    task = asyncio.create_task(fetch(http, hub, target, on_progress=cancel, bandwidth=bandwidth, **more))
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not target.exists()


def part_of(target: Path) -> Path:
    return target.with_name("a.bin.part")


def note_of(target: Path) -> Path:
    return target.with_name("a.bin.part.json")


def begun(
    hub: Hub, target: Path, data: bytes, *, total: int | None, address: str = "", sha256: str = ""
) -> None:
    """An earlier download that brought `data`, the beginning, from this address or `address`."""
    status = hub.file.stat()
    digest = address or hashlib.sha256(hub.url.encode()).hexdigest()
    part = PartFile(target)
    part.open()
    part.begin(Source(digest, f'"{status.st_mtime_ns:x}-{status.st_size:x}"', total, sha256))
    part.write(0, [data], part.request(0, len(data), "aaaaaaaa"))
    part.have.add(0, len(data))
    part.close()


def damage(target: Path) -> None:
    """One byte of it is another now."""
    with target.open("r+b") as file:
        file.seek(5 * MIB)
        (byte,) = file.read(1)
        file.seek(5 * MIB)
        file.write(bytes([byte ^ 1]))


def kept(target: Path) -> list[tuple[int, int]]:
    """What is there of it, as the next download would find it."""
    part = PartFile(target)
    part.open()
    try:
        return list(part.have)
    finally:
        part.close()


# --- several connections ----------------------------------------------------------------------------------


@pytest.mark.parametrize("known", [True, False])
async def test_a_large_file_comes_over_several_connections_and_nothing_comes_twice(
    http: Http, hub: Hub, target: Path, known: bool
) -> None:
    hub.server.set_fault("none")
    await fetch(http, hub, target, **({} if known else {"sha256": None, "size": None}))
    asked = hub.ranges()
    assert len(asked) >= 4
    ends = [end for _, end in asked]
    starts = [begin for begin, _ in asked]
    if known:
        assert starts == [0, *ends[:-1]]
    else:  # The first request asked for everything, and was left where the next one began.
        assert starts[1:] == [starts[1], *ends[1:-1]]
    assert ends[-1] == SIZE


async def test_one_connection_is_used_where_one_is_wanted(http: Http, hub: Hub, target: Path) -> None:
    await fetch(http, hub, target, connections=1)
    assert [each["headers"].get("range") for each in hub.asked()] == [None]


async def test_without_a_checksum_and_a_version_the_file_comes_in_one_piece(
    http: Http, hub: Hub, target: Path
) -> None:
    hub.server.set_fault("unnamed")
    await fetch(http, hub, target, sha256=None)
    assert len(hub.asked()) == 1


async def test_a_server_that_wants_fewer_connections_gets_fewer(
    http: Http, hub: Hub, target: Path, tmp_path: Path
) -> None:
    pace = str(40 * MIB)  # So that one is still being served when the next one asks.
    with start("range_storage", "--folder", str(hub.file.parent), "--most", "1", "--pace", pace) as server:
        await fetch(http, hub, target, f"{server.url}/files/a.bin")
        reply = await http.request("GET", f"{server.url}/__test__/sent", allowed=Reach.THIS_MACHINE)
        statuses = [each["status"] for each in server.log("response")]
    assert 429 in statuses
    assert int(reply.body) == SIZE  # Nothing that was on its way was given up.


async def test_the_key_goes_to_the_hub_and_not_to_the_network_behind_it(
    http: Http, hub: Hub, target: Path
) -> None:
    with start("range_storage", "--folder", str(hub.file.parent), "--token", "t-1") as server:
        server.set_fault("elsewhere", hub.server.url)
        await fetch(http, hub, target, f"{server.url}/files/a.bin", key="t-1")
        (first,) = server.requests()
    assert first["headers"]["authorization"] == "Bearer t-1"
    assert all("authorization" not in each["headers"] for each in hub.asked())


async def test_the_key_is_not_sent_to_a_mirror(http: Http, hub: Hub, target: Path) -> None:
    gone = hub.url.replace("127.0.0.1", "localhost").replace("a.bin", "nobody.bin")
    with start("range_storage", "--folder", str(hub.file.parent)) as nobody:
        nobody.kill()
        await fetch(http, hub, target, f"{nobody.url}/files/a.bin", hub.url, key="t-1")
    assert gone
    assert all("authorization" not in each["headers"] for each in hub.asked("/"))


# --- what goes wrong --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "arg", "count"),
    [
        ("expire", "", 1),
        ("gone_410", "", 1),
        ("whole_200", "", 1),
        ("shifted", "", 3),
        ("short", 2 * MIB, 4),
        ("short", 2 * MIB, None),
        ("long", MIB, 1),
        ("cut_short", MIB, 2),
        ("reset", 2 * MIB, 3),
        ("reset", 0, 2),
        ("busy_503", "", 2),
        ("rate_429", "", 3),
        ("hang", "", 1),
        ("drip", MIB, 1),
    ],
)
@pytest.mark.parametrize("resumed", [False, True])
async def test_whatever_one_answer_does_the_file_is_right(
    http: Http, hub: Hub, target: Path, mode: str, arg: object, count: int | None, resumed: bool
) -> None:
    if resumed:
        await cancelled_at(http, hub, target, 8 * MIB)
    hub.server.set_fault(mode, arg, count)
    await fetch(http, hub, target, deadlines=replace(QUICK, download_stall=1.0))


async def test_a_server_that_says_it_can_and_never_does_gives_the_whole_in_the_end(
    http: Http, hub: Hub, target: Path
) -> None:
    await cancelled_at(http, hub, target, 8 * MIB)
    hub.server.set_fault("shifted")
    await fetch(http, hub, target)


async def test_a_link_that_expired_is_replaced_by_asking_the_first_address_again(
    http: Http, hub: Hub, target: Path
) -> None:
    await cancelled_at(http, hub, target, 8 * MIB)
    before = sum(end - begin for begin, end in kept(target))
    hub.asked()
    hub.server.set_fault("expire", "", 1)
    await fetch(http, hub, target, connections=1)
    asked = hub.asked("/")
    assert [each["path"].split("?")[0] for each in asked][:4] == ["/files/a.bin", "/cdn/a.bin"] * 2
    assert before >= 8 * MIB


async def test_a_connection_that_drips_is_helped_and_not_waited_for(
    http: Http, hub: Hub, target: Path
) -> None:
    hub.server.set_fault("drip", MIB, 1)
    async with asyncio.timeout(20):  # The span alone would take two days.
        await fetch(http, hub, target, deadlines=replace(QUICK, download_stall=30.0))


async def test_a_file_that_changed_is_begun_anew_and_that_is_said(http: Http, hub: Hub, target: Path) -> None:
    await cancelled_at(http, hub, target, 8 * MIB, sha256=None)
    before = hub.data
    hub.data = before[::-1]
    try:
        hub.file.write_bytes(hub.data)
        seen: list[DownloadProgress] = []
        await fetch(http, hub, target, sha256=None, on_progress=seen.append)
        assert any("another version of the file" in each.waiting for each in seen)
    finally:
        hub.data = before
        hub.file.write_bytes(before)


async def test_a_version_that_changes_with_each_answer_is_never_mixed(
    http: Http, hub: Hub, target: Path
) -> None:
    hub.server.set_fault("other_version", "", 5)
    await fetch(http, hub, target, sha256=None)


@pytest.mark.parametrize("first", ["unmeasured", "drip"])
async def test_an_answer_that_is_all_of_the_file_is_never_taken_for_a_part_of_it(
    http: Http, hub: Hub, target: Path, first: str
) -> None:
    """Others fetch the rest meanwhile, of which nothing is written yet."""
    later = [{"mode": "whole_200", "count": 1}] if first == "drip" else []
    hub.server.set_faults({"mode": first, "arg": "0", "count": 1}, *later)
    await fetch(http, hub, target, sha256=None)
    assert sum(end - begin for begin, end in hub.ranges()) < 3 * SIZE


async def test_a_file_whose_size_was_unknown_ends_where_the_server_says(
    http: Http, hub: Hub, target: Path
) -> None:
    begun(hub, target, hub.data[: 5 * MIB], total=None)
    hub.server.set_fault("short", 2 * MIB, 1)
    await fetch(http, hub, target, sha256=None, size=None)
    assert [begin for begin, _ in hub.ranges()] == [5 * MIB, SIZE - 2 * MIB]


async def test_all_of_a_file_from_another_address_is_not_taken_for_this_one_without_a_checksum(
    http: Http, hub: Hub, target: Path
) -> None:
    begun(hub, target, bytes(SIZE), total=SIZE, address="another")
    await fetch(http, hub, target, sha256=None)


async def test_what_stands_behind_the_end_of_a_file_does_not_come_with_it(
    http: Http, hub: Hub, target: Path
) -> None:
    begun(hub, target, hub.data[: 5 * MIB], total=SIZE, sha256=hub.sha256)
    os.truncate(part_of(target), SIZE + 1000)
    await fetch(http, hub, target)


async def test_a_mirror_whose_address_is_none_does_not_hinder_the_comparison(
    http: Http, hub: Hub, target: Path
) -> None:
    begun(hub, target, bytes(MIB), total=SIZE, address="a mirror", sha256=hub.sha256)
    await fetch(http, hub, target, hub.url, "no address")
    assert sum(end - begin for begin, end in hub.ranges()) == SIZE


async def test_a_pause_does_not_forget_how_large_the_file_is(http: Http, hub: Hub, target: Path) -> None:
    hub.server.set_faults({"mode": "reset", "arg": MIB, "count": 1}, {"mode": "busy_503", "count": 8})
    seen: list[DownloadProgress] = []
    await fetch(http, hub, target, sha256=None, size=None, on_progress=seen.append)
    assert {each.total_bytes for each in seen if each.waiting} == {SIZE}


# --- verified ---------------------------------------------------------------------------------------------


async def test_what_the_disk_lost_is_fetched_again_and_nothing_else(
    http: Http, hub: Hub, target: Path
) -> None:
    await cancelled_at(http, hub, target, 24 * MIB)
    kept(target)  # Compared with the journal once, so that it is believed from now on.
    lines = note_of(target).read_bytes()
    note_of(target).write_bytes(lines + b"synced %d\n" % (lines.count(b"\n") - 1))
    with part_of(target).open("r+b") as file:
        file.seek(5 * MIB + 17)
        file.write(b"damaged here")
    hub.asked()
    await fetch(http, hub, target)
    again = [(begin, end) for begin, end in hub.ranges() if begin <= 5 * MIB + 17 < end]
    assert len(again) == 1
    assert again[0][1] - again[0][0] < 2 * MIB


@pytest.mark.skipif(sys.platform == "win32", reason="what is open cannot be renamed there")
async def test_of_a_finished_file_that_the_disk_damaged_only_the_damaged_piece_is_fetched(
    http: Http, hub: Hub, target: Path, tmp_path: Path
) -> None:
    notes = tmp_path / "notes"
    await fetch(http, hub, target, notes=notes)
    hub.asked()
    for _ in range(2):  # What was mended is noted, too.
        damage(target)
        await fetch(http, hub, target, notes=notes)
        ((begin, end),) = hub.ranges()
        assert begin <= 5 * MIB < end < begin + 2 * MIB


async def test_a_damaged_file_that_has_another_name_is_left_to_that_and_fetched_anew(
    http: Http, hub: Hub, target: Path, tmp_path: Path
) -> None:
    notes = tmp_path / "notes"
    await fetch(http, hub, target, notes=notes)
    os.link(target, tmp_path / "of another program")
    damage(target)
    damaged = target.read_bytes()
    await fetch(http, hub, target, notes=notes)
    assert (tmp_path / "of another program").read_bytes() == damaged


async def test_a_damaged_file_that_cannot_be_mended_now_is_not_in_its_place_and_is_mended_later(
    http: Http, hub: Hub, target: Path, tmp_path: Path
) -> None:
    notes = tmp_path / "notes"
    await fetch(http, hub, target, notes=notes)
    damage(target)
    hub.server.set_fault("busy_503")
    with pytest.raises(TransferError, match="is kept"):
        await fetch(http, hub, target, notes=notes)
    assert not target.exists()
    hub.server.set_fault("none")
    hub.asked()
    await fetch(http, hub, target, notes=notes)
    assert len(hub.asked()) == 1


async def test_what_came_before_a_break_is_compared_with_what_another_connection_brings(
    http: Http, hub: Hub, target: Path
) -> None:
    hub.server.set_fault("flip", f"{2 * MIB}:reset", 1)
    await fetch(http, hub, target)
    sizes = [end - begin for begin, end in hub.ranges()]
    assert sum(sizes) < SIZE + 12 * MIB  # Not everything was fetched again.


async def test_what_came_from_another_address_is_compared_first(http: Http, hub: Hub, target: Path) -> None:
    begun(hub, target, bytes(MIB), total=SIZE, address="a mirror", sha256=hub.sha256)
    await fetch(http, hub, target)
    asked = hub.ranges()
    assert (0, MIB) in asked
    assert sum(end - begin for begin, end in asked) == SIZE


async def test_a_file_that_is_another_is_refused_and_nothing_of_it_stays(
    http: Http, hub: Hub, target: Path
) -> None:
    with pytest.raises(TransferError, match="its checksum is another"):
        await fetch(http, hub, target, sha256="0" * 64)
    assert os.listdir(target.parent) == []


# --- the disk and the power -------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit of POSIX")
async def test_a_disk_that_is_full_in_the_middle_is_named_and_the_download_goes_on_later(
    http: Http, hub: Hub, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20 * MIB, before[1]))
    try:
        with pytest.raises(
            TransferError, match=r"Choose another folder. What has arrived \(\d+ MB\) is kept"
        ):
            await fetch(http, hub, target)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    there = sum(end - begin for begin, end in kept(target))
    assert there > 0
    hub.asked()
    await fetch(http, hub, target)
    assert sum(end - begin for begin, end in hub.ranges()) == SIZE - there


@pytest.mark.parametrize("lost", ["data", "journal", "both"])
async def test_after_a_power_cut_only_what_the_disk_really_has_is_believed(
    http: Http, hub: Hub, target: Path, lost: str
) -> None:
    await cancelled_at(http, hub, target, 24 * MIB, sha256=None)
    hub.asked()
    last, _ = list(notes(target.parent))[-1]
    lines = note_of(target).read_bytes().splitlines(keepends=True)
    note_of(target).write_bytes(b"".join(line for line in lines if not line.startswith(b"synced")))
    if lost != "journal":  # Written, but only the size reached the disk.
        with part_of(target).open("r+b") as file:
            file.seek(last)
            file.write(bytes(1000))
    if lost != "data":
        note = note_of(target).read_bytes()
        note_of(target).write_bytes(note[:-100] + bytes(60))
    await fetch(http, hub, target, sha256=None)
    assert sum(end - begin for begin, end in hub.ranges()) < SIZE - 16 * MIB


async def test_what_arrives_is_made_sure_every_few_megabytes(http: Http, hub: Hub, target: Path) -> None:
    await cancelled_at(http, hub, target, 30 * MIB)
    assert note_of(target).read_bytes().count(b"\nsynced ") >= 1


async def test_a_part_of_an_older_version_is_gone_on_with(http: Http, hub: Hub, target: Path) -> None:
    target.parent.mkdir()
    part_of(target).write_bytes(hub.data[: 10 * MIB])
    source = f'{{"address": "", "validator": "", "total": {SIZE}, "sha256": "{hub.sha256}"}}'
    note_of(target).write_text(source)
    await fetch(http, hub, target)
    assert hub.ranges()[0][0] == 10 * MIB


# --- killed -----------------------------------------------------------------------------------------------


def test_a_process_that_is_killed_again_and_again_loses_next_to_nothing(tmp_path: Path) -> None:
    data = random.Random(6).randbytes(24 * MIB)
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "a.bin").write_bytes(data)
    target = tmp_path / "a.bin"
    with start("range_storage", "--folder", str(tmp_path / "served"), "--pace", str(20 * MIB)) as server:
        what = [f"{server.url}/files/a.bin", str(target), hashlib.sha256(data).hexdigest(), str(len(data))]
        command = [sys.executable, "-m", "tests.wire.downloading", *what]
        for share in (0.1, 0.4, 0.7):
            with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
                assert process.stdout is not None
                next(line for line in process.stdout if int(line) >= share * len(data))
                process.kill()
            assert not target.exists()
        subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
        asked = [each["headers"].get("range", "bytes=0-") for each in server.requests()]
    assert target.read_bytes() == data
    assert sorted(os.listdir(tmp_path)) == ["a.bin", "served"]
    assert len(asked) > 8


# --- told and limited -------------------------------------------------------------------------------------


async def test_progress_is_told_ten_times_a_second_with_a_rate_and_the_time_left(
    http: Http, hub: Hub, target: Path
) -> None:
    seen: list[tuple[float, DownloadProgress]] = []
    rate = 16 * MIB
    await fetch(
        http,
        hub,
        target,
        bandwidth=Bandwidth(rate),
        on_progress=lambda progress: seen.append((time.monotonic(), progress)),
    )
    took = seen[-1][0] - seen[0][0]
    assert 5 * took <= len(seen) <= 11 * took + 3
    assert [each.done_bytes for _, each in seen] == sorted(each.done_bytes for _, each in seen)
    told = [each for _, each in seen if each.rate is not None]
    assert told
    middle = told[len(told) // 2]
    assert middle.rate is not None
    assert middle.left_s == pytest.approx((SIZE - middle.done_bytes) / middle.rate)
    assert middle.rate == pytest.approx(rate, rel=0.4)


async def test_a_limit_holds_for_all_downloads_together_and_may_be_lifted_meanwhile(
    http: Http, hub: Hub, tmp_path: Path
) -> None:
    bandwidth = Bandwidth(4 * MIB)
    began = time.monotonic()
    both = [
        asyncio.create_task(fetch(http, hub, tmp_path / name / "a.bin", bandwidth=bandwidth))
        for name in ("one", "two")
    ]
    await asyncio.wait(both, timeout=1.0)
    there = sum(sum(end - begin for begin, end in notes(tmp_path / name)) for name in ("one", "two"))
    assert there <= 4 * MIB * (time.monotonic() - began + 0.25) + 8 * MIB
    bandwidth.bytes_per_s = None
    async with asyncio.timeout(20):
        await asyncio.gather(*both)


def notes(folder: Path) -> Iterator[tuple[int, int]]:
    """What the journal of a download under way says, without its lock."""
    for line in (folder / "a.bin.part.json").read_text().splitlines():
        if line.startswith("put "):
            _, begin, length, *_ = line.split()
            yield int(begin), int(begin) + int(length)
