"""`chats`: what is kept is listed, found, shown, exported, imported, deleted and restored."""

import hashlib
import json
import sqlite3
import subprocess
import sys
import zipfile
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.cli.here import run_here
from tests.cli.program import Program, Result

SAMPLES = Path(__file__).resolve().parents[1] / "chat" / "importing" / "samples"
HELLO = hashlib.sha256(b"Hello").hexdigest()
SKY, BREAD = "d140305e554e9bc97dd59d4ead0d8b8e", "867eb59e7cff59351719e66e32316933"


def _chats(program: Program, *args: str) -> Result:
    return run_here(program, "chats", *args)


def _titles(result: Result) -> list[str]:
    return [each["title"] for each in result.json["conversations"]]


def test_nothing_is_kept_at_first(program: Program) -> None:
    assert _chats(program).out == "No conversations are kept yet.\n"
    assert _chats(program, "list", "--bin").out == "The bin is empty.\n"
    assert _chats(program, "--json").json == {"conversations": []}
    assert _chats(program, "search", "anything").out == "Nothing was found.\n"


def test_what_is_imported_is_listed_newest_first_and_told_once(program: Program) -> None:
    first = _chats(program, "import", str(SAMPLES / "chatgpt.json"), str(SAMPLES / "open_webui.json"))
    assert first.code == 0
    assert first.out.splitlines() == [
        "ChatGPT: one conversation was imported.",
        "2 steps of tools were left out.",
        "One picture is not in the file, or is none that can be shown.",
        "One attached file is not in the export.",
        "Open WebUI: one conversation was imported.",
    ]
    again = _chats(program, "import", str(SAMPLES / "open_webui.json"))
    assert again.out == "Open WebUI: one conversation was here already.\n"
    assert _titles(_chats(program, "list", "--json")) == ["🌤️ Blue sky", "Bread without yeast"]
    header, sky, bread = _chats(program).out.splitlines()
    assert header.split() == ["ID", "Changed", "Title"]
    assert sky.startswith(SKY[:7])
    assert sky.endswith("pinned")
    assert bread.endswith("Bread without yeast")


def test_an_import_tells_what_it_did_in_documented_shapes(program: Program) -> None:
    done = _chats(program, "import", str(SAMPLES / "open_webui.json"), "--json").json
    assert done == {
        "imports": [
            {
                "source": "Open WebUI",
                "conversations": 1,
                "messages": 5,
                "grown": 0,
                "already": 0,
                "ids": [SKY],
                "skipped": [],
            }
        ]
    }
    listed = _chats(program, "--json").json["conversations"]
    assert set(listed[0]) == {"id", "title", "created", "updated", "folder", "pinned", "deleted"}


def test_what_cannot_be_imported_is_said(program: Program, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}")
    for file, words in ((tmp_path / "a.json", "no conversations"), (tmp_path / "gone", "not there any more")):
        refused = _chats(program, "import", str(file))
        assert refused.code == 1
        assert words in refused.err
        assert words in _chats(program, "import", str(file), "--json").json["error"]["title"]


def test_words_are_found_and_shown_in_their_place(program: Program) -> None:
    _chats(program, "import", str(SAMPLES / "open_webui.json"))
    found = _chats(program, "search", "scattered")
    assert SKY[:7] in found.out
    assert "Short waves are scattered most." in found.out
    (hit,) = _chats(program, "search", "scattered", "--json").json["hits"]
    assert (hit["conversation"], hit["role"]) == (SKY, "assistant")
    assert [part["text"] for part in hit["snippet"] if part["found"]] == ["scattered"]


def test_a_conversation_is_shown_as_markdown_and_whole_as_json(program: Program) -> None:
    _chats(program, "import", str(SAMPLES / "open_webui.json"))
    assert _chats(program, "show", SKY[:4]).out.startswith("# 🌤️ Blue sky\n")
    shown = _chats(program, "show", SKY, "--json").json
    assert (shown["id"], len(shown["messages"])) == (SKY, 5)


def test_an_id_may_be_shortened_until_two_have_it(program: Program) -> None:
    _chats(program, "import", str(SAMPLES))
    unknown = _chats(program, "show", "zz")
    assert (unknown.code, "There is no conversation “zz” here." in unknown.err) == (1, True)
    many = _chats(program, "show", "3")
    assert (many.code, "More than one conversation begins with “3”." in many.err) == (1, True)


def test_ids_are_shown_as_long_as_it_takes_to_tell_them_apart(program: Program, tmp_path: Path) -> None:
    message = {"id": "m", "parent": None, "role": "user", "text": "hello", "created": 1.0}
    ids = ("abcdefgh1", "abcdefgh2")
    conversations = [{"id": each, "created": 1.0, "updated": 1.0, "messages": [message]} for each in ids]
    document = {"format": "whisper-desktop-conversations", "version": 1, "conversations": conversations}
    (tmp_path / "a.json").write_text(json.dumps(document))
    _chats(program, "import", str(tmp_path / "a.json"))
    assert {line.split()[0] for line in _chats(program).out.splitlines()[1:]} == set(ids)


def test_an_export_is_written_to_a_file_or_to_standard_output(program: Program, tmp_path: Path) -> None:
    _chats(program, "import", str(SAMPLES))
    html = _chats(program, "export", SKY[:7], "--format", "html")
    assert html.out.startswith("<!DOCTYPE html>")
    written = _chats(program, "export", SKY[:7], BREAD[:7], "--out", str(tmp_path / "a.zip"))
    assert written.out == ""
    assert written.err.startswith("2 conversations were written to ")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert sorted(archive.namelist()) == ["Bread without yeast.md", "🌤️ Blue sky.md"]
    assert json.loads(_chats(program, "export", "--all", "--format", "json").raw)["version"] == 1


