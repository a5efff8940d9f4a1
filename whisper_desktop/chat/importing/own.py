"""Our own export, read back: every branch, every wish, every attachment, under the ids they had."""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable
from dataclasses import replace

from whisper_desktop.chat.exporting.document import FORMAT, VERSION
from whisper_desktop.chat.files import FileError, shown_name
from whisper_desktop.chat.images import image_facts
from whisper_desktop.chat.importing.losses import Loss
from whisper_desktop.chat.importing.reader import LAST_MOMENT, Basket, Json, items, tables, text
from whisper_desktop.chat.importing.tree import rooted
from whisper_desktop.chat.records import Attachment, Conversation, Node, TurnState
from whisper_desktop.chat.store.codec import Unreadable, reader
from whisper_desktop.language import tr
from whisper_desktop.wire import fields

NAME = "Whisper Desktop"

_OF_ERROR = ("type", "kind", "title", "detail", "next_step", "attempts")
"""What is taken of an error. The rest becomes buttons, commands and links, which no file may bring along."""

_LARGEST = 2**40  # bytes: what a missing attachment may say of its size
_ID = re.compile(r"[A-Za-z0-9_.:-]{1,100}")


def is_one(document: Json) -> bool:
    """Whether this is a document of ours."""
    return document.get("format") == FORMAT


def read(document: Json, basket: Basket) -> Iterable[tuple[Conversation, tuple[Node, ...]]]:
    """All conversations of a document. Raises `FileError` for one of a newer version."""
    version = fields.count(document.get("version"))
    if version is None or version > VERSION:
        raise FileError(
            tr("This export was written by a newer version of Whisper Desktop."),
            "",
            tr("Update Whisper Desktop, and import it again."),
        )
    for key, encoded in fields.table(document.get("attachments")).items():
        _keep(key, text(encoded), basket)
    for found in items(document.get("conversations")):
        conversation = _conversation(found, basket) if isinstance(found, dict) else None
        if conversation is None:
            basket.losses[Loss.CONVERSATION] += 1
        else:
            yield conversation


def _keep(key: str, encoded: str, basket: Basket) -> None:
    try:
        data = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if hashlib.sha256(data).hexdigest() == key:
        basket.data[key] = data
    else:
        basket.losses[Loss.FILE] += 1


def _conversation(found: Json, basket: Basket) -> tuple[Conversation, tuple[Node, ...]] | None:
    try:
        head: Conversation = reader(Conversation)(found)
    except Unreadable:
        return None
    if not _ID.fullmatch(head.id) or not _are_moments(head.created, head.updated, head.deleted or 0.0):
        return None
    nodes: dict[str, Node] = {}
    for each in tables(found.get("messages")):
        node = _node(each, basket)
        if node is None or node.id in nodes:
            basket.losses[Loss.MESSAGE] += 1
        else:
            nodes[node.id] = node
    parents = rooted({key: node.parent for key, node in nodes.items()})
    tree = tuple(replace(nodes[key], parent=parent) for key, parent in parents.items())
    if head.leaf not in nodes:
        head = replace(head, leaf=tree[-1].id if tree else None)
    if head.place is not None and head.place.message not in nodes:
        head = replace(head, place=None)
    draft = replace(head.draft, attachments=_attachments(head.draft.attachments, basket))
    return replace(head, draft=draft), tree


def _node(found: Json, basket: Basket) -> Node | None:
    if error := fields.table(found.get("error")):
        found = found | {"error": {name: error[name] for name in _OF_ERROR if name in error}}
    try:
        node: Node = reader(Node)(found)
    except Unreadable:
        return None
    if not _ID.fullmatch(node.id) or not _are_moments(node.created):
        return None
    if node.state is TurnState.STREAMING:  # nobody writes on it here
        node = replace(node, state=TurnState.STOPPED)
    positions = [seam.position for seam in node.seams]
    if positions != sorted(positions) or any(not 0 <= each <= len(node.text) for each in positions):
        node = replace(node, seams=())
    return replace(node, attachments=_attachments(node.attachments, basket))


def _attachments(told: tuple[Attachment, ...], basket: Basket) -> tuple[Attachment, ...]:
    """What is said of attachments, as far as it is true of their bytes."""
    return tuple(
        replace(one, name=shown_name(one.name), size_bytes=_size(one, basket))
        for one in told
        if _ID.fullmatch(one.id) and _is_what_it_says(one, basket)
    )


def _is_what_it_says(one: Attachment, basket: Basket) -> bool:
    data = basket.data.get(one.id)
    if data is None or not one.is_image:
        return True
    facts = image_facts(data)
    right = facts is not None and facts.media_type == one.media_type
    basket.losses[Loss.PICTURE] += not right
    return right


def _size(one: Attachment, basket: Basket) -> int:
    data = basket.data.get(one.id)
    return len(data) if data is not None else min(max(one.size_bytes, 0), _LARGEST)


def _are_moments(*seconds: float) -> bool:
    return all(0 <= each <= LAST_MOMENT for each in seconds)
