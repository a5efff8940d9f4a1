"""Which value counts, and what a person is told about one that cannot."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.settings.conftest import Home
from whisper_desktop.errors import SettingsError
from whisper_desktop.settings.layers import LoadedSettings, load_settings
from whisper_desktop.settings.resolution import Given, Layer, resolve
from whisper_desktop.settings.schema import SETTINGS, LLMSettings
from whisper_desktop.values import OnInterruption, Reach


def only(loaded: LoadedSettings) -> SettingsError:
    assert len(loaded.problems) == 1, [str(problem) for problem in loaded.problems]
    return loaded.problems[0]


# --- Precedence -------------------------------------------------------------------------------------------


def test_without_any_setting_the_defaults_hold(home: Home) -> None:
    loaded = home.load()
    assert loaded.settings.llm == LLMSettings()
    assert loaded.problems == ()
    assert set(loaded.sources.values()) == {Layer.DEFAULT}
    llm = loaded.settings.llm
    assert (llm.lmstudio.port, llm.llamacpp.port) == (1234, 8080)
    assert (llm.llamacpp.n_gpu_layers, llm.llamacpp.n_ctx) == ("auto", "auto")
    assert llm.reach is Reach.THIS_MACHINE
    assert llm.fallback_chain is None


def test_each_layer_wins_over_the_one_below(home: Home) -> None:
    home.config.write_text("llm: {model_name: from-config}\n")
    assert _model(home.load()) == ("from-config", Layer.CONFIG)
    home.choices.write_text("llm: {model_name: from-choices}\n")
    assert _model(home.load()) == ("from-choices", Layer.CHOICES)
    overrides: dict[str, object] = {"llm.model_name": "from-program"}
    assert _model(home.load(overrides=overrides)) == ("from-program", Layer.DICTIONARY)
    env = {"LLM_MODEL_NAME": "from-env"}
    assert _model(home.load(overrides=overrides, env=env)) == ("from-env", Layer.ENVIRONMENT)
    flags: dict[str, object] = {"llm.model_name": "from-flag"}
    assert _model(home.load(overrides=overrides, env=env, flags=flags)) == ("from-flag", Layer.COMMAND_LINE)


def _model(loaded: LoadedSettings) -> tuple[object, Layer]:
    return loaded.settings.llm.model_name, loaded.sources["llm.model_name"]


_LAYERS = [Layer.COMMAND_LINE, Layer.ENVIRONMENT, Layer.DICTIONARY, Layer.CHOICES, Layer.CONFIG]
_PORT = ("llm", "lmstudio", "port")
_PORT_VALUES = st.one_of(
    st.integers(1, 65535),
    st.integers(65536),
    st.text(max_size=8),
    st.none(),
    st.booleans(),
    st.lists(st.integers()),
)


@given(values=st.dictionaries(st.sampled_from(_LAYERS), _PORT_VALUES), shuffled=st.randoms())
def test_the_strongest_usable_value_wins_in_any_mix_of_layers(
    values: dict[Layer, object], shuffled: object
) -> None:
    layers = [Given(layer, _PORT, value) for layer, value in values.items()]
    shuffled.shuffle(layers)  # type: ignore[attr-defined]
    resolved = resolve(layers)

    def is_port(value: object) -> bool:
        if isinstance(value, str):
            try:
                value = int(value)
            except ValueError:
                return False
        return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 65535

    usable = [(layer, values[layer]) for layer in _LAYERS if layer in values and is_port(values[layer])]
    layer, value = usable[0] if usable else (Layer.DEFAULT, 1234)
    assert resolved.settings.llm.lmstudio.port == int(value)  # type: ignore[call-overload]
    assert resolved.sources["llm.lmstudio.port"] is layer
    bad = [value for value in values.values() if value is not None and not is_port(value)]
    assert len(resolved.problems) == len(bad)


_KEYS = st.sampled_from(sorted(SETTINGS)) | st.lists(
    st.sampled_from(["llm", "ui", "gemini", "lmstudio", "port", "x", "backend"]), min_size=1, max_size=4
).map(tuple)
_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(layers=st.lists(st.tuples(st.sampled_from(_LAYERS), _KEYS, _ANYTHING), max_size=8))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_mix_of_values_of_any_type_keeps_the_app_from_starting(
    layers: list[tuple[Layer, tuple[str, ...], object]],
) -> None:
    resolved = resolve(Given(layer, path, value) for layer, path, value in layers)
    assert resolved.values.keys() == resolved.sources.keys()
    for path in SETTINGS:
        section = resolved.settings.llm if path[0] == "llm" else getattr(resolved.settings, path[0])
        section = getattr(section, path[1]) if len(path) == 3 else section
        assert getattr(section, path[-1]) == resolved.values[".".join(path)]
    assert all(str(problem) for problem in resolved.problems)


def test_a_choice_of_automatic_wins_over_a_backend_in_the_file(home: Home) -> None:
    home.config.write_text("llm:\n  backend: ollama\n")
    home.choices.write_text("llm:\n  backend: null\n")
    loaded = home.load()
    assert loaded.settings.llm.backend is None
    assert loaded.sources["llm.backend"] is Layer.CHOICES


def test_a_flag_of_none_was_not_given(home: Home) -> None:
    loaded = home.load(flags={"llm.model_name": None}, env={"LLM_MODEL_NAME": "m"})
    assert loaded.settings.llm.model_name == "m"


def test_the_dictionary_may_be_nested_and_use_either_spelling_of_a_section(home: Home) -> None:
    loaded = home.load(overrides={"llm": {"lm_studio": {"port": 1300}}, "llm.llama_cpp.port": 8081})
    assert loaded.problems == ()
    assert loaded.settings.llm.lmstudio.port == 1300
    assert loaded.settings.llm.llamacpp.port == 8081


def test_a_value_is_found_by_its_dotted_name(home: Home) -> None:
    home.config.write_text("llm: {gemini: {model: flash, a.b: 1}}\n")
    loaded = home.load()
    assert all(loaded.get(key) == value for key, value in loaded.values.items())
    assert loaded.get("llm.gemini.a.b") == 1
    assert loaded.get("llm.lm_studio.port") == 1234
    assert loaded.get("llm.gemini.model") == "flash"
    for name in ("llm.prot", "llm.backend_options", "llm.model_fields", "", "llm.lmstudio.port.x"):
        with pytest.raises(SettingsError, match="is not a setting"):
            loaded.get(name)


# --- The environment --------------------------------------------------------------------------------------

_ENVIRONMENT: list[tuple[str, str, Callable[[LLMSettings], object], object]] = [
    ("LLM_CHAT_API_URL", "localhost:1234/v1/", lambda llm: llm.base_url, "http://localhost:1234/v1"),
    ("LLM_MODEL_NAME", "qwen3:4b", lambda llm: llm.model_name, "qwen3:4b"),
    ("WHISPER_LLM_AUTO_DETECT", "off", lambda llm: llm.auto_detect, False),
    (
        "WHISPER_LLM_FALLBACK_CHAIN",
        "lmstudio, ollama,openrouter,lm_studio",
        lambda llm: llm.fallback_chain,
        ("lm_studio", "ollama", "openrouter"),
    ),
    ("WHISPER_SHOW_SETUP_GUIDANCE", "no", lambda llm: llm.show_setup_guidance, False),
    ("WHISPER_LLM_MODE", "HTTP", lambda llm: llm.mode, "http"),
    ("WHISPER_ENABLE_DIRECT_LLM", "0", lambda llm: llm.enable_direct, False),
    ("WHISPER_MODEL_CACHE_DIR", "/m", lambda llm: llm.model_cache_dir, Path("/m")),
    ("WHISPER_LLM_BACKEND", "llamacpp", lambda llm: llm.backend, "llama_cpp"),
    ("WHISPER_LLM_STUB", "Yes", lambda llm: llm.stub, True),
    ("WHISPER_GGUF_MODEL_PATH", "~/a.gguf", lambda llm: llm.gguf_model_path, Path("~/a.gguf").expanduser),
    ("WHISPER_ALLOW_NETWORK", "false", lambda llm: llm.allow_network, False),
    ("WHISPER_LLM__REACH", "cloud", lambda llm: llm.reach, Reach.CLOUD),
    ("WHISPER_LLM__LMSTUDIO__PORT", "1300", lambda llm: llm.lmstudio.port, 1300),
    ("WHISPER_LLM__LLAMACPP__N_GPU_LAYERS", "12", lambda llm: llm.llamacpp.n_gpu_layers, 12),
    ("WHISPER_LLM__LLAMACPP__N_CTX", "Auto", lambda llm: llm.llamacpp.n_ctx, "auto"),
    ("WHISPER_LLM__ADDRESSES", "a:1,b:2", lambda llm: llm.addresses, ("http://a:1", "http://b:2")),
    ("WHISPER_LLM__ON_INTERRUPTION", "Stop", lambda llm: llm.on_interruption, OnInterruption.STOP),
    ("WHISPER_LLM__HEDGE", "no", lambda llm: llm.hedge, False),
    ("WHISPER_LLM__REQUEST_TIMEOUT", "90.5", lambda llm: llm.request_timeout, 90.5),
    ("WHISPER_LLM__WAIT_FOR_LOADING", "5", lambda llm: llm.wait_for_loading, 5.0),
    ("WHISPER_LLM__MAX_CONCURRENT", "4", lambda llm: llm.max_concurrent, 4),
    ("WHISPER_LLM__SPENDING__DAILY", "2.50", lambda llm: llm.spending.daily, 2.5),
    ("WHISPER_LLM__SPENDING__MONTHLY", "none", lambda llm: llm.spending.monthly, None),
    ("WHISPER_LLM__ANTHROPIC__MODEL", "claude", lambda llm: llm.anthropic.model, "claude"),
    ("WHISPER_LLM__GEMINI__MAX_OUTPUT", "5", lambda llm: llm.backend_options("gemini"), {"max_output": 5}),
]


@pytest.mark.parametrize(
    ("name", "text", "read", "expected"), _ENVIRONMENT, ids=[row[0] for row in _ENVIRONMENT]
)
def test_environment_variable(
    home: Home, name: str, text: str, read: Callable[[LLMSettings], object], expected: object
) -> None:
    loaded = home.load(env={name: text})
    assert loaded.problems == ()
    assert read(loaded.settings.llm) == (expected() if callable(expected) else expected)
    key = next(key for key, layer in loaded.sources.items() if layer is Layer.ENVIRONMENT)
    assert loaded.places[key] == name


@pytest.mark.parametrize("text", ["1", "true", "YES", "on"])
def test_every_spelling_of_yes(home: Home, text: str) -> None:
    assert home.load(env={"WHISPER_LLM_STUB": text}).settings.llm.stub is True


def test_an_empty_variable_is_not_set(home: Home) -> None:
    loaded = home.load(env={"LLM_MODEL_NAME": " ", "WHISPER_LLM__LMSTUDIO__PORT": "", "LLM_CHAT_API_KEY": ""})
    assert loaded.settings.llm == LLMSettings()
    assert loaded.problems == ()


def test_variables_of_other_purposes_are_left_alone(home: Home) -> None:
    loaded = home.load(
        env={"WHISPER_DEV_CACHE": "x", "WHISPER_TEST_SERVER": "y", "WHISPER_": "z", "PATH": "p"}
    )
    assert loaded.problems == ()


def test_an_unknown_variable_of_the_general_form_is_reported_and_kept(home: Home) -> None:
    loaded = home.load(env={"WHISPER_LLM__BACKND": "ollama"})
    problem = only(loaded)
    assert problem.where == "WHISPER_LLM__BACKND"
    assert "Did you mean llm.backend?" in str(problem)
    assert loaded.get("llm.backnd") == "ollama"


def test_a_setting_under_two_names_says_which_one_is_used(home: Home) -> None:
    loaded = home.load(env={"WHISPER_LLM__BACKEND": "ollama", "WHISPER_LLM_BACKEND": "jan"})
    assert loaded.settings.llm.backend == "jan"
    assert "WHISPER_LLM__BACKEND and WHISPER_LLM_BACKEND" in str(only(loaded))


@pytest.mark.parametrize(
    "text", ["{a: [}", "&a [*a]", "[" * 2000, "2025-02-30", "!!python/name:os.system x", "*x"]
)
def test_a_table_that_is_no_yaml_is_a_bad_value(home: Home, text: str) -> None:
    assert only(home.load(env={"WHISPER_UI__GEOMETRY": text})).where == "WHISPER_UI__GEOMETRY"
    assert home.load(env={"WHISPER_LLM__GEMINI__NOTE": text}).get("llm.gemini.note") == text


def test_the_process_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_MODEL_NAME", "from-process")
    assert load_settings().settings.llm.model_name == "from-process"


# --- The key of the environment ---------------------------------------------------------------------------

_KEY = "sk-or-v1-0123456789abcdef"


@pytest.mark.parametrize(
    ("env", "config", "origin"),
    [
        ({}, "", "https://openrouter.ai"),
        ({"LLM_CHAT_API_URL": "http://10.0.0.5:8000/v1"}, "", "http://10.0.0.5:8000"),
        ({}, "llm: {base_url: 'https://openrouter.ai/api/v1'}", "https://openrouter.ai"),
        ({"WHISPER_LLM__BASE_URL": "http://10.0.0.7:8000/v1"}, "", "http://10.0.0.7:8000"),
        (
            {"LLM_CHAT_API_URL": "https://x.example/v1"},
            "llm: {base_url: 'http://10.0.0.6'}",
            "https://x.example",
        ),
    ],
)
def test_the_key_belongs_to_the_origin_of_the_url_or_to_openrouter(
    home: Home, env: dict[str, str], config: str, origin: str
) -> None:
    home.config.write_text(config)
    loaded = home.load(env={**env, "LLM_CHAT_API_KEY": f" {_KEY}\n"})
    assert {where: secret.reveal() for where, secret in loaded.env_keys.items()} == {origin: _KEY}
    assert loaded.problems == ()


def test_a_key_does_not_follow_to_another_server_than_its_url(home: Home) -> None:
    env = {"LLM_CHAT_API_KEY": _KEY, "LLM_CHAT_API_URL": "http://10.0.0.5"}
    loaded = home.load(env=env, flags={"llm.base_url": "http://10.0.0.9"})
    assert list(loaded.env_keys) == ["http://10.0.0.5"]
    loaded = home.load(
        env={**env, "LLM_CHAT_API_URL": "ftp://nonsense"}, flags={"llm.base_url": "http://10.0.0.9"}
    )
    assert not loaded.env_keys
    assert [problem.where for problem in loaded.problems] == ["LLM_CHAT_API_URL", "LLM_CHAT_API_KEY"]


def test_a_key_without_an_url_beside_it_is_openrouters_and_the_person_is_told(home: Home) -> None:
    home.config.write_text("llm: {base_url: 'https://collector.example/v1'}")
    loaded = home.load(env={"LLM_CHAT_API_KEY": _KEY})
    assert list(loaded.env_keys) == ["https://openrouter.ai"]
    told = str(only(loaded))
    assert "for OpenRouter only" in told
    assert "Set LLM_CHAT_API_URL too" in told


@pytest.mark.parametrize(
    "where", ["LLM_CHAT_API_URL", "LLM_MODEL_NAME", "WHISPER_LLM_BACKEND", "WHISPER_LLM_MODE"]
)
def test_a_key_in_the_wrong_place_is_never_repeated(home: Home, where: str) -> None:
    loaded = home.load(env={where: f"{_KEY} x\ny"})
    assert loaded.problems
    assert "0123456789" not in "".join(map(str, loaded.problems)) + repr(loaded)


def test_a_badly_pasted_key_is_refused_without_repeating_it(home: Home) -> None:
    loaded = home.load(env={"LLM_CHAT_API_KEY": "Bearer sk-or-v1-0123456789"})
    problem = only(loaded)
    assert "LLM_CHAT_API_KEY cannot be used. It begins with Bearer" in str(problem)
    assert "0123456789" not in str(problem)
    assert not loaded.env_keys


def test_nothing_shows_the_key_by_accident(home: Home) -> None:
    loaded = home.load(env={"LLM_CHAT_API_KEY": _KEY})
    assert "0123456789" not in repr(loaded) + str(loaded) + f"{loaded.env_keys}"


# --- Bad values -------------------------------------------------------------------------------------------

_BAD_LINES = [
    ("llm.lmstudio.port", "99999", "from 1 to 65535", "1234"),
    ("llm.lmstudio.port", "yes", "from 1 to 65535", "1234"),
    ("llm.lmstudio.port", "[1]", "from 1 to 65535", "1234"),
    ("llm.llamacpp.n_gpu_layers", "lots", "auto, or a number", "auto"),
    ("llm.llamacpp.n_gpu_layers", "-3", "auto, or a number", "auto"),
    ("llm.llamacpp.n_ctx", "0", "auto, or a number of tokens", "auto"),
    ("llm.llamacpp.n_ctx", "1.5", "auto, or a number of tokens", "auto"),
    ("llm.context_window", "much", "a number of tokens", "not set"),
    ("llm.backend", "olama", "Known: lm_studio, ollama", "not set"),
    ("llm.backend", "guide", "answers only in a conversation marked Guide", "not set"),
    ("llm.fallback_chain", "[ollama, guide]", "marked Guide", "not set"),
    ("llm.fallback_chain", "lm_stdio,ollama", "'lm_stdio' cannot be a step", "not set"),
    ("llm.mode", "fast", "auto, http or direct", "auto"),
    ("llm.stub", "maybe", "yes or no", "no"),
    ("llm.base_url", "1234", "an address such as", "not set"),
    ("llm.base_url", "'1234'", "A number alone is a port", "not set"),
    ("llm.base_url", "'http://me:pass@x.example'", "password", "not set"),
    ("llm.addresses", "['http://ok:1', 'nope nope']", "space", "()"),
    ("llm.model_name", "3.5", "quotes", "not set"),
    ("llm.model_name", "2025-02-30", "looks like a date", "not set"),
    ("llm.model_name", "!!python/object:os.system x", "plain value", "not set"),
    ("llm.model_cache_dir", "[a]", "a path", "not set"),
    ("llm.reach", "moon", "this_machine, my_network or cloud", "this_machine"),
    ("llm.on_interruption", "again", "restart, continue or stop", "restart"),
    ("llm.request_timeout", "0", "seconds above 0", "180"),
    ("llm.request_timeout", ".inf", "seconds above 0", "180"),
    ("llm.wait_for_loading", "yes", "seconds above 0", "2"),
    ("llm.max_concurrent", "0", "from 1 to 1000", "10"),
    ("ui.theme", "pink", "system, light or dark", "system"),
    ("privacy.server_reach", "{'http://x': far}", "my_network", "{}"),
    ("ui.geometry", "5", "names", "{}"),
]


@pytest.mark.parametrize(("key", "text", "expected", "used"), _BAD_LINES)
def test_a_bad_value_names_file_and_line_and_what_is_expected_and_used(
    home: Home, key: str, text: str, expected: str, used: str
) -> None:
    *sections, name = key.split(".")
    lines = ["# a comment"] + [f"{'  ' * depth}{section}:" for depth, section in enumerate(sections)]
    lines.append(f"{'  ' * len(sections)}{name}: {text}")
    home.config.write_text("\n".join(lines))
    loaded = home.load()
    problem = only(loaded)
    assert problem.key == key
    assert problem.where == f"{home.config}, line {len(lines)}"
    assert f"config.yaml, line {len(lines)}" in problem.title
    assert expected in problem.detail
    assert "pass@" not in str(problem)
    assert used in problem.next_step
    assert loaded.get(key) == SETTINGS[tuple(key.split("."))].default
    assert loaded.sources[key] in (Layer.DEFAULT, Layer.CONFIG)


def test_a_bad_value_gives_way_to_the_next_layer_and_says_so(home: Home) -> None:
    home.config.write_text("llm: {lmstudio: {port: 1300}}\n")
    loaded = home.load(env={"WHISPER_LLM__LMSTUDIO__PORT": "none"})
    assert loaded.settings.llm.lmstudio.port == 1300
    assert "1300 is used" in only(loaded).next_step
    assert "config.yaml, line 1" in only(loaded).next_step


@pytest.mark.parametrize(
    ("env", "config", "key", "careful"),
    [
        ({"WHISPER_ALLOW_NETWORK": "nope"}, "llm: {allow_network: yes}", "llm.allow_network", False),
        ({"WHISPER_LLM__REACH": "this_machin"}, "llm: {reach: cloud}", "llm.reach", Reach.THIS_MACHINE),
        ({"WHISPER_LLM__SPENDING__DAILY": "$5"}, "llm: {spending: {daily: 9}}", "llm.spending.daily", 0.0),
        ({"WHISPER_LLM__HEDGE_PAID": "mayb"}, "llm: {hedge_paid: yes}", "llm.hedge_paid", False),
    ],
)
def test_a_misspelt_restriction_restricts(
    home: Home, env: dict[str, str], config: str, key: str, careful: object
) -> None:
    home.config.write_text(config)
    loaded = home.load(env=env)
    assert loaded.get(key) == careful
    assert "careful choice" in only(loaded).next_step


def test_an_option_that_only_its_backend_knows_is_handed_to_it_and_a_slip_of_the_pen_is_not(
    home: Home,
) -> None:
    home.config.write_text("llm:\n  openai: {effort: high, modle: x}\n  spending: {weekly: 3}\n")
    loaded = home.load()
    assert loaded.settings.llm.backend_options("openai")["effort"] == "high"
    assert [problem.key for problem in loaded.problems] == ["llm.openai.modle", "llm.spending.weekly"]


def test_unknown_keys_are_kept_and_reported_with_the_one_that_was_meant(home: Home) -> None:
    home.config.write_text("llm:\n  modle_name: x\n  lmstudio:\n    prot: 5\nshiny: {a: 1}\n")
    loaded = home.load()
    assert [problem.key for problem in loaded.problems] == ["llm.modle_name", "llm.lmstudio.prot", "shiny.a"]
    assert "Did you mean llm.model_name?" in str(loaded.problems[0])
    assert "handed to the backend" in str(loaded.problems[1])
    assert loaded.settings.llm.backend_options("lm_studio")["prot"] == 5
    assert loaded.get("shiny.a") == 1


def test_options_of_other_backends_are_passed_through_without_a_word(home: Home) -> None:
    home.config.write_text("llm:\n  gemini:\n    model: flash\n    safety: {level: 2}\n")
    loaded = home.load(env={"WHISPER_LLM__GEMINI__MODEL": "pro"})
    assert loaded.problems == ()
    assert loaded.settings.llm.backend_options("gemini") == {"model": "pro", "safety": {"level": 2}}


@pytest.mark.parametrize(
    "line", ["llm:\n  openrouter:\n    api_key: {}", "llm:\n  gemini: {{token: {}}}", "password: {}"]
)
def test_a_key_in_the_file_is_not_used_not_shown_and_not_copied(home: Home, line: str) -> None:
    home.config.write_text(line.format(_KEY))
    loaded = home.load()
    problem = only(loaded)
    assert "keys set" in str(problem)
    assert "0123456789" not in repr(loaded) + str(problem)
    assert not home.last_good.exists()


def test_a_section_with_a_value_instead_of_settings_is_named(home: Home) -> None:
    home.config.write_text("llm: 5\nui:\n")
    assert only(home.load()).key == "llm"


def test_a_repeated_key_is_reported_and_the_last_one_counts(home: Home) -> None:
    home.config.write_text("llm:\n  model_name: a\n  mode: http\n  model_name: b\n")
    loaded = home.load()
    assert loaded.settings.llm.model_name == "b"
    problem = only(loaded)
    assert "line 2" in problem.detail
    assert "line 4" in problem.detail


def test_countless_problems_are_summed_up(home: Home) -> None:
    home.config.write_text("".join(f"unknown_{number}: 1\n" for number in range(200)))
    problems = home.load().problems
    assert len(problems) == 51
    assert "150 more" in problems[-1].title


# --- Files that cannot be read ----------------------------------------------------------------------------

_BROKEN = [
    (b"llm:\n  backend: [ollama\n", "line"),
    (b"llm:\n\tbackend: ollama\n", "A tab is used"),
    (b"- a\n- b\n", "no `name: value`"),
    (b"just words", "no `name: value`"),
    (b"a: 1\n--- \nb: 2\n", "config.yaml"),
    (b"llm: *nowhere\n", "undefined alias"),
    (b"a: \xff\xfe\xfa", "UTF-8"),
    (b"a: \x00", "characters"),
    (b"x: " + b"y" * 1_000_001, "larger than 1 MB"),
    (b"[" * 5000, "deeply nested"),
    (b"a: " + b"{a: " * 400 + b"1" + b"}" * 400, "deeply nested"),
    (b"".join(b"k%d: 1\n" % number for number in range(15_000)), "far more"),
    (
        b"a0: &a0 [1,1,1,1,1,1,1,1,1]\n"
        + b"".join(b"a%d: &a%d [%s]\n" % (n, n, b",".join([b"*a%d" % (n - 1)] * 9)) for n in range(1, 12)),
        "far more",
    ),
    (b"a: &a [*a]\n", "far more"),
    (b"a: &a {<<: *a}\n", "far more"),
]


@pytest.mark.parametrize(("data", "reason"), _BROKEN, ids=[f"{data[:12]!r}" for data, _ in _BROKEN])
def test_an_unreadable_file_is_told_and_the_last_good_settings_are_used(
    home: Home, data: bytes, reason: str
) -> None:
    home.config.write_text("llm: {model_name: good}\n")
    assert home.load().problems == ()
    home.config.write_bytes(data)
    loaded = home.load()
    assert reason in str(only(loaded))
    assert "The last settings that worked are used" in only(loaded).next_step
    assert loaded.settings.llm.model_name == "good"
    assert loaded.sources["llm.model_name"] is Layer.LAST_GOOD
    assert home.config.read_bytes() == data
    home.last_good.unlink()
    loaded = home.load()
    assert loaded.settings.llm.model_name is None
    assert "The defaults are used" in only(loaded).next_step


def test_one_bad_line_takes_only_its_own_value_from_the_last_good_file(home: Home) -> None:
    home.config.write_text("llm: {lmstudio: {port: 1300}, model_name: old}\n")
    home.load()
    home.config.write_text("llm: {lmstudio: {port: oops}, mode: http}\n")
    loaded = home.load()
    assert loaded.settings.llm.lmstudio.port == 1300
    assert loaded.sources["llm.lmstudio.port"] is Layer.LAST_GOOD
    assert loaded.settings.llm.model_name is None
    assert loaded.settings.llm.mode == "http"
    assert "config.last-good.yaml" in only(loaded).next_step
    assert "old" in home.last_good.read_text()


def test_a_broken_last_good_file_harms_nobody(home: Home) -> None:
    home.config.write_text("llm: [")
    home.last_good.write_text("llm: [")
    loaded = home.load()
    assert loaded.settings.llm == LLMSettings()
    assert "The defaults are used" in only(loaded).next_step


def test_broken_choices_leave_the_persons_file_in_force(home: Home) -> None:
    home.config.write_text("llm: {model_name: mine}\n")
    home.choices.write_text("llm: [")
    loaded = home.load()
    assert loaded.settings.llm.model_name == "mine"
    assert "choices.yaml" in only(loaded).title


def test_files_from_windows_are_read(home: Home) -> None:
    home.config.write_bytes("llm:\r\n  model_name: ü\r\n".encode("utf-16"))
    assert home.load().settings.llm.model_name == "ü"
    home.config.write_bytes(b"\xef\xbb\xbfllm:\r\n  model_name: bom\r\n")
    assert home.load().settings.llm.model_name == "bom"


@pytest.mark.skipif(os.name == "nt", reason="named pipes in folders are a Unix matter")
def test_a_pipe_or_folder_in_place_of_the_file_does_not_hang(home: Home) -> None:
    os.mkfifo(home.config)
    home.choices.mkdir()
    loaded = home.load()
    assert loaded.settings.llm == LLMSettings()
    assert len(loaded.problems) == 2


def test_a_home_that_cannot_be_used_still_gives_settings(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    loaded = load_settings(env={"WHISPER_HOME": str(tmp_path / "file"), "LLM_MODEL_NAME": "m"})
    assert loaded.settings.llm.model_name == "m"
    assert "cannot be created" in only(loaded).title


def test_merged_and_repeated_parts_of_yaml_are_understood(home: Home) -> None:
    home.config.write_text("common: &c {port: 1300}\nllm:\n  lmstudio:\n    <<: *c\n    use_xvfb: yes\n")
    loaded = home.load()
    assert loaded.settings.llm.lmstudio.port == 1300
    assert loaded.settings.llm.lmstudio.use_xvfb is True


def test_the_gguf_file_wins_over_the_model_of_llama_cpp(home: Home) -> None:
    home.config.write_text("llm: {llamacpp: {model_path: /models/one.gguf}}\n")
    assert home.load().settings.llm.own_model == Path("/models/one.gguf")
    home.config.write_text(
        "llm: {gguf_model_path: /models/two.gguf, llamacpp: {model_path: /models/one.gguf}}\n"
    )
    assert home.load().settings.llm.own_model == Path("/models/two.gguf")
    assert LLMSettings().own_model is None
