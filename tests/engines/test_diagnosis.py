"""From exit code and log to a cause and a sentence. The log lines were printed by the real programs.

`builtin` lines: xllamacpp 2026.10.11549; `reference` lines: llama-server 0.5.0-dev. The lines about graphics
cards are quoted from llama.cpp's sources (no graphics card was there), those of the dynamic linker were
constructed.
"""

# ruff: noqa: E501 - log lines stay as they were printed

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisper_desktop.engines.diagnosis import DETERMINISTIC, diagnose, explain
from whisper_desktop.engines.evidence import Evidence
from whisper_desktop.engines.spec import EngineSpec

SPEC = EngineSpec(Path("/models/some.gguf"), "some", n_ctx=8192)

# (exit code, log, cause, words of title and detail)
CASES = {
    "builtin: missing": (
        1,
        """\
0.00.004.066 I srv    load_model: loading model '/models/some.gguf'
0.00.009.683 E gguf_init_from_file: failed to open GGUF file '/models/some.gguf' (No such file or directory)
0.00.009.994 E llama_model_load: error loading model: llama_model_loader: failed to load model from x
0.00.010.026 E llama_model_load_from_file_impl: failed to load model""",
        "model_missing",
        "is not there: /models/some.gguf",
    ),
    "reference: no permission": (
        1,
        "0.00.005.196 E gguf_init_from_file: failed to open GGUF file '/models/some.gguf' (Permission denied)",
        "model_unreadable",
        "The system says: Permission denied.",
    ),
    "reference: not a model": (
        1,
        """\
0.00.005.456 E gguf_init_from_reader: invalid magic characters: '?wdp', expected 'GGUF'
0.00.005.610 E llama_model_load: error loading model: llama_model_loader: failed to load model from x""",
        "not_a_model",
        "some.gguf is not a model file",
    ),
    "builtin: empty": (
        1,
        """\
0.00.004.138 E gguf_init_from_reader: failed to read magic
0.00.004.274 E llama_model_load: error loading model: llama_model_loader: failed to load model from x""",
        "model_corrupt",
        "is empty or cut off",
    ),
    "builtin: cut in its header": (
        1,
        """\
0.00.004.185 E gguf_init_from_reader: failed to read key-value pairs
0.00.004.211 E llama_model_load: error loading model: llama_model_loader: failed to load model from x""",
        "model_corrupt",
        "failed to read key-value pairs",
    ),
    "builtin: cut in its weights": (
        1,
        "0.00.009.709 E llama_model_load: error loading model: tensor 'output.weight' data is not within the file "
        "bounds, model is corrupted or incomplete",
        "model_corrupt",
        "A part of it (output.weight) lies beyond the end",
    ),
    "reference: unknown architecture": (
        1,
        "0.00.005.188 E llama_model_load: error loading model: unknown model architecture: 'nollm'",
        "unsupported_model",
        "(nollm)",
    ),
    "builtin: unknown tokenizer": (
        1,
        "0.00.004.707 E llama_model_load: error loading model: error loading model vocabulary: unknown "
        "pre-tokenizer type: 'nope'",
        "unsupported_model",
        "(nope)",
    ),
    "builtin: port taken": (
        1,
        """\
0.00.002.945 E srv         start: couldn't bind HTTP server socket, hostname: 127.0.0.1, port: 38113
0.00.003.023 E srv          init: exiting due to HTTP server error""",
        "port_taken",
        "Port 38113 is taken",
    ),
    "reference: no memory for the cache": (
        1,
        """\
0.02.464.252 W llama_context: n_ctx_seq (20000000) > n_ctx_train (131072) -- possible training context overflow
0.03.443.167 E ggml_aligned_malloc: insufficient memory (attempted to allocate 2441.41 MB)
0.03.443.236 E ggml_backend_cpu_buffer_type_alloc_buffer: failed to allocate buffer of size 2560000000
0.03.560.961 E llama_init_from_model: failed to initialize the context: failed to allocate buffer for kv cache""",
        "out_of_memory",
        "With a context of 8,192 tokens, it asked for 2.6 GB in one piece",
    ),
    "reference: no memory for its tables": (
        1,
        "0.00.920.977 E llama_init_from_model: failed to initialize the context: std::bad_alloc",
        "out_of_memory",
        "There is not enough memory",
    ),
    "builtin: no memory for a thread": (
        -6,
        """\
terminate called after throwing an instance of 'std::system_error'
  what():  Resource temporarily unavailable""",
        "out_of_memory",
        "There is not enough memory",
    ),
    "builtin: no memory for a graph": (
        -6,
        "/workspace/thirdparty/llama.cpp/ggml/src/ggml.c:1644: GGML_ASSERT(ctx->mem_buffer != NULL) failed",
        "out_of_memory",
        "There is not enough memory",
    ),
    "builtin: no memory for the engine itself": (
        1,
        "whisper: the built-in engine cannot be loaded: /usr/lib/xllamacpp.abi3.so: failed to map segment from "
        "shared object",
        "out_of_memory",
        "There is not enough memory",
    ),
    "CUDA: no memory": (
        1,
        "ggml_backend_cuda_buffer_type_alloc_buffer: allocating 9000.00 MiB on device 0: cudaMalloc failed: out of "
        "memory",
        "gpu_out_of_memory",
        "graphics card",
    ),
    "reference: unknown flag": (1, "error: invalid argument: --nonsense", "bad_flag", "--nonsense"),
    "reference: bad value": (
        1,
        'error while handling argument "-ctk": Unsupported cache type: zz\n\nusage:\n-ctk,  --cache-type-k TYPE',
        "bad_flag",
        "Unsupported cache type: zz",
    ),
    "reference: bad device": (
        1,
        'error while handling argument "--device": invalid device: CUDA0',
        "bad_flag",
        "invalid device: CUDA0",
    ),
    "no xllamacpp": (
        1,
        "whisper: the built-in engine cannot be loaded: No module named 'xllamacpp'",
        "builtin_missing",
        "is not installed",
    ),
    "a binary for another system": (
        126,
        "whisper: cannot run '/opt/llama-server': Exec format error",
        "binary_not_executable",
        "/opt/llama-server cannot be run",
    ),
    "a library is missing": (
        127,
        "/opt/llama-server: error while loading shared libraries: libcudart.so.12: cannot open shared object file: "
        "No such file or directory",
        "library_missing",
        "libcudart.so.12",
    ),
    "killed": (-9, "0.00.031.478 I srv    load_model: initializing", "killed", "it does not say which"),
    "told to stop": (-15, "", "killed", "told to stop by another program"),
    "a shell's way to say killed": (137, "", "killed", "it does not say which"),
    "illegal instruction": (-4, "", "cpu_unsupported", "cannot run on this processor"),
    "crash": (
        -11,
        "0.00.031.478 E slot: what a mess",
        "crashed",
        "SIGSEGV. Its log says: slot: what a mess.",
    ),
    "an exit nobody explains": (3, "", "ended", "exit code 3"),
}


