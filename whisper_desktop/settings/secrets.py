"""Keys of servers: in the operating system's keyring, else in memory for this run. Never anywhere else.

A key belongs to one origin (`https://openrouter.ai`). The keyring is asked in a thread of its own, because it
may wait for a person who is asked to unlock it, and every question has a deadline.
"""

import json
import logging
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, NoReturn, TypeVar

from whisper_desktop.errors import SecretsError
from whisper_desktop.settings.address import EXAMPLE, origin_of
from whisper_desktop.values import Deadlines

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

SERVICE = "Whisper Desktop"

log = logging.getLogger(__name__)

# The keyring cannot list what it holds, so the origins (never keys) stand in one entry of their own.
_INDEX = "origins"
_MAX_INDEX = 100_000
_MAX_KEY = 4096
T = TypeVar("T")
_NO_KEYS: Mapping[str, "Secret"] = MappingProxyType({})


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


def checked_key(text: str) -> str:
    """The key without the blanks around it. Raises `SecretsError` when it was clearly not pasted whole.

    The sentence never repeats the text.
    """
    key = text.strip()
    for is_wrong, why in _PASTED_WRONG:
        if is_wrong(key):
            raise SecretsError(
                "This does not look like a key.", why, "Copy the key alone, as the server's page shows it."
            )
    return key


_PASTED_WRONG: tuple[tuple[Callable[[str], object], str], ...] = (
    (lambda key: not key, "It is empty."),
    (re.compile(r"(?i)bearer\s").match, "It begins with Bearer; the key is what follows."),
    (re.compile(r"\s").search, "It has a space or a line break inside."),
    (lambda key: len(key) > _MAX_KEY, f"It is longer than {_MAX_KEY} characters."),
    (re.compile(r"https?://").match, "It is an address."),
    (
        re.compile(r"[A-Za-z_]+_(KEY|TOKEN)=").match,
        "It begins with the name of a variable; the key is what follows the =.",
    ),
    (re.compile(r"""^["'`]|["'`]$""").search, "It has quotation marks around it."),
    (
        re.compile(r"\.\.\.|\u2026|\*\*|\u2022").search,
        "It is the shortened form that pages show, not the key itself.",
    ),
    (lambda key: not (key.isascii() and key.isprintable()), "It has characters in it that no key has."),
)


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
        self._keyring = _KeyringThread(deadlines.keyring)

    def get(self, origin: str) -> str | None:
        """The key of an origin (or of any address under it), or None."""
        origin = _origin(origin)
        secret = self._run_keys.get(origin) or self._held.get(origin)
        if secret is not None:
            return secret.reveal()
        try:
            kept = self._keyring.ask(lambda backend: backend.get_password(SERVICE, origin))
        except SecretsError:
            return None
        return kept if isinstance(kept, str) and kept else None

    def set(self, origin: str, key: str) -> bool:
        """Keeps a key; True when beyond this run. Raises `SecretsError` when it does not look like a key."""
        origin, key = _origin(origin), checked_key(key)

        def keep(backend: "KeyringBackend") -> None:
            backend.set_password(SERVICE, origin, key)
            _write_index(backend, _read_index(backend) | {origin})

        try:
            self._keyring.ask(keep)
        except SecretsError:
            self._held[origin] = Secret(key)
            return False
        self._held.pop(origin, None)
        return True

    def remove(self, origin: str) -> bool:
        """Forgets a key; False when there was none. Raises `SecretsError` when the keyring keeps it."""
        origin = _origin(origin)
        held = self._held.pop(origin, None) is not None

        def drop(backend: "KeyringBackend") -> bool:
            known = _read_index(backend)
            kept = backend.get_password(SERVICE, origin) is not None
            if kept:
                backend.delete_password(SERVICE, origin)
            if origin in known:
                _write_index(backend, known - {origin})
            return kept

        try:
            return bool(self._keyring.ask(drop)) or held
        except SecretsError as error:
            if self._keyring.missing:
                return held
            raise SecretsError(
                f"The key for {origin} could not be removed.",
                error.title,
                "Unlock the keyring, then try again.",
            ) from None

    def list(self) -> tuple[str, ...]:
        """The origins that have a key, never the keys."""
        origins = {*self._run_keys, *self._held}
        try:
            origins |= self._keyring.ask(_read_index)
        except SecretsError:
            # Then what is held for this run is all there is to name; `explanation` says why.
            return tuple(sorted(origins))
        return tuple(sorted(origins))

    def lasts(self, origin: str) -> bool:
        """Whether the key that `get` gives for an origin is kept beyond this run."""
        origin = _origin(origin)
        return origin not in self._run_keys and origin not in self._held and self.get(origin) is not None

    @property
    def persistent(self) -> bool:
        """Whether a key that is set now is kept beyond this run. Asks the keyring."""
        try:
            self._keyring.ask(_read_index)
        except SecretsError:
            return False
        return True

    @property
    def explanation(self) -> str:
        """Where keys are kept, and why, in a sentence or two. Asks the keyring."""
        try:
            self._keyring.ask(_read_index)
        except SecretsError as error:
            return f"{error.title} {error.detail} {error.next_step}"
        return "Keys are kept in this computer's keyring."


