"""The file is made, upgraded, refused or taken over, and a person is told in plain words."""

import gzip
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
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
from whisper_desktop.chat.records import TurnState
from whisper_desktop.chat.store.migrations import MIGRATIONS
from whisper_desktop.chat.store.opening import open_file
from whisper_desktop.errors import StoreError

FIXTURES = Path(__file__).parent / "fixtures"
NEXT = len(MIGRATIONS) + 1


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "conversations.db"


def _sql(path: Path, *statements: str) -> list[tuple[object, ...]]:
    found: list[tuple[object, ...]] = []
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        for statement in statements:
            found = file.execute(statement).fetchall()
    return found


def _names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def _next(database: sqlite3.Connection) -> None:
    """A version that is only here: it adds a column."""
    database.execute("ALTER TABLE folders ADD COLUMN colour TEXT NOT NULL DEFAULT 'blue'")


def _failing(database: sqlite3.Connection) -> None:
    _next(database)
    database.execute("SELECT * FROM nothing_of_this_name")


async def _refused(path: Path) -> StoreError:
    with pytest.raises(StoreError) as caught:
        async with opened(path):
            pass
    error = caught.value
    for part in (error.title, error.detail, error.next_step):
        assert part.endswith(".")
        assert "Traceback" not in part
        assert "sqlite" not in part.lower()
    return error


# --- Versions ---------------------------------------------------------------------------------------------


def test_there_is_a_file_of_every_version_that_ever_was() -> None:
    assert _names(FIXTURES) == [f"v{number}.db.gz" for number in range(1, len(MIGRATIONS) + 1)]


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS) + 1))
async def test_a_file_of_every_version_opens_with_all_that_is_in_it(path: Path, version: int) -> None:
    path.parent.mkdir()
    path.write_bytes(gzip.decompress((FIXTURES / f"v{version}.db.gz").read_bytes()))  # noqa: ASYNC240
    head, nodes, folder = an_example()
    async with opened(path) as store:
        assert (store.report.backup is None) == (version == len(MIGRATIONS))
        assert store.report.notice is None
        assert await store.conversations() == (head,)
        assert same(await store.nodes(head.id), nodes)
        assert await store.folders() == (folder,)
        assert (await store.data(TRAIN_ID), await store.data(PAPER_ID)) == (TRAIN, PAPER)
        assert {hit.message for hit in await store.search("train")} == {"q1", "a1"}
        assert [hit.message for hit in await store.search("lisb")] == [None, "q1"]


async def test_an_upgrade_keeps_a_copy_of_the_file_as_it_was(path: Path) -> None:
    head, nodes, _ = an_example()
    async with opened(path) as store:
        store.put(head)
        store.put_node(head.id, nodes[0])
    opening = open_file(path, 1.0, migrations=(*MIGRATIONS, _next))
    opening.close()
    copy = opening.report.backup
    assert copy is not None
    assert copy.name == f"conversations-v{NEXT - 1}-{time.strftime('%Y-%m-%d')}.db"
    assert copy.stat().st_mode & 0o077 == 0 or os.name != "posix"  # noqa: ASYNC240
    assert _sql(path, "PRAGMA user_version") == [(NEXT,)]
    assert _sql(path, "SELECT title FROM conversations") == [(head.title,)]
    assert _sql(copy, "PRAGMA user_version") == [(NEXT - 1,)]
    async with opened(copy) as store:
        assert await store.conversations() == (head,)
    again = open_file(path, 1.0, migrations=(*MIGRATIONS, _next))
    again.close()
    assert again.report.backup is None


def test_the_newest_three_copies_are_kept(path: Path) -> None:
    open_file(path, 1.0).close()
    for day in range(1, 6):
        old = path.with_name(f"conversations-v1-2020-01-0{day}.db")
        old.write_bytes(b"")
        os.utime(old, (day * 86400, day * 86400))
    other = path.with_name("conversations-mine.db")
    other.write_bytes(b"")
    open_file(path, 1.0, migrations=(*MIGRATIONS, _next)).close()
    copies = [name for name in _names(path.parent) if "-v" in name]
    assert copies[:2] == ["conversations-v1-2020-01-04.db", "conversations-v1-2020-01-05.db"]
    assert len(copies) == 3
    assert other.exists()


