"""Prints what the chaos runs came to, whatever became of them."""

import pytest

from tests.engines.chaos.table import Table

_TABLE = pytest.StashKey[Table]()


@pytest.fixture
def table(pytestconfig: pytest.Config) -> Table:
    """One for all runs; it is printed at the end."""
    return pytestconfig.stash.setdefault(_TABLE, Table())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    found = config.stash.get(_TABLE, None)
    if found is None or not found.lines():
        return
    terminalreporter.section("faults of real engines, and the causes diagnosed")
    for line in found.lines():
        terminalreporter.line(line)
