"""Keys: never shown, never written to files, bounded in time, and honest about how long they are kept."""

import copy
import json
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keyring
import keyring.backend
import keyring.errors
import pytest

from whisper_desktop.errors import SecretsError
from whisper_desktop.settings.secrets import SERVICE, Secret, SecretStore, checked_key
from whisper_desktop.values import Deadlines

KEY = "sk-or-v1-0123456789abcdef"
ORIGIN = "https://openrouter.ai"


class ScriptedKeyring(keyring.backend.KeyringBackend):
    """A keyring as a third party may bring one, registered the way they are, with faults to switch on."""

    priority = 9

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.entries: dict[tuple[str, str], str] = {}
        self.failure: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.calls = 0

    def _enter(self) -> None:
        self.calls += 1
        self.gate.wait(30)
        if self.failure is not None:
            raise self.failure

    def get_password(self, service: str, username: str) -> str | None:
        self._enter()
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self._enter()
        self.entries[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        self._enter()
        del self.entries[service, username]


@pytest.fixture
def ring() -> Iterator[ScriptedKeyring]:
    before = keyring.get_keyring()
    scripted = ScriptedKeyring()
    keyring.set_keyring(scripted)
    yield scripted
    scripted.gate.set()
    keyring.set_keyring(before)


# --- Secret -----------------------------------------------------------------------------------------------


def test_a_secret_shows_itself_in_no_ordinary_way() -> None:
    secret = Secret(KEY)
    shown = [
        str(secret),
        repr(secret),
        f"{secret}",
        f"{secret!s:>40}",
        f"{[secret]}",
        "{} {!r}".format(*[secret] * 2),
    ]
    shown += [str(ValueError(secret)), repr({"key": secret})]
    assert not [text for text in shown if KEY in text]
    assert secret.reveal() == KEY
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    with pytest.raises(TypeError):
        copy.copy(secret)
    with pytest.raises(TypeError):
        json.dumps(secret)


def test_secrets_compare_by_value() -> None:
    assert Secret("a") == Secret("a") != Secret("b")
    assert len({Secret("a"), Secret("a")}) == 1
    assert Secret("a") != "a"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty"),
        ("  \n ", "empty"),
        ("Bearer sk-0123456789", "Bearer"),
        ("sk-01234 56789", "space or a line break"),
        ("sk-01234\n56789", "space or a line break"),
        ("sk-01234\x0056789", "no key has"),
        ("sk-0123456789ü", "no key has"),
        ("'sk-0123456789'", "quotation marks"),
        ("“sk-0123456789”", "no key has"),
        ("sk-or-v1-012...789", "shortened"),
        ("sk-or-v1-****", "shortened"),
        ("OPENROUTER_API_KEY=sk-0123456789", "variable"),
        ("https://openrouter.ai/keys", "address"),
        ("x" * 5000, "longer"),
    ],
)
def test_what_is_no_key_is_told_without_repeating_it(text: str, why: str) -> None:
    with pytest.raises(SecretsError, match=why) as caught:
        checked_key(text)
    assert "01234" not in str(caught.value) + repr(caught.value)


def test_blanks_around_a_key_are_left_out() -> None:
    assert checked_key(f"  {KEY}\r\n") == KEY


# --- With a keyring ---------------------------------------------------------------------------------------


def test_a_key_is_kept_under_its_origin_and_listed_without_it(ring: ScriptedKeyring) -> None:
    store = SecretStore()
    assert store.list() == ()
    assert store.set(f"{ORIGIN}/api/v1", KEY) is True
    assert store.set("http://10.0.0.5:8000/v1", "other-key") is True
    assert ring.entries[SERVICE, ORIGIN] == KEY
    again = SecretStore()
    assert again.get(ORIGIN) == KEY
    assert again.get("https://openrouter.ai/other/path") == KEY
    assert again.list() == ("http://10.0.0.5:8000", ORIGIN)
    assert again.persistent
    assert again.lasts(ORIGIN)
    assert "keyring" in again.explanation
    assert KEY not in ring.entries[SERVICE, "origins"]


