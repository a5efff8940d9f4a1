"""A keyring as a third party may bring one, for a program under test, with faults to switch on."""

import json
import os
import time
from pathlib import Path

import keyring.backend
import keyring.errors

FAILURES = {
    "locked": keyring.errors.KeyringLocked,
    "missing": keyring.errors.NoKeyringError,
    "init": keyring.errors.InitError,
    "broken": OSError,
}


class Ring:
    """What such a keyring holds, and how it behaves: all in one folder, shared with the programs that ask."""

    def __init__(self, folder: Path) -> None:
        self._entries = folder / "entries.json"
        self._failure = folder / "failure"
        self._calls = folder / "calls"
        self.shut = folder / "shut"

    @property
    def entries(self) -> dict[str, str]:
        """Everything in it by its name."""
        return dict(json.loads(self._entries.read_text())) if self._entries.exists() else {}

    def keep(self, entries: dict[str, str]) -> None:
        """Hold this, and nothing else."""
        fresh = self._entries.with_suffix(".fresh")
        fresh.write_text(json.dumps(entries))
        fresh.replace(self._entries)

    def fail(self, failure: str, text: str = "") -> None:
        """Refuse everything from now on; "" ends that."""
        self._failure.write_text(f"{failure} {text}" if failure else "")

    @property
    def asked_by(self) -> list[int]:
        """The processes that asked, once for each call."""
        return [int(pid) for pid in self._calls.read_text().split()] if self._calls.exists() else []

    def enter(self) -> None:
        """Note a call; wait while it is shut, or refuse."""
        with self._calls.open("a") as calls:
            calls.write(f"{os.getpid()}\n")
        while self.shut.exists():
            time.sleep(0.01)
        failure, _, text = (
            self._failure.read_text().partition(" ") if self._failure.exists() else ("", "", "")
        )
        if failure:
            raise FAILURES[failure](text)


class ScriptedKeyring(keyring.backend.KeyringBackend):
    """Named to a program by PYTHON_KEYRING_BACKEND; its folder is WHISPER_TEST_KEYRING."""

    priority = 9

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.ring = Ring(Path(os.environ["WHISPER_TEST_KEYRING"]))
        print("a line that a third party prints")

    def get_password(self, service: str, username: str) -> str | None:
        """The kept password."""
        self.ring.enter()
        return self.ring.entries.get(f"{service} {username}")

    def set_password(self, service: str, username: str, password: str) -> None:
        """Keep a password."""
        self.ring.enter()
        self.ring.keep({**self.ring.entries, f"{service} {username}": password})

    def delete_password(self, service: str, username: str) -> None:
        """Forget a password."""
        self.ring.enter()
        kept = self.ring.entries
        del kept[f"{service} {username}"]
        self.ring.keep(kept)
