"""From exit code and log to a cause and a sentence.

The lines here were printed by the real programs: `builtin` by xllamacpp 2026.10.11549, `reference` by
llama-server 0.5.0-dev. Those in `samples/` say of themselves whether they were ever seen: graphics cards, drivers,
macOS and Windows were not there, so that their lines are written after llama.cpp's sources. What can be made to
happen here is made to happen in `test_injected_causes`.
"""

# ruff: noqa: E501 - log lines stay as they were printed

import errno
import re
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisper_desktop.engines import diagnosis
from whisper_desktop.engines.diagnosis import DETERMINISTIC, NEEDS_CHANGE, TRANSIENT, diagnose, explain
from whisper_desktop.engines.diagnosis_rules import RULES
from whisper_desktop.engines.evidence import Evidence
from whisper_desktop.engines.log_lines import parse, telling
from whisper_desktop.engines.spec import EngineSpec, Expected

SAMPLES = Path(__file__).with_name("samples")
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
    "a binary that is gone": (
        127,
        "whisper: cannot run '/opt/llama-server': No such file or directory",
        "binary_missing",
        "is not there: /opt/llama-server",
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
    "a crash before its first word": (
        -11,
        "whisper: starting builtin on port 4711: python -m engine",
        "crashed",
        "SIGSEGV. It left no message.",
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


@dataclass(frozen=True)
class Sample:
    facts: dict[str, str]
    lines: tuple[str, ...]


def sample(name: str) -> Sample:
    """A recorded or reconstructed log: its header of `# name: value` lines, then what was printed."""
    lines = (SAMPLES / f"{name}.log").read_text("utf-8").splitlines()
    facts = dict(line[2:].partition(": ")[::2] for line in lines if line.startswith("# "))
    return Sample(facts, tuple(line for line in lines if not line.startswith("# ")))


@pytest.mark.parametrize("name", sorted(path.stem for path in SAMPLES.glob("*.log")))
def test_a_sample_is_explained(name: str) -> None:
    told = sample(name)
    ready = told.facts["ready"] == "yes"
    error = diagnose(SPEC, Evidence(int(told.facts["code"]), told.lines, ready=ready))
    assert (error.cause, told.facts["says"] in f"{error.title} {error.detail}") == (
        told.facts["cause"],
        True,
    ), error


def test_every_rule_is_proved_by_a_line() -> None:
    lines = [parse(line) for _, log, _, _ in CASES.values() for line in log.splitlines()]
    for path in SAMPLES.glob("*.log"):
        lines += [parse(line) for line in sample(path.stem).lines]
    lines += [parse(line) for line in MORE]
    unproved = [
        rule.pattern.pattern for rule in RULES if not any(rule.pattern.search(line.text) for line in lines)
    ]
    assert unproved == []


MORE = (  # proved by the injected causes, on both engines
    "0.00.004.784 E gguf_init_from_reader: this GGUF file is version 9 but this software only supports up to version 3",
    "0.00.005.192 E gguf_init_from_reader: GGUFv1 is no longer supported, please use a more up-to-date version",
    "0.00.005.192 E gguf_init_from_reader: tensor 'blk.0.attn_q.weight' has invalid ggml type 250. should be in [0, 42)",
    "0.00.005.192 E llama_model_load: error loading model: tensor 'output.weight' has invalid data",
    "Received second interrupt, terminating immediately.",
)


# --- Who ended it -----------------------------------------------------------------------------------------

MEMORY_LINES = ("0.00.112.490 E ggml_aligned_malloc: insufficient memory (attempted to allocate 1024.39 MB)",)


def test_a_kill_is_out_of_memory_only_where_the_kernel_counted_one() -> None:
    assert diagnose(SPEC, Evidence(-9, ())).cause == "killed"
    assert diagnose(SPEC, Evidence(-9, (), oom_kills=0, available_bytes=1_000_000)).cause == "killed"
    error = diagnose(
        SPEC, Evidence(-9, (), oom_kills=1, peak_bytes=8_400_000_000, available_bytes=9_100_000_000)
    )
    assert error.cause == "oom_killed"
    assert "It had 8.4 GB, and 9.1 GB are free now that it is gone." in error.detail


def test_what_others_did_is_not_blamed_on_the_log() -> None:
    for code in (-9, -15, -2, -1, 137, 143):
        assert diagnose(SPEC, Evidence(code, MEMORY_LINES)).cause == "killed"
        assert diagnose(SPEC, Evidence(code, MEMORY_LINES, oom_kills=0)).cause == "killed"


def test_an_engine_that_served_and_ends_with_0_was_told_to() -> None:
    served = ("0.00.074.453 I srv  llama_server: listening on http://127.0.0.1:38115",)
    assert diagnose(SPEC, Evidence(0, (), ready=True)).cause == "killed"
    assert diagnose(SPEC, Evidence(0, served)).cause == "killed"
    assert diagnose(SPEC, Evidence(0, ("version: 0.5.0-dev",))).cause == "ended"


def test_only_an_engine_that_never_answered_lacks_instructions() -> None:
    assert diagnose(SPEC, Evidence(-4, ())).cause == "cpu_unsupported"
    assert diagnose(SPEC, Evidence(-4, (), ready=True)).cause == "crashed"


def test_a_bus_error_is_the_model_file_s_where_it_is_mapped() -> None:
    assert diagnose(SPEC, Evidence(-7, (), ready=True)).cause == "crashed"
    error = diagnose(replace(SPEC, load_mode="mmap"), Evidence(-7, (), ready=True))
    assert error.cause == "model_unreadable"
    assert "changed, moved or cut" in error.detail


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        (0xC0000005, "crashed"),
        (-1073741819, "crashed"),
        (0xFFFFFFFFC0000005, "crashed"),
        (0xC0000409, "crashed"),
        (0xC00000FD, "crashed"),
        (0xC000001D, "cpu_unsupported"),
        (0xC0000135, "library_missing"),
        (-1073741515, "library_missing"),
        (0xFFFFFFFFC0000135, "library_missing"),
        (0xC0000139, "library_missing"),
        (0xC06D007E, "library_missing"),
        (0xC000007B, "binary_not_executable"),
        (0xC0000017, "out_of_memory"),
        (0xC000012D, "out_of_memory"),
        (0xC000013A, "killed"),
        (0x40010004, "killed"),
        (3, "ended"),
        (1, "ended"),
    ],
)
def test_windows_status_values_are_understood(code: int, cause: str) -> None:
    error = diagnose(replace(SPEC, binary=Path("C:/llama/llama-server.exe")), Evidence(code, ()))
    assert error.cause == cause


