"""Reads a file of conversations, whoever wrote it: what it is called says little, what is in it decides."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from whisper_desktop.chat.attachments import LARGEST_IMAGE
from whisper_desktop.chat.files import FileError, clean_text, read_file, shown_name
from whisper_desktop.chat.importing import chatgpt, jan, lm_studio, open_webui, own
from whisper_desktop.chat.importing.found import Imported
from whisper_desktop.chat.importing.losses import Loss, sentences
from whisper_desktop.chat.importing.reader import Basket
from whisper_desktop.chat.importing.sources import Source, open_source, smaller
from whisper_desktop.chat.records import Conversation, Node
from whisper_desktop.language import tr
from whisper_desktop.wire import fields

_MOST_CONVERSATIONS = 50_000
_MOST_VALUES = 25_000_000
"""Of one JSON document, counted by its marks before it is read: a value of three bytes takes up to eighty."""
_NOT_TEXT = re.compile(rb"\\u(?:d[89a-f]|0000)", re.IGNORECASE)
"""Letters that a JSON file can write and no text may have: half a character, and NUL."""

Found = tuple[Conversation, tuple[Node, ...]]


def read_import(path: Path) -> Imported:
    """The conversations of an export: a file, an archive, or a folder (blocks: call it in a thread).

    Raises `FileError` in words for what cannot be read, and for what is no export that we know.
    """
    basket, counts = Basket(), Counter[str]()
    found: dict[str, Found] = {}
    refused: FileError | None = None
    with open_source(path) as source:
        for part in _parts(source, path, basket):
            try:
                for name, one in part:
                    counts[name] += 1
                    if one is not None and len(found) < _MOST_CONVERSATIONS:
                        found.setdefault(one[0].id, one)
            except FileError as error:  # the other files of a folder, or an archive, are read all the same
                refused = refused or error
                basket.losses[Loss.CONVERSATION] += 1
    if not counts:
        raise refused or FileError(
            tr("{name} has no conversations that can be read.", name=shown_name(path)),
            tr("It is no export of Whisper Desktop, ChatGPT, LM Studio, Jan or Open WebUI."),
            tr("Choose the .json or .zip file that the other program has exported, or its folder."),
        )
    return Imported(
        source=", ".join(name for name, _count in counts.most_common()),
        conversations=tuple(found.values()),
        data=basket.data,
        skipped=sentences(basket.losses),
    )


def _parts(source: Source, path: Path, basket: Basket) -> Iterator[Iterator[tuple[str, Found | None]]]:
    """What each file of the source has, read when it is asked for."""
    names = set(source.names)
    heads = [name for name in source.names if PurePosixPath(name.replace("\\", "/")).name == jan.HEAD]
    for head in heads:
        lines = head.removesuffix(jan.HEAD) + jan.LINES
        if lines in names:
            yield _thread(source, head, lines, path, basket)
    exports = [name for name in source.names if chatgpt.FILES.search(name)]
    documents = exports or [name for name in source.names if name.endswith(".json") and name not in heads]
    if len(names) == 1:
        documents = list(names)
    of_archive = _pictures_of(source)
    for name in documents:
        yield _document(source, name, basket, of_archive, _sent_to_lm_studio(path / name, path))


def _document(
    source: Source,
    name: str,
    basket: Basket,
    of_archive: chatgpt.Pictures,
    of_lm_studio: lm_studio.Pictures,
) -> Iterator[tuple[str, Found | None]]:
    yield from _conversations(_parsed(source.read(name), name), basket, of_archive, of_lm_studio)


def _conversations(
    document: object, basket: Basket, of_archive: chatgpt.Pictures, of_lm_studio: lm_studio.Pictures
) -> Iterator[tuple[str, Found | None]]:
    if isinstance(document, dict) and own.is_one(document):
        for each in own.read(document, basket):
            yield own.NAME, each
        return
    if isinstance(document, dict) and isinstance(document.get("conversations"), list):
        document = document["conversations"]
    for value in document if isinstance(document, list) else [document]:
        known = _reader_of(value, basket, of_archive, of_lm_studio)
        if known is not None:
            yield known
        elif isinstance(document, list):
            basket.losses[Loss.CONVERSATION] += 1


def _reader_of(
    value: object, basket: Basket, of_archive: chatgpt.Pictures, of_lm_studio: lm_studio.Pictures
) -> tuple[str, Found | None] | None:
    if not isinstance(value, dict):
        return None
    if chatgpt.is_one(value):
        return chatgpt.NAME, chatgpt.read(value, basket, of_archive)
    if open_webui.is_one(value):
        return open_webui.NAME, open_webui.read(value, basket)
    if lm_studio.is_one(value):
        return lm_studio.NAME, lm_studio.read(value, basket, of_lm_studio)
    return None


def _thread(
    source: Source, head: str, lines: str, path: Path, basket: Basket
) -> Iterator[tuple[str, Found | None]]:
    thread = _parsed(source.read(head), head)
    messages = [_parsed(line, lines) for line in source.read(lines).split(b"\n") if line.strip()]
    folder = PurePosixPath(head.replace("\\", "/")).parent.name or path.parent.name
    yield jan.NAME, jan.read(fields.table(thread), messages, folder, basket)


def _decoded(data: bytes) -> str:
    return data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig", "replace")


def _parsed(data: bytes, name: str) -> object:
    """What a JSON file says; None for what is no JSON. Raises `FileError` for one that is made to swell."""
    if sum(data.count(mark) for mark in (b",", b"[", b"{")) > _MOST_VALUES:
        raise FileError(tr("{name} takes too much memory to read.", name=shown_name(name)), "", smaller())
    try:
        document: object = json.loads(_decoded(data))
        return _cleaned(document) if _NOT_TEXT.search(data) else document
    except (ValueError, RecursionError, MemoryError):
        return None


def _cleaned(value: object) -> object:
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, list):
        return [_cleaned(each) for each in value]
    if isinstance(value, dict):
        return {clean_text(key): _cleaned(each) for key, each in value.items()}
    return value


def _pictures_of(source: Source) -> Callable[[str], bytes | None]:
    """The images of an archive by the id that ChatGPT gave them."""
    names = {asset: name for name in source.names if (asset := chatgpt.asset_id(name))}

    def picture(asset: str) -> bytes | None:
        try:
            return source.read(names[asset]) if asset in names else None
        except FileError:
            return None

    return picture


def _sent_to_lm_studio(file: Path, chosen: Path) -> Callable[[str], bytes | None]:
    """The files that were sent along, which LM Studio keeps in a folder beside that of its conversations."""

    def picture(name: str) -> bytes | None:
        if not name or name != PurePosixPath(name.replace("\\", "/")).name or name in (".", ".."):
            return None  # a name from a file must not lead anywhere else
        for folder in (chosen, *file.parents):
            if folder.name == "conversations":
                try:
                    return read_file(folder.parent / "user-files" / name, LARGEST_IMAGE)
                except FileError:
                    return None
        return None

    return picture