@pytest.mark.parametrize(
    "other", ["http://openrouter.ai", "https://openrouter.ai:8443", "https://api.openrouter.ai"]
)
def test_a_key_is_given_to_its_own_origin_only(ring: ScriptedKeyring, other: str) -> None:
    store = SecretStore()
    store.set(ORIGIN, KEY)
    assert store.get(other) is None


def test_a_removed_key_is_gone(ring: ScriptedKeyring) -> None:
    store = SecretStore()
    store.set(ORIGIN, KEY)
    assert store.remove(ORIGIN) is True
    assert store.remove(ORIGIN) is False
    assert store.get(ORIGIN) is None
    assert store.list() == ()
    assert KEY not in ring.entries.values()


def test_what_is_no_address_cannot_have_a_key(ring: ScriptedKeyring) -> None:
    for call in (SecretStore().get, SecretStore().remove, lambda origin: SecretStore().set(origin, KEY)):
        with pytest.raises(SecretsError, match="A key belongs to a server's address"):
            call("ftp://x y")


@pytest.mark.parametrize("index", ["{", "5", '{"a": 1}', "[1, null]", "x" * 200_000])
def test_a_damaged_index_loses_no_key(ring: ScriptedKeyring, index: str) -> None:
    store = SecretStore()
    store.set(ORIGIN, KEY)
    ring.entries[SERVICE, "origins"] = index
    assert store.list() == ()
    assert store.get(ORIGIN) == KEY
    store.set(ORIGIN, KEY)
    assert store.list() == (ORIGIN,)


def test_the_key_of_the_environment_comes_first_and_is_not_kept(ring: ScriptedKeyring) -> None:
    SecretStore().set(ORIGIN, KEY)
    store = SecretStore(run_keys={ORIGIN: Secret("from-environment")})
    assert store.get(ORIGIN) == "from-environment"
    assert not store.lasts(ORIGIN)
    assert store.list() == (ORIGIN,)
    assert "from-environment" not in ring.entries.values()


# --- Without one, or with one that fails ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (keyring.errors.KeyringLocked(f"locked, was asked for {KEY}"), "is locked"),
        (keyring.errors.NoKeyringError(), "no keyring"),
        (keyring.errors.InitError(KEY), r"does not work \(InitError\)"),
        (OSError("broken pipe"), r"does not work"),
    ],
)
def test_a_keyring_that_refuses_means_this_run_only_and_says_so(
    ring: ScriptedKeyring, failure: Exception, said: str
) -> None:
    ring.failure = failure
    store = SecretStore()
    assert store.set(ORIGIN, KEY) is False
    assert store.get(ORIGIN) == KEY
    assert store.list() == (ORIGIN,)
    assert not store.persistent
    assert not store.lasts(ORIGIN)
    assert "for this run only" in store.explanation
    assert KEY not in store.explanation
    with pytest.raises(SecretsError, match=said):
        store.remove("https://else.example")
    ring.failure = None
    assert SecretStore().get(ORIGIN) is None


def test_a_keyring_that_is_unlocked_later_is_used_then(ring: ScriptedKeyring) -> None:
    ring.failure = keyring.errors.KeyringLocked()
    store = SecretStore()
    store.set(ORIGIN, KEY)
    ring.failure = None
    assert store.persistent
    assert store.set(ORIGIN, KEY) is True
    assert store.lasts(ORIGIN)


def test_a_keyring_that_hangs_is_waited_for_once_and_used_when_it_answers(ring: ScriptedKeyring) -> None:
    ring.gate.clear()
    store = SecretStore(deadlines=Deadlines(keyring=0.2))
    assert store.set(ORIGIN, KEY) is False
    assert store.get(ORIGIN) == KEY
    assert store.get("https://else.example") is None
    assert not store.persistent
    assert "does not answer" in store.explanation
    assert ring.calls == 1, "only the first question was put to it; the others failed at once"
    ring.gate.set()
    for thread in threading.enumerate():
        if thread.name == "keyring":
            thread.join(10)
    assert store.persistent


