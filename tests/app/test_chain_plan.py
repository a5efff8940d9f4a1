"""The order of the chain, as a pure decision over what was found and what the person wants."""

from dataclasses import replace
from pathlib import Path

import pytest

from whisper_desktop.app.chain_plan import ChainWishes, plan_chain
from whisper_desktop.errors import SettingsError
from whisper_desktop.values import ModelInfo, Reach, ServerInfo, ServerStatus


def server(
    id_: str,
    *models: ModelInfo,
    status: ServerStatus = ServerStatus.AVAILABLE,
    reach: Reach | None = Reach.THIS_MACHINE,
    port: int = 1,
) -> ServerInfo:
    url = f"http://127.0.0.1:{port}"
    return ServerInfo(id_, id_, url, status, models=models, api_base=url + "/v1", reach=reach)


LM_STUDIO = server("lm_studio", ModelInfo("idle", loaded=False), port=1234)
OLLAMA = server("ollama", ModelInfo("warm", loaded=True), port=11434)
UNKNOWN = server("vllm", ModelInfo("who-knows"), reach=None, port=8000)
NETWORK = server("ollama", ModelInfo("big", loaded=True), reach=Reach.MY_NETWORK, port=2)


def ids(wishes: ChainWishes, *servers: ServerInfo) -> list[str]:
    return [step.id for step in plan_chain(wishes, servers)]


def test_without_wishes_local_servers_come_first_and_a_loaded_model_before_an_idle_one() -> None:
    assert ids(ChainWishes(), NETWORK, UNKNOWN, LM_STUDIO, OLLAMA) == [
        "ollama",
        "lm_studio",
        "vllm",
        "ollama",
    ]


def test_the_built_in_engine_follows_the_servers_that_run_and_the_cloud_is_last() -> None:
    wishes = ChainWishes(builtin_model=Path("m.gguf"), keyed=frozenset({"openrouter"}))
    assert ids(wishes, NETWORK, OLLAMA) == ["ollama", "builtin", "ollama", "openrouter"]


def test_services_with_a_key_come_last_in_the_order_of_the_table() -> None:
    own = {"openai": {"model": "gpt-5"}}
    wishes = ChainWishes(
        keyed=frozenset({"openai", "openrouter"}), model="warm", options=lambda id_: own.get(id_, {})
    )
    steps = plan_chain(wishes, [OLLAMA])
    assert [(step.id, step.url, step.model, step.reach) for step in steps[1:]] == [
        ("openrouter", "https://openrouter.ai/api/v1", None, Reach.CLOUD),
        ("openai", "https://api.openai.com/v1", "gpt-5", Reach.CLOUD),
    ]


def test_the_window_of_a_model_is_what_its_server_says_or_else_what_the_person_says() -> None:
    loaded = ModelInfo("m", loaded=True, context_length=4096, max_context_length=131072)
    idle = ModelInfo("idle", loaded=False, max_context_length=131072)
    far = ModelInfo("far", max_context_length=131072, remote=True)
    wishes = ChainWishes(context_window=8192)
    for model, window in ((loaded, 4096), (idle, 8192), (far, 131072)):
        (step,) = plan_chain(wishes, [server("lm_studio", model, port=1234)])
        assert step.context_length == window
    (unknown,) = plan_chain(ChainWishes(), [server("lm_studio", idle, port=1234)])
    assert unknown.context_length is None
    (written,) = plan_chain(
        ChainWishes(base_url="http://127.0.0.1:8000/v1", model="m", backend="openai_compatible"),
        [server("vllm", loaded, port=8000)],
    )
    assert written.context_length == 4096


@pytest.mark.parametrize(("n_ctx", "window"), [(2048, 2048), ("auto", None)])
def test_the_apps_own_engine_has_the_window_that_it_is_started_with(
    n_ctx: object, window: int | None
) -> None:
    wishes = ChainWishes(mode="direct", context_window=8192, options=lambda _id: {"n_ctx": n_ctx})
    assert plan_chain(wishes, [])[0].context_length == window