def test_an_unknown_crash_quotes_the_number_that_a_search_finds() -> None:
    assert "C0000005" in diagnose(SPEC, Evidence(0xC0000005, ())).detail
    assert "SIGSEGV" in diagnose(SPEC, Evidence(-11, ())).detail


def test_the_log_goes_before_a_windows_status() -> None:
    lines = ("ggml.c:1: GGML_ASSERT(ctx->mem_buffer != NULL) failed",)
    assert diagnose(SPEC, Evidence(0xC0000409, lines)).cause == "out_of_memory"


# --- Hanging, ports, figures ------------------------------------------------------------------------------


def test_a_hang_is_told_with_the_watchdog_s_sentence() -> None:
    sentence = "It has written no token for 120 s."
    error = diagnose(SPEC, Evidence(None, MEMORY_LINES, ready=True, stuck=sentence))
    assert error.cause == "stuck"
    assert sentence in error.detail


def test_a_hang_after_the_card_was_lost_is_the_card_s() -> None:
    lines = ("0.30.000.000 E ggml_vulkan: device lost on NVIDIA T4",)
    assert diagnose(SPEC, Evidence(None, lines, ready=True, stuck="x")).cause == "driver"


CANNOT_LISTEN = "0.00.002.945 E srv start: couldn't bind HTTP server socket, hostname: 127.0.0.1, port: 80"


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        (errno.EACCES, "port_forbidden"),
        (10013, "port_forbidden"),
        (errno.EADDRINUSE, "port_taken"),
        (10048, "port_taken"),
        (None, "port_taken"),
    ],
)
def test_a_forbidden_port_is_not_a_taken_one(said: int | None, cause: str) -> None:
    error = diagnose(replace(SPEC, port=80), Evidence(1, (CANNOT_LISTEN,), port=80, port_error=said))
    assert error.cause == cause
    assert "port 80" in error.title.lower()
    assert [repair.change for repair in error.repairs] == ["port=auto"]