def test_an_export_that_is_not_clear_is_asked_about(program: Program, tmp_path: Path) -> None:
    _chats(program, "import", str(SAMPLES))
    for args in (("export",), ("export", SKY, "--all"), ("export", SKY, BREAD)):
        assert _chats(program, *args).code == 2
    unwritable = _chats(program, "export", SKY, "--out", str(tmp_path / "none" / "a.md"))
    assert (unwritable.code, "a.md cannot be written." in unwritable.err) == (1, True)


def test_json_brings_everything_to_another_home(program: Program, tmp_path: Path) -> None:
    _chats(program, "import", str(SAMPLES))
    _chats(program, "export", "--all", "--format", "json", "--out", str(tmp_path / "all.json"))
    before = {each: _chats(program, "show", each, "--json").json for each in (SKY, BREAD)}
    other = Program(tmp_path / "other-home")
    assert _chats(other, "import", str(tmp_path / "all.json")).out == (
        "Whisper Desktop: 4 conversations were imported.\n"
    )
    assert {each: _chats(other, "show", each, "--json").json for each in (SKY, BREAD)} == before


def test_what_is_deleted_is_in_the_bin_until_it_is_restored(program: Program) -> None:
    _chats(program, "import", str(SAMPLES / "open_webui.json"))
    assert _chats(program, "delete", SKY[:7]).out == "“🌤️ Blue sky” is in the bin.\n"
    assert _titles(_chats(program, "--json")) == []
    assert _chats(program, "search", "scattered").out == "Nothing was found.\n"
    assert _titles(_chats(program, "list", "--bin", "--json")) == ["🌤️ Blue sky"]
    assert _chats(program, "delete", SKY[:7]).code == 1
    assert _chats(program, "restore", SKY[:7], "--json").json == {"restored": [SKY]}
    assert _titles(_chats(program, "--json")) == ["🌤️ Blue sky"]


def test_what_is_deleted_for_good_is_not_said_to_be_in_the_bin(program: Program) -> None:
    _chats(program, "import", str(SAMPLES / "open_webui.json"))
    done = run_here(program, "chats", "delete", SKY[:7], WHISPER_CHAT__BIN_DAYS="0")
    assert done.out == "“🌤️ Blue sky” is deleted for good.\n"
    assert _chats(program, "list", "--bin").out == "The bin is empty.\n"


def test_a_program_that_only_lists_does_not_load_the_readers_of_exports(program: Program) -> None:
    script = (
        "import sys; from whisper_desktop.cli.main import run; run(['chats', '--help']);"
        "print(sorted(name for name in sys.modules if 'pygments' in name or 'chat.importing' in name))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=program.env, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.splitlines()[-1] == "[]"


def _file(program: Program) -> Path:
    _chats(program, "import", str(SAMPLES / "open_webui.json"))
    (file,) = program.home.rglob("conversations.db")
    return file


def test_a_file_that_cannot_be_opened_is_said_and_never_taken_for_an_empty_one(program: Program) -> None:
    with closing(sqlite3.connect(_file(program))) as database:
        database.execute("PRAGMA user_version = 99")
    imported = ("import", str(SAMPLES / "chatgpt.json"))
    for args in ((), ("list", "--bin"), ("search", "sky"), ("export", "--all", "--format", "json"), imported):
        done = _chats(program, *args)
        assert (done.code, done.out) == (1, "")
        assert "made by a newer Whisper Desktop." in done.err
    assert _chats(program, "--json").json["error"]["type"] == "StoreError"


def test_a_file_that_was_repaired_is_told(program: Program) -> None:
    file = _file(program)
    whole = bytearray(file.read_bytes())
    whole[50:3000] = b"\xff" * 2950
    file.write_bytes(whole)
    done = _chats(program)
    assert "Blue sky" in done.out
    assert done.err.startswith("The file of your conversations was damaged, and was repaired.")
    assert _chats(program).err == ""


def test_nothing_is_imported_where_nothing_is_kept(program: Program) -> None:
    done = run_here(program, "chats", "import", str(SAMPLES), WHISPER_CHAT__KEEP="false")
    assert (done.code, done.out) == (1, "")
    assert "the setting chat.keep says so" in done.err


def test_an_export_to_standard_output_has_the_files_of_a_draft_too(program: Program, tmp_path: Path) -> None:
    draft = {"text": "See", "attachments": [{"id": HELLO, "name": "a.txt", "media_type": "text/plain"}]}
    chat: dict[str, Any] = {"id": "c1", "created": 1.0, "updated": 1.0, "draft": draft, "messages": []}
    chat["draft"]["attachments"][0]["size_bytes"] = 5
    document: dict[str, Any] = {"format": "whisper-desktop-conversations", "version": 1}
    document["conversations"] = [chat]
    document["attachments"] = {HELLO: "SGVsbG8="}
    (tmp_path / "a.json").write_text(json.dumps(document))
    _chats(program, "import", str(tmp_path / "a.json"))
    assert json.loads(_chats(program, "export", "c1", "--format", "json").raw)["attachments"] == {
        HELLO: "SGVsbG8="
    }


def test_an_export_to_a_terminal_cannot_steer_it(program: Program, tmp_path: Path) -> None:
    answer = {"id": "a", "role": "assistant", "text": "Now \x1b[31mred", "created": 1.0}
    chat = {"id": "c1", "created": 1.0, "updated": 1.0, "messages": [answer]}
    document = {"format": "whisper-desktop-conversations", "version": 1, "conversations": [chat]}
    (tmp_path / "a.json").write_text(json.dumps(document))
    _chats(program, "import", str(tmp_path / "a.json"))
    assert "Now \x1b[31mred" in _chats(program, "export", "c1").out
    assert "Now [31mred" in program.terminal("chats", "export", "c1").rest()
