"""A program that is killed while answers stream loses at most their last half second, and nothing else."""

import time
from pathlib import Path

import pytest

from tests.chat.store.dying import Lost, lost, marks, started

PROMISED = 0.5  # seconds
TOLERANCE = 0.05


async def killed_after(path: Path, run: str, seconds: float) -> Lost:
    """What was lost by a run that was killed so long after its first piece."""
    process = started(path, run)
    try:
        end = time.monotonic() + 30
        while not marks(path, run):
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.001)  # noqa: ASYNC251 - nothing else runs here
        begun = time.monotonic()
        while time.monotonic() < begun + seconds:
            time.sleep(0.001)  # noqa: ASYNC251
    finally:
        process.kill()
        killed = time.monotonic()
        process.wait()
    return await lost(path, run, killed)


@pytest.mark.parametrize("seconds", [0.0, 0.12, 0.3, 0.47, 0.8])
async def test_kill_9_loses_at_most_the_last_half_second(tmp_path: Path, seconds: float) -> None:
    missing = await killed_after(tmp_path / "conversations.db", "run", seconds)
    assert missing.put > 0
    assert missing.seconds <= PROMISED + TOLERANCE


async def test_one_file_survives_being_killed_again_and_again(tmp_path: Path) -> None:
    path = tmp_path / "conversations.db"
    for number in range(4):
        missing = await killed_after(path, f"run{number}", 0.25 + number / 20)
        assert missing.seconds <= PROMISED + TOLERANCE


async def test_a_run_that_is_killed_while_it_opens_leaves_a_file_that_opens(tmp_path: Path) -> None:
    path = tmp_path / "conversations.db"
    for number in range(3):
        process = started(path, "run")
        try:
            end = time.monotonic() + 30
            while not path.exists() or path.stat().st_size < number * 4096:  # noqa: ASYNC240
                assert process.poll() is None
                assert time.monotonic() < end
        finally:
            process.kill()
            process.wait()
        assert process.returncode != 0
        await lost(path, "run", time.monotonic())
        for file in tmp_path.iterdir():  # noqa: ASYNC240
            file.unlink()
