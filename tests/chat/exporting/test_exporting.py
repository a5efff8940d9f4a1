"""What is exported can be read everywhere, says who answered, and, as JSON, comes back as it was."""

import hashlib
import html
import json
import os
import re
import zipfile
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from tests.chat.attachment_files import png
from whisper_desktop.chat.breaks import Seam
from whisper_desktop.chat.exporting import (
    ExportFormat,
    Kept,
    export_html,
    export_json,
    export_markdown,
    write,
)
from whisper_desktop.chat.exporting.files import file_name
from whisper_desktop.chat.files import FileError
from whisper_desktop.chat.importing import read_import
from whisper_desktop.chat.records import (
    Attachment,
    ChatWishes,
    Conversation,
    Draft,
    Node,
    Parameters,
    ReadingPlace,
    TitleSource,
    TurnState,
)
from whisper_desktop.errors import BackendError
from whisper_desktop.values import Attempt, ErrorKind, Provenance, Reach, Role, ToolCall, Usage

PNG = png()
PICTURE = Attachment("0" * 64, "loaf & co.png", "image/png", len(PNG))
NOTES = Attachment("1" * 64, "notes.txt", "text/plain", 5, "Hello", "Its encoding was guessed.")

FAILED = Attempt(
    "lm_studio", "LM Studio", "http://127.0.0.1:1234", "a", ErrorKind.STREAM_CUT, "It ended.", 2.0
)
ANSWERED = Provenance(
    "ollama",
    "Ollama",
    "http://127.0.0.1:11434",
    "qwen3.5:4b",
    Reach.THIS_MACHINE,
    False,
    "LM Studio did not answer, so Ollama did.",
    (FAILED,),
    0.5,
    3.0,
    31.0,
    Usage(prompt_tokens=3, completion_tokens=9),
)


def kept() -> Kept:
    """A conversation with two branches, a break, a failure, tools, reasoning, attachments and wishes."""
    picture = replace(PICTURE, id=hashlib.sha256(PNG).hexdigest())
    notes = replace(NOTES, id=hashlib.sha256(b"Hello").hexdigest())
    question = Node("q1", None, Role.USER, "How? <b>&</b>", 1.0, attachments=(picture, notes))
    first = Node("a1", "q1", Role.ASSISTANT, "Otherwise.", 2.0, provenance=ANSWERED)
    second = Node(
        "a2",
        "q1",
        Role.ASSISTANT,
        "So:\n\n```python\nprint('1 < 2')\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n",
        3.0,
        reasoning="Let me *think*.",
        reasoning_seconds=1.5,
        provenance=ANSWERED,
        finish_reason="stop",
        tool_calls=(ToolCall("c", "weather", '{"in": "Ulm"}'),),
        seams=(Seam(4, FAILED),),
    )
    third = Node("q2", "a2", Role.USER, "And?", 4.0)
    broken = Node(
        "a3",
        "q2",
        Role.ASSISTANT,
        "",
        5.0,
        state=TurnState.FAILED,
        error=BackendError(ErrorKind.OFFLINE, "Nothing answers.", "Why.", "Start one."),
    )
    wishes = ChatWishes(
        "ollama",
        "qwen3.5:4b",
        Reach.MY_NETWORK,
        "Pirate",
        "You are a *pirate*.",
        Parameters(0.2, None, 100, 7, ("END",), 4096, "low"),
    )
    conversation = Conversation(
        "c1",
        1.0,
        5.0,
        "Bread: how/why?",
        TitleSource.PERSON,
        pinned=True,
        wishes=wishes,
        leaf="a3",
        draft=Draft("and then", (notes,)),
        place=ReadingPlace("a2", 0.25),
    )
    nodes = (question, first, second, third, broken)
    return Kept(conversation, nodes, {picture.id: PNG, notes.id: b"Hello"})


def as_said(node: Node) -> tuple[object, ...]:
    """A message with its error as the words it says, because errors are never equal."""
    error = node.error
    words = None if error is None else (type(error), error.args, getattr(error, "kind", None))
    return replace(node, error=None), words


# --- JSON -------------------------------------------------------------------------------------------------


