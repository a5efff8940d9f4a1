"""The queue of downloads over real sockets and in real processes that are killed."""

# ruff: noqa: ASYNC240 - the tests look at small files while nothing else happens

import asyncio
import hashlib
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from tests.ports import closed_port
from tests.servers.fixtures import ServerFactory
from tests.servers.launch import RunningServer, start
from whisper_desktop.errors import NetworkBlocked, TransferError
from whisper_desktop.models.download_files import check_room, missing_bytes
from whisper_desktop.models.download_jobs import (
    Job,
    WantedFile,
    file_of_address,
    files_of_repository,
    moved,
    next_up,
    safe_name,
)
from whisper_desktop.models.download_journal import write_jobs
from whisper_desktop.models.download_programs import Program
from whisper_desktop.models.downloads import Downloads
from whisper_desktop.models.hub import Hub
from whisper_desktop.models.hub_answers import HubFile
from whisper_desktop.models.sources import Source, parse_source
from whisper_desktop.values import Deadlines
from whisper_desktop.wire.http import Http
from whisper_desktop.wire.part_file import part_of

MIB = 2**20
QUICK = replace(
    Deadlines(),
    retry_pause=0.002,
    download_stall=5.0,
    breaker_far=0.02,
    breaker_far_most=0.05,
    loading_poll=0.01,
)
REPO_ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Place:
    """A hub and its store; each test offers repositories of its own."""

    folder: Path
    hub: RunningServer
    store: RunningServer
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def offer(self, files: dict[str, bytes], **said: object) -> str:
        """The name of a new repository with these files."""
        repo = f"o/r{next(self.numbers)}"
        for name, data in files.items():
            (self.folder / repo / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / repo / name).write_bytes(data)
        (self.folder / repo / "repo.json").write_text(json.dumps(said))
        return repo

    def sent(self) -> int:
        """How many requests for files the store has had."""
        return len(self.store.requests())


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("hub")
    with (
        start("hub", "--folder", str(folder)) as store,
        start("hub", "--folder", str(folder), "--cdn", store.url) as hub,
    ):
        yield Place(folder, hub, store)


@pytest.fixture
def place(running: Place) -> Iterator[Place]:
    yield running
    running.hub.set_fault("none")
    running.store.set_fault("none")


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    client = Http()
    yield client
    assert client.under_way == 0
    await client.aclose()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "models"


def make(http: Http, home: Path, place: Place, **more: Any) -> Downloads:
    hub = more.pop("hub", None) or Hub(http, endpoint=place.hub.url, deadlines=QUICK)
    return Downloads(http, home, home.parent / "queue.json", hub=hub, deadlines=QUICK, **more)


@asynccontextmanager
async def going(downloads: Downloads) -> AsyncIterator[Downloads]:
    """It runs inside of the block, and is closed afterwards."""
    task = asyncio.create_task(downloads.run())
    try:
        yield downloads
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await downloads.aclose()


async def until(downloads: Downloads, condition: Callable[[tuple[Job, ...]], bool]) -> tuple[Job, ...]:
    """The jobs as soon as they are so."""
    async with asyncio.timeout(20), aclosing(downloads.watch()) as changes:
        async for jobs in changes:
            if condition(jobs):
                return jobs
    raise AssertionError("the queue was closed")


def settled(jobs: tuple[Job, ...]) -> bool:
    return not any(job.state in ("waiting", "running") for job in jobs)


async def ended(downloads: Downloads) -> tuple[Job, ...]:
    return await until(downloads, settled)


def files_in(home: Path) -> dict[str, bytes]:
    """What lies there, hidden files included."""
    return {
        path.relative_to(home).as_posix(): path.read_bytes() for path in home.rglob("*") if path.is_file()
    }


def kept(home: Path) -> list[tuple[str, str]]:
    """Title and state of what the journal remembers."""
    told = json.loads((home.parent / "queue.json").read_text())
    return [(job["title"], job["state"]) for job in told["jobs"]]


# --- from a name to a file --------------------------------------------------------------------------------


