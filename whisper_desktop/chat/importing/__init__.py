"""Conversations from elsewhere: our own export, ChatGPT, LM Studio, Jan, Open WebUI.

What a file says is untrusted: it is bounded, nothing is unpacked to disk, and what cannot be read is counted
and said, never guessed.
"""

from whisper_desktop.chat.importing.arriving import Arrival, arriving
from whisper_desktop.chat.importing.found import Imported, ImportReport
from whisper_desktop.chat.importing.reading import read_import

__all__ = ["Arrival", "ImportReport", "Imported", "arriving", "read_import"]
