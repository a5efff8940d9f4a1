"""`doctor --bundle`: a report for somebody who helps, seen before it is saved."""

import json
import zipfile
from pathlib import Path

from tests.cli.program import Program


def test_the_contents_are_told_and_the_report_is_saved(program: Program, tmp_path: Path) -> None:
    file = tmp_path / "report.zip"
    result = program.run("doctor", "--bundle", str(file), env={"MY_API_KEY": "hunter2-hunter2"})
    assert result.code == 0, result.err
    assert "diagnosis.txt" in result.out
    assert "Nothing was sent anywhere." in result.out
    with zipfile.ZipFile(file) as archive:
        text = archive.read("diagnosis.txt").decode()
    assert "engine" in text
    assert "hunter2" not in text


def test_a_program_gets_the_contents_as_json(program: Program, tmp_path: Path) -> None:
    file = tmp_path / "report.zip"
    result = program.run("doctor", "--bundle", str(file), "--json")
    told = json.loads(result.out)
    assert told["file"] == str(file)
    assert "diagnosis.txt" in told["contents"]


def test_at_a_terminal_one_can_think_better_of_it(program: Program, tmp_path: Path) -> None:
    file = tmp_path / "report.zip"
    talk = program.terminal("doctor", "--bundle", str(file))
    talk.expect("diagnosis.txt")
    talk.expect("Save it?")
    talk.type("n\r")
    talk.rest()
    assert talk.wait() == 0
    assert not file.exists()