async def test_a_repository_becomes_a_file_in_its_place(http: Http, place: Place, home: Path) -> None:
    data = os.urandom(30_000)
    repo = place.offer({"m-Q4_K_M.gguf": data, "m-Q8_0.gguf": data * 2, "README.md": b"x"})
    done: list[Job] = []
    async with going(make(http, home, place, on_done=done.append)) as downloads:
        added = await downloads.add(parse_source(repo))
        assert (added.state, added.title) == ("waiting", "m-Q4_K_M")
        assert added.progress.total_bytes == len(data)
        assert added.note == "Q4_K_M was chosen. There are also Q8_0."
        (job,) = await ended(downloads)
    assert (job.state, job.error, job.progress.done_bytes) == ("done", "", len(data))
    assert files_in(home) == {f"{repo}/m-Q4_K_M.gguf": data}
    assert job.target == home / repo / "m-Q4_K_M.gguf"
    assert [each.id for each in done] == [job.id]
    assert kept(home) == [("m-Q4_K_M", "done")]


async def test_parts_appear_together_or_not_at_all(http: Http, place: Place, home: Path) -> None:
    parts = {f"Q4_K_M/m-{n:05}-of-00003.gguf": os.urandom(20_000 + n) for n in (1, 2, 3)}
    repo = place.offer(parts)
    async with going(make(http, home, place)) as downloads:
        place.store.set_faults({"mode": "slow", "arg": 10**9, "count": 2}, {"mode": "error_500"})
        job = await downloads.add(parse_source(repo))
        assert (job.title, len(job.files)) == ("m", 3)
        assert job.progress.total_bytes == sum(map(len, parts.values()))
        (job,) = await ended(downloads)
        assert job.state == "failed"
        assert job.progress.done_bytes >= 40_000
        assert not [name for name in files_in(home) if "/." not in name]
        place.store.set_fault("none")
        seen = place.sent()
        await downloads.resume(job.id)
        assert (await ended(downloads))[0].state == "done"
    assert place.sent() - seen == 1
    assert files_in(home) == {f"{repo}/{name.rpartition('/')[2]}": data for name, data in parts.items()}
    assert not [path for path in (home / repo).iterdir() if path.name.startswith(".")]


async def test_a_part_that_is_in_its_place_already_is_not_fetched(
    http: Http, place: Place, home: Path
) -> None:
    parts = {f"m-Q4_K_M-{n:05}-of-00002.gguf": os.urandom(20_000 + n) for n in (1, 2)}
    repo = place.offer(parts)
    (home / repo).mkdir(parents=True)
    (home / repo / "m-Q4_K_M-00001-of-00002.gguf").write_bytes(parts["m-Q4_K_M-00001-of-00002.gguf"])
    seen = place.sent()
    async with going(make(http, home, place)) as downloads:
        await downloads.add(parse_source(repo))
        assert (await ended(downloads))[0].state == "done"
    assert place.sent() - seen == 1
    assert files_in(home) == {f"{repo}/{name}": data for name, data in parts.items()}


async def test_any_address_is_fetched_with_its_query_kept_from_view(
    http: Http, place: Place, home: Path
) -> None:
    repo = place.offer({"m.gguf": b"small"})
    async with going(make(http, home, place)) as downloads:
        url = f"{place.hub.url}/{repo}/resolve/main/m.gguf?sig=secret"
        job = await downloads.add(Source("url", url))
        assert "secret" not in repr(job)
        (job,) = await ended(downloads)
    assert job.state == "done"
    folder = f"127.0.0.1_{place.hub.port}/{repo.replace('/', '_')}_resolve_main_m"
    assert files_in(home) == {f"{folder}/m.gguf": b"small"}


async def test_a_token_opens_what_is_gated_and_never_reaches_the_store(
    http: Http, place: Place, home: Path
) -> None:
    async def token() -> str:
        return "hf_good"

    repo = place.offer({"m-Q4_K_M.gguf": b"x" * 5000}, gated="auto")
    hub = Hub(http, endpoint=place.hub.url, token=token, deadlines=QUICK)
    seen = place.sent()
    async with going(make(http, home, place, hub=hub)) as downloads:
        await downloads.add(parse_source(repo))
        assert (await ended(downloads))[0].state == "done"
    assert place.sent() > seen
    assert not any("authorization" in each["headers"] for each in place.store.requests()[seen:])
    assert "hf_good" not in (home.parent / "queue.json").read_text()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("{repo}/none.gguf", "has no file none.gguf"),
        ("o/none", "shows no repository"),
        ("{gated}", "accepted its licence"),
        ("{repo}:Q2_K", "has no file with Q2_K"),
    ],
)
async def test_what_cannot_be_had_is_said_before_it_is_queued(
    http: Http, place: Place, home: Path, name: str, says: str
) -> None:
    repo = place.offer({"m-Q4_K_M.gguf": b"x" * 5000})
    gated = place.offer({"m-Q4_K_M.gguf": b"x" * 5000}, gated="auto")
    downloads = make(http, home, place)
    with pytest.raises(TransferError, match=says):
        await downloads.add(parse_source(name.format(repo=repo, gated=gated)))
    assert downloads.jobs() == ()
    await downloads.aclose()


