"""The keys of a shortcut as a person writes them ("Ctrl+Alt+Space"), and as each system knows them. No Qt.

Sources of the numbers: X11/keysymdef.h for the keysyms' names, WinUser.h for virtual-key codes, and
HIToolbox/Events.h for macOS's virtual key codes (positions on an ANSI keyboard).
"""

import string
from dataclasses import dataclass
from enum import Enum

from whisper_desktop.language import tr


class Modifier(Enum):
    """A key that is held, with the name it is shown by; in the order in which they are written."""

    CTRL = "Ctrl"
    ALT = "Alt"
    SHIFT = "Shift"
    META = "Meta"


@dataclass(frozen=True, slots=True)
class Key:
    """The key that is pressed: its name, its keysym's name, its codes on Windows and macOS.

    None: this system has no such key.
    """

    name: str
    keysym: str
    windows: int
    macos: int | None = None


@dataclass(frozen=True, slots=True)
class Shortcut:
    """One key with those that are held meanwhile."""

    modifiers: frozenset[Modifier]
    key: Key

    def __str__(self) -> str:
        return "+".join([*(each.value for each in Modifier if each in self.modifiers), self.key.name])


def read_shortcut(text: str) -> Shortcut:
    """The shortcut that a text names. Raises `ValueError` with one sentence that says what is wrong."""
    # "Ctrl++" is the key "+" with Ctrl.
    parts = text.strip().removesuffix("+").split("+") if text.strip().endswith("++") else text.split("+")
    names = [part.strip() for part in parts]
    if text.strip().endswith("++"):
        names[-1:] = [names[-1], "plus"] if names[-1] else ["plus"]
    *held, pressed = names
    modifiers = frozenset(_modifier(name, text) for name in held)
    if pressed.lower() in _MODIFIERS:
        raise ValueError(
            tr("“{text}” only has keys that are held: add one, such as Space.", text=_short(text))
        )
    key = _KEYS.get(pressed.lower())
    if key is None:
        raise _unknown(pressed, text)
    if len(modifiers) < len(held):
        raise ValueError(tr("“{text}” names a key twice.", text=_short(text)))
    if not modifiers - {Modifier.SHIFT} and not _is_function_key(key):
        raise ValueError(
            tr("“{text}” would be taken away from typing: add Ctrl, Alt or Meta.", text=_short(text))
        )
    return Shortcut(modifiers, key)


def _modifier(name: str, text: str) -> Modifier:
    modifier = _MODIFIERS.get(name.lower())
    if modifier is None:
        raise _unknown(name, text)
    return modifier


def _unknown(name: str, text: str) -> ValueError:
    if not name:
        return ValueError(
            tr("“{text}” is no shortcut: write keys such as Ctrl+Alt+Space.", text=_short(text))
        )
    return ValueError(
        tr("“{name}” is no key that is known here: write keys such as Ctrl+Alt+Space.", name=_short(name))
    )


def _short(text: str) -> str:
    return "".join(letter for letter in text.strip()[:40] if letter.isprintable())


def _is_function_key(key: Key) -> bool:
    return key.name[0] == "F" and key.name[1:].isdecimal()


_MODIFIERS = {
    "ctrl": Modifier.CTRL,
    "control": Modifier.CTRL,
    "alt": Modifier.ALT,
    "option": Modifier.ALT,
    "shift": Modifier.SHIFT,
    "meta": Modifier.META,
    "super": Modifier.META,
    "win": Modifier.META,
    "windows": Modifier.META,
    "cmd": Modifier.META,
    "command": Modifier.META,
}

_MAC_LETTERS = dict(
    zip(
        "ASDFHGZXCVBQWERYTOUIPLJKNM",
        (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16, 17, 31, 32, 34, 35, 37, 38, 40, 45, 46),
        strict=True,
    )
)
_MAC_DIGITS = dict(zip("1234657980", (18, 19, 20, 21, 22, 23, 26, 28, 25, 29), strict=True))
_MAC_FUNCTION = (122, 120, 99, 118, 96, 97, 98, 100, 101, 109, 103, 111, 105, 107, 113, 106, 64, 79, 80, 90)
_NAMED = (
    Key("Space", "space", 0x20, 49),
    Key("Tab", "Tab", 0x09, 48),
    Key("Return", "Return", 0x0D, 36),
    Key("Backspace", "BackSpace", 0x08, 51),
    Key("Insert", "Insert", 0x2D, 114),
    Key("Delete", "Delete", 0x2E, 117),
    Key("Home", "Home", 0x24, 115),
    Key("End", "End", 0x23, 119),
    Key("PageUp", "Page_Up", 0x21, 116),
    Key("PageDown", "Page_Down", 0x22, 121),
    Key("Left", "Left", 0x25, 123),
    Key("Up", "Up", 0x26, 126),
    Key("Right", "Right", 0x27, 124),
    Key("Down", "Down", 0x28, 125),
    Key("Pause", "Pause", 0x13),
    Key("Print", "Print", 0x2C),
    Key("Menu", "Menu", 0x5D),
    Key("Comma", "comma", 0xBC, 43),
    Key("Minus", "minus", 0xBD, 27),
    Key("Period", "period", 0xBE, 47),
    Key("Plus", "plus", 0xBB, 24),
    Key("Slash", "slash", 0xBF, 44),
    Key("Semicolon", "semicolon", 0xBA, 41),
    Key("Backslash", "backslash", 0xDC, 42),
    Key("Grave", "grave", 0xC0, 50),
)
_OTHER_NAMES = {
    "enter": "return",
    "del": "delete",
    "ins": "insert",
    "pgup": "pageup",
    "pgdown": "pagedown",
    "printscreen": "print",
    ",": "comma",
    "-": "minus",
    ".": "period",
    "/": "slash",
    ";": "semicolon",
    "\\": "backslash",
    "`": "grave",
}


def _keys() -> dict[str, Key]:
    keys = {key.name.lower(): key for key in _NAMED}
    for letter in string.ascii_uppercase:
        keys[letter.lower()] = Key(letter, letter.lower(), ord(letter), _MAC_LETTERS[letter])
    for digit in string.digits:
        keys[digit] = Key(digit, digit, ord(digit), _MAC_DIGITS[digit])
    for number in range(1, 25):
        macos = _MAC_FUNCTION[number - 1] if number <= len(_MAC_FUNCTION) else None
        keys[f"f{number}"] = Key(f"F{number}", f"F{number}", 0x6F + number, macos)
    return keys | {other: keys[name] for other, name in _OTHER_NAMES.items()}


_KEYS = _keys()
