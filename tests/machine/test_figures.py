"""Figures by the names of parts: what the tables know, what is guessed, and that it is said which."""

import pytest

from whisper_desktop.machine.figures import figures_for, gpu_figures
from whisper_desktop.values import GIB, GpuInfo, ResourceInfo

GB = 1e9


def gpu(name: str, vendor: str = "NVIDIA", *, unified: bool = False) -> GpuInfo:
    return GpuInfo(vendor, name, 8 * GIB, unified=unified)


def computer(
    cpu: str = "", cores: int = 8, *gpus: GpuInfo, features: tuple[str, ...] = ("avx2",)
) -> ResourceInfo:
    return ResourceInfo(
        "Linux", "", "x86_64", cpu, cores, cores, 16 * GIB, 8 * GIB, cpu_features=features, gpus=gpus
    )


@pytest.mark.parametrize(
    ("card", "bandwidth"),
    [
        (gpu("NVIDIA GeForce RTX 4060 Ti"), 288),
        (gpu("NVIDIA GeForce RTX 4060"), 272),
        (gpu("NVIDIA GeForce RTX 4060 Laptop GPU"), 256),
        (gpu("NVIDIA GeForce RTX 4070 Ti SUPER"), 672),
        (gpu("NVIDIA H100 PCIe"), 2039),
        (gpu("NVIDIA GB10", unified=True), 273),
        (gpu("Tesla T4"), 320),
        (gpu("AMD Radeon RX 7900 XTX", "AMD"), 960),
        (gpu("AMD Radeon 780M Graphics", "AMD", unified=True), 90),
        (gpu("Strix Halo [Radeon 8060S]", "AMD", unified=True), 256),
        (gpu("Intel(R) Arc(TM) A770 Graphics", "Intel"), 560),
        (gpu("Apple M1", "Apple", unified=True), 68),
        (gpu("Apple M4 Pro", "Apple", unified=True), 273),
    ],
    ids=lambda value: value.name if isinstance(value, GpuInfo) else "",
)
def test_a_card_is_known_by_its_name_as_systems_write_it(card: GpuInfo, bandwidth: float) -> None:
    figures = gpu_figures(card)
    assert (figures.bandwidth, figures.source) == (bandwidth * GB, "table")
    assert (figures.name, figures.unified) == (card.name, card.unified)


def test_a_portable_card_without_an_entry_is_not_taken_for_the_desktop_card() -> None:
    figures = gpu_figures(gpu("NVIDIA GeForce RTX 2080 with Max-Q Design"))
    assert figures.source == "guess"
    assert figures.bandwidth < gpu_figures(gpu("NVIDIA GeForce RTX 2080")).bandwidth


@pytest.mark.parametrize("vendor", ["NVIDIA", "AMD", "Intel", "Apple", "Somebody"])
@pytest.mark.parametrize("unified", [True, False])
def test_a_card_of_no_table_is_a_guess_by_its_maker(vendor: str, unified: bool) -> None:
    figures = gpu_figures(gpu("Something 9999", vendor, unified=unified))
    assert figures.source == "guess"
    assert figures.bandwidth > 0
    assert figures.compute > 0


def test_a_name_inside_another_word_is_not_a_match() -> None:
    assert gpu_figures(gpu("NVIDIA RTX 40900")).source == "guess"
    assert gpu_figures(gpu("x" * 100_000)).source == "guess"


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("AMD Ryzen 7 7840HS w/ Radeon 780M Graphics", 89.6),
        ("AMD Ryzen 5 5600X 6-Core Processor", 51.2),
        ("AMD Ryzen 9 9950X 16-Core Processor", 89.6),
        ("AMD Ryzen AI 9 HX 370 w/ Radeon 890M", 120),
        ("AMD RYZEN AI MAX+ 395 w/ Radeon 8060S", 256),
        ("Intel(R) Core(TM) i5-8400 CPU @ 2.80GHz", 42.7),
        ("11th Gen Intel(R) Core(TM) i7-1165G7 @ 2.80GHz", 51.2),
        ("12th Gen Intel(R) Core(TM) i5-12400F", 76.8),
        ("Intel(R) Core(TM) Ultra 7 155H", 89.6),
        ("Intel(R) Core(TM) Ultra 7 258V", 136.5),
        ("Intel(R) N100", 21.3),
        ("Apple M4 Pro", 273),
    ],
)
def test_a_processor_is_known_by_its_name(name: str, peak: float) -> None:
    figures = figures_for(computer(name, 32))
    assert figures.host_bandwidth == pytest.approx(0.62 * peak * GB)
    assert figures.source == "table"


def test_an_unknown_processor_is_a_guess_and_a_slow_one() -> None:
    figures = figures_for(computer("AMD EPYC", 32))
    assert (figures.host_bandwidth, figures.source) == (28 * GB, "guess")


def test_few_cores_do_not_use_all_of_the_memory() -> None:
    few, many = (figures_for(computer("AMD Ryzen 7 7840HS", cores)) for cores in (2, 8))
    assert few.host_bandwidth < many.host_bandwidth / 2
    assert few.host_compute == pytest.approx(many.host_compute / 4)
    assert figures_for(computer("AMD EPYC", 0)).host_bandwidth > 0


def test_a_processor_without_its_fast_paths_reads_prompts_slower() -> None:
    old = figures_for(computer("Some CPU", 4, features=("sse4_2",)))
    unknown = figures_for(computer("Some CPU", 4, features=()))
    assert old.host_compute < unknown.host_compute == figures_for(computer("Some CPU", 4)).host_compute


def test_only_the_cards_that_count_are_told_in_their_order() -> None:
    cards = (gpu("NVIDIA GeForce RTX 3060"), gpu("NVIDIA GeForce RTX 4090"), gpu("UHD 620", "Intel"))
    resources = computer("", 8, *cards)
    assert [each.name for each in figures_for(resources).gpus] == [each.name for each in cards]
    assert [each.bandwidth / GB for each in figures_for(resources, (cards[1], cards[0])).gpus] == [1008, 360]