def test_an_upgrade_that_fails_changes_nothing(path: Path) -> None:
    open_file(path, 1.0).close()
    with pytest.raises(StoreError):
        open_file(path, 1.0, migrations=(*MIGRATIONS, _failing))
    assert _sql(path, "PRAGMA user_version") == [(NEXT - 1,)]
    assert "colour" not in str(_sql(path, "SELECT sql FROM sqlite_schema"))
    open_file(path, 1.0).close()


async def test_a_file_of_a_newer_app_is_refused_and_not_touched(path: Path) -> None:
    open_file(path, 1.0).close()
    _sql(path, f"PRAGMA user_version = {NEXT}")
    before = path.read_bytes()  # noqa: ASYNC240
    names = _names(path.parent)
    error = await _refused(path)
    assert error.cause == "newer"
    assert "newer Whisper Desktop" in error.title
    assert path.read_bytes() == before  # noqa: ASYNC240
    assert _names(path.parent) == names


async def test_a_newer_app_that_died_is_seen_too(path: Path) -> None:
    """Its version is in the log still, and not in the file."""
    open_file(path, 1.0).close()
    program = (
        "import os, sqlite3, sys; file = sqlite3.connect(sys.argv[1]); "
        f"file.execute('PRAGMA user_version = {NEXT}'); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", program, str(path)], check=True)  # noqa: ASYNC221
    assert (await _refused(path)).cause == "newer"


# --- Files that are something else -------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["text", "zeros", "other database", "encrypted"])
async def test_a_file_that_is_something_else_is_set_aside_and_a_new_one_begun(path: Path, what: str) -> None:
    path.parent.mkdir()
    if what == "other database":
        _sql(
            path,
            "CREATE TABLE bookmarks (url)",
            "INSERT INTO bookmarks VALUES ('x')",
            "PRAGMA user_version = 99",
        )
    else:
        content = {"text": b"Dear diary\n" * 500, "zeros": b"\0" * 9000, "encrypted": os.urandom(20_000)}
        path.write_bytes(content[what])  # noqa: ASYNC240
    before = path.read_bytes()  # noqa: ASYNC240
    async with opened(path) as store:
        assert store.report.notice is not None
        title, detail = store.report.notice
        assert title == "The file of your conversations could not be read."
        [aside] = path.parent.glob("conversations-damaged-*.db")  # noqa: ASYNC240
        assert str(aside) in detail
        assert aside.read_bytes() == before
        store.put(conversation("c"))
    async with opened(path) as store:
        assert store.report.notice is None
        assert len(await store.conversations()) == 1


async def test_a_folder_in_the_place_of_the_file_is_said(path: Path) -> None:
    path.mkdir(parents=True)  # noqa: ASYNC240
    assert (await _refused(path)).cause == "permission"
    assert path.is_dir()  # noqa: ASYNC240


async def test_a_file_in_the_place_of_the_folder_is_said(path: Path) -> None:
    path.parent.write_text("mine")
    assert (await _refused(path)).cause == "permission"


# --- Rights -----------------------------------------------------------------------------------------------


@contextmanager
def _as_nobody() -> Iterator[Path]:
    """A folder of a user that has no special rights, and this process as that user."""
    folder = Path(tempfile.mkdtemp())
    if os.geteuid() == 0:
        os.chown(folder, 65534, 65534)
        os.seteuid(65534)
    try:
        yield folder
    finally:
        if os.getuid() == 0:
            os.seteuid(0)
        shutil.rmtree(folder)


posix = pytest.mark.skipif(os.name != "posix", reason="rights are those of POSIX")


@posix
async def test_a_folder_that_cannot_be_written_to_is_said() -> None:
    with _as_nobody() as folder:
        folder.chmod(0o500)  # noqa: ASYNC240
        error = await _refused(folder / "conversations.db")
        folder.chmod(0o700)  # noqa: ASYNC240
    assert error.cause == "permission"
    assert str(folder) in error.next_step


