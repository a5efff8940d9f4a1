"""Conversations: what was asked, what was answered, and by whom."""

from whisper_desktop.chat.breaks import SetAside
from whisper_desktop.chat.failures import failure_of
from whisper_desktop.chat.provenance import (
    GUIDE_LABEL,
    attempt_line,
    provenance_line,
    seconds,
    who_line,
    why_line,
)
from whisper_desktop.chat.session import Session, Turn, TurnState
from whisper_desktop.chat.under_way import tool_call_line, waiting_line

__all__ = [
    "GUIDE_LABEL",
    "Session",
    "SetAside",
    "Turn",
    "TurnState",
    "attempt_line",
    "failure_of",
    "provenance_line",
    "seconds",
    "tool_call_line",
    "waiting_line",
    "who_line",
    "why_line",
]