def test_out_of_memory_says_what_is_needed_only_where_that_explains_it() -> None:
    spec = replace(SPEC, expected=Expected(total_bytes=8_400_000_000))
    short = diagnose(spec, Evidence(1, MEMORY_LINES, available_bytes=6_100_000_000))
    assert "About 8.4 GB are needed and 6.1 GB are free." in short.detail
    plenty = diagnose(spec, Evidence(1, MEMORY_LINES, available_bytes=24_000_000_000))
    assert "free" not in plenty.detail


# --- The lines --------------------------------------------------------------------------------------------


def test_only_lines_after_the_last_answer_can_tell_why_a_running_engine_ended() -> None:
    lines = ["0.00.1 x", "E early", "0.00.026.756 I slot      release: id  0 | task 12 | stop", "late"]
    assert [line.text for line in telling(lines, ready=True)] == ["late"]
    assert [line.text for line in telling(lines, ready=False)] == ["0.00.1 x", "E early", "late"]


# --- All causes -------------------------------------------------------------------------------------------


def documented() -> set[str]:
    """The cause words that the module's documentation lists."""
    assert diagnosis.__doc__ is not None
    listed = diagnosis.__doc__.partition("Cause words:")[2]
    return set(re.findall(r"\b[a-z]+(?:_[a-z]+)*\b(?=[,\n ])", re.sub(r"\(.*?\)|- [^:]*:", "", listed)))


def test_every_cause_is_documented_and_every_documented_one_can_be_told() -> None:
    told = {rule.cause for rule in RULES} | set(diagnosis.WORDS)
    assert told == documented()


def test_what_stays_until_somebody_acts_is_known() -> None:
    known = [*DETERMINISTIC, *NEEDS_CHANGE, *TRANSIENT]
    assert len(known) == len(set(known)), "each is in one of them"
    assert documented() - set(known) == {
        "cannot_answer", "cannot_stop", "closing", "foreign_server", "port_taken", "start_timeout", "stopped"
    }  # fmt: skip
    assert set(known) <= documented()


@given(
    st.one_of(st.none(), st.integers(-70, 300), st.integers(-(2**31), 2**64)),
    st.lists(
        st.text(max_size=200)
        | st.sampled_from([line for _, log, _, _ in CASES.values() for line in log.split("\n")]),
        max_size=5,
    ),
    st.booleans(),
)
def test_any_end_and_any_log_give_whole_sentences(code: int | None, lines: list[str], ready: bool) -> None:
    error = diagnose(SPEC, Evidence(code, lines, ready=ready))
    assert error.cause in documented()
    assert error.title.endswith(".")
    assert error.next_step.endswith(".")


@pytest.mark.parametrize("cause", sorted(diagnosis.WORDS))
def test_what_we_find_out_ourselves_has_sentences_too(cause: str) -> None:
    error = explain(cause, SPEC, port=1234, detail="Seen by us.")
    assert error.cause == cause
    assert "Seen by us." in error.detail
    assert all(part.endswith(".") and "{" not in part for part in (error.title, error.next_step))
