"""Blocks of markdown as the small HTML that a QTextDocument understands, and as words. No Qt here.

What a model writes is untrusted: `chat.markdown` has the parser that takes it as that.
"""

import re
from collections.abc import Callable, MutableMapping, Sequence
from functools import cache
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.token import Token

from whisper_desktop.chat.markdown import SafeRenderer, safe_parser
from whisper_desktop.ui.chat.markdown import LONGEST_BLOCK, MATH, Block
from whisper_desktop.ui.chat.math_source import add_math

Formula = Callable[[str, bool], str]
"""The HTML for a formula, given its LaTeX and whether it stands by itself."""

_TASKS = {"[ ] ": "unchecked", "[x] ": "checked", "[X] ": "checked"}
_BOXES = {"unchecked": "☐ ", "checked": "☑ "}
_MARKS = re.compile(r"[^\w\s.,;:?!'\"()%/–—-]|[_\n\t]|\A\s*(?:-|\d+[.)])|  ")
"""What a paragraph may need a parser for. Most have nothing of it, and parsing is half of what a row costs.
"""
_TOO_LONG = 2 * LONGEST_BLOCK


def formula_source(latex: str, display: bool) -> str:
    """A formula as its LaTeX, in the font of code."""
    shown = f"<code>{escaped(latex)}</code>"
    return f"<p>{shown}</p>" if display else shown


def to_html(block: Block, formula: Formula = formula_source) -> str:
    """A text block as HTML."""
    if len(block.text) > _TOO_LONG:
        return f'<p style="white-space: pre-wrap">{escaped(block.text)}</p>'
    if not _MARKS.search(block.text) and block.number is None:
        return f"<p>{block.text.strip()}</p>"
    parser = _parser()
    environment: dict[str, Any] = {"formula": formula}
    tokens = parser.parse(block.text, environment)
    if block.number is not None and tokens and tokens[0].type == "ordered_list_open":
        tokens[0].attrSet("start", block.number)
    return str(parser.renderer.render(tokens, parser.options, environment)).strip()


def to_plain(text: str) -> str:
    """Markdown as a screen reader should say it: without the marks; formulas are said as their LaTeX."""
    said, box = [], ""
    for token in _parser().parse(text):
        if token.type == "list_item_open":
            box = _BOXES.get(str(token.attrGet("class") or ""), "")
        elif token.type == "inline":
            said.append(box + "".join(_spoken(child) for child in token.children or ()))
            box = ""
        elif token.type in ("fence", "code_block", MATH):
            said.append(token.content.rstrip("\n"))
    return "\n".join(said)


def _spoken(token: Token) -> str:
    return "\n" if token.type in ("softbreak", "hardbreak") else token.content


def escaped(text: str) -> str:
    """Text that is no markup."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


class _Renderer(SafeRenderer):
    def table_open(
        self, tokens: Sequence[Token], idx: int, options: Any, env: MutableMapping[str, Any]
    ) -> str:
        return '<table border="1" cellspacing="0" cellpadding="5">'

    def td_open(self, tokens: Sequence[Token], idx: int, options: Any, env: MutableMapping[str, Any]) -> str:
        side = str(tokens[idx].attrGet("style") or "").removeprefix("text-align:")
        aligned = f' align="{side}"' if side else ""
        return f"<{tokens[idx].tag}{aligned}>"

    th_open = td_open

    def math(self, tokens: Sequence[Token], idx: int, options: Any, env: MutableMapping[str, Any]) -> str:
        token = tokens[idx]
        make: Formula = formula_source if token.hidden else env.get("formula", formula_source)
        html = make(token.content, token.block)
        # Of a formula in a line of text, only the image may be there: a paragraph cannot stand in another.
        return html if token.level == 0 and token.map else html.replace("<p>", "").replace("</p>", "")


def _tasks(state: StateCore) -> None:
    """An item that begins with [ ] or [x] is a task; Qt draws a box for one of this class."""
    for item, token in zip(state.tokens, state.tokens[2:], strict=False):
        first = token.children[0] if token.type == "inline" and token.children else None
        if item.type != "list_item_open" or first is None or first.type != "text":
            continue
        for marks, name in _TASKS.items():
            if first.content.startswith(marks):
                first.content = first.content.removeprefix(marks)
                item.attrSet("class", name)
                break


@cache
def _parser() -> MarkdownIt:
    parser = safe_parser(_Renderer)
    parser.core.ruler.push("tasks", _tasks)
    add_math(parser)
    return parser
