"""Commands inside our own sentences, written `like this`, as the windows show them. No Qt."""

import html
import re

_SPAN = re.compile(r"`([^`\n]+)`([.,;:)]?)")


def commands_in(text: str) -> tuple[str, ...]:
    """Every command in a sentence, in order."""
    return tuple(command for command, _mark in _SPAN.findall(text))


def with_code(text: str, *, color: str = "", copied: int | None = None) -> str:
    """The sentence as rich text with its commands as code; anything else in it is shown as it is.

    With a `color`, each command is followed by a link "Copy" in it, whose address is the command's number;
    that of the command `copied` says that it was.
    """
    parts, end = [], 0
    for number, span in enumerate(_SPAN.finditer(text)):
        parts.append(_escaped(text[end : span.start()]))
        parts.append(f"<code>{_escaped(span[1])}</code>{span[2]}")
        if color:
            word = "Copied" if number == copied else "Copy"
            parts.append(f'&nbsp; <a href="{number}" style="color: {color}">{word}</a>')
        end = span.end()
    return "".join((*parts, _escaped(text[end:])))


def without_marks(text: str) -> str:
    """The sentence where only plain text can be shown or said."""
    return _SPAN.sub(r"\1\2", text)


def _escaped(text: str) -> str:
    return html.escape(text, quote=False).replace("\n", "<br>")
