"""Every failure of a backend is told in three parts, in the server's name, and never with its key."""

import pytest

from whisper_desktop.backends.words import shown, told, without
from whisper_desktop.errors import BackendError
from whisper_desktop.values import ErrorKind, Reach


def tell(
    kind: ErrorKind, *, model: str | None = "qwen", key: str | None = None, **facts: object
) -> BackendError:
    error = BackendError(kind, "It happened.", "This is why: sk-secret.", "Do this.", **facts)  # type: ignore[arg-type]
    return told(
        error,
        backend="openrouter",
        name="OpenRouter",
        url="https://openrouter.ai/api/v1",
        model=model,
        reach=Reach.CLOUD,
        key=key,
    )


@pytest.mark.parametrize("kind", ErrorKind)
@pytest.mark.parametrize("model", ["qwen", None])
def test_every_kind_says_what_happened_and_what_to_do(kind: ErrorKind, model: str | None) -> None:
    error = tell(kind, model=model, status=418, retry_after=7.0, request_sent=False)
    assert error.title.endswith(".")
    assert error.next_step.endswith(".")
    assert (error.kind, error.status, error.retry_after, error.request_sent) == (kind, 418, 7.0, False)
    for word in ("please", "oops", "Error", "Exception"):
        assert word not in str(error)


@pytest.mark.parametrize("kind", ErrorKind)
def test_a_key_that_a_server_repeats_is_taken_out(kind: ErrorKind) -> None:
    assert "sk-secret" not in str(tell(kind, key="sk-secret"))


@pytest.mark.parametrize(
    ("kind", "facts", "sentence"),
    [
        (ErrorKind.QUOTA, {"status": 402}, "OpenRouter says the key has no credit left (402)."),
        (ErrorKind.AUTH, {"status": 401}, "OpenRouter wants a key (401)."),
        (ErrorKind.MODEL_MISSING, {}, "OpenRouter has no model called “qwen”."),
        (ErrorKind.CONTEXT_OVERFLOW, {}, "The conversation is too long for qwen on OpenRouter."),
        (ErrorKind.CONNECT_REFUSED, {}, "OpenRouter cannot be reached."),
        (ErrorKind.NOT_AN_LLM, {}, "What answers at openrouter.ai is not OpenRouter."),
    ],
)
def test_the_title_is_about_the_persons_things(
    kind: ErrorKind, facts: dict[str, object], sentence: str
) -> None:
    assert tell(kind, **facts).title == sentence  # type: ignore[arg-type]


def test_the_wait_that_a_server_asks_for_is_named() -> None:
    assert tell(ErrorKind.RATE_LIMITED, retry_after=40.0).next_step == "Try again in 40 s."


def test_what_a_backend_says_in_its_own_name_is_not_said_again_in_other_words() -> None:
    error = BackendError(
        ErrorKind.MODEL_MISSING, "OpenRouter answered with b instead of a.", "Why.", "Do this."
    )
    again = told(
        error, backend="openrouter", name="OpenRouter", url="", model="a", reach=Reach.CLOUD, key=None
    )
    assert str(again) == str(error)


KEY = "sk-or-v1-0123456789-abcdef"


@pytest.mark.parametrize(
    "said",
    [
        f"The key {KEY} is wrong.",
        f"The key {KEY.upper()} is wrong.",
        f"The key {KEY.replace('-', '%2D')} is wrong.",
        f"The key {KEY.replace('-', '%252D')} is wrong.",
        f"It was {KEY[:-3]}",
        f"It was {KEY[:8]}…",
        f"“It was {KEY[:20].upper()}.”",
        f"It was {KEY.replace('-', '%2d')[:13]}",
        f"It was {KEY.replace('-', '%2d')[:14]}",
    ],
)
@pytest.mark.parametrize("kind", [ErrorKind.SERVER_ERROR, ErrorKind.CANCELLED])
def test_no_part_of_a_key_is_left(said: str, kind: ErrorKind) -> None:
    error = BackendError(kind, said, said, said)
    text = str(hidden(error)).lower()
    assert "sk-or" not in text
    assert "0123" not in text
    assert "…" in text


def test_a_model_that_is_named_like_the_key_is_not_named() -> None:
    error = hidden(BackendError(ErrorKind.MODEL_MISSING, "It is not there."), model=KEY)
    assert error.title == "OpenRouter has no model called “…”."


def test_a_word_that_stands_for_no_key_is_left_in_other_words() -> None:
    assert without("ollama", "Ollama said no.") == "Ollama said no."
    assert shown("ollama", "ollama-3") == "ollama-3"


def hidden(error: BackendError, *, model: str | None = None, key: str = KEY) -> BackendError:
    return told(
        error,
        backend="openrouter",
        name="OpenRouter",
        url="https://openrouter.ai/api/v1",
        model=model,
        reach=Reach.CLOUD,
        key=key,
    )
