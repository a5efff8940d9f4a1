"""A damaged file is repaired: what can be read is there, the file is kept beside, and a person is told."""

import hashlib
import os
import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.chat.store.samples import (
    PAPER,
    PAPER_ID,
    TRAIN,
    TRAIN_ID,
    an_example,
    answer,
    conversation,
    opened,
    question,
    same,
)
from whisper_desktop.chat.store import ConversationStore, StoreReport
from whisper_desktop.chat.store.opening import open_file
from whisper_desktop.chat.store.salvage import salvage
from whisper_desktop.values import Deadlines

CHATS, MESSAGES, PAGE = 12, 60, 4096


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "conversations.db"


async def _filled(path: Path) -> None:
    async with opened(path) as store:
        for chat in range(CHATS):
            store.put(conversation(f"chat-{chat}", f"Chat number {chat}", leaf=f"n{MESSAGES - 1}"))
        for number in range(MESSAGES):
            for chat in range(CHATS):
                parent = f"n{number - 1}" if number else None
                text = f"message {number} of chat {chat} " * (3 if number % 7 else 400)
                store.put_node(f"chat-{chat}", question(f"n{number}", text, parent))


def _unclean(path: Path) -> None:
    """As a run that died leaves it: it is looked through when it is opened."""
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute("UPDATE facts SET value = 0 WHERE name = 'closed'")