class _KeyringThread:
    """The one way to the keyring: a question at a time, each in a thread, each with the same deadline."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._turn = threading.Lock()
        self._stuck: threading.Thread | None = None
        self._backend: KeyringBackend | None = None
        self.missing = False

    def ask(self, question: "Callable[[KeyringBackend], T]") -> T:
        """The keyring's answer. Raises `SecretsError` when it is missing, locked, broken or too slow.

        While an earlier question still waits (for a person at the unlock window), the next ones fail at once.
        """
        if not self._turn.acquire(timeout=self._seconds):
            raise _silent(_SLOW)
        try:
            if self._stuck is not None and self._stuck.is_alive():
                raise _silent(_SLOW)
            answers: list[T] = []
            failures: list[SecretsError] = []

            def work() -> None:
                try:
                    answers.append(question(self._found()))
                except SecretsError as error:
                    failures.append(error)
                except Exception as error:  # a keyring is foreign code; this is the boundary
                    failures.append(_translated(error))

            # A daemon, because a keyring that never answers must not keep the program from ending.
            thread = threading.Thread(target=work, name="keyring", daemon=True)
            thread.start()
            thread.join(self._seconds)
            self._stuck = thread if thread.is_alive() else None
            if self._stuck is not None:
                raise _silent(_SLOW)
            if failures:
                raise failures[0]
            return answers[0]
        finally:
            self._turn.release()

    def _found(self) -> "KeyringBackend":
        if self.missing:
            raise _silent(_MISSING)
        if self._backend is None:
            import keyring
            from keyring.backends.chainer import ChainerBackend

            try:
                found = keyring.get_keyring()
            except Exception as error:  # foreign code: PYTHON_KEYRING_BACKEND may name anything
                log.info("No keyring could be loaded: %s", type(error).__name__)
                candidates: Sequence[KeyringBackend] = ()
            else:
                candidates = found.backends if isinstance(found, ChainerBackend) else (found,)
            self._backend = next((backend for backend in candidates if _is_safe(backend)), None)
        if self._backend is None:
            self.missing = True
            raise _silent(_MISSING)
        return self._backend


# --- What can be wrong with a keyring ---------------------------------------------------------------------

_MISSING = (
    "There is no keyring on this computer that the app can use.",
    "Start one (GNOME Keyring, KWallet), or give the key at each start in LLM_CHAT_API_KEY.",
)
_LOCKED = ("The keyring is locked.", "Unlock it, then set the key again.")
_SLOW = (
    "The keyring does not answer; it may be waiting to be unlocked.",
    "Unlock it, then set the key again.",
)


def _silent(why: tuple[str, str]) -> SecretsError:
    return SecretsError(why[0], "A key is held for this run only and is gone when the app ends.", why[1])


def _translated(error: Exception) -> SecretsError:
    """A keyring's own error in our words. Its text is left out: nobody promises that no key is in it."""
    from keyring.errors import KeyringLocked, NoKeyringError

    if isinstance(error, NoKeyringError):
        return _silent(_MISSING)
    if isinstance(error, KeyringLocked):
        return _silent(_LOCKED)
    return _silent(
        (f"The keyring does not work ({type(error).__name__}).", "Set the key again once it does.")
    )


def _is_safe(backend: "KeyringBackend") -> bool:
    """Not the ones that keep nothing, and not those that keep keys in a file (`keyrings.alt`)."""
    module = type(backend).__module__
    return not module.startswith(("keyring.backends.fail", "keyring.backends.null", "keyrings.alt"))


def _read_index(backend: "KeyringBackend") -> frozenset[str]:
    """The origins that have a key. An index that cannot be read is as good as none: the keys stay usable."""
    text = backend.get_password(SERVICE, _INDEX) or "[]"
    try:
        origins = json.loads(text) if len(text) <= _MAX_INDEX else []
    except ValueError:
        origins = []
    if not isinstance(origins, list):
        return frozenset()
    return frozenset(origin for origin in origins if isinstance(origin, str))


def _write_index(backend: "KeyringBackend", origins: frozenset[str]) -> None:
    backend.set_password(SERVICE, _INDEX, json.dumps(sorted(origins)))


def _origin(address: str) -> str:
    try:
        return origin_of(address)
    except ValueError as error:
        raise SecretsError("A key belongs to a server's address.", str(error), f"Use {EXAMPLE}.") from None
