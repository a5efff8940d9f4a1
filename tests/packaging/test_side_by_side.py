"""Two pytest runs side by side: nothing of one gets lost because of the other, and both end with dev.py."""

import os
import re
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import dev_tests
import pytest
from dev_side_by_side import Run, Tally, side_by_side

from tests.packaging.conftest import ROOT, Checkout

PATIENCE_S = 60


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], "0 %"),
        (["collected 3 items", "", "tests/wire/test_sse.py ...   [ 12%]"], "12 %"),
        (["tests/wire/test_sse.py ..FsxX.E.F [ 12%]", "....F     [100%]"], "100 % (4 failed)"),
        (["\x1b[32m.\x1b[0m\x1b[31mF\x1b[0m\x1b[31m       [  7%]\x1b[0m"], "7 % (1 failed)"),
        (
            ["tests/wire/test_sse.py F", "E   assert 'F [ 40%]' == 3", "FAILED tests/x.py::test_x[ 50%]"],
            "0 %",
        ),
    ],
)
def test_how_far_a_run_is_is_read_from_its_output(lines: Sequence[str], said: str) -> None:
    """Lines of pytest 9.2, captured; the names are cut short."""
    tally = Tally()
    for line in lines:
        tally.read(f"{line}\n".encode())
    assert str(tally) == said


def pytest_run(folder: Path, name: str, source: str) -> Run:
    """A run of one test file."""
    path = folder / f"test_{name}.py"
    path.write_text(source, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", str(folder), str(path)]
    return Run(name, command, {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}, PATIENCE_S)


def test_they_run_at_the_same_time_and_each_keeps_its_output_and_its_exit_status(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """A named pipe is opened only when the other side opens it too: one after the other would never end."""
    os.mkfifo(tmp_path / "meeting")
    fails = (
        f"def test_a():\n    open({str(tmp_path / 'meeting')!r}, 'w').close()\n    assert 'the' == 'one'\n"
    )
    passes = f"def test_b():\n    open({str(tmp_path / 'meeting')!r}).close()\n"
    runs = [pytest_run(tmp_path, "fails", fails), pytest_run(tmp_path, "passes", passes)]
    (failed, _), (passed, _) = side_by_side(runs, tmp_path)
    assert (failed, passed) == (1, 0)
    shown = capfdbinary.readouterr().out.decode()
    assert sorted(re.findall(r"= (\d \w+) in ", shown)) == ["1 failed", "1 passed"]
    first, second, _ = re.split(r"(?<== in )", re.sub(r"= \d \w+ in ", "= in ", shown))
    assert ("'the' == 'one'" in first) != ("'the' == 'one'" in second)


def test_one_that_hangs_is_stopped_in_time_and_the_other_is_not_hidden(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    hangs = Run("hangs", ["sh", "-c", "echo so far; sleep 600"], os.environ, 1.0)
    runs = [hangs, pytest_run(tmp_path, "passes", "def test_b(): pass\n")]
    (stopped, seconds), (passed, _) = side_by_side(runs, tmp_path)
    assert (stopped, passed) == (1, 0)
    assert 1.0 <= seconds < PATIENCE_S
    said = capfd.readouterr()
    assert "so far" in said.out
    assert "1 passed in" in said.out
    assert "hangs: stopped after" in said.err


def test_the_ports_of_two_runs_are_never_the_same_and_no_usual_ones() -> None:
    source = "from tests.ports import closed_port\nprint(*{closed_port() for _ in range(7000)})"

    def ports(of: str) -> set[int]:
        environment = {**os.environ, "WHISPER_TEST_PORTS": of}
        printed = subprocess.run(
            [sys.executable, "-c", source], cwd=ROOT, env=environment, capture_output=True, check=True
        )
        return set(map(int, printed.stdout.split()))

    first, second = ports("0/2"), ports("1/2")
    assert len(first) > 5900
    assert len(second) > 5900
    assert first.isdisjoint(second)
    assert 30_000 not in second  # SGLang's


def test_every_room_of_the_second_run_is_there() -> None:
    """Guards the split: a room that was renamed would be tested by no run."""
    assert [room for room in dev_tests.PROGRAM_TESTS if not (ROOT / room).is_dir()] == []


@pytest.fixture
def in_two(complete: Checkout) -> Iterator[Checkout]:
    """The small project with a test in each of the two runs; what it does is in the environment."""
    made = [complete.folder / "tests" / name for name in ("cli", "wire")]
    for folder in made:
        folder.mkdir()
        (folder / f"test_{folder.name}.py").write_text(_EITHER_TEST, encoding="utf-8")
    yield complete
    for folder in made:
        shutil.rmtree(folder)


_EITHER_TEST = """\
import os, time

def test_either():
    ports = os.environ.get("WHISPER_TEST_PORTS", "all")
    if "HANGS" in os.environ:
        alive = open(os.environ["HANGS"], "w")
        print(ports, file=alive, flush=True)
        time.sleep(600)
    assert False, f"has {ports}"
"""


def test_what_failed_in_either_run_fails_the_whole_and_is_run_again_with_lf(
    in_two: Checkout, cache: str
) -> None:
    both = in_two.dev("test", WHISPER_DEV_CACHE=cache)
    assert both.code == 1
    assert both.out.count("1 failed") == 2
    assert "AssertionError: has 0/2" in both.out
    assert "AssertionError: has 1/2" in both.out
    assert "Not all is well: app and engine tests, other tests." in both.err
    again = in_two.dev("test", "--lf", WHISPER_DEV_CACHE=cache)
    assert again.code == 1
    assert "2 failed in" in again.out
    assert "AssertionError: has all" in again.out
    assert "Not all is well: tests without Qt." in again.err


def test_when_dev_py_is_ended_both_runs_are_gone_and_their_output_is_shown(
    in_two: Checkout, cache: str, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "alive")
    reader = os.open(tmp_path / "alive", os.O_RDONLY | os.O_NONBLOCK)
    environment = in_two.environment(WHISPER_DEV_CACHE=cache, HANGS=str(tmp_path / "alive"))
    with (
        os.fdopen(reader, "rb", buffering=0) as alive,
        subprocess.Popen(
            in_two.command("test"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a test run in the background
        ) as dev,
    ):
        said = b""
        while said.count(b"\n") < 2:
            assert select.select([alive], [], [], PATIENCE_S)[0]
            said += alive.read()
        assert sorted(said.split()) == [b"0/2", b"1/2"]
        dev.send_signal(signal.SIGTERM)
        shown, _ = dev.communicate(timeout=PATIENCE_S)
        assert dev.returncode == 128 + signal.SIGTERM
        assert shown.count(b"test session starts") == 2
        assert select.select([alive], [], [], PATIENCE_S)[0]
        assert alive.read() == b""  # nobody is left who could write
