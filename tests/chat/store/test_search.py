"""A person's words find what they wrote and read, whatever they type."""

import sqlite3
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.chat.store.samples import PAPER_ID, answer, conversation, opened, question
from whisper_desktop.chat.records import Attachment, Hit, TurnState
from whisper_desktop.chat.store import ConversationStore
from whisper_desktop.chat.store.words import question as understood
from whisper_desktop.chat.store.words import searchable_text, snippet
from whisper_desktop.values import Role


async def _found(store: ConversationStore, query: str, **how: object) -> list[str | None]:
    hits = await store.search(query, **how)  # type: ignore[arg-type]
    return [hit.message for hit in hits]


async def _texts(store: ConversationStore, *texts: str) -> None:
    """A conversation with these messages, named 0, 1, 2 ..., all from the same moment."""
    store.put(conversation("c", "Nothing to see"))
    for number, text in enumerate(texts):
        store.put_node("c", question(str(number), text))
    await store.flush()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "conversations.db"


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("lisbon", "02"),
        ("LISBON", "02"),
        ("lisb", "02"),
        ("lis", "02"),
        ("train", "01"),
        ("train lisbon", "0"),
        ("lisbon train", "0"),
        ("lisb train", ""),
        ("train lisb", "0"),
        ('"train to lisbon"', "0"),
        ('"lisbon to train"', ""),
        ('"train to lisb', "0"),
        ('"train to lisb"', ""),
        ("lisb ", ""),
        ("lisbon ", "02"),
        ("“train to lisbon”", "0"),
        ("foo-bar", "3"),
        ("foo_bar", "3"),
        ("v1.2", "3"),
        ("coimbra", "2"),
        ("são", "2"),
        ("sao", "2"),
        ("Sao", "2"),
        ("nothing", ""),
    ],
)
async def test_what_is_found(path: Path, query: str, numbers: str) -> None:
    async with opened(path) as store:
        await _texts(
            store,
            "a train to Lisbon",
            "trains and train stations",
            "São Bento is not in Lisbon, nor in Coimbra",
            "foo_bar is foo-bar in v1.2.3",
        )
        hits = await store.search(query)
        found = {hit.message for hit in hits if hit.message}
    assert found == set(numbers)


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("我想坐火车去里斯本。", "火车"),
        ("我想坐火车去里斯本。", "里斯本"),
        ("我想坐火车去里斯本。", "我"),
        ("東京都は大きい", "京都は"),
        ("カタカナとひらがな", "ひらがな"),
        ("ｶﾀｶﾅ", "ﾀｶ"),
        ("リスボンへの電車", "電車"),
        ("기차를 타고 리스본에 갑니다", "리스본"),
        ("기차를 타고 리스본에 갑니다", "기차"),
        ("ฉันไปลิสบอนโดยรถไฟ", "รถไฟ"),
        ("iPhone手机很贵", "iphone手机"),
        ("iPhone手机很贵", "手机"),
        ("里斯本 and Porto", "里斯 port"),
        ("\u304c\u304e", "\u304b\u3099\u304d\u3099"),  # the same kana, in one piece and in two
        ("𠮷野家", "𠮷野"),
        ("Ελλάδα και τρένο", "ελλαδα"),
        ("Поезд в Лиссабон", "поезд лисс"),
        ("רכבת לליסבון", "רכבת"),
    ],
)
async def test_every_script_is_found(path: Path, text: str, query: str) -> None:
    async with opened(path) as store:
        await _texts(store, text, "something else")
        [hit] = await store.search(query)
    assert hit.message == "0"
    assert any(marked for _, marked in hit.snippet)
    assert "\u200b" not in "".join(part for part, _ in hit.snippet)


async def test_characters_in_another_order_are_not_found(path: Path) -> None:
    async with opened(path) as store:
        await _texts(store, "東京都")
        assert await _found(store, "都京") == []
        assert await _found(store, "京東") == []


