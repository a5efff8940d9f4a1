"""Asks the operating system's keyring one question. Runs in a process of its own.

The libraries of keyrings take more memory than all the rest of what we do with keys, and a keyring may hang
or wait for a person: so a child asks, and is gone. This file is run by its path and imports nothing of ours.
Keys go through its pipes only. It ends when its standard input does, and after `patience` seconds.

Reads one line of JSON on standard input: {"verb": "look" | "set" | "remove", "patience": 120.0, ...}
look:    {"origins": [...]}, which are looked up besides those of the index, and answers
         {"origins": [...], "whole": true, "keys": {origin: key}}; not `whole`: the index cannot be read
set:     {"origin": ..., "key": ...}, and answers {}
remove:  {"origin": ...}, and answers {"removed": true}
Any of them answers {"failed": "missing" | "locked" | the name of the error's type}, and never its text:
nobody promises that no key is in it.
"""

import json
import logging
import os
import sys
import threading
from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

SERVICE = "Whisper Desktop"

# The keyring cannot list what it holds, so the origins (never keys) stand in one entry of their own.
INDEX = "origins"
_MAX_INDEX = 100_000


def answer_to(question: dict[str, Any]) -> dict[str, Any]:
    """What the keyring says."""
    logging.disable()
    try:
        backend = _found()
        if backend is None:
            return {"failed": "missing"}
        match question["verb"]:
            case "set":
                return _set(backend, question["origin"], question["key"])
            case "remove":
                return _remove(backend, question["origin"])
            case _:
                return _look(backend, question["origins"])
    except Exception as error:  # a keyring is foreign code; this is the boundary
        return {"failed": _named(error)}


def _look(backend: "KeyringBackend", asked: list[str]) -> dict[str, Any]:
    """A look must not make a keyring where there is none, nor ask the person to unlock one for nothing."""
    if not _may_hold_ours(backend):
        return {"origins": [], "whole": True, "keys": {}}
    index = _index(backend)
    keys = {origin: backend.get_password(SERVICE, origin) for origin in {*(index or ()), *asked}}
    return {
        "origins": sorted(index or ()),
        "whole": index is not None,
        "keys": {origin: key for origin, key in keys.items() if isinstance(key, str) and key},
    }


def _set(backend: "KeyringBackend", origin: str, key: str) -> dict[str, Any]:
    # The index first: whoever is ended in between has an origin without a key, not a key that nobody finds.
    _write_index(backend, (_index(backend) or frozenset()) | {origin})
    backend.set_password(SERVICE, origin, key)
    return {}


def _remove(backend: "KeyringBackend", origin: str) -> dict[str, Any]:
    if not _may_hold_ours(backend):
        return {"removed": False}
    kept = backend.get_password(SERVICE, origin) is not None
    if kept:
        backend.delete_password(SERVICE, origin)
    known = _index(backend) or frozenset()
    if origin in known:
        _write_index(backend, known - {origin})
    return {"removed": kept}


def _found() -> "KeyringBackend | None":
    import keyring
    from keyring.backends.chainer import ChainerBackend

    try:
        found = keyring.get_keyring()
    except Exception:  # foreign code: PYTHON_KEYRING_BACKEND may name anything
        return None
    candidates: Sequence[KeyringBackend] = found.backends if isinstance(found, ChainerBackend) else (found,)
    return next((backend for backend in candidates if _is_safe(backend)), None)


def _is_safe(backend: "KeyringBackend") -> bool:
    """Not the ones that keep nothing, and not those that keep keys in a file (`keyrings.alt`)."""
    module = type(backend).__module__
    return not module.startswith(("keyring.backends.fail", "keyring.backends.null", "keyrings.alt"))


def _may_hold_ours(backend: "KeyringBackend") -> bool:
    """Whether it is worth asking for a key. Of a Secret Service the attributes of what it holds can be read
    while it is locked, and where it has no keyring yet: asking for a password would begin by making one.
    """
    if not type(backend).__module__.startswith("keyring.backends.SecretService"):
        return True
    import secretstorage

    with closing(secretstorage.dbus_init()) as connection:
        return next(iter(secretstorage.search_items(connection, {"service": SERVICE})), None) is not None


def _index(backend: "KeyringBackend") -> frozenset[str] | None:
    """The origins that have a key; None for an index that cannot be read: the keys stay usable."""
    text = backend.get_password(SERVICE, INDEX) or "[]"
    try:
        origins = json.loads(text) if len(text) <= _MAX_INDEX else None
    except ValueError:
        return None
    if not isinstance(origins, list) or not all(isinstance(origin, str) for origin in origins):
        return None
    return frozenset(origins)


def _write_index(backend: "KeyringBackend", origins: frozenset[str]) -> None:
    """An index of nothing is none, so that a locked keyring need not be opened to learn that."""
    if origins:
        backend.set_password(SERVICE, INDEX, json.dumps(sorted(origins)))
    elif backend.get_password(SERVICE, INDEX) is not None:
        backend.delete_password(SERVICE, INDEX)


def _named(error: Exception) -> str:
    from keyring.errors import KeyringLocked, NoKeyringError

    if isinstance(error, NoKeyringError):
        return "missing"
    return "locked" if isinstance(error, KeyringLocked) else type(error).__name__


def _end_with_the_asker() -> None:
    os.read(0, 1)  # nothing more comes: this returns when the other end is closed
    os._exit(1)


def main() -> int:
    """Answer the question on standard input."""
    # What foreign code prints must not end up in the answer.
    line = os.dup(1)
    os.dup2(2, 1)
    question = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_the_asker, daemon=True).start()
    patience = threading.Timer(question["patience"], os._exit, (1,))
    patience.daemon = True
    patience.start()
    with open(line, "wb") as answer:
        answer.write(json.dumps(answer_to(question)).encode())
    os._exit(0)  # at once: some keyrings' connections take their time to close


if __name__ == "__main__":
    main()
