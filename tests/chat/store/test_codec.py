"""What is kept comes back as it was, and what a newer app or a damaged file says does not stop anybody."""

import json
import sqlite3
from contextlib import closing
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.chat.store.samples import PROVENANCE, an_example, answer, drawn, same
from whisper_desktop.chat.records import Conversation, Folder, Node, TurnState
from whisper_desktop.chat.store import codec, rows, words
from whisper_desktop.chat.store.migrations import MIGRATIONS
from whisper_desktop.errors import WhisperError
from whisper_desktop.values import Provenance, Role


def _file() -> sqlite3.Connection:
    file = sqlite3.connect(":memory:", isolation_level=None)
    words.register(file)
    for migrate in MIGRATIONS:
        migrate(file)
    return file


_SAID = json.loads(str(codec.encoded(PROVENANCE)))


def _read(said: Any) -> Provenance:
    found: Provenance = codec.reader(Provenance)(json.loads(json.dumps(said)))
    return found


@given(drawn(Node))
def test_every_message_comes_back_as_it_was_put(node: Node) -> None:
    with closing(_file()) as file:
        rows.put_node(file, "chat", node)
        [found] = rows.nodes_of(file, "chat")
    assert same(found, node)


@given(drawn(Conversation), drawn(Folder))
def test_every_conversation_and_folder_comes_back_as_it_was_put(head: Conversation, folder: Folder) -> None:
    with closing(_file()) as file:
        rows.put_conversation(file, head)
        rows.put_folder(file, folder)
        assert rows.conversations_of(file, "1") == [head]
        [row] = rows.fetched(file, f"SELECT {rows.FOLDER_COLUMNS} FROM folders")
    assert rows.folder_of(row) == folder


@given(drawn(Node), drawn(Node))
def test_of_two_values_for_one_message_the_second_is_kept_whatever_the_first_was(
    one: Node, two: Node
) -> None:
    with closing(_file()) as file:
        for text in (one, two):
            rows.put_node(file, "chat", Node("n", *(getattr(text, name) for name in Node.__slots__[1:])))
        [found] = rows.nodes_of(file, "chat")
        indexed = file.execute("SELECT count(*) FROM words").fetchone()[0]
        file.execute("INSERT INTO words (words, rank) VALUES ('integrity-check', 1)")
    assert same(found.text, two.text)
    assert same(found.attachments, two.attachments)
    assert indexed == (two.state is not TurnState.STREAMING)


def test_half_a_surrogate_pair_does_not_keep_a_message_from_being_written() -> None:
    with closing(_file()) as file:
        rows.put_node(
            file, "chat", answer("a", "broken \ud83d emoji, whole \ud83d\ude00", reasoning="\udc00")
        )
        [found] = rows.nodes_of(file, "chat")
    assert found.text == "broken \ufffd emoji, whole \U0001f600"


def test_fields_of_a_newer_app_are_left_out() -> None:
    said = deepcopy(_SAID)
    said["mood"] = {"good": True}
    said["attempts"][1]["colour"] = "blue"
    assert _read(said) == PROVENANCE


@pytest.mark.parametrize(
    ("name", "value"),
    [("tokens_per_second", "fast"), ("usage", 5), ("usage", {"prompt_tokens": "many"})],
)
def test_a_field_that_cannot_be_understood_gets_its_default(name: str, value: object) -> None:
    said = deepcopy(_SAID) | {name: value}
    found = _read(said)
    assert found.server_name == "Ollama"
    if name == "tokens_per_second":
        assert found.tokens_per_second is None
    else:
        assert found.usage.prompt_tokens is None


def test_an_attempt_of_a_kind_that_is_not_known_yet_keeps_its_sentence() -> None:
    said = deepcopy(_SAID)
    said["attempts"][0]["kind"] = "bored"
    found = _read(said)
    assert found.attempts[0].detail == "It closed the connection."
    assert found.attempts[0].kind is None


