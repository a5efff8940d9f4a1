"""Whether a service takes a key is asked without a prompt, and where each key is kept is told."""

from collections.abc import AsyncIterator

import pytest

from tests.integration.worlds import closed_port
from tests.servers.fixtures import ServerFactory
from whisper_desktop.app.keys import check_key, key_standings
from whisper_desktop.settings import Secret, SecretStore, load_settings
from whisper_desktop.settings.secrets import KeyPlace
from whisper_desktop.values import Deadlines
from whisper_desktop.wire.http import Http

GOOD, BAD = "sk-or-v1-0123456789abcdef", "sk-or-v1-fedcba9876543210"


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    http = Http(Deadlines())
    yield http
    await http.aclose()


@pytest.mark.parametrize(
    ("server", "service"),
    [
        ("openrouter", "openrouter"),
        ("anthropic", "anthropic"),
        ("gemini", "gemini"),
        ("openai_compatible", "openai"),
        ("openai_compatible", ""),
    ],
)
async def test_a_key_is_tested_in_the_words_of_its_service_and_nothing_is_asked(
    servers: ServerFactory, http: Http, server: str, service: str
) -> None:
    running = servers(server, "--auth", GOOD)
    good = await check_key(http, service, running.url, GOOD)
    bad = await check_key(http, service, running.url, BAD)
    assert (good.accepted, bad.accepted) == (True, False)
    assert "accepts the key" in good.sentence
    assert {request["method"] for request in running.requests()} == {"GET"}
    assert GOOD not in good.sentence + bad.sentence
    assert BAD not in good.sentence + bad.sentence


async def test_a_service_that_cannot_be_asked_says_nothing_about_the_key(
    servers: ServerFactory, http: Http
) -> None:
    gone = await check_key(http, "openrouter", f"http://127.0.0.1:{closed_port()}", GOOD)
    assert gone.accepted is None
    assert GOOD not in gone.sentence
    broken = servers("openrouter", "--fault", "error_500@all")
    assert (await check_key(http, "openrouter", broken.url, GOOD)).accepted is None


async def test_each_key_stands_with_where_it_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
    store = SecretStore(run_keys={"https://api.openai.com": Secret(GOOD)})
    store.set("https://openrouter.ai", GOOD)
    store.set("https://llm.example.org", GOOD)
    standings = await key_standings(store, load_settings(env={}).settings.llm)
    assert [(each.name, each.place) for each in standings] == [
        ("OpenRouter", KeyPlace.RUN),
        ("OpenAI", KeyPlace.ENVIRONMENT),
        ("Anthropic", KeyPlace.NONE),
        ("Google Gemini", KeyPlace.NONE),
        ("https://llm.example.org", KeyPlace.RUN),
    ]
    assert GOOD not in repr(standings)
