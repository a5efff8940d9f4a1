"""How fast a model should be: against speeds that people measured, and by what has to make a difference."""

from dataclasses import replace

import pytest

from whisper_desktop.machine.figures import GpuFigures, MachineFigures, figures_for
from whisper_desktop.models.memory import Placement
from whisper_desktop.models.shape import KvGroup, LayerShape, ModelShape, Weights
from whisper_desktop.models.speed import Speed, predict
from whisper_desktop.values import GIB, GpuInfo, ResourceInfo

LAYER = 100_000_000


def model(
    layers: int,
    active: float,
    *,
    experts: float = 0.0,
    used: float = 1.0,
    hybrid: bool = False,
    output: float = 0.06,
) -> ModelShape:
    """A model in gigabytes: `active` is what a token reads, with its share `used` of the `experts`."""
    dense = (active - experts * used) * (1 - output)
    kept = KvGroup(1, 8, 128, 128, None)
    layer = LayerShape(
        Weights(round(dense * 1e9 / layers)),
        Weights(round(experts * 1e9 / layers)),
        kept,
        1_000_000 if hybrid else 0,
    )
    return ModelShape(
        architecture="llama",
        file_bytes=round((active + experts * (1 - used)) * 1e9),
        layers=(layer,) * layers,
        embedding=Weights(),
        output=Weights(round((active - experts * used) * output * 1e9)),
        tied=False,
        width=4096,
        heads=32,
        vocabulary=150_000,
        feed_forward=12_288,
        train_ctx=32_768,
        experts=512 if experts else 0,
        experts_used=round(512 * used) if experts else 0,
    )


# Gigabytes that a token reads, and of all experts, by the files' own headers in the mix Q4_K_M (gpt-oss in
# MXFP4).
MODELS = {
    "Qwen3.8-27B": model(64, 16.36, hybrid=True),
    "Qwen3.8-27B Q8": model(64, 28.4, hybrid=True),
    "Qwen3.6-35B-A3B": model(40, 2.066, experts=20.40, used=8 / 256, hybrid=True),
    "Qwen3.5-122B-A10B": model(48, 5.934, experts=72.41, used=8 / 256, hybrid=True),
    "Qwen3-Coder-Next": model(48, 2.414, experts=46.81, used=10 / 512, hybrid=True),
    "gemma-4-26B-A4B": model(30, 1.990, experts=15.13, used=8 / 128),
    "gemma-4-12B": model(48, 6.309),
    "gpt-oss-20b": model(24, 2.575, experts=10.18, used=4 / 32),
    "Llama-3.2-3B": model(28, 2.012),
    "LFM2.5-8B-A1B": model(24, 1.068, experts=4.666, used=4 / 32, hybrid=True),
    "Qwen3-8B": model(36, 4.672),
    "Qwen3.5-9B": model(32, 5.092, hybrid=True),
}


def computer(cpu: str = "AMD Ryzen 7 7840HS", card: GpuInfo | None = None) -> ResourceInfo:
    return ResourceInfo(
        "Linux", "", "x86_64", cpu, 8, 16, 64 * GIB, 60 * GIB, gpus=(card,) if card is not None else ()
    )


def nvidia(name: str) -> GpuInfo:
    return GpuInfo("NVIDIA", f"NVIDIA {name}", 24 * GIB)


MEASURED: list[tuple[GpuInfo | str, str, float]] = [
    (nvidia("GeForce RTX 5090"), "Qwen3.8-27B", 79.5),
    (nvidia("GeForce RTX 5090"), "Qwen3.6-35B-A3B", 210),
    (nvidia("GeForce RTX 4090"), "Qwen3.8-27B", 44),
    (nvidia("GeForce RTX 4090"), "Qwen3.6-35B-A3B", 161),
    (nvidia("GeForce RTX 4090"), "gemma-4-26B-A4B", 138),
    (nvidia("GeForce RTX 4090"), "gemma-4-12B", 80),
    (nvidia("GeForce RTX 3090"), "Qwen3.6-35B-A3B", 149),
    (nvidia("GeForce RTX 3090"), "gpt-oss-20b", 171),
    (nvidia("GeForce RTX 3060"), "Llama-3.2-3B", 120),
    (nvidia("GeForce RTX 3060"), "LFM2.5-8B-A1B", 214),
    (GpuInfo("AMD", "AMD Radeon RX 7900 XT", 20 * GIB), "Qwen3-8B", 111),
    (GpuInfo("AMD", "AMD Radeon RX 7900 XT", 20 * GIB), "Qwen3.8-27B", 31),
    (GpuInfo("Apple", "Apple M4 Pro", 24 * GIB, unified=True), "Qwen3-8B", 46),
    (GpuInfo("Apple", "Apple M4 Pro", 24 * GIB, unified=True), "gpt-oss-20b", 66),
    (GpuInfo("Apple", "Apple M5 Pro", 48 * GIB, unified=True), "Qwen3-Coder-Next", 61),
    (GpuInfo("Apple", "Apple M1 Max", 64 * GIB, unified=True), "Qwen3.8-27B Q8", 11),
    (GpuInfo("NVIDIA", "NVIDIA GB10", 120 * GIB, unified=True), "Qwen3.6-35B-A3B", 72),
    (GpuInfo("NVIDIA", "NVIDIA GB10", 120 * GIB, unified=True), "Qwen3.5-122B-A10B", 29),
    (GpuInfo("AMD", "AMD Radeon 780M", 24 * GIB, unified=True), "Qwen3.5-9B", 13.9),
    (GpuInfo("AMD", "AMD Radeon 780M", 24 * GIB, unified=True), "gemma-4-26B-A4B", 30.6),
    ("AMD Ryzen 7 7840HS", "Qwen3-8B", 12.3),
    ("AMD Ryzen 7 7840HS", "Qwen3.8-27B", 3.5),
    ("Intel(R) Core(TM) Ultra 7 155H", "Qwen3.5-9B", 8.45),
]
"""Tokens a second that people have told of llama.cpp, on a card or on a processor."""


