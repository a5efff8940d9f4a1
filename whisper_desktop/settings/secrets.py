"""Keys of servers: in the operating system's keyring, else in memory for this run. Never anywhere else.

A key belongs to one origin (`https://openrouter.ai`). What the keyring holds of ours is read by one question,
and again only when a program of ours has changed it.
"""

import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import NoReturn, TypeVar

from whisper_desktop.errors import SecretsError, SettingsError
from whisper_desktop.language import mark, tr
from whisper_desktop.settings.address import EXAMPLE, origin_of
from whisper_desktop.settings.keyring_line import KeyringLine
from whisper_desktop.settings.paths import run_dir
from whisper_desktop.values import Deadlines

_CHANGED_FILE = "keys.changed"
_JUST_NOW = 1.0  # seconds: questions that a person asks by one click see the same keyring
_MAX_KEY = 4096
_NO_KEYS: Mapping[str, "Secret"] = MappingProxyType({})
T = TypeVar("T")


class Secret:
    """A key that shows itself only when asked to: not in repr, str, format, logs or pickles."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The key itself, for the one header it goes into."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(hidden)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not written anywhere")


class KeyPlace(StrEnum):
    """Where the key of an origin is."""

    KEYRING = "keyring"
    RUN = "run"
    ENVIRONMENT = "environment"
    NONE = "none"


def checked_key(text: str) -> str:
    """The key without the blanks around it. Raises `SecretsError` when it was clearly not pasted whole.

    The sentence never repeats the text.
    """
    key = text.strip()
    for is_wrong, why in _PASTED_WRONG:
        if is_wrong(key):
            raise SecretsError(
                tr("This does not look like a key."),
                tr(why),
                tr("Copy the key alone, as the server's page shows it."),
            )
    return key


_PASTED_WRONG: tuple[tuple[Callable[[str], object], str], ...] = (
    (lambda key: not key, mark("It is empty.")),
    (re.compile(r"(?i)bearer\s").match, mark("It begins with Bearer; the key is what follows.")),
    (re.compile(r"\s").search, mark("It has a space or a line break inside.")),
    (lambda key: len(key) > _MAX_KEY, mark("It is longer than any key.")),
    (re.compile(r"https?://").match, mark("It is an address.")),
    (
        re.compile(r"[A-Za-z_]+_(KEY|TOKEN)=").match,
        mark("It begins with the name of a variable; the key is what follows the =."),
    ),
    (re.compile(r"""^["'`]|["'`]$""").search, mark("It has quotation marks around it.")),
    (
        re.compile(r"\.\.\.|\u2026|\*\*|\u2022").search,
        mark("It is the shortened form that pages show, not the key itself."),
    ),
    (lambda key: not (key.isascii() and key.isprintable()), mark("It has characters in it that no key has.")),
)


@dataclass(frozen=True, slots=True)
class _Kept:
    """What the keyring held of ours when it was asked; not `whole`: it may have keys that we do not know of.

    `changed` is the mark that the last program of ours left which changed it.
    """

    origins: frozenset[str]
    keys: Mapping[str, Secret]
    whole: bool
    changed: str
    seen: float


