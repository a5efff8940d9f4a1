"""One owner process per user: it holds the engine and the settings, and every other start talks to it.

Data flow: a program starts -> `Front` tries the owner's socket -> if somebody answers, verbs and events go
over it as JSON lines; if nobody does, the program takes the lock, becomes the owner and serves the socket.
"""

from whisper_desktop.control.client import RemoteCore
from whisper_desktop.control.core import AskRequest, Core
from whisper_desktop.control.front import Front
from whisper_desktop.control.local import LocalCore

__all__ = ["AskRequest", "Core", "Front", "LocalCore", "RemoteCore"]
