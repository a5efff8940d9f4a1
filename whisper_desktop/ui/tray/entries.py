"""What the tray menu says, as values: a pure function of what there is to show."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from whisper_desktop.language import tr

if TYPE_CHECKING:
    from whisper_desktop.app.choices import BackendChoice
    from whisper_desktop.ui.tray.glance import Glance

_LONGEST = 48  # characters of a conversation's title or a model's name
_MOST_MODELS = 40


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a menu.

    `action` is what happens on a click ("chat", "open_chat", "ask", "backend", "start", "model", "sleep",
    "local_only", "models", "setup", "settings", "logs", "quit"; None for a line that only informs); `value`
    goes with it. `detail` stands beside the text. `checked` None means: not a choice; with `alone` it is a
    switch, else one of a group. `children` make it a submenu. A `separator` has nothing else.
    """

    text: str = ""
    action: str | None = None
    value: str | None = None
    detail: str = ""
    checked: bool | None = None
    alone: bool = False
    children: tuple["Entry", ...] = ()
    separator: bool = False


SEPARATOR = Entry(separator=True)


def starting_entries() -> tuple[Entry, ...]:
    """The menu before the core is there."""
    return (Entry(tr("Starting…")), SEPARATOR, Entry(tr("Quit"), "quit"))


def menu_entries(glance: "Glance") -> tuple[Entry, ...]:
    """The whole menu, top to bottom. Every line is always there, so that nothing moves."""
    return (
        Entry(glance.state.headline),
        SEPARATOR,
        Entry(tr("New chat"), "chat"),
        Entry(tr("Quick ask"), "ask", detail=glance.shortcut),
        Entry(tr("Backend"), children=(*backend_entries(glance.choices), *_start_entries(glance.startable))),
        Entry(tr("Model"), children=model_entries(glance)),
        _free_memory(glance.state.memory),
        Entry(tr("This computer only"), "local_only", checked=glance.local_only, alone=True),
        SEPARATOR,
        Entry(tr("Recent chats"), children=_recent_entries(glance)),
        Entry(tr("Models…"), "models", detail=glance.downloads),
        Entry(tr("Setup…"), "setup"),
        Entry(tr("Settings…"), "settings"),
        Entry(tr("Logs…"), "logs"),
        SEPARATOR,
        Entry(tr("Quit"), "quit"),
    )


def _free_memory(memory: str) -> Entry:
    """A click does something while an engine of ours is awake."""
    text = tr("Free memory now")
    return Entry(text, "sleep", detail=tr("{size} in use", size=memory)) if memory else Entry(text)


def backend_entries(choices: "Iterable[BackendChoice]") -> tuple[Entry, ...]:
    """One radio line for each backend, Automatic first."""
    return tuple(
        Entry(choice.name, "backend", choice.id, _detail(choice), choice.chosen) for choice in choices
    )


def _start_entries(startable: Iterable[tuple[str, str]]) -> tuple[Entry, ...]:
    starts = tuple(Entry(tr("Start {program}", program=name), "start", id) for id, name in startable)
    return (SEPARATOR, *starts) if starts else ()


def model_entries(glance: "Glance") -> tuple[Entry, ...]:
    """The models of the backend that answers next; the built-in engine's are files of this computer."""
    backend = glance.backend
    if backend is None:
        return (Entry(tr("No model found yet")),)
    if backend.id == "builtin" and glance.own_models:
        own = [each.name for each in glance.own_models]
        in_use = {each.name for each in glance.own_models if each.in_use}
        return _lines("builtin", own, in_use, backend.loaded)
    if not backend.models:
        return (Entry(tr("{backend} lists no models", backend=backend.name)),)
    asked = glance.model if glance.model in backend.models else glance.state.model
    chosen = {asked} if backend.id == glance.state.backend and asked is not None else set()
    return _lines(str(backend.id), backend.models, chosen, backend.loaded)


def _lines(
    backend: str, models: Sequence[str], chosen: "set[str]", loaded: Sequence[str]
) -> tuple[Entry, ...]:
    lines = [
        Entry(
            _short(model),
            "model",
            f"{backend}\n{model}",
            tr("loaded") if model in loaded else "",
            checked=model in chosen,
        )
        for model in models[:_MOST_MODELS]
    ]
    if len(models) > _MOST_MODELS:
        lines.append(Entry(tr("All models…"), "models"))
    return tuple(lines)


def _recent_entries(glance: "Glance") -> tuple[Entry, ...]:
    if not glance.recent:
        return (Entry(tr("No chats yet")),)
    return tuple(Entry(_short(each.title) or tr("New chat"), "open_chat", each.id) for each in glance.recent)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1].rstrip() + "…"


def _detail(choice: "BackendChoice") -> str:
    """What stands beside a backend; one that is farther away than this computer says so."""
    near = choice.reach is None or choice.reach.value == "this_machine"
    words = "" if near or choice.reach is None else choice.reach.words
    return f"{words} · {choice.detail}" if words and words not in choice.detail else choice.detail
