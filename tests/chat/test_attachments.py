"""What is attached is recognised by what is in it, bounded, and refused in one kind sentence."""

import asyncio
import hashlib
import os
import socket
import subprocess
import sys
import time
import tracemalloc
import zipfile
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.chat import attachment_files as files
from whisper_desktop.chat import attachments
from whisper_desktop.chat.attachments import attachment_of, read_attachment
from whisper_desktop.chat.docx import docx_text
from whisper_desktop.chat.files import FileError, shown_name, unreadable
from whisper_desktop.chat.images import image_facts
from whisper_desktop.chat.pdf_text import pdf_text

ROOT = Path(__file__).resolve().parents[2]


async def _refused(path: Path, **options: float) -> FileError:
    with pytest.raises(FileError) as caught:
        await read_attachment(path, **options)
    error = caught.value
    assert error.title.endswith(".")
    assert error.next_step.endswith(".")
    assert "\n" not in str(error)
    return error


def _written(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


# --- images -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (files.png(), "image/png"),
        (files.jpeg(640, 480), "image/jpeg"),
        (files.gif(3, 2), "image/gif"),
        (files.webp(b"VP8X", 1000, 700), "image/webp"),
        (files.webp(b"VP8L", 1000, 700), "image/webp"),
        (files.webp(b"VP8 ", 1000, 700), "image/webp"),
    ],
)
async def test_an_image_is_known_by_its_first_bytes_whatever_it_is_called(
    tmp_path: Path, data: bytes, media_type: str
) -> None:
    attachment, read = await read_attachment(_written(tmp_path, "notes.txt", data))
    assert (attachment.media_type, attachment.text, attachment.name) == (media_type, "", "notes.txt")
    assert (attachment.id, attachment.size_bytes) == (hashlib.sha256(data).hexdigest(), len(data))
    assert attachment.is_image
    assert read == data


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (files.png(640, 480), (640, 480)),
        (files.jpeg(640, 480), (640, 480)),
        (files.gif(640, 480), (640, 480)),
        (files.webp(b"VP8X", 1000, 700), (1000, 700)),
        (files.webp(b"VP8L", 1000, 700), (1000, 700)),
        (files.webp(b"VP8 ", 1000, 700), (1000, 700)),
    ],
)
def test_how_large_an_image_is_stands_in_its_header(data: bytes, size: tuple[int, int]) -> None:
    facts = image_facts(data)
    assert facts is not None
    assert (facts.width, facts.height) == size


async def test_an_image_that_would_fill_the_memory_is_refused_without_being_decoded(tmp_path: Path) -> None:
    error = await _refused(_written(tmp_path, "big.png", files.png(100_000, 100_000)))
    assert "too many pixels" in error.title
    assert "100000 × 100000" in error.detail


async def test_an_image_without_a_size_is_damaged(tmp_path: Path) -> None:
    for data in (
        files.png()[:20],
        b"\xff\xd8\xff\xe0\x00\x10",
        files.png(0, 5),
        b"\xff\xd8\xff\xda" + bytes(40),
    ):
        assert "damaged image" in (await _refused(_written(tmp_path, "x.png", data))).title


async def test_an_image_of_more_than_20_mb_is_refused(tmp_path: Path) -> None:
    path = _written(tmp_path, "x.png", files.png() + bytes(attachments.LARGEST_IMAGE))
    assert (await _refused(path)).title == "x.png is larger than 20 MB."


@given(st.binary(max_size=60), st.sampled_from([files.png(), files.jpeg(9, 9), files.webp(b"VP8L", 9, 9)]))
def test_no_bytes_confuse_the_reading_of_headers(tail: bytes, start: bytes) -> None:
    for cut in range(len(start)):
        facts = image_facts(start[:cut] + tail)
        assert facts is None or facts.pixels is None or facts.pixels > 0


