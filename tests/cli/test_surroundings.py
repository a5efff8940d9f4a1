"""Whatever surrounds the program: sentences and exit codes, never a traceback."""

import pytest

from tests.cli.program import ROOT, Program


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (bytes(range(256)), "it is no UTF-8"),
        ("Grüße".encode("latin-1"), "it is no UTF-8"),
        (b"PK\x03\x04\0\0\0", "zero bytes"),
        (b"a" * 4_000_001, "too long"),
        (b"\xef\xbb\xbf \n", "There is no question"),
    ],
)
def test_what_is_piped_in_must_be_a_question(program: Program, data: bytes, words: str) -> None:
    result = program.run("chat", stdin=data)
    assert result.code == 2
    assert words in result.err
    assert result.raw == b""


@pytest.mark.parametrize(
    ("shell", "code"),
    [
        ('"$@" | true; exit ${PIPESTATUS[0]}', 0),
        ('"$@" >&-', 0),
        ('"$@" <&- 2>&- >/dev/null', 0),
        ('"$@" >/dev/full', 1),
        ('cd /; exec "$@" >/dev/null', 0),
    ],
)
def test_output_that_closes_early_or_cannot_be_written(program: Program, shell: str, code: int) -> None:
    result = program.run("config", "show", shell=shell, env={"PYTHONPATH": str(ROOT)})
    assert result.code == code, result.err
    assert ("No space left" in result.err) is (code == 1)
    assert len(result.err.splitlines()) <= 1


def test_without_a_home_it_looks_and_says_what_it_cannot_do(program: Program) -> None:
    nowhere = {"HOME": "/proc/nowhere", "WHISPER_HOME": ""}
    looked = program.run("machine", "--json", env=nowhere)
    assert looked.code == 0
    assert looked.json["ram"]["total_bytes"] > 0
    assert "Note: " in looked.err
    written = program.run("config", "set", "llm.mode", "auto", env={"WHISPER_HOME": "/proc/nowhere"})
    assert written.code == 1
    assert "/proc/nowhere" in written.err
    assert "WHISPER_HOME" in written.err


def test_without_a_place_for_the_socket_a_chat_says_so(program: Program) -> None:
    program.home.mkdir()
    (program.home / "run").write_text("a file where a folder should be")
    result = program.run("chat", "--guide", "Hello")
    assert result.code == 1
    assert str(program.home / "run") in result.err
    as_json = program.run("chat", "--guide", "--json", "Hello")
    assert as_json.code == 1
    assert str(program.home / "run") in as_json.json["error"]["title"]


def test_a_mistake_of_ours_is_a_sentence_and_its_details_are_in_the_log(program: Program) -> None:
    broken = program.home.parent / "broken"
    broken.mkdir()
    # A damaged installation: what this raises is foreseen nowhere in the program.
    (broken / "aiohttp.py").write_text("raise LookupError('this package is damaged')\n")
    env = {"PYTHONPATH": str(broken)}
    result = program.run("detect", env=env)
    assert result.code == 70
    assert result.raw == b""
    log = program.home / "logs" / "terminal.log"
    assert str(log) in result.err
    assert "Traceback" in log.read_text()
    assert "this package is damaged" in log.read_text()

    as_json = program.run("detect", "--json", env=env)
    assert as_json.code == 70
    assert as_json.json["error"]["type"] == "InternalError"


def test_a_socket_path_that_is_too_long_is_replaced_by_a_short_one(program: Program) -> None:
    home = program.home.parent / ("h" * 120)
    result = program.run("chat", "--guide", "Hello", env={"WHISPER_HOME": str(home)})
    assert result.code == 0, result.err
