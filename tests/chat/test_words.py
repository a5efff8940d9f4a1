"""The words for breaks, waiting and failures, the same in every front end."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisper_desktop.chat import (
    Advice,
    SetAside,
    advice_on,
    failed_line,
    failure_of,
    tool_call_line,
    tries_besides,
    waiting_line,
    with_time,
)
from whisper_desktop.chat.breaks import Seam, marked, parts, restart_lines, seam_lines
from whisper_desktop.errors import (
    BackendError,
    ConsentRequired,
    Interrupted,
    LLMConnectionError,
    NetworkBlocked,
    SettingsError,
    WhisperError,
)
from whisper_desktop.values import (
    Attempt,
    DownloadLink,
    ErrorKind,
    Phase,
    Progress,
    Reach,
    SetupGuidance,
    ToolCall,
)


def broke(name: str) -> Attempt:
    return Attempt("lm_studio", name, "", None, ErrorKind.STREAM_CUT, "Cut.", 1.0)


@pytest.mark.parametrize(
    ("progress", "line"),
    [
        (Progress(Phase.LOADING, 0.4), "Loading the model… 40 %"),
        (Progress(Phase.LOADING), "Loading the model…"),
        (Progress(Phase.LOADING, 0.4, server_name="LM Studio"), "LM Studio is loading its model… 40 %"),
        (Progress(Phase.READING, 0.3, server_name="Ollama"), "Ollama is reading the prompt… 30 %"),
        (Progress(Phase.READING, 0.309), "Reading the prompt… 31 %"),
        (Progress(Phase.READING, 0.996), "Reading the prompt… 100 %"),
        (Progress(Phase.READING, 1.0), ""),  # it has been read, and a short one is not told at all
        (Progress(Phase.CALLING), "Preparing a function call…"),
        (Progress(Phase.QUEUED, ahead=2), "Waiting for a free place; 2 before you"),
        (Progress(Phase.QUEUED), "Waiting for a free place"),
    ],
)
def test_waiting_says_what_for(progress: Progress, line: str) -> None:
    assert waiting_line(progress) == line


def test_waiting_is_counted_from_two_seconds_on() -> None:
    assert with_time("Loading the model…", 1.9) == "Loading the model…"
    assert with_time("Loading the model…", 7.4) == "Loading the model… 7 s"
    assert with_time("Loading the model… 40 %", 7) == "Loading the model… 40 % · 7 s"
    assert with_time("", 7) == ""


def test_a_failed_try_says_what_happened_and_that_it_goes_on() -> None:
    refused = replace(broke("Ollama"), detail="Ollama is not running. Nothing answers at 127.0.0.1:11434.")
    assert failed_line(refused) == "Ollama is not running. Going on…"
    assert failed_line(replace(refused, detail="It is 2.5 times too long. So.")) == (
        "Ollama: It is 2.5 times too long. Going on…"
    )


def test_nothing_is_said_of_who_was_not_waited_for() -> None:
    """A step that is left out takes no time, and the slower one of two is told when the other speaks."""
    assert failed_line(replace(broke("Ollama"), skipped=True)) == ""
    assert failed_line(replace(broke("Ollama"), kind=ErrorKind.CANCELLED)) == ""


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


def test_a_seam_says_whether_somebody_stopped_the_answer_or_it_was_as_long_as_allowed() -> None:
    def seam(kind: ErrorKind | None) -> Seam:
        return Seam(3, Attempt("ollama", "Ollama", "", None, kind, "", 1.0))

    by_person, at_length = seam(ErrorKind.CANCELLED), seam(None)
    assert seam_lines((by_person,), "Ollama") == ("The answer was stopped here; Ollama went on.",)
    assert seam_lines((by_person,)) == ("The answer was stopped here.",)
    assert seam_lines((at_length,), "Ollama") == ("The answer was as long as allowed here; Ollama went on.",)
    assert restart_lines((SetAside(by_person.failed, "Once"),), "Ollama") == (
        "Instead of going on, the answer began anew.",
    )


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


LINK = DownloadLink("Get it", "https://example.org/get")
ONE_STEP = SetupGuidance("X did not answer.", ("Set X up.",), (LINK,))
STEPS = SetupGuidance("Neither X nor Y answered.", ("Start X.", "Wait for Y."), (LINK,))


def failed(kind: ErrorKind, guidance: SetupGuidance | None) -> LLMConnectionError:
    return LLMConnectionError("No.", "", "Wait 40 s.", kind=kind, setup_guidance=guidance)


@pytest.mark.parametrize(
    ("kind", "guidance", "advice"),
    [
        # It was there, and knows best: nothing is to be set up, downloaded or asked of the guide.
        (ErrorKind.RATE_LIMITED, ONE_STEP, Advice("Wait 40 s.")),
        (ErrorKind.BUDGET, ONE_STEP, Advice("Wait 40 s.")),
        (ErrorKind.AUTH, ONE_STEP, Advice("Wait 40 s.", links=(LINK,))),
        # It is not there yet: how to get it comes in place of "start it".
        (ErrorKind.CONNECT_REFUSED, ONE_STEP, Advice("Set X up.", links=(LINK,), guide=True)),
        # Several were asked: one step for each.
        (
            ErrorKind.RATE_LIMITED,
            STEPS,
            Advice("", "Neither X nor Y answered.", STEPS.steps, (LINK,), guide=True),
        ),
        (ErrorKind.SERVER_ERROR, None, Advice("Wait 40 s.")),
        (ErrorKind.SERVER_ERROR, SetupGuidance("X did not answer."), Advice("Wait 40 s.")),
    ],
)
def test_what_to_do_is_said_once_by_who_knows_it_best(
    kind: ErrorKind, guidance: SetupGuidance | None, advice: Advice
) -> None:
    assert advice_on(failed(kind, guidance)) == advice


def test_guidance_fills_in_where_an_error_knows_nothing_to_do() -> None:
    silent = LLMConnectionError("No.", kind=ErrorKind.RATE_LIMITED, setup_guidance=ONE_STEP)
    assert advice_on(silent).first == "Set X up."


def test_a_question_keeps_its_own_words_before_what_else_can_be_done() -> None:
    asks = ConsentRequired("Far.", "", "Allow it.", needed=Reach.CLOUD, setup_guidance=STEPS)
    assert (advice_on(asks).first, advice_on(asks).steps) == ("Allow it.", STEPS.steps)
    alone = ConsentRequired("Far.", "", "Allow it.", needed=Reach.CLOUD, setup_guidance=ONE_STEP)
    assert advice_on(alone) == Advice("Allow it.")


def test_a_try_is_not_told_twice() -> None:
    far = Attempt("openrouter", "OpenRouter", "", None, ErrorKind.CONSENT_REQUIRED, "Far. Not sent.", 0.0)
    asks = ConsentRequired("Far.", "Not sent.", needed=Reach.CLOUD)
    for attempts, told in (((far,), ()), ((far, far), ()), ((TRIED[0], far), TRIED)):
        asks.attempts = attempts
        assert tries_besides(asks) == told
    both = (replace(TRIED[0], detail="X failed (500)."), TRIED[0])
    assert tries_besides(LLMConnectionError("X failed (500).", attempts=both)) == both
    assert tries_besides(LLMConnectionError("X failed (500).", attempts=both[:1] * 2)) == ()
    assert tries_besides(Interrupted("It stopped.", attempts=TRIED)) == ()
