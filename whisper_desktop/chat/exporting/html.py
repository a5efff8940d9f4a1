"""A conversation as one HTML file that needs nothing else: no scripts, nothing loaded, light and dark.

What models and files said is untrusted: their HTML is shown as text, only http and https become links, and
the page forbids its viewer to load or run anything.
"""

import base64
from functools import cache
from html import escape

from markdown_it import MarkdownIt
from pygments import highlight
from pygments.formatters import HtmlFormatter

from whisper_desktop.chat.code import lexer_for, style_name
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
from whisper_desktop.chat.images import image_facts
from whisper_desktop.chat.markdown import safe_parser
from whisper_desktop.chat.records import Attachment, Node
from whisper_desktop.language import in_use, tr
from whisper_desktop.values import Role

_LONGEST_MESSAGE = 1_000_000  # characters: a longer one is shown as it is, because parsing it takes minutes

_LIGHT = """
:root { color-scheme: light dark; }
body { font: 16px/1.55 system-ui, sans-serif; max-width: 46em; margin: 2em auto; padding: 0 1em;
  color: #1f2328; background: #ffffff; overflow-wrap: anywhere; }
h1 { font-size: 1.5em; margin-bottom: 0; }
h2 { font-size: 0.95em; margin: 2em 0 0.3em; }
.quiet, .below, time { color: #59636e; font-size: 0.85em; font-weight: normal; }
.user { background: #f1f3f5; border-radius: 8px; padding: 0.6em 1em; }
pre { background: #f6f8fa; border-radius: 6px; padding: 0.8em; overflow-x: auto; }
code, pre { font-family: ui-monospace, monospace; font-size: 0.92em; overflow-wrap: normal; }
table { border-collapse: collapse; } td, th { border: 1px solid #c4c9cf; padding: 0.3em 0.6em; }
blockquote { margin-inline: 0; padding-inline-start: 1em; border-inline-start: 3px solid #c4c9cf; }
.plain { white-space: pre-wrap; } img { max-width: 100%; } a { color: #0b57d0; }
"""
_DARK = """
body { color: #e6e8ea; background: #16181b; } .user { background: #24282d; } pre { background: #1e2226; }
.quiet, .below, time { color: #9aa4af; } td, th, blockquote { border-color: #4a525b; } a { color: #8ab4f8; }
"""


_PAGE = """<!DOCTYPE html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title>
<style>{look}</style>
</head>
<body>
{body}
</body>
</html>
"""


def export_html(kept: Kept) -> str:
    """The conversation as one HTML document."""
    title = escape(title_of(kept.conversation))
    body = [f"<h1>{title}</h1>", f'<p class="quiet">{escape(opening(kept))}</p>']
    if kept.conversation.wishes.system:
        body.append(f"<h2>{escape(tr('System prompt'))}</h2>{_as_it_is(kept.conversation.wishes.system)}")
    body += [_message(node, kept) for node in shown_path(kept)]
    return _PAGE.format(language=in_use().replace("_", "-"), title=title, look=_look(), body="\n".join(body))


def _message(node: Node, kept: Kept) -> str:
    kind = "user" if node.role is Role.USER else "answer"
    parts = [f"<h2>{escape(speaker(node))} <time>{moment(node.created)}</time></h2>"]
    if node.reasoning:
        parts.append(
            f"<details><summary>{escape(tr('Reasoning'))}</summary>{_rendered(node.reasoning)}</details>"
        )
    text = text_of(node)
    if text.strip():
        # What a person wrote is shown as they wrote it; what a model wrote is Markdown.
        shown = _as_it_is(text) if node.role is Role.USER else _rendered(text)
        parts.append(f'<div class="{kind}" dir="auto">{shown}</div>')
    parts += [_as_it_is(f"{call.name}({call.arguments})", "pre") for call in node.tool_calls]
    parts += [_attachment(one, kept.data.get(one.id)) for one in node.attachments]
    parts += [f'<p class="below">{escape(line)}</p>' for line in below(node)]
    return f'<div class="message">{"".join(parts)}</div>'


def _attachment(attachment: Attachment, data: bytes | None) -> str:
    line = f'<p class="quiet">{escape(attachment_line(attachment))}</p>'
    image = image_facts(data) if data else None
    if data is None or image is None:
        return line
    encoded = base64.b64encode(data).decode()
    return (
        f'<p><img alt="{escape(attachment.name)}" src="data:{image.media_type};base64,{encoded}"></p>{line}'
    )


def _rendered(text: str) -> str:
    return _as_it_is(text) if len(text) > _LONGEST_MESSAGE else str(_parser().render(text))


def _as_it_is(text: str, element: str = "div") -> str:
    return f'<{element} class="plain">{escape(text.strip())}</{element}>'


def _highlighted(code: str, language: str, _attributes: str) -> str:
    lexer = lexer_for(code, language)
    if lexer is None:
        return ""  # the parser escapes it itself
    return str(highlight(code, lexer, HtmlFormatter(nowrap=True)))


@cache
def _look() -> str:
    dark = f"{_DARK}{_code_look(dark=True)}"
    return f"{_LIGHT}{_code_look(dark=False)}\n@media (prefers-color-scheme: dark) {{{dark}\n}}\n"


def _code_look(*, dark: bool) -> str:
    rules = HtmlFormatter(style=style_name(dark=dark)).get_token_style_defs("pre")  # type: ignore[no-untyped-call]
    return "\n".join(rules)


@cache
def _parser() -> MarkdownIt:
    return safe_parser(options={"highlight": _highlighted})
