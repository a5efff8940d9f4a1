"""An answer's markdown as blocks that can be shown while it is still growing. No Qt here.

A growing answer has closed blocks, which will not change any more, and open ones at its end. Only the open
end is parsed again when text arrives, and it never gets long: every item of a list is a block, and what
grows beyond a bound is cut, so the cost of more text does not grow with the answer.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache

from markdown_it import MarkdownIt
from markdown_it.token import Token

from whisper_desktop.ui.chat.math_source import MATH, add_math

LONGEST_CODE = 2_000  # characters of code in one block; laying that out takes about a millisecond
LONGEST_PARAGRAPH = 2_000
LONGEST_TABLE = 2_000
MOST_ROWS = 20  # of one table; Qt takes long to lay out many
LONGEST_BLOCK = 4_000  # of a quotation, an item of a list
_WINDOW = 12_000  # characters that are parsed at once, more than any block has

_LONGEST = {"fence": LONGEST_CODE, "paragraph_open": LONGEST_PARAGRAPH}
_UNDECIDED = re.compile(r"[-*+=_`~#>|$\\\[\d.)\s:]{0,8}\Z")
"""A line that may still become something else: "-" is an item, "--" goes on with the paragraph before."""
_BLANK_END = re.compile(r"\n\s*\n\Z")
_MARKER = re.compile(r" *(?:[-*+]|\d{1,9}[.)])(?: {1,4}(?! )|(?= |$))")


@dataclass(frozen=True, slots=True)
class Block:
    """A part of the text that is laid out by itself. `text` is its markdown, or the code where `code` is
    true.

    `closed` is false at the end of a growing answer. `number` is that of an item of an ordered list. `indent`
    is how many lists it stands in. `goes_on`: it goes on with the block before, which was too long; `cut`:
    its rest follows in the next one. `tight`: the next item follows closely.
    """

    text: str
    code: bool = False
    language: str = ""
    closed: bool = True
    number: int | None = None
    indent: int = 0
    goes_on: bool = False
    cut: bool = False
    tight: bool = False


@dataclass(frozen=True, slots=True)
class _Part:
    """A top-level block, or an item of a top-level list, with the tokens that are its own."""

    token: Token
    tokens: Sequence[Token]
    source: str
    ordered: str = ""  # the delimiter of the list's numbers
    number: int = 1
    in_list: bool = False


class Splitter:
    """Splits a growing markdown text into blocks, looking at the open end only.

    `closed` only ever grows, until another text is fed: then it is another list.
    """

    def __init__(self) -> None:
        self.closed: list[Block] = []
        self.open: tuple[Block, ...] = ()
        self._start_afresh()

    def _start_afresh(self) -> None:
        self.closed, self.open = [], ()
        self._text = ""
        self._consumed = 0
        self._opening = ""  # what makes the rest of a block that was cut be read as the same kind
        self._goes_on = False
        self._next: tuple[str, int] | None = None  # the delimiter and number of an item that would follow
        self._whole = False

    @property
    def blocks(self) -> tuple[Block, ...]:
        """All of them."""
        return (*self.closed, *self.open)

    def feed(self, text: str, *, whole: bool = False) -> None:
        """Take a text that continues what was fed before; anything else starts afresh.

        `whole`: nothing will follow, so every block is closed.
        """
        text = _with_plain_newlines(text)
        if self._whole and text == self._text:
            return
        if self._whole or not text.startswith(self._text):
            self._start_afresh()
        self._text, self._whole = text, whole
        while self._step(whole=whole):
            pass

    def _step(self, *, whole: bool) -> bool:
        """Close what can be closed in the next window of text. Whether there may be more."""
        tail = self._text[self._consumed : self._consumed + _WINDOW]
        at_end = self._consumed + len(tail) == len(self._text)
        parts = _parts(self._opening + tail)
        if not parts:
            self.open = ()
            self._consumed += 0 if at_end else len(tail)
            return not at_end
        undecided = at_end and not whole and _UNDECIDED.match(tail, tail.rfind("\n") + 1)
        settled = 0 if undecided else len(parts) - 1
        for part, following in zip(parts[:settled], parts[1:], strict=False):
            if self._cut(part):
                return True
            self._close(part, following)
        if self._cut(parts[settled]) or not at_end:
            return True
        if whole:
            self._close(parts[-1], None)
            self.open = ()
        else:
            self.open = tuple(self._open_blocks(parts[settled:]))
        return False

    def _open_blocks(self, parts: Sequence[_Part]) -> Iterator[Block]:
        follows, goes_on = self._next, self._goes_on
        for part, following in zip(parts, [*parts[1:], None], strict=True):
            number, follows = _numbered(part, follows)
            for block in _blocks(part, number, following):
                yield replace(block, closed=False, goes_on=goes_on)
                goes_on = False

    def _close(self, part: _Part, following: _Part | None) -> None:
        number, self._next = _numbered(part, self._next)
        first, *others = _blocks(part, number, following)
        self.closed += (replace(first, goes_on=self._goes_on), *others)
        self._consumed += len(part.source) - len(self._opening)
        self._opening, self._goes_on = "", False

    def _cut(self, part: _Part) -> bool:
        """Close the beginning of a block that has become too long, if it has."""
        source = part.source[len(self._opening) :] if self._opening else part.source
        longest = _longest(part.token, source)
        if len(source) <= longest:
            return False
        at = _place_to_cut(source, longest, lines=part.token.type != "paragraph_open")
        opening = _opening(part, self._opening)
        number, self._next = _numbered(part, self._next)
        blocks = [block for each in _parts(self._opening + source[:at]) for block in _beginning(each, number)]
        blocks = blocks or [Block(source[:at])]
        blocks[0] = replace(blocks[0], goes_on=self._goes_on)
        blocks[-1] = replace(blocks[-1], cut=True)
        self.closed += blocks
        self._consumed += at
        self._opening, self._goes_on = opening, True
        return True


def split(text: str) -> tuple[Block, ...]:
    """The blocks of a finished answer."""
    splitter = Splitter()
    splitter.feed(text, whole=True)
    return tuple(splitter.closed)


def resumed(before: str, after: str) -> str:
    """The markdown of a text that goes on where `before` was cut: code stays code, and a list a list."""
    tokens = [token for token in _parser().parse(before) if token.level == 0]
    last = tokens[-1] if tokens else None
    if last is None:
        return after
    if last.type == "fence" and last.map:
        lines = before.splitlines()[last.map[0] : last.map[1]]
        closed = len(lines) > 1 and lines[-1].strip() == last.markup
        return after if closed else f"{last.markup}{last.info}\n{after}"
    if last.type in ("bullet_list_close", "ordered_list_close") and not before.endswith("\n"):
        # The rest of the line would be a paragraph, which takes in a list that does not begin with 1.
        return after.replace("\n", "\n\n", 1)
    return after


def _longest(token: Token, source: str) -> int:
    """How long a block of this kind may be, in characters."""
    if token.type != "table_open":
        return _LONGEST.get(token.type, LONGEST_BLOCK)
    rows = source.split("\n", MOST_ROWS)
    return min(LONGEST_TABLE, len(source) - len(rows[-1]) if len(rows) > MOST_ROWS else LONGEST_TABLE)


def _parts(text: str) -> list[_Part]:
    """The top-level blocks of a text, and the items of its top-level lists, with all of its characters."""
    tokens = _parser().parse(text)
    begins: list[tuple[int, Token, int]] = []  # the line, the token, its number in `tokens`
    lists: dict[int, tuple[str, int]] = {}
    ordered, number = "", 0
    for place, token in enumerate(tokens):
        if token.level == 0 and token.nesting >= 0 and token.map:
            if token.type == "bullet_list_open":
                ordered = ""
            elif token.type == "ordered_list_open":
                start = token.attrGet("start")
                ordered, number = token.markup, 1 if start is None else int(start)
            else:
                begins.append((token.map[0], token, place))
        elif token.level == 1 and token.type == "list_item_open" and token.map:
            lists[place] = (ordered, number)
            number += 1
            begins.append((token.map[0], token, place))
    if not begins:
        return []
    lines = [line + "\n" for line in text.split("\n")]
    lines[-1] = lines[-1][:-1]
    found, first = [], 0
    for (_line, token, place), following in zip(begins, [*begins[1:], None], strict=True):
        end, stop = (following[0], following[2]) if following else (len(lines), len(tokens))
        source = "".join(lines[first:end])
        delimiter, value = lists.get(place, ("", 1))
        found.append(_Part(token, tokens[place:stop], source, delimiter, value, place in lists))
        first = end
    return found


def _numbered(part: _Part, follows: tuple[str, int] | None) -> tuple[int | None, tuple[str, int] | None]:
    """The number of an item, and what an item after it would have."""
    if not part.in_list or not part.ordered:
        return None, None
    number = follows[1] if follows is not None and follows[0] == part.ordered else part.number
    return number, (part.ordered, number + 1)


def _blocks(part: _Part, number: int | None, following: _Part | None) -> list[Block]:
    """A part as blocks: code inside an item of a list is one of its own."""
    token = part.token
    if token.type in ("fence", "code_block"):
        return [_code(token)]
    close = following is not None and following.in_list and not _BLANK_END.search(part.source)
    tight = part.in_list and close
    codes = [each for each in part.tokens if each.level == 2 and each.type == "fence" and each.map]
    if not part.in_list or not codes or token.map is None:
        return [Block(part.source.strip("\n"), number=number, tight=tight)]
    lines = part.source.split("\n")
    marker = _MARKER.match(lines[0])
    offset = marker.end() if marker else 2
    base, begin, blocks = token.map[0], 0, list[Block]()
    for code in codes:
        assert code.map is not None
        start, end = code.map[0] - base, code.map[1] - base
        text = "\n".join(_dedented(lines[begin:start], 0 if begin == 0 else offset)).strip("\n")
        if begin == 0 and start == 0:
            text = lines[0][:offset].rstrip()  # the code begins in the line of the marker
        if text:
            blocks.append(_of_item(text, number, first=begin == 0))
        blocks.append(replace(_code(code), indent=1))
        begin = end
    if rest := "\n".join(_dedented(lines[begin:], offset)).strip("\n"):
        blocks.append(_of_item(rest, None, first=False))
    blocks[-1] = replace(blocks[-1], tight=tight)
    return blocks


def _beginning(part: _Part, number: int | None) -> list[Block]:
    """A part that was cut off from its rest: code keeps every blank line."""
    if part.token.type == "fence":
        return [_code(part.token, cut=True)]
    return _blocks(part, number, None)


def _of_item(text: str, number: int | None, *, first: bool) -> Block:
    return Block(text, number=number) if first else Block(text, indent=1)


def _dedented(lines: Sequence[str], by: int) -> list[str]:
    return [line[min(by, len(line) - len(line.lstrip(" "))) :] for line in lines]


def _code(token: Token, *, cut: bool = False) -> Block:
    language = next(iter(token.info.split()), "")
    return Block(token.content if cut else token.content.rstrip("\n"), code=True, language=language)


def _place_to_cut(text: str, most: int, *, lines: bool) -> int:
    """Where a text is cut: after a line, a sentence or a word, if there is one, in the second half."""
    for mark in ("\n",) if lines else ("\n", ". ", "。"):
        if (at := text.rfind(mark, most // 2, most)) >= 0:
            return at + len(mark)
    at = text.rfind(" ", most // 2, most)
    return at + 1 if at >= 0 else most


def _opening(part: _Part, before: str) -> str:
    """What is put before the rest of a block that was cut, so that it is read as what it is."""
    if part.token.type == "fence":
        return before or part.source[: part.source.index("\n") + 1]
    if part.token.type == "table_open":
        return before or "".join(line + "\n" for line in part.source.split("\n")[:2])
    return ""


def _with_plain_newlines(text: str) -> str:
    """Newlines as the parser counts them."""
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


@cache
def _parser() -> MarkdownIt:
    """Finds blocks; what stands inside of them is of no interest here."""
    parser = MarkdownIt("commonmark", {"html": False})
    parser.enable(["table"])
    parser.core.ruler.enableOnly(["normalize", "block"])
    add_math(parser)
    return parser


__all__ = ["LONGEST_BLOCK", "MATH", "Block", "Splitter", "resumed", "split"]
