"""The wizard's later pages: do it, test it, done. They show a `FlowState` and decide nothing."""

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from whisper_desktop.advice.flow import FlowState, Option, is_ready, to_download
from whisper_desktop.advice.steps import links, setup_steps
from whisper_desktop.ui.chat.view import open_link
from whisper_desktop.ui.code_spans import with_code
from whisper_desktop.ui.theme import XL, XS, L, M, S
from whisper_desktop.ui.widgets import Instruction, Spinner, heading, plain, secondary
from whisper_desktop.ui.wizard.download_panel import DownloadPanel
from whisper_desktop.ui.wizard.facts import progress
from whisper_desktop.ui.wizard.page import FlowPage
from whisper_desktop.values import IDENTITIES, Reach


class DoPage(FlowPage):
    """The steps for the choice, its links, and a live look at whether it is there yet.

    Signals:
        key_entered: a key for the chosen service.
        model_edited: the name of the model that the person wants there has changed.
    """

    key_entered = Signal(str)
    model_edited = Signal()

    def __init__(self) -> None:
        super().__init__()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(M)
        self._title = heading("", 1.3)
        column.addWidget(self._title)
        self._steps = QVBoxLayout()
        self._steps.setSpacing(M)
        column.addLayout(self._steps)
        self.download = DownloadPanel()
        column.addWidget(self.download)
        self._key = KeyField()
        self._key.entered.connect(self.key_entered)
        column.addWidget(self._key)
        self._model = ModelField()
        self._model.field.textChanged.connect(self.model_edited)
        column.addWidget(self._model)
        status = QHBoxLayout()
        status.setSpacing(S)
        self._spinner = Spinner()
        self._status = plain("")
        self._more = secondary("")
        words = QVBoxLayout()
        words.setSpacing(XS)
        words.addWidget(self._status)
        words.addWidget(self._more)
        status.addWidget(self._spinner, 0, Qt.AlignmentFlag.AlignTop)
        status.addLayout(words, 1)
        column.addSpacing(S)
        column.addLayout(status)
        column.addStretch(1)
        self._shown: Option | None = None

    def show_flow(self, state: FlowState) -> None:
        """Show the steps for the choice and how far it has come."""
        choice = state.choice
        if choice is None:
            return
        name = IDENTITIES[choice.backend].name
        if choice != self._shown:
            self._shown = choice
            own = to_download(state)
            self._title.setText(f"Download {own}" if own is not None else f"Set up {name}")
            self._show_steps(_steps(state, choice) if own is None else ())
            self.download.setVisible(own is not None)
            self._key.setVisible(choice.backend == "openrouter")
            self._model.setVisible(choice.backend == "openrouter")
        ready = is_ready(state)
        self.download.show_flow(state)
        waits = choice.backend != "openrouter" and not self.download.isVisibleTo(self)
        self._spinner.setVisible(waits and not ready)
        sentence, more = progress(state)
        self._status.setText(sentence)
        self._more.setText(more)

    def _show_steps(self, steps: Sequence[str]) -> None:
        while (item := self._steps.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.deleteLater()
        for number, step in enumerate(steps, 1):
            self._steps.addWidget(_step(f"{number}.", step))
        for link in links(self._shown.backend) if self._shown is not None and steps else ():
            button = QPushButton(f"{link.title} ↗")
            button.setToolTip(link.url)
            button.clicked.connect(lambda _checked=False, url=link.url: open_link(url))
            box = QHBoxLayout()
            box.addSpacing(XL)
            box.addWidget(button)
            box.addStretch(1)
            holder = QWidget()
            box.setContentsMargins(0, 0, 0, 0)
            holder.setLayout(box)
            self._steps.addWidget(holder)

    @property
    def wanted_model(self) -> str | None:
        """The model that the person wrote down, None where nothing was or none is asked for."""
        return (self._model.field.text().strip() or None) if self._model.isVisibleTo(self) else None

    @property
    def lacks_model(self) -> bool:
        """Whether a model is asked for and still missing."""
        return self._model.isVisibleTo(self) and self.wanted_model is None

    def take_focus(self) -> None:
        """Where a key is wanted, it can be typed at once; where a download is, Enter begins it."""
        if self._key.isVisibleTo(self):
            self._key.field.setFocus()
        elif self.download.isVisibleTo(self):
            self.download.button.setFocus()

    def tell_key(self, sentence: str, *, ok: bool) -> None:
        """Say where the key went, or why it was not kept."""
        self._key.tell(sentence, ok=ok)


def _step(number: str, text: str) -> QWidget:
    holder = QWidget()
    row = QHBoxLayout(holder)
    row.setContentsMargins(0, 0, 0, 0)
    row.setSpacing(S)
    label = secondary(number)
    label.setFixedWidth(L)
    row.addWidget(label, 0, Qt.AlignmentFlag.AlignTop)
    row.addWidget(Instruction(text), 1)
    return holder


def _steps(state: FlowState, choice: Option) -> Sequence[str]:
    if choice.recommended and state.recommendation is not None:
        return state.recommendation.steps
    return setup_steps(choice.backend, choice.model)


class KeyField(QWidget):
    """A field for a key, which is only ever handed on: never shown again, never written by a window.

    Signals:
        entered: the key.
    """

    entered = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        column = QVBoxLayout(self)
        column.setContentsMargins(XL, 0, 0, 0)
        column.setSpacing(XS)
        row = QHBoxLayout()
        row.setSpacing(S)
        self._field = QLineEdit()
        self._field.setEchoMode(QLineEdit.EchoMode.Password)
        self._field.setPlaceholderText("Key")
        self._field.setAccessibleName("Key for this service")
        self._field.returnPressed.connect(self._enter)
        self._button = QPushButton("Keep key")
        self._button.clicked.connect(self._enter)
        row.addWidget(self._field, 1)
        row.addWidget(self._button)
        column.addLayout(row)
        self._words = secondary("It is kept in this system's keyring, and sent to this service only.")
        column.addWidget(self._words)

    @property
    def field(self) -> QLineEdit:
        """The text field."""
        return self._field

    def tell(self, sentence: str, *, ok: bool) -> None:
        """Say how it went; a key that was kept leaves the field."""
        self._words.setText(f"✓  {sentence}" if ok else sentence)
        if ok:
            self._field.clear()

    def _enter(self) -> None:
        key = self._field.text().strip()
        if key:
            self.entered.emit(key)


class ModelField(QWidget):
    """Which model of a service to use: they differ in price, so nobody else chooses."""

    def __init__(self) -> None:
        super().__init__()
        column = QVBoxLayout(self)
        column.setContentsMargins(XL, 0, 0, 0)
        column.setSpacing(XS)
        self.field = QLineEdit()
        self.field.setPlaceholderText("Model, as it is called there: maker/name")
        self.field.setAccessibleName("Model of this service")
        column.addWidget(self.field)
        column.addWidget(secondary("Models differ in price. All of them, with prices: openrouter.ai/models"))


class TestPage(FlowPage):
    """A first real answer, streamed, and what it says about the setup.

    Signals:
        again_requested: the person wants to test once more.
    """

    __test__ = False  # not a test class, whatever its name begins with

    again_requested = Signal()

    def __init__(self) -> None:
        super().__init__()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(M)
        self._title = heading("A first answer", 1.3)
        column.addWidget(self._title)
        self._question = secondary("")
        column.addWidget(self._question)
        frame = QFrame()
        frame.setFrameShape(QFrame.Shape.StyledPanel)
        frame.setMinimumHeight(120)
        inside = QVBoxLayout(frame)
        inside.setContentsMargins(L, M, L, M)
        self._answer = plain("")
        self._origin = secondary("")
        inside.addWidget(self._answer)
        inside.addStretch(1)
        inside.addWidget(self._origin)
        column.addWidget(frame)
        row = QHBoxLayout()
        row.setSpacing(S)
        self._spinner = Spinner()
        self._outcome = plain("")
        self._outcome.setTextFormat(Qt.TextFormat.RichText)
        self.again = QPushButton("Test again")
        self.again.clicked.connect(self.again_requested)
        row.addWidget(self._spinner, 0, Qt.AlignmentFlag.AlignTop)
        row.addWidget(self._outcome, 1)
        row.addWidget(self.again, 0, Qt.AlignmentFlag.AlignTop)
        column.addLayout(row)
        column.addStretch(1)

    def begin(self, question: str, who: str) -> None:
        """A test begins."""
        self._question.setText(f"“{question}”")
        self._answer.clear()
        self._origin.clear()
        self._outcome.setText(f"Asking {who}…")
        self._spinner.show()
        self.again.hide()

    def add(self, text: str) -> None:
        """The next piece of the answer."""
        self._answer.setText(self._answer.text() + text)

    def end(self, origin: str) -> None:
        """The answer is whole; `origin` is its provenance line."""
        self._origin.setText(origin)

    def show_flow(self, state: FlowState) -> None:
        """Show how the test went."""
        if state.test is None:
            return
        outcome = state.test
        self._spinner.hide()
        self.again.setVisible(not outcome.ok)
        sentences = [outcome.title] if outcome.ok else [outcome.title, outcome.detail, outcome.next_step]
        mark = "✓  " if outcome.ok else "⚠  "
        self._outcome.setText(with_code(mark + " ".join(part for part in sentences if part)))


class DonePage(FlowPage):
    """What will happen from now on, in two sentences."""

    def __init__(self) -> None:
        super().__init__()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(M)
        column.addStretch(1)
        column.addWidget(heading("Ready", 1.6))
        self._words = plain("")
        column.addWidget(self._words)
        column.addWidget(
            secondary("You can change this at any time in the tray menu, under Backend and Setup.")
        )
        column.addStretch(2)

    def show_flow(self, state: FlowState) -> None:
        """Say what was chosen."""
        choice = state.choice
        if choice is None:
            return
        if choice.backend == "guide":
            self._words.setText("For now only the guide answers: a tiny demo model that only knows this app.")
            return
        name = IDENTITIES[choice.backend].name
        who = f"{choice.model} on {name}" if choice.model else name
        here = choice.reach is Reach.THIS_MACHINE
        place = "stays on this computer" if here else f"goes to the {choice.reach.words}"
        self._words.setText(f"{who} answers from now on. What you write {place}.")
