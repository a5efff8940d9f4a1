"""The text of a PDF, taken out on this computer by a process with limits: see `pdf_child` for why."""

import asyncio
import json
import math
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from whisper_desktop.chat.files import FileError, unreadable
from whisper_desktop.language import tr, trn

FLAG = "--pdf-child"
"""What a frozen build, which has no Python to run a file with, is started with."""

MOST_CHARACTERS = 4_000_000
MEMORY = 1_000_000_000
SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class PdfText:
    """What a PDF says. `note` is a sentence about what is missing from it; "" where nothing is."""

    text: str
    note: str = ""


async def pdf_text(data: bytes, name: str, *, seconds: float = SECONDS, memory: int = MEMORY) -> PdfText:
    """The text of a PDF. Raises `FileError` in words for one that has none, is locked, broken or too much."""
    try:
        answer = await _answer(data, seconds, memory)
    except OSError as error:  # no more processes, or no memory for one
        raise unreadable(name, error) from None
    if answer == "time":
        raise FileError(
            tr("{name} takes too long to read.", name=name),
            tr("Its text was not complete after {seconds} seconds.", seconds=round(seconds)),
            tr("Print the pages you need into a smaller PDF, and attach that."),
        )
    if answer == "memory":
        raise FileError(
            tr("{name} takes too much memory to read.", name=name),
            "",
            tr("Print the pages you need into a smaller PDF, and attach that."),
        )
    if answer == "encrypted":
        raise FileError(
            tr("{name} is locked with a password.", name=name),
            "",
            tr("Open it in a PDF viewer, print it into a PDF without one, and attach that."),
        )
    if answer == "damaged":
        raise _damaged(name)
    return _told(answer, name)


def _told(answer: dict[str, object], name: str) -> PdfText:
    told = answer.get("texts")
    texts: list[object] = told if isinstance(told, list) else []
    pages = answer.get("pages")
    missing = pages - len(texts) if isinstance(pages, int) else 0
    if not any(texts):
        if missing > 0 and not texts:
            raise FileError(
                tr("The first page of {name} has more text than can be sent.", name=name),
                "",
                tr("Copy the part you need into a text file, and attach that."),
            )
        if None in texts or not texts:
            raise _damaged(name)
        raise FileError(
            tr("{name} has no text: its pages are only pictures.", name=name),
            tr("It was scanned, or made of images."),
            tr("Attach pictures of the pages you need to a model that can see, or have the text recognised."),
        )
    shown = [_page(text, number) for number, text in enumerate(texts, 1)]
    return PdfText("\n\n".join(shown), _note(texts, missing))


def _page(text: object, number: int) -> str:
    if text is None:
        return tr("[Page {number} could not be read.]", number=number)
    return str(text) or tr("[Page {number} has no text: it is probably only a picture.]", number=number)


def _note(texts: list[object], missing: int) -> str:
    notes = []
    if missing > 0:
        notes.append(
            tr(
                "Only the first {read} of {pages} pages were read: the rest is too long.",
                read=len(texts),
                pages=len(texts) + missing,
            )
        )
    if broken := texts.count(None):
        notes.append(trn("One page could not be read.", "{count} pages could not be read.", broken))
    if pictures := texts.count(""):
        notes.append(
            trn(
                "One page has no text: it is probably only a picture.",
                "{count} pages have no text: they are probably only pictures.",
                pictures,
            )
        )
    return " ".join(notes)


def _damaged(name: str) -> FileError:
    return FileError(
        tr("{name} cannot be read as a PDF.", name=name),
        tr("It is damaged, or made in a way that cannot be read here."),
        tr("Download or save it again, and attach the new one."),
    )


async def _answer(
    data: bytes, seconds: float, memory: int
) -> dict[str, object] | Literal["time", "memory", "encrypted", "damaged"]:
    child = await asyncio.create_subprocess_exec(
        *_command(),
        str(memory),
        str(MOST_CHARACTERS),
        str(math.ceil(seconds) + 1),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C in our terminal is not meant for it
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )
    try:
        async with asyncio.timeout(seconds):
            # What it prints is bounded by the characters it may take, each at most 12 bytes long in JSON.
            printed, _nothing = await child.communicate(data)
    except TimeoutError:
        return "time"
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    return _understood(printed, child.returncode)


def _understood(
    printed: bytes, code: int | None
) -> dict[str, object] | Literal["memory", "encrypted", "damaged"]:
    try:
        answer = json.loads(printed)
    except (ValueError, RecursionError):
        return "memory" if code else "damaged"  # it was ended: nothing else of ours ends it
    if not isinstance(answer, dict):
        return "damaged"
    refused = answer.get("refused")
    return refused if refused in ("memory", "encrypted", "damaged") else answer


def _command() -> tuple[str, ...]:
    if getattr(sys, "frozen", False):
        return (sys.executable, FLAG)
    # -P keeps the file's own folder off the import path.
    return (sys.executable, "-P", str(Path(__file__).with_name("pdf_child.py")))
