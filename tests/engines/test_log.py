"""The log keeps the newest lines and no secrets."""

import asyncio
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.engines.conftest import MakeEngine
from whisper_desktop.engines.log import RING_BYTES, EngineLog, log_path, read_log
from whisper_desktop.engines.spec import EngineSpec
from whisper_desktop.engines.watchdog import look
from whisper_desktop.settings.paths import log_dir
from whisper_desktop.values import Deadlines
from whisper_desktop.wire.http import Http

_LOOKS = 20


@given(
    st.lists(st.text(st.characters(exclude_characters="\n\r", codec="utf-8"), max_size=20), max_size=8),
    st.data(),
)
def test_lines_survive_however_they_are_cut(lines: list[str], data: st.DataObject) -> None:
    raw = "".join(f"{line}\n" for line in lines).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=5)))
    log = EngineLog(None)
    for begin, end in zip([0, *cuts], [*cuts, len(raw)], strict=True):
        log.feed(raw[begin:end])
    assert log.tail(100) == lines
    assert log.count == len(lines)


def test_the_ring_is_bounded_and_keeps_the_newest() -> None:
    log = EngineLog(None, ring_bytes=1000)
    for number in range(500):
        log.feed(f"line {number}\n".encode())
    assert sum(len(line) for line in log.tail(10**6)) <= 1000
    assert log.tail(2) == ["line 498", "line 499"]


def test_a_line_without_an_end_does_not_grow_for_ever() -> None:
    log = EngineLog(None, ring_bytes=20_000)
    for _ in range(100):
        log.feed(b"x" * 1000)
    log.end()
    assert sum(len(line) for line in log.tail(10**6)) <= 20_000


def test_since_gives_the_lines_after_a_mark() -> None:
    log = EngineLog(None)
    log.feed(b"before\n")
    mark = log.count
    assert log.since(mark) == []
    log.feed(b"after\nunfinished")
    log.end()
    assert log.since(mark) == ["after", "unfinished"]


@pytest.mark.parametrize(
    ("line", "secret"),
    [
        ("the key is 0a1b2c", "0a1b2c"),
        ("Authorization: Bearer abcdefgh1234", "abcdefgh1234"),
        ("using sk-or-v1-0123456789abcdef0123", "0123456789abcdef"),
        ("token hf_AbCdEfGhIjKlMnOpQrSt", "AbCdEfGh"),
        ("--api-key supersecret", "supersecret"),
        ("API_KEY=supersecret", "supersecret"),
        ("gsk_0123456789abcdefghij", "0123456789"),
        ("the last is xai-0123456789abcdefghij", "0123456789"),
    ],
)
def test_secrets_are_removed(line: str, secret: str, tmp_path: Path) -> None:
    log = EngineLog(tmp_path / "log")
    log.hide(["0a1b2c"])
    log.feed(line[:12].encode())
    log.feed(line[12:].encode() + b"\n")
    log.close()
    assert secret not in "".join(log.tail(5))
    assert secret not in (tmp_path / "log").read_text()
    assert "[removed]" in log.tail(1)[0]


def test_secrets_are_removed_from_each_of_many_lines() -> None:
    log = EngineLog(None)
    log.feed(b"one task-7\nbearer abcdefgh\nthree\nhf_AbCdEfGhIjKlMnOpQrSt four\n")
    assert log.tail(9) == ["one task-7", "bearer [removed]", "three", "[removed] four"]


def test_only_the_line_that_says_all_slots_are_idle_is_left_out() -> None:
    """What recent builds, and older ones, print after each look at their slots."""
    lines = [
        "0.00.195.416 I srv  update_slots: all slots are idle",
        "srv  update_slots: all slots are idle",
        "12.34.195.416 I srv    update_slots: all slots are idle",
    ]
    others = [
        "0.00.195.416 I srv  update_slots: all slots are idle, or not",
        "whisper: all slots are idle",
        "0.00.195.416 E srv  update_slots: all slots are idle since 0.1 s",
        "",
    ]
    log = EngineLog(None)
    log.feed("\n".join([*lines, *others, *lines, ""]).encode())
    assert log.tail(99) == others
    assert log.count == len(others)


