"""Conversations: what was asked, what was answered, and by whom."""

from whisper_desktop.chat.breaks import SetAside
from whisper_desktop.chat.failures import Advice, advice_on, failure_of, tries_besides
from whisper_desktop.chat.keeper import Keeper
from whisper_desktop.chat.provenance import (
    GUIDE_LABEL,
    attempt_line,
    provenance_line,
    seconds,
    who_line,
    why_line,
)
from whisper_desktop.chat.records import TurnState
from whisper_desktop.chat.session import Session
from whisper_desktop.chat.turns import Turn
from whisper_desktop.chat.under_way import WAITING, failed_line, tool_call_line, waiting_line, with_time

__all__ = [
    "GUIDE_LABEL",
    "WAITING",
    "Advice",
    "Keeper",
    "Session",
    "SetAside",
    "Turn",
    "TurnState",
    "advice_on",
    "attempt_line",
    "failed_line",
    "failure_of",
    "provenance_line",
    "seconds",
    "tool_call_line",
    "tries_besides",
    "waiting_line",
    "who_line",
    "why_line",
    "with_time",
]