def test_without_a_key_the_cloud_is_no_step() -> None:
    assert ids(ChainWishes()) == []


def test_a_server_without_a_chat_model_is_no_step() -> None:
    embedder = server("lm_studio", ModelInfo("embed", capabilities=("embedding",)))
    empty = server("ollama", status=ServerStatus.NO_MODELS)
    assert ids(ChainWishes(), embedder, empty) == []


def test_a_model_that_runs_elsewhere_makes_its_step_a_cloud_step_and_sorts_it_last() -> None:
    cloudy = server("ollama", ModelInfo("gpt-oss:120b-cloud", remote=True))
    chain = plan_chain(ChainWishes(), [cloudy, LM_STUDIO])
    assert [(step.id, step.reach) for step in chain] == [
        ("lm_studio", Reach.THIS_MACHINE),
        ("ollama", Reach.CLOUD),
    ]


def test_a_local_model_is_preferred_over_a_remote_one_on_the_same_server() -> None:
    mixed = server("ollama", ModelInfo("far-cloud", remote=True), ModelInfo("near"))
    (step,) = plan_chain(ChainWishes(), [mixed])
    assert (step.model, step.reach) == ("near", Reach.THIS_MACHINE)


def test_the_address_from_the_environment_is_the_first_step() -> None:
    wishes = ChainWishes(base_url="http://127.0.0.1:9/v1", model="mine")
    first, second = plan_chain(wishes, [OLLAMA])
    assert (first.id, first.url, first.model, first.as_given) == (
        "openai_compatible",
        "http://127.0.0.1:9/v1",
        "mine",
        True,
    )
    assert (second.id, second.model) == ("ollama", "warm")  # never the other server's model name


def test_a_written_chain_keeps_its_order_and_tries_what_was_not_found() -> None:
    wishes = ChainWishes(fallback_chain=("lmstudio", "ollama"), ports={"lm_studio": 4321})
    first, second = plan_chain(wishes, [OLLAMA])
    assert (first.id, first.url) == ("lm_studio", "http://127.0.0.1:4321")
    assert second.url == OLLAMA.api_base


def test_a_chosen_backend_stands_alone_with_the_chosen_model() -> None:
    (step,) = plan_chain(ChainWishes(backend="lm_studio", model="idle"), [OLLAMA, LM_STUDIO])
    assert (step.id, step.model) == ("lm_studio", "idle")


def test_the_stub_stands_alone() -> None:
    assert ids(ChainWishes(stub=True, backend="ollama"), OLLAMA) == ["stub"]


def test_direct_mode_uses_only_the_built_in_engine_and_http_mode_never_does() -> None:
    model = Path("m.gguf")
    assert ids(ChainWishes(mode="direct", builtin_model=model), OLLAMA) == ["builtin"]
    assert ids(ChainWishes(mode="http", builtin_model=model), OLLAMA) == ["ollama"]


@pytest.mark.parametrize("name", ["guide", "nonsense", "unknown"])
def test_the_guide_and_unknown_names_are_refused_with_a_sentence(name: str) -> None:
    for wishes in (ChainWishes(backend=name), ChainWishes(fallback_chain=(name,))):
        with pytest.raises(SettingsError) as caught:
            plan_chain(wishes, [])
        assert caught.value.next_step.endswith(".")


def test_one_server_is_one_step_even_when_it_is_written_and_found() -> None:
    wishes = ChainWishes(fallback_chain=("ollama", "ollama"))
    assert ids(wishes, OLLAMA) == ["ollama"]


def test_the_model_that_was_asked_for_is_looked_for_where_it_is() -> None:
    chain = plan_chain(ChainWishes(model="idle"), [OLLAMA, LM_STUDIO])
    assert [(step.id, step.model) for step in chain] == [("lm_studio", "idle"), ("ollama", "warm")]


def test_asking_for_a_model_by_name_does_not_send_a_prompt_farther() -> None:
    far = server("ollama", ModelInfo("big", loaded=True), reach=Reach.MY_NETWORK, port=2)
    chain = plan_chain(ChainWishes(model="big"), [far, LM_STUDIO])
    assert [step.reach for step in chain] == [Reach.THIS_MACHINE, Reach.MY_NETWORK]