async def test_looking_at_an_engine_adds_nothing_to_its_log(
    spec: EngineSpec, start: MakeEngine, http: Http
) -> None:
    engine = start(spec)
    address = await engine.ensure_ready()
    pid = engine.status().pid
    assert pid is not None
    mark, _ = engine.log_since(0)
    for _ in range(_LOOKS):
        assert (await look(http, address, pid, leases=0, deadlines=Deadlines())).slots
    await engine.stop()  # which reads its output to the end
    later = engine.log_since(mark)[1]
    assert not any("all slots are idle" in line for line in later)
    assert len(later) < _LOOKS, "the first answer and the end have a few"


def test_ordinary_lines_are_left_alone() -> None:
    lines = [
        "0.00.031.478 I srv    load_model: initializing, n_slots = 1",
        "task-1 | risk-free, disk-0123456789abcdefgh",
    ]
    log = EngineLog(None)
    log.feed("\n".join([*lines, ""]).encode())
    assert log.tail(5) == lines


def test_the_file_rotates_and_at_most_two_old_ones_stay(tmp_path: Path) -> None:
    log = EngineLog(tmp_path / "log", file_bytes=1000)
    for number in range(300):
        log.feed(f"line number {number}\n".encode())
    log.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "log.1", "log.2"]
    assert max(path.stat().st_size for path in tmp_path.iterdir()) <= 1000
    assert (tmp_path / "log").read_text().endswith("line number 299\n")


def test_ten_megabytes_in_a_second_cost_a_fraction_of_it() -> None:
    """S29: 10 MB of log; the ring is bounded, and half a second of the processor is more than enough."""
    piece = (b"0.00.000.000 I srv update_slots: " + b"." * 90 + b"\n") * 500
    log = EngineLog(None)
    log.hide(["a" * 64])
    before, fed = time.process_time(), 0
    while fed < 10_000_000:
        log.feed(piece)
        fed += len(piece)
    assert time.process_time() - before < 0.5
    assert sum(len(line) for line in log.tail(10**6)) <= RING_BYTES


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the device that is always full is Linux's")
def test_a_full_disk_costs_only_the_file(tmp_path: Path) -> None:
    """S31: the lines stay in memory, and one of them says why the file has ended."""
    (tmp_path / "log").symlink_to("/dev/full")
    log = EngineLog(tmp_path / "log")
    log.feed(b"one\n")
    log.feed(b"two\n")
    log.close()
    first, why, last = log.tail(9)
    assert (first, last) == ("one", "two")
    assert "No space left" in why


def test_a_mark_gives_each_line_once() -> None:
    log = EngineLog(None, ring_bytes=100)
    mark, seen = 0, []
    for number in range(50):
        log.feed(f"line {number}\n".encode())
        mark, lines = log.more(mark)
        seen += lines
    assert seen == [f"line {number}" for number in range(50)]
    assert log.more(mark) == (mark, [])
    assert log.more(0)[1] == log.tail(10**6)


def test_lines_for_a_listener_are_no_part_of_the_log() -> None:
    heard = []

    def hears(line: str) -> bool:
        heard.append(line)
        return line.startswith("state:")

    log = EngineLog(None)
    log.listen(("state:", "leaving"), hears)
    log.feed(b"one\n\nstate: 1\ntwo\n\nis leaving\n")
    assert heard == ["state: 1", "is leaving"]
    assert log.tail(9) == ["one", "two", "", "is leaving"]


async def test_waiting_ends_with_new_lines() -> None:
    log = EngineLog(None)
    waiting = asyncio.create_task(log.wait_for_more(60))
    await asyncio.sleep(0)
    log.feed(b"here\n")
    async with asyncio.timeout(1):
        await waiting


def test_without_an_engine_in_memory_the_newest_file_is_read() -> None:
    assert read_log() == []
    log = EngineLog(log_path(log_dir(), "guide"))
    log.feed(b"one\ntwo\nthree\n")
    log.close()
    assert read_log(2) == ["two", "three"]
    assert read_log(0) == []
