"""`whisper://` links: what a link opens. Any web page can hold one, and any program can call one.

    whisper://chat    whisper://chat/ID    whisper://ask?text=…    whisper://models/OWNER/NAME
    whisper://setup   whisper://settings/KEY

So a link only ever shows a window, at most with a text in a field: nothing is sent and no setting is changed
by it. What it brings along is bounded, and what could not be seen in a field is taken out. Imports nothing
heavy: the way into the program reads links.
"""

import re
import unicodedata
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote

from whisper_desktop.language import tr

SCHEME = "whisper"
WINDOWS = ("chat", "guide", "ask", "models", "setup", "settings", "logs")
"""The names of the windows of the desktop."""

MOST_TEXT = 8_000  # characters of a text for a field: what a person can still look through
_LONGEST_LINK = 40_000  # characters: such a text with every character as %XX%XX… is about that long
_LONGEST_NAME = 200  # characters of a model's name

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_KEY = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+){0,5}")
_JOINERS = "\u200c\u200d"  # invisible, and part of words in Persian and Hindi, and of emoji
_UNSEEN = ("Cc", "Cf", "Cs", "Co", "Cn")
_SMUGGLED = range(0xE0000, 0xE1000)  # tags and the variation selectors above them: text that nobody sees


@dataclass(frozen=True, slots=True)
class Opening:
    """A window that is to be shown, and what goes with it: a conversation's id for "chat", the text to begin
    with for "ask", what to look for in "models", a setting's key for "settings".

    `problem` is one sentence where the link could not be understood.
    """

    window: str = "chat"
    value: str = ""
    problem: str = ""


def opening_of(link: str) -> Opening:
    """What a link opens; one that leads nowhere opens the chat, with a sentence that says so."""
    if len(link) > _LONGEST_LINK:
        return Opening(problem=tr("That link is too long to be opened."))
    address, _, _ = link.partition("#")
    place, _, query = address[len(SCHEME) + 1 :].partition("?")
    window, _, rest = place.lstrip("/").partition("/")
    value = unquote(rest).strip("/")
    found = _opening(window.lower(), value, query)
    if found is None:
        return Opening(problem=tr("That link leads nowhere in this version of Whisper Desktop."))
    return found


def _opening(window: str, value: str, query: str) -> Opening | None:
    match window:
        case "chat" if not value or _ID.fullmatch(value):
            return Opening("chat", value)
        case "ask" if not value:
            return Opening("ask", seen_text(_text_in(query)))
        case "models":
            return Opening("models", " ".join(seen_text(value).split())[:_LONGEST_NAME])
        case "setup" if not value:
            return Opening("setup")
        case "settings" if not value or _KEY.fullmatch(value):
            return Opening("settings", value)
    return None


def _text_in(query: str) -> str:
    try:
        return parse_qs(query, max_num_fields=20).get("text", [""])[0]
    except ValueError:  # more fields than that
        return ""


def seen_text(text: str) -> str:
    """A text of a link as it may stand in a field: bounded, and nothing in it that cannot be seen."""
    # Blank lines and long gaps would move the rest out of sight.
    kept = re.sub(r"[^\S\n]+\n", "\n", without_unseen(text))
    kept = re.sub(r"[^\S\n]{5,}", "    ", kept)
    return re.sub(r"\n{3,}", "\n\n", kept).strip()[:MOST_TEXT]


def without_unseen(text: str) -> str:
    """A text from elsewhere without the letters that nobody sees and a model reads."""
    plain = text.replace("\r\n", "\n").replace("\r", "\n").replace("\t", "    ")
    return "".join(letter for letter in plain if _is_seen(letter))


def _is_seen(letter: str) -> bool:
    if letter == "\n" or letter in _JOINERS:
        return True
    return unicodedata.category(letter) not in _UNSEEN and ord(letter) not in _SMUGGLED
