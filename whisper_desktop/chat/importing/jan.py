"""Jan's threads: a folder for each with `thread.json` and `messages.jsonl`, one message a line."""

from collections.abc import Iterator

from whisper_desktop.chat.importing.losses import Loss
from whisper_desktop.chat.importing.reader import (
    MOST_MESSAGES,
    Basket,
    Json,
    answered,
    conversation_of,
    moment,
    tables,
    text,
    thought,
)
from whisper_desktop.chat.importing.tree import Piece
from whisper_desktop.chat.records import Attachment, Conversation, Node, TurnState
from whisper_desktop.values import Provenance, Reach, Role, Usage
from whisper_desktop.wire import fields

NAME = "Jan"
HEAD = "thread.json"
LINES = "messages.jsonl"

_ROLES = {"user": Role.USER, "assistant": Role.ASSISTANT}
_OWN_ENGINES = ("llamacpp", "llama-cpp", "cortex", "nitro", "mlx", "jan", "foundation-models")


def read(
    thread: Json, messages: list[object], folder: str, basket: Basket
) -> tuple[Conversation, tuple[Node, ...]] | None:
    """A thread; None for one without messages. `folder` is its folder's name, which is its id."""
    assistant = next(iter(tables(thread.get("assistants"))), {})
    model = fields.table(thread.get("model")) or fields.table(assistant.get("model"))
    meta = fields.table(thread.get("metadata"))
    pieces = list(_pieces(messages, model, basket))
    return conversation_of(
        NAME,
        text(thread.get("id")) or folder,
        pieces,
        title=text(thread.get("title")) or text(meta.get("title")),
        created=moment(thread.get("created")),
        updated=moment(thread.get("updated")),
        leaf=pieces[-1].key if pieces else None,
        system=text(assistant.get("instructions")),
        pinned=thread.get("isFavorite") is True or meta.get("is_favorite") is True,
    )


def _pieces(messages: list[object], model: Json, basket: Basket) -> Iterator[Piece]:
    above: str | None = None
    for number, found in enumerate(messages[:MOST_MESSAGES]):
        message = fields.table(found)
        role = _ROLES.get(text(message.get("role")))
        if role is None:
            known = text(message.get("role"))
            basket.losses[Loss.TOOL if known == "tool" else Loss.MESSAGE] += known != "system"
            continue
        key = text(message.get("id")) or f"line {number}"
        yield _piece(key, above, role, message, model, basket)
        above = key


def _piece(key: str, parent: str | None, role: Role, message: Json, model: Json, basket: Basket) -> Piece:
    meta = fields.table(message.get("metadata"))
    said, thoughts, attachments = _content(message, basket)
    inside, said = thought(said) if role is Role.ASSISTANT else ("", said)
    basket.losses[Loss.TOOL] += len(tables(meta.get("tool_calls")))
    basket.losses[Loss.FILE] += len(tables(message.get("attachments")))
    return Piece(
        key,
        parent,
        role,
        text=said,
        created=moment(message.get("created_at")),
        reasoning="\n\n".join(part for part in (thoughts, inside) if part),
        attachments=attachments,
        provenance=_provenance(model, meta) if role is Role.ASSISTANT else None,
        state=TurnState.STOPPED if text(message.get("status")) == "stopped" else TurnState.COMPLETE,
    )


def _content(message: Json, basket: Basket) -> tuple[str, str, tuple[Attachment, ...]]:
    if isinstance(message.get("content"), str):
        return text(message["content"]), "", ()
    said: list[str] = []
    thoughts: list[str] = []
    attachments: tuple[Attachment, ...] = ()
    for part in tables(message.get("content")):
        kind, inner = text(part.get("type")), part.get("text")
        value = text(inner) or text(fields.table(inner).get("value"))
        if kind == "text":
            said.append(value)
        elif kind == "reasoning":
            thoughts.append(value)
        elif kind == "image_url":
            attachments += basket.picture_of_url(text(fields.table(part.get("image_url")).get("url")), "")
        elif kind == "tool_call":
            basket.losses[Loss.TOOL] += 1
    return "\n\n".join(said), "\n\n".join(thoughts), attachments


def _provenance(model: Json, meta: Json) -> Provenance:
    engine = text(model.get("engine")) or text(model.get("provider"))
    speed = fields.table(meta.get("tokenSpeed"))
    usage = Usage(
        completion_tokens=fields.count(speed.get("tokenCount")),
        tokens_per_second=fields.number(speed.get("tokenSpeed")),
    )
    reach = Reach.THIS_MACHINE if engine in ("", *_OWN_ENGINES) else Reach.CLOUD
    return answered("jan", NAME, text(meta.get("modelId")) or text(model.get("id")), reach, usage=usage)
