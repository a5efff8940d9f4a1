"""What callers may pass as messages, and what is made of it."""

from collections.abc import Mapping, Sequence

from whisper_desktop.values import Message, Role

MessageLike = Message | Mapping[str, object] | str


def as_messages(given: str | Sequence[MessageLike]) -> tuple[Message, ...]:
    """Messages from a question, or from messages, dictionaries with `role` and `content`, and plain strings.

    A plain string is what the user says. Raises `ValueError` for anything else, and for no message at all.
    """
    messages = tuple(_message(each) for each in ([given] if isinstance(given, str) else given))
    if not messages:
        raise ValueError("There is no message to answer.")
    return messages


def _message(given: MessageLike) -> Message:
    if isinstance(given, Message):
        return given
    if isinstance(given, str):
        return Message(Role.USER, given)
    role, content = given.get("role"), given.get("content")
    if not isinstance(content, str):
        raise ValueError("A message's content must be text.")
    try:
        return Message(Role(str(role)), content)
    except ValueError:
        known = ", ".join(each.value for each in Role)
        raise ValueError(f"A message's role must be one of {known}, not {role!r}.") from None
