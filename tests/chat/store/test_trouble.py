"""When nothing can be written, nothing is lost: it waits, a person is told, and it is tried again."""

import resource
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.chat.store.samples import answer, conversation, opened, question
from tests.chat.store.test_store import committed, until
from whisper_desktop.chat.store import ConversationStore
from whisper_desktop.errors import StoreError
from whisper_desktop.values import Deadlines

PATIENCE = Deadlines().scaled(0.02)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "conversations.db"


@contextmanager
def _no_file_grows(over: int) -> Iterator[None]:
    """As on a full disk: what is longer than this cannot be written."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (over, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_what_does_not_fit_on_the_disk_waits_until_it_does(path: Path) -> None:
    told: list[StoreError | None] = []
    async with opened(path, again=0.05, on_trouble=told.append) as store:
        store.put(conversation("c"))
        store.put_node("c", question("q", "asked before"))
        await store.flush()
        with _no_file_grows(path.stat().st_size):  # noqa: ASYNC240
            store.put_node("c", answer("a", "a long answer " * 50_000, "q"))
            with pytest.raises(StoreError) as caught:
                await store.flush()
            assert caught.value.cause == "disk"
            assert store.trouble is not None
            assert [node.id for node in await store.nodes("c")] == ["q", "a"]
            store.put_node("c", answer("a", "an even longer answer " * 50_000, "q"))
            store.put_node("c", question("q2", "and then?", "a"))
            with pytest.raises(StoreError):
                await store.flush()
            assert [node.id for node in await store.nodes("c")] == ["q", "a", "q2"]
            assert [trouble and trouble.cause for trouble in told] == ["disk"]
        await until(lambda: store.trouble is None)  # by itself
        assert [trouble and trouble.cause for trouble in told] == ["disk", None]
        assert len(committed(path, "SELECT * FROM nodes")) == 3
    async with opened(path) as store:
        texts = [node.text for node in await store.nodes("c")]
    assert texts == ["asked before", "an even longer answer " * 50_000, "and then?"]


async def test_a_file_that_another_program_locks_for_a_while_is_written_later(path: Path) -> None:
    told: list[StoreError | None] = []
    store = await ConversationStore.open(path, PATIENCE, again=0.05, on_trouble=told.append)
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            store.put(conversation("c", "Written while it was locked"))
            await until(lambda: store.trouble is not None)
            assert store.trouble is not None
            assert store.trouble.cause == "busy"
            assert len(await store.conversations()) == 1
            assert committed(path, "SELECT * FROM conversations") == []
            other.execute("ROLLBACK")
        await until(lambda: store.trouble is None)
        assert len(committed(path, "SELECT * FROM conversations")) == 1
        assert [trouble and trouble.cause for trouble in told] == ["busy", None]
    finally:
        await store.close()


async def test_writing_goes_on_though_nobody_can_be_told(path: Path) -> None:
    def nobody(trouble: StoreError | None) -> None:
        raise RuntimeError("the window is gone")

    async with opened(path, again=0.05, on_trouble=nobody) as store:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            store.put(conversation("c"))
            await until(lambda: store.trouble is not None)
        await until(lambda: store.trouble is None)
        assert len(committed(path, "SELECT * FROM conversations")) == 1


async def test_closing_says_what_could_not_be_written_and_ends_all_the_same(path: Path) -> None:
    store = await ConversationStore.open(path, PATIENCE)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        store.put(conversation("c"))
        with pytest.raises(StoreError) as caught:
            await store.close()
        assert caught.value.cause == "busy"
    assert not any(thread.name.startswith("conversations") for thread in threading.enumerate())


async def test_what_was_removed_while_nothing_could_be_written_is_removed_then(path: Path) -> None:
    async with opened(path, again=0.05) as store:
        for id_ in ("kept", "removed", "removed and back"):
            store.put(conversation(id_))
            store.put_node(id_, question("q", "first"))
        await store.flush()
        with _no_file_grows(path.stat().st_size):  # noqa: ASYNC240
            store.put_node("removed", question("late", "late " * 100_000))
            store.put_node("kept", question("late", "late " * 100_000))
            with pytest.raises(StoreError):
                await store.flush()
            store.remove("removed")
            store.remove("removed and back")
            store.put(conversation("removed and back"))
            assert {one.id for one in await store.conversations()} == {"kept", "removed and back"}
            assert await store.nodes("removed") == ()
            assert await store.nodes("removed and back") == ()
        await store.flush()
        assert {one.id for one in await store.conversations()} == {"kept", "removed and back"}
        assert len(await store.nodes("kept")) == 2
        assert committed(path, "SELECT count(*) FROM nodes") == [(2,)]