# --- text -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("Grüße\r\nan alle\rda".encode(), "Grüße\nan alle\nda"),
        ("Grüße".encode("utf-8-sig"), "Grüße"),
        ("Grüße".encode("utf-16"), "Grüße"),
        (b"\xfe\xff" + "Grüße".encode("utf-16-be"), "Grüße"),
    ],
)
async def test_text_is_read_in_the_encoding_that_it_says(tmp_path: Path, data: bytes, text: str) -> None:
    attachment, read = await read_attachment(_written(tmp_path, "letter.txt", data))
    assert (attachment.text, attachment.note, attachment.media_type) == (text, "", "text/plain")
    assert read == data


async def test_a_guessed_encoding_is_said(tmp_path: Path) -> None:
    attachment, _data = await read_attachment(_written(tmp_path, "letter.txt", "Grüße".encode("latin-1")))
    assert attachment.text == "Grüße"
    assert "guessed" in attachment.note


@pytest.mark.parametrize(
    ("name", "media_type"),
    [("a.CSV", "text/csv"), ("a.json", "application/json"), ("a.html", "text/html"), ("a.rs", "text/plain")],
)
async def test_what_a_text_is_called_says_its_kind(tmp_path: Path, name: str, media_type: str) -> None:
    attachment, _data = await read_attachment(_written(tmp_path, name, b"1,2"))
    assert (attachment.media_type, attachment.text) == (media_type, "1,2")


async def test_a_text_of_more_than_4_mb_is_refused(tmp_path: Path) -> None:
    path = _written(tmp_path, "log.txt", b"a" * (attachments.LARGEST_TEXT + 1))
    assert (await _refused(path)).title == "log.txt is larger than 4 MB."


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"\x7fELF" + bytes(range(256)), "a program"),
        (b"\0\0\0\x18ftypheic" + bytes(40), "a HEIC image"),
        (b"\0\0\0\x18ftypisom" + bytes(40), "a video or a sound"),
        (files.docx("", name="xl/workbook.xml"), "an office document"),
        (b"GGUF" + bytes(40), "a model"),
        (bytes(range(256)) * 4, "not text"),
    ],
)
async def test_what_no_model_reads_is_named_and_refused(tmp_path: Path, data: bytes, what: str) -> None:
    assert what in (await _refused(_written(tmp_path, "thing.txt", data))).detail


async def test_a_text_that_begins_like_another_kind_of_file_is_still_a_text(tmp_path: Path) -> None:
    attachment, _data = await read_attachment(_written(tmp_path, "a.txt", b"BMW or MZ, that is the question"))
    assert attachment.text.startswith("BMW")


async def test_nothing_in_it_is_said(tmp_path: Path) -> None:
    for data in (b"", b" \n "):
        assert (await _refused(_written(tmp_path, "a.txt", data))).title == "a.txt is empty."


async def test_what_is_larger_than_anything_that_is_read_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "disk.img").open("wb") as file:
        file.truncate(attachments.LARGEST_DOCUMENT + 1)
    assert (await _refused(tmp_path / "disk.img")).title == "disk.img is larger than 50 MB."


# --- what is no file --------------------------------------------------------------------------------------


async def test_a_named_pipe_is_refused_and_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert (await _refused(tmp_path / "pipe")).title == "pipe is not a file."


