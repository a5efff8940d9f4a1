"""When the computer is to stay awake: while something is downloaded, and while an answer takes long."""

import asyncio

from PySide6.QtCore import QObject, QTimer

from whisper_desktop.language import tr
from whisper_desktop.machine.stay_awake import StayAwake
from whisper_desktop.ui.bridge import Bridge

_LONG = 30_000  # ms after which an answer is a long one


class KeepAwake(QObject):
    """Told what goes on, it sees to the rest; the system is asked on the core's side."""

    def __init__(self, bridge: Bridge) -> None:
        super().__init__()
        self._bridge = bridge
        self._lock = asyncio.Lock()
        self._awake = StayAwake()
        self._downloads = False
        self._long_answer = QTimer(self, singleShot=True, interval=_LONG)
        self._long_answer.timeout.connect(self._see_to_it)
        self._answers = False

    def downloading(self, active: bool) -> None:
        """Whether something is being downloaded."""
        if active != self._downloads:
            self._downloads = active
            self._see_to_it()

    def answering(self, active: bool) -> None:
        """Whether an answer is being written."""
        if active != self._answers:
            self._answers = active
            if active:
                self._long_answer.start()
            else:
                self._long_answer.stop()
                self._see_to_it()

    @property
    def _wanted(self) -> str:
        if self._downloads:
            return tr("A model is being downloaded")
        if self._answers and not self._long_answer.isActive():
            return tr("An answer is being written")
        return ""

    def _see_to_it(self) -> None:
        self._bridge.spawn(self._settle())

    async def _settle(self) -> None:
        async with self._lock:
            why = self._wanted
            if bool(why) != self._awake.is_held:
                await self._bridge.run(asyncio.to_thread(self._ask, why))

    def _ask(self, why: str) -> None:
        if why:
            self._awake.hold(why)
        else:
            self._awake.release()

    def close(self) -> None:
        """Let the system sleep again; at the end, so it does not matter that this takes a moment."""
        self._awake.release()
