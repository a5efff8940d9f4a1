"""Conversations as files: Markdown and HTML to read, JSON to keep and to take elsewhere."""

from whisper_desktop.chat.exporting.document import export_json
from whisper_desktop.chat.exporting.files import ExportFormat, write
from whisper_desktop.chat.exporting.html import export_html
from whisper_desktop.chat.exporting.kept import Kept
from whisper_desktop.chat.exporting.markdown import export_markdown

__all__ = ["ExportFormat", "Kept", "export_html", "export_json", "export_markdown", "write"]