PROXY = server("llama_swap", ModelInfo("m"), reach=None, port=8080)
STRANGER = server("unknown", status=ServerStatus.SOMETHING_ELSE, reach=None, port=8080)


@pytest.mark.parametrize("there", [PROXY, STRANGER])
@pytest.mark.parametrize(
    "wishes", [ChainWishes(backend="llama_cpp"), ChainWishes(fallback_chain=("llama_cpp",))]
)
def test_what_stands_at_a_servers_usual_port_is_not_taken_for_it(
    wishes: ChainWishes, there: ServerInfo
) -> None:
    (step,) = plan_chain(wishes, [there])
    assert step.reach is None


def test_where_nothing_was_seen_a_named_server_counts_as_this_computers() -> None:
    (step,) = plan_chain(ChainWishes(backend="llama_cpp"), [OLLAMA])
    assert (step.url, step.reach) == ("http://127.0.0.1:8080", Reach.THIS_MACHINE)


@pytest.mark.parametrize("backend", ["llama_swap", "jan", "localai", "lemonade", "gpt4all"])
def test_a_named_server_that_may_pass_prompts_on_counts_as_what_the_person_said_or_as_unknown(
    backend: str,
) -> None:
    for wishes in (ChainWishes(backend=backend), ChainWishes(fallback_chain=(backend,))):
        (step,) = plan_chain(wishes, [])
        assert (step.reach, step.as_given) == (None, False)
        origin = step.url.removesuffix("/v1").removesuffix("/api")
        said = replace(wishes, server_reach={origin: Reach.THIS_MACHINE})
        assert plan_chain(said, [])[0].reach is Reach.THIS_MACHINE


@pytest.mark.parametrize("path", ["", "/v1"])
@pytest.mark.parametrize("model", [None, "big-cloud"])
def test_a_written_address_does_not_hide_that_ollama_passes_the_model_on(
    path: str, model: str | None
) -> None:
    ollama = server("ollama", ModelInfo("big-cloud", remote=True), port=11434)
    (step,) = plan_chain(ChainWishes(base_url=ollama.url + path, model=model, mode="http"), [ollama])[:1]
    assert (step.id, step.reach, step.as_given) == ("ollama", Reach.CLOUD, True)


def test_of_two_ollamas_the_one_that_answers_and_then_the_one_that_was_given_is_taken() -> None:
    gone = replace(server("ollama", status=ServerStatus.UNREACHABLE, port=3), as_given=True)
    given = replace(server("ollama", ModelInfo("mine"), port=4), as_given=True)
    (step,) = plan_chain(ChainWishes(backend="ollama"), [gone, OLLAMA, given])
    assert step.url == given.api_base


def test_the_model_set_for_ollama_alone_is_asked_for_there() -> None:
    ollama = server("ollama", ModelInfo("warm", loaded=True), ModelInfo("mine", loaded=False), port=11434)
    own = {"ollama": {"model": "mine"}}
    for wishes in (ChainWishes(backend="ollama"), ChainWishes(fallback_chain=("ollama",)), ChainWishes()):
        (step,) = plan_chain(replace(wishes, options=lambda id_: own.get(id_, {})), [ollama])
        assert step.model == "mine"


def test_openai_is_in_the_cloud_and_has_an_address() -> None:
    (step,) = plan_chain(ChainWishes(backend="openai"), [])
    assert (step.url, step.reach) == ("https://api.openai.com/v1", Reach.CLOUD)


def test_a_written_address_comes_before_any_other_server_of_its_kind() -> None:
    other = server("openai_compatible", ModelInfo("x"), reach=None, port=5)
    wishes = ChainWishes(backend="openai_compatible", base_url="http://127.0.0.1:9/v1")
    (step,) = plan_chain(wishes, [other])
    assert step.url == "http://127.0.0.1:9/v1"
