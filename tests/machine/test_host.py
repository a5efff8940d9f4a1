"""The edge: files below a root, programs with a hard limit."""

from pathlib import Path

import pytest

from tests.machine.programs import program
from tests.machine.recorded import lay_out
from whisper_desktop.machine.findings import ProbeFailed
from whisper_desktop.machine.host import Host


def test_files_below_the_root(tmp_path: Path) -> None:
    host = Host(lay_out(tmp_path, {"/proc/x": " 12 ", "/proc/word": "max", "/proc/empty": ""}), {})
    assert (host.text("/proc/x"), host.number("/proc/x")) == ("12", 12)
    assert (host.text("/proc/word"), host.number("/proc/word")) == ("max", None)
    assert (host.text("/proc/empty"), host.text("/proc/none"), host.text("/proc")) == (None, None, None)
    assert host.names("/proc") == ("empty", "word", "x")
    assert host.names("/none") == ()


def test_a_program_that_is_no_program_is_told(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_bytes(b"\x7fELFnothing")
    broken.chmod(0o755)
    with pytest.raises(ProbeFailed, match="could not be started"):
        Host().run((str(broken),), timeout=20)


def test_a_program_that_closes_its_output_and_stays_is_ended(tmp_path: Path) -> None:
    stays = program(tmp_path, "stays", "echo hello; exec >&-; exec sleep 1000")
    with pytest.raises(ProbeFailed, match="did not end within 1 s"):
        Host().run((str(stays),), timeout=1)


def test_output_and_code_of_a_program(tmp_path: Path) -> None:
    speaks = program(tmp_path, "speaks", "printf 'caf\\351'; exit 3")
    output = Host().run((str(speaks),), timeout=20)
    assert (output.text, output.code) == ("caf\ufffd", 3)