def on_cards(shape: ModelShape, figures: MachineFigures) -> Placement:
    return Placement(4096, (shape.all_layers,) if figures.gpus else ())


def test_most_of_what_people_measured_lies_in_the_range() -> None:
    inside, ratios = 0, []
    for part, name, tokens in MEASURED:
        figures = figures_for(computer(part) if isinstance(part, str) else computer(card=part))
        speed = predict(MODELS[name], on_cards(MODELS[name], figures), figures)
        assert speed.answer is not None
        assert speed.known
        inside += speed.low <= tokens <= speed.high
        ratios.append(speed.answer / tokens)
    assert inside >= 17, f"of {len(MEASURED)}"
    assert 0.75 <= sorted(ratios)[len(ratios) // 2] <= 0.95
    assert min(ratios) > 0.6
    assert max(ratios) < 1.45


PLAIN = MachineFigures(50e9, 1e12, (GpuFigures(500e9, 50e12, name="Card", source="table"),), source="table")
DENSE = MODELS["Qwen3-8B"]
MIXTURE = MODELS["Qwen3.6-35B-A3B"]


def answer(shape: ModelShape, placement: Placement, figures: MachineFigures = PLAIN, used: int = 0) -> float:
    speed = predict(shape, placement, figures, context_used=used)
    assert speed.answer is not None
    assert speed.low < speed.answer < speed.high
    return speed.answer


def test_a_token_takes_what_it_reads_and_what_each_layer_takes() -> None:
    figures = replace(PLAIN, host_bandwidth=10e9, layer_s=0.001, source="measured")
    shape = replace(DENSE, layers=(LayerShape(Weights(LAYER)),) * 10, output=Weights(LAYER))
    assert answer(shape, Placement(4096), figures) == pytest.approx(1 / (11 * LAYER / 10e9 + 10 * 0.001))
    table = replace(figures, source="table")
    assert answer(shape, Placement(4096), table) == pytest.approx(
        0.85 * answer(shape, Placement(4096), figures)
    )


def test_the_more_layers_lie_on_the_card_the_faster_it_is() -> None:
    speeds = [answer(DENSE, Placement(4096, (layers,))) for layers in (0, 1, 12, 24, DENSE.all_layers)]
    assert speeds == sorted(speeds)
    assert len(set(speeds)) == len(speeds)
    assert answer(DENSE, Placement(4096, (1000,))) == speeds[-1]


def test_experts_in_memory_are_slower_than_on_the_card_and_faster_than_everything_there() -> None:
    whole, half, none = (
        answer(MIXTURE, Placement(4096, (MIXTURE.all_layers,), experts_on_host=layers))
        for layers in (0, 20, 40)
    )
    assert whole > half > none > answer(MIXTURE, Placement(4096))


def test_a_layer_that_is_worked_on_in_two_places_takes_a_moment_for_the_way() -> None:
    quick = replace(PLAIN, host_bandwidth=1e18, layer_s=0.0, source="table")
    here, there = (
        answer(MIXTURE, Placement(4096, (1000,), experts_on_host=layers), quick) for layers in (0, 40)
    )
    read = 40 * MIXTURE.layers[0].experts.size_bytes * 8 / 256 / (500e9 * 0.8)
    assert 0.85 / there - 0.85 / here == pytest.approx(40 * 0.15e-3 - read)


def test_a_token_reads_only_the_experts_that_it_goes_through() -> None:
    all_of_them = replace(MIXTURE, experts_used=MIXTURE.experts)
    assert answer(MIXTURE, Placement(4096)) > 5 * answer(all_of_them, Placement(4096))


def test_each_of_several_cards_reads_its_part_at_its_own_pace() -> None:
    slow = replace(PLAIN.gpus[0], bandwidth=100e9)
    two = replace(PLAIN, gpus=(PLAIN.gpus[0], slow))
    half = DENSE.all_layers // 2
    mixed = answer(DENSE, Placement(4096, (half, DENSE.all_layers - half)), two)
    fast = answer(DENSE, Placement(4096, (DENSE.all_layers, 0)), two)
    all_slow = answer(DENSE, Placement(4096, (0, DENSE.all_layers)), two)
    assert fast > mixed > all_slow
    assert answer(DENSE, Placement(4096, (30, 1000)), two) == all_slow, (
        "what is too much, the first ones lack"
    )


def test_a_long_conversation_is_slower_and_a_quantized_cache_less_so() -> None:
    placement = Placement(32_768)
    start, later = (answer(DENSE, placement, used=used) for used in (0, 30_000))
    assert start > later
    assert later < answer(DENSE, replace(placement, cache_type="q8_0"), used=30_000) < start


def test_embeddings_count_only_where_they_are_the_output_too() -> None:
    table = Weights(500_000_000)
    untied = replace(DENSE, embedding=table)
    tied = replace(untied, tied=True, vocabulary=0)
    assert answer(untied, Placement(4096)) == answer(DENSE, Placement(4096)) > answer(tied, Placement(4096))


def test_embeddings_of_single_layers_are_not_read_for_each_token() -> None:
    """Gemma's E2B and E4B: most of what stands beside the layers is such a table."""
    own = Weights(330_000_000, (("Q6_K", 330_000_000),))
    plain = replace(DENSE, tied=True, vocabulary=262_144, width=1536, embedding=own)
    with_more = replace(plain, embedding=own + Weights(1_900_000_000, (("Q5_K", 1_900_000_000),)))
    assert answer(with_more, Placement(4096)) == pytest.approx(answer(plain, Placement(4096)), rel=0.01)


def test_recurrent_layers_and_experts_take_their_time_on_a_card() -> None:
    placement = Placement(4096, (1000,))
    plain = replace(MIXTURE, layers=tuple(replace(layer, state_bytes=0) for layer in MIXTURE.layers))
    assert answer(MIXTURE, placement) < answer(plain, placement)
    quick = replace(PLAIN, gpus=(replace(PLAIN.gpus[0], mixture_s=0.0),))
    assert answer(plain, placement) < answer(plain, placement, quick)


def test_a_part_in_no_table_makes_the_range_wide_and_says_so() -> None:
    known = predict(DENSE, Placement(4096), PLAIN)
    guessed = predict(DENSE, Placement(4096), replace(PLAIN, source="guess"))
    assert (known.known, guessed.known) == (True, False)
    assert guessed.high / guessed.low > 3 * known.high / known.low
    on_card = predict(DENSE, Placement(4096, (1000,)), replace(PLAIN, source="guess"))
    assert on_card.known, "the processor has no part in it"


def test_measured_figures_make_the_range_narrow() -> None:
    measured = predict(DENSE, Placement(4096), replace(PLAIN, source="measured"))
    table = predict(DENSE, Placement(4096), PLAIN)
    assert (measured.source, table.source) == ("calibrated", "predicted")
    assert measured.high / measured.low < table.high / table.low


def test_a_prompt_goes_by_arithmetic_and_needs_the_bus_for_what_is_not_on_the_card() -> None:
    on_host, partly, on_card = (
        predict(DENSE, Placement(4096, (layers,)), PLAIN).prompt or 0 for layers in (0, 18, 1000)
    )
    assert on_host < partly < on_card
    # 7.3 billion weights beside the tables, two operations each, on 1e12 operations a second.
    assert on_host == pytest.approx(0.85 * 1e12 / (2 * 7.3e9), rel=0.05)
    experts = predict(MIXTURE, Placement(4096, (1000,), experts_on_host=40), PLAIN).prompt or 0
    assert 100 <= experts <= 250, "what people tell of experts in memory is 150 to 250"


def test_a_model_of_which_nothing_is_known_has_no_speed() -> None:
    empty = replace(DENSE, layers=(), output=Weights())
    speed = predict(empty, Placement(4096), PLAIN)
    assert (speed.answer, speed.prompt) == (None, None)
    assert speed.words == "speed not known"


@pytest.mark.parametrize(
    ("speed", "words"),
    [
        (Speed(100, 14.2, 11, 19), "about 14 tokens/s"),
        (Speed(100, 3.44, 2, 5), "about 3.4 tokens/s"),
        (Speed(100, 9.97, 8, 12), "about 10 tokens/s"),
        (Speed(100, 14.2, 11, 19, "measured", 12.1), "14 tokens/s measured, 12 predicted"),
        (Speed(100, 14.2, 11, 19, "measured"), "14 tokens/s measured"),
        (Speed(100, 14.2, 4.1, 28, known=False), "somewhere between 4.1 and 28 tokens/s"),
    ],
)
def test_a_speed_says_what_it_is(speed: Speed, words: str) -> None:
    assert speed.words == words