def _write_at(path: Path, place: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(place)
        file.write(data)


async def _all(store: ConversationStore) -> int:
    """How many messages there are. What was repaired hangs together."""
    count = 0
    for head in await store.conversations():
        nodes = await store.nodes(head.id)
        known = {node.id for node in nodes}
        if store.report.notice is not None:
            assert all(node.parent is None or node.parent in known for node in nodes)
            assert head.leaf is None or head.leaf in known or not nodes
        count += len(nodes)
    return count


async def test_salvage_of_a_whole_file_finds_everything(path: Path) -> None:
    head, nodes, folder = an_example()
    async with opened(path) as store:
        store.put_folder(folder)
        store.put(head)
        for node in nodes:
            store.put_node(head.id, node)
        store.put_data(TRAIN_ID, TRAIN)
        store.put_data(PAPER_ID, PAPER)
    found = salvage(path)
    assert found.conversations == (head,)
    assert same(found.nodes[head.id], nodes)
    assert found.folders == (folder,)
    assert found.data[TRAIN_ID] == TRAIN


async def test_salvage_reads_what_is_in_the_log_and_not_in_the_file_yet(path: Path) -> None:
    head, nodes, _ = an_example()
    async with opened(path) as store:
        store.put(head)
        for node in nodes:
            store.put_node(head.id, node)
        await store.flush()
        found = salvage(path)
    assert found.conversations[0].title == head.title
    assert [node.text for node in found.nodes[head.id]] == [node.text for node in nodes]


async def test_large_values_are_salvaged_whole(path: Path) -> None:
    data = random.Random(1).randbytes(1_000_000)
    text = "Ω" * 123_457
    data_id = hashlib.sha256(data).hexdigest()
    async with opened(path) as store:
        store.put(conversation("c"))
        store.put_node("c", question("q", text))
        store.put_data(data_id, data)
    found = salvage(path)
    assert found.nodes["c"][0].text == text
    assert found.data[data_id] == data


async def test_a_file_without_its_beginning_is_repaired(path: Path) -> None:
    await _filled(path)
    _write_at(path, 0, os.urandom(PAGE))
    damaged = path.read_bytes()  # noqa: ASYNC240
    async with opened(path) as store:
        assert store.report.notice is not None
        title, detail = store.report.notice
        assert title == "The file of your conversations was damaged, and was repaired."
        assert detail.startswith(f"{CHATS} chats with {CHATS * MESSAGES} messages could be read.")
        [aside] = path.parent.glob("conversations-damaged-*.db")  # noqa: ASYNC240
        assert aside.read_bytes() == damaged
        assert str(aside) in detail
        assert await _all(store) == CHATS * MESSAGES
        assert len(await store.search('"message 5 of chat 3"')) == 1
        store.put(conversation("after"))
    async with opened(path) as store:
        assert store.report == StoreReport()
        assert len(await store.conversations()) == CHATS + 1


@pytest.mark.parametrize("share", [0.9, 0.6, 0.3, 0.05])
async def test_what_is_left_of_a_file_that_was_cut_off_is_there(path: Path, share: float) -> None:
    await _filled(path)
    size = path.stat().st_size  # noqa: ASYNC240
    os.truncate(path, int(size * share))
    async with opened(path) as store:
        assert store.report.notice is not None
        count = await _all(store)
    # The index of words is a part of the file too, so that the share of messages is about that of the file.
    assert count >= CHATS * MESSAGES * (share - 0.25)


@pytest.mark.parametrize("seed", range(25))
async def test_one_bad_page_costs_no_more_than_what_is_on_it(path: Path, seed: int) -> None:
    await _filled(path)
    _unclean(path)
    draw = random.Random(seed)
    pages = path.stat().st_size // PAGE  # noqa: ASYNC240
    _write_at(path, draw.randrange(pages) * PAGE, draw.randbytes(PAGE))
    async with opened(path) as store:
        count = await _all(store)
        # A page has at most forty of the short messages; a page of the index, or a free one, has none.
        assert count >= CHATS * MESSAGES - 60
        store.put(conversation("after"))
        await store.flush()
        await store.search("message")


@pytest.mark.parametrize("seed", range(25))
async def test_flipped_bytes_anywhere_never_keep_the_file_from_being_opened(path: Path, seed: int) -> None:
    await _filled(path)
    _unclean(path)
    draw = random.Random(seed)
    size = path.stat().st_size  # noqa: ASYNC240
    for _ in range(seed + 1):
        _write_at(path, draw.randrange(size), draw.randbytes(1))
    async with opened(path) as store:
        assert await _all(store) >= CHATS * MESSAGES - 60 * (seed + 1)
        await store.search("message")
        store.put(conversation("after"))
        await store.flush()


async def test_messages_that_lost_their_conversation_are_in_one_again(path: Path) -> None:
    await _filled(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute("DELETE FROM conversations WHERE id = 'chat-3'")
        file.execute("DELETE FROM nodes WHERE conversation = 'chat-4' AND id = 'n5'")
    _write_at(path, 0, b"?")
    async with opened(path) as store:
        assert await _all(store) == CHATS * MESSAGES - 1
        heads = {head.id: head for head in await store.conversations()}
        assert heads["chat-3"].title.startswith("message 0 of chat 3")
        parents = {node.id: node.parent for node in await store.nodes("chat-4")}
        assert parents["n6"] == "n4"


async def test_damage_that_writing_meets_is_repaired_and_nothing_is_lost(path: Path) -> None:
    await _filled(path)
    troubles: list[object] = []
    store = await ConversationStore.open(path, Deadlines().scaled(0.05), on_trouble=troubles.append)
    try:
        with closing(sqlite3.connect(path)) as file:
            [(root,)] = file.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'nodes'").fetchall()
        _write_at(path, (root - 1) * PAGE, b"\xff" * PAGE)
        store.put(conversation("new"))
        store.put_node("new", answer("a", "written after"))
        await store.flush()
        assert store.report.notice is not None
        assert [node.text for node in await store.nodes("new")] == ["written after"]
        assert await _all(store) >= CHATS * MESSAGES - 60
        assert store.trouble is None
        assert troubles == []
    finally:
        await store.close()


async def test_damage_that_reading_meets_is_repaired(path: Path) -> None:
    await _filled(path)
    async with opened(path) as store:
        _write_at(path, (path.stat().st_size // PAGE // 2) * PAGE, b"\xff" * PAGE * 20)  # noqa: ASYNC240
        assert await _all(store) > 0
        await store.search("message")


@pytest.mark.parametrize(("first", "repaired"), [(10, False), (1, True)])
async def test_a_damaged_index_is_made_again(path: Path, first: int, repaired: bool) -> None:
    """Alone, or, where not even its list of contents can be read, with the whole file."""
    await _filled(path)
    async with opened(path) as store:
        with closing(sqlite3.connect(path, isolation_level=None)) as file:
            file.execute(f"UPDATE words_data SET block = x'ffffffffffff' WHERE id > {first}")
        hits = await store.search('"message 5 of chat 3"')
        assert len(hits) == 1
        assert (store.report.notice is not None) == repaired
    assert bool(list(path.parent.glob("*damaged*"))) == repaired  # noqa: ASYNC240


async def test_there_is_a_name_for_every_damaged_file(path: Path) -> None:
    for _ in range(3):
        path.write_bytes(b"nothing")  # noqa: ASYNC240
        open_file(path, 1.0).close()
    assert len(list(path.parent.glob("conversations-damaged-*.db"))) == 3  # noqa: ASYNC240