@pytest.mark.parametrize(("code", "log", "cause", "words"), CASES.values(), ids=CASES.keys())
def test_a_log_is_explained(code: int, log: str, cause: str, words: str) -> None:
    error = diagnose(SPEC, Evidence(code, log.splitlines()))
    assert error.cause == cause
    assert words in f"{error.title} {error.detail}"
    assert error.title.endswith(".")
    assert error.next_step.endswith(".")
    assert "{" not in str(error)


def test_waiting_helps_with_memory_and_ports_only() -> None:
    causes = {cause for _, _, cause, _ in CASES.values()}
    assert causes - DETERMINISTIC == {
        "port_taken", "out_of_memory", "gpu_out_of_memory", "killed", "crashed", "ended", "cpu_unsupported"
    }  # fmt: skip


@given(st.integers(-70, 300), st.lists(st.text(max_size=200), max_size=5))
def test_any_end_and_any_log_give_whole_sentences(code: int, lines: list[str]) -> None:
    error = diagnose(SPEC, Evidence(code, lines))
    assert error.cause
    assert error.title.endswith(".")
    assert error.next_step.endswith(".")


def test_what_we_find_out_ourselves_has_sentences_too() -> None:
    error = explain("foreign_server", SPEC, port=1234)
    assert "port 1234" in error.title
    assert error.next_step
