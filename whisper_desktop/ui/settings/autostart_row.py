"""Whether the app starts with the computer: no setting of ours, but read back from the system each time."""

import asyncio

from PySide6.QtWidgets import QVBoxLayout, QWidget

from whisper_desktop.errors import SettingsError
from whisper_desktop.language import tr
from whisper_desktop.machine import autostart
from whisper_desktop.ui.settings.fields import Switch
from whisper_desktop.ui.theme import XS
from whisper_desktop.ui.widgets import secondary, toned
from whisper_desktop.ui.window import AppWindow


class AutostartRow(QWidget):
    """A switch that says what the system has, and changes that."""

    def __init__(self, window: AppWindow) -> None:
        super().__init__()
        self._window = window
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(XS)
        self.switch = Switch(tr("Start with the computer"))
        self.switch.chosen.connect(lambda on: window.spawn(self._set(bool(on))))
        self.switch.box.setAccessibleDescription(self.about())
        column.addWidget(self.switch)
        column.addWidget(secondary(self.about()))
        self._why_not = secondary("")
        self._why_not.hide()
        column.addWidget(self._why_not)
        self._error = toned("", "bad")
        self._error.hide()
        column.addWidget(self._error)
        self.switch.setEnabled(False)
        window.spawn(self._read())

    @staticmethod
    def about() -> str:
        """The sentence below the switch."""
        return tr("The app waits in the tray after you log in, without a window. It uses next to nothing.")

    async def _read(self) -> None:
        is_on, why_not = await self._window.bridge.run(asyncio.to_thread(_standing))
        self.switch.show_value(is_on)
        self.switch.setEnabled(not why_not)
        self._why_not.setText(why_not)
        self._why_not.setVisible(bool(why_not))

    async def _set(self, on: bool) -> None:
        self._error.hide()
        try:
            await self._window.bridge.run(asyncio.to_thread(autostart.set_on, on))
        except SettingsError as error:
            self._error.setText(str(error))
            self._error.show()
        await self._read()


def _standing() -> tuple[bool, str]:
    return autostart.is_on(), autostart.why_not()
