"""pytest plugin: Qt cannot be imported in this run. It proves that only `whisper_desktop/ui` needs it.

`packaging/dev.py test` runs everything outside tests/ui this way, with pytest-qt itself left out.
"""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

import pytest

_BLOCKED = ("PySide6", "shiboken6", "qasync")

# pytest-qt is not there to declare its options in pyproject.toml, and unknown ones are errors.
_OPTIONS_OF_PYTEST_QT = ("qt_api", "qt_log_level_fail", "qt_log_ignore", "qt_no_exception_capture")


class _NoQt(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] in _BLOCKED:
            raise ModuleNotFoundError(
                f"{fullname} is blocked in this run: only ui/ may use Qt", name=fullname
            )
        return None


def pytest_addoption(parser: pytest.Parser) -> None:
    for name in _OPTIONS_OF_PYTEST_QT:
        parser.addini(name, "an option of pytest-qt, which is left out of this run")


def pytest_configure(config: pytest.Config) -> None:
    early = [name for name in _BLOCKED if name in sys.modules]
    if early:
        raise pytest.UsageError(
            f"{', '.join(early)} was imported before it could be blocked; is pytest-qt left out?"
        )
    blocker = _NoQt()
    sys.meta_path.insert(0, blocker)
    config.add_cleanup(lambda: sys.meta_path.remove(blocker))
