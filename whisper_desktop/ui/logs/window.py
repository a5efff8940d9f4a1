"""Logs and diagnosis: what the engine and the app have written, what is well, and a report to hand on."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QSize, Qt, QTimer, QUrl
from PySide6.QtGui import QDesktopServices, QGuiApplication
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QTabWidget, QVBoxLayout

from whisper_desktop.app.engine_words import status_lines
from whisper_desktop.errors import WhisperError
from whisper_desktop.language import tr
from whisper_desktop.settings.paths import log_dir
from whisper_desktop.ui.bridge import Bridge
from whisper_desktop.ui.logbook import log_file
from whisper_desktop.ui.logs.diagnosis_page import DiagnosisPage
from whisper_desktop.ui.logs.log_view import LogView, tail
from whisper_desktop.ui.theme import L, M, S
from whisper_desktop.ui.widgets import secondary
from whisper_desktop.ui.window import AppWindow

if TYPE_CHECKING:
    from whisper_desktop.app import App
    from whisper_desktop.app.report import Report

_LINES = 500
_LOOK_AGAIN = 1000  # ms between two looks while the window is seen
_SAID_FOR = 4000  # ms that a short word stands


class LogsWindow(AppWindow):
    """Two logs, followed while they grow, and the diagnosis; each can be copied whole."""

    def __init__(self, bridge: Bridge, app: "App") -> None:
        super().__init__("logs", tr("Logs and diagnosis – Whisper Desktop"), bridge)
        self._app = app
        self.resize(QSize(820, 580))
        column = QVBoxLayout(self)
        column.setContentsMargins(L, L, L, L)
        column.setSpacing(M)
        self._status = secondary("")
        self._status.setAlignment(Qt.AlignmentFlag.AlignTop)
        self._status.setMinimumHeight(2 * self._status.fontMetrics().lineSpacing())  # most have two lines
        column.addWidget(self._status)
        self.tabs = QTabWidget()
        self.tabs.setAccessibleName(tr("Logs"))
        self.engine, self.program = LogView(tr("Engine log")), LogView(tr("App log"))
        self.diagnosis = DiagnosisPage(self, app)
        self.tabs.addTab(self.engine, tr("Engine"))
        self.tabs.addTab(self.program, tr("App"))
        self.tabs.addTab(self.diagnosis, tr("Diagnosis"))
        self.tabs.currentChanged.connect(self._on_tab)
        column.addWidget(self.tabs, 1)
        self._said = secondary("")
        self._quiet = QTimer(self, singleShot=True, interval=_SAID_FOR)
        self._quiet.timeout.connect(self._said.clear)
        column.addLayout(self._buttons())
        self._again = QTimer(self)
        self._again.setInterval(_LOOK_AGAIN)
        self._again.timeout.connect(self._look)
        self._again.start()
        self._looking = False
        self._look()

    def _buttons(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setSpacing(S)
        self.copy = QPushButton(tr("Copy all"))
        self.copy.clicked.connect(self._copy)
        self.look_again = QPushButton(tr("Look again"))
        self.look_again.clicked.connect(self.diagnosis.look)
        self.look_again.hide()
        folder = QPushButton(tr("Open folder"))
        folder.clicked.connect(lambda: QDesktopServices.openUrl(QUrl.fromLocalFile(str(log_dir()))))
        self.report = QPushButton(tr("Save a report…"))
        self.report.clicked.connect(lambda: self.spawn(self._make_report()))
        close = QPushButton(tr("Close"))
        close.clicked.connect(self.close)
        for button in (self.copy, self.look_again, folder, self.report):
            row.addWidget(button)
        row.addWidget(self._said, 1)
        row.addWidget(close)
        return row

    def show_diagnosis(self) -> None:
        """Bring the diagnosis to the front."""
        self.tabs.setCurrentWidget(self.diagnosis)

    def _on_tab(self, _number: int) -> None:
        there = self.tabs.currentWidget() is self.diagnosis
        self.look_again.setVisible(there)
        if there and self.diagnosis.diagnosis is None:
            self.diagnosis.look()

    def _say(self, words: str) -> None:
        self._said.setText(words)
        self._quiet.start()

    def _copy(self) -> None:
        view = self.tabs.currentWidget()
        if isinstance(view, LogView):
            text = view.toPlainText()
        else:
            text = self.diagnosis.diagnosis.text if self.diagnosis.diagnosis is not None else ""
        QGuiApplication.clipboard().setText(text)
        self._say(tr("Copied."))

    # --- following ------------------------------------------------------------------------------------------

    def _look(self) -> None:
        if not self._looking and (self.isVisible() or not self.engine.toPlainText()):
            self._looking = True
            self.spawn(self._read())

    async def _read(self) -> None:
        try:
            engine = await self.bridge.run(asyncio.to_thread(self._app.engine_log, _LINES))
            program = await self.bridge.run(asyncio.to_thread(tail, log_file()))
        finally:
            self._looking = False
        empty = tr("The engine has not written anything yet. It starts when a chat needs it.")
        self.engine.show_text("\n".join(engine) or empty)
        self.program.show_text(program or tr("Nothing has gone wrong in the app."))
        self._status.setText("\n".join(status_lines(self._app.engine_status())))

    # --- the report -----------------------------------------------------------------------------------------

    async def _make_report(self) -> None:
        from whisper_desktop.app.report import make_report
        from whisper_desktop.ui.logs.report_dialog import ReportDialog

        self.report.setEnabled(False)
        self._said.setText(tr("Collecting what there is to tell…"))
        try:
            report = await self.bridge.run(make_report(self._app))
        except WhisperError as error:
            self._said.setText(str(error))
            return
        finally:
            self.report.setEnabled(True)
        self._said.clear()
        dialog = ReportDialog(self, report)
        dialog.place_chosen.connect(lambda path: self.spawn(self._save(report, path)))
        dialog.open()

    async def _save(self, report: "Report", path: Path) -> None:
        from whisper_desktop.app.report import save_report

        try:
            await self.bridge.run(save_report(report, path))
        except WhisperError as error:
            self._said.setText(str(error))
            return
        self._said.setText(tr("Saved: {path}", path=path))
