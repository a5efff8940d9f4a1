"""The recommendation: properties that hold on every machine, and the lines the base rule draws."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.advice.machines import has_room
from whisper_desktop.advice import Purpose, get_recommended_setup, measured_in, rank, setup_steps
from whisper_desktop.advice.ranking import Confidence
from whisper_desktop.machine.figures import figures_for
from whisper_desktop.models import load
from whisper_desktop.models.graphics import judge_graphics
from whisper_desktop.models.measured import MeasuredStore, machine_key, model_key
from whisper_desktop.values import (
    GIB,
    GpuInfo,
    ModelInfo,
    Reach,
    ResourceInfo,
    ServerInfo,
    ServerStatus,
    SetupRecommendation,
)


def machine(
    ram_gib: float,
    *gpus: GpuInfo,
    os_name: str = "Windows",
    arch: str = "x86_64",
    display: bool = True,
    installed: float | None = None,
    features: tuple[str, ...] = ("avx2",),
) -> ResourceInfo:
    ram = int(ram_gib * GIB)
    return ResourceInfo(
        os_name,
        "",
        arch,
        "cpu",
        4,
        8,
        ram,
        ram // 2,
        ram_installed_bytes=int(installed * GIB) if installed else None,
        cpu_features=features,
        gpus=gpus,
        has_display=display,
    )


def card(name: str, gib: float, vendor: str = "NVIDIA") -> GpuInfo:
    return GpuInfo(vendor, name, int(gib * GIB))


def shared(name: str, gib: float, vendor: str) -> GpuInfo:
    return GpuInfo(vendor, name, int(gib * GIB), unified=True)


CATALOGUE = load()
APPLE_8, APPLE_16 = shared("Apple M1", 5.3, "Apple"), shared("Apple M4", 11.8, "Apple")
IRIS = shared("Intel Iris Xe", 7, "Intel")

# The machines of the project's reference table: what it is, what is preferred, and of which class.
MACHINES = {
    "01 Celeron 4 GB": (machine(3.8), "openrouter"),
    "02 laptop 8 GB UHD 620": (machine(7.8, shared("Intel UHD 620", 4, "Intel")), "ollama"),
    "04 MacBook Air M1 8 GB": (machine(8, APPLE_8, os_name="macOS", arch="arm64"), "ollama"),
    "05 laptop 16 GB Iris Xe": (machine(15.7, IRIS), "ollama"),
    "06 desktop 16 GB GTX 1050 Ti": (machine(15.9, card("GeForce GTX 1050 Ti", 4)), "lm_studio"),
    "07 laptop 16 GB RTX 4050": (machine(15.7, card("RTX 4050 Laptop", 6)), "lm_studio"),
    "09 desktop 32 GB RTX 3070": (machine(31.8, card("RTX 3070", 8)), "lm_studio"),
    "10 desktop 16 GB RTX 3060": (machine(15.6, card("RTX 3060", 12), os_name="Linux"), "lm_studio"),
    "14 desktop 64 GB RX 7900 XTX": (
        machine(62.7, card("RX 7900 XTX", 24, "AMD"), os_name="Linux"),
        "lm_studio",
    ),
    "18 MacBook Air M4 16 GB": (machine(16, APPLE_16, os_name="macOS", arch="arm64"), "lm_studio"),
    "23 mini PC 780M 32 GB": (machine(30, shared("Radeon 780M", 15, "AMD"), os_name="Linux"), "lm_studio"),
    "24 workstation 64 GB no GPU": (machine(62.8, os_name="Linux"), "ollama"),
    "28 Intel Mac 16 GB": (machine(16, shared("Intel Iris Plus", 1.5, "Intel"), os_name="macOS"), "ollama"),
    "headless server with a card": (
        machine(64, card("RTX 4090", 24), os_name="Linux", display=False),
        "ollama",
    ),
    "no AVX2": (machine(16, card("GTX 1060", 6), features=("sse4_2",)), "ollama"),
    "16 GB less a carve-out": (machine(13.9, card("RX 6600", 8, "AMD")), "lm_studio"),
    "just below the upper line": (machine(13.4, card("RX 6600", 8, "AMD")), "ollama"),
    "installed memory decides": (machine(13.2, card("RX 6600", 8, "AMD"), installed=16), "lm_studio"),
    "just above the lower line": (machine(6.9), "ollama"),
    "just below the lower line": (machine(6.7), "openrouter"),
}


def assert_sound(advice: SetupRecommendation, resources: ResourceInfo) -> None:
    """What holds for every recommendation: models that fit, and whole, friendly sentences."""
    offered = [*advice.recommended_models, *(other.model for other in advice.alternatives if other.model)]
    for name in offered:
        known = CATALOGUE.find(name)
        if known is not None and known.openrouter != name:
            assert has_room(known, resources), f"{name} does not fit"
    assert advice.reasons
    assert advice.steps
    assert advice.setup_url.startswith("http")
    sentences = [*advice.reasons, *advice.steps, advice.memory_note, *(a.reason for a in advice.alternatives)]
    for sentence in sentences:
        assert sentence.endswith(".")
        assert not re.search(r"\b(please|oops|sorry|error)\b", sentence, re.IGNORECASE)


@pytest.mark.parametrize("name", MACHINES)
def test_each_known_machine_gets_its_tier_with_models_that_fit(name: str) -> None:
    resources, server = MACHINES[name]
    advice = get_recommended_setup(resources, [])
    assert advice.preferred_server == server
    assert (
        advice.setup_url
        == {
            "lm_studio": "https://lmstudio.ai",
            "ollama": "https://ollama.com",
            "openrouter": "https://openrouter.ai",
        }[server]
    )
    assert_sound(advice, resources)


def test_a_large_machine_is_offered_the_classics_and_their_successors() -> None:
    advice = get_recommended_setup(machine(32, card("RTX 4090", 24)), [])
    assert {"Llama-3.1-8B-Instruct", "Mistral-7B-Instruct-v0.3", "CodeLlama-7B-Instruct"} < set(
        advice.recommended_models
    )
    assert advice.recommended_models[0] not in ("Llama-3.1-8B-Instruct", "CodeLlama-7B-Instruct")


def test_a_medium_machine_is_offered_the_classics_and_their_successors() -> None:
    advice = get_recommended_setup(machine(15.9), [])
    assert {"llama3.2:3b", "phi3:mini", "gemma:2b"} < set(advice.recommended_models)


def test_a_small_machine_is_offered_a_one_billion_model_that_works_offline() -> None:
    advice = get_recommended_setup(machine(3.8), [])
    assert any(other.server == "ollama" and "offline" in other.reason for other in advice.alternatives)


def test_the_windows_registry_trap_of_four_gigabytes_less_one_is_still_a_small_card() -> None:
    # AdapterRAM is 32 bits wide; a parser that let it through would make every card 4 GB.
    verdict = judge_graphics(machine(16, GpuInfo("NVIDIA", "RTX 3060", 4293918720)))
    assert verdict.usable is not None  # it counts, but as the 4 GB that it claims
    assert verdict.usable.total_bytes == 4293918720


@pytest.mark.parametrize(
    "gpu",
    [
        shared("Intel UHD Graphics 630", 8, "Intel"),
        shared("Intel HD Graphics 4000", 2, "Intel"),
        IRIS,
        card("NVIDIA GeForce GT 710", 4),
        card("NVIDIA GeForce GTX 950", 2),
        GpuInfo("AMD", "Radeon", None),
        shared("Radeon Vega 3", 2, "AMD"),
    ],
)
def test_a_graphics_part_that_does_not_help_is_not_counted_and_the_reason_is_given(gpu: GpuInfo) -> None:
    resources = machine(16, gpu)
    advice = get_recommended_setup(resources, [])
    assert advice.preferred_server == "ollama"
    assert any("not counted" in reason for reason in advice.reasons)


def test_a_card_of_its_own_counts_before_a_shared_one() -> None:
    verdict = judge_graphics(machine(32, shared("Radeon 780M", 20, "AMD"), card("RTX 4060", 8)))
    assert verdict.usable is not None
    assert verdict.usable.name == "RTX 4060"


# --- Servers that run -------------------------------------------------------------------------------------


def server(id_: str, name: str, *models: ModelInfo, **more: object) -> ServerInfo:
    status = more.pop("status", ServerStatus.AVAILABLE if models else ServerStatus.NO_MODELS)
    reach = more.pop("reach", Reach.THIS_MACHINE)
    return ServerInfo(id_, name, "http://127.0.0.1:1", status, models=models, reach=reach)  # type: ignore[arg-type]


def test_a_server_that_runs_with_a_model_wins_over_installing_another() -> None:
    ollama = server("ollama", "Ollama", ModelInfo("llama3.2:3b", loaded=True))
    advice = get_recommended_setup(machine(32, card("RTX 4090", 24)), [ollama])
    assert (advice.preferred_server, advice.ready_model) == ("ollama", "llama3.2:3b")


def test_a_loaded_model_wins_over_one_on_disk() -> None:
    idle = server("lm_studio", "LM Studio", ModelInfo("big", loaded=False))
    warm = server("ollama", "Ollama", ModelInfo("warm", loaded=True))
    assert get_recommended_setup(machine(16), [idle, warm]).ready_model == "warm"


def test_a_model_that_runs_elsewhere_is_no_local_model() -> None:
    cloudy = server("ollama", "Ollama", ModelInfo("gpt-oss:120b-cloud", remote=True))
    assert get_recommended_setup(machine(16), [cloudy]).ready_model is None


def test_a_model_on_disk_that_is_far_too_large_is_not_ready() -> None:
    huge = server("ollama", "Ollama", ModelInfo("llama3.3:70b", loaded=False, size_bytes=42_000_000_000))
    assert get_recommended_setup(machine(16), [huge]).ready_model is None


def test_a_server_with_only_embeddings_is_not_ready() -> None:
    embed = server("lm_studio", "LM Studio", ModelInfo("nomic", loaded=True, capabilities=("embedding",)))
    assert get_recommended_setup(machine(16), [embed]).ready_model is None


@pytest.mark.parametrize(("id_", "name"), [("lm_studio", "LM Studio"), ("ollama", "Ollama")])
def test_a_server_without_a_model_is_kept_and_its_step_is_loading_one(id_: str, name: str) -> None:
    resources = machine(16, card("RTX 3060", 12))
    advice = get_recommended_setup(resources, [server(id_, name)])
    assert advice.preferred_server == id_
    assert advice.reasons[0] == f"{name} is running but has no model yet."
    assert advice.recommended_models[0] in advice.steps[0]
    assert_sound(advice, resources)


def test_a_server_on_the_network_does_not_count_as_one_here() -> None:
    far = server("ollama", "Ollama", ModelInfo("m", loaded=True), reach=Reach.MY_NETWORK)
    assert get_recommended_setup(machine(16), [far]).ready_model is None


def test_a_server_that_may_pass_prompts_on_is_named_and_not_used() -> None:
    jan = server("jan", "Jan", ModelInfo("m", loaded=True), reach=None)
    advice = get_recommended_setup(machine(16), [jan])
    assert (advice.preferred_server, advice.ready_model) == ("ollama", None)
    assert advice.reasons[-1].startswith("Jan runs too, but it may pass prompts on")
    ollama = server("ollama", "Ollama", ModelInfo("llama3.2:3b", loaded=True))
    assert get_recommended_setup(machine(16), [jan, ollama]) == get_recommended_setup(machine(16), [ollama])


def test_a_small_machine_with_a_key_is_told_to_ask() -> None:
    cloud = server("openrouter", "OpenRouter", ModelInfo("a/b"), reach=Reach.CLOUD)
    advice = get_recommended_setup(machine(4), [cloud])
    assert advice.ready_model is not None
    assert advice.steps == ("Ask something: OpenRouter has your key.",)


# --- Models that are there already, purposes, and what was measured -----------------------------------------


def test_the_app_s_own_engine_does_not_count_as_a_program_that_runs() -> None:
    own = server("builtin", "Built-in engine")
    here = machine(16)
    assert get_recommended_setup(here, [own]).preferred_server == "ollama"
    assert rank(here, [own], CATALOGUE) == rank(here, [], CATALOGUE)


def test_of_the_models_on_disk_the_best_for_this_computer_is_used() -> None:
    held = [
        ModelInfo("qwen3.5:2b", loaded=False, size_bytes=1_280_835_840),
        ModelInfo("stranger", loaded=False, size_bytes=1_000_000_000),
        ModelInfo("qwen3.5:4b", loaded=False, size_bytes=2_740_937_888),
    ]
    advice = get_recommended_setup(machine(16), [server("ollama", "Ollama", *held)])
    assert advice.ready_model == "qwen3.5:4b"
    assert any("Qwen3.5-4B fits in memory" in reason for reason in advice.reasons)
    assert not any("to download" in reason for reason in advice.reasons)


def test_a_model_that_is_there_comes_first_in_the_ranking_under_the_program_that_has_it() -> None:
    ollama = server("ollama", "Ollama", ModelInfo("qwen3.5:2b", loaded=False))
    first, *others = rank(machine(32, card("RTX 4090", 24)), [ollama], CATALOGUE).choices
    assert (first.model.id, first.backend, first.name, first.present) == (
        "Qwen3.5-2B",
        "ollama",
        "qwen3.5:2b",
        True,
    )
    assert others
    assert not any(choice.present for choice in others)


@pytest.mark.parametrize("reach", [Reach.MY_NETWORK, Reach.CLOUD, None])
def test_a_model_that_is_elsewhere_changes_nothing_in_the_ranking(reach: Reach | None) -> None:
    far = server("ollama", "Ollama", ModelInfo("qwen3.5:2b", loaded=True), reach=reach)
    here = machine(32, card("RTX 4090", 24))
    assert rank(here, [far], CATALOGUE) == rank(here, [], CATALOGUE)


@pytest.mark.parametrize(
    ("held", "ready"),
    [
        (ModelInfo("qwen3.5:4b", loaded=True), True),
        (ModelInfo("llava", loaded=True, capabilities=("vision",)), True),
        (ModelInfo("llama3.2:3b", loaded=True), False),
    ],
)
def test_for_pictures_a_model_that_does_not_see_is_not_ready(held: ModelInfo, ready: bool) -> None:
    ollama = server("ollama", "Ollama", held)
    advice = get_recommended_setup(machine(32, card("RTX 4090", 24)), [ollama], purpose=Purpose.VISION)
    assert (advice.ready_model is not None) is ready


def test_without_a_program_the_app_s_own_engine_is_offered_beside_the_default() -> None:
    advice = get_recommended_setup(machine(32, card("RTX 4090", 24)), [])
    own = [other for other in advice.alternatives if other.server == "builtin"]
    assert len(own) == 1
    assert own[0].model == advice.recommended_models[0]
    assert "no other program" in own[0].reason
    assert "only a llama.cpp build for the graphics" in own[0].reason


@pytest.mark.parametrize(
    ("here", "takes"),
    [
        (replace(machine(16, APPLE_16, os_name="macOS", arch="arm64"), cpu_name="Apple M4"), False),
        (replace(machine(32), cpu_name="AMD Ryzen 7 7700X", cores_physical=8), False),
        (replace(machine(16, card("RTX 3060", 12)), cpu_name="AMD Ryzen 5 5600", cores_physical=6), True),
    ],
)
def test_the_app_s_own_engine_is_promised_a_card_only_with_a_build_that_uses_it(
    here: ResourceInfo, takes: bool
) -> None:
    whole = CATALOGUE.find("Qwen3.5-4B")
    assert whole is not None
    parts = replace(whole, file="m-00001-of-00002.gguf", ollama=None)
    only = replace(CATALOGUE, models=(parts,))
    own = next(
        other
        for other in get_recommended_setup(here, [], catalogue=CATALOGUE).alternatives
        if other.server == "builtin"
    )
    assert ("llama.cpp build" in own.reason) is takes
    headless = get_recommended_setup(replace(here, has_display=False), [], catalogue=only)
    assert headless.preferred_server == "builtin"
    assert ("llama.cpp build" in headless.steps[0]) is takes
    assert any("takes a llama.cpp build" in reason for reason in headless.reasons) is takes


def test_a_clearly_better_model_that_needs_another_program_is_pointed_out_once() -> None:
    known = replace(machine(24, card("RTX 3080", 10)), cpu_name="AMD Ryzen 5 5600", cores_physical=6)
    advice = get_recommended_setup(known, [])
    assert advice.preferred_server == "lm_studio"
    better, *others = advice.alternatives
    assert better.server == "builtin"
    assert better.model not in advice.recommended_models
    assert "as LM Studio cannot" in better.reason
    assert "builtin" not in [other.server for other in others]


KNOWN = replace(machine(32, card("RTX 3070", 8)), cpu_name="AMD Ryzen 7 7700X", cores_physical=8)


def test_a_model_is_there_only_for_the_program_that_has_it() -> None:
    empty = server("lm_studio", "LM Studio")
    ollama = server("ollama", "Ollama", ModelInfo("qwen3.5:2b", loaded=False))
    here = [
        (choice.backend, choice.model.id)
        for choice in rank(KNOWN, [empty, ollama], CATALOGUE).choices
        if choice.present
    ]
    assert here == [("ollama", "Qwen3.5-2B")]
    other = server("llama_cpp", "llama-server", ModelInfo("Qwen3.5-4B-Q4_K_M.gguf", loaded=True))
    assert not any(choice.present for choice in rank(KNOWN, [other], CATALOGUE).choices)
    reasons = get_recommended_setup(KNOWN, [other]).reasons
    assert reasons[1].startswith("Qwen3.5-4B fits ")
    assert not any("to download" in reason for reason in reasons)


@pytest.mark.parametrize("ram", [4, 16])
def test_a_program_that_runs_with_models_that_do_not_suit_is_not_installed_again(ram: int) -> None:
    huge = server("ollama", "Ollama", ModelInfo("llama3.3:70b", loaded=False, size_bytes=42_000_000_000))
    advice = get_recommended_setup(machine(ram), [huge])
    assert (advice.preferred_server, advice.ready_model) == ("ollama", None)
    assert advice.reasons[0] == "Ollama is running but none of its models suits chat here."
    assert advice.steps[0] == f"In a terminal, run `ollama pull {advice.recommended_models[0]}`."


def test_beside_a_model_that_is_there_a_clearly_better_one_is_offered_for_the_same_program() -> None:
    ollama = server("ollama", "Ollama", ModelInfo("qwen3.5:2b", loaded=True))
    advice = get_recommended_setup(KNOWN, [ollama])
    assert advice.ready_model == "qwen3.5:2b"
    better, smaller, *_ = advice.alternatives
    assert (better.server, better.model) == ("ollama", "qwen3.6:35b")
    assert better.reason == "Better answers, for 22.1 GB to download."
    assert smaller.reason.startswith("Smaller and faster: ")


def test_a_smaller_model_is_said_to_be_smaller_only_than_one_that_is_known() -> None:
    stranger = server("ollama", "Ollama", ModelInfo("stranger", loaded=True))
    offers = {
        name: next(other.reason for other in advice.alternatives if other.model and "LFM2.5" in other.model)
        for name, advice in (
            ("cloud", get_recommended_setup(machine(4), [])),
            ("stranger", get_recommended_setup(machine(16), [stranger])),
        )
    }
    assert offers["cloud"].startswith("It works offline: ")
    assert offers["stranger"].startswith("Small and quick: ")


@pytest.mark.parametrize(
    ("gpu", "model", "end"),
    [
        (card("RTX 4050 Laptop", 6), "Qwen3.5-4B", "LM Studio suits this computer."),
        (card("RTX 4060", 8), "Qwen3.5-9B", "usually with models of 7B to 13B."),
    ],
)
def test_the_usual_class_of_models_is_told_only_where_the_model_is_of_it(
    gpu: GpuInfo, model: str, end: str
) -> None:
    advice = get_recommended_setup(replace(KNOWN, gpus=(gpu,), ram_total_bytes=16 * GIB), [])
    assert advice.recommended_models[0] == model
    assert advice.reasons[2].endswith(end)


def test_where_the_speed_is_a_guess_a_large_download_counts_against_a_model() -> None:
    here = machine(25, os_name="Linux", display=False)
    guess = rank(here, [], CATALOGUE).choices
    assert not guess[0].speed.known
    assert guess[0].model.file_bytes < 4e9
    large = next(choice for choice in guess if choice.model.file_bytes > 12e9)
    sure = rank(here, [], CATALOGUE, figures=replace(figures_for(here, ()), source="measured")).choices
    known = next(choice for choice in sure if choice.model is large.model)
    assert known.score - large.score > 0.25 * large.model.file_bytes / 1e9


def test_lm_studio_is_not_offered_on_a_system_that_it_does_not_run_on() -> None:
    advice = get_recommended_setup(machine(32, card("RTX 4090", 24), os_name="FreeBSD"), [])
    assert advice.preferred_server == "ollama"
    assert "lm_studio" not in [other.server for other in advice.alternatives]


def test_a_limit_on_memory_is_not_called_the_computer_s() -> None:
    limited = replace(machine(4, os_name="Linux", display=False), container_limit_bytes=4 * GIB)
    note = get_recommended_setup(limited, []).memory_note
    assert note == "Programs here may use 4.3 GB of memory, a limit that was set; 2.1 GB of it is free now."


def test_a_model_in_several_files_is_not_for_ollama_unless_it_has_a_name_there() -> None:
    whole = CATALOGUE.find("Qwen3.5-4B")
    assert whole is not None
    parts = replace(whole, file="m-00001-of-00002.gguf", ollama=None)
    (choice,) = rank(machine(16), [], replace(CATALOGUE, models=(parts,))).choices
    assert choice.backend == "builtin"
    (choice,) = rank(machine(16), [], replace(CATALOGUE, models=(whole,))).choices
    assert choice.backend == "ollama"


def test_what_was_measured_takes_the_place_of_what_was_predicted_and_both_are_shown(tmp_path: Path) -> None:
    here = machine(16)
    before = {choice.model.id: choice for choice in rank(here, [], CATALOGUE).choices}
    slow = before["Qwen3.5-4B"]
    store = MeasuredStore(tmp_path / "speeds.json")
    key = model_key(slow.model.file, slow.model.file_bytes)
    store.record(key, machine_key(here), prompt=500.0, answer=60.0, predicted=9.0, mode=slow.fit.mode)
    after = rank(here, [], CATALOGUE, measured=measured_in(store, here)).choices[0]
    assert after.model.id == "Qwen3.5-4B"
    assert after.confidence is Confidence.EXACT
    assert after.speed.answer == pytest.approx(60.0)
    predicted = f"{slow.speed.answer:.0f} predicted"
    assert any(r.startswith("60 tokens/s, measured") and predicted in r for r in after.reasons)


def test_figures_that_were_measured_decide_what_is_quick_enough() -> None:
    here = machine(16)
    table = figures_for(here, ())
    slow = replace(table, host_bandwidth=2e9, source="measured")
    assert len(rank(here, [], CATALOGUE, figures=slow).choices) < len(rank(here, [], CATALOGUE).choices)


@pytest.mark.parametrize("name", ["lm_studio", "lmstudio", "ollama", "openrouter", "builtin"])
def test_each_way_has_numbered_steps(name: str) -> None:
    steps = setup_steps(name)
    assert len(steps) >= 3
    assert all(step.endswith(".") for step in steps)


gpus = st.builds(
    GpuInfo,
    vendor=st.sampled_from(["NVIDIA", "AMD", "Intel", "Apple", "other"]),
    name=st.text(max_size=20) | st.sampled_from(["RTX 4090", "Radeon 780M", "Intel UHD 620", "Apple M4"]),
    total_bytes=st.none() | st.integers(0, 200 * GIB),
    unified=st.booleans(),
)


@given(
    ram=st.floats(0.25, 1024),
    cards=st.lists(gpus, max_size=3),
    os_name=st.sampled_from(["Windows", "Linux", "macOS", "FreeBSD"]),
    arch=st.sampled_from(["x86_64", "arm64"]),
    display=st.booleans(),
)
def test_on_any_machine_the_advice_is_sound(
    ram: float, cards: list[GpuInfo], os_name: str, arch: str, display: bool
) -> None:
    resources = machine(ram, *cards, os_name=os_name, arch=arch, display=display)
    assert_sound(get_recommended_setup(resources, []), resources)
