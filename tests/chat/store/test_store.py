"""Conversations are kept, found again, changed and removed, and writing never keeps anybody waiting."""

import asyncio
import os
import sqlite3
import threading
import time
from contextlib import closing
from dataclasses import replace
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
from whisper_desktop.chat.records import Attachment, Draft, Folder, TurnState
from whisper_desktop.chat.store import ConversationStore, StoreReport
from whisper_desktop.errors import StoreError
from whisper_desktop.values import Deadlines


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "conversations.db"


def committed(path: Path, sql: str) -> list[tuple[object, ...]]:
    """What another program finds in the file."""
    with closing(sqlite3.connect(path)) as file:
        return file.execute(sql).fetchall()


def whole(path: Path) -> bytes:
    return path.read_bytes()


async def until(true: object, seconds: float = 5.0) -> None:
    """Waits until a function says yes."""
    assert callable(true)
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come about"
        await asyncio.sleep(0.005)


async def test_everything_is_there_again_after_a_restart(path: Path) -> None:
    head, nodes, folder = an_example()
    async with opened(path) as store:
        assert store.report == StoreReport()
        store.put_folder(folder)
        store.put(head)
        for node in nodes:
            store.put_node(head.id, node)
        store.put_data(TRAIN_ID, TRAIN)
        store.put_data(PAPER_ID, PAPER)
    async with opened(path) as store:
        assert store.report == StoreReport()
        assert await store.conversations() == (head,)
        assert await store.conversation(head.id) == head
        assert same(await store.nodes(head.id), nodes)
        assert await store.folders() == (folder,)
        assert await store.data(TRAIN_ID) == TRAIN
        assert await store.data(PAPER_ID) == PAPER
        assert await store.data("something else") is None
        assert await store.conversation("something else") is None
        assert await store.nodes("something else") == ()


async def test_what_was_put_is_read_before_it_is_written(path: Path) -> None:
    head, nodes, folder = an_example()
    async with opened(path, within=1000.0) as store:
        store.put_folder(folder)
        store.put(head)
        for node in nodes:
            store.put_node(head.id, node)
        store.put_data(TRAIN_ID, TRAIN)
        assert await store.conversations() == (head,)
        assert await store.conversation(head.id) == head
        assert same(await store.nodes(head.id), nodes)
        assert await store.folders() == (folder,)
        assert await store.data(TRAIN_ID) == TRAIN
        assert committed(path, "SELECT * FROM nodes") == []
        await store.flush()
        assert len(committed(path, "SELECT * FROM nodes")) == len(nodes)
        store.remove_nodes(head.id, [nodes[-1].id])
        assert same(await store.nodes(head.id), nodes[:-1])
        store.remove(head.id)
        assert await store.conversations() == ()
        assert await store.conversation(head.id) is None
        assert await store.nodes(head.id) == ()
        store.remove_folder(folder.id)
        assert await store.folders() == ()
        assert len(committed(path, "SELECT * FROM nodes")) == len(nodes)


async def test_a_value_is_on_the_disk_a_quarter_of_a_second_after_it_was_put(path: Path) -> None:
    async with opened(path) as store:
        store.put(conversation("c"))
        await store.flush()
        for number in range(5):
            store.put_node("c", answer("a", f"{number} words", state=TurnState.STREAMING))
            await asyncio.sleep(0.25 + 0.05)
            assert committed(path, "SELECT text FROM nodes") == [(f"{number} words",)]


async def test_values_that_keep_coming_do_not_put_off_the_writing(path: Path) -> None:
    async with opened(path) as store:
        store.put(conversation("c"))
        await store.flush()
        end = time.monotonic() + 0.3
        while time.monotonic() < end:
            store.put_node("c", answer("a", "streaming", state=TurnState.STREAMING))
            await asyncio.sleep(0.001)
        assert committed(path, "SELECT text FROM nodes") == [("streaming",)]


async def test_of_many_values_for_one_thing_the_newest_is_kept_and_the_others_are_not_written(
    path: Path,
) -> None:
    async with opened(path) as store:
        store.put(conversation("c"))
        await store.flush()
        for number in range(1000):
            store.put_node("c", answer("a", "word " * number))
        await store.flush()
        assert [node.text for node in await store.nodes("c")] == ["word " * 999]
        # One text of 5 KB was written, not a thousand: 2.5 MB.
        assert path.with_name(path.name + "-wal").stat().st_size < 500_000


async def test_messages_come_in_the_order_in_which_they_were_put_first(path: Path) -> None:
    ids = [f"n{number}" for number in (5, 3, 9, 1, 7)]
    async with opened(path) as store:
        store.put(conversation("c"))
        for id_ in ids[:3]:
            store.put_node("c", question(id_, "first"))
        await store.flush()
        for id_ in (*ids[3:], *ids):
            store.put_node("c", question(id_, "second"))
        assert [node.id for node in await store.nodes("c")] == ids
        await store.flush()
        assert [node.id for node in await store.nodes("c")] == ids


