"""The pages on which something is done, tested, and over. They show a `FlowState` and decide nothing."""

from collections.abc import Sequence

from PySide6.QtCore import Qt, QUrl, Signal
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from whisper_desktop.advice.flow import FlowState, Option, is_ready, reach_of, stand_in, to_download
from whisper_desktop.advice.steps import links, setup_steps
from whisper_desktop.language import tr
from whisper_desktop.ui.code_spans import with_code
from whisper_desktop.ui.theme import XL, XS, L, M, S
from whisper_desktop.ui.widgets import Instruction, Spinner, heading, plain, secondary, toned
from whisper_desktop.ui.wizard.cloud_panel import CloudPanel
from whisper_desktop.ui.wizard.download_panel import DownloadPanel
from whisper_desktop.ui.wizard.facts import progress
from whisper_desktop.ui.wizard.page import FlowPage
from whisper_desktop.values import IDENTITIES, Reach


class DoPage(FlowPage):
    """The steps for the choice, its links, and a live look at whether it is there yet.

    Signals:
        instead_wanted: the person takes the model that the server has.
    """

    instead_wanted = Signal()

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
        self.cloud = CloudPanel()
        column.addWidget(self.cloud)
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
        self.instead = QPushButton(tr("Use another model"))
        self.instead.setAutoDefault(False)
        self.instead.clicked.connect(self.instead_wanted)
        beside = QHBoxLayout()
        beside.addWidget(self.instead)
        beside.addStretch(1)
        column.addLayout(beside)
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
            cloud = choice.backend == "openrouter"
            self._title.setText(
                tr("Download {name}", name=own) if own is not None else tr("Set up {name}", name=name)
            )
            self._show_steps(_steps(state, choice) if own is None and not cloud else ())
            self.download.setVisible(own is not None)
            self.cloud.setVisible(cloud)
            self.cloud.suggest(choice.model if cloud else None)
        ready = is_ready(state)
        self.download.show_flow(state)
        self.cloud.show_key(stored=state.key_stored)
        other = stand_in(state)
        self.instead.setVisible(other is not None)
        if other is not None:
            self.instead.setText(tr("Use {model} instead", model=other))
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
            button.clicked.connect(lambda _checked=False, url=link.url: QDesktopServices.openUrl(QUrl(url)))
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
        return self.cloud.wanted_model if self.cloud.isVisibleTo(self) else None

    @property
    def lacks_model(self) -> bool:
        """Whether a model is asked for and still missing."""
        return self.cloud.isVisibleTo(self) and self.wanted_model is None

    def take_focus(self) -> None:
        """Where the person has to do something here, Enter begins it."""
        if self.cloud.isVisibleTo(self):
            self.cloud.sign_in.setFocus()
        elif self.download.isVisibleTo(self):
            self.download.button.setFocus()


def _step(number: str, text: str) -> QWidget:
    holder = QWidget()
    row = QHBoxLayout(holder)
    row.setContentsMargins(0, 0, 0, 0)
    row.setSpacing(S)
    label = secondary(number)
    label.setWordWrap(False)
    label.setMinimumWidth(L)
    row.addWidget(label, 0, Qt.AlignmentFlag.AlignTop)
    row.addWidget(Instruction(text), 1)
    return holder


def _steps(state: FlowState, choice: Option) -> Sequence[str]:
    if choice.recommended and state.recommendation is not None:
        return state.recommendation.steps
    return setup_steps(choice.backend, choice.model)


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
        self._title = heading(tr("A first answer"), 1.3)
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
        self._marks = {tone: toned(sign, tone) for tone, sign in (("good", "✓"), ("warn", "⚠"))}
        self._outcome = plain("")
        self._outcome.setTextFormat(Qt.TextFormat.RichText)
        self.again = QPushButton(tr("Test again"))
        self.again.clicked.connect(self.again_requested)
        row.addWidget(self._spinner, 0, Qt.AlignmentFlag.AlignTop)
        for sign in self._marks.values():
            row.addWidget(sign, 0, Qt.AlignmentFlag.AlignTop)
        self._show_mark("")
        row.addWidget(self._outcome, 1)
        row.addWidget(self.again, 0, Qt.AlignmentFlag.AlignTop)
        column.addLayout(row)
        column.addStretch(1)

    def begin(self, question: str, who: str) -> None:
        """A test begins."""
        self._question.setText(f"“{question}”")
        self._answer.clear()
        self._origin.clear()
        self._show_mark("")
        self._outcome.setText(tr("Asking {who}…", who=who))
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
        self._show_mark("good" if outcome.ok else "warn")
        self._outcome.setText(with_code(" ".join(part for part in sentences if part)))

    def _show_mark(self, wanted: str) -> None:
        for tone, sign in self._marks.items():
            sign.setVisible(tone == wanted)


class DonePage(FlowPage):
    """What will happen from now on, in two sentences."""

    def __init__(self) -> None:
        super().__init__()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(M)
        column.addStretch(1)
        column.addWidget(heading(tr("Ready"), 1.6))
        self._words = plain("")
        column.addWidget(self._words)
        column.addWidget(
            secondary(tr("You can change this at any time in the tray menu, under Backend and Setup."))
        )
        column.addStretch(2)

    def show_flow(self, state: FlowState) -> None:
        """Say what was chosen."""
        choice = state.choice
        if choice is None:
            return
        if choice.backend == "guide":
            self._words.setText(
                tr("For now only the guide answers: a tiny demo model that only knows this app.")
            )
            return
        name = IDENTITIES[choice.backend].name
        who = tr("{model} on {name}", model=choice.model, name=name) if choice.model else name
        answers = tr("{who} answers from now on.", who=who)
        if not reach_of(state).allows(choice.reach):
            stays = tr("It asks before anything that you write leaves this computer.")
        elif choice.reach is Reach.THIS_MACHINE:
            stays = tr("What you write to it stays on this computer.")
        else:
            stays = tr("What you write to it goes to the cloud.")
        self._words.setText(f"{answers} {stays}")
