"""The words for breaks, waiting and failures, the same in every front end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisper_desktop.chat import SetAside, failure_of, tool_call_line, waiting_line
from whisper_desktop.chat.breaks import Seam, marked, parts, restart_lines
from whisper_desktop.errors import (
    BackendError,
    ConsentRequired,
    Interrupted,
    LLMConnectionError,
    NetworkBlocked,
    SettingsError,
    WhisperError,
)
from whisper_desktop.values import Attempt, ErrorKind, Phase, Progress, Reach, SetupGuidance, ToolCall


def broke(name: str) -> Attempt:
    return Attempt("lm_studio", name, "", None, ErrorKind.STREAM_CUT, "Cut.", 1.0)


@pytest.mark.parametrize(
    ("progress", "line"),
    [
        (Progress(Phase.LOADING, 0.4), "Loading the model… 40 %"),
        (Progress(Phase.LOADING), "Loading the model…"),
        (Progress(Phase.READING, 0.309), "Reading the prompt… 31 %"),
        (Progress(Phase.READING, 7.0), "Reading the prompt… 100 %"),
        (Progress(Phase.QUEUED, ahead=2), "Waiting for a free place; 2 before you"),
        (Progress(Phase.QUEUED), "Waiting for a free place"),
    ],
)
def test_waiting_says_what_for(progress: Progress, line: str) -> None:
    assert waiting_line(progress) == line


def test_a_new_beginning_says_who_stopped_and_who_answers_now() -> None:
    asides = (
        SetAside(broke("LM Studio"), "word " * 42),
        SetAside(broke("Ollama"), "One"),
        SetAside(broke("Ollama"), "", "Hm"),
    )
    assert restart_lines(asides, "OpenRouter") == (
        "LM Studio stopped after 42 words; Ollama began anew.",
        "Ollama stopped after one word and began anew.",
        "Ollama stopped before the first word of its answer; OpenRouter began anew.",
    )
    assert restart_lines(asides[:1]) == ("LM Studio stopped after 42 words; the answer begins anew.",)


def test_a_continued_text_is_marked_where_somebody_else_went_on() -> None:
    seams = (Seam(3, broke("LM Studio")), Seam(6, broke("Ollama")))
    assert marked("onetwothree", seams, "OpenRouter") == (
        "one\n\n[LM Studio stopped here; Ollama went on.]\n\n"
        "two\n\n[Ollama stopped here; OpenRouter went on.]\n\nthree"
    )
    assert marked("one", ()) == "one"


@given(st.text(), st.lists(st.integers(0, 60), max_size=4))
def test_cutting_at_seams_loses_and_doubles_nothing(text: str, positions: list[int]) -> None:
    seams = tuple(Seam(position, broke("X")) for position in sorted(positions) if position <= len(text))
    cut = parts(text, seams)
    assert "".join(cut) == text
    assert len(cut) == len(seams) + 1


def test_a_tool_call_is_one_short_line() -> None:
    assert tool_call_line(ToolCall("1", "get_weather", '{\n  "city": "Lisbon"\n}')) == (
        'Calls get_weather with { "city": "Lisbon" }'
    )
    assert tool_call_line(ToolCall("1", "now", "{}")) == "Calls now"
    assert len(tool_call_line(ToolCall("1", "write", "x" * 10_000))) < 250


TRIED = (broke("LM Studio"),)
GUIDANCE = SetupGuidance("Start one.")
CONSENT = ConsentRequired("Far.", needed=Reach.CLOUD, attempts=TRIED, setup_guidance=GUIDANCE)


@pytest.mark.parametrize(
    ("error", "attempts", "guidance", "asks"),
    [
        (CONSENT, TRIED, GUIDANCE, True),
        (LLMConnectionError("No.", attempts=TRIED, last_error=CONSENT), TRIED, None, True),
        (LLMConnectionError("No.", attempts=TRIED, setup_guidance=GUIDANCE), TRIED, GUIDANCE, False),
        (NetworkBlocked("Off.", attempts=TRIED), TRIED, None, False),
        (BackendError(ErrorKind.AUTH, "No.", attempts=TRIED), TRIED, None, False),
        (Interrupted("It stopped.", attempts=TRIED), TRIED, None, False),
        (SettingsError("No."), (), None, False),
    ],
)
def test_what_is_known_of_a_failure_does_not_depend_on_its_type(
    error: WhisperError, attempts: tuple[Attempt, ...], guidance: SetupGuidance | None, asks: bool
) -> None:
    failure = failure_of(error)
    assert (failure.attempts, failure.guidance) == (attempts, guidance)
    assert failure.consent is (CONSENT if asks else None)
