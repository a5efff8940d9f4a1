"""Global keys on macOS: RegisterEventHotKey of Carbon, which needs no permission and is not deprecated.

CarbonEvents.h of the HIToolbox framework. Written from the header; what is pure here is tested, the rest has
not been run.
"""

import ctypes
from collections.abc import Callable
from ctypes.util import find_library
from typing import Any

from whisper_desktop.language import tr
from whisper_desktop.ui.hotkey.shortcut import Modifier, Shortcut

_MODIFIERS = {Modifier.META: 0x100, Modifier.SHIFT: 0x200, Modifier.ALT: 0x800, Modifier.CTRL: 0x1000}
_TAKEN = -9878  # eventHotKeyExistsErr
_KEYBOARD = int.from_bytes(b"keyb", "big")  # kEventClassKeyboard
_HOT_KEY_PRESSED = 5  # kEventHotKeyPressed
_SIGNATURE = int.from_bytes(b"Whsp", "big")


def codes_of(shortcut: Shortcut) -> tuple[int, int] | None:
    """The key and the modifiers for RegisterEventHotKey; None where a Mac's keyboard has no such key."""
    if shortcut.key.macos is None:
        return None
    return shortcut.key.macos, sum(_MODIFIERS[modifier] for modifier in shortcut.modifiers)


class _Id(ctypes.Structure):
    """EventHotKeyID."""

    _fields_ = (("signature", ctypes.c_uint32), ("id", ctypes.c_uint32))


class _Type(ctypes.Structure):
    """EventTypeSpec."""

    _fields_ = (("event_class", ctypes.c_uint32), ("event_kind", ctypes.c_uint32))


_Handler = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)


class MacKeys:
    """Calls `pressed` when the keys are pressed, on the main thread."""

    def __init__(self, pressed: Callable[[], None]) -> None:
        self._pressed = pressed
        self._carbon: Any = None
        self._callback = _Handler(self._on_event)  # kept: the system calls it for as long as it is installed
        self._handler = ctypes.c_void_p()
        self._key = ctypes.c_void_p()

    def start(self, shortcut: Shortcut) -> str:
        """Take the keys; one sentence where they cannot be had."""
        codes, path = codes_of(shortcut), find_library("Carbon")
        if codes is None:
            return tr("A Mac has no key “{key}”.", key=shortcut.key.name)
        if path is None:
            return tr("This system lets no program take keys for itself.")
        carbon: Any = ctypes.CDLL(path)
        carbon.GetApplicationEventTarget.restype = ctypes.c_void_p
        target = ctypes.c_void_p(carbon.GetApplicationEventTarget())
        kind = _Type(_KEYBOARD, _HOT_KEY_PRESSED)
        carbon.InstallEventHandler(
            target, self._callback, ctypes.c_ulong(1), ctypes.byref(kind), None, ctypes.byref(self._handler)
        )
        self._carbon = carbon
        status = carbon.RegisterEventHotKey(
            ctypes.c_uint32(codes[0]),
            ctypes.c_uint32(codes[1]),
            _Id(_SIGNATURE, 1),
            target,
            ctypes.c_uint32(0),
            ctypes.byref(self._key),
        )
        if status:
            self.stop()
            if status == _TAKEN:
                return tr("Another program uses {keys}.", keys=shortcut)
            return tr("macOS does not give {keys} to programs.", keys=shortcut)
        return ""

    def stop(self) -> None:
        """Give the keys back."""
        if self._carbon is None:
            return
        if self._key:
            self._carbon.UnregisterEventHotKey(self._key)
        if self._handler:
            self._carbon.RemoveEventHandler(self._handler)
        self._carbon, self._key, self._handler = None, ctypes.c_void_p(), ctypes.c_void_p()

    def _on_event(self, _call: int | None, _event: int | None, _data: int | None) -> int:
        self._pressed()
        return 0