async def test_two_conversations_may_have_messages_of_the_same_id(path: Path) -> None:
    async with opened(path) as store:
        for chat in ("one", "two"):
            store.put(conversation(chat))
            store.put_node(chat, question("q", f"asked in {chat}"))
        await store.flush()
        store.remove_nodes("two", ["q"])
        await store.flush()
        assert [node.text for node in await store.nodes("one")] == ["asked in one"]
        assert await store.nodes("two") == ()


async def test_the_conversation_that_was_changed_last_comes_first(path: Path) -> None:
    async with opened(path) as store:
        for id_, updated in (("old", 1.0), ("new", 3.0), ("middle", 2.0)):
            store.put(conversation(id_, updated=updated))
        await store.flush()
        store.put(conversation("newest", updated=4.0))
        assert [one.id for one in await store.conversations()] == ["newest", "new", "middle", "old"]


async def test_what_is_in_the_bin_is_not_listed_and_comes_back_from_there(path: Path) -> None:
    async with opened(path) as store:
        kept, binned, older = conversation("kept"), conversation("binned"), conversation("older")
        for one in (kept, replace(binned, deleted=9.0), replace(older, deleted=8.0)):
            store.put(one)
        await store.flush()
        assert await store.conversations() == (kept,)
        assert [one.id for one in await store.deleted()] == ["binned", "older"]
        store.put(binned)
        assert {one.id for one in await store.conversations()} == {"kept", "binned"}
        assert [one.id for one in await store.deleted()] == ["older"]


async def test_what_is_removed_for_good_leaves_nothing_in_the_file(path: Path) -> None:
    head, nodes, _ = an_example()
    secret = "xylophonesecret"
    async with opened(path) as store:
        store.put(replace(head, title=f"{secret} title"))
        for node in nodes:
            store.put_node(head.id, replace(node, text=f"{node.text} {secret} {secret}ary" * 500))
        store.put_data(TRAIN_ID, secret.encode() * 1000)
        store.put(conversation("other"))
        store.put_node("other", question("q", "hello"))
        await store.flush()
        assert await store.search(secret)
    assert secret.encode() in whole(path)
    async with opened(path) as store:
        store.remove(head.id)
        await store.flush()
        assert await store.search(secret) == ()
        assert [one.id for one in await store.conversations()] == ["other"]
        assert [node.text for node in await store.nodes("other")] == ["hello"]
        await until(lambda: not committed(path, "SELECT * FROM facts WHERE name = 'removed'"))
    assert secret.encode() not in whole(path)
    assert committed(path, "SELECT count(*) FROM attachments") == [(0,)]
    assert committed(path, "SELECT count(*) FROM data") == [(0,)]


async def test_an_answer_that_still_streams_does_not_bring_a_removed_conversation_back(path: Path) -> None:
    async with opened(path) as store:
        store.put(conversation("c"))
        store.put_node("c", answer("a", "one", state=TurnState.STREAMING))
        store.remove("c")
        store.put_node("c", answer("a", "one two", state=TurnState.STREAMING))
        await store.flush()
        store.put_node("c", answer("a", "one two three"))
        await store.flush()
        assert committed(path, "SELECT * FROM nodes") == []
        store.put(conversation("c"))
        store.put_node("c", answer("b", "imported again"))
        await store.flush()
        assert [node.text for node in await store.nodes("c")] == ["imported again"]


async def test_conversations_move_out_of_a_folder_that_is_removed(path: Path) -> None:
    async with opened(path) as store:
        store.put_folder(Folder("f", "Travel", 1))
        store.put_folder(Folder("g", "Work", 0))
        store.put(conversation("written", folder="f"))
        await store.flush()
        store.put(conversation("waiting", folder="f"))
        store.put(conversation("other", folder="g"))
        assert [folder.id for folder in await store.folders()] == ["g", "f"]
        store.remove_folder("f")
        await store.flush()
        assert {one.id: one.folder for one in await store.conversations()} == {
            "written": None,
            "waiting": None,
            "other": "g",
        }
        assert [folder.id for folder in await store.folders()] == ["g"]


async def test_attached_bytes_are_there_once_and_as_long_as_something_refers_to_them(path: Path) -> None:
    picture = Attachment(TRAIN_ID, "train.png", "image/png", len(TRAIN))
    again = replace(picture, name="copy.png")
    async with opened(path) as store:
        for chat, one in (("a", picture), ("b", again)):
            store.put(conversation(chat))
            store.put_node(chat, question("q", "look", attachments=(one,)))
            store.put_data(TRAIN_ID, TRAIN)
        store.put(conversation("d", draft=Draft("look", (picture,))))
    assert committed(path, "SELECT count(*) FROM data") == [(1,)]
    for gone in ("a", "b"):
        async with opened(path) as store:
            store.remove(gone)
            await store.flush()
            assert await store.data(TRAIN_ID) == TRAIN
    async with opened(path) as store:
        store.put(conversation("d"))  # the draft was emptied
    async with opened(path) as store:
        assert await store.data(TRAIN_ID) is None


