"""Conversations on disk: one SQLite file, one thread that writes it, and others that read it."""

from whisper_desktop.chat.store.report import StoreReport
from whisper_desktop.chat.store.store import ConversationStore

__all__ = ["ConversationStore", "StoreReport"]
