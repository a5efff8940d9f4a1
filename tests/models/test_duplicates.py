"""Copies are found by content, become links at once or not at all, and models are deleted with care."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.models.gguf_files import write_gguf
from tests.models.test_shelf import ollama_keeps
from whisper_desktop.errors import ModelFileError
from whisper_desktop.models.checksums import Stopped, sha256_of
from whisper_desktop.models.deletion import delete, frees_bytes
from whisper_desktop.models.duplicates import Duplicate, find_duplicates, link
from whisper_desktop.models.places import Place
from whisper_desktop.models.shelf import Shelf, scan
from whisper_desktop.models.shelf_cache import ShelfCache

LARGE = 300_000  # numbers: 1.2 MB, which is worth a question


@pytest.fixture
def cache(tmp_path: Path) -> ShelfCache:
    return ShelfCache(tmp_path / "cache.json")


@pytest.fixture
def home(tmp_path: Path) -> list[Place]:
    """Our folder and LM Studio's, each with the same model, and another model of the same size."""
    own, studio = tmp_path / "own", tmp_path / "studio"
    write_gguf(own / "model.gguf", weights=LARGE)
    (studio / "someone").mkdir(parents=True)
    shutil.copy(own / "model.gguf", studio / "someone/theirs.gguf")
    other = bytearray((own / "model.gguf").read_bytes())
    other[-1] ^= 1
    (own / "other.gguf").write_bytes(other)
    return [Place(own, "own"), Place(studio, "lm_studio")]


def found(home: list[Place], cache: ShelfCache) -> tuple[Shelf, tuple[Duplicate, ...]]:
    shelf = scan(home, cache)
    return shelf, find_duplicates(shelf, cache)


def test_only_files_of_the_same_content_are_duplicates(home: list[Place], cache: ShelfCache) -> None:
    _, duplicates = found(home, cache)
    (duplicate,) = duplicates
    assert duplicate.keep.path.name == "theirs.gguf", "another program's file stays what it is"
    assert [copy.path.name for copy in duplicate.copies] == ["model.gguf"]
    assert duplicate.saves_bytes == duplicate.keep.path.stat().st_size


