"""ChatGPT's export: `conversations.json` (or several, numbered); each conversation is a tree, `mapping`."""

import re
from collections.abc import Callable, Iterator

from whisper_desktop.chat.importing.losses import Loss
from whisper_desktop.chat.importing.reader import (
    Basket,
    Json,
    answered,
    conversation_of,
    items,
    moment,
    tables,
    text,
)
from whisper_desktop.chat.importing.tree import Piece
from whisper_desktop.chat.records import Attachment, Conversation, Node, TurnState
from whisper_desktop.values import Reach, Role
from whisper_desktop.wire import fields

NAME = "ChatGPT"
FILES = re.compile(r"(?:^|/)conversations(?:-\d+)?\.json$")

_OF_ASSET = re.compile(r"(file[-_][A-Za-z0-9]+)")
_REASONING = ("thoughts", "reasoning_recap")
_SETTINGS = ("user_editable_context", "model_editable_context")
_CUT = ("max_tokens", "length")

Pictures = Callable[[str], bytes | None]
"""The bytes of an image of the archive, by the id in its name."""


def asset_id(name: str) -> str:
    """The id in the name of a file of the archive, or in a pointer to it; "" where there is none."""
    found = _OF_ASSET.match(name.rpartition("/")[2])
    return found.group(1) if found is not None else ""


def is_one(value: Json) -> bool:
    """Whether this is one of ChatGPT's conversations."""
    return isinstance(value.get("mapping"), dict)


def read(value: Json, basket: Basket, pictures: Pictures) -> tuple[Conversation, tuple[Node, ...]] | None:
    """A conversation of the export; None for one without messages."""
    mapping = fields.table(value["mapping"])
    created = moment(value.get("create_time"))
    title = text(value.get("title"))
    key = text(value.get("conversation_id")) or text(value.get("id"))
    if not key:  # the first exports had none
        key = f"{title} {created} {next(iter(mapping), '')}"
    pieces = sorted(_pieces(mapping, basket, pictures), key=lambda piece: piece.created or 0.0)
    return conversation_of(
        NAME,
        key,
        pieces,
        title=title,
        created=created,
        updated=moment(value.get("update_time")),
        leaf=text(value.get("current_node")) or None,
    )


def _pieces(mapping: Json, basket: Basket, pictures: Pictures) -> Iterator[Piece]:
    for key, found in mapping.items():
        if not isinstance(found, dict):
            basket.losses[Loss.MESSAGE] += 1
            continue
        parent = text(found.get("parent")) or None
        message = found.get("message")
        if isinstance(message, dict):
            yield _piece(key, parent, message, basket, pictures)
        else:
            yield Piece(key, parent, None)


def _piece(key: str, parent: str | None, message: Json, basket: Basket, pictures: Pictures) -> Piece:
    meta, content = fields.table(message.get("metadata")), fields.table(message.get("content"))
    role = text(fields.table(message.get("author")).get("role"))
    kind = text(content.get("content_type"))
    if kind in _REASONING:
        return Piece(key, parent, None, reasoning=_thoughts(content))
    if role == "system" or kind in _SETTINGS or meta.get("is_visually_hidden_from_conversation") is True:
        return Piece(key, parent, None)
    said, attachments = _content(content, basket, pictures)
    if role == "tool" or text(message.get("recipient")) not in ("", "all"):
        if role != "tool" or not attachments:  # an image that a tool made is part of the answer
            basket.losses[Loss.TOOL] += 1
            return Piece(key, parent, None)
        said = ""
    speaks = Role.USER if role == "user" else Role.ASSISTANT
    if role not in ("user", "assistant", "tool"):
        basket.losses[Loss.MESSAGE] += 1
        return Piece(key, parent, None)
    if speaks is Role.USER:
        _count_files(meta, basket)
    elif not said.strip() and not attachments:
        return Piece(key, parent, None)
    details = fields.table(meta.get("finish_details"))
    ending = text(details.get("type"))
    model = text(meta.get("model_slug")) or text(meta.get("default_model_slug"))
    interrupted = ending == "interrupted" or text(message.get("status")) == "in_progress"
    return Piece(
        key,
        parent,
        speaks,
        text=said,
        created=moment(message.get("create_time")),
        attachments=attachments,
        provenance=None if speaks is Role.USER else answered("openai", NAME, model, Reach.CLOUD),
        state=TurnState.STOPPED if interrupted else TurnState.COMPLETE,
        finish_reason="length" if ending in _CUT else "",
    )


def _content(content: Json, basket: Basket, pictures: Pictures) -> tuple[str, tuple[Attachment, ...]]:
    if text(content.get("content_type")) == "code":
        code = text(content.get("text"))
        return (f"```{_language(content)}\n{code}\n```" if code else ""), ()
    parts: list[str] = []
    attachments: tuple[Attachment, ...] = ()
    for part in items(content.get("parts")) or [content.get("text"), content.get("result")]:
        if isinstance(part, str):
            parts.append(part)
        elif isinstance(part, dict):
            parts.append(text(part.get("text")))  # what was said aloud, as text
            if pointer := text(part.get("asset_pointer")):
                name = asset_id(pointer)
                if text(part.get("content_type")) == "image_asset_pointer":
                    attachments += basket.picture(pictures(name) if name else None, "")
                else:
                    basket.losses[Loss.FILE] += 1
    return "\n\n".join(part for part in parts if part.strip()), attachments


def _language(content: Json) -> str:
    language = text(content.get("language"))
    return language if language.isalnum() and language != "unknown" else ""


def _thoughts(content: Json) -> str:
    steps = [
        "\n".join(part for part in (text(step.get("summary")), text(step.get("content"))) if part)
        for step in tables(content.get("thoughts"))
    ]
    return "\n\n".join(step for step in steps if step)


def _count_files(meta: Json, basket: Basket) -> None:
    """Files that were sent along: the export names them, and does not have what is in them."""
    files = [
        each
        for each in tables(meta.get("attachments"))
        if not text(each.get("mimeType") or each.get("mime_type")).startswith("image/")
    ]
    basket.losses[Loss.FILE] += len(files)