def test_a_hanging_keyring_does_not_keep_the_program_from_ending() -> None:
    program = """
import threading, keyring, keyring.backend
from whisper_desktop.settings.secrets import SecretStore
from whisper_desktop.values import Deadlines
class Hanging(keyring.backend.KeyringBackend):
    priority = 9
    def get_password(self, service, username): threading.Event().wait()
    def set_password(self, service, username, password): threading.Event().wait()
    def delete_password(self, service, username): threading.Event().wait()
keyring.set_keyring(Hanging())
print(SecretStore(deadlines=Deadlines(keyring=0.1)).get("https://openrouter.ai"))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout.strip()) == (0, "None"), done.stderr


@pytest.mark.parametrize(
    "backend", ["keyring.backends.null.Keyring", "keyring.backends.fail.Keyring", "no.such.Thing"]
)
def test_keyrings_that_keep_nothing_are_not_trusted(backend: str) -> None:
    seen = _in_a_program(_WITHOUT, {"PYTHON_KEYRING_BACKEND": backend})
    assert (seen["kept"], seen["persistent"], seen["got"]) == (False, False, KEY)
    assert "for this run only" in seen["explanation"]


def test_a_plain_text_keyring_is_not_a_keyring(tmp_path: Path) -> None:
    package = tmp_path / "keyrings" / "alt"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "file.py").write_text(
        "import keyring.backend, pathlib\n"
        "class PlaintextKeyring(keyring.backend.KeyringBackend):\n"
        "    priority = 9\n"
        "    def get_password(self, service, username): return None\n"
        "    def set_password(self, service, username, password):\n"
        f"        pathlib.Path({str(tmp_path / 'leak')!r}).write_text(password)\n"
        "    def delete_password(self, service, username): pass\n"
    )
    env = {"PYTHON_KEYRING_BACKEND": "keyrings.alt.file.PlaintextKeyring", "PYTHONPATH": str(tmp_path)}
    seen = _in_a_program(_WITHOUT, env)
    assert not seen["kept"]
    assert not (tmp_path / "leak").exists()


def test_without_any_keyring_a_key_is_held_for_this_run_and_the_person_is_told(tmp_path: Path) -> None:
    seen = _in_a_program(_WITHOUT, {"DBUS_SESSION_BUS_ADDRESS": f"unix:path={tmp_path}/nobody"})
    if sys.platform != "linux":
        pytest.skip("this system's keyring needs no D-Bus")
    assert (seen["kept"], seen["persistent"], seen["got"]) == (False, False, KEY)
    assert seen["listed"] == [ORIGIN]
    assert seen["removed"] is True
    assert "no keyring" in seen["explanation"]
    assert "LLM_CHAT_API_KEY" in seen["explanation"]
    assert KEY not in seen["explanation"]


_WITHOUT = f"""
import json
from whisper_desktop.settings.secrets import SecretStore
store = SecretStore()
kept = store.set("{ORIGIN}", "{KEY}")
seen = {{"kept": kept, "persistent": store.persistent, "got": store.get("{ORIGIN}"), "listed": store.list(),
        "explanation": store.explanation, "removed": store.remove("{ORIGIN}")}}
print(json.dumps(seen))
"""


def _in_a_program(program: str, env: dict[str, str]) -> dict[str, Any]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("DBUS_")}
    checkout = str(Path(__file__).resolve().parents[2])
    environ["PYTHONPATH"] = os.pathsep.join(filter(None, [checkout, env.get("PYTHONPATH", "")]))
    environ |= {name: value for name, value in env.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, env=environ
    )
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen
