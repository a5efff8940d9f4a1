"""`dev.py check` and `dev.py test`: which runs there are, what is blocked in them, and the exit status."""

import os
import select
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import dev_process
import dev_tests
import pytest
from dev_say import Trouble, duration
from dev_tests import Verdict

from tests.packaging.conftest import Checkout, program

PROJECT = {
    "tests",
    "tests/cli",
    "tests/engines",
    "tests/ui",
    "tests/ui/test_tray.py",
    "tests/wire",
    "tests/wire/test_sse.py",
}


def runs(*arguments: str, strict: bool = False, project: set[str] = PROJECT) -> dict[str, tuple[str, ...]]:
    planned = dev_tests.rounds(arguments, strict, project.__contains__)
    return {group.name: group.arguments for together in planned for group in together}


CORE, UI = "tests without Qt", "desktop tests"
PROGRAMS, OTHERS = "app and engine tests", "other tests"


def test_everything_runs_once_with_qt_only_where_it_belongs() -> None:
    """Without paths pytest takes all of tests/: what the one run is given must be left out of the other."""
    all_of_them = runs()
    programs, others, ui = (all_of_them[name] for name in (PROGRAMS, OTHERS, UI))
    assert "tests.block_qt" in programs
    assert "tests.block_qt" in others
    assert "tests.block_qt" not in ui
    assert [one for one in programs if one in PROJECT] == ["tests/engines", "tests/cli"]
    assert [one for one in others if one in PROJECT] == []
    left_out = {one.removeprefix("--ignore=") for one in others if one.startswith("--ignore=")}
    assert left_out == {"tests/ui", "tests/engines", "tests/cli"}
    assert ui[-1] == "tests/ui"


def test_the_runs_without_qt_go_side_by_side_and_the_desktop_run_goes_alone() -> None:
    planned = dev_tests.rounds([], False, PROJECT.__contains__)
    assert [[group.name for group in together] for together in planned] == [[PROGRAMS, OTHERS], [UI]]


def test_what_needs_a_real_screen_runs_beside_the_windows_and_nothing_runs_twice() -> None:
    planned = dev_tests.rounds([], False, {*PROJECT, "tests/ui/desktop"}.__contains__)
    windows, on_screen = planned[-1]
    assert "--ignore=tests/ui/desktop" in windows.arguments
    assert [one for one in on_screen.arguments if one.startswith("tests/")] == ["tests/ui/desktop"]


@pytest.mark.parametrize("arguments", [["-k", "menu"], ["--lf"], ["tests"], ["tests/cli"]])
def test_with_arguments_nothing_goes_side_by_side(arguments: list[str]) -> None:
    planned = dev_tests.rounds(arguments, False, PROJECT.__contains__)
    assert [len(together) for together in planned] == [1] * len(planned)
    assert planned[0][0].name == CORE


def test_the_long_random_runs_are_left_out_unless_they_are_asked_for() -> None:
    assert all("not random_runs" in arguments for arguments in runs().values())
    assert not any("not random_runs" in arguments for arguments in runs("tests/wire").values())


@pytest.mark.parametrize(
    ("paths", "core", "ui"),
    [
        (["tests/wire"], ["tests/wire"], None),
        (["tests/wire/test_sse.py::test_x[a]"], ["tests/wire/test_sse.py::test_x[a]"], None),
        (["tests/ui/test_tray.py::test_menu"], None, ["tests/ui/test_tray.py::test_menu"]),
        (["tests/wire", "tests/ui"], ["tests/wire"], ["tests/ui"]),
        (["tests"], ["tests"], ["tests/ui"]),
    ],
)
def test_paths_go_to_the_run_they_belong_to(
    paths: list[str], core: list[str] | None, ui: list[str] | None
) -> None:
    chosen = runs("-x", *paths, "-k", "menu")

    def given(arguments: Sequence[str]) -> list[str]:
        return [one for one in arguments if one.startswith("tests/") or one == "tests"]

    assert (given(chosen[CORE]) if CORE in chosen else None) == core
    assert (given(chosen[UI]) if UI in chosen else None) == ui
    for arguments in chosen.values():
        assert {"-x", "-k", "menu"} <= set(arguments)


def test_strictness_reaches_every_run() -> None:
    assert all("--strict-skips" in arguments for arguments in runs(strict=True).values())
    assert not any("--strict-skips" in arguments for arguments in runs().values())


def test_without_desktop_tests_there_is_no_desktop_run() -> None:
    assert set(runs(project={"tests"})) == {CORE}