def test_a_difference_in_the_middle_is_seen(home: list[Place], cache: ShelfCache) -> None:
    own = home[0].path / "model.gguf"
    data = bytearray(own.read_bytes() * 6)
    (home[0].path / "model.gguf").write_bytes(data)
    data[len(data) // 4] ^= 1
    (home[1].path / "someone/theirs.gguf").write_bytes(data)
    assert found(home, cache)[1] == ()


def test_our_copy_becomes_a_link_and_room_is_free(home: list[Place], cache: ShelfCache) -> None:
    _, (duplicate,) = found(home, cache)
    copy = duplicate.copies[0]
    content = copy.path.read_bytes()
    assert link(duplicate, copy, cache) >= len(content)
    assert copy.path.read_bytes() == content
    assert not copy.path.is_symlink()
    assert found(home, cache)[1] == (), "names of one file are no copies"
    assert link(duplicate, copy, cache) == 0
    # It lasts when the other program deletes its own.
    duplicate.keep.path.unlink()
    assert copy.path.read_bytes() == content


def test_another_programs_file_is_not_touched_unasked(home: list[Place], cache: ShelfCache) -> None:
    shelf, _ = found(home, cache)
    shutil.copytree(home[1].path / "someone", home[1].path / "again")
    _, (duplicate,) = found(home, cache)
    theirs = next(copy for copy in duplicate.copies if copy.belongs_to_other)
    before = theirs.path.stat().st_ino
    with pytest.raises(ModelFileError, match="belongs to LM Studio, whose files are not touched unasked"):
        link(duplicate, theirs, cache)
    assert theirs.path.stat().st_ino == before
    assert link(duplicate, theirs, cache, consent=True) > 0


def test_a_copy_in_use_is_left_alone(home: list[Place], cache: ShelfCache) -> None:
    _, (duplicate,) = found(home, cache)
    with pytest.raises(ModelFileError, match="An engine uses it right now"):
        link(duplicate, duplicate.copies[0], cache, in_use=lambda path: path.name == "model.gguf")


def test_a_copy_that_changed_since_is_left_alone(home: list[Place], cache: ShelfCache) -> None:
    _, (duplicate,) = found(home, cache)
    copy = duplicate.copies[0]
    changed = copy.path.read_bytes()[:-4] + b"new!"
    copy.path.write_bytes(changed)
    with pytest.raises(ModelFileError, match="not the same as .* any more"):
        link(duplicate, copy, cache)
    assert copy.path.read_bytes() == changed
    assert os.listdir(copy.path.parent).count("model.gguf") == 1


def test_where_no_link_can_be_made_both_files_stay(home: list[Place], cache: ShelfCache) -> None:
    _, (duplicate,) = found(home, cache)
    copy = duplicate.copies[0]
    inode, names = copy.path.stat().st_ino, sorted(os.listdir(copy.path.parent))
    shared = Path("/dev/shm") / f"{os.getpid()}-kept.gguf"  # another file system
    if shared.parent.stat().st_dev == copy.path.stat().st_dev:
        pytest.fail("the test needs a second file system at /dev/shm")
    try:
        shutil.copy(copy.path, shared)
        far = Duplicate(type(copy)(shared, copy.model), (copy,), duplicate.size_bytes)
        with pytest.raises(ModelFileError, match="links do not reach across disks"):
            link(far, copy, cache)
    finally:
        shared.unlink()
    assert copy.path.stat().st_ino == inode
    assert sorted(os.listdir(copy.path.parent)) == names


def test_a_kept_file_that_changes_while_it_is_linked_is_left_alone(
    home: list[Place], cache: ShelfCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, (duplicate,) = found(home, cache)
    copy, kept = duplicate.copies[0], duplicate.keep.path
    content = copy.path.read_bytes()
    make_link = os.link

    def change_and_link(source: Path, target: Path) -> None:
        kept.write_bytes(content[::-1])
        make_link(source, target)

    monkeypatch.setattr(os, "link", change_and_link)
    with pytest.raises(ModelFileError, match="changed meanwhile"):
        link(duplicate, copy, cache)
    assert copy.path.read_bytes() == content
    assert os.listdir(copy.path.parent).count(".model.gguf.link-new") == 0


def test_what_only_a_link_leads_to_is_neither_a_copy_nor_deleted(tmp_path: Path, cache: ShelfCache) -> None:
    far = write_gguf(tmp_path / "far/model.gguf", weights=LARGE)
    own = tmp_path / "own"
    own.mkdir()
    shutil.copy(far, own / "copy.gguf")
    (own / "link.gguf").symlink_to(far)
    home = [Place(own, "own")]
    shelf, duplicates = found(home, cache)
    assert duplicates == ()
    linked = shelf.find("link")
    assert linked is not None
    assert frees_bytes(linked, shelf) == 0
    assert delete(linked, shelf, home) == 0
    assert far.is_file()
    assert os.listdir(own) == ["copy.gguf"]


KILLED_WHILE_LINKING = """
import os, signal, sys
from pathlib import Path
import whisper_desktop.models.duplicates as duplicates
from whisper_desktop.models.places import Place
from whisper_desktop.models.shelf import scan
from whisper_desktop.models.shelf_cache import ShelfCache

cache = ShelfCache(None)
found = duplicates.find_duplicates(scan([Place(Path(sys.argv[1]), "own")], cache), cache)
os.replace = lambda *names: os.kill(os.getpid(), signal.SIGKILL)
duplicates.link(found[0], found[0].copies[0], cache)
"""


def test_a_kill_in_the_middle_leaves_both_files_and_what_it_left_is_tidied(tmp_path: Path) -> None:
    one = write_gguf(tmp_path / "one.gguf", weights=LARGE)
    two = Path(shutil.copy(one, tmp_path / "two.gguf"))
    content = one.read_bytes()
    ended = subprocess.run([sys.executable, "-c", KILLED_WHILE_LINKING, str(tmp_path)], timeout=60)
    assert ended.returncode == -signal.SIGKILL
    assert one.read_bytes() == two.read_bytes() == content
    assert one.stat().st_ino != two.stat().st_ino
    assert len(os.listdir(tmp_path)) == 3, "the killed one left its link"
    cache = ShelfCache(None)
    assert len(find_duplicates(scan([Place(tmp_path, "own")], cache), cache)) == 1
    assert sorted(os.listdir(tmp_path)) == ["one.gguf", "two.gguf"]


def test_looking_for_duplicates_can_be_stopped(home: list[Place], cache: ShelfCache) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        find_duplicates(scan(home, cache), cache, stop=stop)


def test_a_checksum_is_right_told_on_the_way_and_kept(tmp_path: Path, cache: ShelfCache) -> None:
    path, told = tmp_path / "file", list[int]()
    path.write_bytes(os.urandom(5_000_000))
    expected = hashlib.sha256(path.read_bytes()).hexdigest()
    assert sha256_of(path, cache, on_progress=told.append) == expected
    assert told[-1] == 5_000_000
    told.clear()
    assert sha256_of(path, cache, on_progress=told.append) == expected
    assert told == [], "it was not read again"
    path.write_bytes(b"changed")
    assert sha256_of(path, cache) == hashlib.sha256(b"changed").hexdigest()


def test_deleting_ours_frees_what_it_said_and_removes_its_folder(tmp_path: Path, cache: ShelfCache) -> None:
    own = tmp_path / "own"
    write_gguf(own / "someone/repo/model.gguf", weights=LARGE)
    home = [Place(own, "own")]
    shelf = scan(home, cache)
    expected = frees_bytes(shelf.models[0], shelf)
    assert delete(shelf.models[0], shelf, home) == expected > 1_000_000
    assert os.listdir(own) == []


def test_a_model_that_was_used_since_the_shelf_was_looked_at_is_deleted(
    tmp_path: Path, cache: ShelfCache
) -> None:
    path = write_gguf(tmp_path / "model.gguf", weights=LARGE)
    home = [Place(tmp_path, "own")]
    before = scan(home, cache).models[0]
    shelf = scan(home, cache, {str(path): 5.0})
    assert shelf.models[0] != before
    assert delete(before, shelf, home) > 1_000_000
    assert not path.exists()


def test_deleting_a_model_takes_what_a_killed_link_left_along(tmp_path: Path, cache: ShelfCache) -> None:
    path = write_gguf(tmp_path / "own/model.gguf")
    os.link(path, path.with_name(".model.gguf.link-new"))
    home = [Place(tmp_path / "own", "own")]
    shelf = scan(home, cache)
    delete(shelf.models[0], shelf, home)
    assert os.listdir(tmp_path / "own") == []


def test_what_was_deleted_in_part_is_told_as_such(
    tmp_path: Path, cache: ShelfCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2):
        write_gguf(tmp_path / f"big-0000{number}-of-00002.gguf")
    home = [Place(tmp_path, "own")]
    shelf = scan(home, cache)
    unlink = Path.unlink

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if "00002-of" in path.name:
            raise PermissionError(13, "Permission denied")
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(ModelFileError) as caught:
        delete(shelf.models[0], shelf, home)
    assert str(caught.value) == (
        "big was deleted in part. The system says: Permission denied. "
        "Delete by hand what is left of it: big-00002-of-00002.gguf."
    )


def test_deleting_one_name_of_a_file_frees_nothing(home: list[Place], cache: ShelfCache) -> None:
    _, (duplicate,) = found(home, cache)
    link(duplicate, duplicate.copies[0], cache)
    shelf = scan(home, cache)
    model = next(model for model in shelf.models if model.name == "model")
    if (
        model.path.stat().st_ino == duplicate.keep.path.stat().st_ino
    ):  # else blocks are shared, which nobody tells
        assert frees_bytes(model, shelf) == 0
    delete(model, shelf, home)
    assert duplicate.keep.path.is_file()


def test_what_belongs_to_others_is_deleted_there_or_with_consent(
    home: list[Place], cache: ShelfCache
) -> None:
    shelf = scan(home, cache)
    theirs = next(model for model in shelf.models if model.source == "lm_studio")
    with pytest.raises(ModelFileError, match="It belongs to LM Studio"):
        delete(theirs, shelf, home)
    assert theirs.path.is_file()
    delete(theirs, shelf, home, consent=True)
    assert not theirs.path.exists()


def test_ollamas_models_are_deleted_by_ollama_alone(tmp_path: Path, cache: ShelfCache) -> None:
    ollama_keeps(
        tmp_path / "o", "registry.ollama.ai/library/tiny/1b", write_gguf(tmp_path / "x.gguf"), "c" * 64
    )
    home = [Place(tmp_path / "o", "ollama")]
    shelf = scan(home, cache)
    with pytest.raises(ModelFileError, match="Run: ollama rm tiny:1b"):
        delete(shelf.models[0], shelf, home, consent=True)
    assert shelf.models[0].path.is_file()


def test_a_model_in_use_is_not_deleted(home: list[Place], cache: ShelfCache) -> None:
    shelf = scan(home, cache)
    with pytest.raises(ModelFileError, match="Stop the engine"):
        delete(shelf.models[0], shelf, home, in_use=lambda path: True)


def test_the_last_model_takes_its_projector_along_and_only_the_last(
    tmp_path: Path, cache: ShelfCache
) -> None:
    for name in ("a", "b"):
        write_gguf(tmp_path / f"{name}.gguf")
    projector = write_gguf(tmp_path / "mmproj.gguf", architecture="clip")
    home = [Place(tmp_path, "own")]
    shelf = scan(home, cache)
    delete(shelf.models[0], shelf, home)
    assert projector.is_file()
    shelf = scan(home, cache)
    delete(shelf.models[0], shelf, home)
    assert not projector.exists()


def test_hugging_faces_links_go_with_the_file(tmp_path: Path, cache: ShelfCache) -> None:
    repo = tmp_path / "hub/models--a--b"
    blob = write_gguf(repo / "blobs" / ("d" * 64))
    name = repo / "snapshots/one/b-Q8_0.gguf"
    name.parent.mkdir(parents=True)
    name.symlink_to(blob)
    home = [Place(tmp_path / "hub", "hugging_face")]
    shelf = scan(home, cache)
    delete(shelf.models[0], shelf, home, consent=True)
    assert not name.is_symlink()
    assert not blob.exists()