@pytest.mark.parametrize(
    "query",
    [
        "", " ", '"', '""', '"""', "'", "*", "**", "a*", "-", "--", "a-", "-a", "^a", "(", ")", "((a)",
        "{a b}:c", "text:a", "AND", "OR", "NOT", "a AND", "a OR b", "NOT a", "NEAR(a b, 5)", "a+b", "a:b",
        "\\", ";", "%", "_", "🎉", "🎉 a", "a 🎉", "\x00", "a\x00b", "\x01\x02", "\ud83d", "a\ud83d",
        "\u200b",
        "a " * 5000, "x" * 10_000, "火" * 10_000, '"' * 10_000, "(" * 10_000, "a AND " * 2000, "NOT " * 2000,
        "'; DROP TABLE nodes; --", "\u0301", "½", "²", "\U000f0000", "\U0001e900", "-1", "1e9", "İ", "ß", "ǆ",
    ],
)  # fmt: skip
async def test_nothing_that_can_be_typed_is_an_error(path: Path, query: str) -> None:
    async with opened(path) as store:
        await _texts(store, "a b c", query.replace("\ud83d", ""))
        await store.search(query)
        await store.search(query, conversation="c")
        await store.search(query, limit=0)


@given(st.lists(st.text(max_size=8) | st.sampled_from(['"', "*", "AND", "NEAR(", "火车", "a"]), max_size=12))
def test_no_words_at_all_are_an_error(parts: list[str]) -> None:
    asked = understood(" ".join(parts))
    with closing(sqlite3.connect(":memory:")) as file:
        file.execute("CREATE VIRTUAL TABLE words USING fts5 (text)")
        if asked is not None:
            file.execute("SELECT rowid FROM words WHERE words MATCH ?", (asked.expression,)).fetchall()
            snippet(" ".join(parts), asked)


@given(st.text(st.characters(max_codepoint=0x4FF) | st.sampled_from("火车カナ기차รถﬁ😀"), max_size=40))
def test_every_word_of_a_text_finds_and_marks_it(text: str) -> None:
    asked = understood(text)
    if asked is None:
        return
    with closing(sqlite3.connect(":memory:")) as file:
        file.execute("CREATE VIRTUAL TABLE words USING fts5 (text, tokenize='unicode61 remove_diacritics 0')")
        file.execute("INSERT INTO words VALUES (?)", (searchable_text(text),))
        assert file.execute("SELECT rowid FROM words WHERE words MATCH ?", (asked.expression,)).fetchall()
    shown = snippet(text, asked)
    assert any(marked for _, marked in shown)


async def test_a_title_comes_before_messages_and_says_that_it_is_one(path: Path) -> None:
    async with opened(path) as store:
        store.put(conversation("c", "Trip to Lisbon"))
        store.put_node("c", answer("a", "Lisbon, " * 9))
        await store.flush()
        title, message = await store.search("lisb")
    assert title == Hit("c", "Trip to Lisbon", None, None, 1000.0, (("Trip to ", False), ("Lisbon", True)))
    assert (message.conversation, message.title, message.message) == ("c", "Trip to Lisbon", "a")
    assert (message.role, message.created) == (Role.ASSISTANT, 1001.0)


async def test_a_title_that_was_changed_is_found_by_its_new_words_only(path: Path) -> None:
    async with opened(path) as store:
        store.put(conversation("c", "Lisbon"))
        await store.flush()
        store.put(conversation("c", "Porto"))
        await store.flush()
        assert len(await store.search("porto")) == 1
        assert await store.search("lisbon") == ()


async def test_a_message_that_was_changed_is_found_by_its_new_words_only(path: Path) -> None:
    async with opened(path) as store:
        await _texts(store, "Lisbon")
        store.put_node("c", question("0", "Porto"))
        await store.flush()
        assert await _found(store, "porto") == ["0"]
        assert await _found(store, "lisbon") == []
        store.remove_nodes("c", ["0"])
        await store.flush()
        assert await _found(store, "porto") == []


