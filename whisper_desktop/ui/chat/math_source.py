"""Where formulas stand in a text: `$…$`, `$$…$$`, `\\(…\\)` and `\\[…\\]`, as rules of the markdown parser.

A `$` also means money, so one formula in single ones has to look like one: no space inside its marks, no
digit after it, and what begins with a digit needs something that only a formula has. No Qt here.
"""

import re

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline

LONGEST_FORMULA = 2_000  # characters
MATH = "math"  # the type of our tokens; `content` is the LaTeX, `block` whether it stands by itself

_PAIRS = (("$$", "$$", True), ("\\[", "\\]", True), ("\\(", "\\)", False), ("$", "$", False))
_LIKE_MATH = re.compile(r"[\\^_={}<>+*/]")


def add_math(parser: MarkdownIt) -> None:
    """Let the parser find formulas."""
    parser.block.ruler.before(
        "fence", MATH, _block, {"alt": ["paragraph", "reference", "blockquote", "list"]}
    )
    if "inline" in parser.core.ruler.get_active_rules():
        parser.inline.ruler.before("escape", MATH, _inline)


def _inline(state: StateInline, silent: bool) -> bool:
    if state.src[state.pos] not in "$\\":
        return False
    start, most = state.pos, min(state.posMax, state.pos + LONGEST_FORMULA)
    for opening, closing, display in _PAIRS:
        if not state.src.startswith(opening, start):
            continue
        begin = start + len(opening)
        end = state.src.find(closing, begin, most)
        latex = state.src[begin:end].strip()
        if end < 0 or not latex or "\n\n" in latex:
            continue
        if opening == "$" and not _is_formula(state.src, begin, end):
            continue
        if not silent:
            token = state.push(MATH, "math", 0)
            token.content, token.markup, token.block = latex, opening, display
        state.pos = end + len(closing)
        return True
    return False


def _is_formula(text: str, begin: int, end: int) -> bool:
    """Whether what stands between two single dollars is meant as one."""
    inside = text[begin:end]
    if inside[0].isspace() or inside[-1].isspace() or text[end + 1 : end + 2].isdigit():
        return False
    return not inside[0].isdigit() or bool(_LIKE_MATH.search(inside)) or len(inside) == 1


def _block(state: StateBlock, first: int, last: int, silent: bool) -> bool:
    """A formula that begins a line and has no blank line in it.

    One without an end is a formula too while nothing follows it: its end may still be on its way, and what
    was shown as closed must not change.
    """
    if state.is_code_block(first):
        return False
    begin = state.bMarks[first] + state.tShift[first]
    closing = {"$$": "$$", "\\[": "\\]"}.get(state.src[begin : begin + 2])
    if closing is None:
        return False
    line, end = first, state.src.find(closing, begin + 2, state.eMarks[first])
    while end < 0:
        line += 1
        if line >= last:
            line -= 1
            break
        if state.isEmpty(line) or state.eMarks[line] - begin > LONGEST_FORMULA:
            return False
        end = state.src.find(closing, state.bMarks[line], state.eMarks[line])
    if end >= 0 and state.src[end + 2 : state.eMarks[line]].strip():
        return False  # words follow in the same line: it is part of a paragraph
    if silent:
        return True
    token = state.push(MATH, "math", 0)
    whole = end >= 0
    token.content = state.src[begin + 2 : end if whole else state.eMarks[line]].strip()
    token.block, token.markup, token.hidden = True, closing, not whole
    token.map = [first, line + 1]
    state.line = line + 1
    return True
