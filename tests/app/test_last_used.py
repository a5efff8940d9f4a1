"""When models were used last: a file that may be damaged, missing, or not ours to write."""

from pathlib import Path

import pytest

from whisper_desktop.app.last_used import LastUsed


def test_the_moment_is_kept_for_the_next_run(tmp_path: Path) -> None:
    moments = iter((10.0, 20.0, 30.0))
    used = LastUsed(tmp_path / "used.json", clock=lambda: next(moments))
    used.note(Path("/a.gguf"))
    used.note(Path("/b.gguf"))
    used.note(Path("/a.gguf"))
    assert LastUsed(tmp_path / "used.json").all() == {"/a.gguf": 30.0, "/b.gguf": 20.0}


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"format": 1, "models": 3}', '{"format": 1}', '{"format": 9, "models": {}}', "[" * 9999],
)
def test_a_damaged_file_is_begun_anew(tmp_path: Path, text: str) -> None:
    (tmp_path / "used.json").write_text(text)
    used = LastUsed(tmp_path / "used.json", clock=lambda: 5.0)
    assert used.all() == {}
    used.note(Path("/a.gguf"))
    assert used.all() == {"/a.gguf": 5.0}


def test_what_is_no_moment_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "used.json").write_text('{"format": 1, "models": {"/a": "x", "/b": 1e999, "/c": 3}}')
    assert LastUsed(tmp_path / "used.json").all() == {"/c": 3.0}


def test_a_folder_that_is_gone_hurts_nobody(tmp_path: Path) -> None:
    used = LastUsed(tmp_path / "gone" / "used.json")
    used.note(Path("/a.gguf"))
    assert used.all() == {}


def test_only_the_newest_thousand_are_kept(tmp_path: Path) -> None:
    entries = ", ".join(f'"/m{number}": {number}' for number in range(1000))
    (tmp_path / "used.json").write_text(f'{{"format": 1, "models": {{{entries}}}}}')
    used = LastUsed(tmp_path / "used.json", clock=lambda: 5000.0)
    used.note(Path("/new"))
    assert len(used.all()) == 1000
    assert "/m0" not in used.all()
    assert used.all()["/new"] == 5000.0
