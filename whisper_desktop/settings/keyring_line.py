"""The line to the child process that asks the operating system's keyring: see `keyring_child` for why."""

import json
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

from whisper_desktop.errors import SecretsError
from whisper_desktop.language import mark, tr

FLAG = "--keyring-child"
"""What a frozen build, which has no Python to run a file with, is started with."""

_PATIENCE = 24  # times the deadline: so long may a person take at the window that unlocks the keyring
_MOST = 4_000_000  # bytes of an answer


class KeyringLine:
    """The one way to the keyring: a question at a time, each with the same deadline."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._turn = threading.Lock()
        self._stuck: threading.Thread | None = None
        self.missing = False

    def ask(self, verb: str, **details: object) -> Mapping[str, object]:
        """The keyring's answer. Raises `SecretsError` when it is missing, locked, broken or too slow.

        While an earlier question still waits (for a person at the unlock window), the next ones fail at once.
        """
        if not self._turn.acquire(timeout=self._seconds):
            raise _silent(_SLOW)
        try:
            if self.missing:
                raise _silent(_MISSING)
            if self._stuck is not None and self._stuck.is_alive():
                raise _silent(_SLOW)
            question = {"verb": verb, "patience": self._seconds * _PATIENCE, **details}
            answers: list[dict[str, object]] = []
            # A daemon, because a keyring that never answers must not keep the program from ending.
            thread = threading.Thread(
                target=lambda: answers.append(_answer(question)), name="keyring", daemon=True
            )
            thread.start()
            thread.join(self._seconds)
            self._stuck = thread if thread.is_alive() else None
            if self._stuck is not None:
                raise _silent(_SLOW)
            if "failed" in answers[0]:
                self.missing = answers[0]["failed"] == "missing"
                raise _refusal(str(answers[0]["failed"]))
            return answers[0]
        finally:
            self._turn.release()


def _answer(question: Mapping[str, object]) -> dict[str, object]:
    """What the child says; {"failed": ...} where it says nothing."""
    try:
        with subprocess.Popen(
            _command(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        ) as child:
            assert child.stdin is not None
            assert child.stdout is not None
            child.stdin.write(json.dumps(question).encode() + b"\n")
            child.stdin.flush()  # and left open: the child ends when we do
            text = child.stdout.read(_MOST)
            child.kill()
        answer = json.loads(text)
    except (OSError, ValueError) as error:
        return {"failed": type(error).__name__}
    return answer if isinstance(answer, dict) else {"failed": "ValueError"}


def _command() -> list[str]:
    if getattr(sys, "frozen", False):
        return [sys.executable, FLAG]
    # -P keeps the file's own folder off the import path.
    return [sys.executable, "-P", str(Path(__file__).with_name("keyring_child.py"))]


# --- What can be wrong with a keyring ---------------------------------------------------------------------

_MISSING = (
    mark("There is no keyring on this computer that the app can use."),
    mark("Start one (GNOME Keyring, KWallet), or give the key at each start in LLM_CHAT_API_KEY."),
)
_LOCKED = (mark("The keyring is locked."), mark("Unlock it, then set the key again."))
_SLOW = (
    mark("The keyring does not answer; it may be waiting to be unlocked."),
    mark("Unlock it, then set the key again."),
)


def _refusal(failed: str) -> SecretsError:
    if failed == "missing":
        return _silent(_MISSING)
    if failed == "locked":
        return _silent(_LOCKED)
    return _for_this_run(
        tr("The keyring does not work ({kind}).", kind=failed), tr("Set the key again once it does.")
    )


def _silent(why: tuple[str, str]) -> SecretsError:
    return _for_this_run(tr(why[0]), tr(why[1]))


def _for_this_run(title: str, next_step: str) -> SecretsError:
    return SecretsError(
        title, tr("A key is held for this run only and is gone when the app ends."), next_step
    )
