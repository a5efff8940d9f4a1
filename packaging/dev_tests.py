"""The checks, the tests, the benchmarks and the chaos runs, on a screen and a message bus of their own."""

import contextlib
import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import dev_llama
from dev_process import attached, child, quiet
from dev_say import Trouble, duration, say
from dev_side_by_side import Run, side_by_side
from dev_venv import ROOT, program

_CHECK_LIMIT_S = 900.0
_TESTS_LIMIT_S = 2700.0
_TESTS_GOAL_S = 720.0
_FUZZ_LIMIT_S = 86_400.0
_SCREEN_LIMIT_S = 15.0
_SHOWN_LINES = 60
_NOTHING_COLLECTED = 5
_LAST_FAILED = "v/cache/lastfailed"
_XVFB_OPTIONS = ("-screen", "0", "1280x800x24", "-nolisten", "tcp", "-noreset")

UI_TESTS = "tests/ui"
SCREEN_TESTS = "tests/ui/desktop"
PROGRAM_TESTS = tuple(
    f"tests/{room}" for room in ("engines", "guide", "cli", "control", "app", "integration")
)
"""These take about as long as all other tests without Qt, and run beside them.

No two tests that run side by side may need the same port, screen or file. So no test listens on a port that
servers usually have: every scan looks there.
"""


class Check(NamedTuple):
    """A program that judges the source, and what to do when it finds something."""

    name: str
    command: tuple[str, ...]
    advice: str


CHECKS = (
    Check("ruff format", ("ruff", "format", "--check", "."), "Mend it with `.venv/bin/ruff format .`."),
    Check(
        "ruff check", ("ruff", "check", "."), "Some of it mends itself with `.venv/bin/ruff check --fix .`."
    ),
    Check("mypy", ("mypy",), "See all of it with `.venv/bin/mypy`."),
    Check(
        "lint-imports", ("lint-imports", "--no-logo"), "The rooms and their order stand in pyproject.toml."
    ),
)


class Verdict(NamedTuple):
    """How one check or one run of tests ended. `code` is its exit status."""

    name: str
    code: int
    seconds: float


def run_checks() -> list[Verdict]:
    """Runs every check, whatever the others say; shows the output of those that fail."""
    verdicts = []
    environment = {**os.environ, "RUFF_OUTPUT_FORMAT": "concise"}
    for check in CHECKS:
        command = [program(check.command[0]), *check.command[1:]]
        try:
            ended = quiet(command, limit_s=_CHECK_LIMIT_S, doing=check.name, env=environment, cwd=Path(ROOT))
        except Trouble as trouble:
            say(str(trouble))
            verdicts.append(Verdict(check.name, trouble.code, 0.0))
            continue
        verdicts.append(Verdict(check.name, ended.code, ended.seconds))
        if ended.code:
            say(f"{check.name} found something:\n{ended.tail(_SHOWN_LINES)}\n{check.advice}")
        else:
            say(f"{check.name}: fine ({duration(ended.seconds)})")
    return verdicts


class Group(NamedTuple):
    """One pytest run: its name, and pytest's arguments."""

    name: str
    arguments: tuple[str, ...]


Round = tuple[Group, ...]
"""Groups that run side by side."""