def test_what_lacks_a_field_it_cannot_do_without_is_left_out_of_a_list() -> None:
    said = deepcopy(_SAID)
    del said["attempts"][0]["backend"]
    assert _read(said).attempts == PROVENANCE.attempts[1:]


def test_an_error_of_a_kind_that_is_not_known_yet_keeps_its_words() -> None:
    text = '{"error":{"type":"TeapotError","title":"No coffee.","detail":"It is a teapot.","spout":3}}'
    with closing(_file()) as file:
        rows.put_node(file, "chat", answer("a", "x"))
        file.execute("UPDATE nodes SET details = ?", (text,))
        [found] = rows.nodes_of(file, "chat")
    assert type(found.error) is WhisperError
    assert str(found.error) == "No coffee. It is a teapot."


@given(st.recursive(drawn(str) | drawn(int) | drawn(float) | st.none() | st.booleans(), lambda part: st.lists(part) | st.dictionaries(st.sampled_from(["provenance", "error", "attempts", "type", "seams", "title"]), part)))  # fmt: skip # noqa: E501
def test_no_json_in_a_row_breaks_a_conversation(said: Any) -> None:
    with closing(_file()) as file:
        rows.put_node(file, "chat", answer("a", "still here"))
        file.execute("UPDATE nodes SET details = ?", (json.dumps(said),))
        [found] = rows.nodes_of(file, "chat")
    assert found.text == "still here"


@pytest.mark.parametrize("column", ["details", "state", "role", "created", "reasoning", "text", "parent"])
@pytest.mark.parametrize("value", ["nonsense", "", b"\xff\x00bytes", 5, -1.5, "[" * 100_000])
def test_a_row_that_cannot_be_understood_is_still_a_message(column: str, value: object) -> None:
    with closing(_file()) as file:
        rows.put_node(file, "chat", answer("a", "one", provenance=PROVENANCE))
        rows.put_node(file, "chat", answer("b", "two"))
        file.execute(f"UPDATE nodes SET {column} = ? WHERE id = 'a'", (value,))
        first, second = rows.nodes_of(file, "chat")
    assert second.text == "two"
    assert isinstance(first, Node)
    assert isinstance(first.text, str)
    assert isinstance(first.role, Role)
    assert isinstance(first.created, float)
    if column not in ("text", "details"):
        assert first.provenance == PROVENANCE
    if column == "text" and isinstance(value, bytes):
        assert first.text == "This message could not be read."


def test_text_that_is_no_utf_8_is_read_as_far_as_it_is() -> None:
    with closing(_file()) as file:
        rows.put_node(file, "chat", answer("a", "one"))
        rows.put_node(file, "chat", answer("b", "two"))
        file.execute("UPDATE nodes SET text = CAST(x'4c6973626ff6e1' AS TEXT) WHERE id = 'a'")
        texts = [node.text for node in rows.nodes_of(file, "chat")]
        assert texts == ["Lisbo\ufffd\ufffd", "two"]
        assert file.text_factory is str


def test_what_was_chosen_for_a_conversation_survives_a_choice_of_a_newer_app() -> None:
    head, _, _ = an_example()
    with closing(_file()) as file:
        rows.put_conversation(file, head)
        file.execute("""UPDATE conversations SET details =
            '{"wishes":{"reach":"the_moon","system":"You know trains."},"place":{},"mood":"good"}'""")
        [found] = rows.conversations_of(file, "1")
    assert found.wishes.reach is None
    assert found.wishes.system == head.wishes.system
    assert found.place is None


def test_an_attachment_whose_details_are_lost_is_still_there() -> None:
    _, (asked, *_), _ = an_example()
    with closing(_file()) as file:
        rows.put_node(file, "chat", asked)
        file.execute("UPDATE attachments SET details = '?'")
        [found] = rows.nodes_of(file, "chat")
    assert [(one.id, one.name, one.text) for one in found.attachments] == [
        (one.id, one.name, one.text) for one in asked.attachments
    ]
