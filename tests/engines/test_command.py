"""What a child is told: flags that its program knows, and no secret on the command line."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from whisper_desktop.engines.builds.describe import ask
from whisper_desktop.engines.child import FlagError, apply_flags
from whisper_desktop.engines.command import child_command, child_environment, engine_flags
from whisper_desktop.engines.spec import TRAINED_CONTEXT, EngineSpec, default_threads, guide_spec
from whisper_desktop.values import Deadlines, ResourceInfo

SPEC = EngineSpec(Path("/m/a b.gguf"), "a b", n_ctx=4096, threads=2)


def test_the_builtin_engine_gets_every_flag() -> None:
    assert engine_flags(SPEC, 5000) == [
        *("-m", "/m/a b.gguf", "-a", "a b", "-c", "4096", "--host", "127.0.0.1", "--port", "5000"),
        *("-np", "1", "-t", "2", "-lm", "none", "--sse-ping-interval", "1", "--metrics"),
        *("--cache-ram", "512", "--ctx-checkpoints", "2", "--no-warmup", "-lv", "4"),
    ]  # fmt: skip


FULL = replace(
    SPEC,
    n_gpu_layers=12,
    cache_type="q8_0",
    repack=False,
    parallel=4,
    rpc=("10.0.0.2:50052", "10.0.0.3:50052"),
)


def pairs(flags: list[str]) -> dict[str, str]:
    """Each flag with its value, "" without."""
    found: dict[str, str] = {}
    for word in flags:
        if word.startswith("-"):
            found[word] = ""
        else:
            found[list(found)[-1]] = word
    return found


def test_every_choice_of_a_plan_becomes_a_flag() -> None:
    assert (
        pairs(engine_flags(FULL, 5000)).items()
        >= {
            "-c": str(4 * 4096),
            "-np": "4",
            "--no-kv-unified": "",
            "-ngl": "12",
            "--fit": "off",
            "--no-repack": "",
            "-ctk": "q8_0",
            "-ctv": "q8_0",
            "-fa": "on",
            "--rpc": "10.0.0.2:50052,10.0.0.3:50052",
        }.items()
    )


@pytest.mark.parametrize(("layers", "device"), [(0, "none"), (1, None), ("auto", None)])
def test_without_layers_a_card_is_left_alone(layers: int | Literal["auto"], device: str | None) -> None:
    assert pairs(engine_flags(replace(SPEC, n_gpu_layers=layers), 5000)).get("--device") == device


def test_layers_of_the_persons_own_options_find_their_card() -> None:
    spec = replace(SPEC, n_gpu_layers=0, extra_args=("-ngl", "12"))
    assert "--device" not in pairs(engine_flags(spec, 5000))


PLACED = replace(
    FULL, binary=Path("/b/llama-server"), n_gpu_layers=33, experts_on_host=12, tensor_split=(22, 11)
)


def test_experts_and_cards_become_flags_beside_the_layers() -> None:
    placed = {"-ngl": "33", "--fit": "off", "--n-cpu-moe": "12", "--tensor-split": "22,11"}
    assert pairs(engine_flags(PLACED, 5000)).items() >= placed.items()
    plain = pairs(engine_flags(replace(PLACED, n_gpu_layers="auto"), 5000))
    assert not plain.keys() & placed.keys()


@pytest.mark.parametrize("builtin", [True, False])
def test_where_experts_cannot_be_kept_apart_the_layers_are_left_to_the_engine(builtin: bool) -> None:
    known = frozenset(engine_flags(PLACED, 5000)) - {"--n-cpu-moe"}
    spec, knows = (replace(PLACED, binary=None), None) if builtin else (PLACED, known)
    flags = pairs(engine_flags(spec, 5000, knows))
    assert not flags.keys() & {"-ngl", "--fit", "--n-cpu-moe", "--tensor-split"}


def test_cuda_numbers_its_cards_as_they_were_found() -> None:
    told = child_environment({}, api_key="k", nonce="n")
    assert told["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    own = child_environment({"CUDA_DEVICE_ORDER": "FASTEST_FIRST"}, api_key="k", nonce="n")
    assert own["CUDA_DEVICE_ORDER"] == "FASTEST_FIRST"


def test_layers_left_to_the_engine_are_left_to_its_own_fit() -> None:
    flags = pairs(engine_flags(SPEC, 5000))
    assert "-ngl" not in flags
    assert "--fit" not in flags


def test_an_older_program_quantizes_the_keys_alone_and_keeps_its_log_level() -> None:
    known = frozenset({"-m", "-ctk", "-ctv", "-fa", "-lv", "--no-mmap"})
    flags = pairs(engine_flags(FULL, 5000, known))
    assert flags == {"-m": "/m/a b.gguf", "-ctk": "q8_0", "--no-mmap": ""}


@pytest.mark.reference_engine
async def test_the_reference_server_knows_every_flag(reference_llama_server: Path) -> None:
    known = (await ask(reference_llama_server, Deadlines())).flags
    assert engine_flags(PLACED, 5000, known) == engine_flags(PLACED, 5000)


def test_the_builtin_engine_understands_every_flag_but_further_computers() -> None:
    engine = pytest.importorskip("xllamacpp")
    params = engine.CommonParams()
    apply_flags(params, engine_flags(replace(FULL, rpc=()), 5000), engine)
    assert (params.n_ctx, params.n_parallel, params.n_gpu_layers) == (4 * 4096, 4, 12)
    assert (params.kv_unified, params.fit_params, params.no_extra_bufts) == (False, False, True)
    assert params.cache_type_k == params.cache_type_v == engine.ggml_type.GGML_TYPE_Q8_0
    assert params.flash_attn_type == engine.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_ENABLED
    apply_flags(params, ["--lora", "/a,/b", "--no-alloc", "-kvu", "--repack", "-fit", "on"], engine)
    assert [adapter.path for adapter in params.lora_adapters] == ["/a", "/b"]
    assert (params.no_alloc, params.kv_unified, params.no_extra_bufts, params.fit_params) == (
        True,
        True,
        False,
        True,
    )
    apply_flags(params, ["--device", "none"], engine)
    assert (params.split_mode, params.main_gpu) == (engine.llama_split_mode.LLAMA_SPLIT_MODE_NONE, -1)
    with pytest.raises(FlagError, match="invalid device: CUDA0"):
        apply_flags(params, ["--device", "CUDA0"], engine)
    with pytest.raises(FlagError, match="--rpc"):
        apply_flags(params, engine_flags(FULL, 5000), engine)


def test_a_program_gets_only_flags_it_lists() -> None:
    known = frozenset({"-m", "-c", "--host", "--port", "-t", "--no-mmap"})
    flags = engine_flags(SPEC, 5000, known)
    assert {word for word in flags if word.startswith("-")} == known


def test_the_persons_own_flags_come_last_and_are_passed_as_they_are() -> None:
    spec = replace(SPEC, extra_args=("--cache-ram", "64", "--unheard-of"), n_gpu_layers=12)
    flags = engine_flags(spec, 5000, frozenset({"-m", "-c", "-ngl"}))
    assert flags[-5:] == ["-ngl", "12", "--cache-ram", "64", "--unheard-of"][-5:]


@pytest.mark.parametrize(("system", "mode"), [("linux", "exec"), ("darwin", "stay"), ("win32", "stay")])
def test_a_binary_is_become_on_linux_and_waited_on_elsewhere(
    system: str, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", system)
    spec = replace(SPEC, binary=Path("/opt/llama-server"))
    command = child_command(spec, ["-m", "x"], owner_pid=77, nonce="n")
    assert command[-6:] == ["77", "n", mode, str(spec.binary), "-m", "x"]


def test_a_frozen_program_starts_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.frozen", True, raising=False)
    monkeypatch.setattr("sys.executable", "/opt/whisper/whisper")
    command = child_command(SPEC, [], owner_pid=1, nonce="n")
    assert command == ["/opt/whisper/whisper", "--engine-child", "1", "n", "builtin"]


def test_the_environment_has_our_key_and_nobody_elses() -> None:
    given = {
        "PATH": "/bin",
        "HOME": "/home/x",
        "OPENAI_API_KEY": "sk-1",
        "LLM_CHAT_API_KEY": "sk-2",
        "HF_TOKEN": "hf_1",
        "http_proxy": "http://p",
        "ALL_PROXY": "socks://p",
        "LLAMA_ARG_MODEL": "other.gguf",
        "LLAMA_API_KEY": "old",
    }
    told = child_environment(given, api_key="ours", nonce="n")
    assert told == {
        "PATH": "/bin",
        "HOME": "/home/x",
        "LLAMA_API_KEY": "ours",
        "WHISPER_ENGINE_NONCE": "n",
        "GGML_NO_BACKTRACE": "1",
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
    }


def test_the_guide_gets_one_thread_and_its_own_context() -> None:
    spec = guide_spec()
    assert (spec.id, spec.threads, spec.n_ctx, spec.binary) == ("guide", 1, TRAINED_CONTEXT, None)
    assert spec.model_path.read_bytes()[:4] == b"GGUF"


@pytest.mark.parametrize(("physical", "threads"), [(1, 1), (2, 1), (8, 7), (0, 1)])
def test_threads_are_the_physical_cores_but_one(physical: int, threads: int) -> None:
    machine = ResourceInfo("Linux", "12", "x86_64", "cpu", physical, 16, 2**34, 2**33)
    assert default_threads(machine) == threads
