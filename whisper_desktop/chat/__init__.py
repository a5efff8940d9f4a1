"""Conversations: what was asked, what was answered, and by whom."""

from whisper_desktop.chat.provenance import attempt_line, provenance_line
from whisper_desktop.chat.session import Session, Turn, TurnState

__all__ = ["Session", "Turn", "TurnState", "attempt_line", "provenance_line"]
