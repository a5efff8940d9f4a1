"""Every backend owns its options, and says in plain words what is wrong with one."""

import pytest

from tests.backends.conftest import ASK
from whisper_desktop.backends import BACKENDS, Backend, BackendConfig, create_backend
from whisper_desktop.backends.unusable import UnusableBackend
from whisper_desktop.errors import BackendError, SettingsError
from whisper_desktop.settings.schema import SETTINGS, canonical_path
from whisper_desktop.values import Deadlines, ErrorKind
from whisper_desktop.wire.http import Http

URLS = {"openai_compatible": "http://127.0.0.1:9/v1", "llama_swap": "http://127.0.0.1:9"}
SECTIONS = {"lm_studio": "lmstudio", "llama_cpp": "llamacpp"}
"""Those that are written otherwise in the settings file."""

_WITH_SETTINGS = (("lmstudio",), ("llamacpp",))


def build(backend: str, **options: object) -> Backend:
    return create_backend({"backend": backend, "url": URLS.get(backend), **options}, http=Http())


@pytest.mark.parametrize(
    ("backend", "name", "good", "bad"),
    [
        ("lm_studio", "ttl", 300, "soon"),
        ("lm_studio", "ttl", "300", -1),
        ("ollama", "num_ctx", 8192, 0),
        ("ollama", "num_ctx", "8192", 1.5),
        ("ollama", "keep_alive", "10m", "for ever"),
        ("ollama", "keep_alive", -1, -2),
        ("llama_cpp", "resume", True, "perhaps"),
        ("llama_cpp", "resume", "off", 7),
        ("openrouter", "price", {"prompt": 1, "completion": 2}, {"prompt": 1}),
        ("anthropic", "price", {"prompt": 0, "completion": "2.5"}, {"prompt": -1, "completion": 2}),
        ("openai", "embedding_model", "text-embedding-3-small", 7),
        ("stub", "fault", "error_500", "nothing_known"),
        ("stub", "tokens", 20, True),
        ("stub", "tool_call", {"name": "f", "arguments": {}}, {"arguments": {}}),
    ],
)
def test_an_option_is_checked_when_the_backend_is_built(
    backend: str, name: str, good: object, bad: object
) -> None:
    build(backend, **{name: good})
    with pytest.raises(SettingsError) as caught:
        build(backend, **{name: bad})
    setting = f"llm.{SECTIONS.get(backend, backend)}.{name}"
    assert caught.value.key == setting
    assert caught.value.title == f"The setting {setting} cannot be used."
    assert caught.value.detail.startswith("Expected: ")
    assert f"config set {setting}" in caught.value.next_step


@pytest.mark.parametrize("backend", sorted(set(BACKENDS) - {"builtin", "guide"}))
def test_an_unknown_option_is_named_in_one_sentence_and_not_ignored(backend: str) -> None:
    with pytest.raises(SettingsError) as caught:
        build(backend, warp_drive=9)
    assert caught.value.key == f"llm.{SECTIONS.get(backend, backend)}.warp_drive"
    assert caught.value.next_step == f"Take {caught.value.key} out."
    assert caught.value.title == "There is no option warp_drive for this backend."


def test_a_slip_of_the_pen_is_recognised() -> None:
    with pytest.raises(SettingsError) as caught:
        build("ollama", numctx=8192)
    assert caught.value.next_step == "Did you mean llm.ollama.num_ctx?"
    with pytest.raises(SettingsError) as caught:
        build("llama_cpp", resum=True)
    assert caught.value.next_step == "Did you mean llm.llamacpp.resume?"


def test_a_setting_is_called_what_it_is_called_in_the_file() -> None:
    """Whoever follows the sentence changes the setting that it is about."""
    for backend in sorted(set(BACKENDS) - {"builtin", "guide"}):
        with pytest.raises(SettingsError) as caught:
            build(backend, warp_drive=9)
        assert caught.value.key is not None
        path = tuple(caught.value.key.split("."))
        assert canonical_path(path) == path


@pytest.mark.parametrize("backend", sorted(set(BACKENDS) - {"builtin", "guide"}))
def test_what_the_app_keeps_for_itself_is_nobodys_business(backend: str) -> None:
    """Every setting that is declared for a backend, whichever backend it is for."""
    section = {path[2]: info.default for path, info in SETTINGS.items() if path[1:2] in _WITH_SETTINGS}
    config = BackendConfig(backend, "x", "http://127.0.0.1:9", options={**section, "base_url": "http://x"})
    create_backend(config, http=Http())


@pytest.mark.parametrize("name", ["api_key", "key", "token"])
def test_a_key_in_the_settings_is_sent_to_the_keyring_and_not_shown(name: str) -> None:
    config = BackendConfig("vllm", "vLLM", "http://127.0.0.1:9", options={name: "sk-secret"})
    with pytest.raises(SettingsError) as caught:
        create_backend(config, http=Http())
    assert "keys set" in caught.value.next_step
    assert "sk-secret" not in str(caught.value) + repr(caught.value)


async def test_a_step_of_a_chain_with_such_settings_says_so_when_it_is_asked() -> None:
    with pytest.raises(SettingsError) as caught:
        build("ollama", numctx=8192)
    config = BackendConfig("ollama", "Ollama", "http://127.0.0.1:9")
    step = UnusableBackend(config, caught.value, deadlines=Deadlines())
    for ask in (step.generate_text(ASK), step.list_models(), step.load_model(), step.embed(["x"])):
        with pytest.raises(BackendError) as told:
            await ask
        assert str(told.value) == str(caught.value)
        assert (told.value.kind, told.value.request_sent) == (ErrorKind.NOT_CONFIGURED, False)
    assert not await step.is_healthy()
