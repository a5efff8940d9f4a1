"""What a load really did, from logs of real engines, and in words where it is not what was planned.

`samples_outcome` holds logs: those named "cpu" were recorded from real engines, the others say how they came
to be. No graphics card was there to record them.
"""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.engines.conftest import MakeEngine
from whisper_desktop.engines.outcome import (
    Buffers,
    Outcome,
    read_outcome,
    warning_of,
)
from whisper_desktop.engines.readiness import authorization
from whisper_desktop.engines.spec import EngineAddress, EngineSpec, Expected
from whisper_desktop.engines.speed import measured_speed, speed_in
from whisper_desktop.values import Reach
from whisper_desktop.wire.http import Http

MIB = 2**20
SPEC = EngineSpec(Path("/m/model.gguf"), "model", n_ctx=32768)


def sample(name: str) -> list[str]:
    return Path(__file__).parent.joinpath("samples_outcome", f"{name}.txt").read_text().splitlines()


def mib(device: str, weights: float = 0, cache: float = 0, compute: float = 0) -> Buffers:
    return Buffers(device, *(round(size * MIB) for size in (weights, cache, compute)))


@pytest.mark.parametrize(
    ("name", "outcome"),
    [
        (
            "llama_server_cpu",
            Outcome(
                gpu_layers=0,
                layers=5,
                n_ctx=4096,
                cache_type="f16",
                buffers=(
                    mib("CPU_Mapped", weights=47.17),
                    mib("CPU_REPACK", weights=28.69),
                    mib("CPU", cache=32, compute=36.01),
                ),
            ),
        ),
        (
            "builtin_cpu",
            Outcome(
                gpu_layers=0,
                n_ctx=4096,
                cache_type="q8_0",
                buffers=(mib("CPU", 18.48, 17, 35.05), mib("CPU_REPACK", 28.69)),
            ),
        ),
        (
            "cuda_all",
            Outcome(
                gpu_layers=33,
                layers=33,
                n_ctx=32768,
                cache_type="f16",
                buffers=(mib("CUDA0", 4403.49, 4096, 156), mib("CUDA_Host", 281.81, 0, 64.01)),
                devices=("NVIDIA GeForce RTX 3060",),
            ),
        ),
        (
            "vulkan_partial_windows",
            Outcome(
                gpu_layers=20,
                layers=43,
                n_ctx=18944,
                context_cut=131072,
                cache_type="f16",
                buffers=(
                    mib("CPU_Mapped", 4000),
                    mib("Vulkan0", 3000, 115, 220),
                    mib("Vulkan1", 1000, 35, 150),
                    mib("CPU", 0, 150),
                    mib("Vulkan_Host", compute=50),
                ),
                devices=("AMD Radeon RX 7900 XTX (RADV NAVI31)", "AMD Radeon RX 6600"),
            ),
        ),
        (
            "older_metal",
            Outcome(
                gpu_layers=33,
                layers=33,
                n_ctx=8192,
                cache_type="f16",
                buffers=(
                    mib("CPU_Mapped", 281.81),
                    mib("Metal_Mapped", 4403.49),
                    mib("Metal", 0, 1024, 560),
                    mib("CPU", compute=24.01),
                ),
                devices=("Apple M2",),
            ),
        ),
    ],
)
def test_the_facts_of_a_load_are_read_from_its_log(name: str, outcome: Outcome) -> None:
    assert read_outcome(sample(name)) == outcome


def test_layers_offloaded_to_a_card_that_is_not_there_do_not_count() -> None:
    log = sample("llama_server_cpu")  # of a build with RPC, on a computer without a graphics card
    assert any("offloaded 5/5 layers to GPU" in line for line in log)
    assert read_outcome(log).gpu_layers == 0


def test_the_last_load_in_a_log_counts() -> None:
    assert read_outcome(sample("cuda_all") * 2) == read_outcome(sample("cuda_all"))


def test_what_lies_on_cards_and_beside_them_is_told_apart() -> None:
    outcome = read_outcome(sample("cuda_all"))
    assert outcome.gpu_bytes == round(4403.49 * MIB) + 4252 * MIB
    assert outcome.total_bytes == outcome.gpu_bytes + round(281.81 * MIB) + round(64.01 * MIB)


@given(st.lists(st.text() | st.sampled_from(sample("cuda_all") + sample("vulkan_partial_windows"))))
def test_any_log_is_read(lines: list[str]) -> None:
    warning_of(SPEC, read_outcome(lines))


@pytest.mark.parametrize("number", ["1.2.3", ".", "9" * 5000, "-1"])
def test_a_number_that_is_none_is_passed_over(number: str) -> None:
    lines = (
        f"load_tensors:  CPU model buffer size =  {number} MiB",
        f"llama_context: n_ctx = {number}",
        f"load_tensors: offloaded {number}/33 layers to GPU",
    )
    assert read_outcome(lines) in (Outcome(), Outcome(n_ctx=1), Outcome(n_ctx=999_999_999))


# --- in words ---------------------------------------------------------------------------------------------


def planned(gpu_layers: int | None = None, **expected: int) -> EngineSpec:
    return replace(SPEC, expected=Expected(gpu_layers=gpu_layers, layers=33, **expected))


