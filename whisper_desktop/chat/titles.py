"""The title of a conversation: the beginning of its first question, until the model has given one."""

import unicodedata
from collections.abc import Sequence

from whisper_desktop.chat.records import Attachment
from whisper_desktop.values import GenerationConfig, Message, Role

LONGEST = 60  # characters: what a list can show
_LONGEST_OWN = 200  # characters
_NO_TITLE = 90  # characters: what is longer was not meant as a title
_LONGEST_REPLY = 2000  # characters of a reply that are looked at

ASK = (
    "Give this conversation a title: two to six words in the language of the conversation that say what it "
    "is about. Answer with the title alone, without quotation marks, without a full stop, without a comment."
)
CONFIG = GenerationConfig(temperature=0.2, max_tokens=40, reasoning="off")

_LEADS = ("title:", "titel:", "título:", "titulo:", "titre:", "标题:", "标题：", "タイトル:", "タイトル：")
_AROUND = " \t\"'`*_#“”„‟«»‘’‚「」『』《》<>[]()·-–—:：.。"  # quotation marks and markdown

_JOINERS = "\u200c\u200d"  # within words of some scripts, and within emoji


def from_question(text: str, attachments: Sequence[Attachment] = ()) -> str:
    """The beginning of a question as a title, cut between words; the name of a file where it has no text."""
    line = _one_line(text) or _one_line(attachments[0].name if attachments else "")
    return _cut(line)


def as_title(text: str) -> str:
    """What a person wrote, as a title: one line, of a length that a file of ours can hold well."""
    return _one_line(text)[:_LONGEST_OWN]


def question(messages: Sequence[Message]) -> tuple[Message, ...]:
    """What is sent: the conversation as it was sent, so that a server has read it already, and the wish."""
    return (*messages, Message(Role.USER, ASK))


def from_reply(reply: str) -> str:
    """What a model gave as the title, made fit to be shown; "" where it gave none.

    The first line that has words, without what models put around it. One that is far longer than a title is
    the model's answer to something else. It is never trusted to be anything else than text.
    """
    lines = (line for each in reply[:_LONGEST_REPLY].splitlines() if (line := _bare(each)))
    title = next(lines, "")
    is_title = len(title) <= _NO_TITLE and any(each.isalnum() for each in title)
    return _cut(title) if is_title else ""


def _bare(line: str) -> str:
    line = _one_line(line).strip(_AROUND)
    for lead in _LEADS:
        if line.lower().startswith(lead):
            line = line[len(lead) :].strip(_AROUND)
    return line


def _one_line(text: str) -> str:
    """Text without line breaks, control characters and marks that turn the direction of writing around."""
    kept = (" " if each.isspace() else each for each in text[: LONGEST * 20])
    return " ".join("".join(each for each in kept if each in _JOINERS or _is_shown(each)).split())


def _is_shown(character: str) -> bool:
    return unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co")


def _cut(line: str) -> str:
    if len(line) <= LONGEST:
        return line
    head = line[: LONGEST - 1]
    word_end = head.rfind(" ")
    # Not all languages put spaces between words.
    return f"{(head[:word_end] if word_end > LONGEST // 2 else head).rstrip()}…"
