"""A line of a log may be whatever a model file or a program wants; reading it never takes long."""

import itertools
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from whisper_desktop.engines import child_mode, diagnosis_rules, log_lines, oracle, outcome, readiness
from whisper_desktop.engines.builds import describe
from whisper_desktop.engines.diagnosis import diagnose
from whisper_desktop.engines.evidence import Evidence
from whisper_desktop.engines.log import RING_BYTES
from whisper_desktop.engines.log_lines import LINE_MOST
from whisper_desktop.engines.spec import EngineSpec

LONGEST_LINE = 8192  # what `EngineLog` cuts lines to
SPEC = EngineSpec(Path("/models/some.gguf"), "some", n_ctx=8192)


def of(*modules: object) -> Iterator[re.Pattern[str]]:
    for module in modules:
        yield from (value for value in vars(module).values() if isinstance(value, re.Pattern))


def of_rules() -> Iterator[re.Pattern[str]]:
    for rule in diagnosis_rules.RULES:
        yield from (pattern for pattern in (rule.pattern, rule.besides) if pattern is not None)


LINES_CUT = [*of_rules(), *of(outcome, log_lines)]
LINES_WHOLE = list(of(child_mode, oracle, describe, readiness))


def repeated(pattern: re.Pattern[str]) -> set[str]:
    """The pattern's own words, alone and in pairs: what repeated lets it start, and fail, again and again."""
    plain = re.sub(r"\\[dwSs]|\{[\d,]+\}|\(\?[:i!<]+", "\0", pattern.pattern)
    words = re.findall(r"[^\0\\|()\[\]?^$]{2,}|[ (':]", plain.replace("\\", ""))[:8]
    filled = [plain.replace("\\", "").replace("\0", filler)[:200] for filler in " a1"]
    return {
        *words,
        *filled,
        *map("".join, itertools.permutations(words, 2)),
        " ",
        "a",
        "1",
        "1 ",
        "- a ",
        ": ",
    }


HOSTILE = sorted({text for pattern in (*LINES_CUT, *LINES_WHOLE) for text in repeated(pattern)})


def seconds(work: Callable[[], object]) -> float:
    """Of this thread's own processor time, the least of three where the first is not little."""
    least = 1e9
    for _ in range(3):
        before = time.thread_time()
        work()
        least = min(least, time.thread_time() - before)
        if least < 0.002:
            break
    return least


@pytest.mark.parametrize("pattern", [*of_rules(), *of(outcome, log_lines, child_mode, oracle)], ids=str)
def test_no_repetition_is_without_a_most(pattern: re.Pattern[str]) -> None:
    plain = re.sub(r"\\.|\[\^?\]?[^\]]*\]", "x", pattern.pattern)
    assert not re.search(r"[*+]|,\}", plain)


def test_only_the_beginning_of_a_line_is_searched() -> None:
    assert len(log_lines.parse("x" * LONGEST_LINE).text) == LINE_MOST


def test_no_line_is_searched_for_long() -> None:
    slow = [
        (pattern.pattern[:80], text)
        for patterns, length in ((LINES_CUT, LINE_MOST), (LINES_WHOLE, LONGEST_LINE))
        for pattern in patterns
        for text in repeated(pattern)
        if seconds(lambda: pattern.search((text * length)[:length])) > length * 5e-6  # noqa: B023
    ]
    assert slow == []


@pytest.mark.parametrize("length", [LINE_MOST, LONGEST_LINE])
@pytest.mark.parametrize(
    "text",
    [
        "llama_context",
        "size = K (a): ",
        "failed to open GGUF file 'a' (",
        "error loading model: tensor '",
        "CUDA error: ",
        "common_fit",
        "ggml_metal_",
        "using device a (b) (c) ",
        "load_x.cpp:1: GGML_ASSERT(",
        "0.00.000.001 E error while handling argument",
    ],
)
def test_a_whole_log_is_read_in_no_time(text: str, length: int) -> None:
    lines = [(text * length)[:length]] * (RING_BYTES // length)
    assert seconds(lambda: diagnose(SPEC, Evidence(-6, lines))) < 1.0
    assert seconds(lambda: outcome.read_outcome(lines)) < 0.5


@pytest.mark.parametrize("text", ["| - a ", "memory breakdown [MiB]| - a ", "-a  - ", " a: b ("])
def test_what_a_program_prints_is_read_in_no_time(text: str) -> None:
    lines = [(text * LONGEST_LINE)[:LONGEST_LINE]] * 100
    assert seconds(lambda: oracle.read_table(["memory breakdown [MiB]", *lines])) < 0.5
    assert seconds(lambda: oracle.read_answer(lines)) < 0.5
    assert seconds(lambda: describe.flags_in("\n".join(lines))) < 0.5
    assert seconds(lambda: describe.parse_devices("\n".join(lines))) < 0.5
    assert seconds(lambda: describe.flags_in("-a" + " " * 20_000 + "-b")) < 0.5
