"""The wizard's window: walks `advice.flow`, runs its effects on the core, and writes once, at the end."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QCloseEvent, QKeyEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLineEdit, QPushButton, QStackedWidget, QVBoxLayout

from whisper_desktop.advice import flow
from whisper_desktop.advice.flow import FlowState, Page
from whisper_desktop.app.setting_up import (
    autostart_standing,
    begun_option,
    held,
    remove_model,
    start_with,
)
from whisper_desktop.app.setup import question_for
from whisper_desktop.chat import who_line
from whisper_desktop.errors import WhisperError
from whisper_desktop.events import ServersChanged
from whisper_desktop.language import tr
from whisper_desktop.ui.bridge import Bridge
from whisper_desktop.ui.models.page import on_models, scrolled
from whisper_desktop.ui.models.watching import watched
from whisper_desktop.ui.theme import XL, L, S
from whisper_desktop.ui.window import AppWindow
from whisper_desktop.ui.wizard.found_page import FoundPage
from whisper_desktop.ui.wizard.page import FlowPage
from whisper_desktop.ui.wizard.pages import DonePage, DoPage, TestPage
from whisper_desktop.ui.wizard.privacy_page import PrivacyPage
from whisper_desktop.ui.wizard.start_page import StartPage
from whisper_desktop.ui.wizard.welcome_page import WelcomePage
from whisper_desktop.values import IDENTITIES, AnswerFinished, ConnectionReport, TextDelta

if TYPE_CHECKING:
    from whisper_desktop.app import App
    from whisper_desktop.app.model_host import ModelHost

T = TypeVar("T")

_LOOK_AGAIN = 2.0  # seconds between two looks for a server that is being installed

_left_off: "WeakKeyDictionary[App, FlowState]" = WeakKeyDictionary()
"""Where the person closed the wizard in the middle; it goes on there for as long as the app runs."""


class SetupWindow(AppWindow):
    """From a welcome to a first answer. *Not now* is always there and leaves a working app.

    Nothing is written before the end but what the person does here for its own sake: a key that is kept, and
    a model that is downloaded, which is the built-in engine's from then on.

    Signals:
        downloading: something is being downloaded, also after this window.
    """

    downloading = Signal()

    def __init__(self, bridge: Bridge, app: "App") -> None:
        super().__init__("setup", tr("Setup – Whisper Desktop"), bridge)
        self._app = app
        self._first_run = app.state().first_run
        first = Page.WELCOME if self._first_run else Page.FOUND
        self._state = _left_off.pop(app, FlowState(page=first))
        self._ended = False
        self._effect: asyncio.Task[None] | None = None
        self._signing_in: asyncio.Task[None] | None = None
        self._following: str | None = None
        self.resize(QSize(840, 520))
        self.setMinimumSize(QSize(640, 460))
        self.welcome, self.found, self.do, self.test = WelcomePage(), FoundPage(), DoPage(), TestPage()
        self.privacy, self.start, self.finished = PrivacyPage(), StartPage(), DonePage()
        self._pages: dict[Page, FlowPage] = {
            Page.WELCOME: self.welcome,
            Page.FOUND: self.found,
            Page.DO: self.do,
            Page.TEST: self.test,
            Page.PRIVACY: self.privacy,
            Page.START: self.start,
            Page.DONE: self.finished,
        }
        self._lay_out()
        self._connect()
        self._show(self._state)
        self._enter()
        self.setFocus()
        self.spawn(self._look())

    def _connect(self) -> None:
        self.found.option_chosen.connect(lambda option: self._show(flow.choose(self._state, option)))
        self.do.instead_wanted.connect(lambda: self._show(flow.use_instead(self._state)))
        self.do.download.wanted.connect(lambda action: self.spawn(self._fetch(action)))
        cloud = self.do.cloud
        cloud.key_entered.connect(lambda key: self.spawn(self._keep_key(key)))
        cloud.model_edited.connect(lambda: self._show(self._state))
        cloud.sign_in_wanted.connect(self._begin_sign_in)
        cloud.sign_in_cancelled.connect(self._stop_sign_in)
        self.test.again_requested.connect(lambda: self._start(self._test))
        self.privacy.reach_chosen.connect(lambda reach: self._show(flow.may_travel(self._state, reach)))
        self.start.wanted.connect(lambda on: self._show(flow.start_with(self._state, on)))
        self.bridge.event_arrived.connect(self._on_event)

    @property
    def engaged(self) -> bool:
        """Always: a person is in the middle of it."""
        return True

    @property
    def state(self) -> FlowState:
        """Where the wizard stands."""
        return self._state

    def _lay_out(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(XL, L, XL, L)
        column.setSpacing(L)
        self._stack = QStackedWidget()
        self._areas = {name: scrolled(page) for name, page in self._pages.items()}
        for area in self._areas.values():
            self._stack.addWidget(area)
        column.addWidget(self._stack, 1)
        line = QFrame()
        line.setFrameShape(QFrame.Shape.HLine)
        line.setFrameShadow(QFrame.Shadow.Sunken)
        column.addWidget(line)
        row = QHBoxLayout()
        row.setSpacing(S)
        self.not_now = QPushButton(tr("Not now"))
        self.not_now.setFlat(True)
        self.not_now.clicked.connect(self._skip)
        self.back = QPushButton(tr("Back"))
        self.back.clicked.connect(lambda: self._show(flow.back(self._state)))
        self.next = QPushButton(tr("Next"))
        self.next.setDefault(True)
        self.next.clicked.connect(self._go_on)
        row.addWidget(self.not_now)
        row.addStretch(1)
        row.addWidget(self.back)
        row.addWidget(self.next)
        column.addLayout(row)

    # --- showing --------------------------------------------------------------------------------------------

    def _show(self, state: FlowState) -> None:
        turned = state.page is not self._state.page
        self._state = state
        if turned:
            self.setFocus()  # Enter goes on; the focus of a button that is disabled would move to any other
        page = self._pages[state.page]
        page.show_flow(state)
        self._stack.setCurrentWidget(self._areas[state.page])
        self.back.setEnabled(bool(state.came_from))
        missing = state.page is Page.DO and self.do.lacks_model
        self.next.setEnabled(flow.can_continue(state) and not missing)
        self.next.setText(_next_label(state))
        self.not_now.setVisible(state.page is not Page.DONE)
        if turned:
            self._enter()

    def _enter(self) -> None:
        """What a page does as soon as it is shown."""
        state = self._state
        if state.page is not Page.DO:
            self._stop_sign_in()
        if state.page is Page.DO:
            self.do.take_focus()
            self._start(self._watch)
            if (model := flow.to_download(state)) is not None:
                self.spawn(self._describe(model))
        elif state.page is Page.TEST:
            if state.test is None or not state.test.ok:
                self._start(self._test)
        else:
            self._stop_effect()

    def _go_on(self) -> None:
        if self._state.page is Page.DONE:
            self.spawn(self._finish())
            return
        state = self._state
        if state.page is Page.DO and state.choice is not None and (model := self.do.wanted_model):
            state = replace(state, choice=replace(state.choice, model=model))
        self._show(flow.forward(state))

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        """Enter presses the button that has the focus, or else the default one, as in a dialog."""
        focus = self.focusWidget()
        if event.key() not in (Qt.Key.Key_Return, Qt.Key.Key_Enter) or isinstance(focus, QLineEdit):
            super().keyPressEvent(event)
        else:
            (focus if isinstance(focus, QPushButton) else self.next).click()

    def _on_event(self, event: object) -> None:
        # A running scan tells its results one by one; on the later pages only a whole one counts.
        if isinstance(event, ServersChanged) and (self._state.page is Page.FOUND or not event.scanning):
            self._show(flow.servers_found(self._state, event.servers, scanning=event.scanning))

    # --- effects --------------------------------------------------------------------------------------------

    def _start(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """One thing at a time: looking, watching or testing."""
        self._stop_effect()
        self._effect = self.spawn(work())

    def _stop_effect(self) -> None:
        if self._effect is not None:
            self._effect.cancel()
            self._effect = None

    async def _look(self) -> None:
        is_on, why_not = await self.bridge.run(asyncio.to_thread(autostart_standing))
        if not why_not and not self._state.can_start:
            self._show(flow.start_possible(self._state, is_on=is_on))
        resources = await self.bridge.run(self._app.resources())
        self._show(flow.machine_found(self._state, resources))
        kept_where = asyncio.to_thread(lambda: self._app.secrets.explanation)
        self.do.cloud.key.begin(await self.bridge.run(kept_where))
        if self._app.key_origin("openrouter") in await self.bridge.run(self._app.keys()):
            self._show(flow.key_stored(self._state))
        advice = await self.bridge.run(self._app.recommend())
        self._show(flow.servers_found(self._state, self._app.servers, scanning=False))
        self._show(flow.recommended(self._state, advice))
        begun = await self.bridge.run(begun_option(self._app, flow.options(self._state)))
        if begun is not None:
            self._show(flow.took_up(self._state, begun.backend, begun.model))

    async def _watch(self) -> None:
        """Look again and again for what is being installed; the news come as events."""

        await self.bridge.run(_scan_forever(self._app))

    async def _describe(self, model: str) -> None:
        """Say how much there is to download."""
        entry = (await self._ask(lambda models: models.catalogue())).find(model)
        if entry is not None and flow.to_download(self._state) == model:
            self.do.download.tell_size(entry.file_bytes)

    async def _ask(self, work: "Callable[[ModelHost], Awaitable[T]]") -> T:
        return await self.bridge.run(on_models(self._app, work))

    async def _fetch(self, action: str) -> None:
        """Fetch the chosen model, and give it to the built-in engine when it is here."""
        model, job = flow.to_download(self._state), self._state.download
        if model is None:
            return
        self.do.download.remark.say("")
        try:
            if action in ("pause", "cancel") and job is not None:
                await self._stop_download(job.id, for_good=action == "cancel")
                return
            if action == "remove":
                self.do.download.remark.say(await self.bridge.run(remove_model(self._app, model, job)))
                self._show(flow.downloading(self._state, None))
                await self.bridge.run(self._app.scan())
                return
            here = await self._ask(lambda models: held(models, model))
            if here is not None:
                await self._use(here)
                return
            job = await self._ask(lambda models: models.pull(model))
            self.downloading.emit()
            if self._following != model:
                await self._follow(model, job.id)
        except WhisperError as error:
            self.do.download.remark.fail(error)

    async def _stop_download(self, number: int, *, for_good: bool) -> None:
        if not for_good:
            await self._ask(lambda models: models.downloads.pause(number))
            return
        told = await self._ask(lambda models: models.downloads.cancel(number, keep=False))
        self._show(flow.downloading(self._state, None))
        self.do.download.remark.say(told)

    async def _follow(self, model: str, number: int) -> None:
        """Show how the download goes on, while it is what the person has chosen."""
        self._following = model
        try:
            async with aclosing(self.bridge.stream(watched(self._app))) as batches:
                async for batch in batches:
                    job = next((job for job in batch[-1] if job.id == number), None)
                    if flow.to_download(self._state) != model:
                        return
                    self._show(flow.downloading(self._state, job))
                    if job is None:
                        return
                    if job.state == "done" and job.target is not None:
                        await self._use(job.target)
                        return
        finally:
            self._following = None

    async def _use(self, model: Path) -> None:
        name = str(model)
        await self._ask(lambda models: models.use(name))
        await self.bridge.run(self._app.scan())

    async def _keep_key(self, key: str) -> None:
        try:
            where = await self.bridge.run(self._app.set_key("openrouter", key))
        except WhisperError as error:
            self.do.cloud.key.tell(str(error), ok=False)
            return
        self.do.cloud.key.tell(where, ok=True)
        self._show(flow.key_stored(self._state))

    def _begin_sign_in(self) -> None:
        if self._signing_in is None:
            self._signing_in = self.spawn(self._sign_in())

    def _stop_sign_in(self) -> None:
        if self._signing_in is not None:
            self._signing_in.cancel()

    async def _sign_in(self) -> None:
        from whisper_desktop.app.oauth import BrowserWanted, sign_in

        cloud = self.do.cloud
        told = ""
        try:
            async with aclosing(self.bridge.stream(sign_in(self._app))) as batches:
                async for batch in batches:
                    for step in batch:
                        if isinstance(step, BrowserWanted):
                            cloud.show_waiting(step.address)
                        else:
                            told = f"✓  {step.explanation}"
                            self._show(flow.key_stored(self._state))
        except WhisperError as error:
            told = str(error)
        finally:
            self._signing_in = None
            cloud.show_waiting("")
            cloud.tell(told)

    async def _test(self) -> None:
        choice = self._state.choice
        assert choice is not None
        self.test.begin(question_for(choice.backend), IDENTITIES[choice.backend].name)
        outcome = ConnectionReport(False, "The answer ended before it began.")
        events = self._app.test_stream(choice.backend, choice.model, reach=choice.reach)
        async with aclosing(self.bridge.stream(events)) as batches:
            async for batch in batches:
                self.test.add("".join(event.text for event in batch if isinstance(event, TextDelta)))
                for event in batch:
                    if isinstance(event, AnswerFinished):
                        self.test.end(who_line(event.completion.provenance))
                    elif isinstance(event, ConnectionReport):
                        outcome = event
        self._show(flow.tested(self._state, outcome))

    # --- the end --------------------------------------------------------------------------------------------

    async def _finish(self) -> None:
        result = flow.result(self._state)
        self._ended = True
        await self.bridge.run(self._app.finish_setup(result))
        if result.start_with_computer is not None:
            await self.bridge.run(start_with(self._app, result.start_with_computer))
        self._leave()

    def _skip(self) -> None:
        """*Not now*: remembered the first time, so that nobody is asked again; later it changes nothing."""
        self.spawn(self._not_now())

    async def _not_now(self) -> None:
        self._ended = True
        if self._first_run:
            await self.bridge.run(self._app.finish_setup(flow.result(FlowState())))
        self._leave()

    def closeEvent(self, event: QCloseEvent) -> None:  # noqa: N802
        """Closed in the middle, it goes on there the next time."""
        if not self._ended:
            _left_off[self._app] = self._state
        super().closeEvent(event)

    def _leave(self) -> None:
        """Open what can answer now, and go."""
        choice = self._state.choice
        guide_chosen = self._state.page is Page.DONE and choice is not None and choice.backend == "guide"
        nobody_answers = self._app.state().backend is None
        self.requested.emit("guide" if guide_chosen or nobody_answers else "chat")
        self.close()


async def _scan_forever(app: "App") -> None:
    """On the core loop. It must not hold a window: the last reference to it would end in that thread."""
    while True:
        await app.scan()
        await asyncio.sleep(_LOOK_AGAIN)


def _next_label(state: FlowState) -> str:
    match state.page:
        case Page.WELCOME:
            return tr("Look around")
        case Page.FOUND:
            return tr("Test it") if flow.is_ready(state) else tr("Set it up")
        case Page.DO:
            return tr("Test it")
        case Page.DONE:
            return tr("Start")
        case _:
            return tr("Next")
