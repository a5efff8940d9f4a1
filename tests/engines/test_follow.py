"""Following the engines' logs: nothing is lost at a rotation, nothing comes twice."""

import asyncio
from contextlib import aclosing
from pathlib import Path

from whisper_desktop.engines.follow import LogFollower, follow
from whisper_desktop.engines.log import EngineLog, log_path


def test_only_what_comes_from_now_on(tmp_path: Path) -> None:
    log = EngineLog(log_path(tmp_path, "builtin"))
    log.note("before")
    follower = LogFollower(tmp_path)
    log.note("one")
    log.note("two")
    assert follower.more() == ["whisper: one", "whisper: two"]
    assert follower.more() == []
    log.close()


def test_the_newest_lines_come_first_and_each_line_once(tmp_path: Path) -> None:
    log = EngineLog(log_path(tmp_path, "builtin"))
    for number in range(5):
        log.note(f"line {number}")
    follower = LogFollower(tmp_path, earlier=2)
    log.note("line 5")
    assert follower.more() == ["whisper: line 3", "whisper: line 4", "whisper: line 5"]
    assert follower.more() == []
    log.close()


def test_two_engines_that_write_in_turn_are_both_followed(tmp_path: Path) -> None:
    logs = [EngineLog(log_path(tmp_path, name)) for name in ("builtin", "guide")]
    for log in logs:
        log.note("before")
    follower = LogFollower(tmp_path)
    for number in range(3):
        for name, log in zip(("builtin", "guide"), logs, strict=True):
            log.note(f"{name} {number}")
            assert follower.more() == [f"whisper: {name} {number}"]
    for log in logs:
        log.close()


def test_a_log_that_was_removed_and_begun_anew_is_followed_from_its_start(tmp_path: Path) -> None:
    path = log_path(tmp_path, "builtin")
    path.write_text("a long first line that was read\n")
    follower = LogFollower(tmp_path)
    path.unlink()
    path.write_text("anew\n")  # often with the identity of the removed one
    assert follower.more() == ["anew"]


def test_every_line_comes_once_across_rotations(tmp_path: Path) -> None:
    log = EngineLog(log_path(tmp_path, "builtin"), file_bytes=500)
    follower = LogFollower(tmp_path)
    seen: list[str] = []
    for number in range(100):
        log.note(f"line {number}")
        if number % 3 == 0:
            seen += follower.more()
    seen += follower.more()
    assert seen == [f"whisper: line {number}" for number in range(100)]
    log.close()


def test_a_log_that_begins_later_is_followed_from_its_first_line(tmp_path: Path) -> None:
    follower = LogFollower(tmp_path)
    assert follower.more() == []
    log = EngineLog(log_path(tmp_path, "guide"))
    log.note("hello")
    assert follower.more() == ["whisper: hello"]
    log.close()


def test_half_a_line_waits_for_its_end(tmp_path: Path) -> None:
    path = log_path(tmp_path, "builtin")
    path.write_text("whole\nbe")
    follower = LogFollower(tmp_path, earlier=1)
    assert follower.more() == ["whole"]
    with path.open("a") as file:
        file.write("gun\n")
    assert follower.more() == ["begun"]
    with path.open("a") as file:
        file.write("half")
        file.flush()
        assert follower.more() == []
        file.write(" and half\n")
    assert follower.more() == ["half and half"]


async def test_it_yields_lines_as_they_come(tmp_path: Path) -> None:
    log = EngineLog(log_path(tmp_path, "builtin"))
    log.note("before")
    async with aclosing(follow(tmp_path, 0.01)) as lines:
        first = asyncio.ensure_future(anext(lines))
        while not first.done():
            log.note("after")
            await asyncio.sleep(0.02)
        assert first.result() == "whisper: after"
    log.close()