@pytest.mark.parametrize(
    ("checks", "tests", "code"),
    [
        ([0, 0], [0, 0], 0),
        ([0, 3], [1, 0], 3),
        ([0, 0], [0, 4], 4),
        ([2], [], 2),
    ],
)
def test_the_exit_status_is_that_of_the_first_failure(
    checks: list[int], tests: list[int], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    judged = dev_tests.conclude(
        [Verdict(f"check{n}", one, 1.0) for n, one in enumerate(checks)],
        [[Verdict(f"run{n}", one, 400.0)] for n, one in enumerate(tests)],
    )
    assert judged == code
    summary = capsys.readouterr().err
    assert ("All is well." in summary) == (code == 0)
    assert ("over the goal of 12 min" in summary) == (len(tests) == 2)


def test_of_runs_side_by_side_only_the_longest_counts(capsys: pytest.CaptureFixture[str]) -> None:
    together = [Verdict("a", 0, 100.0), Verdict("b", 5, 300.0)]
    assert dev_tests.conclude([], [together, [Verdict("c", 0, 60.0)]]) == 5
    assert "The tests took 6 min.\n" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.04, "0.0 s"), (9.94, "9.9 s"), (59, "59 s"), (60, "1 min"), (365, "6 min 5 s")]
)
def test_durations_are_told_as_people_say_them(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_test_runs_checks_and_both_groups_on_a_screen_of_their_own(complete: Checkout, cache: str) -> None:
    ran = complete.dev("test", WHISPER_DEV_CACHE=cache, DISPLAY=":4711", WAYLAND_DISPLAY="wayland-0")
    assert ran.code == 0, ran.out + ran.err
    assert ran.err.rstrip().endswith("All is well.")
    assert ran.out.count("passed") == 2
    for name in ("ruff format", "ruff check", "mypy", "lint-imports", CORE, UI):
        assert f"\n  {name} " in ran.err


def test_a_failing_check_does_not_stop_the_tests_and_gives_the_exit_status(
    complete: Checkout, cache: str
) -> None:
    program(complete.folder / ".venv" / "bin" / "mypy", "echo 'x.py:1: error: wrong'; exit 9")
    ran = complete.dev("test", WHISPER_DEV_CACHE=cache, UI_FAILS="1")
    assert ran.code == 9
    assert "x.py:1: error: wrong" in ran.err
    assert f"Not all is well: mypy, {UI}." in ran.err
    assert "passed" in ran.out


def test_ci_fails_on_a_skip_that_is_not_listed_and_accepts_a_listed_one(
    complete: Checkout, cache: str
) -> None:
    command = ("test", "tests/test_core.py")
    assert complete.dev(*command, WHISPER_DEV_CACHE=cache, SKIP="1").code == 0
    strict = complete.dev(*command, WHISPER_DEV_CACHE=cache, SKIP="1", CI="true")
    assert strict.code == 1
    assert "tests/test_core.py::test_may_be_skipped | told to" in strict.out
    listed = complete.folder / "tests" / "skips.txt"
    listed.write_text("tests/test_core.py::test_may_* | told to\n", encoding="utf-8")
    try:
        assert complete.dev(*command, "--strict", WHISPER_DEV_CACHE=cache, SKIP="1").code == 0
    finally:
        listed.unlink()


def test_a_benchmark_gets_its_arguments_and_gives_its_exit_status(complete: Checkout) -> None:
    folder = complete.folder / "tests" / "benchmarks"
    folder.mkdir()
    (folder / "start.py").write_text("import sys\nprint(sys.argv[1:])\nsys.exit(6)\n", encoding="utf-8")
    ran = complete.dev("bench", "start", "--rounds", "3")
    assert (ran.code, ran.out) == (6, "['--rounds', '3']\n")


def test_chaos_runs_only_what_is_marked_so(complete: Checkout, cache: str) -> None:
    marked = "import pytest\n@pytest.mark.chaos\ndef test_a(): ...\ndef test_b(): assert False\n"
    (complete.folder / "tests" / "test_kill.py").write_text(marked, encoding="utf-8")
    ran = complete.dev("chaos", WHISPER_DEV_CACHE=cache)
    (complete.folder / "tests" / "test_kill.py").unlink()
    assert ran.code == 0, ran.out + ran.err
    assert "1 passed" in ran.out


def test_check_runs_every_check_and_names_a_missing_one(complete: Checkout) -> None:
    program(complete.folder / ".venv" / "bin" / "ruff", 'echo "ruff says $*"; exit 1')
    (complete.folder / ".venv" / "bin" / "mypy").unlink()
    ran = complete.dev("check")
    assert ran.code == 1
    assert "ruff says format --check ." in ran.err
    assert "ruff says check ." in ran.err
    assert "mypy cannot be started: No such file or directory." in ran.err
    assert "lint-imports: fine" in ran.err


def test_a_program_that_does_not_end_is_stopped_with_all_it_started(tmp_path: Path) -> None:
    """The grandchild ignores what can be ignored and holds a pipe, whose end tells that it is gone."""
    alive = tmp_path / "alive"
    os.mkfifo(alive)
    script = f"(trap '' INT TERM; exec 9> {alive}; echo up >&9; sleep 600) & wait"
    reader = os.open(alive, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(reader, "rb", buffering=0) as pipe:
        with pytest.raises(Trouble, match="sh has not ended after 1.0 s and was stopped"):
            dev_process.quiet(["sh", "-c", script], limit_s=1.0)
        assert pipe.read() == b"up\n"
        assert select.select([pipe], [], [], 30)[0]
        assert pipe.read() == b""


def test_a_grandchild_that_keeps_the_pipe_open_does_not_hold_us_up() -> None:
    ended = dev_process.quiet(["sh", "-c", "sleep 600 & echo last words; exit 3"], limit_s=60.0)
    assert (ended.code, ended.lines) == (3, ["last words"])
    assert ended.seconds < 30


def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(Trouble, match=r"nonsense-program cannot be started: No such file"):
        dev_process.quiet(["nonsense-program"], limit_s=1.0)


@pytest.mark.skipif(shutil.which("dbus-run-session") is None, reason="no dbus-run-session")
def test_the_message_bus_starts_no_service_such_as_the_persons_keyring() -> None:
    question = [
        "--dest=org.freedesktop.DBus",
        "/org/freedesktop/DBus",
        "org.freedesktop.DBus.ListActivatableNames",
    ]
    command = [*dev_tests.own_bus(), "dbus-send", "--session", "--print-reply=literal", *question]
    asked = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert asked.stdout.split() == ["array", "[", "org.freedesktop.DBus", "]"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Xvfb is used on Linux only")
def test_the_screen_is_there_inside_the_block_and_gone_after_it() -> None:
    with dev_tests.screen() as display:
        if display is None:
            pytest.skip("no Xvfb")
        socket = Path(f"/tmp/.X11-unix/X{display.removeprefix(':')}")
        assert socket.is_socket()
    assert not socket.exists()
