"""Global keys on Windows: RegisterHotKey, whose message comes through Qt's own message loop.

https://learn.microsoft.com/windows/win32/api/winuser/nf-winuser-registerhotkey. Written from the
documentation; what is pure here is tested, the rest has not been run.
"""

import ctypes
from collections.abc import Callable
from typing import Any

from PySide6.QtCore import QAbstractNativeEventFilter, QByteArray, QCoreApplication

from whisper_desktop.language import tr
from whisper_desktop.ui.hotkey.shortcut import Modifier, Shortcut

_MODIFIERS = {Modifier.ALT: 0x1, Modifier.CTRL: 0x2, Modifier.SHIFT: 0x4, Modifier.META: 0x8}
_NO_REPEAT = 0x4000
_WM_HOTKEY = 0x0312
_TAKEN = 1409  # ERROR_HOTKEY_ALREADY_REGISTERED
_ID = 0x5748  # any number below 0xC000, the same for us alone: hot keys without a window belong to the thread


def codes_of(shortcut: Shortcut) -> tuple[int, int]:
    """What RegisterHotKey is given: the modifiers, without repeats while the key is held, and the key."""
    held = sum(_MODIFIERS[modifier] for modifier in shortcut.modifiers)
    return held | _NO_REPEAT, shortcut.key.windows


class _Message(ctypes.Structure):
    """The beginning of MSG of WinUser.h."""

    _fields_ = (
        ("window", ctypes.c_void_p),
        ("message", ctypes.c_uint),
        ("w_param", ctypes.c_size_t),
        ("l_param", ctypes.c_ssize_t),
    )


class WindowsKeys(QAbstractNativeEventFilter):
    """Calls `pressed` when the keys are pressed, on the Qt thread."""

    def __init__(self, pressed: Callable[[], None]) -> None:
        super().__init__()
        self._pressed = pressed
        self._user32: Any = None

    def start(self, shortcut: Shortcut) -> str:
        """Take the keys; one sentence where they cannot be had."""
        library: Any = ctypes
        user32 = library.WinDLL("user32", use_last_error=True)
        modifiers, key = codes_of(shortcut)
        if not user32.RegisterHotKey(None, _ID, modifiers, key):
            if library.get_last_error() == _TAKEN:
                return tr("Another program uses {keys}.", keys=shortcut)
            return tr("Windows does not give {keys} to programs.", keys=shortcut)
        self._user32 = user32
        application = QCoreApplication.instance()
        assert application is not None
        application.installNativeEventFilter(self)
        return ""

    def stop(self) -> None:
        """Give the keys back."""
        if self._user32 is not None:
            self._user32.UnregisterHotKey(None, _ID)
            self._user32 = None
            application = QCoreApplication.instance()
            if application is not None:
                application.removeNativeEventFilter(self)

    def nativeEventFilter(  # noqa: N802
        self, kind: "QByteArray | bytes | bytearray | memoryview[int]", message: int
    ) -> tuple[bool, int]:
        """Look at each message of the thread; ours ends here."""
        if QByteArray(kind) == b"windows_generic_MSG":
            told = _Message.from_address(int(message))
            if told.message == _WM_HOTKEY and told.w_param == _ID:
                self._pressed()
                return True, 0
        return False, 0
