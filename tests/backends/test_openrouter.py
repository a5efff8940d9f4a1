"""OpenRouter: its key, its prices, its variants, and its errors inside a 200."""

import json

import pytest

from tests.backends.conftest import ASK, KEY, MakeBackend
from tests.servers.fixtures import ServerFactory
from whisper_desktop.backends.openrouter import KeyStatus, OpenRouterBackend
from whisper_desktop.errors import BackendError
from whisper_desktop.values import (
    ErrorKind,
    Price,
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


# --- key, prices, variants --------------------------------------------------------------------------------


async def test_what_is_left_of_the_keys_limit_is_told(servers: ServerFactory, make: MakeBackend) -> None:
    info = json.dumps({"limit": 100, "limit_remaining": 74.5, "is_free_tier": True})
    backend = make(servers("openrouter", "--key-info", info), key=KEY)
    assert isinstance(backend, OpenRouterBackend)
    status = await backend.key_status()
    assert status == KeyStatus(100.0, 74.5, 25.5, is_free_tier=True, expires_at=None)
    assert KEY not in repr(status)


async def test_the_state_of_a_wrong_key_is_a_refusal(servers: ServerFactory, make: MakeBackend) -> None:
    backend = make(servers("openrouter"), key="wrong-secret-key")
    assert isinstance(backend, OpenRouterBackend)
    with pytest.raises(BackendError) as caught:
        await backend.key_status()
    assert caught.value.kind is ErrorKind.AUTH
    assert "wrong-secret-key" not in str(caught.value)


@pytest.mark.parametrize(
    ("model", "price"),
    [
        ("openai/gpt-4o-mini", Price(0.00000015, 0.0000006)),
        ("openai/gpt-4o-mini:floor", Price(0.00000015, 0.0000006)),
        ("openai/gpt-4o-mini:nitro", None),  # a faster provider may cost more than the list says
        ("openai/gpt-4o-mini:free", Price(0.0, 0.0)),
        ("meta-llama/llama-3.2-3b-instruct:free", Price(0.0, 0.0)),
        ("nobody/nothing", None),
    ],
)
async def test_prices_come_from_the_list_and_what_is_not_known_is_unknown(
    servers: ServerFactory, make: MakeBackend, model: str, price: Price | None
) -> None:
    server = servers("openrouter")
    backend = make(server, model, key=KEY)
    assert await backend.price() == price
    assert backend.is_paid(None) is not model.endswith(":free")
    assert await make(server, model, key=KEY, price={"prompt": 3, "completion": 15}).price() == Price(
        3e-6, 15e-6
    )


async def test_a_variant_has_the_context_of_its_model(servers: ServerFactory, make: MakeBackend) -> None:
    models = [{"id": "openai/gpt-4o-mini", "context_length": 128000}]
    backend = make(servers("openrouter", models=models), "openai/gpt-4o-mini:nitro", key=KEY)
    await backend.list_models()
    assert backend.context_of(None) == 128000


async def test_the_models_to_fall_back_on_are_the_chains_affair(
    servers: ServerFactory, make: MakeBackend
) -> None:
    server = servers("openrouter")
    await make(server, "openai/gpt-4o-mini", key=KEY).generate_text(ASK)
    assert "models" not in server.requests("/api/v1/chat/completions")[0]["body"]
