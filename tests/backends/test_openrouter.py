"""OpenRouter: its key, its prices, its variants, and its errors inside a 200."""

import pytest

from tests.backends.conftest import ASK, KEY, MakeBackend
from tests.servers.fixtures import ServerFactory
from whisper_desktop.errors import BackendError
from whisper_desktop.values import (
    ErrorKind,
)


async def test_openrouter_without_a_key_is_not_called(servers: ServerFactory, make: MakeBackend) -> None:
    server = servers("openrouter")
    with pytest.raises(BackendError) as caught:
        await make(server, "openai/gpt-4o").generate_text(ASK)
    assert caught.value.kind is ErrorKind.NOT_CONFIGURED
    assert caught.value.title == "OpenRouter needs a key."
    assert server.log("connection") == []


async def test_openrouter_without_a_chosen_model_is_not_called(
    servers: ServerFactory, make: MakeBackend
) -> None:
    server = servers("openrouter")
    with pytest.raises(BackendError) as caught:
        await make(server, key=KEY).generate_text(ASK)
    assert caught.value.kind is ErrorKind.NOT_CONFIGURED
    assert server.log("connection") == []


async def test_openrouter_is_told_which_app_asks(servers: ServerFactory, make: MakeBackend) -> None:
    server = servers("openrouter")
    model = (await make(server, key=KEY).list_models())[0].id
    answer = await make(server, model, key=KEY).generate_text(ASK)
    assert answer.usage.cost_usd is not None
    headers = server.requests("/api/v1/chat/completions")[0]["headers"]
    assert headers["x-openrouter-title"] == "Whisper Desktop"
    assert headers["http-referer"] == "whisper://desktop"
    assert headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("error_mid_stream:0", ErrorKind.RATE_LIMITED),
        ("error_mid_stream:2", ErrorKind.RATE_LIMITED),
        ("payment_402", ErrorKind.QUOTA),
        ("forbidden_403_moderation", ErrorKind.CONTENT_FILTER),
        ("rate_429:40:availability", ErrorKind.RATE_LIMITED),
    ],
)
async def test_what_openrouter_refuses_also_inside_a_200_is_an_error(
    servers: ServerFactory, make: MakeBackend, fault: str, kind: ErrorKind
) -> None:
    server = servers("openrouter", "--fault", fault)
    model = (await make(server, key=KEY).list_models())[0].id
    with pytest.raises(BackendError) as caught:
        await make(server, model, key=KEY).generate_text(ASK)
    assert caught.value.kind is kind
    assert "OpenRouter" in caught.value.title
    assert caught.value.retry_after == (40 if "availability" in fault else None)


async def test_an_error_code_that_is_a_word_is_understood_too(
    servers: ServerFactory, make: MakeBackend
) -> None:
    server = servers("openrouter", "--string-error-code", "--fault", "error_mid_stream:1")
    model = (await make(server, key=KEY).list_models())[0].id
    with pytest.raises(BackendError) as caught:
        await make(server, model, key=KEY).generate_text(ASK)
    assert caught.value.kind is ErrorKind.SERVER_ERROR
