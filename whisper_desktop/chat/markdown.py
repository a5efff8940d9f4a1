"""Markdown of models and files, which is untrusted, as HTML: for windows and for exports.

Raw HTML is shown as text, images become their description (nothing is loaded), and only http and https
addresses become links.
"""

from collections.abc import Mapping, MutableMapping, Sequence
from html import escape
from typing import Any
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token

from whisper_desktop.language import tr


class SafeRenderer(RendererHTML):
    """Renders images as their description."""

    def image(self, tokens: Sequence[Token], idx: int, options: Any, env: MutableMapping[str, Any]) -> str:
        """An image's address would be loaded by whoever shows the page."""
        described = self.renderInlineAsText(tokens[idx].children or [], options, env)
        return escape(tr("[image: {words}]", words=described) if described else tr("[image]"), quote=False)


def safe_parser(
    renderer: type[SafeRenderer] = SafeRenderer, options: Mapping[str, Any] | None = None
) -> MarkdownIt:
    """CommonMark with tables and struck-out text, and no HTML."""
    parser = MarkdownIt("commonmark", {**(options or {}), "html": False}, renderer_cls=renderer)
    parser.enable(["table", "strikethrough"])
    parser.validateLink = is_web_address  # type: ignore[method-assign]
    return parser


def is_web_address(url: str) -> bool:
    """Whether a link may be opened at all: only http and https, with a host."""
    try:
        parts = urlsplit(url.strip())
    except ValueError:
        return False
    return parts.scheme.lower() in ("http", "https") and bool(parts.netloc)
