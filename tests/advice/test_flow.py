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
    return flow.recommended(FlowState(), ADVICE)


def pick(state: FlowState, backend: str) -> FlowState:
    return flow.choose(state, next(option for option in flow.options(state) if option.backend == backend))


def test_nothing_can_be_continued_before_there_is_a_recommendation() -> None:
    assert flow.forward(FlowState()) == FlowState()
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
    done = flow.forward(flow.tested(flow.tested(state, BAD), GOOD))
    assert done.page is Page.DONE
    assert flow.result(done) == SetupResult("ollama", "llama3.2:3b", Reach.THIS_MACHINE)


def test_the_cloud_needs_its_key_and_widens_the_reach() -> None:
    state = flow.forward(pick(fresh(), "openrouter"))
    assert state.page is Page.DO
    assert not flow.can_continue(state)
    state = flow.tested(flow.forward(flow.key_stored(state)), GOOD)
    assert flow.result(flow.forward(state)) == SetupResult("openrouter", None, Reach.CLOUD)


def test_going_back_loses_nothing() -> None:
    there = flow.forward(pick(fresh(), "openrouter"))
    back = flow.back(there)
    assert replace(back, came_from=()) == replace(pick(fresh(), "openrouter"), came_from=())
    assert flow.forward(back) == there
    assert flow.back(fresh()) == fresh()


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
