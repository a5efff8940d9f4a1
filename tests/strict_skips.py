"""pytest plugin: with `--strict-skips` only the skips and expected failures in tests/skips.txt are allowed.

Each line of that file is `TEST ID | REASON`, where `*` stands for any text and `#` starts a comment. The test
id is as pytest prints it (`tests/ui/test_tray.py::test_menu`); that of a file skipped as a whole is its path.
`packaging/dev.py test` loads this plugin, and is strict when told so or when CI is set.
"""

import re
from typing import NamedTuple

import pytest

_LIST = "tests/skips.txt"


class Allowed(NamedTuple):
    """One line of the list."""

    test: str
    reason: str

    def covers(self, test: str, reason: str) -> bool:
        return _matches(self.test, test) and _matches(self.reason, reason)


def parse(text: str) -> list[Allowed]:
    """The lines of the list. Raises ValueError naming the line that has no reason."""
    allowed = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        test, bar, reason = (part.strip() for part in line.partition("|"))
        if not (test and bar and reason):
            raise ValueError(f"line {number} is not `TEST ID | REASON`: {line.strip()!r}")
        allowed.append(Allowed(test, reason))
    return allowed


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--strict-skips", action="store_true", help=f"fail on a skip or xfail not listed in {_LIST}"
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--strict-skips"):
        path = config.rootpath / _LIST
        try:
            allowed = parse(path.read_text(encoding="utf-8") if path.exists() else "")
        except (ValueError, UnicodeDecodeError) as error:
            raise pytest.UsageError(f"{_LIST} cannot be read: {error}") from None
        config.pluginmanager.register(_Watch(allowed), "strict-skips-watch")


class _Watch:
    """Collects the skips that the list does not allow and makes the run fail for them."""

    def __init__(self, allowed: list[Allowed]) -> None:
        self._allowed = allowed
        self._unlisted: list[tuple[str, str]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._see(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._see(report)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self._unlisted and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self._unlisted:
            return
        terminalreporter.section("skips that are not allowed", red=True)
        terminalreporter.line(f"Make these tests run here, or allow them in {_LIST}, each with its reason:")
        for test, reason in self._unlisted:
            terminalreporter.line(f"{test} | {reason}")

    def _see(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if not report.skipped:
            return
        reason = _reason(report)
        if not any(one.covers(report.nodeid, reason) for one in self._allowed):
            self._unlisted.append((report.nodeid, reason))


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    expected = getattr(report, "wasxfail", None)
    if expected is not None:
        return f"expected to fail: {expected}".removesuffix(": ")
    if isinstance(report.longrepr, tuple):
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    return str(report.longrepr)


def _matches(pattern: str, text: str) -> bool:
    parts = (re.escape(part) for part in pattern.split("*"))
    return re.fullmatch(".*".join(parts), text, re.DOTALL) is not None
