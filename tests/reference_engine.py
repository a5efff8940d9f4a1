"""pytest plugin: the reference `llama-server`, a real one that `packaging/dev.py test` builds for the tests.

A test marked `reference_engine` is skipped, with the reason, where there is none.
"""

import os
from pathlib import Path

import pytest


def missing() -> str | None:
    """Why there is no reference llama-server, or None where there is one."""
    if os.environ.get("WHISPER_TEST_LLAMA_SERVER"):
        return None
    reason = os.environ.get("WHISPER_TEST_LLAMA_SERVER_MISSING")
    return reason or "no reference llama-server; `packaging/dev.py test` builds it"


@pytest.fixture(scope="session")
def reference_llama_server() -> Path:
    """The llama-server binary; `llama-fit-params` and `llama-gguf-split` lie beside it."""
    if reason := missing():
        pytest.skip(reason)
    return Path(os.environ["WHISPER_TEST_LLAMA_SERVER"])


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("reference_engine") and (reason := missing()):
        pytest.skip(reason)
