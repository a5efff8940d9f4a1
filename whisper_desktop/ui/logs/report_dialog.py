"""The report, seen before it is saved: every text of it can be read here."""

from pathlib import Path

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtWidgets import (
    QDialog,
    QFileDialog,
    QHBoxLayout,
    QListWidget,
    QPushButton,
    QSplitter,
    QVBoxLayout,
    QWidget,
)

from whisper_desktop.app.report import NAME, Report
from whisper_desktop.language import tr, trn
from whisper_desktop.ui.logs.log_view import LogView
from whisper_desktop.ui.theme import L, M, S
from whisper_desktop.ui.widgets import plain


class ReportDialog(QDialog):
    """What is inside at the left, its text at the right.

    Signals:
        place_chosen: the file that it is to be saved as (a `Path`).
    """

    place_chosen = Signal(object)

    def __init__(self, parent: QWidget, report: Report) -> None:
        super().__init__(parent)
        self._report = report
        self.setWindowTitle(tr("Save a report"))
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.resize(QSize(760, 520))
        column = QVBoxLayout(self)
        column.setContentsMargins(L, L, L, L)
        column.setSpacing(M)
        column.addWidget(
            plain(
                tr(
                    "The report is a file for somebody who helps you. This is all that is in it: keys, "
                    "names, mail addresses and what you wrote are taken out. Nothing is sent anywhere."
                )
            )
        )
        halves = QSplitter()
        self.list = QListWidget()
        self.list.setAccessibleName(tr("What is in the report"))
        for each in report.enclosed:
            lines = trn("one line", "{count} lines", each.text.count("\n"))
            self.list.addItem(f"{each.name}\n{tr('{about}, {lines}', about=each.about, lines=lines)}")
        self.list.setWordWrap(True)
        self.text = LogView(tr("The text that is chosen"))
        self.list.currentRowChanged.connect(self._show)
        halves.addWidget(self.list)
        halves.addWidget(self.text)
        halves.setStretchFactor(0, 1)
        halves.setStretchFactor(1, 2)
        column.addWidget(halves, 1)
        row = QHBoxLayout()
        row.setSpacing(S)
        self.save = QPushButton(tr("Save…"))
        self.save.setDefault(True)
        self.save.clicked.connect(self._choose_place)
        cancel = QPushButton(tr("Cancel"))
        cancel.clicked.connect(self.reject)
        row.addStretch(1)
        row.addWidget(cancel)
        row.addWidget(self.save)
        column.addLayout(row)
        self.list.setCurrentRow(0)

    def _show(self, row: int) -> None:
        self.text.setPlainText(self._report.enclosed[row].text)

    def _choose_place(self) -> None:
        dialog = QFileDialog(self, tr("Save a report"), str(Path.home() / NAME))
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setDefaultSuffix("zip")
        dialog.fileSelected.connect(self._chosen)
        dialog.open()

    def _chosen(self, path: str) -> None:
        self.place_chosen.emit(Path(path))
        self.accept()
