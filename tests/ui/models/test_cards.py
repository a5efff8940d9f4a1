"""Recommended models and search results as values: what a card says, and the ways to get a model."""

import pytest

from tests.ui.test_wizard import MACHINE
from whisper_desktop.advice import Purpose, rank
from whisper_desktop.app.model_host import Found
from whisper_desktop.models.catalogue import load
from whisper_desktop.models.catalogue_search import Candidate
from whisper_desktop.models.hub_answers import HubModel
from whisper_desktop.ui.models.choice_cards import choice_card, memory_of, ways
from whisper_desktop.ui.models.found_cards import forms, found_cards, names_one, names_repository

CHOICES = rank(MACHINE, (), load(), purpose=Purpose.CHAT).choices


@pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: choice.model.id)
def test_the_parts_of_the_bar_add_up_to_the_need_and_stay_within_the_budget(choice: object) -> None:
    memory = memory_of(choice.fit)  # type: ignore[attr-defined]
    assert sum(size for _, size in memory.parts) == memory.need
    assert memory.need <= memory.budget


def test_a_card_has_every_reason_once() -> None:
    choice = CHOICES[0]
    card = choice_card(choice, ())
    assert len(card.reasons) + len(card.more) == len(choice.reasons)
    assert card.reasons[0].startswith("Fits ")
    assert choice.model.licence in card.facts


def test_an_older_model_says_so() -> None:
    older = [choice_card(each, ()).badge for each in CHOICES if each.model.older]
    newer = [choice_card(each, ()).badge for each in CHOICES if not each.model.older]
    assert set(newer) == {""}
    assert set(older) <= {"older"}


def test_a_model_can_be_fetched_by_the_programs_that_run() -> None:
    model = next(each for each in load() if each.ollama and each.lm_studio)
    assert [way.source for way in ways(model, ())] == [model.id]
    sources = [way.source for way in ways(model, {"ollama", "lm_studio"})]
    assert sources == [model.id, f"ollama:{model.ollama_name}", f"lmstudio:{model.lm_studio}"]


@pytest.mark.parametrize(
    ("text", "one", "repository"),
    [
        ("qwen coder", False, False),
        ("Qwen/Qwen3-4B-GGUF", False, True),
        ("Qwen/Qwen3-4B-GGUF/model-Q4_K_M.gguf", True, False),
        ("Qwen/Qwen3-4B-GGUF:Q4_K_M", True, False),
        ("https://example.org/model.gguf", True, False),
        ("ollama:qwen3:4b", True, False),
        ("lmstudio:qwen/qwen3-4b", True, False),
        ("qwen3-4b", False, False),
    ],
)
def test_what_names_a_model_is_not_searched_for(text: str, one: bool, repository: bool) -> None:
    assert (names_one(text), names_repository(text)) == (one, repository)


def test_what_we_know_comes_before_what_the_hub_has() -> None:
    known = load()[0]
    cards = found_cards(Found((known,), (HubModel("o/m", downloads=12_345, gated=True),)))
    assert [card.title for card in cards] == [known.id, "o/m"]
    assert cards[0].forms[0].source == known.id
    assert not cards[1].forms
    assert "12,345 downloads" in cards[1].facts
    assert "licence" in cards[1].facts


def test_a_form_names_its_file() -> None:
    (form,) = forms([Candidate("o/m", "m-Q4_K_M.gguf", ("m-Q4_K_M.gguf",), 2_700_000_000, "Q4_K_M")])
    assert (form.title, form.source) == ("Q4_K_M, 2.7 GB", "o/m/m-Q4_K_M.gguf")
