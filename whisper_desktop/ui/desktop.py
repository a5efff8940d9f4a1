"""The desktop app once the icon is on the screen: it starts the core, opens windows, and quits in stages."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Qt, QTimer
from PySide6.QtGui import QGuiApplication

from whisper_desktop.errors import WhisperError
from whisper_desktop.events import Notice, WindowRequested
from whisper_desktop.ui.bridge import Bridge
from whisper_desktop.ui.code_spans import without_marks
from whisper_desktop.ui.tray.entries import menu_entries
from whisper_desktop.ui.tray.tray import Tray
from whisper_desktop.values import Deadlines

if TYPE_CHECKING:
    from whisper_desktop.app import App
    from whisper_desktop.control import Front
    from whisper_desktop.models.download_jobs import Job
    from whisper_desktop.ui.chat.window import ChatWindow
    from whisper_desktop.ui.models.follower import DownloadsFollower
    from whisper_desktop.ui.tray.stand_in import StandIn
    from whisper_desktop.ui.window import AppWindow

log = logging.getLogger("whisper_desktop.ui")

_REFRESH = 50  # ms: news that come together are shown once
_WINDOWS = ("chat", "guide", "models", "setup", "settings", "logs")


class Desktop(QObject):
    """Owns the tray, the bridge and the windows. `run` is the whole life of the app.

    `make_app` builds the core object (tests hand in one with shorter deadlines).
    """

    def __init__(
        self,
        tray: Tray,
        loop: asyncio.AbstractEventLoop,
        *,
        make_app: "Callable[[], App] | None" = None,
        background: bool = False,
    ) -> None:
        super().__init__()
        self._tray = tray
        self._make_app = make_app
        self._wanted = None if background else "chat"
        self.bridge = Bridge(loop, self.report)
        self._app: App | None = None
        self._front: Front | None = None
        self.windows: list[AppWindow] = []
        self._stand_in: StandIn | None = None
        self._unread: Notice | None = None
        self._downloads: DownloadsFollower | None = None
        self._downloading = ""
        self._quit: asyncio.Future[None] = loop.create_future()
        self._refresh_soon = QTimer(self, singleShot=True, interval=_REFRESH)
        self._refresh_soon.timeout.connect(self.refresh)
        self.bridge.event_arrived.connect(self._on_event)
        tray.chosen.connect(self.do)
        tray.about_to_show.connect(self.refresh)
        tray.menu.aboutToHide.connect(self._on_menu_read)
        tray.host_changed.connect(self._on_host_changed)

    # --- life -----------------------------------------------------------------------------------------------

    async def run(self) -> int:
        """Start the core, show what the start asks for, wait for *Quit*, end everything; the exit code."""
        self.bridge.start()
        try:
            self._app = await self.bridge.run(self._start_core())
            if self._app is not None:
                self._on_started()
                await self._quit
            return 0
        except WhisperError as error:
            await self._show_fatal(error)
            return 1
        except Exception:
            log.exception("The app cannot start")
            await self._show_fatal(_OUR_FAULT)
            return 1
        finally:
            await self._end()

    async def _start_core(self) -> "App | None":
        """On the core loop: become the owner, or ask the desktop that is it to show itself (None)."""
        from whisper_desktop.app import App
        from whisper_desktop.control import Front

        app = self._make_app() if self._make_app is not None else App()
        self.bridge.listen(app.bus)
        self._front = Front(lambda: app, desktop=True)
        core = await self._front.core()
        if core.is_owner:
            return app
        await core.show("chat")
        return None

    def _on_started(self) -> None:
        assert self._app is not None
        self.bridge.spawn(self._scan())
        _follow_theme(self._app.loaded.settings.ui.theme)
        wanted = "setup" if self._app.state().first_run else self._wanted
        if wanted is not None:
            self.show_window(wanted)
        self._on_host_changed(self._tray.has_host)
        self.refresh()

    async def _scan(self) -> None:
        assert self._app is not None
        await self.bridge.run(self._app.scan())
        if await self.bridge.run(_has_downloads(self._app)):
            self._follow_downloads()

    def quit(self) -> None:
        """End the app, in stages, after the current event has been handled."""
        if not self._quit.done():
            self._quit.set_result(None)

    async def _end(self) -> None:
        self._tray.hide()
        for window in list(self.windows):
            window.close()
        if self._stand_in is not None:
            self._stand_in.leave()
        seconds = Deadlines().shutdown
        with suppress(TimeoutError):
            await self.bridge.run(self._close_core(seconds))
        if not await self.bridge.stop(seconds):
            log.warning("The core was still busy %.0f s after quitting.", seconds)

    async def _close_core(self, seconds: float) -> None:
        if self._front is not None:
            await asyncio.wait_for(self._front.close(), seconds)

    async def _show_fatal(self, error: WhisperError) -> None:
        """The core cannot start: say why in a window, and end when it is closed."""
        from whisper_desktop.ui.fatal import FatalWindow

        log.error("The app cannot start: %s", error)
        window = FatalWindow(self.bridge, error)
        window.closed.connect(self.quit)
        self._keep(window)
        await self._quit

    # --- what is shown --------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Show the state everywhere it is shown: the core's, or a notice that nobody has read yet."""
        if self._app is None:
            return
        state, choices = self._app.state(), self._app.backend_choices()
        if self._unread is not None:
            state = replace(state, activity="needs_attention", headline=self._unread.title)
        entries = menu_entries(state, choices, self._downloading)
        self._tray.show_state(state.activity, entries)
        if self._stand_in is not None:
            self._stand_in.show_state(state.activity, entries)
        for window in self.windows:
            window.show_state(state, choices)

    def _on_event(self, event: object) -> None:
        if isinstance(event, WindowRequested):
            self._on_window_requested(event.window)
        elif isinstance(event, Notice):
            if event.needs_attention:
                self._unread = event
            self._tray.notify(event.title, event.detail)
        self._refresh_soon.start()

    def _on_menu_read(self) -> None:
        self._unread = None
        if self._app is not None:
            self._app.attention_seen()
        self._refresh_soon.start()

    def _on_host_changed(self, present: bool) -> None:
        """The tray's stand-in comes when the host is missing, and goes when it is there."""
        if present and self._stand_in is not None:
            self._stand_in.leave()
            self._stand_in.deleteLater()
            self._stand_in = None
        elif not present and self._stand_in is None and self._app is not None:
            from whisper_desktop.ui.tray.stand_in import StandIn

            self._stand_in = StandIn()
            self._stand_in.chosen.connect(self.do)
            self.refresh()
            self._stand_in.show()

    # --- what is done ---------------------------------------------------------------------------------------

    def do(self, action: str, value: object = None) -> None:
        """Carry out an entry of the menu."""
        if action == "quit":
            self.quit()
        elif action == "backend":
            self.choose(value if isinstance(value, str) else None)
        elif action == "sleep":
            self._free_memory()
        elif action in _WINDOWS:
            self.show_window(action)

    def _free_memory(self) -> None:
        if self._app is not None:
            self.bridge.spawn(self._put_to_sleep(self._app))

    async def _put_to_sleep(self, app: "App") -> None:
        if not await self.bridge.run(app.free_memory()):
            self._tray.notify(
                "Nothing was freed.", "The engine is answering. Try again when it has finished."
            )
        self.refresh()

    def choose(self, backend: str | None) -> None:
        """Switch the backend; the next message uses it."""
        if self._app is not None:
            self.bridge.spawn(self._choose(self._app, backend))

    async def _choose(self, app: "App", backend: str | None) -> None:
        await self.bridge.run(app.choose(backend))
        self.refresh()

    def show_window(self, name: str) -> None:
        """Open a window, or bring the one that is open to the front."""
        if self._app is None:
            self._wanted = name  # a click while the app starts is not lost
            return
        known = self._open_window(name)
        window = known if known is not None else self._make_window(name, self._app)
        if known is None:
            self._keep(window)
            self.refresh()
        if window.isMinimized():
            window.showNormal()
        window.raise_()
        window.activateWindow()

    def _on_window_requested(self, name: str) -> None:
        """A second start wants to see us: what is open comes to the front, else a chat opens."""
        if name == "chat" and self.windows:
            window = self.windows[-1]
            window.showNormal()
            window.raise_()
            window.activateWindow()
        else:
            self.show_window(name)

    def _open_window(self, name: str) -> "AppWindow | None":
        """The open window of this name that can be used again."""
        fitting = (window for window in self.windows if window.kind == name and window.reusable)
        return next(fitting, None)

    def _make_window(self, name: str, app: "App") -> "AppWindow":
        if name in ("chat", "guide"):
            return self._chat(app, guide=name == "guide")
        if name == "setup":
            from whisper_desktop.ui.wizard.window import SetupWindow

            setup = SetupWindow(self.bridge, app)
            setup.requested.connect(self.show_window)
            setup.downloading.connect(self._follow_downloads)
            return setup
        if name == "models":
            from whisper_desktop.ui.models.window import ModelsWindow

            self._follow_downloads()
            return ModelsWindow(self.bridge, app)
        if name == "settings":
            from whisper_desktop.ui.settings_window import SettingsWindow

            return SettingsWindow(self.bridge, app)
        from whisper_desktop.ui.logs_window import LogsWindow

        return LogsWindow(self.bridge, app)

    def _chat(self, app: "App", *, guide: bool) -> "ChatWindow":
        from whisper_desktop.ui.chat.window import ChatWindow

        window = ChatWindow(self.bridge, app.open_session(guide=guide))
        window.requested.connect(self.show_window)
        window.backend_chosen.connect(self.choose)
        return window

    def _follow_downloads(self) -> None:
        """From now on the menu says what is being downloaded, whichever window is open."""
        from whisper_desktop.ui.models.follower import DownloadsFollower

        if self._app is None:
            return
        if self._downloads is None:
            self._downloads = DownloadsFollower(self.bridge)
            self._downloads.changed.connect(self._on_downloading)
            self._downloads.ended.connect(self._on_download_ended)
        self._downloads.start(self._app)

    def _on_downloading(self, words: str) -> None:
        self._downloading = words
        self._refresh_soon.start()

    def _on_download_ended(self, job: "Job") -> None:
        if self._open_window("models") is not None:
            return
        if job.state == "failed":
            self._tray.notify(f"{job.title} could not be downloaded.", job.error)
        else:
            self._tray.notify(f"{job.title} is downloaded.", "Models in the menu has what to do with it.")

    def _keep(self, window: "AppWindow") -> None:
        self.windows.append(window)
        window.closed.connect(lambda: self.windows.remove(window))
        window.show()

    # --- when something goes wrong --------------------------------------------------------------------------

    def report(self, error: BaseException) -> None:
        """An error that no window caught: our words where it has them, else that it is in the log."""
        if isinstance(error, WhisperError):
            log.warning("%s", error)
            words = " ".join(part for part in (error.detail, error.next_step) if part)
            self._tray.notify(error.title, without_marks(words))
        else:
            log.error("A mistake in the desktop", exc_info=error)
            self._tray.notify("Something went wrong inside the app.", "The details are in Logs.")


async def _has_downloads(app: "App") -> bool:
    """On the core loop: whether an earlier run left something that is to be downloaded."""
    return any(job.state in ("waiting", "running") for job in await app.models.begun())


_OUR_FAULT = WhisperError(
    "Whisper Desktop made a mistake and cannot start.",
    "The technical details are in its log.",
    "Start it again; if that does not help, report what the log says.",
)

_SCHEMES = {
    "system": Qt.ColorScheme.Unknown,
    "light": Qt.ColorScheme.Light,
    "dark": Qt.ColorScheme.Dark,
}


def _follow_theme(theme: str) -> None:
    """Light, dark, or what the system says."""
    QGuiApplication.styleHints().setColorScheme(_SCHEMES[theme])
