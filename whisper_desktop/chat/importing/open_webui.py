"""Open WebUI's export: a list of chats, each with a tree called `history`."""

from collections.abc import Iterator

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
from whisper_desktop.chat.importing.tree import Piece
from whisper_desktop.chat.records import Attachment, Conversation, Node, TurnState
from whisper_desktop.errors import WhisperError
from whisper_desktop.language import tr
from whisper_desktop.values import Reach, Role, Usage
from whisper_desktop.wire import fields

NAME = "Open WebUI"

_ROLES = {"user": Role.USER, "assistant": Role.ASSISTANT}


def is_one(value: Json) -> bool:
    """Whether this is one of Open WebUI's chats: as it is exported, or the chat itself."""
    chat = fields.table(value.get("chat")) or value
    return isinstance(fields.table(chat.get("history")).get("messages"), dict)


def read(value: Json, basket: Basket) -> tuple[Conversation, tuple[Node, ...]] | None:
    """A chat of the export; None for one without messages."""
    chat = fields.table(value.get("chat")) or value
    history = fields.table(chat.get("history"))
    messages = fields.table(history["messages"])
    created = moment(value.get("created_at")) or moment(chat.get("timestamp"))
    pieces = sorted(_pieces(messages, basket), key=lambda piece: piece.created or 0.0)
    return conversation_of(
        NAME,
        text(value.get("id")) or text(chat.get("id")) or next(iter(messages), ""),
        pieces,
        title=text(value.get("title")) or text(chat.get("title")),
        created=created,
        updated=moment(value.get("updated_at")),
        leaf=text(history.get("currentId")) or None,
        system=text(fields.table(chat.get("params")).get("system")) or text(chat.get("system")),
        pinned=value.get("pinned") is True,
    )


def _pieces(messages: Json, basket: Basket) -> Iterator[Piece]:
    for key, found in messages.items():
        message = fields.table(found)
        parent = text(message.get("parentId")) or None
        role = _ROLES.get(text(message.get("role")))
        if role is None:
            basket.losses[Loss.MESSAGE] += text(message.get("role")) != "system"
            yield Piece(key, parent, None)
            continue
        reasoning, said = _parted(text(message.get("content")), basket)
        attachments = _files(message, basket)
        if role is Role.USER:
            yield Piece(key, parent, role, said, moment(message.get("timestamp")), attachments=attachments)
            continue
        yield Piece(
            key,
            parent,
            role,
            said,
            moment(message.get("timestamp")),
            reasoning,
            attachments,
            answered(
                "openai_compatible",
                NAME,
                text(message.get("modelName")) or text(message.get("model")),
                Reach.MY_NETWORK,  # where Open WebUI runs; it does not say where its models do
                usage=_usage(message),
            ),
            state=_state(message),
            error=_error(message),
        )


def _state(message: Json) -> TurnState:
    if message.get("error"):
        return TurnState.FAILED
    return TurnState.STOPPED if message.get("done") is False else TurnState.COMPLETE


def _error(message: Json) -> WhisperError | None:
    error = message.get("error")
    words = text(error) or text(fields.table(error).get("content"))
    return WhisperError(words or tr("There was no answer.")) if error else None


def _usage(message: Json) -> Usage:
    """What the server behind it counted, in OpenAI's words or in Ollama's."""
    said = fields.table(message.get("usage")) or fields.table(message.get("info"))
    prompt = fields.count(said.get("prompt_tokens"))
    completion = fields.count(said.get("completion_tokens"))
    return Usage(
        prompt_tokens=fields.count(said.get("prompt_eval_count")) if prompt is None else prompt,
        completion_tokens=fields.count(said.get("eval_count")) if completion is None else completion,
        tokens_per_second=fields.number(said.get("response_token/s")),
    )


def _parted(content: str, basket: Basket) -> tuple[str, str]:
    """Reasoning and text. Open WebUI writes reasoning, and what tools did, as <details> into the text."""
    reasoning, said = thought(content)
    thoughts = [reasoning] if reasoning else []
    kept: list[str] = []
    while (start := said.find('<details type="')) >= 0:
        end = said.find("</details>", start)
        if end < 0:
            break
        kept.append(said[:start])
        kind, _, inner = said[start + len('<details type="') : end].partition('"')
        if kind == "reasoning":
            thoughts.append(_quoted(inner.partition(">")[2]))
        else:
            basket.losses[Loss.TOOL] += 1
        said = said[end + len("</details>") :].lstrip("\n")
    return "\n\n".join(thoughts), ("".join(kept) + said).strip()


def _quoted(inner: str) -> str:
    """The text of a block of reasoning: without its summary, and without the marks of a quotation."""
    _summary, closed, rest = inner.partition("</summary>")
    lines = (rest if closed else inner).replace("&gt;", ">").strip().splitlines()
    return "\n".join(line.removeprefix(">").removeprefix(" ") for line in lines).strip()


def _files(message: Json, basket: Basket) -> tuple[Attachment, ...]:
    found: tuple[Attachment, ...] = ()
    for each in tables(message.get("files")):
        name = text(each.get("name"))
        if text(each.get("type")) == "image" or text(each.get("content_type")).startswith("image/"):
            found += basket.picture_of_url(text(each.get("url")), name)
        else:
            data = fields.table(fields.table(each.get("file")).get("data"))
            found += basket.text_file(text(data.get("content")), name)
    return found
