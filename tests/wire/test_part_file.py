"""What has arrived of a file: which bytes are there, what is noted, and what is believed of that."""

import asyncio
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisper_desktop.errors import TransferError
from whisper_desktop.wire.bandwidth import Bandwidth
from whisper_desktop.wire.journal import Bad, Entry, Get, Journal, Put, Source, Synced, in_force, suspects
from whisper_desktop.wire.kept_notes import keep_note
from whisper_desktop.wire.part_file import PartFile, remove_part
from whisper_desktop.wire.progress import Meter, progress
from whisper_desktop.wire.spans import LEAST, MOST, Plan, Spans
from whisper_desktop.wire.verification import FrontHash, joined

MIB = 2**20
SOURCE = Source("a", '"tag"', 1000, "")
RANGES = st.tuples(st.integers(0, 60), st.integers(0, 60)).map(lambda pair: (min(pair), max(pair)))


@given(steps=st.lists(st.tuples(st.booleans(), RANGES)))
def test_a_set_of_ranges_is_the_set_of_its_bytes(steps: list[tuple[bool, tuple[int, int]]]) -> None:
    spans, there = Spans(), set[int]()
    for adds, (start, end) in steps:
        if adds:
            spans.add(start, end)
            there |= set(range(start, end))
        else:
            spans.remove(start, end)
            there -= set(range(start, end))
    found = list(spans)
    assert {byte for start, end in found for byte in range(start, end)} == there
    assert spans.size == len(there)
    assert all(one[1] < two[0] for one, two in zip(found, found[1:], strict=False))
    assert spans.front == next(byte for byte in range(62) if byte not in there)
    gaps = {byte for start, end in spans.missing(50) for byte in range(start, end)}
    assert gaps == set(range(50)) - there
    for start in range(0, 60, 7):
        assert spans.overlaps(start, start + 5) == bool(there & set(range(start, start + 5)))


@given(
    total=st.integers(1, 400 * MIB),
    lanes=st.integers(1, 6),
    have=st.lists(st.tuples(st.integers(0, 400 * MIB), st.integers(1, 50 * MIB)), max_size=4),
)
def test_a_plan_hands_out_what_is_missing_once_and_in_order(
    total: int, lanes: int, have: list[tuple[int, int]]
) -> None:
    there = Spans()
    for start, length in have:
        there.add(min(start, total), min(start + length, total))
    plan, missing, given_out = Plan(there, total, lanes), list(there.missing(total)), Spans()
    before = -1
    while (span := plan.next()) is not None:
        assert span.end is not None
        assert span.start > before
        assert lanes == 1 or span.end - span.start <= MOST + LEAST // 4
        assert not given_out.overlaps(span.start, span.end)
        given_out.add(span.start, span.end)
        before = span.start
    assert list(given_out) == missing


def test_only_a_connection_that_is_far_slower_is_helped() -> None:
    plan = Plan(Spans(), 100 * MIB, 2)
    span = plan.next()
    assert span is not None
    assert plan.slowest({span: 1000.0}, 2000.0, patience=1) is None
    assert plan.slowest({span: 1000.0}, 10_000.0, patience=1) is span
    assert plan.slowest({span: 1000.0}, 10_000.0, patience=10**6) is None
    end = span.end
    rest = plan.split(span, own=9.0, its=1.0)
    assert span.end == rest.start
    assert rest.end == end
    assert rest.left > 8 * span.left > 0
    last = plan.split(rest, own=1e9, its=1.0)
    assert rest.left == 0
    assert (last.start, last.end) == (rest.start, end)


ENTRIES = st.lists(
    st.one_of(
        st.builds(Get, st.integers(0, 10**9 - 1), st.integers(0, 10**18 - 1), st.none(), st.just("0123abcd")),
        st.builds(Get, st.integers(0, 9), st.integers(0, 99), st.integers(0, 99), st.just("0123abcd")),
        st.builds(
            Put,
            st.integers(0, 10**6),
            st.integers(0, 10**6),
            st.none() | st.integers(0, 2**32 - 1),
            st.integers(0, 9),
        ),
        st.builds(Bad, st.integers(0, 10**6), st.integers(0, 10**6)),
        st.builds(Synced, st.integers(0, 10**9 - 1)),
    ),
    max_size=8,
)


@given(entries=ENTRIES, torn=st.integers(1, 5), noise=st.binary(max_size=5))
def test_a_journal_that_was_torn_is_read_up_to_there_and_gone_on_with(
    tmp_path_factory: pytest.TempPathFactory, entries: list[Entry], torn: int, noise: bytes
) -> None:
    path = tmp_path_factory.mktemp("journal") / "note"
    journal = Journal(path)
    journal.begin(SOURCE)
    for entry in [*entries, Bad(1, 1)]:
        journal.append(entry)
    journal.close()
    path.write_bytes(path.read_bytes()[:-torn] + b"\0" + noise)
    again = Journal(path)
    assert again.read() == (SOURCE, True)
    assert list(again.go_on()) == entries
    assert again.lines == len(entries)
    again.append(Bad(2, 2))
    again.close()
    assert list(Journal(path).entries()) == [*entries, Bad(2, 2)]


def test_what_was_taken_back_or_written_over_does_not_count() -> None:
    entries: list[Entry] = [
        Put(0, 10, 1, 1),
        Put(10, 10, 2, 1),
        Bad(0, 10),
        Put(20, 10, 3, 1),
        Put(25, 9, 4, 2),
    ]
    assert list(in_force(entries)) == [Put(25, 9, 4, 2), Put(10, 10, 2, 1)]


def test_the_end_of_what_broke_off_and_what_came_another_way_is_suspicious() -> None:
    entries: list[Entry] = [
        Get(1, 0, 100, "main"),
        Put(0, 100, 0, 1),
        Get(2, 100, 300, "main"),
        Put(100, 50, 0, 2),
        Get(3, 150, 160, "else"),
        Put(150, 10, 0, 3),
    ]
    assert suspects(entries, 1000) == [(100, 150), (150, 160)]
    assert suspects(entries, 55) == [(100, 150)]
    assert suspects(entries[:2], 1000) == []


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 9))), st.integers(9, 30))
def test_ranges_that_follow_on_each_other_are_joined(ranges: list[tuple[int, int]], most: int) -> None:
    given_ones = [(start, start + length) for start, length in ranges]
    found = list(joined(given_ones, most))
    assert all(0 < end - start <= most for start, end in found)
    flat = [byte for start, end in given_ones for byte in range(start, end)]
    assert [byte for start, end in found for byte in range(start, end)] == flat


def test_only_what_was_not_made_sure_is_compared_and_what_differs_is_missing(tmp_path: Path) -> None:
    target = tmp_path / "a.bin"
    part = PartFile(target)
    part.open()
    part.begin(SOURCE)
    number = part.request(0, 1000, "00000000")
    part.write(0, [b"sure"], number)
    part.sync()
    part.write(4, [b"or", b"not"], number)
    part.write(20, [b"far"], number)
    part.have.add(0, 9)
    part.have.add(20, 23)
    part.close()
    with (tmp_path / "a.bin.part").open("r+b") as file:
        file.write(b"SUREORnot")
    part.open()
    assert list(part.have) == [(0, 4), (20, 23)]
    assert part.damaged() == [(0, 4)]
    part.close()


def test_what_is_begun_anew_while_it_is_made_sure_is_not_called_sure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = PartFile(tmp_path / "a.bin")
    part.open()
    part.begin(SOURCE)
    part.write(0, [b"old"], 1)
    monkeypatch.setattr("whisper_desktop.wire.part_file.sync_data", lambda _descriptor: part.begin(SOURCE))
    part.sync()
    assert not any(b"synced" in path.read_bytes() for path in tmp_path.iterdir())
    part.close()


