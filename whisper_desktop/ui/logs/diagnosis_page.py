"""Diagnosis: what is well and what is not, and everything that is known behind it."""

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QGridLayout, QHBoxLayout, QLabel, QScrollArea, QVBoxLayout, QWidget

from whisper_desktop.app.diagnosis import Check, Diagnosis, Part, diagnose
from whisper_desktop.errors import WhisperError
from whisper_desktop.language import mark, tr
from whisper_desktop.ui.theme import XS, L, M, S
from whisper_desktop.ui.widgets import Instruction, Spinner, heading, plain, secondary, toned
from whisper_desktop.ui.window import AppWindow

if TYPE_CHECKING:
    from whisper_desktop.app import App

_MARKS = {True: ("✓", "good"), False: ("⚠", "bad"), None: ("–", "secondary")}
_NAMES = {
    "settings": mark("Settings"),
    "keyring": mark("Keyring"),
    "display": mark("Display"),
    "engine": mark("Engine"),
    "servers": mark("Servers"),
    "machine": mark("Computer"),
}


class DiagnosisPage(QScrollArea):
    """Looks when it is shown, and again when it is asked to."""

    def __init__(self, window: AppWindow, app: "App") -> None:
        super().__init__()
        self._window = window
        self._app = app
        self._looking = False
        self.diagnosis: Diagnosis | None = None
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setAccessibleName(tr("Diagnosis"))
        self.setWidget(_waiting())

    def look(self) -> None:
        """Look at everything again."""
        if not self._looking:
            self._looking = True
            self.setWidget(_waiting())
            self._window.spawn(self._look())

    async def _look(self) -> None:
        try:
            self.diagnosis = await self._window.bridge.run(diagnose(self._app))
        except WhisperError as error:
            self.setWidget(Instruction(str(error)))
        else:
            self.setWidget(_shown(self.diagnosis))
        finally:
            self._looking = False


def _waiting() -> QWidget:
    holder = QWidget()
    row = QHBoxLayout(holder)
    row.setContentsMargins(M, M, M, M)
    row.setSpacing(S)
    row.addWidget(Spinner(), 0, Qt.AlignmentFlag.AlignTop)
    row.addWidget(secondary(tr("Looking at this computer and for servers…")), 1, Qt.AlignmentFlag.AlignTop)
    return holder


def _shown(diagnosis: Diagnosis) -> QWidget:
    inside = QWidget()
    column = QVBoxLayout(inside)
    column.setContentsMargins(M, M, M, M)
    column.setSpacing(S)
    grid = QGridLayout()
    grid.setHorizontalSpacing(M)
    grid.setVerticalSpacing(S)
    grid.setColumnStretch(2, 1)
    for number, check in enumerate(diagnosis.checks):
        _add_check(grid, number, check)
    column.addLayout(grid)
    for part in diagnosis.parts:
        column.addSpacing(M)
        column.addWidget(_part(part))
    column.addStretch(1)
    return inside


def _add_check(grid: QGridLayout, row: int, check: Check) -> None:
    glyph, tone = _MARKS[check.ok]
    sign: QLabel = toned(glyph, tone)
    sign.setWordWrap(False)
    words = {True: tr("in order"), False: tr("needs attention"), None: tr("worth knowing")}
    sign.setAccessibleName(words[check.ok])
    name = secondary(tr(_NAMES[check.id]) if check.id in _NAMES else check.id)
    name.setWordWrap(False)
    grid.addWidget(sign, row, 0, Qt.AlignmentFlag.AlignTop)
    grid.addWidget(name, row, 1, Qt.AlignmentFlag.AlignTop)
    words_for = Instruction(f"{check.detail} {check.next_step}".strip())
    grid.addWidget(words_for, row, 2, Qt.AlignmentFlag.AlignTop)


def _part(part: Part) -> QWidget:
    holder = QWidget()
    column = QVBoxLayout(holder)
    column.setContentsMargins(0, 0, 0, 0)
    column.setSpacing(XS)
    column.addWidget(heading(part.title, 1.0))
    for line in part.lines:
        label = plain(line)
        label.setContentsMargins(L, 0, 0, 0)
        column.addWidget(label)
    return holder
