"""What callers may pass as messages, and what is made of it."""

import base64
import binascii
import json
from collections.abc import Mapping, Sequence

from whisper_desktop.language import tr
from whisper_desktop.values import GenerationConfig, Image, Message, Role, ToolCall

MessageLike = Message | Mapping[str, object] | str
"""A message, a dictionary as OpenAI has them, or what the user says."""

Prompt = MessageLike | Sequence[MessageLike]
"""What a model is asked: one message, or a conversation."""

_BYTES_A_TOKEN = 4  # of English text, for most vocabularies; others need up to three times as many
_TOKENS_AN_IMAGE = 500

_MOST_TOKENS_AN_IMAGE = 5000  # the largest pictures at the providers that split them up into tiles
_MOST_TOKENS_AROUND_A_MESSAGE = 16  # who speaks, and where it ends


def as_messages(given: Prompt) -> tuple[Message, ...]:
    """Messages from one message or several: `Message`, dictionaries as OpenAI has them, and plain strings.

    A plain string is what the user says. A dictionary has `role` and `content` (text, or a list of parts with
    `text` and `image_url`, the latter as a data URL), and where it applies `tool_calls`, `tool_call_id` and
    `name`. Raises `TypeError` for what is none of these, `ValueError` for what cannot be a message and for no
    message at all.
    """
    if isinstance(given, Message | Mapping | str):
        return (_message(given),)
    if not isinstance(given, Sequence) or isinstance(given, bytes | bytearray | memoryview):
        raise TypeError(
            "A question must be text, a message, a dictionary, or a list of these, "
            f"not {type(given).__name__}."
        )
    messages = tuple(_message(each) for each in given)
    if not messages:
        raise ValueError(tr("There is no message to answer."))
    return messages


def estimate_tokens(messages: Sequence[Message]) -> int:
    """About how many tokens a prompt has, where only a server could count them."""
    size = sum(len(message.content) for message in messages)
    return size // _BYTES_A_TOKEN + _TOKENS_AN_IMAGE * sum(len(message.images) for message in messages)


def most_tokens(messages: Sequence[Message], config: GenerationConfig) -> int:
    """How many tokens a prompt has at most. No token of text is shorter than a byte of it."""
    texts: list[object] = [config.json_schema or "", config.extra or ""]
    texts += [(tool.name, tool.description, tool.parameters) for tool in config.tools]
    images = 0
    for message in messages:
        images += len(message.images)
        texts += (message.content, message.name, message.tool_call_id)
        texts += [(call.id, call.name, call.arguments, call.signature) for call in message.tool_calls]
    return (
        sum(map(_bytes, texts))
        + _MOST_TOKENS_AN_IMAGE * images
        + _MOST_TOKENS_AROUND_A_MESSAGE * (len(messages) + len(config.tools) + 1)
    )


def _bytes(value: object) -> int:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=_plain)
    return len(text.encode(errors="replace"))


def _plain(value: object) -> object:
    return dict(value) if isinstance(value, Mapping) else str(value)


def _message(given: object) -> Message:
    if isinstance(given, Message):
        return given
    if isinstance(given, str):
        return Message(Role.USER, given)
    if not isinstance(given, Mapping):
        raise TypeError(f"A message must be text, a Message or a dictionary, not {type(given).__name__}.")
    try:
        role = Role(str(given.get("role")))
    except ValueError:
        known = ", ".join(each.value for each in Role)
        raise ValueError(
            tr("A message's role must be one of {known}, not {part!r}.", known=known, part=given.get("role"))
        ) from None
    calls = given.get("tool_calls") or ()
    content = given.get("content")
    text, images = _content("" if content is None and calls else content)
    return Message(
        role,
        text,
        images,
        tuple(_tool_call(call) for call in calls) if isinstance(calls, list | tuple) else (),
        str(given.get("tool_call_id") or ""),
        str(given.get("name") or ""),
    )


def _content(content: object) -> tuple[str, tuple[Image, ...]]:
    if isinstance(content, str):
        return content, ()
    if not isinstance(content, list | tuple):
        raise ValueError(tr("A message's content must be text, or a list of parts."))
    text: list[str] = []
    images: list[Image] = []
    for part in content:
        if isinstance(part, Image):
            images.append(part)
        elif isinstance(part, Mapping) and isinstance(part.get("text"), str):
            text.append(part["text"])
        elif isinstance(part, Mapping) and isinstance(part.get("image_url"), Mapping | str):
            images.append(_image(part["image_url"]))
        else:
            raise ValueError(tr("A part of a message's content must have text or image_url."))
    return "".join(text), tuple(images)


def _image(given: Mapping[str, object] | str) -> Image:
    url = given if isinstance(given, str) else str(given.get("url") or "")
    head, comma, data = url.partition(",")
    if not (head.startswith("data:image/") and head.endswith(";base64") and comma):
        raise ValueError(
            tr(
                "An image must be given as its data (data:image/png;base64,…). An address would have "
                "to be fetched by somebody."
            )
        )
    try:
        return Image(base64.b64decode(data, validate=True), head[len("data:") : -len(";base64")])
    except binascii.Error:
        raise ValueError(tr("The data of an image is not base64.")) from None


def _tool_call(given: object) -> ToolCall:
    if isinstance(given, ToolCall):
        return given
    function = given.get("function") if isinstance(given, Mapping) else None
    if not isinstance(given, Mapping) or not isinstance(function, Mapping):
        raise ValueError(tr("A tool call must have an id and a function with name and arguments."))
    return ToolCall(
        str(given.get("id") or ""), str(function.get("name") or ""), str(function.get("arguments") or "{}")
    )