def test_json_comes_back_exactly_as_it_was(tmp_path: Path) -> None:
    one = kept()
    write([one], ExportFormat.JSON, tmp_path / "a.json")
    back = read_import(tmp_path / "a.json")
    ((conversation, nodes),) = back.conversations
    assert conversation == one.conversation
    assert [as_said(node) for node in nodes] == [as_said(node) for node in one.nodes]
    assert back.data == one.data
    assert (back.source, back.skipped) == ("Whisper Desktop", ())


def test_json_of_version_1_has_these_names() -> None:
    document = json.loads(export_json([kept()]))
    assert set(document) == {"format", "version", "conversations", "attachments"}
    assert (document["format"], document["version"]) == ("whisper-desktop-conversations", 1)
    (conversation,) = document["conversations"]
    assert {"id", "created", "updated", "title", "wishes", "leaf", "messages"} <= set(conversation)
    message = conversation["messages"][2]
    assert {"id", "parent", "role", "text", "created", "reasoning", "provenance", "seams"} <= set(message)
    assert (message["role"], message["provenance"]["reach"]) == ("assistant", "this_machine")


# --- Markdown ---------------------------------------------------------------------------------------------


def test_markdown_has_the_branch_that_is_shown_and_names_who_answered() -> None:
    text = export_markdown(kept())
    assert text.startswith("# Bread: how/why?\n\n*1970-")
    assert "one more message is in other branches" in text
    assert "Otherwise." not in text
    assert "## System prompt\n\nYou are a *pirate*." in text
    assert "print('1 < 2')" in text
    assert "> Let me *think*." in text
    assert "[LM Studio stopped here; Ollama went on.]" in text
    assert "- Attached: loaf & co.png (" in text
    assert (
        "*LM Studio did not answer, so Ollama did. qwen3.5:4b · Ollama · this computer · 0.5 s · 31 tok/s*"
        in text
    )
    assert "*There was no answer. Nothing answers.*" in text
    assert text.index("How?") < text.index("So:") < text.index("And?")


def test_a_code_block_that_an_answer_leaves_open_does_not_swallow_the_rest() -> None:
    one = kept()
    nodes = (replace(one.nodes[2], text="````\ncode\n```", seams=(), parent=None), one.nodes[3])
    text = export_markdown(replace(one, nodes=nodes, conversation=replace(one.conversation, leaf="q2")))
    headings = [
        token for token in MarkdownIt().parse(text) if token.type == "heading_open" and token.tag == "h2"
    ]
    assert len(headings) == 3


# --- HTML -------------------------------------------------------------------------------------------------


