"""Whether a model fits, as an estimate and in words, on computers that are described."""

from dataclasses import replace

import pytest

from whisper_desktop.app.model_fit import Estimate, Subject, corrected_by, estimate
from whisper_desktop.app.model_fit_words import headline, sentences
from whisper_desktop.machine.figures import figures_for
from whisper_desktop.models.catalogue import load
from whisper_desktop.models.fit import best_fit, budget_for
from whisper_desktop.models.graphics import judge_graphics
from whisper_desktop.models.memory import Part
from whisper_desktop.models.speed import Speed
from whisper_desktop.values import GIB, GpuInfo, ResourceInfo

CATALOGUE = load()


def _computer(ram_gib: float, *cards_gib: float, free_gib: float | None = None) -> ResourceInfo:
    free = ram_gib * 0.8 if free_gib is None else free_gib
    cards = tuple(
        GpuInfo("NVIDIA", "NVIDIA GeForce RTX 4070", int(size * GIB), int(size * 0.9 * GIB))
        for size in cards_gib
    )
    return ResourceInfo(
        "Linux", "6.8", "x86_64", "AMD Ryzen 7 5800X", 8, 16, int(ram_gib * GIB), int(free * GIB), gpus=cards
    )


def _told(
    name: str, computer: ResourceInfo, n_ctx: int | None = None, speed: Speed | None = None
) -> Estimate:
    model = CATALOGUE.find(name)
    assert model is not None
    figures = figures_for(computer, judge_graphics(computer).gpus)
    subject = Subject(model.id, model.shape, "catalogue", file=model.file)
    return estimate(subject, computer, figures, lambda _mode: speed, n_ctx=n_ctx)


def test_it_is_the_same_search_as_the_advice_and_the_engine_use() -> None:
    computer = _computer(32, 12)
    told = _told("Qwen3-8B", computer)
    assert told.fit is not None
    assert told.fit == best_fit(told.subject.shape, budget_for(computer), computer)
    assert told.mode == "gpu"
    assert headline(told).startswith("Qwen3-8B fits on the graphics card with ")
    assert "to spare at" in headline(told)


def test_the_spare_memory_is_what_the_budget_leaves() -> None:
    told = _told("Qwen3-4B-Instruct-2507", _computer(16), 4096)
    assert told.fit is not None
    assert told.fit.spare_bytes == told.budget.host - told.need.host.total
    assert f"{told.fit.spare_bytes / 1e9:.1f} GB to spare at 4,096 tokens" in headline(told)


@pytest.mark.parametrize(
    ("name", "computer", "flag"),
    [
        ("Qwen3-8B", _computer(32, 12), "-ngl 37"),
        ("Qwen3-Coder-30B-A3B-Instruct", _computer(64, 12), "--n-cpu-moe "),
        ("Qwen3-14B", _computer(64, 8, 8), "--tensor-split "),
    ],
)
def test_an_expert_finds_the_flags(name: str, computer: ResourceInfo, flag: str) -> None:
    told = _told(name, computer)
    assert told.flags[0] == f"-c {told.context}"
    assert any(each.startswith(flag) for each in told.flags), told.flags


def test_what_is_missing_is_said_and_would_be_enough() -> None:
    told = _told("gpt-oss-120b", _computer(32))
    assert told.fit is None
    assert told.shortfall is not None
    assert told.speed is None
    assert f"{told.shortfall.missing_bytes / 1e9:.1f} GB more memory would be needed" in headline(told)
    more = replace(told.budget, host=told.budget.host + told.shortfall.missing_bytes)
    assert more.host >= told.need.host.total


def test_where_a_shorter_context_would_fit_that_is_said_and_true() -> None:
    computer = _computer(8)
    told = _told("Qwen3-4B-Instruct-2507", computer, 65536)
    assert told.fit is None
    assert told.largest
    assert f"With {told.largest:,} tokens of context or less it would fit." in sentences(told)
    assert _told("Qwen3-4B-Instruct-2507", computer, told.largest).fit is not None
    assert _told("Qwen3-4B-Instruct-2507", computer, told.largest + 256).fit is None


def test_the_longest_context_is_exact() -> None:
    computer = _computer(16)
    told = _told("Qwen3-8B", computer, 4096)
    assert told.largest
    assert f"{told.largest:,} tokens." in " ".join(sentences(told))
    assert _told("Qwen3-8B", computer, told.largest).fit is not None
    assert _told("Qwen3-8B", computer, told.largest + 256).fit is None


def test_a_card_that_would_hold_all_of_it_is_named() -> None:
    none = _told("Qwen3-8B", _computer(32), 8192)
    assert any(each.startswith("A graphics card with ") for each in sentences(none))
    small = _told("Qwen3-14B", _computer(32, 8), 8192)
    assert small.mode == "partial"
    assert any("more on the graphics card, all of it would lie there" in each for each in sentences(small))
    whole = _told("Qwen3-8B", _computer(32, 24), 8192)
    assert not any("graphics card" in each for each in sentences(whole))


def test_memory_that_others_use_now_is_mentioned() -> None:
    told = _told("Qwen3-8B", _computer(32, free_gib=2), 8192)
    assert any("are free at the moment" in each for each in sentences(told))
    assert not any("at the moment" in each for each in sentences(_told("Qwen3-8B", _computer(32), 8192)))


def test_speed_is_a_range_until_it_was_measured() -> None:
    predicted = _told("Qwen3-8B", _computer(32, 12))
    assert predicted.speed is not None
    assert any("tokens/s (" in each and "by tables" in each for each in sentences(predicted))
    measured = _told("Qwen3-8B", _computer(32, 12), speed=Speed(None, 31.0, 26.0, 36.0, "measured"))
    assert measured.speed is not None
    assert measured.speed.predicted == predicted.speed.answer
    assert measured.speed.prompt == predicted.speed.prompt
    assert any(each.startswith("It writes 31 tokens/s measured, ") for each in sentences(measured))


def test_an_engine_s_own_word_counts_also_where_it_is_worse() -> None:
    told = _told("Qwen3-4B-Instruct-2507", _computer(16), 4096)
    close = corrected_by(
        told, replace(told.need, host=replace(told.need.host, compute=5)), "llama-fit-params"
    )
    assert close.fit is not None
    assert close.fit.need == close.need
    assert "checked with llama-server's own planner" in sentences(close)[-1]
    more = replace(told.need, host=Part(weights=told.budget.host + 10**9))
    worse = corrected_by(told, more, "builtin")
    assert worse.fit is None
    assert worse.shortfall is not None
    assert worse.shortfall.missing_bytes == 10**9
    assert "1.0 GB more memory would be needed" in headline(worse)


def test_words_name_where_the_figures_come_from() -> None:
    told = _told("Qwen3-8B", _computer(32))
    assert "from the catalogue" in sentences(told)[-1]
    remote = replace(told, subject=replace(told.subject, known_from="header"))
    assert "only the beginning was fetched" in sentences(remote)[-1]
