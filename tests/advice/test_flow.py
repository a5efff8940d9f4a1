"""The setup wizard, walked through without a window."""

from dataclasses import replace

import pytest

from whisper_desktop.advice import flow
from whisper_desktop.advice.flow import FlowState, Page, SetupResult
from whisper_desktop.values import (
    Alternative,
    ConnectionReport,
    ModelInfo,
    Reach,
    ServerInfo,
    ServerStatus,
    SetupRecommendation,
)

READY = ServerInfo(
    "ollama",
    "Ollama",
    "http://127.0.0.1:11434",
    ServerStatus.AVAILABLE,
    models=(ModelInfo("llama3.2:3b", loaded=True),),
    reach=Reach.THIS_MACHINE,
)
ADVICE = SetupRecommendation(
    preferred_server="ollama",
    recommended_models=("llama3.2:3b",),
    setup_url="https://ollama.com",
    memory_note="",
    reasons=("It fits.",),
    steps=("Install it.",),
    alternatives=(
        Alternative("openrouter", None, "The cloud."),
        Alternative("guide", None, "The guide."),
    ),
)
GOOD = ConnectionReport(True, "Ollama answers.")
BAD = ConnectionReport(False, "Ollama did not answer.")


def fresh() -> FlowState:
    return flow.recommended(flow.forward(FlowState()), ADVICE)


def pick(state: FlowState, backend: str) -> FlowState:
    return flow.choose(state, next(option for option in flow.options(state) if option.backend == backend))


def test_nothing_can_be_continued_before_there_is_a_recommendation() -> None:
    found = flow.forward(FlowState())
    assert found.page is Page.FOUND
    assert flow.forward(found) == found
    assert flow.result(FlowState()) == SetupResult(None, skipped=True)


def test_the_recommendation_is_chosen_and_listed_first_and_the_guide_last_and_once() -> None:
    state = fresh()
    options = flow.options(state)
    assert state.choice == options[0]
    assert options[0].recommended
    assert [option.backend for option in options] == ["ollama", "openrouter", "guide"]


def test_a_server_that_must_be_installed_is_waited_for_and_noticed() -> None:
    state = flow.forward(fresh())
    assert state.page is Page.DO
    assert flow.forward(state).page is Page.DO
    state = flow.servers_found(state, [READY], scanning=False)
    state = flow.forward(state)
    assert state.page is Page.TEST


def test_a_server_that_is_ready_needs_no_steps() -> None:
    assert flow.forward(flow.servers_found(fresh(), [READY], scanning=False)).page is Page.TEST


def test_the_test_must_pass_and_can_be_repeated() -> None:
    state = flow.forward(flow.servers_found(fresh(), [READY], scanning=False))
    assert flow.forward(state).page is Page.TEST
    assert flow.forward(flow.tested(state, BAD)).page is Page.TEST
    asked = flow.forward(flow.tested(flow.tested(state, BAD), GOOD))
    assert asked.page is Page.PRIVACY
    done = flow.forward(asked)
    assert done.page is Page.DONE
    assert flow.result(done) == SetupResult("ollama", "llama3.2:3b", Reach.THIS_MACHINE)


def test_the_cloud_needs_its_key_and_widens_the_reach() -> None:
    state = flow.forward(pick(fresh(), "openrouter"))
    assert state.page is Page.DO
    assert not flow.can_continue(state)
    state = flow.tested(flow.forward(flow.key_stored(state)), GOOD)
    assert flow.reach_of(flow.forward(state)) is Reach.CLOUD
    assert flow.result(flow.forward(flow.forward(state))) == SetupResult("openrouter", None, Reach.CLOUD)


def test_going_back_loses_nothing() -> None:
    there = flow.forward(pick(fresh(), "openrouter"))
    back = flow.back(there)
    assert back == pick(fresh(), "openrouter")
    assert flow.forward(back) == there
    assert flow.back(FlowState()) == FlowState()


def test_what_the_person_chose_stays_when_news_arrive() -> None:
    state = pick(fresh(), "guide")
    state = flow.servers_found(state, [READY], scanning=False)
    state = flow.recommended(state, replace(ADVICE, preferred_server="lm_studio"))
    assert state.choice is not None
    assert state.choice.backend == "guide"


def test_choosing_another_backend_forgets_the_test_of_the_first() -> None:
    state = flow.tested(fresh(), GOOD)
    assert pick(state, "openrouter").test is None
    assert pick(state, "ollama").test == GOOD


@pytest.mark.parametrize("backend", ["ollama", "openrouter", "guide"])
def test_leaving_early_decides_nothing(backend: str) -> None:
    state = pick(fresh(), backend)
    assert flow.result(state) == SetupResult(None, skipped=True)
    assert flow.result(flow.forward(state)) == SetupResult(None, skipped=True)


