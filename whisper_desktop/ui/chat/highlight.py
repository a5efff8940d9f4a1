"""The colours of code: Pygments, imported when the first code block is shown. No Qt here."""

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pygments.lexer import Lexer

LONGEST_CODE = 100_000  # characters: more is shown in one colour
_LONGEST_LINE = 2_000  # characters: the expressions of some languages take too long on more


def spans(code: str, language: str, *, dark: bool) -> Iterator[tuple[int, int, str]]:
    """Which part of the code has which colour: start, length, "rrggbb". Plain parts are left out.

    Nothing where the language is unknown, or the code too long. It is worked out while it is asked for.
    """
    if not language or len(code) > LONGEST_CODE or max(map(len, code.split("\n"))) > _LONGEST_LINE:
        return
    lexer = _lexer(language.lower())
    if lexer is None:
        return
    colored = _colors(dark)
    for start, kind, text in lexer.get_tokens_unprocessed(code):
        if color := colored(kind):
            yield start, len(text), color


def style_name(*, dark: bool) -> str:
    """Which of Pygments' styles is used; its colours are made readable where they are painted."""
    return "github-dark" if dark else "xcode"


@cache
def _lexer(language: str) -> "Lexer | None":
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    try:
        return get_lexer_by_name(language, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return None


@cache
def _colors(dark: bool) -> Any:
    from pygments.styles import get_style_by_name

    style = get_style_by_name(style_name(dark=dark))

    @cache
    def color(kind: Any) -> str:
        return str(style.style_for_token(kind)["color"] or "")

    return color