def rounds(arguments: Sequence[str], strict: bool, exists: Callable[[str], bool]) -> list[Round]:
    """The pytest runs for these pytest arguments: everything but the UI with Qt blocked, then the UI with Qt.

    `exists` tells whether an argument (up to `::`) names a file or folder, seen from the project's folder:
    those that lie in tests/ui go to the last run, the others to the first, and when some were given a run
    without any of them is left out. Where none was given, the long random runs are left to `dev.py chaos`.
    Where there are no arguments at all, the tests without Qt are two groups, side by side, and so are those
    with Qt: windows offscreen beside the app on a real screen, where most of the time is waited.
    """
    paths = [one for one in arguments if not one.startswith("-") and exists(one.partition("::")[0])]
    options = [one for one in arguments if one not in paths]
    ui_paths = [path for path in paths if Path(path).is_relative_to(UI_TESTS)]
    core_paths = [path for path in paths if path not in ui_paths]
    if any(Path(UI_TESTS).is_relative_to(path) for path in core_paths):  # such as `tests`
        ui_paths.append(UI_TESTS)
    common = ["-p", "tests.strict_skips", "-p", "tests.reference_engine", "--durations=10", *options]
    if not paths:
        common[:0] = ["-m", "not random_runs"]  # first, so that a `-m` that was given wins
    if strict:
        common.insert(0, "--strict-skips")
    without_qt = ["-p", "tests.block_qt", "-p", "no:pytest-qt", f"--ignore={UI_TESTS}", *common]
    beside = [path for path in PROGRAM_TESTS if exists(path)]
    made: list[Round] = []
    if not arguments and beside:
        others = (f"--ignore={path}" for path in beside)
        made.append(
            (
                Group("app and engine tests", (*without_qt, *beside)),
                Group("other tests", (*without_qt, *others)),
            )
        )
    elif core_paths or not paths:
        made.append((Group("tests without Qt", (*without_qt, *core_paths)),))
    if not arguments and exists(SCREEN_TESTS):
        windows = Group("window tests", (*common, UI_TESTS, f"--ignore={SCREEN_TESTS}"))
        made.append((windows, Group("desktop tests", (*common, SCREEN_TESTS))))
    elif (ui_paths or not paths) and exists(UI_TESTS):
        made.append((Group("desktop tests", (*common, *(ui_paths or [UI_TESTS]))),))
    return made


def run_tests(planned: Sequence[Round]) -> list[list[Verdict]]:
    """Runs round after round on a private screen, each group on a message bus of its own."""
    environment = {**os.environ, **_reference_engine()}
    with screen() as display:
        environment = _headless(environment, display)
        ended = [_run_round(groups, environment) for groups in planned]
    # With arguments such as `-k tray` one of two groups may rightly have nothing to do, but not both.
    if any(verdict.code != _NOTHING_COLLECTED for verdicts in ended for verdict in verdicts):
        return [
            [one if one.code != _NOTHING_COLLECTED else one._replace(code=0) for one in verdicts]
            for verdicts in ended
        ]
    return ended


def _run_round(groups: Round, environment: Mapping[str, str]) -> list[Verdict]:
    say(f"\n{' and '.join(group.name for group in groups)}:")
    started = time.monotonic()
    try:
        if len(groups) > 1:
            return _run_side_by_side(groups, environment)
        (group,) = groups
        code = attached(_pytest(group), limit_s=_TESTS_LIMIT_S, env=environment, cwd=Path(ROOT))
    except Trouble as trouble:
        say(str(trouble))
        code = trouble.code
    return [Verdict(group.name, code, time.monotonic() - started) for group in groups]


def _run_side_by_side(groups: Round, environment: Mapping[str, str]) -> list[Verdict]:
    """Each group has ports and a cache of its own; what failed is then put into pytest's usual cache."""
    colour = ["--color=yes"] if sys.stdout.isatty() else []
    with tempfile.TemporaryDirectory() as caches:
        runs = [
            Run(
                group.name,
                [*_pytest(group), *colour, "-o", f"cache_dir={caches}/{number}"],
                {**environment, "WHISPER_TEST_PORTS": f"{number}/{len(groups)}"},
                _TESTS_LIMIT_S,
            )
            for number, group in enumerate(groups)
        ]
        ended = side_by_side(runs, Path(ROOT))
        _remember_failures([Path(caches, str(number)) for number in range(len(groups))])
    return [Verdict(group.name, *each) for group, each in zip(groups, ended, strict=True)]


def _pytest(group: Group) -> list[str]:
    return [*own_bus(), program("python"), "-m", "pytest", *group.arguments]


def _remember_failures(caches: Sequence[Path]) -> None:
    """Puts together what failed, for `--lf`: with one cache, the last to end would forget the other's."""
    failed: dict[str, bool] = {}
    for cache in caches:
        with contextlib.suppress(FileNotFoundError):
            failed |= json.loads((cache / _LAST_FAILED).read_text(encoding="utf-8"))
    usual = Path(ROOT, ".pytest_cache", _LAST_FAILED)
    usual.parent.mkdir(parents=True, exist_ok=True)
    usual.write_text(json.dumps(failed), encoding="utf-8")


