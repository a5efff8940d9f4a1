"""What the tray menu says, as values: a pure function of the app's state."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from whisper_desktop.app.choices import AppState, BackendChoice


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a menu.

    `action` is what happens on a click ("chat", "backend", "sleep", "models", "setup", "settings", "logs",
    "quit", None for a line that only informs); `value` goes with it. `detail` stands beside the text.
    `checked` None means: not a choice. `children` make it a submenu. A `separator` has nothing else.
    """

    text: str = ""
    action: str | None = None
    value: str | None = None
    detail: str = ""
    checked: bool | None = None
    children: tuple["Entry", ...] = ()
    separator: bool = False


SEPARATOR = Entry(separator=True)
STARTING = (Entry("Starting…"), SEPARATOR, Entry("Quit", "quit"))
"""The menu before the core is there."""


def menu_entries(
    state: "AppState", choices: "Sequence[BackendChoice]", downloads: str = ""
) -> tuple[Entry, ...]:
    """The whole menu, top to bottom. `downloads` says what is being downloaded, "" where nothing is."""
    return (
        Entry(state.headline),
        SEPARATOR,
        Entry("New chat", "chat"),
        Entry("Backend", children=backend_entries(choices)),
        _free_memory(state.memory),
        SEPARATOR,
        Entry("Models…", "models", detail=downloads),
        Entry("Setup…", "setup"),
        Entry("Settings…", "settings"),
        Entry("Logs…", "logs"),
        SEPARATOR,
        Entry("Quit", "quit"),
    )


def _free_memory(memory: str) -> Entry:
    """Always there, so that nothing moves; a click does something while an engine of ours is awake."""
    return (
        Entry("Free memory now", "sleep", detail=f"{memory} in use") if memory else Entry("Free memory now")
    )


def backend_entries(choices: "Sequence[BackendChoice]") -> tuple[Entry, ...]:
    """The Backend submenu: one radio line for each choice, Automatic first."""
    return tuple(
        Entry(choice.name, "backend", choice.id, _detail(choice), choice.chosen) for choice in choices
    )


def _detail(choice: "BackendChoice") -> str:
    """What stands beside a backend; one that is farther away than this computer says so."""
    near = choice.reach is None or choice.reach.value == "this_machine"
    words = "" if near or choice.reach is None else choice.reach.words
    return f"{words} · {choice.detail}" if words and words not in choice.detail else choice.detail
