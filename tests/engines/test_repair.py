"""What is offered to mend a cause, and what accepting it changes."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisper_desktop.engines.diagnosis import DETERMINISTIC, NEEDS_CHANGE, WORDS, diagnose
from whisper_desktop.engines.diagnosis_rules import RULES
from whisper_desktop.engines.evidence import Evidence
from whisper_desktop.engines.own_options import named_by, without
from whisper_desktop.engines.repair import changed, repairs_for
from whisper_desktop.engines.spec import EngineSpec, Expected
from whisper_desktop.models.gguf import GgufHeader

SPEC = EngineSpec(Path("/models/some.gguf"), "some", n_ctx=16384)
OWN_SERVER = replace(SPEC, binary=Path("/opt/llama-server"))
CAUSES = sorted({rule.cause for rule in RULES} | set(WORDS))


def header(*, heads: int = 64, layers: int = 32, file_bytes: int = 4_000_000_000) -> GgufHeader:
    """A model like an 8B: 8 KV heads of `heads` elements."""
    metadata: dict[str, int | str] = {
        "general.architecture": "llama",
        "llama.context_length": 131072,
        "llama.block_count": layers,
        "llama.embedding_length": 4096,
        "llama.attention.head_count": 32,
        "llama.attention.head_count_kv": 8,
        "llama.attention.key_length": heads,
        "llama.attention.value_length": heads,
    }
    return GgufHeader(metadata, file_bytes)


def known(**facts: object) -> Evidence:
    return replace(Evidence(1, (), header=header()), **facts)  # type: ignore[arg-type]


def changes(cause: str, spec: EngineSpec, evidence: Evidence | None = None, option: str = "") -> list[str]:
    return [each.change or each.command for each in repairs_for(cause, spec, evidence, option=option)]


# --- Memory -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cause", ["out_of_memory", "oom_killed"])
def test_for_memory_what_saves_most_comes_first(cause: str) -> None:
    assert changes(cause, SPEC, known()) == ["n_ctx=8192", "cache_type=q8_0"]
    mapped = replace(SPEC, load_mode="mmap")
    assert changes(cause, mapped, known()) == ["repack=off", "n_ctx=8192", "cache_type=q8_0"]


def test_a_repair_says_what_it_saves_and_costs() -> None:
    shorter, smaller = repairs_for("out_of_memory", SPEC, known())
    # 32 layers x 8 heads x (64 + 64) x 2 bytes x 8192 tokens, and 15/32 of twice that
    assert shorter.detail.startswith("8,192 instead of 16,384 tokens: saves about 0.5 GB.")
    assert "saves about 0.5 GB. Barely noticeable." in smaller.detail


@pytest.mark.parametrize(
    ("context", "shorter"),
    [(131072, 65536), (100_000, 32768), (16384, 8192), (4097, 2048), (4096, 2048), (3000, 2048), (0, 65536)],
)
def test_the_context_is_halved_to_a_usual_one(context: int, shorter: int) -> None:
    assert f"n_ctx={shorter}" in changes(
        "gpu_out_of_memory", replace(SPEC, n_ctx=context), Evidence(1, (), header=header(layers=999))
    )


@pytest.mark.parametrize("context", [512, 2048])
def test_a_short_context_is_not_made_shorter(context: int) -> None:
    assert changes("out_of_memory", replace(SPEC, n_ctx=context)) == []


def test_what_saves_next_to_nothing_is_not_offered() -> None:
    tiny = Evidence(1, (), header=header(layers=1, file_bytes=1_000_000))
    assert changes("out_of_memory", replace(SPEC, n_ctx=4096), tiny) == []


def test_the_cache_is_quantized_only_where_the_heads_allow_it() -> None:
    assert "cache_type=q8_0" not in changes("out_of_memory", SPEC, Evidence(1, (), header=header(heads=40)))
    assert "cache_type=q8_0" not in changes("out_of_memory", SPEC, Evidence(1, ()))
    assert "cache_type=q8_0" not in changes("out_of_memory", replace(SPEC, cache_type="q8_0"), known())
    off = replace(SPEC, extra_args=("-fa", "off"))
    assert "cache_type=q8_0" not in changes("out_of_memory", off, known())


def test_what_an_option_of_the_person_s_overrides_is_not_offered() -> None:
    own = replace(SPEC, extra_args=("-c", "65536", "-ctk", "q4_0"))
    assert changes("out_of_memory", own, known()) == ["-c=off"]
    assert changes("gpu_out_of_memory", replace(SPEC, extra_args=("-ngl", "99")), known()) == [
        "n_ctx=8192",
        "cache_type=q8_0",
    ]


def test_without_a_header_the_plan_s_figures_are_used() -> None:
    planned = replace(SPEC, expected=Expected(cache_bytes=2_000_000_000))
    (repair,) = repairs_for("out_of_memory", planned)
    assert "saves about 1.0 GB" in repair.detail
    assert changes("out_of_memory", SPEC) == ["n_ctx=8192"]


def test_layers_said_to_be_on_a_card_that_is_not_there_are_not_taken_off_it() -> None:
    """Builds with RPC say so on computers without one."""
    lines = (
        "0.00.030.000 I load_tensors: offloaded 9/9 layers to GPU",
        "0.00.030.001 I load_tensors:          CPU model buffer size =    10.00 MiB",
    )
    assert "n_gpu_layers=0" not in changes("crashed", OWN_SERVER, known(lines=lines))
    on_card = (lines[0], lines[1].replace("  CPU", "CUDA0"))
    assert "n_gpu_layers=0" in changes("crashed", OWN_SERVER, known(lines=on_card))


def test_for_graphics_memory_fewer_layers_are_offered_and_the_processor_last() -> None:
    spec = replace(SPEC, expected=Expected(weights_bytes=8_000_000_000, gpu_layers=33, layers=33))
    assert changes("gpu_out_of_memory", spec, known()) == [
        "n_gpu_layers=24",
        "n_ctx=8192",
        "cache_type=q8_0",
        "n_gpu_layers=0",
    ]
    log = ("0.01.000.000 I load_tensors: offloaded 20/33 layers to GPU",)
    assert "n_gpu_layers=15" in changes("gpu_out_of_memory", SPEC, known(lines=log))
    assert "n_gpu_layers=0" not in changes("gpu_out_of_memory", replace(SPEC, n_gpu_layers=0), known())


def test_nothing_is_promised_of_layers_whose_experts_are_beside_the_card() -> None:
    plan = Expected(weights_bytes=8_000_000_000, gpu_layers=33, layers=33)

    def fewer(experts: int) -> str:
        spec = replace(SPEC, expected=plan, experts_on_host=experts)
        found = repairs_for("gpu_out_of_memory", spec, known())
        return next(repair.detail for repair in found if repair.change == "n_gpu_layers=24")

    assert "saves about" in fewer(0)
    assert "saves about" not in fewer(12)


# --- Everything else --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cause", "spec", "option", "offered"),
    [
        ("port_taken", replace(SPEC, port=8080), "", ["port=auto"]),
        ("port_forbidden", replace(SPEC, port=80), "", ["port=auto"]),
        ("foreign_server", replace(SPEC, port=8080), "", ["port=auto"]),
        ("port_taken", SPEC, "", []),
        ("port_taken", replace(SPEC, extra_args=("--port", "80")), "", ["--port=off"]),
        ("bad_flag", replace(SPEC, extra_args=("--nonsense", "5")), "--nonsense", ["--nonsense=off"]),
        ("bad_flag", SPEC, "--cache-ram", []),
        ("bad_flag", OWN_SERVER, "--cache-ram", ["binary=builtin"]),
        ("extra_file", replace(SPEC, extra_args=("--mmproj", "/nope.gguf")), "/nope.gguf", ["--mmproj=off"]),
        ("extra_file", SPEC, "/nope.gguf", []),
        ("model_corrupt", SPEC, "", ["whisper-desktop recommend"]),
        ("unsupported_model", OWN_SERVER, "", ["binary=builtin", "whisper-desktop recommend"]),
        ("library_missing", OWN_SERVER, "", ["binary=builtin"]),
        ("cpu_unsupported", SPEC, "", ["whisper-desktop engine builds install"]),
        ("gpu_unusable", OWN_SERVER, "", ["binary=builtin", "n_gpu_layers=0"]),
        ("driver", replace(OWN_SERVER, n_gpu_layers=0), "", ["binary=builtin"]),
        ("crashed", OWN_SERVER, "", ["binary=builtin"]),
        ("stuck", replace(OWN_SERVER, n_gpu_layers=9), "", ["binary=builtin", "n_gpu_layers=0"]),
        ("cache_type", replace(SPEC, cache_type="q8_0"), "", ["cache_type=f16"]),
        ("cache_type", replace(SPEC, extra_args=("-ctv", "q4_0")), "", ["-ctv=off"]),
        ("computer_lost", replace(SPEC, rpc=("192.168.1.20:50052",)), "", ["rpc=off"]),
        ("start_timeout", replace(SPEC, rpc=("192.168.1.20:50052",)), "", ["rpc=off"]),
        ("killed", SPEC, "", []),
        ("model_unreadable", SPEC, "", []),
    ],
)  # fmt: skip
def test_each_cause_has_its_repairs(cause: str, spec: EngineSpec, option: str, offered: list[str]) -> None:
    assert changes(cause, spec, option=option) == offered


@pytest.mark.parametrize("cause", CAUSES)
def test_no_two_repairs_are_the_same_and_each_says_what_to_do(cause: str) -> None:
    spec = replace(OWN_SERVER, port=80, load_mode="mmap", rpc=("a:1",), extra_args=("--x", "1", "-c", "9000"))
    repairs = repairs_for(cause, spec, known(), option="--x")
    assert len({repair.id for repair in repairs}) == len(repairs)
    for repair in repairs:
        assert bool(repair.change) != bool(repair.command)
        assert repair.detail.endswith(".")
        assert not repair.label.endswith(".")


@pytest.mark.parametrize("cause", CAUSES)
def test_every_change_that_is_offered_changes_something(cause: str) -> None:
    spec = replace(OWN_SERVER, port=80, load_mode="mmap", rpc=("a:1",), extra_args=("--x", "1"))
    for repair in repairs_for(cause, spec, known(), option="--x"):
        if repair.change:
            assert changed(spec, [repair.change]) != spec


def test_what_a_person_can_mend_has_a_repair() -> None:
    spec = replace(OWN_SERVER, port=80, cache_type="q8_0", extra_args=("--x", "1"))
    without_one = {
        cause for cause in DETERMINISTIC | NEEDS_CHANGE if not repairs_for(cause, spec, known(), option="--x")
    }
    assert without_one == {"model_unreadable", "disk_full"}


def test_a_diagnosis_brings_its_repairs() -> None:
    spec = replace(SPEC, extra_args=("--nonsense",))
    error = diagnose(spec, Evidence(1, ("error: invalid argument: --nonsense",)))
    assert [repair.change for repair in error.repairs] == ["--nonsense=off"]


# --- Changes ----------------------------------------------------------------------------------------------


def test_accepted_changes_are_applied_in_order() -> None:
    spec = replace(
        OWN_SERVER, port=80, rpc=("a:1",), extra_args=("--x", "1", "-2", "--y"), engine_id="builtin"
    )
    after = changed(
        spec,
        [
            "n_ctx=4096",
            "cache_type=q8_0",
            "n_gpu_layers=12",
            "repack=off",
            "port=auto",
            "binary=builtin",
            "rpc=off",
            "--x=off",
        ],
    )
    assert after == replace(
        spec,
        n_ctx=4096,
        cache_type="q8_0",
        n_gpu_layers=12,
        repack=False,
        port=None,
        binary=None,
        rpc=(),
        extra_args=("--y",),
    )


@pytest.mark.parametrize(
    "change",
    [
        "", "=off", "off", "n_ctx", "n_ctx=", "n_ctx=0", "n_ctx=-1", "n_ctx=many", "n_ctx=99999999999",
        "n_ctx=٤٠٩٦", "cache_type=q4_9", "n_gpu_layers=-1", "repack=on", "port=80", "binary=/bin/sh",
        "rpc=evil:1", "threads=4", "model_path=/etc/passwd", "--x=on",
    ],
)  # fmt: skip
def test_a_change_that_is_unknown_or_broken_changes_nothing(change: str) -> None:
    spec = replace(OWN_SERVER, extra_args=("--x", "1"))
    assert changed(spec, [change]) == spec


@given(st.lists(st.text(max_size=20) | st.sampled_from(["n_ctx=", "--x=off", "n_gpu_layers=3"]), max_size=4))
def test_no_change_ever_raises_or_adds_an_option(given_changes: list[str]) -> None:
    spec = replace(OWN_SERVER, extra_args=("--x", "1"))
    after = changed(spec, given_changes)
    assert set(after.extra_args) <= set(spec.extra_args)
    assert after.binary in (None, spec.binary)


def test_a_smaller_number_of_the_person_s_stays() -> None:
    assert changed(replace(SPEC, n_ctx=2048), ["n_ctx=4096"]).n_ctx == 2048
    assert changed(replace(SPEC, n_ctx=0), ["n_ctx=4096"]).n_ctx == 4096
    assert changed(replace(SPEC, n_gpu_layers=3), ["n_gpu_layers=12"]).n_gpu_layers == 3


def test_a_plan_that_no_longer_holds_is_forgotten() -> None:
    spec = replace(
        SPEC, expected=Expected(weights_bytes=5, cache_bytes=4, total_bytes=9, gpu_layers=33, layers=33)
    )
    after = changed(spec, ["n_gpu_layers=0"]).expected
    assert after == Expected(weights_bytes=5, gpu_layers=0, layers=33)


def test_an_engine_keeps_its_name_when_another_program_serves_it() -> None:
    assert changed(OWN_SERVER, ["binary=builtin"]).id == OWN_SERVER.id == "llama_cpp"


def test_options_are_found_by_name_and_by_value_and_removed_with_their_values() -> None:
    words = ("--a", "1", "2", "-b", "-3", "--a", "4", "--c")
    assert named_by(words, "2") == "--a"
    assert named_by(words, "-b") == "-b"
    assert named_by(words, "nothing") == named_by(words, "") == ""
    assert without(words, "--a") == ("-b", "-3", "--c")