@posix
async def test_a_file_that_cannot_be_read_is_said() -> None:
    with _as_nobody() as folder:
        path = folder / "conversations.db"
        open_file(path, 1.0).close()
        path.chmod(0o000)  # noqa: ASYNC240
        error = await _refused(path)
    assert error.cause == "permission"


@posix
async def test_a_file_that_can_only_be_read_is_said() -> None:
    with _as_nobody() as folder:
        path = folder / "conversations.db"
        open_file(path, 1.0).close()
        path.chmod(0o400)  # noqa: ASYNC240
        error = await _refused(path)
    assert error.cause == "read_only"


# --- Others who have it open -------------------------------------------------------------------------------


async def test_a_file_that_another_program_keeps_locked_is_said(path: Path) -> None:
    open_file(path, 1.0).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        error = await _refused(path)
    assert error.cause == "busy"
    async with opened(path) as store:
        assert await store.conversations() == ()


async def test_two_programs_may_have_the_file_open(path: Path) -> None:
    async with opened(path) as first:
        first.put(conversation("one"))
        first.put_node("one", answer("a", "streaming", state=TurnState.STREAMING))
        await first.flush()
        async with opened(path) as second:
            assert second.report.recovered == ()  # it is being written, by somebody who lives
            second.put(conversation("two", updated=2000.0))
            await second.flush()
            [node] = await second.nodes("one")
            assert node.state is TurnState.STREAMING
        assert [one.id for one in await first.conversations()] == ["two", "one"]
        first.put_node("one", answer("a", "done"))
        await first.flush()


def test_only_the_keeper_upgrades(path: Path) -> None:
    keeper = open_file(path, 1.0)
    with pytest.raises(StoreError) as caught:
        open_file(path, 1.0, migrations=(*MIGRATIONS, _next))
    assert caught.value.cause == "busy"
    keeper.close()
    open_file(path, 1.0, migrations=(*MIGRATIONS, _next)).close()


# --- What a run that died has left -------------------------------------------------------------------------


async def test_an_answer_of_a_run_that_died_is_stopped_and_can_be_found(path: Path) -> None:
    dying = open_file(path, 1.0)
    dying.let_go()  # without saying that it was closed
    async with opened(path) as store:
        store.put(conversation("c"))
        store.put_node("c", question("q", "?"))
        store.put_node("c", answer("a", "half an ans", "q", state=TurnState.STREAMING))
    async with opened(path) as store:
        assert store.report.recovered == ("a",)
        assert store.report.notice is None
        nodes = await store.nodes("c")
        assert [(node.text, node.state) for node in nodes] == [
            ("?", TurnState.COMPLETE),
            ("half an ans", TurnState.STOPPED),
        ]
        assert [hit.message for hit in await store.search("half")] == ["a"]
    async with opened(path) as store:
        assert store.report.recovered == ()


async def test_messages_whose_conversation_was_not_written_any_more_get_one(path: Path) -> None:
    async with opened(path) as store:
        store.put_node("c", question("q", "What   is a\nquanta?" + " and more" * 20))
        store.put_node("c", answer("a", "A packet.", "q"))
    async with opened(path) as store:
        [head] = await store.conversations()
    assert (head.id, head.leaf) == ("c", "a")
    assert head.title.startswith("What is a quanta? and more")
    assert len(head.title) <= 60


async def test_the_file_is_looked_through_after_a_run_that_died_and_once_a_week(path: Path) -> None:
    def checked() -> float:
        [(when,)] = _sql(path, "SELECT value FROM facts WHERE name = 'checked'")
        assert isinstance(when, float | int)
        return when

    open_file(path, 1.0).close()
    long_ago = time.time() - 6 * 86400
    _sql(path, f"UPDATE facts SET value = {long_ago} WHERE name = 'checked'")
    open_file(path, 1.0).close()
    assert checked() == long_ago
    open_file(path, 1.0).let_go()
    assert checked() == long_ago
    open_file(path, 1.0).close()
    assert checked() > long_ago
    for other in (time.time() - 8 * 86400, time.time() + 86400):
        _sql(path, f"UPDATE facts SET value = {other} WHERE name = 'checked'")
        open_file(path, 1.0).close()
        assert abs(checked() - time.time()) < 60
