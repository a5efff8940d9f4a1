"""What `memory.py` measures: the shapes that its constants are fitted on, and the others it is checked on."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from tests.models import sparse_models as models
from tests.models.sparse_families import Kind
from whisper_desktop.models.memory import Placement


@dataclass(frozen=True)
class Case:
    """One run: `kind` on the built-in engine or the reference llama-server, started as `placement` says."""

    name: str
    kind: Kind
    placement: Placement
    builtin: bool = False

    @property
    def binary(self) -> Path | None:
        """The program that serves; None is the built-in engine."""
        return None if self.builtin else Path(os.environ["WHISPER_TEST_LLAMA_SERVER"])

    @property
    def variant(self) -> str:
        """How it is started, in a few words."""
        start = self.placement
        words = [
            f"{start.n_ctx // 1024}k",
            *([start.cache_type] if start.cache_type != "f16" else []),
            *([f"{start.parallel} slots"] if start.parallel > 1 else []),
            *([start.load_mode] if start.load_mode != "none" else []),
            *(["as it is"] if not start.repack else []),
            *(["built-in"] if self.builtin else []),
        ]
        return f"{self.kind.quant}, {', '.join(words)}"


def fitted_on(builtin: bool) -> Iterator[Case]:
    """No real models: small ones that differ in what the program itself takes memory for."""
    plain = Kind("llama", 4, 512, 1024, 8192, 8, 2, 64)
    mapped = Placement(2048, load_mode="mmap", repack=False)
    for layers, vocabulary, tokenizer in (
        (4, 8192, "gpt2"),
        (4, 90_000, "gpt2"),
        (4, 140_000, "gpt2"),
        (4, 200_000, "gpt2"),
        (4, 260_000, "gpt2"),
        (64, 20_000, "gpt2"),
        (4, 30_000, "llama"),
        (32, 250_000, "llama"),
    ):
        kind = replace(plain, layers=layers, vocabulary=vocabulary, tokenizer=tokenizer)
        yield Case(f"{layers} layers, {vocabulary} {tokenizer}", kind, mapped, builtin)


def checked_on() -> Iterator[Case]:
    """Models that people use, from 0.1B to 70B; those that do not fit into memory now are left out."""
    mapped = Placement(4096, load_mode="mmap", repack=False)
    both = Placement(4096, load_mode="mmap")
    for name, quant, start, builtin in (
        ("SMOLLM2_135M", "Q4_K_M", Placement(2048), False),
        ("SMOLLM2_135M", "F16", Placement(8192, parallel=4), True),
        ("QWEN2_HALF", "Q8_0", Placement(32_768), False),
        ("QWEN2_HALF", "Q4_0", Placement(8192), True),
        ("QWEN3_06B", "Q4_K_M", Placement(8192), False),
        ("QWEN3_06B", "Q6_K", Placement(4096, cache_type="q8_0", parallel=4), False),
        ("LFM2_350M", "Q4_K_M", Placement(16_384), False),
        ("QWEN35_08B", "Q4_K_M", Placement(8192), False),
        ("QWEN35_08B", "Q8_0", Placement(4096), True),
        ("LLAMA_1B", "Q4_K_M", Placement(4096), False),
        ("LLAMA_1B", "Q4_K_M", replace(both, n_ctx=16_384), False),
        ("LLAMA_1B", "IQ4_XS", Placement(65_536, cache_type="q8_0"), True),
        ("TINYLLAMA", "Q4_0", Placement(2048), False),
        ("GEMMA3_1B", "Q4_K_M", Placement(8192), False),
        ("GEMMA3_1B", "Q5_K_M", Placement(32_768), True),
        ("OLMO2_1B", "Q8_0", mapped, False),
        ("GRANITE_H_1B", "Q4_K_M", Placement(4096), False),
        ("RWKV7_15B", "Q8_0", Placement(4096), False),
        ("MAMBA_14B", "Q4_K_M", Placement(4096), False),
        ("FALCON_H1_15B", "Q4_0", Placement(8192), False),
        ("QWEN3_17B", "IQ4_XS", Placement(8192, cache_type="q4_0"), False),
        ("GEMMA2_2B", "Q4_0", Placement(8192), False),
        ("GEMMA4_E2B", "Q4_0", Placement(8192), False),
        ("MAMBA2_27B", "Q4_0", Placement(4096), False),
        ("LFM2_26B", "Q4_0", Placement(32_768), False),
        ("LLAMA_3B", "Q4_K_M", Placement(16_384), True),
        ("LLAMA_3B", "Q4_0", both, False),
        ("STARCODER2_3B", "Q5_K_M", Placement(8192), False),
        ("PHI3_MINI", "Q4_0", Placement(4096), False),
        ("NEMOTRON_H_4B", "Q4_0", Placement(4096), False),
        ("QWEN35_4B", "Q4_0", Placement(16_384), False),
        ("GRANITE_H_TINY", "Q4_K_M", Placement(8192), False),
        ("COMMAND_R7B", "Q4_K_M", mapped, False),
        ("MISTRAL_7B", "Q4_0", Placement(32_768), False),
        ("LLAMA_8B", "Q4_K_M", both, False),
        ("QWEN35_35B", "IQ1_S", mapped, False),
        ("QWEN3_30B", "IQ2_XXS", mapped, False),
        ("DEEPSEEK_V2_LITE", "IQ3_S", mapped, False),
        ("QWEN3_14B", "Q4_K_M", mapped, False),
        ("GPT_OSS_20B", "MXFP4", mapped, False),
        ("LLAMA_70B", "IQ1_S", mapped, False),
    ):
        kind: Kind = replace(getattr(models, name), quant=quant)
        yield Case(name.lower().replace("_", "-"), kind, start, builtin)
