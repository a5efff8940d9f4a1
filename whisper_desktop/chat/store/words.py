"""How text and questions become words of the index, and where in a text the words of a question stand.

The index cuts text at everything that is no letter and no digit. Scripts that are written without spaces are
cut into their characters, each a word of its own, and what a person looks for is then a phrase of them.
Small letters stand for capitals, and plain ones for those with accents.
"""

import hashlib
import re
import sqlite3
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

_GAP = "\u200b"  # nobody sees it, and it is taken out again of what is shown

# Kana, Han with its extensions, Hangul; Thai, Lao, Burmese, Khmer. Korean has spaces, but its words take
# endings, and are looked for by their stems.
_UNSPACED = re.compile(
    "(["
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uac00-\ud7a3\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
    "])"
)
_SPACE = re.compile(r"\s+")
_NO_WORD = re.compile(r"[\W_]+")
_QUOTES = str.maketrans(dict.fromkeys("“”„‟«»＂", '"'))

_MOST_CHARACTERS = 1000  # of a question
_MOST_TERMS = 24
_BEFORE, _AROUND = 60, 240  # characters of a snippet before what was found, and altogether


class _Folding(dict[int, int]):
    """One character for one, so that places stay what they are. Filled as characters are met."""

    def __missing__(self, code: int) -> int:
        character = chr(code)
        small = character.casefold()
        whole = unicodedata.normalize("NFD", small if len(small) == 1 else character.lower()[0])
        plain = whole[0] if all("\u0300" <= mark <= "\u036f" for mark in whole[1:]) else small[0]
        self[code] = ord(plain) if code else ord(" ")
        return self[code]


_FOLDING = _Folding()


@dataclass(frozen=True, slots=True)
class Question:
    """What a person looks for: an expression of FTS5, and for each term what finds it in a folded text."""

    expression: str
    terms: tuple[re.Pattern[str], ...]


def valid(text: str) -> str:
    """The text with nothing in it that UTF-8 does not have: half a surrogate pair."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def searchable_text(text: object) -> str:
    """A text as it is put into the index: its words, so that SQLite's Unicode need not be as new as ours."""
    return _NO_WORD.sub(" ", _spaced(text).translate(_FOLDING)) if isinstance(text, str) else ""


def chat_word(conversation: object) -> str:
    """One word for the id of a conversation, whatever the id is made of."""
    return "c" + hashlib.sha256(str(conversation).encode("utf-8", "replace")).hexdigest()[:16]


def register(database: sqlite3.Connection) -> None:
    """Let this connection's SQL use `searchable_text` and `chat_word`."""
    for function in (searchable_text, chat_word):
        database.create_function(function.__name__, 1, function, deterministic=True)


def question(query: str) -> Question | None:
    """What a person typed, understood; None where there is no word in it.

    All words must be there, "quoted words" in this order, and the last word may be the beginning of one.
    Nothing that is typed is an operator. What is longer than any question is cut off.
    """
    parts = valid(query[:_MOST_CHARACTERS]).translate(_QUOTES).split('"')
    terms: list[str] = []
    for place, part in enumerate(parts):
        terms += [part] if place % 2 else part.split()
    phrases = [phrase for phrase in (searchable_text(term).split() for term in terms) if phrase]
    if not phrases:
        return None
    # A quotation that is not closed yet is still being typed, like a word that no space follows.
    unfinished = parts[-1][-1:].strip() != "" and not _UNSPACED.match(phrases[-1][-1])
    *whole, last = phrases
    kept = {tuple(phrase): False for phrase in whole[: _MOST_TERMS - 1]} | {tuple(last): unfinished}
    return Question(
        " AND ".join(f'"{" ".join(phrase)}"' + "*" * begun for phrase, begun in kept.items()),
        tuple(_finding(phrase, begun) for phrase, begun in kept.items()),
    )


def snippet(text: str, asked: Question) -> tuple[tuple[str, bool], ...]:
    """The part of a text with the most words that were asked for, in pieces, each with whether it is one."""
    text = _spaced(text)
    folded = text.translate(_FOLDING)
    firsts = [match.start() for term in asked.terms if (match := term.search(folded))]
    start = max(firsts, key=lambda one: sum(one <= other < one + _AROUND for other in firsts), default=0)
    start = _word_edge(text, start - _BEFORE)
    end = _word_edge(text, start + _AROUND)
    pieces, place = [("…" if start else "", False)], start
    for begin, stop in sorted(
        one.span() for term in asked.terms for one in term.finditer(folded, start, end)
    ):
        if begin >= place:
            pieces += [(text[place:begin], False), (text[begin:stop], True)]
            place = stop
    pieces += [(text[place:end], False), ("…" if end < len(text) else "", False)]
    return tuple(
        (shown, marked) for piece, marked in pieces if (shown := _SPACE.sub(" ", piece.replace(_GAP, "")))
    )


def _spaced(text: str) -> str:
    text = unicodedata.normalize("NFC", text)
    return text if text.isascii() else _UNSPACED.sub(rf"{_GAP}\1{_GAP}", text)


@lru_cache(maxsize=64)
def _finding(phrase: tuple[str, ...], begun: bool) -> re.Pattern[str]:
    between = r"[\W_]+".join(map(re.escape, phrase))
    return re.compile(rf"(?<![^\W_]){between}" + (r"[^\W_]*" if begun else r"(?![^\W_])"))


def _word_edge(text: str, place: int) -> int:
    """A place near this one where no word is cut, unless it is a very long one."""
    if place <= 0:
        return 0
    edge = re.compile(r"\s|" + _GAP).search(text, place, place + 20)
    return edge.end() if edge else min(place, len(text))
