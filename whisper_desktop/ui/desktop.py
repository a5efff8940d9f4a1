"""The desktop app once the icon is on the screen: starts the core, shows its state, quits in stages."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer, Signal
from PySide6.QtGui import QGuiApplication, QSessionManager

from whisper_desktop.errors import SettingsError, WhisperError
from whisper_desktop.events import AnswerState, EngineChanged, Notice, WindowRequested
from whisper_desktop.language import tr
from whisper_desktop.ui import theme
from whisper_desktop.ui.bridge import Bridge
from whisper_desktop.ui.code_spans import without_marks
from whisper_desktop.ui.geometry import WindowPlaces
from whisper_desktop.ui.keep_awake import KeepAwake
from whisper_desktop.ui.notifications import Notifier, Told
from whisper_desktop.ui.tray.actions import Actions
from whisper_desktop.ui.tray.entries import menu_entries
from whisper_desktop.ui.tray.glance import Glance, Recent, shown
from whisper_desktop.ui.tray.tray import Tray
from whisper_desktop.ui.windows import NAMES, Windows
from whisper_desktop.values import Deadlines, EngineState, Reach

if TYPE_CHECKING:
    from whisper_desktop.app import App
    from whisper_desktop.control import Front
    from whisper_desktop.settings.schema import UISettings
    from whisper_desktop.ui.ask.opener import QuickAsk
    from whisper_desktop.ui.tray.downloads import TrayDownloads
    from whisper_desktop.ui.tray.stand_in import StandIn
    from whisper_desktop.ui.window import AppWindow

log = logging.getLogger("whisper_desktop.ui")

_REFRESH = 50  # ms: news that come together are shown once
_KEEP_PLACES = 1000  # ms: windows that are moved together are written down once


class Desktop(QObject):
    """Owns the tray, the bridge and the windows. `run` is the whole life of the app.

    `make_app` builds the core object (tests hand in one with shorter deadlines); `link` is to be opened.

    Signals:
        ending: the app is about to end, whoever wanted it.
    """

    ending = Signal()

    def __init__(
        self,
        tray: Tray,
        loop: asyncio.AbstractEventLoop,
        *,
        make_app: "Callable[[], App] | None" = None,
        background: bool = False,
        link: str = "",
    ) -> None:
        super().__init__()
        self._tray = tray
        self._make_app = make_app
        self._wanted: tuple[str, str] | None = None if background else ("chat", "")
        self._link = link
        self._problem = ""
        self.bridge = Bridge(loop, self.report)
        self._app: App | None = None
        self._front: Front | None = None
        self._stand_in: StandIn | None = None
        self._unread: Notice | None = None
        self._downloads: TrayDownloads | None = None
        self._ui: UISettings | None = None
        self._places = WindowPlaces({}, positions=not QGuiApplication.platformName().startswith("wayland"))
        self._windows = Windows(self.bridge, self._places)
        self.notifier = Notifier(self.bridge, tray)
        self._awake = KeepAwake(self.bridge)
        self._actions: Actions | None = None
        self._quick_ask: QuickAsk | None = None
        self._quit: asyncio.Future[None] = loop.create_future()
        self._refresh_soon = QTimer(self, singleShot=True, interval=_REFRESH)
        self._keep_soon = QTimer(self, singleShot=True, interval=_KEEP_PLACES)
        self._connect()

    def _connect(self) -> None:
        self._refresh_soon.timeout.connect(self.refresh)
        self._keep_soon.timeout.connect(lambda: self.bridge.spawn(self._keep_places()))
        self.bridge.event_arrived.connect(self._on_event)
        self._tray.chosen.connect(self.do)
        self._tray.about_to_show.connect(self._on_menu_wanted)
        self._tray.menu.aboutToHide.connect(self._on_menu_read)
        self._tray.host_changed.connect(self._on_host_changed)
        self._places.changed.connect(self._keep_soon.start)
        self._windows.opened.connect(self._tell_state)
        self._windows.backend_chosen.connect(self._on_backend_chosen)
        self._windows.downloading.connect(self._follow_downloads)
        self._windows.finished_behind.connect(self._on_finished_behind)
        self.notifier.clicked.connect(self.show_window)
        application = QGuiApplication.instance()
        assert isinstance(application, QGuiApplication)
        application.commitDataRequest.connect(self._on_session_ends)

    @property
    def windows(self) -> "list[AppWindow]":
        """The windows there are, also those that are only kept."""
        return self._windows.all

    # --- life -----------------------------------------------------------------------------------------------

    async def run(self) -> int:
        """Start the core, show what the start asks for, wait for *Quit*, end everything; the exit code."""
        self.bridge.start()
        try:
            self._app = await self.bridge.run(self._start_core())
            if self._app is not None:
                self._on_started(self._app)
                await self._quit
            return 0
        except WhisperError as error:
            await self._show_fatal(error)
            return 1
        except Exception:
            log.exception("The app cannot start")
            await self._show_fatal(_our_fault())
            return 1
        finally:
            await self._end()

    async def _start_core(self) -> "App | None":
        """On the core loop: become the owner, or ask the desktop that is it to show itself (None)."""
        from whisper_desktop.app import App
        from whisper_desktop.app.links import Opening, opening_of
        from whisper_desktop.control import Front

        app = self._make_app() if self._make_app is not None else App()
        self.bridge.listen(app.bus)
        self._front = Front(lambda: app, desktop=True)
        opening = None
        if self._wanted is not None:
            opening = opening_of(self._link) if self._link else Opening(*self._wanted)
            self._wanted, self._problem = (opening.window, opening.value), opening.problem
        return app if await self._front.own_or_show(opening) else None

    def _on_started(self, app: "App") -> None:
        settings = app.loaded.settings
        self._places.texts.update(settings.ui.geometry)
        self._actions = Actions(self.bridge, app, self._windows, self.notifier)
        self._actions.changed.connect(self.refresh)
        self._quick_ask = self._opener(app)
        self._use(settings.ui)
        self.bridge.spawn(self._look_around(app))
        if self._problem:
            self.notifier.tell(Told(self._problem, ""))
        wanted = ("setup", "") if app.state().first_run else self._wanted
        if wanted is not None:
            self.bridge.loop.call_soon(self.show_window, *wanted)
        self._tray.watch_host()
        self._on_host_changed(self._tray.has_host)
        self.refresh()

    async def _look_around(self, app: "App") -> None:
        await self.bridge.run(app.scan())
        await self.bridge.run(_recall(app))
        if await self.bridge.run(_has_downloads(app)):
            self._follow_downloads()
        self.refresh()

    def _use(self, ui: "UISettings") -> None:
        """What the settings say about windows holds from now on."""
        before, self._ui = self._ui, ui
        if before is None or before.language != ui.language:
            from whisper_desktop.ui.languages import speak

            speak(ui.language)
            if before is not None and self._app is not None:
                self._windows.make_anew(self._app)
        if before is None or before.theme != ui.theme:
            theme.follow(ui.theme)
        self.notifier.level = ui.notifications
        if self._quick_ask is not None:
            self._quick_ask.use(ui.quick_ask_shortcut)

    def _opener(self, app: "App") -> "QuickAsk":
        from whisper_desktop.ui.ask.opener import QuickAsk

        opener = QuickAsk(self.bridge, app, lambda: self._windows.show(app, "ask"))
        opener.changed.connect(self._refresh_soon.start)
        self._windows.opened.connect(opener.attend)
        return opener

    def quit(self) -> None:
        """End the app, in stages, after the current event has been handled."""
        if not self._quit.done():
            self._quit.set_result(None)

    async def _end(self) -> None:
        """Windows, then the core with its answers, engines and files, then its thread; each in its time."""
        self.ending.emit()
        self._tray.hide()
        if self._quick_ask is not None:
            self._quick_ask.stop()
        for window in self._windows.visible:
            window.put_away.emit()
        self._windows.leave()
        if self._stand_in is not None:
            self._stand_in.leave()
        seconds = Deadlines().shutdown
        self._keep_soon.stop()
        for stage in (self._keep_places, self._close_core):
            working = self.bridge.loop.create_task(stage())
            over = self.bridge.loop.call_later(seconds, working.cancel)  # on this loop: the core's may hang
            try:
                await working
            except asyncio.CancelledError:
                log.warning("Quitting went on after %.0f s.", seconds)
            except Exception:  # a stage that fails must not keep the others from ending
                log.exception("A stage of quitting failed")
            finally:
                over.cancel()
        if not await self.bridge.stop(seconds):
            log.warning("The core was still busy %.0f s after quitting.", seconds)
        self._awake.close()

    async def _close_core(self) -> None:
        await self.bridge.run(self.notifier.close())
        if self._front is not None:
            await self.bridge.run(self._front.close())

    async def _keep_places(self) -> None:
        from whisper_desktop.settings import remember

        if self._app is not None and self._places.texts != self._app.loaded.settings.ui.geometry:
            keeping = asyncio.to_thread(remember, "ui.geometry", dict(self._places.texts))
            with suppress(SettingsError):  # windows that open elsewhere are not worth a word
                await self.bridge.run(keeping)

    def _on_session_ends(self, session: QSessionManager) -> None:
        """The person logs out. What is worth keeping is kept now: the system may end us at any moment."""
        session.setRestartHint(QSessionManager.RestartHint.RestartNever)  # autostart is the person's choice
        for window in self._windows.visible:
            window.put_away.emit()

    async def _show_fatal(self, error: WhisperError) -> None:
        """The core cannot start: say why in a window, and end when it is closed."""
        from whisper_desktop.ui.fatal import FatalWindow

        log.error("The app cannot start: %s", error)
        window = FatalWindow(self.bridge, error)
        window.closed.connect(self.quit)
        self._windows.keep(window)
        window.show()
        await self._quit

    # --- what is shown --------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Show the state everywhere it is shown: the core's, or a notice that nobody has read yet."""
        if self._app is None or self._ui is None:
            return
        settings = self._app.loaded.settings
        if settings.ui != self._ui:
            self._use(settings.ui)
        glance = self._glance(self._app)
        icon, entries = shown(glance, settings.ui.tray_icon), menu_entries(glance)
        self._tray.show_state(icon, entries)
        if self._stand_in is not None:
            self._stand_in.show_state(icon, entries)
        for window in self.windows:
            window.show_state(glance.state, glance.choices)

    def _glance(self, app: "App") -> Glance:
        settings, state = app.loaded.settings, app.state()
        if self._unread is not None:
            state = replace(state, activity="needs_attention", headline=self._unread.title)
        actions, downloads = self._actions, self._downloads
        return Glance(
            state,
            app.backend_choices(),
            downloads=downloads.words if downloads is not None else "",
            percent=downloads.percent if downloads is not None else None,
            model=settings.llm.model_name,
            own_models=actions.own_models if actions is not None else (),
            startable=actions.startable if actions is not None else (),
            recent=tuple(Recent(each.id, each.title) for each in app.chats.recent()),
            local_only=settings.llm.reach is Reach.THIS_MACHINE,
            shortcut=self._quick_ask.keys if self._quick_ask is not None else "",
        )

    def _tell_state(self, window: "AppWindow") -> None:
        if self._app is not None:
            window.show_state(self._app.state(), self._app.backend_choices())

    def _on_event(self, event: object) -> None:
        match event:
            case WindowRequested(name, value):
                self._on_window_requested(name, value)
            case Notice():
                if event.needs_attention:
                    self._unread = event
                self.notifier.tell(
                    Told(event.title, event.detail, problem=event.needs_attention, window="logs")
                )
            case AnswerState(active):
                self._awake.answering(active)
            case EngineChanged(status) if status.state is EngineState.FAILED:
                self.notifier.tell(
                    Told(tr("The engine cannot run."), status.detail, True, "logs", key="engine")
                )
        self._refresh_soon.start()

    def _on_finished_behind(self, title: str, sentence: str, conversation: str) -> None:
        told = Told(title, sentence, window="chat", value=conversation, key=f"chat {conversation}")
        self.notifier.tell(told)

    def _on_menu_wanted(self) -> None:
        if self._actions is not None:
            self._actions.look()
        self.refresh()

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
        """Carry out an entry of the menu; one that comes while the app starts is done when it has."""
        if action == "quit":
            self.quit()
        elif action == "show":
            self.show_window("chat")
        elif action == "open_chat":
            self.show_window("chat", str(value))
        elif self._actions is not None:
            self._actions.do(action, value if isinstance(value, str) else None)
        elif action in NAMES:
            self.show_window(action)

    def _on_backend_chosen(self, backend: str | None, model: str | None) -> None:
        if self._actions is not None:
            self._actions.choose(backend, model, say=False)

    def show_window(self, name: str, value: str = "") -> None:
        """Open a window, or bring the one that is open to the front."""
        if self._app is None:
            self._wanted = (name, value)  # a click while the app starts is not lost
        else:
            self._windows.show(self._app, name, value)

    def _on_window_requested(self, name: str, value: str) -> None:
        """A second start wants to see us: what is open comes to the front, else a chat opens."""
        from whisper_desktop.ui.hotkey.activation import use_token

        if self._front is not None:  # on Wayland only who was handed the token may come to the front
            use_token(self._front.activation_token())
        if name == "chat" and not value and (visible := self._windows.visible):
            self._windows.raise_(visible[-1])
        else:
            self.show_window(name, value)

    def _follow_downloads(self) -> None:
        """From now on the menu says what is being downloaded, whichever window is open."""
        from whisper_desktop.ui.tray.downloads import TrayDownloads

        if self._app is None:
            return
        if self._downloads is None:
            self._downloads = TrayDownloads(self.bridge)
            self._downloads.changed.connect(self._on_downloading)
            self._downloads.ended.connect(self._on_download_ended)
        self._downloads.start(self._app)

    def _on_downloading(self) -> None:
        self._awake.downloading(self._downloads is not None and bool(self._downloads.words))
        self._refresh_soon.start()

    def _on_download_ended(self, told: Told) -> None:
        if not self._windows.is_in_sight("models"):
            self.notifier.tell(told)

    # --- when something goes wrong --------------------------------------------------------------------------

    def report(self, error: BaseException) -> None:
        """An error that no window caught: our words where it has them, else that it is in the log."""
        if isinstance(error, WhisperError):
            log.warning("%s", error)
            words = " ".join(part for part in (error.detail, error.next_step) if part)
            self.notifier.tell(Told(error.title, without_marks(words), True, "logs"))
        else:
            log.error("A mistake in the desktop", exc_info=error)
            self.notifier.tell(
                Told(tr("Something went wrong inside the app."), tr("The details are in Logs."), True, "logs")
            )


async def _recall(app: "App") -> None:
    """On the core loop: the newest conversations, for the menu. Where that fails, the chat says why."""
    with suppress(WhisperError):
        await app.chats.list()


async def _has_downloads(app: "App") -> bool:
    """On the core loop: whether an earlier run left something that is to be downloaded."""
    return any(job.state in ("waiting", "running") for job in await app.models.begun())


def _our_fault() -> WhisperError:
    return WhisperError(
        tr("Whisper Desktop made a mistake and cannot start."),
        tr("The technical details are in its log."),
        tr("Start it again; if that does not help, report what the log says."),
    )
