"""Which names and links an archive may have: pure decisions, the same on all systems.

What is good here is good everywhere: a name that only Windows takes for a device, or only a Mac for the same
as another one, is refused on Linux too.
"""

import unicodedata
from enum import Enum

from whisper_desktop.language import tr

Parts = tuple[str, ...]
"""The parts of a path below the folder that is unpacked into; () is that folder itself."""

_LONGEST_PART = 255  # bytes
_LONGEST_NAME = 1024
_DEEPEST = 32
_MOST_HOPS = 40
_FORBIDDEN = frozenset('\\:<>"|?*')
_INVISIBLE = ("Cc", "Cf", "Cs", "Zl", "Zp")
_DEVICES = frozenset(
    ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"]
    + [name + digit for name in ("COM", "LPT") for digit in "0123456789¹²³"]
)


class Unsafe(Exception):
    """Why an entry is refused, as the end of a sentence that begins with its name."""


class Kind(Enum):
    """What an entry is."""

    FOLDER = "folder"
    FILE = "file"
    LINK = "link"


def parts_of(name: str) -> Parts:
    """The parts of an entry's name. Raises `Unsafe`."""
    if name.startswith("/"):
        raise Unsafe(tr("is an absolute path"))
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if ".." in parts:
        raise Unsafe(tr("leads out of the archive"))
    _check(name, parts)
    return parts


class Tree:
    """What an archive has had so far: no two names mean one place, and all paths lead through folders."""

    def __init__(self) -> None:
        self._places: dict[Parts, tuple[Parts, Kind]] = {}
        self._links: dict[Parts, str] = {}

    def add(self, path: Parts, kind: Kind, target: str = "") -> None:
        """One more entry, and the folders that lead to it. `target` is that of a link. Raises `Unsafe`."""
        for depth in range(1, len(path)):
            self._take(path[:depth], Kind.FOLDER)
        if path:
            self._take(path, kind)
        elif kind is not Kind.FOLDER:
            raise Unsafe(tr("has no name"))
        if kind is Kind.LINK:
            if not target or target.startswith("/"):
                raise Unsafe(tr("is a link to an absolute path"))
            _check(target, tuple(part for part in target.split("/") if part not in ("", ".", "..")))
            self._links[_folded(path)] = target

    def check_link(self, path: Parts) -> None:
        """Once all entries are known. Raises `Unsafe` for a link that leads out, be it by way of others."""
        here = list(_folded(path))
        ahead: list[str] = []
        hops = 0
        while True:
            target = self._links.get(tuple(here))
            if target is not None:
                hops += 1
                if hops > _MOST_HOPS:
                    raise Unsafe(tr("is a link that leads round in a circle"))
                here.pop()
                ahead += reversed(target.split("/"))
            if not ahead:
                return
            part = ahead.pop()
            if part == "..":
                if not here:
                    raise Unsafe(tr("is a link that leads out of the archive"))
                here.pop()
            elif part not in ("", "."):
                here += _folded((part,))

    def _take(self, path: Parts, kind: Kind) -> None:
        folded = _folded(path)
        if folded not in self._places:
            self._places[folded] = (path, kind)
            return
        known, had = self._places[folded]
        if known != path:
            raise Unsafe(tr("is the same as “{items}” on some systems", items="/".join(known)))
        if had is not Kind.FOLDER or kind is not Kind.FOLDER:
            raise Unsafe(tr("has something in its way: “{items}” is there twice", items="/".join(known)))


def _check(name: str, parts: Parts) -> None:
    if len(name) > _LONGEST_NAME or len(parts) > _DEEPEST:
        raise Unsafe(tr("has a name that is too long"))
    for part in parts:
        if any(unicodedata.category(character) in _INVISIBLE for character in part):
            raise Unsafe(tr("has a character in its name that nobody can see"))
        if not _FORBIDDEN.isdisjoint(part) or part[-1] in ". ":
            raise Unsafe(tr("has a name that does not work on all systems"))
        if part.split(".")[0].rstrip(" ").upper() in _DEVICES:
            raise Unsafe(tr("has the name of a device"))
        if len(part.encode()) > _LONGEST_PART:
            raise Unsafe(tr("has a name that is too long"))


def _folded(path: Parts) -> Parts:
    """The same for all spellings that a file system may take for the same."""
    return tuple(
        unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", part).casefold()) for part in path
    )
