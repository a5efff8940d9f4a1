"""An answer's markdown as blocks that can be shown while it is still growing. No Qt here.

A growing answer has closed blocks, which will not change any more, and one open block at its end. Only the
open one is parsed again when text arrives, so the cost of a flush does not grow with the answer.

What a model writes is untrusted: raw HTML is shown as text, images become their description (nothing is
loaded), and only http and https addresses become links.
"""

from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token

LONGEST_BLOCK = 20_000  # characters: a longer block is shown as it is, because parsing it would take too long


@dataclass(frozen=True, slots=True)
class Block:
    """One top-level block. `text` is its markdown, or the code itself where `code` is true.

    `closed` is false for the block at the end of a growing answer.
    """

    text: str
    code: bool = False
    language: str = ""
    closed: bool = True


class Splitter:
    """Splits a growing markdown text into blocks, looking at the open end only."""

    def __init__(self) -> None:
        self._closed: list[Block] = []
        self._consumed = 0
        self._text = ""

    def feed(self, text: str) -> tuple[Block, ...]:
        """The blocks of `text`, which continues what was fed before; anything else starts afresh."""
        text = _with_plain_newlines(text)
        if not text.startswith(self._text):
            self._closed, self._consumed = [], 0
        self._text = text
        tail = text[self._consumed :]
        blocks = _blocks(tail)
        for block, length in blocks[:-1]:
            self._closed.append(block)
            self._consumed += length
        return (*self._closed, *(replace(block, closed=False) for block, _length in blocks[-1:]))


def split(text: str) -> tuple[Block, ...]:
    """The blocks of a finished answer."""
    return tuple(block for block, _length in _blocks(_with_plain_newlines(text)))


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


def _blocks(text: str) -> list[tuple[Block, int]]:
    """The top-level blocks of a text, each with the number of characters that it takes up."""
    if len(text) > LONGEST_BLOCK and "\n\n" not in text:
        return [(Block(text), len(text))]
    lines = [line + "\n" for line in text.split("\n")]
    starts = [
        (token, token.map[0])
        for token in _parser().parse(text)
        if token.level == 0 and token.map and token.nesting >= 0
    ]
    ends = [start for _token, start in starts[1:]] + [len(lines)] * bool(starts)
    found, begin = [], 0
    for (token, _start), end in zip(starts, ends, strict=True):
        source = "".join(lines[begin:end])
        found.append((_block(token, source), len(source)))
        begin = end
    return found


def _block(token: Token, source: str) -> Block:
    if token.type not in ("fence", "code_block"):
        return Block(source.strip("\n"))
    language = next(iter(token.info.split()), "")
    return Block(token.content.rstrip("\n"), code=True, language=language)


def _with_plain_newlines(text: str) -> str:
    """Newlines as the parser counts them."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def to_html(block: Block) -> str:
    """A text block as the small HTML that a QTextDocument understands."""
    if len(block.text) > LONGEST_BLOCK:
        return f'<p style="white-space: pre-wrap">{_escaped(block.text)}</p>'
    return str(_parser().render(block.text)).strip()


def to_plain(text: str) -> str:
    """Markdown as a screen reader should say it: without the marks."""
    said = []
    for token in _parser().parse(text):
        if token.type == "inline":
            said.append("".join(_spoken(child) for child in token.children or ()))
        elif token.type in ("fence", "code_block"):
            said.append(token.content.rstrip("\n"))
    return "\n".join(said)


def _spoken(token: Token) -> str:
    return "\n" if token.type in ("softbreak", "hardbreak") else token.content


def is_web_address(url: str) -> bool:
    """Whether a link may be opened at all: only http and https, with a host."""
    try:
        parts = urlsplit(url.strip())
    except ValueError:
        return False
    return parts.scheme.lower() in ("http", "https") and bool(parts.netloc)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


class _Renderer(RendererHTML):
    def table_open(
        self, tokens: Sequence[Token], idx: int, options: Any, env: MutableMapping[str, Any]
    ) -> str:
        return '<table border="1" cellspacing="0" cellpadding="5">'

    def image(self, tokens: Sequence[Token], idx: int, options: Any, env: MutableMapping[str, Any]) -> str:
        described = self.renderInlineAsText(tokens[idx].children or [], options, env)
        return f"[image: {_escaped(described)}]" if described else "[image]"


@cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False}, renderer_cls=_Renderer)
    parser.enable(["table", "strikethrough"])
    parser.validateLink = is_web_address  # type: ignore[method-assign]
    return parser