def conclude(checks: Sequence[Verdict], tests: Sequence[Sequence[Verdict]]) -> int:
    """Prints the closing summary; the exit status is that of the first failure.

    `tests` are the rounds: of those that ran side by side only the longest counts for the time.
    """
    say("")
    verdicts = [*checks, *(verdict for together in tests for verdict in together)]
    for verdict in verdicts:
        state = f"failed ({verdict.code})" if verdict.code else "fine"
        say(f"  {verdict.name:<20} {state:<12} {duration(verdict.seconds)}")
    if tests:
        total = sum(max(verdict.seconds for verdict in together) for together in tests)
        over = f", over the goal of {duration(_TESTS_GOAL_S)}" if total > _TESTS_GOAL_S else ""
        say(f"  The tests took {duration(total)}{over}.")
    failed = [verdict for verdict in verdicts if verdict.code]
    say(f"Not all is well: {', '.join(verdict.name for verdict in failed)}." if failed else "All is well.")
    return failed[0].code if failed else 0


def run_benchmark(name: str, arguments: Sequence[str]) -> int:
    """Runs `tests/benchmarks/<name>.py` on a private screen and message bus; its exit status."""
    server = dev_llama.find()
    engine = {"WHISPER_TEST_LLAMA_SERVER": str(server)} if server else {}
    command = [*own_bus(), program("python"), "-m", f"tests.benchmarks.{name}", *arguments]
    with screen() as display:
        environment = _headless({**os.environ, **engine}, display)
        return attached(command, limit_s=_TESTS_LIMIT_S, env=environment, cwd=Path(ROOT))


def run_fuzz(arguments: Sequence[str]) -> int:
    """Runs `tests/fuzz/run.py`; its exit status."""
    command = [program("python"), "-m", "tests.fuzz.run", *arguments]
    return attached(command, limit_s=_FUZZ_LIMIT_S, env=os.environ, cwd=Path(ROOT))


@contextlib.contextmanager
def screen() -> Iterator[str | None]:
    """The display (`:99`) of a private Xvfb that is gone when the block ends; None where there is no Xvfb."""
    if sys.platform != "linux" or shutil.which("Xvfb") is None:
        yield None
        return
    reading, writing = os.pipe()
    command = ["Xvfb", "-displayfd", str(writing), *_XVFB_OPTIONS]
    prctl = ctypes.CDLL(None).prctl

    def die_with_parent() -> None:
        # Should dev.py be killed outright, the screen goes with it.
        set_parent_death_signal = 1
        prctl(set_parent_death_signal, signal.SIGTERM)

    with contextlib.ExitStack() as stack:
        answer = stack.enter_context(os.fdopen(reading, "rb"))
        with os.fdopen(writing, "wb"):
            silent: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            stack.enter_context(child(command, pass_fds=[writing], preexec_fn=die_with_parent, **silent))
        readable, _, _ = select.select([answer], [], [], _SCREEN_LIMIT_S)
        number = answer.readline().decode().strip() if readable else ""
        if not number:
            say(
                "Xvfb, the tests' screen, did not start; `Xvfb :99` by hand shows why. "
                "Going on without a screen."
            )
        yield f":{number}" if number else None


def own_bus() -> list[str]:
    """What to put before a command to give it a message bus of its own; nothing where there is no D-Bus."""
    if shutil.which("dbus-run-session") is None:
        return []
    return ["dbus-run-session", f"--config-file={Path(ROOT, 'packaging', 'dev_bus.conf')}", "--"]


def _headless(environment: dict[str, str], display: str | None) -> dict[str, str]:
    """The environment without the person's own screen and message bus: no test appears on their desktop."""
    kept = {name: value for name, value in environment.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    if display:
        kept["DISPLAY"] = display
    if not own_bus() and sys.platform == "linux":
        kept["DBUS_SESSION_BUS_ADDRESS"] = "disabled:"
    return kept


def _reference_engine() -> dict[str, str]:
    """What the tests are told about the reference llama-server: where it is, or why there is none."""
    try:
        return {"WHISPER_TEST_LLAMA_SERVER": str(dev_llama.ensure(program("python")))}
    except Trouble as trouble:
        say(f"{trouble} The tests that need it are skipped.")
        reason = str(trouble).splitlines()[-1]
        return {"WHISPER_TEST_LLAMA_SERVER": "", "WHISPER_TEST_LLAMA_SERVER_MISSING": reason}
