"""What all tests share: a home of their own, no proxies, no keys from the environment, the test servers."""

import gc
import os
import signal
from pathlib import Path

import hypothesis
import pytest

from tests.ports import closed_port

# The same examples in every run, and no time limit for them: a run fails because of what was changed, not by
# chance. `--hypothesis-profile=default` looks for others.
hypothesis.settings.load_profile("ci")

pytest_plugins = ["tests.servers.fixtures", "tests.reference_engine"]

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell makes what it runs in the background ignore Ctrl-C, and the programs under test inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)

_FOREIGN = ("WHISPER_", "LLM_", "OLLAMA_", "LM_API_", "OPENROUTER_", "OPENAI_", "ANTHROPIC_", "HF_")
_KEPT = ("WHISPER_TEST_", "WHISPER_DEV_")


@pytest.fixture(autouse=True, scope="module")
def _old_objects_are_left_alone() -> None:
    """Takes what is there by now out of the garbage collector's rounds.

    With thousands of tests in memory a full round takes longer than a promised time may be off.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture
def unused_tcp_port() -> int:
    """In place of that of pytest-asyncio, which may belong to somebody else by the time it is used."""
    return closed_port()


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test has its own home folder and none of the settings and keys of whoever runs it."""
    for name in list(os.environ):
        upper = name.upper()
        if upper.endswith("_PROXY") or (upper.startswith(_FOREIGN) and not upper.startswith(_KEPT)):
            monkeypatch.delenv(name)
    monkeypatch.setenv("WHISPER_HOME", str(tmp_path / "whisper-home"))
    monkeypatch.setenv("HOME", str(tmp_path))
    # Nobody's real keyring is touched; the tests of the keyring bring one of their own.
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
