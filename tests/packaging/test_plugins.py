"""The pytest plugins that `dev.py test` loads: strict skips, Qt blocked, the reference engine."""

import pytest

from tests import strict_skips
from tests.packaging.conftest import ROOT

pytest_plugins = ["pytester"]

SKIPPING = """
import pytest

@pytest.mark.skip(reason="needs a tray host")
def test_tray(): ...

@pytest.mark.xfail(reason="bug 12")
def test_known(): assert False

@pytest.mark.parametrize("n", [1])
def test_param(n): pytest.skip("no [brackets]")

def test_fine(): ...
"""


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A pytest project in which our plugins can be named."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.delenv("WHISPER_TEST_LLAMA_SERVER", raising=False)
    monkeypatch.delenv("WHISPER_TEST_LLAMA_SERVER_MISSING", raising=False)
    return pytester


def strictly(project: pytest.Pytester, listed: str) -> pytest.RunResult:
    project.mkdir("tests").joinpath("skips.txt").write_text(listed, encoding="utf-8")
    return project.runpytest_subprocess("-p", "tests.strict_skips", "--strict-skips")


def test_skips_that_are_not_listed_fail_the_run_and_are_named(project: pytest.Pytester) -> None:
    project.makepyfile(test_a=SKIPPING)
    result = strictly(project, "# nothing is allowed\n")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [
            "test_a.py::test_tray | needs a tray host",
            "test_a.py::test_known | expected to fail: bug 12",
            "test_a.py::test_param[[]1] | no [[]brackets]",
        ]
    )


def test_listed_skips_pass_by_test_and_reason(project: pytest.Pytester) -> None:
    project.makepyfile(test_a=SKIPPING)
    listed = """
    test_a.py::test_tray     | needs a *
    *::test_known            | expected to fail: bug 12
    test_a.py::test_param[1] | no [brackets]
    """
    assert strictly(project, listed).ret == pytest.ExitCode.OK


def test_the_right_test_with_another_reason_is_not_allowed(project: pytest.Pytester) -> None:
    project.makepyfile(test_a="import pytest\ndef test_x(): pytest.skip('something new')")
    assert strictly(project, "test_a.py::test_x | something old").ret == pytest.ExitCode.TESTS_FAILED


def test_a_file_that_skips_itself_is_seen(project: pytest.Pytester) -> None:
    project.makepyfile(test_a="import pytest\npytest.skip('whole file', allow_module_level=True)")
    result = strictly(project, "")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["test_a.py | whole file"])


def test_a_skip_in_a_fixture_is_seen_once(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_a="import pytest\n@pytest.fixture\ndef f(): pytest.skip('no f')\ndef test_x(f): ..."
    )
    result = strictly(project, "")
    assert result.stdout.str().count("test_a.py::test_x | no f") == 1


def test_without_strictness_skips_are_fine(project: pytest.Pytester) -> None:
    project.makepyfile(test_a=SKIPPING)
    assert project.runpytest_subprocess("-p", "tests.strict_skips").ret == pytest.ExitCode.OK


def test_a_failing_run_keeps_its_own_exit_status(project: pytest.Pytester) -> None:
    project.makepyfile(test_a="import pytest\ndef test_x(): pytest.skip('no')", test_b="syntax error")
    assert strictly(project, "").ret == pytest.ExitCode.INTERRUPTED


@pytest.mark.parametrize("line", ["no bar at all", "| a reason only", "test_a.py |"])
def test_a_list_that_cannot_be_read_names_the_line(project: pytest.Pytester, line: str) -> None:
    result = strictly(project, f"# first\n{line}\n")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*tests/skips.txt cannot be read: line 2 is not *"])


def test_the_projects_own_list_can_be_read() -> None:
    strict_skips.parse((ROOT / "tests" / "skips.txt").read_text(encoding="utf-8"))


def test_qt_cannot_be_imported_when_it_is_blocked(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_a="""
        import importlib, sys, pytest

        @pytest.mark.parametrize("name", ["PySide6", "PySide6.QtCore", "shiboken6", "qasync"])
        def test_blocked(name):
            with pytest.raises(ModuleNotFoundError, match="only ui/ may use Qt"):
                importlib.import_module(name)
            assert name not in sys.modules
        """
    )
    project.makeini("[pytest]\nqt_api = pyside6\nqt_log_level_fail = WARNING\n")
    result = project.runpytest_subprocess("-p", "tests.block_qt", "--strict-config")
    result.assert_outcomes(passed=4)


def test_blocking_qt_too_late_is_an_error_not_a_silent_pass(project: pytest.Pytester) -> None:
    project.makepyfile(early="import sys, types\nsys.modules['qasync'] = types.ModuleType('qasync')\n")
    project.makepyfile(test_a="def test_x(): ...")
    result = project.runpytest_subprocess("-p", "early", "-p", "tests.block_qt")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*qasync was imported before it could be blocked*"])


REFERENCE = """
import pytest

@pytest.mark.reference_engine
def test_marked(): ...

def test_by_fixture(reference_llama_server): assert reference_llama_server.name == "server"
"""


def test_tests_of_the_reference_engine_skip_with_the_reason_it_is_missing(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHISPER_TEST_LLAMA_SERVER_MISSING", "there is no compiler")
    project.makepyfile(test_a=REFERENCE)
    result = project.runpytest_subprocess("-p", "tests.reference_engine", "-rs")
    result.assert_outcomes(skipped=2)
    result.stdout.fnmatch_lines(["*there is no compiler*"])


def test_tests_of_the_reference_engine_run_where_it_is(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHISPER_TEST_LLAMA_SERVER", "/somewhere/server")
    project.makepyfile(test_a=REFERENCE)
    project.runpytest_subprocess("-p", "tests.reference_engine").assert_outcomes(passed=2)
