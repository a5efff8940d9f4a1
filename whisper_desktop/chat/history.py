"""What of a conversation is sent to a model: the path as messages. No I/O."""

import re
from collections.abc import Mapping, Sequence

from whisper_desktop.chat.records import Attachment, Node, TurnState
from whisper_desktop.values import Image, Message, Role

_MOST_IMAGE_BYTES = 50_000_000  # of all pictures together: a server takes no request of any size
_SHORTEST_FENCE = 3

GO_ON = (
    "Your answer above was cut off. Go on with it from exactly where it stopped: begin with the next word, "
    "repeat nothing, and say nothing about the interruption."
)
"""How a model is asked to go on that cannot be handed the beginning of its own answer."""


def messages_of(
    path: Sequence[Node],
    *,
    system: str = "",
    most_turns: int | None = None,
    images: Mapping[str, bytes] | None = None,
) -> tuple[Message, ...]:
    """The messages of a path that ends with a question, behind the system prompt.

    A question without an answer is left out, and so is what was set aside. `most_turns` bounds how many
    earlier answers are sent along, with their questions. `images` are the bytes of the pictures, by
    attachment; the oldest are left out where all together are too many.
    """
    *earlier, question = path
    sent = (*sent_of(earlier, most_turns), question)
    shown = _newest_images(sent, images or {})
    head = (Message(Role.SYSTEM, system),) if system.strip() else ()
    return (*head, *(_message(node, shown) for node in sent))


def sent_of(path: Sequence[Node], most_turns: int | None = None) -> tuple[Node, ...]:
    """What of a path is sent along with the next question: questions that have an answer, with it."""
    turns: list[tuple[Node, ...]] = []
    asked: Node | None = None
    for node in path:
        if node.role is Role.USER:
            asked = node
        elif node.role is Role.ASSISTANT and node.text and node.state is not TurnState.FAILED:
            turns.append((node,) if asked is None else (asked, node))
            asked = None
    if most_turns is not None:
        turns = turns[len(turns) - most_turns :] if most_turns else []
    return tuple(node for turn in turns for node in turn)


def images_on(path: Sequence[Node]) -> tuple[Attachment, ...]:
    """The pictures that go along with a path, each once, the newest first."""
    found = {each.id: each for node in reversed(path) for each in node.attachments if each.is_image}
    return tuple(found.values())


def question_text(text: str, attachments: Sequence[Attachment]) -> str:
    """A question as a model reads it: the text of the files in front, each between fences with its name."""
    files = [_fenced(each) for each in attachments if each.text]
    return "\n\n".join([*files, text]) if files else text


def _message(node: Node, images: Mapping[str, bytes]) -> Message:
    shown = tuple(
        Image(images[each.id], each.media_type)
        for each in node.attachments
        if each.is_image and each.id in images
    )
    text = question_text(node.text, node.attachments) if node.role is Role.USER else node.text
    return Message(node.role, text, shown)


def _fenced(attachment: Attachment) -> str:
    name = " ".join(attachment.name.split()) or "file"
    fence = "`" * max(_SHORTEST_FENCE, _longest_run(attachment.text) + 1)
    return f"{name}:\n{fence}\n{attachment.text.rstrip()}\n{fence}"


def _longest_run(text: str) -> int:
    """The most backticks in a row: a fence has to be longer to hold them."""
    return max(map(len, re.findall("`+", text)), default=0)


def _newest_images(nodes: Sequence[Node], images: Mapping[str, bytes]) -> dict[str, bytes]:
    left, kept = _MOST_IMAGE_BYTES, {}
    for attachment in images_on(nodes):
        data = images.get(attachment.id)
        if data is not None and len(data) <= left:
            left -= len(data)
            kept[attachment.id] = data
    return kept
