"""The step in which the app fetches a model itself: a button, a bar, and nothing else to install."""

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QProgressBar, QPushButton, QVBoxLayout, QWidget

from whisper_desktop.advice.flow import FlowState, is_ready, to_download
from whisper_desktop.app.engine_words import in_gigabytes
from whisper_desktop.language import mark, tr
from whisper_desktop.ui.models.job_rows import FULL, job_rows
from whisper_desktop.ui.models.page import Remark
from whisper_desktop.ui.theme import M, S
from whisper_desktop.ui.widgets import plain

_WORDS = {
    "download": mark("Download"),
    "pause": mark("Pause"),
    "resume": mark("Go on"),
    "retry": mark("Try again"),
}


class DownloadPanel(QWidget):
    """Shows how far the chosen model is.

    Signals:
        wanted: "download", "pause", "resume", "retry", "cancel" or "remove".
    """

    wanted = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._action = "download"
        self._way_out = "cancel"
        self._model: str | None = None
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(M)
        self._words = plain("")
        column.addWidget(self._words)
        row = QHBoxLayout()
        row.setSpacing(S)
        self.button = QPushButton(tr(_WORDS["download"]))
        self.button.setAutoDefault(False)
        self.button.clicked.connect(lambda: self.wanted.emit(self._action))
        self.bar = QProgressBar()
        self.bar.setRange(0, FULL)
        self.bar.setTextVisible(False)
        self.bar.setAccessibleName(tr("How far the download is"))
        keeps = self.bar.sizePolicy()
        keeps.setRetainSizeWhenHidden(True)
        self.bar.setSizePolicy(keeps)
        self.away = QPushButton(tr("Cancel"))
        self.away.setAutoDefault(False)
        self.away.clicked.connect(lambda: self.wanted.emit(self._way_out))
        row.addWidget(self.button)
        row.addWidget(self.bar, 1)
        row.addWidget(self.away)
        column.addLayout(row)
        self.remark = Remark(shrink=True)
        column.addWidget(self.remark)

    def show_flow(self, state: FlowState) -> None:
        """Show what there is to fetch, and how far it is."""
        model, job = to_download(state), state.download
        if model is None:
            return
        if model != self._model:
            self._model = model
            self.tell_size(None)
            self.remark.say("")
        row = job_rows((job,))[0] if job is not None else None
        actions = row.actions if row is not None else frozenset(("download",))
        self._action = next((name for name in _WORDS if name in actions), "")
        ready = is_ready(state)
        words = tr(_WORDS.get(self._action, _WORDS["download"]))
        self.button.setText(words)
        self.button.setAccessibleName(f"{words}: {model}")
        self.button.setEnabled(bool(self._action) and not ready)
        self._way_out = "cancel" if job is not None and job.is_open else "remove"
        away = tr("Cancel") if self._way_out == "cancel" else tr("Remove")
        self.away.setText(away)
        self.away.setAccessibleName(f"{away}: {model}")
        self.away.setVisible(job is not None or ready)
        self.bar.setVisible(row is not None)
        if row is not None:
            known = row.share is not None
            self.bar.setRange(0, FULL if known else 0)
            self.bar.setValue(row.share if row.share is not None else 0)

    def tell_size(self, size: int | None) -> None:
        """Say how much there is to fetch, in bytes, once that is known."""
        if size:
            words = tr(
                "Whisper Desktop fetches {model} ({amount}) from Hugging Face and runs it itself: no other "
                "program has to be installed. What you write stays on this computer.",
                model=self._model,
                amount=in_gigabytes(size),
            )
        else:
            words = tr(
                "Whisper Desktop fetches {model} from Hugging Face and runs it itself: no other program has "
                "to be installed. What you write stays on this computer.",
                model=self._model,
            )
        self._words.setText(words)