# --- nothing twice ----------------------------------------------------------------------------------------


async def test_what_is_queued_or_done_is_not_queued_again(http: Http, place: Place, home: Path) -> None:
    repo = place.offer({"m-Q4_K_M.gguf": b"x" * 5000})
    downloads = make(http, home, place)
    first = await downloads.add(parse_source(repo))
    assert await downloads.add(parse_source(repo)) == first
    assert await downloads.add(parse_source(f"{repo}/m-Q4_K_M.gguf")) == replace(
        first, source=parse_source(f"{repo}/m-Q4_K_M.gguf"), note=""
    )
    async with going(downloads):
        (job,) = await ended(downloads)
        seen = place.sent()
        assert await downloads.add(parse_source(repo)) == job
        assert len(downloads.jobs()) == 1
        assert place.sent() == seen
        assert job.target is not None
        job.target.unlink()
        assert (await downloads.add(parse_source(repo))).state == "waiting"
        assert (await ended(downloads))[0].state == "done"
        assert len(downloads.jobs()) == 1
    assert place.sent() > seen


async def test_a_file_that_is_there_with_the_right_checksum_is_not_fetched(
    http: Http, place: Place, home: Path
) -> None:
    data = os.urandom(5000)
    repo = place.offer({"m-Q4_K_M.gguf": data})
    (home / repo).mkdir(parents=True)
    (home / repo / "m-Q4_K_M.gguf").write_bytes(data)
    seen = place.sent()
    async with going(make(http, home, place)) as downloads:
        await downloads.add(parse_source(repo))
        assert (await ended(downloads))[0].state == "done"
        assert place.sent() == seen
        other = place.offer({"m-Q4_K_M.gguf": data})
        (home / other).mkdir(parents=True)
        (home / other / "m-Q4_K_M.gguf").write_bytes(data[::-1])
        await downloads.add(parse_source(other))
        await ended(downloads)
    assert files_in(home)[f"{other}/m-Q4_K_M.gguf"] == data


async def test_of_a_finished_file_that_was_damaged_only_the_damaged_pieces_are_fetched(
    http: Http, place: Place, home: Path
) -> None:
    data = os.urandom(12 * MIB)
    repo = place.offer({"m-Q4_K_M.gguf": data})
    async with going(make(http, home, place)) as downloads:
        job = await downloads.add(parse_source(repo))
        await ended(downloads)
        with (home / repo / "m-Q4_K_M.gguf").open("rb+") as file:
            file.seek(7 * MIB)
            file.write(b"rotten")
        seen = place.sent()
        await downloads.cancel(job.id)
        await downloads.add(parse_source(repo))
        assert (await ended(downloads))[0].state == "done"
    assert files_in(home)[f"{repo}/m-Q4_K_M.gguf"] == data
    asked = [span(request["headers"]["range"]) for request in place.store.requests()[seen:]]
    assert 0 < sum(asked) <= 2 * MIB


def span(header: str) -> int:
    """How many bytes a Range asks for."""
    first, last = header.removeprefix("bytes=").split("-")
    return int(last) - int(first) + 1


async def test_what_arrives_with_another_checksum_never_appears(http: Http, place: Place, home: Path) -> None:
    repo = place.offer({"m-Q4_K_M.gguf": os.urandom(5000)})
    place.store.set_fault("other_bytes")
    async with going(make(http, home, place)) as downloads:
        await downloads.add(parse_source(repo))
        (job,) = await ended(downloads)
    assert job.state == "failed"
    assert "checksum" in job.error
    assert not [name for name in files_in(home) if name.endswith(".gguf")]


# --- the order of things ----------------------------------------------------------------------------------


def job(number: int, state: Any = "waiting") -> Job:
    return Job(number, Source("ollama", f"m{number}"), f"m{number}", state=state)


def test_the_first_that_wait_are_next_as_many_as_may_run() -> None:
    jobs = [job(1, "done"), job(2, "running"), job(3, "paused"), job(4), job(5), job(6, "failed"), job(7)]
    assert next_up(jobs, 1) == ()
    assert next_up(jobs, 2) == (4,)
    assert next_up(jobs, 9) == (4, 5, 7)
    assert [each.id for each in moved(jobs, 7, 0)] == [7, 1, 2, 3, 4, 5, 6]
    assert [each.id for each in moved(jobs, 1, 99)][-1] == 1


