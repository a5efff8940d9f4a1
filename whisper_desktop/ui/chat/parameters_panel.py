"""What one conversation asks of every answer: a persona, its system prompt, and the parameters."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QEvent, QObject, QSignalBlocker, Qt, QTimer
from PySide6.QtGui import QPalette
from PySide6.QtWidgets import (
    QComboBox,
    QFrame,
    QHBoxLayout,
    QPlainTextEdit,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from whisper_desktop.chat import Session
from whisper_desktop.chat.personas import Persona, filled, variables
from whisper_desktop.chat.records import ChatWishes, Parameters
from whisper_desktop.language import tr
from whisper_desktop.ui.bridge import Bridge
from whisper_desktop.ui.chat import conversation_work as work
from whisper_desktop.ui.chat.parameters_panel_fields import Amount, Field, Reasoning, Seed, Stops
from whisper_desktop.ui.chat.prompts_form import VariablesForm
from whisper_desktop.ui.settings.control import leave_wheel
from whisper_desktop.ui.theme import L, M, S
from whisper_desktop.ui.widgets import heading, secondary

if TYPE_CHECKING:
    from whisper_desktop.app import App
    from whisper_desktop.app.chats import ChatHost
    from whisper_desktop.chat.personas import PersonaFile

Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]

_PAUSE = 400  # ms without a key before the system prompt is used
_LINES = 6  # of the system prompt
_NARROWEST = 40  # characters
_MOST_TOKENS = 131_072
_MOST_CONTEXT = 1_048_576


class ParametersPanel(QScrollArea):
    """Follows one conversation; what is changed here holds from its next message on.

    `spawn` runs its work for as long as the window lives.
    """

    def __init__(self, bridge: Bridge, app: "App", spawn: Spawn | None = None) -> None:
        super().__init__()
        self._bridge = bridge
        self._spawn = spawn or bridge.spawn
        self._app = app
        self._session: Session | None = None
        self._wishes = ChatWishes()  # what the person wants here; the session has it a moment later
        self._putting = 0
        self._personas: tuple[Persona, ...] = ()
        self._form: VariablesForm | None = None
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setAccessibleName(tr("Settings of this chat"))
        self.persona = QComboBox()
        self.persona.setAccessibleName(tr("Persona"))
        self.persona.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.persona.activated.connect(self._choose)
        leave_wheel(self.persona)
        self.manage = QPushButton(tr("Personas…"))
        self.manage.clicked.connect(lambda: self._open_personas())
        self.about = secondary("")
        self.system = QPlainTextEdit()
        self.system.setAccessibleName(tr("System prompt"))
        self.system.setPlaceholderText(
            tr("How answers are to be: who answers, in which tone, what to leave out.")
        )
        self.system.setTabChangesFocus(True)
        self.system.setFixedHeight(_LINES * self.fontMetrics().lineSpacing() + S)
        self.save = QPushButton(tr("Save as persona…"))
        self.save.clicked.connect(self._save_as)
        self.fields: dict[str, Field] = _made_fields()
        for field in self.fields.values():
            field.changed.connect(self._use)
        self.reset = QPushButton(tr("All as default"))
        self.reset.clicked.connect(self._reset)
        self._pause = QTimer(self, singleShot=True, interval=_PAUSE)
        self._pause.timeout.connect(self._use)
        self.system.textChanged.connect(self._on_system)
        self.system.installEventFilter(self)
        self._lay_out()

    def _lay_out(self) -> None:
        inside = QWidget()
        inside.setBackgroundRole(QPalette.ColorRole.Window)
        column = QVBoxLayout(inside)
        column.setContentsMargins(0, 0, S, L)
        column.setSpacing(S)
        column.addWidget(secondary(tr("It holds from the next message on, and in this chat only.")))
        column.addWidget(heading(tr("Persona"), 1.0))
        row = QHBoxLayout()
        row.setSpacing(S)
        row.addWidget(self.persona, 1)
        row.addWidget(self.manage)
        column.addLayout(row)
        column.addWidget(self.about)
        self._form_place = QVBoxLayout()
        column.addLayout(self._form_place)
        column.addWidget(heading(tr("System prompt"), 1.0))
        column.addWidget(self.system)
        column.addWidget(self.save, 0, Qt.AlignmentFlag.AlignLeading)
        column.addSpacing(M)
        column.addWidget(heading(tr("Answers"), 1.0))
        for field in self.fields.values():
            column.addWidget(field)
        column.addWidget(self.reset, 0, Qt.AlignmentFlag.AlignLeading)
        column.addStretch(1)
        self.setWidget(inside)
        bar = self.verticalScrollBar().sizeHint().width()
        least = self.fontMetrics().averageCharWidth() * _NARROWEST
        self.setMinimumWidth(max(inside.minimumSizeHint().width(), least) + bar)
        self.setFocusProxy(self.persona)

    # --- what it shows --------------------------------------------------------------------------------------

    def follow(self, session: Session) -> None:
        """Show what holds in this conversation."""
        self._keep()
        self._session = session
        self._close_form()
        for field in self.fields.values():
            field.clear()
        self._show_wishes()
        self._spawn(self._read())

    def look(self) -> None:
        """Show it again: it may have been changed elsewhere. What the person is changing here stays."""
        if self._session is not None and not self._pause.isActive() and not self._putting:
            self._show_wishes()

    def _show_wishes(self) -> None:
        assert self._session is not None
        self._wishes = wishes = self._session.wishes
        if wishes.system != self.system.toPlainText():
            blocked = QSignalBlocker(self.system)
            self.system.setPlainText(wishes.system)
            blocked.unblock()
        for name, field in self.fields.items():
            field.show_value(getattr(wishes.parameters, name))
        self._show_persona()
        self._show_reset()

    async def _read(self) -> None:
        session = self._session
        file, window = await self._bridge.run(_known(self._app.chats, session))
        if session is not self._session:
            return
        self._personas = file.personas
        blocked = QSignalBlocker(self.persona)
        self.persona.clear()
        self.persona.addItem(tr("None"), "")
        for each in self._personas:
            self.persona.addItem(each.name, each.name)
        blocked.unblock()
        if window is not None and self._wishes.parameters.context_length is None:
            self.fields["context_length"].show_default(tr("{count} tokens", count=f"{window:,}"))
        self._show_persona()

    def _show_persona(self) -> None:
        wishes = self._wishes
        blocked = QSignalBlocker(self.persona)
        at = self.persona.findData(wishes.persona)
        self.persona.setCurrentIndex(at if wishes.persona else 0)
        blocked.unblock()
        chosen = next((each for each in self._personas if each.name == wishes.persona), None)
        words = chosen.description if chosen is not None else ""
        if wishes.persona and chosen is None and self._personas:
            words = tr(
                "“{name}” is not among the personas any more; its text is kept here.", name=wishes.persona
            )
        self.about.setText(words)
        self.about.setVisible(bool(words))
        self.save.setEnabled(bool(wishes.system.strip()))

    def _show_reset(self) -> None:
        self.reset.setEnabled(self._wishes.parameters != Parameters())

    # --- what is changed ------------------------------------------------------------------------------------

    def _on_system(self) -> None:
        self._pause.start()
        self.save.setEnabled(bool(self.system.toPlainText().strip()))

    def _keep(self) -> None:
        """What was written last holds, also where the person goes elsewhere at once."""
        if self._pause.isActive():
            self._use()

    def _use(self) -> None:
        self._pause.stop()
        if self._session is None:
            return
        before = self._wishes
        parameters = Parameters(**{name: field.value for name, field in self.fields.items()})  # type: ignore[arg-type]  # of its own type each
        system = self.system.toPlainText()
        persona = before.persona if system.strip() else ""
        self._put(replace(before, parameters=parameters, system=system, persona=persona))

    def _put(self, wishes: ChatWishes) -> None:
        if self._session is not None:
            self._wishes = wishes
            self._show_persona()
            self._show_reset()
            self._putting += 1
            task = self._spawn(self._put_on_core(self._session, wishes))
            task.add_done_callback(self._on_put)

    def _on_put(self, _task: object) -> None:
        self._putting -= 1

    async def _put_on_core(self, session: Session, wishes: ChatWishes) -> None:
        """Backend, model and reach are chosen elsewhere, perhaps just now: those stay as they are then."""
        ours = {"persona": wishes.persona, "system": wishes.system, "parameters": wishes.parameters}
        await self._bridge.run(_use(session, ours))

    def _reset(self) -> None:
        if self._session is not None:
            for field in self.fields.values():
                field.clear()
            self._use()

    # --- personas -------------------------------------------------------------------------------------------

    def _choose(self, number: int) -> None:
        self._close_form()
        name = self.persona.itemData(number)
        chosen = next((each for each in self._personas if each.name == name), None)
        if chosen is None:
            self._take(Persona("", ""), "")
        elif variables(chosen.text):
            self._form = form = VariablesForm(chosen.name, chosen.text, tr("Use"))
            form.filled.connect(lambda text: self._take(chosen, text))
            form.cancelled.connect(self._cancel_form)
            self._form_place.addWidget(form)
            form.setFocus()
        else:
            self._take(chosen, filled(chosen.text))

    def _take(self, persona: Persona, system: str) -> None:
        """Its text becomes the system prompt; of the parameters it changes those that it names."""
        self._close_form()
        if self._session is None:
            return
        self._pause.stop()
        before = self._wishes
        wanted = {
            field.name: value
            for field in fields(Parameters)
            if (value := getattr(persona.parameters, field.name)) not in (None, ())
        }
        wishes = replace(
            before,
            persona=persona.name,
            system=system,
            parameters=replace(before.parameters, **wanted),
        )
        blocked = QSignalBlocker(self.system)
        self.system.setPlainText(system)
        blocked.unblock()
        for name, field in self.fields.items():
            field.show_value(getattr(wishes.parameters, name))
        self._put(wishes)
        self.persona.setFocus()

    def _cancel_form(self) -> None:
        self._close_form()
        self._show_persona()
        self.persona.setFocus()

    def _close_form(self) -> None:
        if self._form is not None:
            self._form.hide()
            self._form.deleteLater()
            self._form = None

    def _save_as(self) -> None:
        self._keep()
        new = Persona("", self.system.toPlainText(), parameters=self._wishes.parameters, own=True)
        self._open_personas(new)

    def _open_personas(self, new: Persona | None = None) -> None:
        from whisper_desktop.ui.personas import PersonasDialog

        dialog = PersonasDialog(self._bridge, self._app, self.window())
        dialog.changed.connect(lambda: self._spawn(self._read()))
        dialog.show()
        if new is not None:
            dialog.begin(new)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        """Who goes on to write a message has said how it is to be answered."""
        if watched is self.system and event.type() == QEvent.Type.FocusOut:
            self._keep()
        return super().eventFilter(watched, event)


def _made_fields() -> dict[str, Field]:
    """By the names they have in `Parameters`, in the order in which they are wanted."""
    return {
        "temperature": Amount(
            tr("Temperature"),
            tr("How freely words are chosen: 0 is always the likeliest one, above 1 it gets wild."),
            0,
            2,
            0.7,
            decimals=2,
        ),
        "top_p": Amount(
            tr("Top P"),
            tr("Only the likeliest words are chosen from, until they are this likely together."),
            0.01,
            1,
            0.9,
            decimals=2,
        ),
        "max_tokens": Amount(
            tr("Longest answer, in tokens"),
            tr("An answer ends there, and can be continued. A token is about three quarters of a word."),
            16,
            _MOST_TOKENS,
            2048,
            by_doubling=True,
        ),
        "seed": Seed(
            tr("Seed"),
            tr("With the same seed the same question gives the same answer, where the server takes one."),
        ),
        "stop": Stops(tr("Stop at"), tr("An answer ends before any of these texts.")),
        "context_length": Amount(
            tr("Context, in tokens"),
            tr(
                "How much the model reads at a time. Ollama takes it with a question; elsewhere it is chosen "
                "when the model is loaded. More needs more memory."
            ),
            512,
            _MOST_CONTEXT,
            16_384,
            by_doubling=True,
        ),
        "reasoning": Reasoning(
            tr("Reasoning"), tr("How long a model that reasons may do so before it answers.")
        ),
    }


async def _known(chats: "ChatHost", session: Session | None) -> tuple["PersonaFile", int | None]:
    """The personas, and the context window of who would answer."""
    window = chats.context(session).window_tokens if session is not None else None
    return await chats.personas(), window


async def _use(session: Session, changes: dict[str, Any]) -> None:
    await work.use(session, replace(session.wishes, **changes))
