"""Code in colour: Pygments, imported when the first code block is shown. No Qt here."""

from html import escape

LONGEST_CODE = 20_000  # characters: colouring more would hold up the window


def to_html(code: str, language: str, *, dark: bool) -> str:
    """Code as spans with colours; uncoloured where the language is unknown or the code very long."""
    if not language or len(code) > LONGEST_CODE:
        return escape(code)
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    try:
        lexer = get_lexer_by_name(language, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return escape(code)
    style = "github-dark" if dark else "xcode"
    return str(highlight(code, lexer, HtmlFormatter(nowrap=True, noclasses=True, style=style))).rstrip("\n")