async def test_bytes_that_were_just_attached_stay_while_their_message_is_being_written(path: Path) -> None:
    picture = Attachment(TRAIN_ID, "train.png", "image/png", len(TRAIN))
    async with opened(path) as store:
        store.put(conversation("a"))
        store.put_node("a", question("q", "look", attachments=(picture,)))
        store.put_data(TRAIN_ID, TRAIN)
        await store.flush()
        store.put_data(TRAIN_ID, TRAIN)  # dropped into another composer
        store.remove("a")
        await store.flush()
        assert await store.data(TRAIN_ID) == TRAIN


async def test_a_value_that_no_database_takes_keeps_no_other_from_being_kept(path: Path) -> None:
    async with opened(path) as store:
        store.put(conversation("c"))
        store.put_node("c", question("before", "before"))
        store.put_node("c", replace(question("bad", "x"), text=None))  # type: ignore[arg-type]
        store.put_node("c", question("after", "after"))
        await store.flush()
        assert [node.id for node in await store.nodes("c")] == ["before", "after"]
        assert store.trouble is None


async def test_put_returns_at_once_while_a_long_commit_is_going_on(path: Path) -> None:
    async with opened(path) as store:
        store.put(conversation("c"))
        for number in range(5000):
            store.put_node("c", question(f"n{number}", f"message {number} " * 20))
        done = asyncio.ensure_future(store.flush())
        longest = 0.0
        while not done.done():
            begun = time.perf_counter()
            store.put_node("c", question("n1", "again"))
            longest = max(longest, time.perf_counter() - begun)
            await asyncio.sleep(0)
        await done
        assert longest < 0.05


async def test_a_long_read_does_not_delay_writing(path: Path) -> None:
    async with opened(path) as store:
        store.put(conversation("c"))
        await store.flush()
        reader = sqlite3.connect(path)
        with closing(reader):
            reader.execute("BEGIN")
            assert reader.execute("SELECT count(*) FROM nodes").fetchone() == (0,)
            for number in range(3):
                store.put_node("c", question(f"n{number}", "written"))
                await asyncio.wait_for(store.flush(), 1.0)
            assert reader.execute("SELECT count(*) FROM nodes").fetchone() == (0,)


async def test_somebody_who_stops_waiting_for_the_disk_stops_nothing_else(path: Path) -> None:
    async with opened(path) as store:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            store.put(conversation("c"))
            await until(lambda: store.trouble is not None)
            waiting = asyncio.ensure_future(store.flush())
            await asyncio.sleep(0)
            waiting.cancel()
        await store.flush()
        assert committed(path, "SELECT id FROM conversations") == [("c",)]


async def test_every_thread_may_put(path: Path) -> None:
    async with opened(path) as store:
        store.put(conversation("c"))

        def put(first: int) -> None:
            for number in range(first, first + 200):
                store.put_node("c", question(f"n{number}", "text"))

        threads = [threading.Thread(target=put, args=(first * 200,)) for first in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            await asyncio.to_thread(thread.join)
        await store.flush()
        assert {node.id for node in await store.nodes("c")} == {f"n{number}" for number in range(1000)}


async def test_the_file_is_for_its_owner_alone(path: Path) -> None:
    if os.name != "posix":
        return
    async with opened(path) as store:
        store.put(conversation("c"))
        await store.flush()
        modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
        assert path.parent.stat().st_mode & 0o777 == 0o700
        assert set(modes) == {path.name + suffix for suffix in ("", "-wal", "-shm", ".lock")}
        assert set(modes.values()) == {0o600}
    os.chmod(path, 0o644)
    async with opened(path):
        assert {file.stat().st_mode & 0o777 for file in path.parent.iterdir()} == {0o600}


async def test_a_closed_store_leaves_one_file_and_says_that_it_is_closed(path: Path) -> None:
    store = await ConversationStore.open(path, Deadlines())
    store.put(conversation("c"))
    await store.close()
    await store.close()
    assert sorted(file.name for file in path.parent.iterdir()) == [path.name, path.name + ".lock"]
    assert not any(thread.name.startswith("conversations") for thread in threading.enumerate())
    assert committed(path, "SELECT id FROM conversations") == [("c",)]
    with pytest.raises(StoreError) as caught:
        await store.conversations()
    assert caught.value.cause == "closed"
    with pytest.raises(StoreError) as caught:
        await store.flush()
    assert caught.value.cause == "closed"


async def test_nothing_runs_on_after_an_opening_that_was_given_up(path: Path) -> None:
    opening = asyncio.ensure_future(ConversationStore.open(path, Deadlines()))
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    await until(lambda: not any(thread.name == "conversations" for thread in threading.enumerate()))
