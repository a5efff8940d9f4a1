"""Keys of services: which there are, where each is kept, and to add, replace, test or remove one."""

import asyncio
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLineEdit, QPushButton, QScrollArea, QVBoxLayout, QWidget

from whisper_desktop.app.keys import KeyCheck, KeyStanding, check_key, key_standings
from whisper_desktop.errors import WhisperError
from whisper_desktop.language import mark, tr
from whisper_desktop.settings.secrets import KeyPlace, checked_key
from whisper_desktop.ui.keys.field import KeyField
from whisper_desktop.ui.theme import COLUMN_CHARACTERS, XL, XS, L, M, S
from whisper_desktop.ui.widgets import heading, plain, secondary, toned
from whisper_desktop.ui.window import AppWindow

if TYPE_CHECKING:
    from whisper_desktop.app import App

_PLACES = {
    KeyPlace.KEYRING: mark("kept in the keyring"),
    KeyPlace.RUN: mark("for this run only"),
    KeyPlace.ENVIRONMENT: mark("from the environment, for this run only"),
    KeyPlace.NONE: mark("no key"),
}


class KeysPage(QScrollArea):
    """A section of the settings window."""

    def __init__(self, window: AppWindow, app: "App") -> None:
        super().__init__()
        self._window = window
        self._app = app
        self.services: dict[str, ServiceKey] = {}
        self.setAccessibleName(tr("Keys"))
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.viewport().setAutoFillBackground(False)
        inside = QWidget()
        inside.setMaximumWidth(COLUMN_CHARACTERS * self.fontMetrics().averageCharWidth() + XL)
        column = QVBoxLayout(inside)
        column.setContentsMargins(0, 0, M, L)
        column.setSpacing(L)
        column.addWidget(heading(tr("Keys")))
        column.addWidget(
            secondary(tr("A key goes to its own service and nowhere else. It is never shown again."))
        )
        self._where = plain("")
        column.addWidget(self._where)
        self._list = QVBoxLayout()
        self._list.setSpacing(L)
        column.addLayout(self._list)
        self.another = AnotherServer()
        self.another.button.clicked.connect(lambda: window.spawn(self._add_another()))
        self.another.address.returnPressed.connect(lambda: window.spawn(self._add_another()))
        column.addWidget(self.another)
        column.addStretch(1)
        self.setWidget(inside)
        inside.setAutoFillBackground(False)
        window.spawn(self._look())

    async def _look(self) -> None:
        standings, explanation = await self._window.bridge.run(_standings(self._app))
        self._where.setText(explanation)
        seen = {standing.origin for standing in standings}
        for origin in [place for place in self.services if place not in seen]:
            self.services.pop(origin).deleteLater()
        for standing in standings:
            self._service(standing).show_standing(standing)

    def _service(self, standing: KeyStanding) -> "ServiceKey":
        known = self.services.get(standing.origin)
        if known is not None:
            return known
        made = self.services[standing.origin] = ServiceKey(standing)
        made.key.entered.connect(lambda key: self._window.spawn(self._keep(made, key)))
        made.remove.confirmed.connect(lambda: self._window.spawn(self._remove(made)))
        made.test.clicked.connect(lambda: self._window.spawn(self._test(made)))
        self._list.addWidget(made)
        return made

    async def _keep(self, service: "ServiceKey", key: str) -> None:
        """A key that its service refuses is not kept; one that cannot be tested now is."""
        standing = service.standing
        service.key.begin(tr("Asking {name} about it…", name=standing.name))
        try:
            check = await self._window.bridge.run(_check(self._app, standing, checked_key(key)))
            if check.accepted is False:
                service.key.tell(f"{check.sentence} {tr('It was not kept.')}", ok=False)
                return
            where = await self._window.bridge.run(self._app.set_key(standing.origin, key))
        except WhisperError as error:
            service.key.tell(str(error), ok=False)
            return
        service.key.tell("", ok=True)
        service.fold_away()
        service.say(f"{check.sentence} {where}", good=check.accepted is True)
        await self._look()

    async def _test(self, service: "ServiceKey") -> None:
        service.say(tr("Asking {name} about it…", name=service.standing.name))
        check = await self._window.bridge.run(_check(self._app, service.standing))
        service.say(check.sentence, good=check.accepted is True, bad=check.accepted is False)

    async def _remove(self, service: "ServiceKey") -> None:
        try:
            await self._window.bridge.run(self._app.remove_key(service.standing.origin))
        except WhisperError as error:
            service.say(str(error), bad=True)
            return
        service.say(tr("The key is forgotten."))
        await self._look()

    async def _add_another(self) -> None:
        address = self.another.address.text().strip()
        if not address:
            return
        try:
            origin = self._app.key_origin(address)
        except WhisperError as error:
            self.another.say(str(error))
            return
        self.another.address.clear()
        self.another.say("")
        standing = KeyStanding("", origin, origin, KeyPlace.NONE)
        service = self._service(standing)
        service.show_standing(standing)
        service.change.click()