async def test_an_answer_is_found_when_it_is_complete_and_not_before(path: Path) -> None:
    async with opened(path) as store:
        await _texts(store, "?")
        store.put_node("c", answer("a", "Lisb", state=TurnState.STREAMING))
        await store.flush()
        assert await _found(store, "lisb") == []
        store.put_node("c", answer("a", "Lisbon", state=TurnState.STOPPED))
        await store.flush()
        assert await _found(store, "lisbon") == ["a"]
        store.put_node("c", answer("a", "Lisbon and", state=TurnState.STREAMING))  # somebody goes on with it
        await store.flush()
        assert await _found(store, "lisbon") == []
        store.put_node("c", answer("a", "Lisbon and Porto"))
        await store.flush()
        assert await _found(store, "porto") == ["a"]


async def test_reasoning_is_not_searched_and_attachments_are(path: Path) -> None:
    paper = Attachment(PAPER_ID, "Timetable.pdf", "application/pdf", 9, "Oriente 08:09")
    async with opened(path) as store:
        await _texts(store, "?")
        store.put_node("c", answer("a", "yes", reasoning="Lisbon"))
        store.put_node("c", question("q", "read this", attachments=(paper,)))
        await store.flush()
        assert await _found(store, "lisbon") == []
        assert await _found(store, "timetable") == ["q"]
        [hit] = await store.search("oriente")
        assert ("Oriente", True) in hit.snippet
        store.put_node("c", question("q", "read this"))
        await store.flush()
        assert await _found(store, "oriente") == []


async def test_what_is_in_the_bin_is_not_found_until_it_comes_back(path: Path) -> None:
    async with opened(path) as store:
        head = conversation("c", "Lisbon by train")
        store.put(replace(head, deleted=5.0))
        store.put_node("c", question("0", "Lisbon"))
        await store.flush()
        assert await store.search("lisbon") == ()
        store.put(head)
        await store.flush()
        assert [hit.message for hit in await store.search("lisbon")] == [None, "0"]
        store.remove("c")
        await store.flush()
        assert await store.search("lisbon") == ()


async def test_one_conversation_can_be_searched_alone(path: Path) -> None:
    async with opened(path) as store:
        for chat in ("one", "one-two", "two"):
            store.put(conversation(chat, "Lisbon"))
            store.put_node(chat, question(f"in {chat}", "Lisbon"))
        await store.flush()
        assert await _found(store, "lisbon", conversation="one") == ["in one"]
        assert await _found(store, "lisbon", conversation="nobody") == []
        assert await _found(store, "one") == []  # ids are nothing a person looks for


async def test_the_best_comes_first_and_of_equal_ones_the_newest(path: Path) -> None:
    async with opened(path) as store:
        store.put(conversation("c"))
        now = time.time()
        filler = "about something else entirely, and more of it, " * 5
        for id_, text, age in (
            ("new", "Lisbon and the sea", 60.0),
            ("old", "Lisbon and the sea", 300 * 86400.0),
            ("weak", f"{filler} Lisbon {filler}", 60.0),
        ):
            store.put_node("c", replace(question(id_, text), created=now - age))
        await store.flush()
        assert await _found(store, "lisbon") == ["new", "old", "weak"]
        assert await _found(store, "lisbon", limit=1) == ["new"]


async def test_a_snippet_is_short_on_one_line_and_around_the_words(path: Path) -> None:
    async with opened(path) as store:
        await _texts(store, "before\n\n" * 300 + "the needle\tin here " + "after " * 300)
        [hit] = await store.search("needle")
    text = "".join(part for part, _ in hit.snippet)
    assert ("needle", True) in hit.snippet
    assert "\n" not in text
    assert "the needle in here" in text
    assert len(text) < 400


async def test_our_marks_in_a_text_mark_nothing(path: Path) -> None:
    async with opened(path) as store:
        await _texts(store, "\x01not\x02 this \x00but Lisbon")
        [hit] = await store.search("lisbon")
    assert [part for part, marked in hit.snippet if marked] == ["Lisbon"]