def test_a_load_that_went_as_planned_needs_no_words() -> None:
    spec = planned(33, weights_bytes=4_912_000_000, cache_bytes=4_294_967_296, compute_bytes=230_000_000)
    assert warning_of(spec, read_outcome(sample("cuda_all"))) == ""
    assert warning_of(SPEC, read_outcome(sample("cuda_all"))) == ""


def test_nothing_is_said_of_a_log_that_tells_nothing() -> None:
    assert warning_of(planned(33, weights_bytes=1, cache_bytes=1), Outcome()) == ""


def test_running_on_the_processor_against_the_plan_is_told() -> None:
    warning = warning_of(replace(planned(5), n_ctx=4096), read_outcome(sample("llama_server_cpu")))
    assert warning == (
        "The plan put 5 of 5 layers on the graphics card; the engine put none: it runs on the processor, "
        "which is much slower. Its build may not support this card, or the driver is missing."
    )


def test_layers_that_the_person_set_are_a_plan_too() -> None:
    spec = replace(SPEC, n_ctx=4096, n_gpu_layers=99)
    assert "put 5 of 5 layers" in warning_of(spec, read_outcome(sample("llama_server_cpu")))
    assert warning_of(replace(spec, n_gpu_layers=0), read_outcome(sample("llama_server_cpu"))) == ""


def test_fewer_layers_than_planned_are_told() -> None:
    warning = warning_of(replace(planned(43), n_ctx=18944), read_outcome(sample("vulkan_partial_windows")))
    assert warning == (
        "The plan put 43 of 43 layers on the graphics card; the engine put 20: the rest runs on the "
        "processor, which is slower."
    )
    assert warning_of(replace(planned(20), n_ctx=18944), read_outcome(sample("vulkan_partial_windows"))) == ""


def test_a_context_that_the_engine_cut_is_told() -> None:
    warning = warning_of(SPEC, read_outcome(sample("vulkan_partial_windows")))
    assert warning == "The engine reduced the context from 131,072 to 18,944 tokens, so that the model fits."
    slots = replace(SPEC, n_ctx=1024, parallel=4)
    assert warning_of(slots, Outcome(n_ctx=4096)) == ""
    assert "from 4,096 to 2,048 tokens" in warning_of(slots, Outcome(n_ctx=2048))


def test_a_cache_that_was_not_quantized_is_told() -> None:
    spec = replace(SPEC, cache_type="q8_0")
    assert "was to be q8_0; the engine keeps it as f16" in warning_of(spec, Outcome(cache_type="f16"))
    assert warning_of(spec, Outcome(cache_type="q8_0")) == ""


def test_much_more_memory_than_planned_is_told() -> None:
    spec = planned(33, weights_bytes=4_000_000_000, cache_bytes=3_000_000_000, compute_bytes=200_000_000)
    assert warning_of(spec, read_outcome(sample("cuda_all"))) == (
        "The engine takes 9.4 GB for the model and its context, where 7.2 GB were expected. If memory gets "
        "short, use a shorter context."
    )
    small = planned(0, weights_bytes=50_000_000, cache_bytes=1_000_000)
    assert warning_of(small, Outcome(0, buffers=(mib("CPU", 200),))) == ""


def test_further_computers_that_are_not_used_are_told() -> None:
    spec = replace(SPEC, rpc=("10.0.0.2:50052",))
    assert "None of the further computers is used." in warning_of(spec, read_outcome(sample("cuda_all")))
    used = Outcome(33, 33, buffers=(mib("RPC0[10.0.0.2:50052]", 4000),))
    assert warning_of(spec, used) == ""


# --- speed ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metrics", "speed"),
    [
        ("llamacpp:tokens_predicted_total 120\nllamacpp:tokens_predicted_seconds_total 2.5\n", 48.0),
        ("llamacpp:tokens_predicted_total 1.2e+02\nllamacpp:tokens_predicted_seconds_total 2.5e+00", 48.0),
        ("llamacpp:tokens_predicted_total 0\nllamacpp:tokens_predicted_seconds_total 0\n", None),
        ("llamacpp:tokens_predicted_total 7\nllamacpp:tokens_predicted_seconds_total .\n", None),
        ("# HELP llamacpp:tokens_predicted_total 5\n", None),
        ("", None),
    ],
)
def test_speed_is_what_the_engine_counted(metrics: str, speed: float | None) -> None:
    assert speed_in(metrics) == speed


async def test_a_real_engine_tells_its_speed(spec: EngineSpec, start: MakeEngine, http: Http) -> None:
    address = await start(replace(spec, n_ctx=4096)).ensure_ready()
    await http.request(
        "POST",
        f"{address.url}/completion",
        allowed=Reach.THIS_MACHINE,
        headers=authorization(address),
        json={"prompt": "hello", "n_predict": 200, "ignore_eos": True},
        total=30.0,
    )
    speed = await measured_speed(http, address)
    assert speed is not None
    assert speed > 1


async def test_an_engine_that_does_not_answer_tells_no_speed(http: Http) -> None:
    assert await measured_speed(http, EngineAddress("http://127.0.0.1:9", None, "model")) is None
