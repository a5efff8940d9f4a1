"""Global keys on X11: passive grabs on the root windows, on a connection of their own.

Its socket is watched by Qt's loop, so nothing waits anywhere. A grab holds for one exact set of modifiers, so
the keys are grabbed once with each combination of the locks (Caps, Num, Scroll).
"""

import logging
import os
from collections.abc import Callable
from itertools import combinations
from typing import Any

from PySide6.QtCore import QObject, QSocketNotifier
from Xlib import XK, X
from Xlib.display import Display
from Xlib.error import (
    BadAccess,
    CatchError,
    ConnectionClosedError,
    DisplayError,
    XError,
)
from Xlib.protocol.event import ClientMessage

from whisper_desktop.language import tr
from whisper_desktop.machine.display import has_display
from whisper_desktop.ui.hotkey.shortcut import Modifier, Shortcut

log = logging.getLogger("whisper_desktop.ui")

_GONE = (ConnectionClosedError, DisplayError, OSError, XError)
_USUAL = {Modifier.CTRL: X.ControlMask, Modifier.SHIFT: X.ShiftMask}
_HELD = {
    Modifier.ALT: (("Alt_L", "Alt_R"), X.Mod1Mask),
    Modifier.META: (("Super_L", "Super_R", "Meta_L"), X.Mod4Mask),
}
_LOCKS = ("Num_Lock", "Scroll_Lock")


class X11Keys(QObject):
    """Calls `pressed` when the keys are pressed, and `lost` with a sentence where they stop working."""

    def __init__(self, pressed: Callable[[], None], lost: Callable[[str], None]) -> None:
        super().__init__()
        self._pressed = pressed
        self._lost = lost
        self._display: Any = None
        self._notifier: QSocketNotifier | None = None
        self._shortcut: Shortcut | None = None
        self._grabbed: set[tuple[int, int]] = set()
        self._released_at = -1
        self._pressed_at = X.CurrentTime

    def start(self, shortcut: Shortcut) -> str:
        """Take the keys; one sentence where they cannot be had."""
        unasked = tr("The screen's server could not be asked for {keys}.", keys=shortcut)
        if not has_display({"DISPLAY": os.environ.get("DISPLAY", "")}):
            return unasked
        try:
            self._display = Display()
            self._display.set_error_handler(lambda error, _request: log.info("X11 refused: %s", error))
            self._shortcut = shortcut
            trouble = self._grab()
        except _GONE as error:
            log.info("No keys from X11: %s", error)
            trouble = unasked
        if trouble:
            self.stop()
            return trouble
        self._notifier = QSocketNotifier(self._display.fileno(), QSocketNotifier.Type.Read, self)
        self._notifier.activated.connect(self._read)
        self._read()  # what came with the answers to our questions is read already
        return ""

    def stop(self) -> None:
        """Give the keys back."""
        if self._notifier is not None:
            self._notifier.setEnabled(False)
            self._notifier.deleteLater()
            self._notifier = None
        display, self._display = self._display, None
        self._grabbed.clear()
        if display is not None:
            try:
                display.close()  # the server lets go of the grabs of a connection that ends
            except _GONE:
                log.debug("The X11 connection had ended")

    def activate(self, window: int) -> None:
        """Have the window manager bring this window to the front, because of the key that was pressed.

        Qt does not know of that key press, and a window manager that guards the focus asks when it was:
        https://specifications.freedesktop.org/wm-spec/latest/ (_NET_ACTIVE_WINDOW).
        """
        if self._display is None:
            return
        try:
            root = self._display.screen().root
            event = ClientMessage(
                window=self._display.create_resource_object("window", window),
                client_type=self._display.get_atom("_NET_ACTIVE_WINDOW"),
                data=(32, [1, self._pressed_at, 0, 0, 0]),
            )
            mask = X.SubstructureRedirectMask | X.SubstructureNotifyMask
            root.send_event(event, event_mask=mask)
            self._display.flush()
        except _GONE as error:
            self._end(error)

    # --- grabs ----------------------------------------------------------------------------------------------

    def _grab(self) -> str:
        assert self._shortcut is not None
        codes = self._key_codes(self._shortcut)
        if not codes:
            return tr("This keyboard has no key “{key}”.", key=self._shortcut.key.name)
        held = self._mask_of(self._shortcut)
        refused = CatchError(BadAccess)
        for root in self._roots():
            for code in codes:
                for locks in self._lock_masks():
                    root.grab_key(
                        code, held | locks, False, X.GrabModeAsync, X.GrabModeAsync, onerror=refused
                    )
                    self._grabbed.add((code, held | locks))
        self._display.sync()
        if refused.get_error() is not None:
            self._ungrab()
            return tr("Another program uses {keys}.", keys=self._shortcut)
        return ""

    def _ungrab(self) -> None:
        for root in self._roots():
            for code, mask in self._grabbed:
                root.ungrab_key(code, mask)
        self._grabbed.clear()
        self._display.sync()

    def _roots(self) -> list[Any]:
        return [self._display.screen(number).root for number in range(self._display.screen_count())]

    def _key_codes(self, shortcut: Shortcut) -> set[int]:
        """The keys of this keyboard that give the symbol, in the layout that comes first of those that do."""
        found = list(self._display.keysym_to_keycodes(XK.string_to_keysym(shortcut.key.keysym)))
        least = min((index for _, index in found), default=0)
        return {code for code, index in found if index == least}

    def _mask_of(self, shortcut: Shortcut) -> int:
        mask: int = 0
        for modifier in shortcut.modifiers:
            if modifier in _USUAL:
                mask |= _USUAL[modifier]
            else:
                names, usual = _HELD[modifier]
                mask |= self._mask_with(names) or usual
        return mask

    def _lock_masks(self) -> list[int]:
        masks = {X.LockMask, *(self._mask_with((name,)) for name in _LOCKS)} - {0}
        return [sum(some) for size in range(len(masks) + 1) for some in combinations(sorted(masks), size)]

    def _mask_with(self, names: tuple[str, ...]) -> int:
        """The modifier that one of these keys sets; 0 where none does."""
        codes = {
            code for name in names for code, _ in self._display.keysym_to_keycodes(XK.string_to_keysym(name))
        }
        for number, keys in enumerate(self._display.get_modifier_mapping()):
            if codes & {code for code in keys if code}:
                return 1 << number
        return 0

    # --- what comes -----------------------------------------------------------------------------------------

    def _read(self) -> None:
        """Everything that has come. On the Qt thread."""
        try:
            while self._display is not None and self._display.pending_events():
                self._take(self._display.next_event())
        except _GONE as error:
            self._end(error)

    def _take(self, event: Any) -> None:  # noqa: ANN401 - the package has no types
        if event.type == X.KeyRelease:
            self._released_at = event.time
        elif event.type == X.KeyPress:
            # A key that is held repeats as a release and a press of the same moment.
            if event.time != self._released_at:
                self._pressed_at = event.time
                self._pressed()
        elif event.type == X.MappingNotify and event.request != X.MappingPointer:
            self._map_again(event)

    def _map_again(self, event: Any) -> None:  # noqa: ANN401
        """The keyboard, or its layout, is another one: the keys are elsewhere now."""
        self._display.refresh_keyboard_mapping(event)
        self._ungrab()
        if trouble := self._grab():
            self._lost(trouble)

    def _end(self, error: Exception) -> None:
        log.info("The X11 connection ended: %s", error)
        self.stop()
        self._lost(tr("The keys for Quick ask work again when the app is started anew."))
