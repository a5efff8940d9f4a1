"""The machines of the reference table: what holds for each, whatever the best model of the season is."""

import re
from dataclasses import replace
from functools import cache

import pytest

from tests.advice.machines import Machine, has_room, machines
from whisper_desktop.advice import Choice, Purpose, Ranking, get_recommended_setup, rank
from whisper_desktop.advice.purposes import WISHES
from whisper_desktop.advice.ranking import Confidence
from whisper_desktop.models.catalogue import CatalogueModel, load
from whisper_desktop.values import GIB, GpuInfo

CATALOGUE = load()
FLOOR = 6.0  # tokens a second


@cache
def ranked(machine: Machine, purpose: Purpose = Purpose.CHAT) -> Ranking:
    return rank(machine.resources, (), CATALOGUE, purpose=purpose)


def assert_possible(choice: Choice) -> None:
    """It fits, its program can place it so, and it is quick enough."""
    assert choice.fit.budget.holds(choice.fit.need), choice.model.id
    assert choice.fit.spare_bytes >= 0
    assert choice.fit.context <= choice.model.train_ctx
    if choice.backend == "lm_studio":
        assert choice.fit.placement.experts_on_host == 0, (
            f"LM Studio cannot keep experts of {choice.model.id}"
        )
        assert choice.fit.mode != "cpu" or not choice.fit.budget.gpu_bytes
    if choice.backend == "ollama":
        assert choice.model.pulls_with_ollama
    assert choice.speed.answer is not None
    assert choice.speed.answer >= FLOOR
    assert choice.speed.low <= choice.speed.answer <= choice.speed.high
    for sentence in choice.reasons:
        assert sentence.endswith("."), sentence


@pytest.mark.parametrize("id_", machines())
def test_each_machine_gets_its_program_and_one_of_the_models_that_suit_it(id_: str) -> None:
    machine = machines()[id_]
    advice = get_recommended_setup(machine.resources, ())
    assert advice.preferred_server == machine.program
    remarks = [reason for reason in advice.reasons if "not counted" in reason]
    assert not machine.not_counted or any(machine.not_counted in remark for remark in remarks)
    if machine.offline:
        assert any(other.model and "offline" in other.reason for other in advice.alternatives)
    if not machine.models:
        return
    first = ranked(machine).choices[0]
    assert first.model.id in machine.models
    assert first.backend == machine.program
    assert first.fit.mode in machine.modes
    assert advice.recommended_models[0] in (first.model.id, first.model.ollama_name)
    assert advice.reasons[:2] == first.reasons[:2]


@pytest.mark.parametrize("purpose", Purpose)
@pytest.mark.parametrize("id_", machines())
def test_whatever_is_offered_fits_runs_in_its_program_and_is_quick(id_: str, purpose: Purpose) -> None:
    ranking = ranked(machines()[id_], purpose)
    for choice in ranking.choices:
        assert_possible(choice)
        assert choice.answer_seconds <= WISHES[purpose].limit
    offered = [choice.model.id for choice in ranking.choices]
    refused = [model.id for model, _ in ranking.rejected]
    assert sorted([*offered, *refused]) == sorted(model.id for model in CATALOGUE), "each model once"
    scores = [choice.score for choice in ranking.choices[1:]]
    assert scores == sorted(scores, reverse=True)
    for sentence in (*ranking.changes, *(sentence for _, sentence in ranking.rejected)):
        assert sentence.endswith("."), sentence


@pytest.mark.parametrize("id_", machines())
def test_what_is_refused_for_its_size_does_not_fit_and_the_rest_is_refused_for_something_else(
    id_: str,
) -> None:
    machine = machines()[id_]
    for model, sentence in ranked(machine).rejected:
        too_large = sentence.startswith("Too large: ")
        assert has_room(model, machine.resources) is not too_large, (model.id, sentence)


# --- Reasons -----------------------------------------------------------------------------------------------


def test_a_choice_says_its_room_its_speed_with_a_range_and_why_this_file() -> None:
    first = ranked(machines()["07"]).choices[0]
    room, speed = first.reasons[:2]
    spare = f"{first.fit.spare_bytes / 1e9:.1f} GB"
    assert (
        f"{first.model.id} fits on the graphics card with {spare} to spare at {first.fit.context:,} tokens"
        in room
    )
    assert re.fullmatch(
        r"About \d+ tokens/s \(\d+ to \d+\), predicted: a usual answer takes (about )?\d+ s\.", speed
    )
    assert any(sentence.startswith(f"{first.model.quant} because ") for sentence in first.reasons)
    assert any(sentence.startswith("Licence: ") for sentence in first.reasons)
    assert any(sentence.startswith("Quality ") and "2026-10" in sentence for sentence in first.reasons)


