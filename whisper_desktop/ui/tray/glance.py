"""Everything the tray shows, as one value, and what follows from it: the icon and its tooltip."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from whisper_desktop.language import tr

if TYPE_CHECKING:
    from whisper_desktop.app.choices import AppState, BackendChoice


@dataclass(frozen=True, slots=True)
class OwnModel:
    """A model on this computer that the built-in engine can run. `in_use` marks the one it is set to."""

    name: str
    in_use: bool


@dataclass(frozen=True, slots=True)
class Recent:
    """A conversation for the menu."""

    id: str
    title: str


@dataclass(frozen=True, slots=True)
class Glance:
    """`downloads` says what is being downloaded, "" where nothing is; `percent` how far, None where nobody
    knows. `model` is the one that was chosen, None where the backend decides. `startable` are programs that
    are here and do not run. `shortcut` opens Quick ask, "" where no keys do.
    """

    state: "AppState"
    choices: "tuple[BackendChoice, ...]" = ()
    downloads: str = ""
    percent: int | None = None
    model: str | None = None
    own_models: tuple[OwnModel, ...] = ()
    startable: tuple[tuple[str, str], ...] = ()
    recent: tuple[Recent, ...] = ()
    local_only: bool = True
    shortcut: str = ""

    @property
    def backend(self) -> "BackendChoice | None":
        """Who answers next: the one that was chosen, else the first of the chain."""
        chosen = next((each for each in self.choices if each.chosen), None)
        if chosen is not None and chosen.id is not None:
            return chosen
        return next((each for each in self.choices if each.id == self.state.backend and each.id), None)


@dataclass(frozen=True, slots=True)
class Shown:
    """What the icon shows. `activity` is an `AppState.activity`, or "downloading" with how far as `percent`.

    `setting` is `ui.tray_icon`: in which colour.
    """

    activity: str
    tooltip: str
    percent: int | None = None
    setting: str = "system"


def shown(glance: Glance, setting: str) -> Shown:
    """What needs the person comes first, then what goes on, and a download shows where all is quiet."""
    if glance.downloads and glance.state.activity == "ready":
        return Shown("downloading", _tooltip(glance), glance.percent, setting)
    return Shown(glance.state.activity, _tooltip(glance), None, setting)


def _tooltip(glance: Glance) -> str:
    """State, model and backend; below it what is downloaded, and the memory in use."""
    lines = ["Whisper Desktop", glance.state.headline]
    if glance.downloads:
        lines.append(glance.downloads)
    if glance.state.memory:
        lines.append(tr("{size} of memory in use", size=glance.state.memory))
    return "\n".join(lines)
