"""What is said of a step that was left out is true of every backend, wherever it runs."""

import re

import pytest

from whisper_desktop.backends import Backend, create_backend
from whisper_desktop.errors import BackendError, LLMConnectionError, ReachError
from whisper_desktop.llm import failures
from whisper_desktop.llm.failures import nobody_answered
from whisper_desktop.values import Attempt, ErrorKind, Reach
from whisper_desktop.wire.http import Http

ADDRESSES = {
    "lm_studio": "http://127.0.0.1:1234/v1",
    "ollama": "http://192.168.1.20:11434",
    "openai_compatible": "https://ai.example.org/v1",
    "openrouter": "https://openrouter.ai/api/v1",
}


def backend(id: str) -> Backend:
    return create_backend({"backend": id, "url": ADDRESSES[id], "model": "qwen"}, http=Http())


def sentences(one: Backend) -> list[BackendError | ReachError]:
    why = "It did not answer just now; it is asked again in 2 s."
    return [
        failures.slower(one),
        *(failures.resting(one, kind, why) for kind in (*ErrorKind, None)),
        failures.cannot(one, frozenset({"tools", "vision"})),
        failures.no_larger(one),
        *(failures.needs_consent(one, reach) for reach in (*Reach, None)),
    ]


@pytest.mark.parametrize("id", ADDRESSES)
def test_nobody_is_sent_where_nothing_can_be_done(id: str) -> None:
    for error in sentences(backend(id)):
        assert not re.search(
            r"\b(re)?start\b it|\b[lL]oad\b|\blog\b|\bkeys?\b|in Settings", error.next_step
        ), error


@pytest.mark.parametrize("kind", sorted(set(ErrorKind) - {ErrorKind.AUTH}))
def test_whoever_hears_of_nobody_but_one_who_rests_hears_what_to_do(kind: ErrorKind) -> None:
    one = backend("openrouter")
    failure = failures.resting(one, kind, "It asked to be left alone until 14:05.")
    attempt = Attempt(one.id, one.name, one.base_url, "qwen", kind, "", 0.0, skipped=True)
    error = nobody_answered((attempt,), [failure], None)
    assert error is failure or isinstance(error, LLMConnectionError)
    assert error.next_step
