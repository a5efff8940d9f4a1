"""Another program on the screen of a test: it has the focus, takes keys, has something selected."""

import subprocess
import sys
from typing import Any

from Xlib import X
from Xlib.display import Display
from Xlib.protocol.event import SelectionNotify

from tests.ui.desktop.screen import ROOT, Screen, wait_for


class Other:
    """Another program on the screen, which says which keys reach it."""

    def __init__(self, screen: Screen) -> None:
        self._display: Any = Display(screen.display)
        root = self._display.screen().root
        self.window = root.create_window(
            *(0, 0, 80, 60, 0, X.CopyFromParent), event_mask=X.KeyPressMask, override_redirect=True
        )  # the window manager leaves it, and the focus, alone
        self.window.map()
        self._display.sync()
        self._screen = screen
        self.take_focus()

    def take_focus(self) -> None:
        """The person goes on here: what they type arrives."""
        wait_for("focus that stays", lambda: self._type("b"))

    def _type(self, letter: str) -> bool:
        """Whether it arrives: a window manager that has just started takes the focus once more."""
        self._screen.xdotool("windowfocus", "--sync", self.window.id)
        self._screen.keys(letter, letter)
        return self.typed()[-2:] == [letter, letter]

    def typed(self) -> list[str]:
        """The names of the keys that have come."""
        self._display.sync()
        events = [self._display.next_event() for _ in range(self._display.pending_events())]
        codes = [event.detail for event in events if event.type == X.KeyPress]
        return [chr(self._display.keycode_to_keysym(code, 0) & 0xFF) for code in codes]

    def grab(self, keysym: int) -> None:
        """Take Ctrl+Alt+key for itself."""
        root = self._display.screen().root
        code = self._display.keysym_to_keycode(keysym)
        root.grab_key(code, X.ControlMask | X.Mod1Mask, False, X.GrabModeAsync, X.GrabModeAsync)
        self._display.sync()

    def close(self) -> None:
        self._display.close()


class Selecting:
    """A program in which a text is selected. Use as a context manager."""

    def __init__(self, screen: Screen, text: str) -> None:
        self._screen = screen
        self._text = text

    def __enter__(self) -> "Selecting":
        command = [sys.executable, "-m", "tests.ui.desktop.other", self._text]
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=self._screen.env, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "selected\n"
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdout is not None
        self._process.kill()
        self._process.wait(20)
        self._process.stdout.close()


def select(text: str) -> None:
    """Own the primary selection, and answer who asks for it, as ICCCM 2.2 has it."""
    display: Any = Display()
    window = display.screen().root.create_window(0, 0, 1, 1, 0, X.CopyFromParent)
    window.set_selection_owner(display.get_atom("PRIMARY"), X.CurrentTime)
    targets, utf8, atom = (display.get_atom(name) for name in ("TARGETS", "UTF8_STRING", "ATOM"))
    display.sync()
    print("selected", flush=True)
    while True:
        event = display.next_event()
        if event.type != X.SelectionRequest:
            continue
        given = event.property
        if event.target == targets:
            event.requestor.change_property(given, atom, 32, [targets, utf8])
        elif event.target == utf8:
            event.requestor.change_property(given, utf8, 8, text.encode())
        else:
            given = X.NONE
        told = SelectionNotify(
            time=event.time,
            requestor=event.requestor,
            selection=event.selection,
            target=event.target,
            property=given,
        )
        event.requestor.send_event(told)
        display.flush()


if __name__ == "__main__":
    select(sys.argv[1])
