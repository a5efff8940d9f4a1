"""The app's windows by name: made when they are first asked for, brought to the front after that."""

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Qt, Signal

from whisper_desktop.ui.bridge import Bridge
from whisper_desktop.ui.geometry import WindowPlaces
from whisper_desktop.ui.window import AppWindow

if TYPE_CHECKING:
    from whisper_desktop.app import App

NAMES = ("chat", "guide", "ask", "models", "setup", "settings", "logs")

_PLACES_ITSELF = "ask"
_MINIMISED = Qt.WindowState.WindowMinimized


class Windows(QObject):
    """What is open, and what is kept hidden to be back at once.

    Signals:
        opened: the window that was shown; it should be told the state.
        backend_chosen: a backend's id (None: automatic) and a model (None: the backend's own choice).
        downloading: something may be downloaded from now on.
        finished_behind: an answer has ended that nobody sees: the chat's title, one sentence, its id.
    """

    opened = Signal(object)
    backend_chosen = Signal(object, object)
    downloading = Signal()
    finished_behind = Signal(str, str, str)

    def __init__(self, bridge: Bridge, places: WindowPlaces) -> None:
        super().__init__()
        self._bridge = bridge
        self._places = places
        self.all: list[AppWindow] = []

    @property
    def visible(self) -> list[AppWindow]:
        """Those a person can see, the one that was opened last at the end."""
        return [window for window in self.all if window.isVisible()]

    def find(self, name: str) -> AppWindow | None:
        """The window of this name, hidden or not."""
        return next((window for window in self.all if window.kind == name), None)

    def is_in_sight(self, name: str) -> bool:
        """Whether it is on the screen."""
        window = self.find(name)
        return window is not None and window.isVisible() and not window.isMinimized()

    def show(self, app: "App", name: str, value: str = "") -> AppWindow:
        """Open a window, or bring it to the front.

        `value` is a conversation's id for "chat", the text to begin with for "ask", a key for "settings",
        what to look for in "models". It may come from a link, so from anybody: nothing is sent or changed by
        it.
        """
        window = self.find(name) or self._made(app, name)
        if value:
            self._begin(window, name, value)
        self.raise_(window)
        return window

    def _begin(self, window: AppWindow, name: str, value: str) -> None:
        match name:
            case "chat":
                from whisper_desktop.ui.chat.window import ChatWindow

                assert isinstance(window, ChatWindow)
                window.open_chat(value)
            case "ask":
                from whisper_desktop.ui.ask.window import QuickAskWindow

                assert isinstance(window, QuickAskWindow)
                window.begin(value)
            case "settings":
                from whisper_desktop.ui.settings.window import SettingsWindow

                assert isinstance(window, SettingsWindow)
                window.show_setting(value)
            case "models":
                from whisper_desktop.ui.models.window import ModelsWindow

                assert isinstance(window, ModelsWindow)
                window.look_for(value)

    def raise_(self, window: AppWindow) -> None:
        """To the front, also where it is hidden or minimised."""
        self.all.remove(window)
        self.all.append(window)
        if window.isMinimized():
            window.setWindowState(window.windowState() & ~_MINIMISED)
        window.show()
        window.raise_()
        window.activateWindow()
        self.opened.emit(window)

    def keep(self, window: AppWindow) -> None:
        """Know this window until it ends."""
        self.all.append(window)
        window.closed.connect(lambda: self.all.remove(window))
        if window.kind != _PLACES_ITSELF:
            self._places.restore(window)
            window.put_away.connect(lambda: self._places.note(window))

    def make_anew(self, app: "App") -> None:
        """The language has changed. A window that is engaged keeps its words until it is closed."""
        for window in list(self.all):
            if window.engaged:
                window.outdated = True
                continue
            shown, place = window.isVisible(), window.place
            window.leave()
            if shown:
                self.show(app, window.kind, place)

    def leave(self) -> None:
        """End all of them."""
        for window in list(self.all):
            window.leave()

    def _made(self, app: "App", name: str) -> AppWindow:
        window = self._make(app, name)
        window.requested.connect(lambda wanted: self.show(app, wanted))
        self.keep(window)
        return window

    def _make(self, app: "App", name: str) -> AppWindow:
        match name:
            case "chat" | "guide":
                return self._chat(app, guide=name == "guide")
            case "ask":
                from whisper_desktop.ui.ask.window import QuickAskWindow

                ask = QuickAskWindow(self._bridge, app)
                ask.open_in_chat.connect(lambda conversation: self.show(app, "chat", conversation))
                return ask
            case "setup":
                from whisper_desktop.ui.wizard.window import SetupWindow

                setup = SetupWindow(self._bridge, app)
                setup.downloading.connect(self.downloading)
                return setup
            case "models":
                from whisper_desktop.ui.models.window import ModelsWindow

                self.downloading.emit()
                return ModelsWindow(self._bridge, app)
            case "settings":
                from whisper_desktop.ui.settings.window import SettingsWindow

                return SettingsWindow(self._bridge, app)
            case "logs":
                from whisper_desktop.ui.logs.window import LogsWindow

                return LogsWindow(self._bridge, app)
        raise ValueError(f"There is no window {name!r}.")

    def _chat(self, app: "App", *, guide: bool) -> AppWindow:
        from whisper_desktop.ui.chat.window import ChatWindow

        window = ChatWindow(self._bridge, app, guide=guide)
        window.backend_chosen.connect(self.backend_chosen)
        window.finished_behind.connect(self.finished_behind)
        return window