async def test_folders_devices_and_sockets_are_refused(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        for path in (Path("/dev/zero"), tmp_path / "socket"):
            assert (await _refused(path)).title == f"{path.name} is not a file."
    assert (await _refused(tmp_path)).title == f"{tmp_path.name} is a folder."


async def test_what_is_gone_is_said_kindly(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert "not there any more" in (await _refused(tmp_path / "gone.txt")).title
    assert "not there any more" in (await _refused(tmp_path / "link")).title
    assert "not there any more" in (await _refused(Path("a\0b"))).title
    assert "cannot be read" in (await _refused(tmp_path / "loop")).title


def test_what_may_not_be_read_is_said() -> None:
    error = unreadable("secret.txt", PermissionError(13, "Permission denied"))
    assert error.title == "secret.txt may not be read."
    assert error.next_step.endswith(".")


async def test_an_odd_name_is_shown_without_what_could_mislead(tmp_path: Path) -> None:
    path = tmp_path / "a\n\u202egnp.\x1bexe\udcff.txt"
    path.write_bytes(b"hello")
    attachment, _data = await read_attachment(path)
    assert attachment.name.isprintable()
    assert attachment.name.startswith("a")
    assert attachment.name.endswith(".txt")


def test_a_long_name_keeps_its_ending() -> None:
    assert len(shown_name("a" * 500 + ".tar.gz")) <= 120
    assert shown_name("a" * 500 + ".tar.gz").endswith(".tar.gz")


async def test_an_image_from_the_clipboard_needs_no_file() -> None:
    attachment, _data = await attachment_of(files.png(), "Pasted image", "image/png")
    assert (attachment.name, attachment.media_type) == ("Pasted image", "image/png")


# --- PDF --------------------------------------------------------------------------------------------------


async def test_the_text_of_a_pdf_is_taken_out(tmp_path: Path) -> None:
    attachment, _data = await read_attachment(_written(tmp_path, "a.pdf", files.pdf("First page", "Second")))
    assert (attachment.media_type, attachment.text) == ("application/pdf", "First page\n\nSecond")
    assert attachment.note == ""


async def test_a_page_that_is_a_picture_is_named_in_its_place(tmp_path: Path) -> None:
    attachment, _data = await read_attachment(_written(tmp_path, "a.pdf", files.pdf("First", "", "Third")))
    assert attachment.text.split("\n\n")[1] == "[Page 2 has no text: it is probably only a picture.]"
    assert attachment.note.startswith("One page has no text")


async def test_a_scanned_pdf_says_that_its_pages_are_only_pictures(tmp_path: Path) -> None:
    assert "only pictures" in (await _refused(_written(tmp_path, "a.pdf", files.pdf("", "")))).title


async def test_a_locked_pdf_says_so(tmp_path: Path) -> None:
    error = await _refused(_written(tmp_path, "a.pdf", files.pdf("Secret", password="hunter2")))
    assert error.title == "a.pdf is locked with a password."


async def test_a_damaged_pdf_says_so(tmp_path: Path) -> None:
    whole = files.pdf("Text")
    for data in (b"%PDF-1.7\n" + bytes(range(256)), whole[:200], b"%PDF-1.4\ntrailer<</Root 1 0 R>>"):
        assert "damaged" in (await _refused(_written(tmp_path, "a.pdf", data))).detail


async def test_a_pdf_that_takes_too_long_is_given_up_and_its_reader_ended(tmp_path: Path) -> None:
    before, started = _children(), time.monotonic()
    error = await _refused(_written(tmp_path, "a.pdf", files.bomb_pdf(4_000_000)), seconds=0.3)
    assert "takes too long" in error.title
    assert _children() <= before
    assert time.monotonic() - started < 5  # reading it takes much longer


async def test_reading_that_nobody_waits_for_any_more_ends_its_process() -> None:
    before = _children()
    reading = asyncio.create_task(pdf_text(files.bomb_pdf(), "a.pdf"))
    while not _children() - before:  # noqa: ASYNC110 - nobody tells that a process has begun
        await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert _children() <= before


async def test_a_page_that_cannot_be_read_is_named_and_the_others_are_read() -> None:
    data = files.pdf("First", "Second").replace(b"/Filter /FlateDecode", b"/Filter /NoSuchCode ", 1)
    read = await pdf_text(data, "a.pdf")
    assert read.text == "[Page 1 could not be read.]\n\nSecond"
    assert read.note == "One page could not be read."


async def test_a_pdf_that_takes_too_much_memory_is_given_up() -> None:
    with pytest.raises(FileError, match="takes too much memory"):
        await pdf_text(files.bomb_pdf(), "a.pdf", memory=100_000_000)


async def test_too_long_a_pdf_is_cut_at_a_page_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("whisper_desktop.chat.pdf_text.MOST_CHARACTERS", 12)
    read = await pdf_text(files.pdf("First", "Second", "Third"), "a.pdf")
    assert read.text == "First"
    assert read.note == "Only the first 1 of 3 pages were read: the rest is too long."


async def test_pages_without_end_are_no_recursion(tmp_path: Path) -> None:
    data = files.pdf("Text").replace(b"/Type /Page\n", b"/Type /Pages\n/Kids [ 1 0 R 4 0 R ]\n")
    await _refused(_written(tmp_path, "a.pdf", data))


def test_the_frozen_program_is_its_own_reader_of_pdfs() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "whisper_desktop", "--pdf-child", "1000000000", "1000", "30"],
        input=files.pdf("Hello"),
        capture_output=True,
        cwd=ROOT,
        timeout=60,
    )
    assert done.stdout == b'{"pages": 1, "texts": ["Hello"]}'


