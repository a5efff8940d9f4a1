"""What a person is told when nothing answered follows from what the attempts said."""

import re

import pytest

from whisper_desktop.advice import setup_guidance
from whisper_desktop.values import GIB, Attempt, ErrorKind, ResourceInfo, ServerInfo, ServerStatus


def attempt(backend: str, name: str, kind: ErrorKind | None) -> Attempt:
    return Attempt(backend, name, "http://127.0.0.1:1", None, kind, "", 0.0)


@pytest.mark.parametrize(
    ("backend", "name", "kind", "word"),
    [
        ("lm_studio", "LM Studio", ErrorKind.CONNECT_REFUSED, "switch the server on"),
        ("ollama", "Ollama", ErrorKind.CONNECT_REFUSED, "ollama serve"),
        ("lm_studio", "LM Studio", ErrorKind.MODEL_MISSING, "download"),
        ("openrouter", "OpenRouter", ErrorKind.AUTH, "keys set openrouter"),
        ("openrouter", "OpenRouter", ErrorKind.CONSENT_REQUIRED, "Allow OpenRouter"),
        ("builtin", "Built-in engine", ErrorKind.NOT_CONFIGURED, "models use"),
        ("vllm", "vLLM", ErrorKind.CONNECT_TIMEOUT, "Start vLLM"),
    ],
)
def test_each_failure_has_its_own_step(backend: str, name: str, kind: ErrorKind, word: str) -> None:
    guidance = setup_guidance([attempt(backend, name, kind)])
    assert word in guidance.steps[0]
    assert guidance.headline == f"{name} did not answer."
    assert guidance.offer_guide


def test_several_failures_are_named_together_and_no_step_comes_twice() -> None:
    tries = [
        attempt("lm_studio", "LM Studio", ErrorKind.CONNECT_REFUSED),
        attempt("ollama", "Ollama", ErrorKind.CONNECT_REFUSED),
        attempt("ollama", "Ollama", ErrorKind.CONNECT_REFUSED),
    ]
    guidance = setup_guidance(tries)
    assert guidance.headline == "None of LM Studio and Ollama answered."
    assert len(guidance.steps) == 2


def test_with_nothing_tried_the_guidance_is_the_recommendation_for_this_machine() -> None:
    resources = ResourceInfo("Linux", "", "x86_64", "cpu", 4, 8, 16 * GIB, 8 * GIB)
    guidance = setup_guidance([], [], resources)
    assert "Ollama" in guidance.headline
    assert any("ollama pull" in step for step in guidance.steps)


def test_a_server_that_waits_for_a_model_is_named_first() -> None:
    waiting = ServerInfo("lm_studio", "LM Studio", "http://127.0.0.1:1234", ServerStatus.NO_MODELS)
    assert setup_guidance([], [waiting]).headline == "LM Studio is running but has no model loaded."


def test_knowing_nothing_it_still_says_what_to_do_next() -> None:
    assert setup_guidance([]).steps
    assert setup_guidance([attempt("vllm", "vLLM", ErrorKind.SERVER_ERROR)]).steps


_ENDS_THE_CHAIN = {
    ErrorKind.BAD_REQUEST,
    ErrorKind.CONTENT_FILTER,
    ErrorKind.CONTEXT_OVERFLOW,
    ErrorKind.CANCELLED,
}


@pytest.mark.parametrize("kind", [kind for kind in ErrorKind if kind not in _ENDS_THE_CHAIN])
@pytest.mark.parametrize("backend", ["ollama", "openrouter", "openai_compatible", "builtin"])
def test_after_an_attempt_it_is_never_said_that_no_model_is_set_up(backend: str, kind: ErrorKind) -> None:
    guidance = setup_guidance([attempt(backend, "This one", kind)])
    assert guidance.headline == "This one did not answer."
    assert all(step.endswith(".") for step in guidance.steps)


def test_what_is_missing_for_openrouter_is_named_and_nobody_is_told_to_load_a_model_there() -> None:
    (step,) = setup_guidance([attempt("openrouter", "OpenRouter", ErrorKind.NOT_CONFIGURED)]).steps
    assert "keys set openrouter" in step
    assert "llm.openrouter.model" in step


@pytest.mark.parametrize("kind", sorted(ErrorKind))
@pytest.mark.parametrize(
    ("backend", "url"),
    [
        ("openrouter", "https://openrouter.ai/api/v1"),
        ("anthropic", "https://api.anthropic.com/v1"),
        ("openai_compatible", "https://ai.example.org/v1"),
    ],
)
def test_nobody_is_sent_to_start_or_load_anything_at_a_service(
    backend: str, url: str, kind: ErrorKind
) -> None:
    tried = Attempt(backend, "This one", url, "qwen", kind, "", 0.0)
    for step in setup_guidance([tried]).steps:
        assert not re.search(r"\b(re)?start\b (?!a new)|\bLoad\b|where This one is", step, re.IGNORECASE), (
            step
        )


def test_another_model_of_a_service_is_chosen_in_its_own_setting() -> None:
    (step,) = setup_guidance([attempt("openrouter", "OpenRouter", ErrorKind.MODEL_MISSING)]).steps
    assert "config set llm.openrouter.model NAME" in step


def test_a_key_is_asked_for_by_the_address_it_belongs_to() -> None:
    (step,) = setup_guidance([attempt("openai_compatible", "A server", ErrorKind.AUTH)]).steps
    assert "`whisper-desktop keys set http://127.0.0.1:1`" in step


def test_a_server_that_only_lacks_a_key_is_named_before_another_one_is_recommended() -> None:
    locked = ServerInfo("lm_studio", "LM Studio", "http://127.0.0.1:1234", ServerStatus.NEEDS_KEY)
    guidance = setup_guidance([], [locked])
    assert guidance.headline == "LM Studio is running and wants a key."
    assert "keys set http://127.0.0.1:1234" in guidance.steps[0]
