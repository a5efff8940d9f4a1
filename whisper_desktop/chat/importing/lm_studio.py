"""LM Studio's conversations: `*.conversation.json`, a list of messages, each in several versions."""

from collections.abc import Callable

from whisper_desktop.chat.importing.losses import Loss
from whisper_desktop.chat.importing.reader import (
    Basket,
    Json,
    answered,
    conversation_of,
    moment,
    tables,
    text,
    thought,
)
from whisper_desktop.chat.importing.tree import Piece, digest
from whisper_desktop.chat.records import Attachment, Conversation, Node, TurnState
from whisper_desktop.values import Provenance, Reach, Role, Usage
from whisper_desktop.wire import fields

NAME = "LM Studio"

_ROLES = {"user": Role.USER, "assistant": Role.ASSISTANT}
_SYSTEM = "llm.prediction.systemPrompt"

Pictures = Callable[[str], bytes | None]
"""The bytes of a file that was sent along, by the name LM Studio gave it."""


def is_one(value: Json) -> bool:
    """Whether this is one of LM Studio's conversations."""
    return any("versions" in message for message in tables(value.get("messages"))[:10])


def read(value: Json, basket: Basket, pictures: Pictures) -> tuple[Conversation, tuple[Node, ...]] | None:
    """A conversation; None for one without messages."""
    created = moment(value.get("createdAt"))
    pieces, leaf = [], None
    for place, message in enumerate(tables(value.get("messages"))):
        versions = [
            _version(place, leaf, number, version, basket, pictures)
            for number, version in enumerate(tables(message.get("versions")))
        ]
        pieces += versions
        if versions:  # what follows belongs to the version that is shown
            chosen = fields.count(message.get("currentlySelected")) or 0
            leaf = versions[min(chosen, len(versions) - 1)].key
    latest = [moment(value.get(name)) for name in ("assistantLastMessagedAt", "userLastMessagedAt")]
    return conversation_of(
        NAME,
        str(value.get("createdAt")) if created else digest(*(piece.text for piece in pieces[:1])),
        pieces,
        title=text(value.get("name")),
        created=created,
        updated=max((each for each in latest if each is not None), default=None),
        leaf=leaf,
        system=_system(value),
        pinned=value.get("pinned") is True,
    )


def _system(value: Json) -> str:
    for each in tables(fields.table(value.get("perChatPredictionConfig")).get("fields")):
        if each.get("key") == _SYSTEM and text(each.get("value")):
            return text(each["value"])
    return text(value.get("systemPrompt"))


def _version(
    place: int, parent: str | None, number: int, version: Json, basket: Basket, pictures: Pictures
) -> Piece:
    role = _ROLES.get(text(version.get("role")))
    steps = tables(version.get("steps"))
    if role is None:
        basket.losses[Loss.MESSAGE] += 1
    thoughts, parts, attachments = list[str](), list[str](), tuple[Attachment, ...]()
    for step in steps or [version]:
        said, files = _content(step, basket, pictures)
        attachments += files
        is_thought = text(fields.table(step.get("style")).get("type")) == "thinking"
        (thoughts if is_thought else parts).append(said)
    inside, said = thought("\n\n".join(part for part in parts if part))
    provenance, stopped = _provenance(version, steps) if role is Role.ASSISTANT else (None, "")
    return Piece(
        # A message that was changed in its place is another one.
        digest(str(place), str(number), said),
        parent,
        role,
        text=said,
        created=moment(version.get("createdAt")),
        reasoning="\n\n".join(part for part in (*thoughts, inside) if part),
        attachments=attachments,
        provenance=provenance,
        state=TurnState.STOPPED if stopped == "userStopped" else TurnState.COMPLETE,
        finish_reason="length" if stopped in ("maxPredictedTokensReached", "contextLengthReached") else "",
    )


def _content(step: Json, basket: Basket, pictures: Pictures) -> tuple[str, tuple[Attachment, ...]]:
    said: list[str] = []
    attachments: tuple[Attachment, ...] = ()
    for part in tables(step.get("content")):
        kind = text(part.get("type"))
        if kind == "text":
            said.append(text(part.get("text")))
        elif kind.startswith("toolCall"):
            basket.losses[Loss.TOOL] += kind == "toolCallRequest"
        elif kind == "file" and text(part.get("fileType")) == "image":
            name = text(part.get("fileIdentifier"))
            attachments += basket.picture(pictures(name), name)
        elif kind == "file":
            basket.losses[Loss.FILE] += 1
    return "".join(said).strip(), attachments


def _provenance(version: Json, steps: list[Json]) -> tuple[Provenance, str]:
    """Who answered and how fast, and why it stopped: the last step that tells."""
    model = text(fields.table(version.get("senderInfo")).get("senderName"))
    stats: Json = {}
    for step in steps:
        told = fields.table(step.get("genInfo"))
        stats = fields.table(told.get("stats")) or stats
        model = model or text(told.get("identifier")) or text(told.get("indexedModelIdentifier"))
    usage = Usage(
        prompt_tokens=fields.count(stats.get("promptTokensCount")),
        completion_tokens=fields.count(stats.get("predictedTokensCount")),
        tokens_per_second=fields.number(stats.get("tokensPerSecond")),
    )
    provenance = answered(
        "lm_studio",
        NAME,
        model,
        Reach.THIS_MACHINE,
        usage=usage,
        ttft=fields.number(stats.get("timeToFirstTokenSec")),
        total=fields.number(stats.get("totalTimeSec")),
    )
    return provenance, text(stats.get("stopReason"))
