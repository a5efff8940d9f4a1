"""Configurations become backends, by id or alias, without importing what is not used."""

import subprocess
import sys

import pytest

from tests.backends.conftest import ASK
from tests.servers.fixtures import ServerFactory
from whisper_desktop.backends import BACKENDS, BackendConfig, create_backend
from whisper_desktop.backends.factory import connections
from whisper_desktop.backends.request import Endpoint, Secret, roots_of
from whisper_desktop.errors import BackendError, NetworkBlocked, SettingsError
from whisper_desktop.settings import load_settings
from whisper_desktop.values import IDENTITIES, Deadlines, ErrorKind, Reach
from whisper_desktop.wire.http import Http


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("lm_studio", "lm_studio"),
        ("LMStudio", "lm_studio"),
        ("lm-studio", "lm_studio"),
        ("llamacpp", "llama_cpp"),
        ("llama_cpp_metal", "llama_cpp"),
        ("oobabooga", "textgen"),
        ("http", "openai_compatible"),
    ],
)
def test_ids_and_aliases_name_the_same_backend(given: str, expected: str) -> None:
    assert create_backend({"backend": given}, http=Http()).id == expected


@pytest.mark.parametrize("name", ["x", "", "unknown", "direct"])
def test_an_unknown_backend_is_a_value_error_that_lists_the_known_ones(name: str) -> None:
    with pytest.raises(ValueError, match=f"Unknown backend: {name}. Known: anthropic, builtin, ") as caught:
        create_backend({"backend": name}, http=Http())
    assert "lm_studio" in str(caught.value)


@pytest.mark.parametrize("name", sorted(set(BACKENDS) - {"builtin", "guide"}))
def test_every_backend_of_the_table_can_be_built_with_nothing_but_its_name(name: str) -> None:
    backend = create_backend({"backend": name}, http=Http())
    assert backend.name == IDENTITIES[name].name
    assert backend.capabilities


def test_the_table_has_no_id_that_nobody_knows() -> None:
    assert set(BACKENDS) <= set(IDENTITIES)


@pytest.mark.parametrize(
    ("backend", "url", "root", "base"),
    [
        ("lm_studio", "http://127.0.0.1:1234", "http://127.0.0.1:1234", "http://127.0.0.1:1234/v1"),
        ("lm_studio", "http://127.0.0.1:1234/v1/", "http://127.0.0.1:1234", "http://127.0.0.1:1234/v1"),
        ("openrouter", "https://openrouter.ai", "https://openrouter.ai", "https://openrouter.ai/api/v1"),
        (
            "docker_model_runner",
            "127.0.0.1:12434",
            "http://127.0.0.1:12434",
            "http://127.0.0.1:12434/engines/v1",
        ),
        ("openai_compatible", "http://x.lan/llm/v1", "http://x.lan/llm", "http://x.lan/llm/v1"),
        ("openai_compatible", "http://x.lan/other", "http://x.lan/other", "http://x.lan/other"),
        ("stub", "", "", ""),
    ],
)
def test_a_root_and_an_api_base_are_both_understood(backend: str, url: str, root: str, base: str) -> None:
    assert roots_of(BackendConfig(backend, "x", url)) == (root, base)


def test_an_address_that_is_written_counts_as_what_it_says() -> None:
    config = create_backend({"backend": "vllm", "base_url": "http://10.0.0.7:8000"}, http=Http()).config
    assert (config.reach, config.as_given) == (Reach.MY_NETWORK, True)
    assert create_backend({"backend": "openrouter"}, http=Http()).config.reach is Reach.CLOUD
    assert create_backend({"backend": "ollama"}, http=Http()).config.reach is Reach.THIS_MACHINE


@pytest.mark.parametrize("backend", ["llama_swap", "jan", "localai", "lemonade", "gpt4all"])
def test_a_server_that_may_pass_prompts_on_is_this_computer_only_by_a_written_address(backend: str) -> None:
    url = "http://127.0.0.1:8080"
    for named in ({}, {"url": None}, {"url": ""}, {"url": url, "as_given": False}):
        assert create_backend({"backend": backend, **named}, http=Http()).config.reach is None
    for written in ({"url": url}, {"reach": "this_machine"}):
        assert create_backend({"backend": backend, **written}, http=Http()).config.reach is Reach.THIS_MACHINE


def test_an_address_that_cannot_be_used_is_a_kind_error() -> None:
    with pytest.raises(SettingsError):
        create_backend({"backend": "vllm", "url": "ftp://x"}, http=Http())
    with pytest.raises(SettingsError):
        create_backend({"backend": "vllm", "model": 7}, http=Http())


def test_the_engine_backends_need_an_engine() -> None:
    with pytest.raises(ValueError, match="needs an engine"):
        create_backend({"backend": "builtin"}, http=Http())


def test_a_key_does_not_show_in_any_repr() -> None:
    assert "hidden" not in repr(Endpoint("http://x/v1", Secret("hidden")))


async def test_without_http_a_backend_has_connections_of_its_own_and_closes_them(
    servers: ServerFactory,
) -> None:
    server = servers("ollama")
    backend = create_backend({"backend": "ollama", "url": server.url})
    assert (await backend.generate_text(ASK)).text == "You said: Hello there"
    await backend.shutdown()
    with pytest.raises(BackendError) as caught:
        await backend.generate_text(ASK)
    assert caught.value.kind is ErrorKind.CANCELLED


async def test_connections_that_were_handed_in_stay_open(servers: ServerFactory, http: Http) -> None:
    server = servers("ollama")
    config = {"backend": "ollama", "url": server.url}
    await create_backend(config, http=http).shutdown()
    assert (await create_backend(config, http=http).generate_text(ASK)).text


@pytest.mark.parametrize("value", ["0", "no", "off", "fasle"])
async def test_a_network_that_is_switched_off_is_off_for_a_script_too(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("WHISPER_ALLOW_NETWORK", value)
    backend = create_backend({"backend": "openrouter", "api_key": "k", "model": "m"})
    with pytest.raises(NetworkBlocked):
        await backend.generate_text(ASK)


@pytest.mark.parametrize(
    ("value", "open_"), [("", True), (" ", True), ("1", True), ("On", True), ("0", False), ("fasle", False)]
)
def test_the_switch_for_the_network_is_read_as_in_the_settings(
    monkeypatch: pytest.MonkeyPatch, value: str, open_: bool
) -> None:
    monkeypatch.setenv("WHISPER_ALLOW_NETWORK", value)
    assert connections(Deadlines()).allow_network is open_
    assert load_settings().settings.llm.allow_network is open_


def test_a_key_in_the_place_of_a_name_is_not_repeated() -> None:
    with pytest.raises(ValueError, match="Unknown backend") as caught:
        create_backend({"backend": "sk-SECRETSECRET1"})
    assert "SECRET" not in str(caught.value)


async def test_a_key_from_code_is_sent_and_never_shown(servers: ServerFactory) -> None:
    server = servers("openai_compatible", "--auth", "sk-from-code", models=["m"])
    backend = create_backend({"backend": "vllm", "url": server.url, "model": "m", "api_key": "sk-from-code"})
    assert (await backend.generate_text(ASK)).text
    assert "sk-from-code" not in repr(backend) + repr(backend.config) + repr(vars(backend))
    await backend.shutdown()


def test_importing_the_backends_imports_no_http_library() -> None:
    program = (
        "import sys, whisper_desktop.backends, whisper_desktop.llm\n"
        "heavy = {'httpx', 'aiohttp', 'pydantic', 'PySide6'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
