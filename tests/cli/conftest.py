"""The terminal's tests start the real program."""

from pathlib import Path

import pytest

from tests.cli.program import Program, program
from tests.engines.tiny_model import write_tiny_model

__all__ = ["program"]


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real model that answers noise."""
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.gguf")


@pytest.fixture
def tiny(program: Program, model: Path) -> Program:
    """The program with the tiny model on its own engine, and nothing else that could answer."""
    program.env |= {
        "WHISPER_GGUF_MODEL_PATH": str(model),
        "WHISPER_LLM__LLAMACPP__N_CTX": "256",
        "WHISPER_LLM_FALLBACK_CHAIN": "builtin",
    }
    return program