async def test_one_runs_while_the_others_wait_and_their_order_can_be_changed(
    http: Http, place: Place, home: Path
) -> None:
    repos = [place.offer({"m-Q4_K_M.gguf": os.urandom(40_000)}) for _ in range(3)]
    done: list[int] = []
    downloads = make(http, home, place, on_done=lambda each: done.append(each.id))
    jobs = [await downloads.add(parse_source(repo)) for repo in repos]
    await downloads.move(jobs[2].id, 0)
    most = 0
    async with going(downloads), asyncio.timeout(20), aclosing(downloads.watch()) as changes:
        async for seen in changes:
            most = max(most, sum(each.state == "running" for each in seen))
            if settled(seen):
                break
    assert most == 1
    assert done == [jobs[2].id, jobs[0].id, jobs[1].id]


async def test_more_may_run_at_once(http: Http, place: Place, home: Path) -> None:
    place.store.set_fault("slow", 20_000)
    async with going(make(http, home, place)) as downloads:
        for _ in range(3):
            await downloads.add(parse_source(place.offer({"m-Q4_K_M.gguf": os.urandom(40_000)})))
        await until(
            downloads, lambda jobs: [each.state for each in jobs] == ["running", "waiting", "waiting"]
        )
        downloads.at_once = 2
        await until(
            downloads, lambda jobs: [each.state for each in jobs] == ["running", "running", "waiting"]
        )


async def test_a_pause_keeps_what_has_arrived_and_lets_the_next_one_run(
    http: Http, place: Place, home: Path
) -> None:
    data = os.urandom(4 * MIB)
    place.store.set_fault("slow", 6 * MIB, count=1)
    async with going(make(http, home, place)) as downloads:
        first = await downloads.add(parse_source(place.offer({"m-Q4_K_M.gguf": data})))
        second = await downloads.add(parse_source(place.offer({"n-Q4_K_M.gguf": b"n" * 5000})))
        await until(downloads, lambda jobs: jobs[0].progress.done_bytes > MIB)
        await downloads.pause(first.id)
        jobs = await ended(downloads)
        assert [each.state for each in jobs] == ["paused", "done"]
        assert kept(home)[0] == ("m-Q4_K_M", "paused")
        assert jobs[0].progress.done_bytes > MIB
        assert (jobs[0].progress.rate, jobs[0].progress.left_s) == (None, None)
        assert first.target is not None
        assert part_of(first.target).exists()
        await downloads.resume(first.id)
        assert [each.state for each in await ended(downloads)] == ["done", "done"]
        assert second.target is not None
    assert first.target.read_bytes() == data
    asked = [each["headers"].get("range", "") for each in place.store.requests()]
    assert any(each.startswith("bytes=") and not each.startswith("bytes=0-") for each in asked)


