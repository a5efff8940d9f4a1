"""Keys: never shown, never written to files, bounded in time, and honest about how long they are kept."""

import copy
import json
import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.settings.scripted_keyring import Ring
from whisper_desktop.errors import SecretsError
from whisper_desktop.settings.keyring_line import FLAG
from whisper_desktop.settings.secrets import Secret, SecretStore, checked_key
from whisper_desktop.values import Deadlines

KEY = "sk-or-v1-0123456789abcdef"
ORIGIN = "https://openrouter.ai"


@pytest.fixture
def ring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ring]:
    """The keyring of this computer."""
    monkeypatch.setenv("WHISPER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "tests.settings.scripted_keyring.ScriptedKeyring")
    monkeypatch.setenv("WHISPER_TEST_KEYRING", str(tmp_path))
    scripted = Ring(tmp_path)
    yield scripted
    scripted.shut.unlink(missing_ok=True)
    _let_the_threads_end()


def _let_the_threads_end() -> None:
    for thread in threading.enumerate():
        if thread.name == "keyring":
            thread.join(10)
            assert not thread.is_alive()


def entry(name: str) -> str:
    """How the scripted keyring names an entry of ours."""
    return f"Whisper Desktop {name}"


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


def test_a_key_is_kept_under_its_origin_and_listed_without_it(ring: Ring) -> None:
    store = SecretStore()
    assert store.list() == ()
    assert store.set(f"{ORIGIN}/api/v1", KEY) is True
    assert store.set("http://10.0.0.5:8000/v1", "other-key") is True
    assert ring.entries[entry(ORIGIN)] == KEY
    again = SecretStore()
    assert again.get(ORIGIN) == KEY
    assert again.get("https://openrouter.ai/other/path") == KEY
    assert again.list() == ("http://10.0.0.5:8000", ORIGIN)
    assert again.persistent
    assert again.lasts(ORIGIN)
    assert "keyring" in again.explanation
    assert KEY not in ring.entries[entry("origins")]


@pytest.mark.parametrize(
    "other", ["http://openrouter.ai", "https://openrouter.ai:8443", "https://api.openrouter.ai"]
)
def test_a_key_is_given_to_its_own_origin_only(ring: Ring, other: str) -> None:
    store = SecretStore()
    store.set(ORIGIN, KEY)
    assert store.get(other) is None


def test_a_removed_key_is_gone(ring: Ring) -> None:
    store = SecretStore()
    store.set(ORIGIN, KEY)
    assert store.remove(ORIGIN) is True
    assert store.remove(ORIGIN) is False
    assert store.get(ORIGIN) is None
    assert store.list() == ()
    assert KEY not in ring.entries.values()


def test_what_is_no_address_cannot_have_a_key(ring: Ring) -> None:
    for call in (SecretStore().get, SecretStore().remove, lambda origin: SecretStore().set(origin, KEY)):
        with pytest.raises(SecretsError, match="A key belongs to a server's address"):
            call("ftp://x y")


@pytest.mark.parametrize("index", ["{", "5", '{"a": 1}', "[1, null]", "x" * 200_000])
def test_a_damaged_index_loses_no_key(ring: Ring, index: str) -> None:
    store = SecretStore()
    store.set(ORIGIN, KEY)
    ring.keep({**ring.entries, entry("origins"): index})
    assert store.list() == ()
    assert store.get(ORIGIN) == KEY
    store.set(ORIGIN, KEY)
    assert store.list() == (ORIGIN,)


def test_the_key_of_the_environment_comes_first_and_is_not_kept(ring: Ring) -> None:
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
        ("locked", "is locked"),
        ("init", r"does not work \(InitError\)"),
        ("broken", r"does not work \(OSError\)"),
    ],
)
def test_a_keyring_that_refuses_means_this_run_only_and_says_so(ring: Ring, failure: str, said: str) -> None:
    ring.fail(failure, f"was asked for {KEY}")
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
    ring.fail("")
    assert SecretStore().get(ORIGIN) is None


def test_where_there_is_no_keyring_nobody_asks_for_one_again(ring: Ring) -> None:
    ring.fail("missing")
    store = SecretStore()
    assert (store.get(ORIGIN), store.remove(ORIGIN), store.persistent) == (None, False, False)
    assert "no keyring" in store.explanation
    assert len(ring.asked_by) == 1


def test_a_keyring_that_is_unlocked_later_is_used_then(ring: Ring) -> None:
    ring.fail("locked")
    store = SecretStore()
    store.set(ORIGIN, KEY)
    ring.fail("")
    assert store.persistent
    assert store.set(ORIGIN, KEY) is True
    assert store.lasts(ORIGIN)


