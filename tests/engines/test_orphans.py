"""Only a process that is certainly ours, and whose owner is dead, is ended."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from tests.engines.conftest import gone
from whisper_desktop.engines import orphans
from whisper_desktop.engines.orphans import Record, decide, end_orphans, start_identity

NONCE = "0011223344556677"


@pytest.fixture
def stray(request: pytest.FixtureRequest) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that carries the nonce in its environment, as a binary that we became does."""
    process = subprocess.Popen(
        [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"],
        env={**os.environ, "WHISPER_ENGINE_NONCE": NONCE},
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def record_of(process: "subprocess.Popen[bytes]", **changes: object) -> Record:
    started = start_identity(process.pid)
    assert started is not None
    record = Record("builtin", process.pid, started, NONCE, owner_pid=2**22 - 1, owner_started="long ago")
    return replace(record, **changes)  # type: ignore[arg-type]


def write(record: Record, folder: Path) -> Path:
    path = folder / f"engine-{record.nonce}.json"
    path.write_text(json.dumps(asdict(record)))
    return path


def test_the_orphan_of_a_crashed_run_is_ended(stray: "subprocess.Popen[bytes]", tmp_path: Path) -> None:
    """S22: at once."""
    record = record_of(stray)
    path = write(record, tmp_path)
    assert end_orphans(tmp_path) == (record,)
    assert stray.wait(2) == -9
    assert not path.exists()


def test_an_innocent_process_with_a_reused_id_is_untouched(
    stray: "subprocess.Popen[bytes]", tmp_path: Path
) -> None:
    """S21: and its record is forgotten."""
    path = write(record_of(stray, started="another boot:4711"), tmp_path)
    assert end_orphans(tmp_path) == ()
    assert not gone(stray.pid)
    assert not path.exists()


def test_a_process_without_the_nonce_is_untouched(stray: "subprocess.Popen[bytes]", tmp_path: Path) -> None:
    """S21: the same id and moment are not enough."""
    write(record_of(stray, nonce="ffffffffffffffff"), tmp_path)
    assert end_orphans(tmp_path) == ()
    assert not gone(stray.pid)


def test_a_process_whose_owner_lives_is_kept_with_its_record(
    stray: "subprocess.Popen[bytes]", tmp_path: Path
) -> None:
    """S24: two apps; neither ends what the other owns."""
    mine = start_identity(os.getpid())
    path = write(record_of(stray, owner_pid=os.getpid(), owner_started=mine), tmp_path)
    assert end_orphans(tmp_path) == ()
    assert not gone(stray.pid)
    assert path.exists()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"pid": 1}',
        '{"engine": "x", "pid": 1, "started": "", "nonce": "n", "owner_pid": 1, "owner_started": "o"}',
        '{"engine": "x", "pid": "5", "started": "s", "nonce": "n", "owner_pid": 5, "owner_started": "o"}',
        '{"engine": "x", "pid": -1, "started": "s", "nonce": "n", "owner_pid": 5, "owner_started": "o"}',
        "[" * 100_000,
    ],
)
def test_a_broken_record_is_forgotten(text: str, tmp_path: Path) -> None:
    path = tmp_path / "engine-x.json"
    path.write_text(text)
    assert end_orphans(tmp_path) == ()
    assert not path.exists()


def test_a_start_identity_is_stable_and_ends_with_the_process(stray: "subprocess.Popen[bytes]") -> None:
    first = start_identity(stray.pid)
    assert first is not None
    assert start_identity(stray.pid) == first
    assert start_identity(os.getpid()) != first
    stray.kill()
    stray.wait()
    assert start_identity(stray.pid) is None


@pytest.mark.skipif(sys.platform != "linux", reason="clock ticks since the boot are Linux's")
def test_a_start_identity_does_not_know_the_time_of_day(stray: "subprocess.Popen[bytes]") -> None:
    """S23: nobody who sets the clock changes it; it is the kernel's count since the boot, and which boot."""
    boot, _, ticks = str(start_identity(stray.pid)).partition(":")
    assert boot == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    since_boot = int(ticks) / os.sysconf("SC_CLK_TCK")
    assert time.clock_gettime(time.CLOCK_BOOTTIME) - since_boot == pytest.approx(0, abs=10)


def test_a_record_of_another_boot_is_forgotten(stray: "subprocess.Popen[bytes]", tmp_path: Path) -> None:
    """S23: after a restart of the computer the same id and ticks are somebody else's."""
    record = record_of(stray)
    path = write(replace(record, started=f"another-boot:{record.started.partition(':')[2]}"), tmp_path)
    assert end_orphans(tmp_path) == ()
    assert not gone(stray.pid)
    assert not path.exists()


def test_the_identity_for_other_systems_holds_here_too(stray: "subprocess.Popen[bytes]") -> None:
    first = orphans._other_identity(stray.pid)
    assert first is not None
    assert orphans._other_identity(stray.pid) == first
    stray.kill()
    stray.wait()
    assert orphans._other_identity(stray.pid) is None


@pytest.mark.parametrize(
    ("process", "owner", "carries", "verdict"),
    [
        ("same", None, True, "end"),
        ("same", "same", True, "keep"),
        ("same", "reused", True, "end"),
        ("same", None, False, "forget"),
        ("reused", None, True, "forget"),
        (None, None, True, "forget"),
    ],
)
def test_the_decision(process: str | None, owner: str | None, carries: bool, verdict: str) -> None:
    record = Record("builtin", 10, "same", NONCE, 20, "same")
    answers = {10: process, 20: owner}
    assert decide(record, answers.__getitem__, lambda pid, nonce: carries) == verdict


def test_a_record_is_private_and_holds_what_is_needed(tmp_path: Path) -> None:
    path = orphans.remember("guide", os.getpid(), NONCE, tmp_path)
    assert path is not None
    assert path.stat().st_mode & 0o777 == 0o600
    record = orphans.read(path)
    assert record is not None
    assert (record.engine, record.pid, record.owner_pid) == ("guide", os.getpid(), os.getpid())


def test_a_folder_that_cannot_be_written_costs_only_the_record(tmp_path: Path) -> None:
    assert orphans.remember("guide", os.getpid(), NONCE, tmp_path / "none") is None
