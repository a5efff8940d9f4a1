"""The colours of code: Pygments, imported when the first code block is shown. No Qt here."""

from collections.abc import Iterator
from functools import cache
from typing import Any

from whisper_desktop.chat.code import lexer_for, style_name


def spans(code: str, language: str, *, dark: bool) -> Iterator[tuple[int, int, str]]:
    """Which part of the code has which colour: start, length, "rrggbb". Plain parts are left out.

    Nothing where the language is unknown, or the code too long. It is worked out while it is asked for.
    """
    lexer = lexer_for(code, language)
    if lexer is None:
        return
    colored = _colors(dark)
    for start, kind, text in lexer.get_tokens_unprocessed(code):
        if color := colored(kind):
            yield start, len(text), color


@cache
def _colors(dark: bool) -> Any:
    from pygments.styles import get_style_by_name

    style = get_style_by_name(style_name(dark=dark))

    @cache
    def color(kind: Any) -> str:
        return str(style.style_for_token(kind)["color"] or "")

    return color