class ServiceKey(QFrame):
    """One service: its name, where its key is, and what can be done about it."""

    def __init__(self, standing: KeyStanding) -> None:
        super().__init__()
        self.standing = standing
        name = standing.name
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(XS)
        row = QHBoxLayout()
        row.setSpacing(S)
        words = QVBoxLayout()
        words.setSpacing(XS)
        words.addWidget(plain(name))
        self._place = secondary("")
        words.addWidget(self._place)
        row.addLayout(words, 1)
        self.test = _button(tr("Test"), tr("Test the key for {name}", name=name))
        self.change = _button(tr("Add…"), "")
        self.change.setCheckable(True)
        self.change.toggled.connect(self._open)
        self.remove = RemoveButton(name)
        for button in (self.test, self.change, self.remove):
            row.addWidget(button, 0, Qt.AlignmentFlag.AlignTop)
        column.addLayout(row)
        self.key = KeyField(name)
        self.key.hide()
        column.addWidget(self.key)
        self._tones = {tone: toned("", tone) for tone in ("secondary", "good", "bad")}
        for label in self._tones.values():
            label.hide()
            column.addWidget(label)

    def show_standing(self, standing: KeyStanding) -> None:
        """Show where the key is."""
        self.standing = standing
        has_key = standing.place is not KeyPlace.NONE
        fixed = standing.place is KeyPlace.ENVIRONMENT
        self._place.setText(tr(_PLACES[standing.place]))
        self.change.setText(tr("Replace…") if has_key else tr("Add…"))
        about = (
            tr("Replace the key for {name}", name=standing.name)
            if has_key
            else tr("Add a key for {name}", name=standing.name)
        )
        self.change.setAccessibleName(about)
        self.change.setVisible(not fixed)
        self.test.setVisible(has_key)
        self.remove.setVisible(has_key and not fixed)

    def say(self, sentence: str, *, good: bool = False, bad: bool = False) -> None:
        """Say how it went."""
        tone = "good" if good else "bad" if bad else "secondary"
        for name, label in self._tones.items():
            label.setText(sentence if name == tone else "")
            label.setVisible(name == tone and bool(sentence))

    def _open(self, opened: bool) -> None:
        self.key.setVisible(opened)
        if opened:
            self.say("")
            self.key.field.setFocus()

    def fold_away(self) -> None:
        """Take the field away; the focus stays at its button."""
        self.change.setChecked(False)
        self.change.setFocus()

    @property
    def words(self) -> str:
        """What it says about what was last done."""
        return next((label.text() for label in self._tones.values() if label.text()), "")


class RemoveButton(QWidget):
    """*Remove*, which asks once more in its own place.

    Signals:
        confirmed: the person means it.
    """

    confirmed = Signal()

    def __init__(self, name: str) -> None:
        super().__init__()
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(S)
        self.ask = _button(tr("Remove"), tr("Remove the key for {name}", name=name))
        self.yes = _button(tr("Remove for good"), tr("Remove the key for {name} for good", name=name))
        self.no = _button(tr("Keep"), tr("Keep the key for {name}", name=name))
        self.ask.clicked.connect(lambda: self._asking(True))
        self.no.clicked.connect(lambda: self._asking(False))
        self.yes.clicked.connect(self._confirm)
        for button in (self.ask, self.yes, self.no):
            row.addWidget(button)
        self._asking(False)

    def _asking(self, asking: bool) -> None:
        had_focus = any(button.hasFocus() for button in (self.ask, self.yes, self.no))
        self.ask.setVisible(not asking)
        self.yes.setVisible(asking)
        self.no.setVisible(asking)
        if had_focus:
            (self.no if asking else self.ask).setFocus()

    def _confirm(self) -> None:
        self._asking(False)
        self.confirmed.emit()


class AnotherServer(QFrame):
    """To add a key for a server that the app does not know by name."""

    def __init__(self) -> None:
        super().__init__()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(XS)
        column.addWidget(plain(tr("A server of your own")))
        row = QHBoxLayout()
        row.setSpacing(S)
        self.address = QLineEdit()
        self.address.setPlaceholderText(tr("Its address: https://…"))
        self.address.setAccessibleName(tr("Address of the server"))
        self.button = _button(tr("Add…"), tr("Add a key for this address"))
        row.addWidget(self.address, 1)
        row.addWidget(self.button)
        column.addLayout(row)
        self._error = toned("", "bad")
        self._error.hide()
        column.addWidget(self._error)

    def say(self, sentence: str) -> None:
        """Say what is wrong with the address."""
        self._error.setText(sentence)
        self._error.setVisible(bool(sentence))


def _button(text: str, about: str) -> QPushButton:
    made = QPushButton(text)
    made.setAutoDefault(False)
    if about:
        made.setAccessibleName(about)
    return made


async def _standings(app: "App") -> tuple[tuple[KeyStanding, ...], str]:
    """On the core loop: all keys, and where they are kept."""
    standings = await key_standings(app.secrets, app.loaded.settings.llm)
    return standings, await asyncio.to_thread(lambda: app.secrets.explanation)


async def _check(app: "App", standing: KeyStanding, key: str | None = None) -> KeyCheck:
    """On the core loop: what the service says about this key, or the one that is kept."""
    kept = key or await asyncio.to_thread(app.secrets.get, standing.origin) or ""
    return await check_key(app.http, standing.service, standing.origin, kept)