class SecretStore:
    """Keys by origin. Calls block (at most `deadlines.keyring`): use them from a thread.

    What was given for this run (`run_keys`: the environment) comes before what is kept. Where the keyring is
    missing, locked or does not answer, a new key is held in memory for this run, `persistent` is False and
    `explanation` says so. The keyring is asked again the next time: it may have been unlocked.
    """

    def __init__(
        self,
        *,
        run_keys: Mapping[str, Secret] = _NO_KEYS,
        deadlines: Deadlines = Deadlines(),
    ) -> None:
        self._run_keys = {origin_of(origin): secret for origin, secret in run_keys.items()}
        self._held: dict[str, Secret] = {}
        self._keyring = KeyringLine(deadlines.keyring)
        self._kept: _Kept | None = None
        self._looking = threading.Lock()

    def get(self, origin: str) -> str | None:
        """The key of an origin (or of any address under it), or None."""
        origin = _origin(origin)
        secret = self._run_keys.get(origin) or self._held.get(origin)
        if secret is None:
            try:
                secret = self._look(origin).keys.get(origin)
            except SecretsError:
                return None
        return secret.reveal() if secret is not None else None

    def set(self, origin: str, key: str) -> bool:
        """Keeps a key; True when beyond this run. Raises `SecretsError` when it does not look like a key."""
        origin, key = _origin(origin), checked_key(key)
        try:
            self._keyring.ask("set", origin=origin, key=key)
        except SecretsError:
            self._held[origin] = Secret(key)
            return False
        finally:
            self._forget()
        self._held.pop(origin, None)
        return True

    def remove(self, origin: str) -> bool:
        """Forgets a key; False when there was none. Raises `SecretsError` when the keyring keeps it."""
        origin = _origin(origin)
        held = self._held.pop(origin, None) is not None
        try:
            return bool(self._keyring.ask("remove", origin=origin)["removed"]) or held
        except SecretsError as error:
            if self._keyring.missing:
                return held
            raise SecretsError(
                tr("The key for {origin} could not be removed.", origin=origin),
                error.title,
                tr("Unlock the keyring, then try again."),
            ) from None
        finally:
            self._forget()

    def list(self) -> tuple[str, ...]:
        """The origins that have a key, never the keys."""
        origins = {*self._run_keys, *self._held}
        try:
            origins |= self._look(since=_JUST_NOW).origins
        except SecretsError:
            # Then what is held for this run is all there is to name; `explanation` says why.
            return tuple(sorted(origins))
        return tuple(sorted(origins))

    def lasts(self, origin: str) -> bool:
        """Whether the key that `get` gives for an origin is kept beyond this run."""
        return self.place(origin) is KeyPlace.KEYRING

    def place(self, origin: str) -> KeyPlace:
        """Where the key that `get` gives for an origin is kept."""
        origin = _origin(origin)
        if origin in self._run_keys:
            return KeyPlace.ENVIRONMENT
        if origin in self._held:
            return KeyPlace.RUN
        return KeyPlace.NONE if self.get(origin) is None else KeyPlace.KEYRING

    @property
    def persistent(self) -> bool:
        """Whether a key that is set now is kept beyond this run. Asks the keyring."""
        try:
            self._look(since=_JUST_NOW)
        except SecretsError:
            return False
        return True

    @property
    def explanation(self) -> str:
        """Where keys are kept, and why, in a sentence or two. Asks the keyring."""
        try:
            self._look(since=_JUST_NOW)
        except SecretsError as error:
            return f"{error.title} {error.detail} {error.next_step}"
        return tr("Keys are kept in this computer's keyring.")

    def _look(self, origin: str = "", *, since: float | None = None) -> _Kept:
        """What the keyring holds, `origin` included; seen not longer ago than `since` seconds, if given."""
        with self._looking:
            kept, changed, now = self._kept, _changed(), time.monotonic()
            if kept is not None and kept.changed == changed:
                is_known = not origin or kept.whole or origin in kept.keys
                if is_known and (since is None or now - kept.seen <= since):
                    return kept
            told = self._keyring.ask("look", origins=[origin] if origin else [])
            self._kept = _Kept(
                frozenset(map(str, _in(told, "origins", list))),
                {str(name): Secret(str(key)) for name, key in _in(told, "keys", dict).items()},
                told.get("whole") is True,
                changed,
                time.monotonic(),
            )
            return self._kept

    def _forget(self) -> None:
        """What we know is out of date, here and in other programs of ours."""
        self._kept = None
        try:
            (run_dir() / _CHANGED_FILE).write_text(str(time.time_ns()), encoding="utf-8")
        except (OSError, SettingsError):
            return  # a home that nobody can write to: then nobody changes keys beside us


def _in(told: Mapping[str, object], name: str, kind: type[T]) -> T:
    part = told.get(name)
    return part if isinstance(part, kind) else kind()


def _changed() -> str:
    try:
        return (run_dir() / _CHANGED_FILE).read_text(encoding="utf-8")
    except (OSError, ValueError, SettingsError):
        return ""


def _origin(address: str) -> str:
    try:
        return origin_of(address)
    except ValueError as error:
        raise SecretsError(
            tr("A key belongs to a server's address."), str(error), tr("Use {example}.", example=EXAMPLE)
        ) from None