def test_a_mixture_whose_experts_stay_in_memory_is_never_for_lm_studio_and_says_why() -> None:
    kept = [
        choice
        for machine in machines().values()
        if machine.program == "lm_studio"
        for choice in ranked(machine).choices
        if choice.fit.mode == "experts"
    ]
    assert kept, "no machine of the table has such a choice any more"
    for choice in kept:
        assert choice.backend != "lm_studio"
        assert any(sentence.startswith("LM Studio cannot be told") for sentence in choice.reasons)


def test_a_computer_of_known_parts_is_certain_by_formula_and_one_of_unknown_parts_is_a_guess() -> None:
    assert ranked(machines()["15"]).choices[0].confidence is Confidence.FORMULA
    guessed = ranked(machines()["old card"]).choices[0]
    assert guessed.confidence is Confidence.GUESSED
    assert any("is a guess" in sentence for sentence in guessed.reasons)
    assert ", a guess: " in guessed.reasons[1]
    slow = [why for _, why in ranked(machines()["old card"]).rejected if why.startswith("Fits, but ")]
    assert slow
    assert all(why.endswith("(a guess).") for why in slow)


def test_several_cards_are_not_called_one() -> None:
    first = ranked(machines()["two cards"]).choices[0]
    assert "fits on the graphics cards with" in first.reasons[0]


# --- What would change the answer --------------------------------------------------------------------------

_CHANGE = re.compile(
    r"With (\d+) GB (more memory|on the graphics card), (\S+) would (fit|be the better choice)\."
)


@pytest.mark.parametrize("id_", machines())
def test_what_would_change_the_answer_does(id_: str) -> None:
    machine = machines()[id_]
    before = ranked(machine)
    for sentence in before.changes:
        found = _CHANGE.fullmatch(sentence)
        assert found, sentence
        size, what, name = int(found[1]) * GIB, found[2], found[3]
        assert what != "more memory" or size <= 2 * machine.resources.ram_total_bytes, "hardly possible"
        larger = _with(machine, memory=size) if what == "more memory" else _with(machine, card=size)
        after = rank(larger.resources, (), CATALOGUE)
        gained = {choice.model.id: choice for choice in after.choices}[name]
        assert gained.score > max(choice.score for choice in before.choices)
        assert has_room(gained.model, machine.resources) is not sentence.endswith("would fit.")


def _with(machine: Machine, *, memory: int = 0, card: int = 0) -> Machine:
    gpus = [_grown(gpu, memory, card) for gpu in machine.resources.gpus]
    ram = machine.resources.ram_total_bytes + memory
    return replace(machine, resources=replace(machine.resources, ram_total_bytes=ram, gpus=tuple(gpus)))


def _grown(gpu: GpuInfo, memory: int, card: int) -> GpuInfo:
    if gpu.unified:
        return replace(gpu, total_bytes=(gpu.total_bytes or 0) + 2 * memory // 3)
    return replace(gpu, total_bytes=card or gpu.total_bytes)


# --- Purposes ----------------------------------------------------------------------------------------------


def best(id_: str, purpose: Purpose) -> tuple[Choice, CatalogueModel]:
    first = ranked(machines()[id_], purpose).choices[0]
    return first, first.model


def test_for_code_a_model_that_is_made_for_it_with_a_long_context_comes_first() -> None:
    choice, model = best("15", Purpose.CODE)
    assert "code" in model.purposes
    assert choice.fit.context >= 32768
    for machine in machines().values():
        ranking = ranked(machine, Purpose.CODE)
        assert all("code" in choice.model.purposes for choice in ranking.choices)
        refused = {model.id: sentence for model, sentence in ranking.rejected}
        assert refused["LFM2.5-1.2B-Instruct"] == "It is not one of those that write programs well."


def test_for_long_documents_64k_of_context_is_the_least() -> None:
    ranking = ranked(machines()["15"], Purpose.LONG)
    assert min(choice.fit.context for choice in ranking.choices) >= 65536
    refused = {model.id: sentence for model, sentence in ranking.rejected}
    assert refused["Qwen3-8B"].startswith("It remembers at most 40,960 tokens")


def test_for_pictures_only_models_that_see_are_offered_with_room_for_the_part_that_sees() -> None:
    ranking = ranked(machines()["07"], Purpose.VISION)
    assert all(choice.model.vision for choice in ranking.choices)
    room = {choice.fit.budget.gpu_bytes for choice in ranking.choices}
    assert room == {ranking.budget.gpu_bytes - 1_000_000_000}
    assert "and for the part that sees)" in ranking.choices[0].fit.budget.gpu_words


def test_for_the_least_memory_a_smaller_model_is_taken_than_for_chat() -> None:
    for id_ in ("05", "15", "18"):
        small, chat = best(id_, Purpose.SMALL)[0], best(id_, Purpose.CHAT)[0]
        assert small.fit.need.total < chat.fit.need.total / 1.5
        assert small.fit.need.total < 2.5e9
