"""Models that people use, by name, as numbers that `sparse_families.sparse` makes files of."""

from tests.models.sparse_families import Kind

SMOLLM2_135M = Kind("llama", 30, 576, 1536, 49_152, 9, 3, 64, context=8192)
TINYLLAMA = Kind("llama", 22, 2048, 5632, 32_000, 32, 4, 64, tied=False, tokenizer="llama", context=2048)
LLAMA_1B = Kind("llama", 16, 2048, 8192, 128_256, 32, 8, 64)
LLAMA_3B = Kind("llama", 28, 3072, 8192, 128_256, 24, 8, 128)
LLAMA_8B = Kind("llama", 32, 4096, 14_336, 128_256, 32, 8, 128, tied=False)
LLAMA_70B = Kind("llama", 80, 8192, 28_672, 128_256, 64, 8, 128, tied=False)
MISTRAL_7B = Kind("llama", 32, 4096, 14_336, 32_768, 32, 8, 128, tied=False, tokenizer="llama")
QWEN2_HALF = Kind("qwen2", 24, 896, 4864, 151_936, 14, 2, 64, context=32_768)
QWEN2_7B = Kind("qwen2", 28, 3584, 18_944, 152_064, 28, 4, 128, tied=False)
QWEN3_06B = Kind("qwen3", 28, 1024, 3072, 151_936, 16, 8, 128, context=40_960)
QWEN3_17B = Kind("qwen3", 28, 2048, 6144, 151_936, 16, 8, 128, context=40_960)
QWEN3_4B = Kind("qwen3", 36, 2560, 9728, 151_936, 32, 8, 128, context=40_960)
QWEN3_14B = Kind("qwen3", 40, 5120, 17_408, 151_936, 40, 8, 128, tied=False, context=40_960)
QWEN3_30B = Kind(
    "qwen3moe", 48, 2048, 6144, 151_936, 32, 4, 128, tied=False, experts=128, experts_used=8, expert_width=768
)
GEMMA2_2B = Kind("gemma2", 26, 2304, 9216, 256_000, 8, 4, 256, window=4096, tokenizer="llama", context=8192)
GEMMA3_1B = Kind("gemma3", 26, 1152, 6912, 262_144, 4, 1, 256, window=512, tokenizer="llama")
GEMMA3_4B = Kind("gemma3", 34, 2560, 10_240, 262_144, 8, 4, 256, window=1024, tokenizer="llama")
GEMMA4_E2B = Kind(
    "gemma4", 35, 1536, 6144, 262_144, 8, 1, 512, window=512, attention_every=5, inner=256, rank=20
)
PHI3_MINI = Kind("phi3", 32, 3072, 8192, 32_064, 32, 32, 96, tied=False, tokenizer="llama", context=4096)
STARCODER2_3B = Kind("starcoder2", 30, 3072, 12_288, 49_152, 24, 2, 128, context=16_384)
OLMO2_1B = Kind("olmo2", 16, 2048, 8192, 100_352, 16, 16, 128, tied=False, context=4096)
COMMAND_R7B = Kind("cohere2", 32, 4096, 14_336, 256_000, 32, 8, 128, window=4096)
GPT_OSS_20B = Kind(
    "gpt-oss", 24, 2880, 2880, 201_088, 64, 8, 64, "MXFP4", tied=False, window=128,
    experts=32, experts_used=4, expert_width=2880,
)  # fmt: skip
DEEPSEEK_V2_LITE = Kind(
    "deepseek2", 27, 2048, 10_944, 102_400, 16, 16, 128, tied=False, latent=512,
    experts=64, experts_used=6, expert_width=1408, shared_width=2816,
)  # fmt: skip
LFM2_350M = Kind("lfm2", 16, 1024, 4608, 65_536, 16, 8, 64, attention_every=3)
LFM2_26B = Kind("lfm2", 30, 2048, 10_752, 65_536, 32, 8, 64, attention_every=4)
GRANITE_H_1B = Kind(
    "granitehybrid", 40, 1536, 4096, 100_352, 12, 4, 128,
    state=128, inner=3072, groups=1, rank=48, attention_every=10,
)  # fmt: skip
GRANITE_H_TINY = Kind(
    "granitehybrid", 40, 1536, 512, 100_352, 12, 4, 128,
    experts=64, experts_used=6, expert_width=512, shared_width=1024,
    state=128, inner=3072, groups=1, rank=48, attention_every=10,
)  # fmt: skip
NEMOTRON_H_4B = Kind(
    "nemotron_h", 42, 3136, 12_544, 131_072, 40, 8, 128, tied=False,
    state=128, inner=7680, groups=8, rank=96,
)  # fmt: skip
FALCON_H1_15B = Kind("falcon-h1", 24, 2048, 4096, 65_536, 8, 2, 128, state=256, inner=3072, groups=1, rank=48)
MAMBA_14B = Kind("mamba", 48, 2048, 0, 50_280, state=16, inner=4096, rank=128)
MAMBA2_27B = Kind("mamba2", 64, 2560, 0, 50_288, state=128, inner=5120, groups=1, rank=80)
QWEN35_08B = Kind(
    "qwen35", 24, 1024, 3584, 248_320, 8, 2, 256, state=128, inner=2048, groups=16, rank=16, attention_every=4
)
QWEN35_4B = Kind(
    "qwen35",
    32,
    2560,
    9216,
    248_320,
    16,
    4,
    256,
    state=128,
    inner=4096,
    groups=16,
    rank=32,
    attention_every=4,
)
QWEN35_35B = Kind(
    "qwen35moe", 40, 2048, 512, 248_320, 16, 2, 256, tied=False,
    experts=256, experts_used=8, expert_width=512, shared_width=512,
    state=128, inner=4096, groups=16, rank=32, attention_every=4,
)  # fmt: skip
QWEN3_NEXT = Kind(
    "qwen3next", 12, 2048, 5120, 151_936, 16, 2, 256, tied=False,
    experts=512, experts_used=10, expert_width=512, shared_width=512,
    state=128, inner=4096, groups=16, rank=32, attention_every=4,
)  # fmt: skip
RWKV7_15B = Kind("rwkv7", 24, 2048, 8192, 65_536, state=64, rank=96, tied=False)