def test_a_part_that_is_shorter_than_its_journal_says_has_no_more(tmp_path: Path) -> None:
    part = PartFile(tmp_path / "a.bin")
    part.open()
    part.begin(SOURCE)
    part.write(0, [b"0123456789"], part.request(0, None, "00000000"))
    part.have.add(0, 10)
    part.sync()
    part.close()
    os.truncate(tmp_path / "a.bin.part", 4)
    again = PartFile(tmp_path / "a.bin")
    again.open()
    assert list(again.have) == [(0, 4)]
    again.close()
    remove_part(tmp_path / "a.bin")
    assert os.listdir(tmp_path) == []


def test_a_journal_that_cannot_be_read_now_costs_nothing(tmp_path: Path) -> None:
    part, note = PartFile(tmp_path / "a.bin"), tmp_path / "a.bin.part.json"
    part.open()
    part.begin(SOURCE)
    part.write(0, [b"0123456789"], part.request(0, None, "00000000"))
    part.have.add(0, 10)
    part.close()
    note.rename(tmp_path / "aside")
    note.symlink_to(note)
    with pytest.raises(OSError, match="symbolic links"):
        part.open()
    part.close()
    (tmp_path / "aside").replace(note)
    part.open()
    assert list(part.have) == [(0, 10)]
    part.close()


@pytest.mark.parametrize("total", [-1, True, "1", 1.5])
def test_a_journal_of_a_size_that_is_none_is_not_believed(tmp_path: Path, total: object) -> None:
    head = {"format": 2, "address": "", "validator": "", "total": total, "sha256": ""}
    (tmp_path / "note").write_text(json.dumps(head))
    assert Journal(tmp_path / "note").read() == (None, False)


def test_a_journal_that_is_larger_than_any_is_not_believed(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "note")
    journal.begin(SOURCE)
    journal.close()
    os.truncate(tmp_path / "note", 2**34)
    assert journal.read() == (None, False)


def test_the_notes_of_the_newest_files_are_kept(tmp_path: Path) -> None:
    note, folder = tmp_path / "note", tmp_path / "notes"
    note.write_bytes(b"x")
    for number in range(70):
        keep_note(note, folder, f"{number:064}")
        os.utime(folder / f"{number:064}", (number, number))
    assert sorted(os.listdir(folder)) == [f"{number:064}" for number in range(6, 70)]


def test_a_part_belongs_to_one(tmp_path: Path) -> None:
    one, two = PartFile(tmp_path / "a"), PartFile(tmp_path / "a")
    one.open()
    with pytest.raises(TransferError, match="being downloaded already"):
        two.open()
    one.close()
    two.open()
    two.close()


def test_the_checksum_of_the_front_begins_anew_after_something_was_taken_back(tmp_path: Path) -> None:
    import hashlib

    part = PartFile(tmp_path / "a")
    part.open()
    part.begin(SOURCE)
    part.write(0, [b"wrong"], 1)
    part.have.add(0, 5)
    front = FrontHash(part)
    front.advance(5)
    part.drop(0, 5)
    part.write(0, [b"right"], 2)
    part.have.add(0, 5)
    front.advance(5)
    assert front.sha256 == hashlib.sha256(b"right").hexdigest()
    front.stop()
    part.write(5, [b"more"], 2)
    front.advance(9)
    assert front.done == 5
    front.resume()
    front.advance(9)
    assert front.done == 9
    part.close()


def test_a_rate_is_that_of_the_last_seconds() -> None:
    meter = Meter(window_s=4.0)
    assert meter.rate(0.0) is None
    for second in range(1, 11):
        meter.arrived += 100
        rate = meter.rate(float(second))
    assert rate == 100
    for second in range(11, 16):
        rate = meter.rate(float(second))
    assert rate == 0
    assert progress(50, 150, rate=10.0).left_s == 10.0
    assert progress(50, None, rate=10.0).left_s is None
    assert progress(50, 150, rate=0.0).left_s is None


async def test_a_limit_that_is_raised_frees_those_who_wait() -> None:
    bandwidth = Bandwidth(1)
    waiting = asyncio.create_task(bandwidth.pay(10**9))
    await asyncio.sleep(0)
    assert not waiting.done()
    bandwidth.bytes_per_s = None
    async with asyncio.timeout(1):
        await waiting
        await bandwidth.pay(10**12)
    assert bandwidth.bytes_per_s is None
