"""Conversations as JSON, complete: all branches, wishes, provenance, attachments. The import reads it back.

The shape is that of `chat.records`, and a promise: fields are added, never renamed or removed; one that is
not there has its default. VERSION changes only when an older reader would misread a file.
"""

import base64
import json
from collections.abc import Sequence

from whisper_desktop.chat.exporting.kept import Kept
from whisper_desktop.chat.records import Conversation, Node
from whisper_desktop.chat.store.codec import encoded

FORMAT = "whisper-desktop-conversations"
VERSION = 1


def export_json(kept: Sequence[Kept]) -> str:
    """All of them as one JSON document."""
    data = {key: value for each in kept for key, value in each.data.items()}
    document = {
        "format": FORMAT,
        "version": VERSION,
        "conversations": [conversation_json(each) for each in kept],
        "attachments": {key: base64.b64encode(value).decode() for key, value in data.items()},
    }
    return json.dumps(document, ensure_ascii=False, indent=1)


def conversation_json(kept: Kept) -> dict[str, object]:
    """One conversation with its messages; the bytes of attachments are not in it."""
    return _plain(kept.conversation) | {"messages": [_plain(node) for node in kept.nodes]}


def _plain(value: Conversation | Node) -> dict[str, object]:
    plain: dict[str, object] = json.loads(encoded(value) or "{}")
    return plain
