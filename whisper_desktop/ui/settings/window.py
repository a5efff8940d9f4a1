"""Settings: every declared setting at its place, changed as it is touched, and the keys."""

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QEvent, QSize, Qt, QTimer, QUrl, Signal
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import (
    QHBoxLayout,
    QLineEdit,
    QListWidget,
    QPushButton,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from whisper_desktop.errors import WhisperError
from whisper_desktop.events import BackendChosen
from whisper_desktop.language import tr
from whisper_desktop.settings import SETTINGS, SettingInfo
from whisper_desktop.ui.bridge import Bridge
from whisper_desktop.ui.settings.changes import back_to_default, config_file
from whisper_desktop.ui.settings.pages import FoundPage, SectionPage
from whisper_desktop.ui.settings.row import SettingRow
from whisper_desktop.ui.settings.sections import KEYS, SECTIONS, Section, is_found, section_of
from whisper_desktop.ui.theme import XL, XS, L, M, S
from whisper_desktop.ui.widgets import toned
from whisper_desktop.ui.window import AppWindow

if TYPE_CHECKING:
    from whisper_desktop.app import App

_SEARCH_AFTER = 80  # ms without another letter


class SettingsWindow(AppWindow):
    """What is set, by whom, and how to change it. Every change takes effect at once.

    Signals:
        changed: the key of a setting that has another value now.
    """

    changed = Signal(str)

    def __init__(self, bridge: Bridge, app: "App") -> None:
        super().__init__("settings", tr("Settings – Whisper Desktop"), bridge)
        self._app = app
        self.resize(QSize(860, 640))
        self._pages: dict[str, QWidget] = {}
        self._section = SECTIONS[0]
        self._changing = 0
        column = QVBoxLayout(self)
        column.setContentsMargins(L, L, L, L)
        column.setSpacing(M)
        self._problems = toned("", "warn")
        column.addWidget(self._problems)
        self.search = QLineEdit()
        self.search.setPlaceholderText(tr("Search settings"))
        self.search.setAccessibleName(tr("Search settings"))
        self.search.setClearButtonEnabled(True)
        self._search_soon = QTimer(self, singleShot=True, interval=_SEARCH_AFTER)
        self._search_soon.timeout.connect(self._search)
        self.search.textChanged.connect(lambda _text: self._search_soon.start())
        column.addWidget(self.search)
        body = QHBoxLayout()
        body.setSpacing(XL)
        self.sections = QListWidget()
        self.sections.setAccessibleName(tr("Sections"))
        self.sections.setSpacing(XS)
        self.sections.addItems([tr(section.title) for section in SECTIONS])
        self.sections.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._fit_sections()
        self.sections.currentRowChanged.connect(self._show_section)
        body.addWidget(self.sections)
        self._stack = QStackedWidget()
        self.found = FoundPage(self._make_row)
        self._stack.addWidget(self.found)
        body.addWidget(self._stack, 1)
        column.addLayout(body, 1)
        column.addLayout(self._buttons())
        bridge.event_arrived.connect(self._on_event)
        self._show_problems()
        self.sections.setCurrentRow(0)
        self.search.setFocus()

    def _buttons(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setSpacing(S)
        open_file = QPushButton(tr("Open config.yaml"))
        open_file.setToolTip(tr("Your own settings file. The app never changes it by itself."))
        open_file.clicked.connect(lambda: self.spawn(self._open_file()))
        again = QPushButton(tr("Read again"))
        again.setToolTip(tr("Read config.yaml again, after you have changed it."))
        again.clicked.connect(lambda: self.spawn(self._read_again()))
        close = QPushButton(tr("Close"))
        close.clicked.connect(self.close)
        for button in (open_file, again, close):
            button.setAutoDefault(False)
        row.addWidget(open_file)
        row.addWidget(again)
        row.addStretch(1)
        row.addWidget(close)
        return row

    def _fit_sections(self) -> None:
        bar = self.sections.verticalScrollBar().sizeHint().width()
        self.sections.setFixedWidth(self.sections.sizeHintForColumn(0) + 2 * XS + bar + M)

    # --- going about ----------------------------------------------------------------------------------------

    @property
    def place(self) -> str:
        """The setting that has the focus, or the section that is shown."""
        page, focus = self._stack.currentWidget(), self.focusWidget()
        rows = page.rows if isinstance(page, SectionPage) else {}
        inside = (key for key, row in rows.items() if focus is not None and row.isAncestorOf(focus))
        return next(inside, self._section.id)

    def show_setting(self, key: str) -> None:
        """Show one setting, wherever it stands, with the focus on it; or a whole section ("keys")."""
        self.search.clear()
        self._search_soon.stop()
        place = next((number for number, each in enumerate(SECTIONS) if each.id == key), None)
        if place is not None:
            self._go_to(SECTIONS[place])
            return
        if key not in {info.key for info in SETTINGS.values()}:
            return
        section = section_of(key)
        self._go_to(section)
        page = self._pages[section.id]
        row = page.reveal(key) if isinstance(page, SectionPage) else None
        if row is not None:
            row.control.field.setFocus()

    def _go_to(self, section: Section) -> None:
        number = SECTIONS.index(section)
        if self.sections.currentRow() == number:
            self._show_section(number)
        else:
            self.sections.setCurrentRow(number)

    def _show_section(self, number: int) -> None:
        if number < 0:  # while a search shows what it has found, none is chosen
            return
        self._section = section = SECTIONS[number]
        self.search.clear()
        self._search_soon.stop()
        page = self._pages.get(section.id)
        if page is None:
            page = self._pages[section.id] = self._make_page(section)
            self._stack.addWidget(page)
        self._stack.setCurrentWidget(page)
        self._refresh()

    def _make_page(self, section: Section) -> QWidget:
        if section.id == KEYS:
            from whisper_desktop.ui.keys.page import KeysPage

            return KeysPage(self, self._app)
        extra: list[QWidget] = []
        if section.id == "desktop":
            from whisper_desktop.ui.settings.autostart_row import AutostartRow

            extra.append(AutostartRow(self))
        return SectionPage(section, self._make_row, extra)

    def _search(self) -> None:
        text = self.search.text().strip()
        if not text:
            self._go_to(self._section)
            return
        self.sections.setCurrentRow(-1)
        keys = next(section for section in SECTIONS if section.id == KEYS)
        desktop = next(section for section in SECTIONS if section.id == "desktop")
        names = ((tr("Keys of services"), keys), (tr("Start with the computer"), desktop))
        others = [
            (name, lambda to=section: self.show_setting(to.id))
            for name, section in names
            if is_found(text, name)
        ]
        self.found.show_found(text, others)
        self._stack.setCurrentWidget(self.found)
        self._refresh()

    # --- showing --------------------------------------------------------------------------------------------

    def _make_row(self, info: SettingInfo) -> SettingRow:
        row = SettingRow(info)
        app = self._app
        row.chosen.connect(lambda value: self._change(row, app.remember({info.key: value})))
        row.default_wanted.connect(lambda: self._change(row, back_to_default(app, info)))
        row.show_setting(self._app.loaded)
        return row

    def _refresh(self) -> None:
        if self._changing:  # its end shows what counts then
            return
        page = self._stack.currentWidget()
        if isinstance(page, SectionPage | FoundPage):
            for row in page.rows.values():
                row.show_setting(self._app.loaded)

    def _show_problems(self) -> None:
        problems = self._app.loaded.problems
        self._problems.setText("\n".join(str(problem) for problem in problems))
        self._problems.setVisible(bool(problems))

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802
        """Somebody else may have changed settings while this window was behind another."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.ActivationChange and self.isActiveWindow():
            self._refresh()
        elif event.type() == QEvent.Type.FontChange:
            self._fit_sections()

    def _on_event(self, event: object) -> None:
        if isinstance(event, BackendChosen):
            self._refresh()

    # --- doing ----------------------------------------------------------------------------------------------

    def _change(self, row: SettingRow, work: Coroutine[Any, Any, None]) -> None:
        self._changing += 1
        # Begun at once and never called off: a change counts, also where the window is closed right after it.
        self.spawn(self._changed_by(row, self.bridge.run(work)))

    async def _changed_by(self, row: SettingRow, change: asyncio.Future[None]) -> None:
        try:
            await asyncio.shield(change)
        except WhisperError as error:
            row.show_setting(self._app.loaded)
            row.fail(str(error))
            return
        finally:
            self._changing -= 1
        self._show_problems()
        self._refresh()
        self.changed.emit(row.info.key)

    async def _read_again(self) -> None:
        before = dict(self._app.loaded.values)
        await self.bridge.run(self._app.reload())
        self._show_problems()
        self._refresh()
        for key, value in self._app.loaded.values.items():
            if before.get(key) != value:
                self.changed.emit(key)

    async def _open_file(self) -> None:
        file = await self.bridge.run(config_file())
        QDesktopServices.openUrl(QUrl.fromLocalFile(file))
