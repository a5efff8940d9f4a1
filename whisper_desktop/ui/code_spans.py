"""Commands inside our own sentences, written `like this`, as the windows show them. No Qt."""

import html
import re

from whisper_desktop.language import tr

_SPAN = re.compile(r"`([^`\n]+)`")


def commands_in(text: str) -> tuple[str, ...]:
    """Every command in a sentence, in order."""
    return tuple(_SPAN.findall(text))


def with_code(text: str) -> str:
    """The sentence as rich text with its commands as code; anything else in it is shown as it is."""
    return _SPAN.sub(r"<code>\1</code>", _escaped(text))


def copy_links(text: str, color: str, copied: int | None) -> str:
    """A link for each command of a sentence, to stand after it; its address is the command's number.

    The link of the command `copied` says that it was. Several links name what they copy.
    """
    commands = commands_in(text)
    words = [tr("Copied") if number == copied else tr("Copy") for number in range(len(commands))]
    if len(commands) > 1:
        words = [
            tr("Copied {command}", command=_escaped(command))
            if number == copied
            else tr("Copy {command}", command=_escaped(command))
            for number, command in enumerate(commands)
        ]
    return "".join(
        f'&nbsp; <a href="{number}" style="color: {color}">{word}</a>' for number, word in enumerate(words)
    )


def without_marks(text: str) -> str:
    """The sentence where only plain text can be shown or said."""
    return _SPAN.sub(r"\1", text)


def _escaped(text: str) -> str:
    return html.escape(text, quote=False).replace("\n", "<br>")
