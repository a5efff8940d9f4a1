"""What the readers of all programs' files share: careful reading of values, pictures, and what was lost."""

import base64
import binascii
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

from whisper_desktop.chat.attachments import LARGEST_IMAGE, LARGEST_TEXT, MOST_PIXELS
from whisper_desktop.chat.files import shown_name
from whisper_desktop.chat.images import image_facts
from whisper_desktop.chat.importing.losses import Loss, Losses
from whisper_desktop.chat.importing.tree import Piece, build, digest
from whisper_desktop.chat.records import Attachment, ChatWishes, Conversation, Node, TitleSource
from whisper_desktop.values import Provenance, Reach, Usage
from whisper_desktop.wire import fields

Json = dict[str, object]

MOST_MESSAGES = 100_000
_LONGEST_TITLE = 200
LAST_MOMENT = 253_370_764_800.0
"""The year 9999, in seconds since 1970."""


@dataclass(slots=True)
class Basket:
    """What is gathered while a file is read."""

    data: dict[str, bytes] = field(default_factory=dict)
    losses: Losses = field(default_factory=Losses)

    def picture(self, data: bytes | None, name: str) -> tuple[Attachment, ...]:
        """An image as an attachment; nothing, and counted, where it is not there or none that is shown."""
        facts = image_facts(data) if data is not None and len(data) <= LARGEST_IMAGE else None
        if data is None or facts is None or facts.pixels is None or facts.pixels > MOST_PIXELS:
            self.losses[Loss.PICTURE] += 1
            return ()
        ending = facts.media_type.partition("/")[2].replace("jpeg", "jpg")
        return (self._kept(data, name or f"image.{ending}", facts.media_type),)

    def picture_of_url(self, url: str, name: str) -> tuple[Attachment, ...]:
        """An image that stands in its address (`data:`); any other address is never asked."""
        head, _, encoded = url.partition(",")
        if not head.startswith("data:image/") or not head.endswith(";base64"):
            return self.picture(None, name)
        try:
            return self.picture(base64.b64decode(encoded), name)
        except (binascii.Error, ValueError):
            return self.picture(None, name)

    def text_file(self, content: str, name: str) -> tuple[Attachment, ...]:
        """A file whose text the export has."""
        if not content.strip() or len(content) > LARGEST_TEXT:
            self.losses[Loss.FILE] += 1
            return ()
        return (self._kept(content.encode("utf-8", "replace"), name or "file.txt", "text/plain", content),)

    def _kept(self, data: bytes, name: str, media_type: str, text: str = "") -> Attachment:
        key = hashlib.sha256(data).hexdigest()
        self.data[key] = data
        return Attachment(key, shown_name(name), media_type, len(data), text)


def text(value: object) -> str:
    """A string; "" for anything else."""
    return value if isinstance(value, str) else ""


def items(value: object) -> list[object]:
    """A list, as far as it is bounded; nothing for anything else."""
    return value[:MOST_MESSAGES] if isinstance(value, list) else []


def tables(value: object) -> list[Json]:
    """The objects in a list."""
    return [each for each in items(value) if isinstance(each, dict)]


def moment(value: object) -> float | None:
    """A time in seconds since 1970, from one in seconds or milliseconds; None where there is none."""
    seconds = fields.number(value)
    if not seconds:
        return None
    if seconds > 1e11:  # as seconds this would be the year 5138
        seconds /= 1000
    return min(seconds, LAST_MOMENT)


def thought(answer: str) -> tuple[str, str]:
    """An answer's reasoning and its text, where the one stands in the other in <think> marks."""
    stripped = answer.lstrip()
    if not stripped.startswith("<think>"):
        return "", answer
    reasoning, _mark, rest = stripped.removeprefix("<think>").partition("</think>")
    return reasoning.strip(), rest.lstrip()


def answered(
    backend: str,
    server_name: str,
    model: str,
    reach: Reach,
    *,
    usage: Usage = Usage(),  # noqa: B008 - frozen
    ttft: float | None = None,
    total: float | None = None,
) -> Provenance:
    """Who gave an answer, as far as another program tells. What it does not tell about time is 0 or None."""
    return Provenance(
        backend=backend,
        server_name=server_name,
        url="",
        model=model,
        reach=reach,
        as_given=True,
        reason="",
        attempts=(),
        ttft_seconds=ttft,
        total_seconds=total or 0.0,
        tokens_per_second=usage.tokens_per_second,
        usage=usage,
    )


def conversation_of(
    source: str,
    key: str,
    pieces: Iterable[Piece],
    *,
    title: str,
    created: float | None,
    updated: float | None,
    leaf: str | None,
    system: str = "",
    pinned: bool = False,
) -> tuple[Conversation, tuple[Node, ...]] | None:
    """A conversation with its messages; None for one without any. `leaf` is a key of a piece."""
    pieces = list(pieces)
    times = [piece.created for piece in pieces if piece.created is not None]
    begun = created if created is not None else min(times, default=0.0)
    own = digest(source, key)
    tree = build(own, pieces, begun)
    if not tree.nodes:
        return None
    shown = tree.places.get(leaf) if leaf is not None else None
    conversation = Conversation(
        id=own,
        created=begun,
        updated=max(updated or 0.0, begun, *(node.created for node in tree.nodes)),
        title=(name := " ".join(title.split())[:_LONGEST_TITLE]),
        title_source=TitleSource.MODEL if name else TitleSource.NONE,
        pinned=pinned,
        wishes=ChatWishes(system=system.strip()),
        leaf=shown if shown is not None else tree.nodes[-1].id,
    )
    return conversation, tree.nodes
