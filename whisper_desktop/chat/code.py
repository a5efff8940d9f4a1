"""Which code is coloured, and in whose style: Pygments, imported when the first code is shown."""

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pygments.lexer import Lexer

_LONGEST_CODE = 100_000  # characters: more is shown in one colour
_LONGEST_LINE = 2_000  # characters: the expressions of some languages take too long on more


def lexer_for(code: str, language: str) -> "Lexer | None":
    """What finds the parts of this code; None where its language is unknown, or it would take too long."""
    if not language or len(code) > _LONGEST_CODE or max(map(len, code.split("\n"))) > _LONGEST_LINE:
        return None
    return _lexer(language.lower())


def style_name(*, dark: bool) -> str:
    """Which of Pygments' styles is used; a window makes its colours readable where it paints them."""
    return "github-dark" if dark else "xcode"


@cache
def _lexer(language: str) -> "Lexer | None":
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    try:
        return get_lexer_by_name(language, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return None