def test_the_guide_is_ready_at_once_and_is_never_written_as_a_backend() -> None:
    state = flow.forward(pick(fresh(), "guide"))
    assert state.page is Page.TEST
    assert flow.result(flow.forward(flow.tested(state, GOOD))) == SetupResult(None)


def test_the_cloud_with_a_key_still_asks_which_model() -> None:
    state = flow.key_stored(pick(fresh(), "openrouter"))
    assert flow.forward(state).page is Page.DO
    assert state.choice is not None
    chosen = flow.choose(state, replace(state.choice, model="openrouter/auto"))
    assert flow.forward(chosen).page is Page.TEST


def test_a_server_with_another_model_is_not_ready_but_can_stand_in() -> None:
    other = replace(READY, models=(ModelInfo("mistral:7b"), ModelInfo("nomic", capabilities=("embedding",))))
    state = flow.servers_found(fresh(), [other], scanning=False)
    assert not flow.is_ready(state)
    assert flow.stand_in(state) == "mistral:7b"
    instead = flow.use_instead(state)
    assert flow.is_ready(instead)
    assert instead.choice is not None
    assert (instead.choice.model, instead.choice.title) == ("mistral:7b", "mistral:7b on Ollama")


@pytest.mark.parametrize(
    ("backend", "wanted", "has"),
    [
        ("lm_studio", "Qwen3.5-4B", "qwen/qwen3.5-4b"),
        ("lm_studio", "Qwen3.5-4B", "qwen3.5-4b-gguf"),
        ("ollama", "phi3", "phi3:latest"),
        ("builtin", "Qwen3.5-4B", "Qwen3.5-4B-Q4_K_M"),
    ],
)
def test_a_model_is_known_by_the_name_its_server_has_for_it(backend: str, wanted: str, has: str) -> None:
    advice = replace(ADVICE, preferred_server=backend, recommended_models=(wanted,))
    server = replace(READY, id=backend, models=(ModelInfo("other"), ModelInfo(has)))
    state = flow.servers_found(flow.recommended(flow.forward(FlowState()), advice), [server], scanning=False)
    state = flow.forward(state)
    assert state.page is Page.TEST
    assert state.choice is not None
    assert state.choice.model == has


def test_the_built_in_engine_with_an_older_model_still_fetches_the_chosen_one() -> None:
    advice = replace(ADVICE, preferred_server="builtin", recommended_models=("Qwen3.5-4B",))
    server = replace(READY, id="builtin", models=(ModelInfo("Qwen3.5-40B-Q4_K_M"),))
    state = flow.servers_found(flow.recommended(flow.forward(FlowState()), advice), [server], scanning=False)
    assert flow.forward(state).page is Page.DO


def at_privacy(backend: str = "ollama") -> FlowState:
    state = flow.servers_found(flow.key_stored(pick(fresh(), backend)), [READY], scanning=False)
    while state.page is not Page.PRIVACY:
        state = flow.forward(flow.tested(state, GOOD))
    return state


def test_prompts_stay_on_this_computer_unless_the_person_says_otherwise() -> None:
    assert flow.reach_of(at_privacy()) is Reach.THIS_MACHINE
    widened = flow.may_travel(at_privacy(), Reach.MY_NETWORK)
    assert flow.result(flow.forward(widened)).reach is Reach.MY_NETWORK
    narrowed = flow.may_travel(at_privacy("openrouter"), Reach.THIS_MACHINE)
    assert flow.result(flow.forward(narrowed)).reach is Reach.THIS_MACHINE


def test_another_backend_asks_anew_how_far_prompts_may_go() -> None:
    widened = flow.may_travel(pick(fresh(), "openrouter"), Reach.CLOUD)
    assert flow.reach_of(pick(widened, "ollama")) is Reach.THIS_MACHINE


def test_starting_with_the_computer_is_asked_only_where_it_can_be_and_is_off_at_first() -> None:
    assert flow.result(flow.forward(at_privacy())).start_with_computer is None
    asked = flow.forward(flow.start_possible(at_privacy(), is_on=False))
    assert asked.page is Page.START
    assert flow.result(flow.forward(asked)).start_with_computer is False
    wanted = flow.start_with(asked, True)
    assert flow.result(flow.forward(wanted)).start_with_computer is True
    assert flow.back(wanted).page is Page.PRIVACY


def test_what_was_begun_before_is_taken_up_unless_the_person_chooses() -> None:
    assert flow.took_up(fresh(), "openrouter", None).choice == flow.options(fresh())[1]
    assert flow.took_up(fresh(), "builtin", "unheard-of") == fresh()
    chosen = pick(fresh(), "guide")
    assert flow.took_up(chosen, "openrouter", None) == chosen
