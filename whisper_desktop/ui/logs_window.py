"""Logs: what the engine and the app have written, to read and to copy."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QSize, Qt, QTimer, QUrl
from PySide6.QtGui import QDesktopServices, QFontDatabase, QGuiApplication
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPlainTextEdit, QPushButton, QTabWidget, QVBoxLayout

from whisper_desktop.app.engine_words import status_lines
from whisper_desktop.settings.paths import log_dir
from whisper_desktop.ui.bridge import Bridge
from whisper_desktop.ui.logbook import log_file
from whisper_desktop.ui.theme import L, M, S
from whisper_desktop.ui.widgets import secondary
from whisper_desktop.ui.window import AppWindow

if TYPE_CHECKING:
    from whisper_desktop.app import App

_LINES = 500
_LOOK_AGAIN = 1000  # ms between two looks while the window is open
_MOST_BYTES = 100_000  # of the app's own log file
_EMPTY_ENGINE = "The engine has not written anything yet. It starts when a chat needs it."
_EMPTY_APP = "Nothing has gone wrong in the app."


class LogsWindow(AppWindow):
    """Two logs, followed while they grow; each can be copied whole."""

    def __init__(self, bridge: Bridge, app: "App") -> None:
        super().__init__("logs", "Logs – Whisper Desktop", bridge)
        self._app = app
        self.resize(QSize(820, 560))
        column = QVBoxLayout(self)
        column.setContentsMargins(L, L, L, L)
        column.setSpacing(M)
        self._status = secondary("")
        self._status.setAlignment(Qt.AlignmentFlag.AlignTop)
        self._status.setMinimumHeight(2 * self._status.fontMetrics().lineSpacing())  # most have two lines
        column.addWidget(self._status)
        self.tabs = QTabWidget()
        self.tabs.setAccessibleName("Logs")
        self.engine, self.program = _log_view("Engine log"), _log_view("App log")
        self.tabs.addTab(self.engine, "Engine")
        self.tabs.addTab(self.program, "App")
        column.addWidget(self.tabs, 1)
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
        self.copy = QPushButton("Copy all")
        self.copy.clicked.connect(self._copy)
        folder = QPushButton("Open folder")
        folder.clicked.connect(lambda: QDesktopServices.openUrl(QUrl.fromLocalFile(str(log_dir()))))
        close = QPushButton("Close")
        close.clicked.connect(self.close)
        self._said = QLabel()
        row.addWidget(self.copy)
        row.addWidget(folder)
        row.addWidget(self._said)
        row.addStretch(1)
        row.addWidget(close)
        return row

    def _copy(self) -> None:
        view = self.tabs.currentWidget()
        assert isinstance(view, QPlainTextEdit)
        QGuiApplication.clipboard().setText(view.toPlainText())
        self._said.setText("Copied.")
        QTimer.singleShot(2000, self._said.clear)

    def _look(self) -> None:
        if not self._looking:
            self._looking = True
            self.spawn(self._read())

    async def _read(self) -> None:
        try:
            engine = await self.bridge.run(asyncio.to_thread(self._app.engine_log, _LINES))
            program = await self.bridge.run(asyncio.to_thread(_tail, log_file()))
        finally:
            self._looking = False
        _show(self.engine, "\n".join(engine) or _EMPTY_ENGINE)
        _show(self.program, program or _EMPTY_APP)
        self._status.setText("\n".join(status_lines(self._app.engine_status())))


def _log_view(name: str) -> QPlainTextEdit:
    view = QPlainTextEdit()
    view.setReadOnly(True)
    view.setAccessibleName(name)
    view.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
    view.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
    view.setTextInteractionFlags(
        Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
    )
    return view


def _show(view: QPlainTextEdit, text: str) -> None:
    """Show a log without moving what the person reads; at its end the view follows."""
    if text == view.toPlainText():
        return
    bar = view.verticalScrollBar()
    following, place = bar.value() >= bar.maximum() - 2, bar.value()
    view.setPlainText(text)
    bar.setValue(bar.maximum() if following else place)


def _tail(file: Path) -> str:
    """The end of a log file, from a whole line on; empty where there is none."""
    try:
        with file.open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(max(size - _MOST_BYTES, 0))
            text = stream.read(_MOST_BYTES).decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
    return text if size <= _MOST_BYTES else text.partition("\n")[2]
