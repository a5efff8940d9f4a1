"""Conversations: what was asked, what was answered, and by whom."""

from whisper_desktop.chat.provenance import (
    GUIDE_LABEL,
    attempt_line,
    provenance_line,
    seconds,
    who_line,
    why_line,
)
from whisper_desktop.chat.session import Session, Turn, TurnState

__all__ = [
    "GUIDE_LABEL",
    "Session",
    "Turn",
    "TurnState",
    "attempt_line",
    "provenance_line",
    "seconds",
    "who_line",
    "why_line",
]