class _Seen(HTMLParser):
    """The tags of a page with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_html_is_one_page_that_loads_nothing_and_runs_nothing() -> None:
    one = kept()
    evil = (
        "<script>alert(1)</script> <img src=x onerror=alert(1)> [x](javascript:alert(1)) "
        "![pixel](https://example.org/p.png) [f](ftp://example.org/) [r](page.html) "
        "[ok](https://example.org/) </style><b onclick=x>"
    )
    nodes = [replace(node, text=evil, reasoning=evil, seams=()) for node in one.nodes]
    title = replace(one.conversation, title=evil, wishes=ChatWishes(system=evil))
    seen = _Seen(export_html(replace(one, nodes=tuple(nodes), conversation=title)))
    assert not {"script", "link", "iframe", "object", "b"} & {tag for tag, _attributes in seen.tags}
    for tag, attributes in seen.tags:
        assert not [name for name in attributes if name.startswith("on")]
        assert tag != "a" or str(attributes["href"]).startswith("https://")
        assert tag != "img" or str(attributes["src"]).startswith("data:image/png;base64,")
    assert any(tag == "img" for tag, _attributes in seen.tags)
    policy = [
        attributes["content"] for tag, attributes in seen.tags if tag == "meta" and "http-equiv" in attributes
    ]
    assert "default-src 'none'" in str(policy)
    assert "<script>alert(1)</script>" in seen.text  # shown, as text


def test_html_shows_what_the_conversation_says() -> None:
    page = export_html(kept())
    seen = _Seen(page)
    for said in (
        "How? <b>&</b>",
        "Let me think.",
        "weather(",
        "notes.txt",
        "You are a *pirate*.",
        "Ollama went on",
    ):
        assert said in seen.text
    assert "Otherwise." not in seen.text
    assert {"table", "details"} <= {tag for tag, _attributes in seen.tags}
    assert re.search(r'<span class="\w+">print</span>', page)  # coloured
    assert "prefers-color-scheme: dark" in page


def test_only_what_really_is_an_image_is_shown_as_one() -> None:
    one = kept()
    data = dict.fromkeys(one.data, b"<svg onload=alert(1)>")
    assert "<img" not in export_html(replace(one, data=data))


def test_a_huge_message_is_shown_as_it_is() -> None:
    one = kept()
    nodes = (replace(one.nodes[1], parent=None, text="*a* " * 300_000),)
    page = export_html(replace(one, nodes=nodes, conversation=replace(one.conversation, leaf="a1")))
    assert "*a* *a*" in page


# --- files ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Bread: how/why?", "Bread- how-why.md"),
        ("  ...  ", "chat.md"),
        ("CON", "chat CON.md"),
        ("com1.old", "chat com1.old.md"),
        ("a\n\tb\x00", "ab.md"),
        ("x" * 300, "x" * 80 + ".md"),
        ("\ud800", "chat.md"),
        (".hidden", "hidden.md"),
    ],
)
def test_a_file_name_is_one_that_every_system_takes(title: str, name: str) -> None:
    assert file_name(title, ".md") == name


def test_a_name_of_many_bytes_still_fits() -> None:
    assert len(file_name("🌤" * 200, ".html").encode()) <= 245


def test_several_conversations_become_an_archive_with_a_name_for_each(tmp_path: Path) -> None:
    one = kept()
    same = replace(one, conversation=replace(one.conversation, title="BREAD: how/why?"))
    write([one, same], ExportFormat.MARKDOWN, tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.namelist() == ["Bread- how-why.md", "BREAD- how-why (2).md"]
        assert archive.read("Bread- how-why.md").decode() == export_markdown(one)


def test_a_folder_that_cannot_be_written_to_is_said_and_the_old_file_stays(tmp_path: Path) -> None:
    (tmp_path / "old.md").write_text("old")
    with pytest.raises(FileError) as caught:
        write([kept()], ExportFormat.MARKDOWN, tmp_path / "none" / "a.md")
    assert caught.value.title == "a.md cannot be written."
    (tmp_path / "folder").mkdir()
    with pytest.raises(FileError):
        write([kept()], ExportFormat.MARKDOWN, tmp_path / "folder")
    write([kept()], ExportFormat.MARKDOWN, tmp_path / "old.md")
    assert (tmp_path / "old.md").read_text().startswith("# Bread")
    if os.name == "posix":  # what people write to a model is nobody else's business
        assert (tmp_path / "old.md").stat().st_mode & 0o077 == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "old.md"]


def test_code_of_one_endless_line_is_shown_as_it_is() -> None:
    line = "a = '" + "x" * 3000
    answer = Node("a", None, Role.ASSISTANT, f"```python\n{line}\n```\n\n```python\nimport os\n```", 1.0)
    page = export_html(Kept(Conversation("c", 1.0, 1.0, leaf="a"), (answer,)))
    assert html.escape(line) in page or line in page
    assert '<span class="kn">import</span>' in page


def test_half_a_character_does_not_stop_an_export(tmp_path: Path) -> None:
    one = kept()
    broken = replace(one, nodes=tuple(replace(node, text="a\ud800b", seams=()) for node in one.nodes))
    for kind in ExportFormat:
        write([broken], kind, tmp_path / "a")
    write([broken], ExportFormat.JSON, tmp_path / "a.json")
    ((_head, nodes),) = read_import(tmp_path / "a.json").conversations
    assert nodes[0].text in ("a?b", "a\N{REPLACEMENT CHARACTER}b")


def test_times_that_no_calendar_has_do_not_stop_an_export() -> None:
    one = kept()
    odd = replace(one.conversation, created=1e300, title="")
    assert export_markdown(replace(one, conversation=odd)).startswith("# Conversation of 1970-01-01")