def test_a_keyring_that_hangs_is_waited_for_once_and_used_when_it_answers(ring: Ring) -> None:
    ring.shut.touch()
    store = SecretStore(deadlines=Deadlines(keyring=3.0))
    assert store.set(ORIGIN, KEY) is False
    assert store.get(ORIGIN) == KEY
    assert store.get("https://else.example") is None
    assert not store.persistent
    assert "does not answer" in store.explanation
    assert len(ring.asked_by) == 1, "only the first question was put to it; the others failed at once"
    ring.shut.unlink()
    _let_the_threads_end()
    assert SecretStore().get(ORIGIN) == KEY, "whoever unlocks it late has not done so for nothing"
    assert store.persistent


def test_a_keyring_that_never_answers_is_given_up_in_the_end(ring: Ring) -> None:
    ring.shut.touch()
    store = SecretStore(deadlines=Deadlines(keyring=0.1))  # a person at the unlock window has 24 times that
    assert store.get(ORIGIN) is None
    _let_the_threads_end()
    assert ring.shut.exists()


def test_a_hanging_keyring_does_not_keep_the_program_from_ending_nor_outlives_it(ring: Ring) -> None:
    ring.shut.touch()
    program = """
from whisper_desktop.settings.secrets import SecretStore
from whisper_desktop.values import Deadlines
print(SecretStore(deadlines=Deadlines(keyring=3)).get("https://openrouter.ai"))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout.strip()) == (0, "None"), done.stderr
    gone, alive = psutil.wait_procs(
        [psutil.Process(pid) for pid in set(ring.asked_by) if psutil.pid_exists(pid)], timeout=10
    )
    assert (len(set(ring.asked_by)), alive) == (1, [])


# --- The process that asks --------------------------------------------------------------------------------


def test_all_keys_are_read_by_one_question_and_asked_for_again_only_when_they_changed(ring: Ring) -> None:
    other = "https://llm.example.org"
    SecretStore().set(ORIGIN, KEY)
    SecretStore().set(other, "another-key")
    before, store = len(set(ring.asked_by)), SecretStore()
    assert (store.list(), store.get(ORIGIN), store.get(other)) == ((other, ORIGIN), KEY, "another-key")
    assert (store.get("http://127.0.0.1:1234"), store.lasts(other)) == (None, True)
    assert "keyring" in store.explanation
    assert len(set(ring.asked_by)) == before + 1
    SecretStore().set(ORIGIN, "a-newer-key")  # as another program of ours would
    assert store.get(ORIGIN) == "a-newer-key"
    SecretStore().remove(ORIGIN)
    assert store.get(ORIGIN) is None


def test_a_program_that_uses_keys_holds_nothing_of_a_keyrings_libraries(ring: Ring) -> None:
    program = f"""
import sys
from whisper_desktop.settings.secrets import SecretStore
store = SecretStore()
assert store.set("{ORIGIN}", sys.stdin.readline())
assert store.get("{ORIGIN}") and store.remove("{ORIGIN}")
print({{"keyring", "secretstorage", "cryptography", "jeepney", "importlib.metadata"}} & set(sys.modules))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], input=f"{KEY}\n", capture_output=True, text=True, timeout=60
    )
    assert (done.stdout.strip(), done.returncode) == ("set()", 0), done.stderr


def test_a_key_stands_neither_in_the_command_nor_in_the_environment_of_the_process_that_asks(
    ring: Ring,
) -> None:
    ring.shut.touch()
    store = SecretStore(deadlines=Deadlines(keyring=30.0))
    asking = threading.Thread(target=store.set, args=(ORIGIN, KEY))
    asking.start()
    end = time.monotonic() + 20
    while not ring.asked_by and time.monotonic() < end:
        time.sleep(0.01)
    child = psutil.Process(ring.asked_by[0])
    told = [*child.cmdline(), *child.environ().values()]
    ring.shut.unlink()
    asking.join(20)
    assert child.pid != os.getpid()
    assert not [text for text in told if KEY in text]
    assert store.lasts(ORIGIN)


def test_a_frozen_build_asks_by_its_own_command(ring: Ring) -> None:
    SecretStore().set(ORIGIN, KEY)
    question = json.dumps({"verb": "look", "patience": 30, "origins": []}) + "\n"
    with subprocess.Popen(
        [sys.executable, "-m", "whisper_desktop", FLAG], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(question.encode())
        child.stdin.flush()
        answer = json.loads(child.stdout.read())
    assert answer == {"origins": [ORIGIN], "whole": True, "keys": {ORIGIN: KEY}}


# --- Without any --------------------------------------------------------------------------------------------


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
