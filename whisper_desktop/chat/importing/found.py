"""What an import found, and what became of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from whisper_desktop.chat.records import Conversation, Node


@dataclass(frozen=True, slots=True)
class Imported:
    """What a file holds. `data` are the bytes of attachments by their id, `source` whose export it is.

    `skipped` are sentences about what could not be read. Parents come before their children. All ids are the
    same each time the file is read, so that it can be taken in twice without doubling anything.
    """

    source: str
    conversations: tuple[tuple[Conversation, tuple[Node, ...]], ...]
    data: Mapping[str, bytes] = field(default_factory=dict)
    skipped: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did: how many conversations are new, have grown, or were all here already.

    `messages` is how many messages are new, `ids` are the conversations that are new or have grown, `skipped`
    sentences about what was left out.
    """

    source: str
    conversations: int
    messages: int
    grown: int = 0
    already: int = 0
    ids: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
