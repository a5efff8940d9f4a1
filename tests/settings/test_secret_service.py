"""Keys in a real Secret Service: gnome-keyring on a D-Bus of its own, with a keyring of its own."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_TOOLS = ("dbus-run-session", "gnome-keyring-daemon")
_MISSING = [tool for tool in _TOOLS if shutil.which(tool) is None]

pytestmark = pytest.mark.skipif(
    bool(_MISSING), reason=f"secret service: {', '.join(_MISSING) or 'nothing'} is not installed"
)

KEY = "sk-or-v1-0123456789abcdef"

_PROGRAM = """
import json, sys
import keyring
from whisper_desktop.settings.secrets import SecretStore
store = SecretStore()
seen = {"before": store.list(), "got": store.get("https://openrouter.ai"), "persistent": store.persistent,
        "explanation": store.explanation, "place": store.place("https://openrouter.ai"),
        "backend": type(keyring.get_keyring()).__module__}
if "set" in sys.argv:
    seen["kept"] = store.set("https://openrouter.ai/api/v1", sys.stdin.readline())
if "remove" in sys.argv:
    seen["removed"] = store.remove("https://openrouter.ai")
    seen["after"] = store.get("https://openrouter.ai")
seen["listed"] = store.list()
print(json.dumps(seen))
"""

_UNLOCKED = 'gnome-keyring-daemon --unlock --components=secrets >/dev/null <<<$PASSWORD && exec "$@"'
_LOCKED = 'gnome-keyring-daemon --start --components=secrets >/dev/null && exec "$@"'


class Session:
    """A login of a person with a keyring: each `run` is a D-Bus session of its own over the same keyring."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.runtime = root / "runtime"
        self.runtime.mkdir(mode=0o700)

    def run(self, *arguments: str, shell: str = _UNLOCKED, key: str = "") -> dict[str, object]:
        environ = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("DBUS_", "XDG_", "DISPLAY", "PYTHON_KEYRING_BACKEND"))
        }
        environ |= {
            "XDG_DATA_HOME": str(self.root / "data"),
            "XDG_RUNTIME_DIR": str(self.runtime),
            "PASSWORD": "test",
            "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
        }
        program = [sys.executable, "-c", _PROGRAM, *arguments]
        done = subprocess.run(
            ["dbus-run-session", "--", "bash", "-c", shell, "bash", *program],
            input=key,
            capture_output=True,
            text=True,
            timeout=60,
            env=environ,
        )
        assert done.returncode == 0, done.stderr
        seen: dict[str, object] = json.loads(done.stdout)
        return seen


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session(tmp_path)


def test_a_key_survives_into_the_next_session_and_can_be_removed(session: Session) -> None:
    first = session.run("set", key=KEY + "\n")
    assert first["backend"] == "keyring.backends.SecretService"
    assert (first["before"], first["got"], first["persistent"], first["kept"]) == ([], None, True, True)
    second = session.run("remove")
    assert (second["before"], second["got"]) == (["https://openrouter.ai"], KEY)
    assert (second["removed"], second["after"], second["listed"]) == (True, None, [])
    assert "keyring" in str(second["explanation"])


def test_the_key_stands_in_no_file_in_clear(session: Session) -> None:
    session.run("set", key=KEY + "\n")
    files = [path for path in session.root.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if KEY.encode() in path.read_bytes()]


def test_a_locked_keyring_ends_in_a_sentence(session: Session) -> None:
    session.run("set", key=KEY + "\n")
    locked = session.run("set", shell=_LOCKED, key="another-key-0123\n")
    assert (locked["got"], locked["persistent"], locked["kept"]) == (None, False, False)
    assert locked["listed"] == ["https://openrouter.ai"]
    assert "for this run only" in str(locked["explanation"])
    assert session.run()["got"] == KEY


def test_looking_for_keys_where_there_is_no_keyring_makes_none_and_asks_nobody(session: Session) -> None:
    seen = session.run(shell=_LOCKED)
    assert (seen["before"], seen["got"], seen["listed"], seen["place"]) == ([], None, [], "none")
    assert seen["persistent"], "there is a keyring service, so that a key can be kept"
    assert list(session.root.rglob("*.keyring")) == []


def test_a_locked_keyring_that_holds_nothing_of_ours_stays_locked_in_peace(session: Session) -> None:
    session.run("set", "remove", key=KEY + "\n")
    seen = session.run(shell=_LOCKED)
    assert (seen["before"], seen["got"], seen["persistent"]) == ([], None, True)