async def test_a_cancelled_job_keeps_or_drops_what_has_arrived(http: Http, place: Place, home: Path) -> None:
    place.store.set_fault("slow", 4 * MIB)
    async with going(make(http, home, place)) as downloads:
        for keep in (True, False):
            added = await downloads.add(parse_source(place.offer({"m-Q4_K_M.gguf": os.urandom(4 * MIB)})))
            await until(downloads, lambda jobs: bool(jobs) and jobs[-1].progress.done_bytes > MIB // 2)
            said = await downloads.cancel(added.id, keep=keep)
            assert ("kept" in said) == keep
            assert downloads.jobs() == ()
            assert added.target is not None
            assert part_of(added.target).exists() == keep
            assert added.target.parent.exists() == keep
        with pytest.raises(TransferError, match="no download"):
            await downloads.pause(added.id)
    assert kept(home) == []


async def test_a_limit_holds_back_all_of_them_together(http: Http, place: Place, home: Path) -> None:
    async with going(make(http, home, place, at_once=2)) as downloads:
        downloads.bandwidth.bytes_per_s = 2 * MIB
        began = asyncio.get_running_loop().time()
        for _ in range(2):
            await downloads.add(parse_source(place.offer({"m-Q4_K_M.gguf": os.urandom(MIB)})))
        await ended(downloads)
        assert asyncio.get_running_loop().time() - began > 0.6  # 2 MiB at 2 MiB/s, less what may come at once


# --- room -------------------------------------------------------------------------------------------------


async def test_the_room_for_the_whole_queue_is_checked_before_the_first_byte(
    http: Http, place: Place, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = 100_000
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: shutil._ntuple_diskusage(0, 0, free))
    downloads = make(http, home, place)
    seen = place.sent()
    await downloads.add(parse_source(place.offer({"m-Q4_K_M.gguf": b"m" * 70_000})))
    second = place.offer({"n-Q4_K_M.gguf": b"n" * 70_000})
    with pytest.raises(TransferError) as caught:
        await downloads.add(parse_source(second))
    assert caught.value.title == "The disk has no room for n-Q4_K_M."
    assert caught.value.detail.startswith(
        "It needs 0.1 MB, 0.1 MB with what is waiting before it, and 0.1 MB"
    )
    assert len(downloads.jobs()) == 1
    assert place.sent() == seen
    free = 140_000
    assert (await downloads.add(parse_source(second))).state == "waiting"
    await downloads.aclose()


def test_what_is_on_the_disk_already_does_not_count_as_missing(tmp_path: Path) -> None:
    files = tuple(WantedFile("u", tmp_path / f"m-0000{n}-of-00002.gguf", 100_000) for n in (1, 2))
    assert missing_bytes(files) == 200_000
    hidden = tmp_path / ".m-00001-of-00002.incoming"
    hidden.mkdir()
    (hidden / files[0].target.name).write_bytes(b"x" * 100_000)
    assert missing_bytes(files) == 100_000
    with (hidden / f"{files[1].target.name}.part").open("wb") as part:  # with a hole in front
        part.seek(96_000)
        part.write(b"x" * 4_000)
        os.fsync(part.fileno())
    assert 90_000 < missing_bytes(files) < 100_000


def test_a_drive_letter_that_is_gone_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows, where not even the root of a path has to be there."""
    monkeypatch.setattr(Path, "exists", lambda _path: False)
    with pytest.raises(TransferError) as caught:
        check_room(tmp_path / "gone/models", "m", 1, 0)
    assert "The system says: No such file or directory." in caught.value.detail


async def test_a_full_disk_is_told_and_nobody_is_asked_why(
    http: Http, place: Place, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    downloads = make(http, home, place)
    repo = place.offer({"m-Q4_K_M.gguf": b"m" * 5000})
    added = await downloads.add(parse_source(repo))
    assert added.target is not None
    part_of(added.target).mkdir(parents=True)  # so that it cannot be written
    (place.folder / repo / "repo.json").write_text('{"gated": "auto"}')
    async with going(downloads):
        (job,) = await ended(downloads)
    assert "could not be written to the disk" in job.error


async def test_a_drive_that_is_gone_is_not_made_up_for_on_another(
    http: Http, place: Place, tmp_path: Path
) -> None:
    drive = tmp_path / "drive"
    drive.mkdir()
    downloads = Downloads(
        http, drive / "models", tmp_path / "queue.json", hub=Hub(http, endpoint=place.hub.url)
    )
    await downloads.add(parse_source(place.offer({"m-Q4_K_M.gguf": b"m" * 5000})))
    drive.rmdir()
    async with going(downloads):
        (job,) = await ended(downloads)
    assert "Connect the drive" in job.error
    assert not drive.exists()


# --- when the network goes --------------------------------------------------------------------------------


async def test_a_network_that_is_lost_is_waited_for(http: Http, servers: ServerFactory, home: Path) -> None:
    folder = home.parent / "offered"
    (folder / "o/r").mkdir(parents=True)
    data = os.urandom(2 * MIB)
    (folder / "o/r/m-Q4_K_M.gguf").write_bytes(data)
    hub = servers("hub", "--folder", str(folder))
    place = Place(folder, hub, hub)
    hub.set_fault("slow", 4 * MIB)
    async with going(make(http, home, place)) as downloads:
        await downloads.add(parse_source("o/r"))
        await until(downloads, lambda jobs: jobs[0].progress.done_bytes > MIB // 2)
        port = hub.port
        hub.stop()
        (job,) = await until(downloads, lambda jobs: "cannot be reached" in jobs[0].progress.waiting)
        assert job.state == "running"
        servers("hub", "--folder", str(folder), port=port)
        (job,) = await ended(downloads)
    assert job.state == "done"
    assert files_in(home)["o/r/m-Q4_K_M.gguf"] == data


async def test_a_link_that_has_expired_is_asked_for_anew(http: Http, place: Place, home: Path) -> None:
    data = os.urandom(2 * MIB)
    repo = place.offer({"m-Q4_K_M.gguf": data})
    cut = {"mode": "cut_mid_stream", "arg": MIB, "count": 1}
    place.store.set_faults(cut, {"mode": "expired_403", "count": 1})
    async with going(make(http, home, place)) as downloads:
        await downloads.add(parse_source(repo))
        (job,) = await ended(downloads)
    assert job.error == ""
    assert files_in(home) == {f"{repo}/m-Q4_K_M.gguf": data}


async def test_a_licence_that_is_withdrawn_is_told_as_such(http: Http, place: Place, home: Path) -> None:
    repo = place.offer({"m-Q4_K_M.gguf": b"m" * 5000})
    downloads = make(http, home, place)
    await downloads.add(parse_source(repo))
    (place.folder / repo / "repo.json").write_text('{"gated": "auto"}')
    async with going(downloads):
        (job,) = await ended(downloads)
    assert job.state == "failed"
    assert job.error.startswith(f"{repo} is only given to people who have accepted its licence.")


async def test_offline_stops_the_hub_and_nothing_else(http: Http, place: Place, home: Path) -> None:
    repo = place.offer({"m-Q4_K_M.gguf": b"m" * 5000})
    downloads = make(http, home, place)
    await downloads.add(parse_source(repo))
    await downloads.aclose()
    hub = Hub(http, endpoint=place.hub.url, offline=True)
    async with going(make(http, home, place, hub=hub)) as downloads:
        with pytest.raises(NetworkBlocked, match="HF_HUB_OFFLINE"):
            await downloads.add(parse_source("o/other"))
        (job,) = await ended(downloads)
    assert "HF_HUB_OFFLINE" in job.error


# --- other programs ---------------------------------------------------------------------------------------


async def test_ollama_and_lm_studio_are_jobs_like_any_other(
    http: Http, place: Place, servers: ServerFactory, home: Path
) -> None:
    ollama = servers("ollama", models=[])
    studio = servers("lm_studio", "--download-seconds", "0.1")
    programs = {
        "ollama": Program("ollama", ollama.url),
        "lm_studio": Program("lm_studio", studio.url),
    }
    async with going(make(http, home, place, programs=programs)) as downloads:
        await downloads.add(parse_source("ollama:llama3.2"))
        await downloads.add(parse_source("lmstudio:ibm/granite-4-micro"))
        jobs = await ended(downloads)
    assert [(each.state, each.target, each.error) for each in jobs] == [("done", None, "")] * 2
    assert jobs[0].progress.done_bytes == jobs[0].progress.total_bytes == 2_019_377_376 + 1429
    assert jobs[1].remote.startswith("job_")


async def test_a_job_in_lm_studio_is_found_again_after_a_restart(
    http: Http, place: Place, servers: ServerFactory, home: Path
) -> None:
    studio = servers("lm_studio", "--download-seconds", "0.5")
    programs = {"lm_studio": Program("lm_studio", studio.url)}
    async with going(make(http, home, place, programs=programs)) as downloads:
        added = await downloads.add(parse_source("lmstudio:ibm/granite-4-micro"))
        await until(downloads, lambda jobs: jobs[0].progress.done_bytes > 0)
        with pytest.raises(TransferError, match="only be paused in LM Studio"):
            await downloads.pause(added.id)
    async with going(make(http, home, place, programs=programs)) as downloads:
        assert (await ended(downloads))[0].state == "done"
    assert len(studio.requests("/api/v1/models/download")) == 1


async def test_a_program_that_is_not_there_fails_its_job_only(http: Http, place: Place, home: Path) -> None:
    programs = {"ollama": Program("ollama", f"http://127.0.0.1:{closed_port()}")}
    async with going(make(http, home, place, programs=programs)) as downloads:
        await downloads.add(parse_source("ollama:llama3.2"))
        await downloads.add(parse_source("lmstudio:x"))
        await downloads.add(parse_source(place.offer({"m-Q4_K_M.gguf": b"m" * 5000})))
        jobs = await ended(downloads)
    assert [each.state for each in jobs] == ["failed", "failed", "done"]
    assert "Ollama is not running" in jobs[0].error
    assert "LM Studio cannot be asked" in jobs[1].error


# --- what outlives the program ----------------------------------------------------------------------------


async def test_a_queue_that_is_stopped_runs_again(http: Http, place: Place, home: Path) -> None:
    place.store.set_fault("slow", MIB, count=1)
    downloads = make(http, home, place)
    await downloads.add(parse_source(place.offer({"m-Q4_K_M.gguf": os.urandom(MIB)})))
    running = asyncio.create_task(downloads.run())
    await until(downloads, lambda jobs: jobs[0].progress.done_bytes > 0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert [each.state for each in downloads.jobs()] == ["waiting"]
    async with going(downloads):
        assert [each.state for each in await ended(downloads)] == ["done"]


async def test_a_restart_goes_on_where_it_was(http: Http, place: Place, home: Path) -> None:
    data = os.urandom(4 * MIB)
    repo = place.offer({"m-Q4_K_M.gguf": data})
    place.store.set_fault("slow", 6 * MIB, count=1)
    async with going(make(http, home, place)) as downloads:
        await downloads.add(parse_source(repo))
        await until(downloads, lambda jobs: jobs[0].progress.done_bytes > 2 * MIB)
    downloads = make(http, home, place)
    await downloads.open()
    (job,) = downloads.jobs()
    assert job.state == "waiting"
    assert job.progress.done_bytes > MIB
    assert job.progress.total_bytes == len(data)
    async with going(downloads):
        (job,) = await ended(downloads)
    assert job.state == "done"
    assert files_in(home) == {f"{repo}/m-Q4_K_M.gguf": data}


async def test_a_journal_is_used_by_one_program_at_a_time(http: Http, place: Place, home: Path) -> None:
    first, second = make(http, home, place), make(http, home, place)
    await first.open()
    with pytest.raises(TransferError, match="another window or program"):
        await second.open()
    await first.aclose()
    await second.open()
    await second.aclose()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no json",
        "[]",
        '{"format": 1}',
        '{"format": 9, "jobs": []}',
        '{"format": 1, "jobs": [1, {}, null]}',
    ],
)
async def test_a_journal_that_cannot_be_read_is_an_empty_queue(
    http: Http, place: Place, home: Path, text: str
) -> None:
    (home.parent / "queue.json").write_text(text)
    downloads = make(http, home, place)
    await downloads.open()
    assert downloads.jobs() == ()
    await downloads.aclose()


async def test_a_journal_that_may_not_be_read_is_not_written_over(
    http: Http, place: Place, home: Path
) -> None:
    journal = home.parent / "queue.json"
    journal.mkdir()  # as a disk that fails, it says that it cannot be read
    downloads = make(http, home, place)
    with pytest.raises(TransferError, match="The list of downloads cannot be read"):
        await downloads.open()
    journal.rmdir()
    await downloads.open()
    await downloads.aclose()


async def test_a_long_queue_of_large_models_is_remembered(http: Http, place: Place, home: Path) -> None:
    long = "x" * 1000
    files = tuple(
        WantedFile(f"https://h/{long}", home / f"o/r/m-{n:05}-of-00050.gguf", n, "0" * 64)
        for n in range(1, 51)
    )
    jobs = [Job(n, Source("hub", "o/r"), "m", files[0].target, "paused", files=files) for n in range(1, 100)]
    home.parent.mkdir(exist_ok=True)
    write_jobs(home.parent / "queue.json", jobs)
    downloads = make(http, home, place)
    await downloads.open()
    assert [len(each.files) for each in downloads.jobs()] == [50] * 99
    await downloads.aclose()


async def test_a_pause_that_is_not_waited_for_is_one(http: Http, place: Place, home: Path) -> None:
    place.store.set_fault("slow", MIB)
    async with going(make(http, home, place)) as downloads:
        first = await downloads.add(parse_source(place.offer({"m-Q4_K_M.gguf": os.urandom(MIB)})))
        await until(downloads, lambda jobs: jobs[0].progress.done_bytes > 0)
        pausing = asyncio.create_task(downloads.pause(first.id))
        await asyncio.sleep(0)
        pausing.cancel()
        await asyncio.gather(pausing, return_exceptions=True)
        assert [each.state for each in downloads.jobs()] == ["paused"]


async def test_a_broken_entry_of_the_journal_costs_no_other(http: Http, place: Place, home: Path) -> None:
    downloads = make(http, home, place)
    for name in ("m", "n"):
        await downloads.add(parse_source(place.offer({f"{name}-Q4_K_M.gguf": b"m" * 5000})))
    await downloads.aclose()
    journal = home.parent / "queue.json"
    assert journal.stat().st_mode & 0o077 == 0
    told = json.loads(journal.read_text())
    told["jobs"][0]["files"][0]["target"] = "relative.gguf"
    told["jobs"][1]["state"] = "running"  # as a program that was killed leaves it
    journal.write_text(json.dumps(told))
    downloads = make(http, home, place)
    await downloads.open()
    assert [(each.title, each.state) for each in downloads.jobs()] == [("n-Q4_K_M", "waiting")]
    await downloads.aclose()


@pytest.mark.chaos
async def test_a_queue_that_is_killed_at_random_ends_with_every_file_whole(
    http: Http, place: Place, home: Path
) -> None:
    parts = {f"m-Q4_K_M-{n:05}-of-00002.gguf": os.urandom(5 * MIB + n) for n in (1, 2)}
    first, second = place.offer(parts), place.offer({"n-Q4_K_M.gguf": os.urandom(6 * MIB)})
    command = [
        sys.executable,
        "-m",
        "tests.models.download_program",
        str(home),
        str(home.parent / "queue.json"),
    ]
    named = [place.hub.url, first, second]
    chance = random.Random(11)
    place.store.set_fault("slow", 12 * MIB)

    def run(*arguments: str, kill: bool) -> list[Any]:
        """What the program says until it ends, or is killed after having fetched a little more."""
        with subprocess.Popen(
            [*command, *arguments], cwd=REPO_ROOT, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            last: list[Any] = []
            until_bytes = None
            for line in process.stdout:
                last = json.loads(line)
                have = sum(each[1] for each in last)
                until_bytes = have + chance.randrange(MIB, 4 * MIB) if until_bytes is None else until_bytes
                if kill and have >= until_bytes:
                    process.send_signal(signal.SIGKILL)
                    break
            return last

    killed = 0
    arguments = named
    for _ in range(8):
        told = await asyncio.to_thread(run, *arguments, kill=True)
        arguments = named[:1]
        visible = {name for name in files_in(home) if name.endswith(".gguf") and "/." not in name}
        assert len(visible) in (0, 2, 3)
        if told and all(each[0] == "done" for each in told):
            break
        killed += 1
    told = await asyncio.to_thread(run, *arguments, kill=False)
    assert [each[0] for each in told] == ["done", "done"], told
    assert killed >= 2
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in files_in(home).items()}
    expected = {
        path.relative_to(place.folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for repo in (first, second)
        for path in (place.folder / repo).glob("*.gguf")
    }
    assert digests == expected


# --- names ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("m-Q4_K_M.gguf", "m-Q4_K_M.gguf"),
        ('a<b>c:"d|e?f*g.gguf', "a_b_c__d_e_f_g.gguf"),
        ("CON.gguf", "_CON.gguf"),
        ("lpt1", "_lpt1"),
        ("console.gguf", "console.gguf"),
        (".hidden.gguf", "_.hidden.gguf"),
        ("ends. . ", "ends"),
        ("", "_"),
        ("..", "_"),
        ("Ünï.gguf", "Ünï.gguf"),
    ],
)
def test_a_name_is_one_that_every_system_takes(name: str, safe: str) -> None:
    assert safe_name(name) == safe


def test_a_long_name_is_cut_and_stays_its_own_with_its_number() -> None:
    names = [f"{'ü' * 300}{letter}-00001-of-00002.gguf" for letter in "ab"]
    safe = [safe_name(name) for name in names]
    assert len(set(safe)) == 2
    assert all(len(each.encode()) <= 240 and each.endswith("-00001-of-00002.gguf") for each in safe)


def test_folders_of_a_repository_are_left_out_unless_names_would_collide(tmp_path: Path) -> None:
    files = [HubFile("Q4/m.gguf", 1), HubFile("Q8/M.gguf", 1), HubFile("Q8/n.gguf", 1)]
    found = files_of_repository(tmp_path, "o/r", files, ["u"] * 3, files)
    assert [file.target.relative_to(tmp_path).as_posix() for file in found] == [
        "o/r/Q4_m.gguf",
        "o/r/Q8_M.gguf",
        "o/r/n.gguf",
    ]
    alone = file_of_address(tmp_path, "https://[2001:db8::1]:8443/a/b%20c.gguf?x=y")
    assert alone.target.relative_to(tmp_path).as_posix() == "[2001_db8__1]_8443/a_b c/b c.gguf"
    same_name = file_of_address(tmp_path, "https://[2001:db8::1]:8443/other/b%20c.gguf")
    assert same_name.target != alone.target, "two models are never one file"
    for url in (
        "https://x.org/..%2f..%2f.gguf",
        "https://x.org/%2e%2e/%2e%2e/.gguf",
        "https://x.org/a%5cb.gguf",
    ):
        target = file_of_address(tmp_path, url).target
        assert target.resolve().is_relative_to(tmp_path / "x.org")
        assert len(target.relative_to(tmp_path).parts) == 3