def test_where_the_system_does_not_hold_memory_a_thread_does() -> None:
    script = (
        "import sys; sys.path.insert(0, '.'); import importlib.util as u;"
        "s = u.spec_from_file_location('c', 'whisper_desktop/chat/pdf_child.py'); c = u.module_from_spec(s);"
        "s.loader.exec_module(c); c.bound(1, 60, watched=True);"
        "import time; time.sleep(30)"
    )
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, timeout=60)
    assert done.returncode == 86
    assert time.monotonic() - started < 25


def _children() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_a_reader_of_pdfs_that_nobody_ends_ends_by_itself() -> None:
    script = (
        "import importlib.util as u;"
        "s = u.spec_from_file_location('c', 'whisper_desktop/chat/pdf_child.py'); c = u.module_from_spec(s);"
        "s.loader.exec_module(c); c.bound(10**9, 1, watched=False);"
        "exec('while True: pass')"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, timeout=60)
    assert done.returncode < 0


# --- Word -------------------------------------------------------------------------------------------------


async def test_the_text_of_a_word_document_is_taken_out(tmp_path: Path) -> None:
    body = "<w:p><w:r><w:t>Dear</w:t><w:tab/><w:t>all</w:t></w:r></w:p><w:p><w:r><w:t>Bye</w:t></w:r></w:p>"
    attachment, _data = await read_attachment(_written(tmp_path, "a.docx", files.docx(body)))
    assert attachment.text == "Dear\tall\nBye"
    assert attachment.media_type.endswith("wordprocessingml.document")


def test_a_word_document_that_unfolds_is_not_read() -> None:
    lol = '<!DOCTYPE l [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    assert docx_text(files.docx("<w:p><w:t>&b;</w:t></w:p>", before=lol), 1000) == ""
    assert docx_text(files.docx("<w:p><w:r><w:t>x</w:t></w:r></w:p>" + " " * 61_000_000), 1000) == ""


def test_a_word_document_that_unfolds_in_another_encoding_is_not_read() -> None:
    xml = files.unpacked(files.docx("<w:p><w:t>&b;</w:t></w:p>", before='<!DOCTYPE l [<!ENTITY b "lol">]>'))
    said = xml.decode().replace("UTF-8", "UTF-16")
    assert docx_text(files.packed_docx(said.encode("utf-16")), 1000) == ""


def test_a_word_document_of_a_million_empty_parts_takes_no_memory() -> None:
    data = files.docx("<w:x/>" * 1_000_000)
    tracemalloc.start()
    try:
        assert docx_text(data, 1000) == ""
        _now, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 30_000_000  # the XML itself is 6 MB


def test_a_damaged_word_document_that_was_packed_otherwise_is_not_read() -> None:
    whole = files.packed_docx(files.unpacked(files.docx("<w:p/>" * 50)), zipfile.ZIP_LZMA)
    place = whole.index(b"word/document.xml") + 40
    assert docx_text(whole[:place] + b"\xff" * 30 + whole[place + 30 :], 1000) == ""


@given(st.binary(max_size=200), st.integers(0, 300))
def test_no_bytes_confuse_the_reading_of_word_documents(noise: bytes, place: int) -> None:
    whole = files.docx("<w:p><w:r><w:t>Dear all</w:t></w:r></w:p>")
    docx_text(whole[:place] + noise + whole[place + len(noise) :], 1000)
