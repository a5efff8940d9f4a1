"""Typed events and a small bus, so that the core can tell front ends what changed without knowing them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from whisper_desktop.values import EngineStatus, ServerInfo


@dataclass(frozen=True, slots=True)
class ServersChanged:
    """A scan has new results; `servers` is the whole list as it now stands."""

    servers: tuple[ServerInfo, ...]
    scanning: bool


@dataclass(frozen=True, slots=True)
class EngineChanged:
    """An engine settled in a new state."""

    status: EngineStatus


@dataclass(frozen=True, slots=True)
class BackendChosen:
    """The person (or a setting) chose a backend; None means automatic."""

    backend: str | None


@dataclass(frozen=True, slots=True)
class AnswerState:
    """An answer is being written (`active`) or has ended."""

    active: bool


@dataclass(frozen=True, slots=True)
class Notice:
    """Something a person should be told once. `needs_attention` keeps the tray's badge until it is read."""

    title: str
    detail: str = ""
    needs_attention: bool = False


@dataclass(frozen=True, slots=True)
class WindowRequested:
    """Another start, or a command, asks for a window: "chat", "ask", "models", "setup", "logs", "settings".

    `value` goes with it: the id of a conversation for "chat", the text to begin with for "ask".
    """

    window: str
    value: str = ""


@dataclass(frozen=True, slots=True)
class ConversationsChanged:
    """Conversations were made, named, moved or deleted; `ids` are those, none of them means: look at all."""

    ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SettingsChanged:
    """The settings were read again, and at least one of them is another than before."""


Event = (
    ServersChanged
    | EngineChanged
    | BackendChosen
    | AnswerState
    | Notice
    | WindowRequested
    | ConversationsChanged
    | SettingsChanged
)
E = TypeVar("E")


class Bus:
    """Delivers each event to everyone who asked for its type, in the thread that publishes it.

    A listener must not block. An error in a listener is raised to the publisher: it is our own bug.
    """

    def __init__(self) -> None:
        self._listeners: list[tuple[type[object], Callable[[object], None]]] = []

    def listen(self, kind: type[E], listener: Callable[[E], None]) -> Callable[[], None]:
        """Call `listener` for every event of type `kind`; the returned function stops that."""
        entry: tuple[type[object], Callable[[object], None]] = (kind, listener)  # type: ignore[assignment]
        self._listeners.append(entry)

        def stop() -> None:
            if entry in self._listeners:
                self._listeners.remove(entry)

        return stop

    def publish(self, event: Event) -> None:
        """Tell everyone who listens for this type of event."""
        for kind, listener in list(self._listeners):
            if isinstance(event, kind):
                listener(event)
