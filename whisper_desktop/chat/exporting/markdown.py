"""A conversation as Markdown that is pleasant to read: the branch that is shown, with who answered."""

import re

from whisper_desktop.chat.exporting.kept import (
    Kept,
    attachment_line,
    below,
    moment,
    opening,
    shown_path,
    speaker,
    text_of,
    title_of,
)
from whisper_desktop.chat.records import Node
from whisper_desktop.language import tr

_SPECIAL = re.compile(r"([\\`*_\[\]<>#|])")


def export_markdown(kept: Kept) -> str:
    """The conversation as one Markdown text."""
    parts = [f"# {_plain(title_of(kept.conversation))}", f"*{_plain(opening(kept))}*"]
    if kept.conversation.wishes.system:
        parts += [f"## {tr('System prompt')}", kept.conversation.wishes.system.strip()]
    for node in shown_path(kept):
        parts += _message(node)
    return "\n\n".join(parts) + "\n"


def _message(node: Node) -> list[str]:
    parts = [f"## {_plain(speaker(node))} · {moment(node.created)}"]
    if node.reasoning:
        parts.append(_quoted(f"**{tr('Reasoning')}**\n\n{node.reasoning.strip()}"))
    if text := text_of(node).strip("\n"):
        parts.append(_closed(text))
    for call in node.tool_calls:
        parts.append(_fenced(f"{call.name}({call.arguments})"))
    if node.attachments:
        parts.append("\n".join(f"- {_plain(attachment_line(one))}" for one in node.attachments))
    parts += [f"*{_plain(line)}*" for line in below(node)]
    return parts


def _plain(text: str) -> str:
    """Text that no mark in it changes the look of, on one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}".rstrip() for line in text.splitlines())


def _fenced(text: str) -> str:
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{text}\n{fence}"


def _closed(text: str) -> str:
    """The text of a message; a code block that it leaves open must not swallow the messages after it."""
    fence = ""
    for line in text.splitlines():
        found = re.match(r" {0,3}(`{3,}|~{3,})(.*)$", line)
        if found is None:
            continue
        mark, rest = found.groups()
        if not fence:
            fence = mark if mark[0] == "~" or "`" not in rest else ""
        elif mark[0] == fence[0] and len(mark) >= len(fence) and not rest.strip():
            fence = ""
    return f"{text}\n{fence}" if fence else text
