"""What the terminal prints of an answer that waits, breaks or calls something, and of a chain that asks."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from dataclasses import replace

import pytest

from whisper_desktop.chat import Session, SetAside
from whisper_desktop.cli import output, shapes
from whisper_desktop.cli.chat import answer
from whisper_desktop.errors import (
    BackendError,
    ConsentRequired,
    Interrupted,
    LLMConnectionError,
    SettingsError,
    WhisperError,
)
from whisper_desktop.values import (
    AnswerContinued,
    AnswerFinished,
    AnswerRestarted,
    AnswerStarted,
    Attempt,
    AttemptFailed,
    Completion,
    ErrorKind,
    Message,
    Phase,
    Progress,
    Provenance,
    Reach,
    ReasoningDelta,
    SetupGuidance,
    StreamEvent,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
)

BROKE = Attempt("lm_studio", "LM Studio", "", "m", ErrorKind.STREAM_CUT, "The connection broke.", 3.0)
FAR = Attempt("openrouter", "OpenRouter", "", None, ErrorKind.CONSENT_REQUIRED, "Far.", 0.0, skipped=True)
OLLAMA_SPEAKS = AnswerStarted("ollama", "Ollama", "m", Reach.THIS_MACHINE)
WHO = Provenance(
    "ollama", "Ollama", "", "m", Reach.THIS_MACHINE, False, "It was first", (BROKE,), 0.1, 0.2, None
)


def finished(text: str, **more: object) -> AnswerFinished:
    return AnswerFinished(Completion(text, "", "stop", Usage(), WHO, **more))  # type: ignore[arg-type]


async def printed(
    capsys: pytest.CaptureFixture[str], *events: StreamEvent | WhisperError
) -> tuple[str, str, Session]:
    """Standard output and error of one answer, and the conversation it belongs to."""

    async def ask(_session: Session, _messages: Sequence[Message]) -> AsyncGenerator[StreamEvent, None]:
        for event in events:
            if isinstance(event, WhisperError):
                raise event
            yield event

    session = Session(ask)
    with suppress(WhisperError):
        await answer(session, "Count", show=True)
    said = capsys.readouterr()
    return said.out, said.err, session


async def test_a_new_beginning_stands_below_a_seam_line_and_nothing_is_lost(
    capsys: pytest.CaptureFixture[str],
) -> None:
    out, _err, _session = await printed(
        capsys,
        TextDelta("one "),
        TextDelta("two"),
        AnswerRestarted(BROKE, "one two"),
        Progress(Phase.LOADING, 0.4),
        OLLAMA_SPEAKS,
        TextDelta("uno dos"),
        finished("uno dos"),
    )
    lines = out.splitlines()
    assert lines[:3] == ["one two", "[LM Studio stopped after 2 words; Ollama began anew.]", "uno dos"]
    assert lines[3].startswith("— ")


async def test_a_continued_text_has_a_seam_line_where_somebody_else_goes_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    out, _err, _session = await printed(
        capsys,
        TextDelta("one tw"),
        AnswerContinued(BROKE, 6),
        OLLAMA_SPEAKS,
        TextDelta("o"),
        finished("one two", seams=(6,)),
    )
    assert out.splitlines()[:3] == ["one tw", "[LM Studio stopped here; Ollama went on.]", "o"]


async def test_who_did_not_answer_is_told_when_somebody_does_and_not_before(
    capsys: pytest.CaptureFixture[str],
) -> None:
    refused = replace(BROKE, detail="LM Studio is not running.", seconds=0.01)
    failed = (AttemptFailed(refused), AttemptFailed(FAR))
    _out, err, _session = await printed(capsys, *failed, OLLAMA_SPEAKS, TextDelta("Hi"), finished("Hi"))
    assert err.splitlines() == ["LM Studio is not running (10 ms)", "OpenRouter: Far"]
    _out, err, _session = await printed(capsys, *failed, LLMConnectionError("Nobody answered."))
    assert err == ""  # the error tells them


async def test_a_break_is_marked_whatever_follows_it(capsys: pytest.CaptureFixture[str]) -> None:
    restarted = AnswerRestarted(BROKE, "", "Hm.")
    out, _err, _session = await printed(
        capsys, ReasoningDelta("Hm."), restarted, TextDelta("uno"), finished("uno")
    )
    line = "[LM Studio stopped before the first word of its answer; the answer begins anew.]\n"
    assert out.startswith(f"{line}uno\n")
    out, _err, _session = await printed(capsys, ReasoningDelta("Hm."), restarted, Interrupted("It stopped."))
    assert out == line


async def test_a_tool_call_is_told_and_leaves_the_piped_text_as_it_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    call = ToolCall("1", "get_weather", '{"city": "Lisbon\x1b[31m"}')
    out, err, _session = await printed(
        capsys, TextDelta("Let me "), ToolCallDelta(call), TextDelta("see."), finished("Let me see.")
    )
    assert out.startswith("Let me see.\n— ")
    assert err == 'Calls get_weather with {"city": "Lisbon[31m"}\n'


async def test_nothing_is_printed_about_waiting_where_nobody_looks(
    capsys: pytest.CaptureFixture[str],
) -> None:
    out, err, _session = await printed(
        capsys, Progress(Phase.QUEUED, ahead=2), ReasoningDelta("Hm."), TextDelta("Hi"), finished("Hi")
    )
    assert (out.splitlines()[0], err) == ("Hi", "")


async def test_an_interrupted_answer_ends_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    out, _err, session = await printed(capsys, TextDelta("one two"), Interrupted("It stopped."))
    assert out == "one two\n"
    assert session.turns[0].answer == "one two"


def test_json_tells_calls_seams_and_what_was_set_aside() -> None:
    completion = finished("one two", tool_calls=(ToolCall("1", "now", "{}"),), seams=(6,)).completion
    told = shapes.completion_shape(completion, (SetAside(BROKE, "uno", "Hm."),))
    assert told["tool_calls"] == [{"id": "1", "name": "now", "arguments": "{}"}]
    assert told["seams"] == [6]
    (aside,) = told["set_aside"]
    assert (aside["text"], aside["reasoning"], aside["attempt"]["kind"]) == ("uno", "Hm.", "stream_cut")


GUIDANCE = SetupGuidance("Or stay on this computer.", ("Start LM Studio.", "Load a model."))
CONSENT = ConsentRequired(
    "OpenRouter could answer, but it is in the cloud.",
    "LM Studio did not answer.",
    "Allow the cloud for this conversation.",
    needed=Reach.CLOUD,
    attempts=(BROKE, FAR),
    setup_guidance=GUIDANCE,
)


@pytest.mark.parametrize(
    "error",
    [
        CONSENT,
        LLMConnectionError(
            CONSENT.title,
            CONSENT.detail,
            CONSENT.next_step,
            attempts=CONSENT.attempts,
            last_error=CONSENT,
            setup_guidance=GUIDANCE,
        ),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_question_and_a_failed_chain_are_told_alike(
    error: WhisperError, capsys: pytest.CaptureFixture[str]
) -> None:
    output.say_error(error)
    assert capsys.readouterr().err.splitlines() == [
        "OpenRouter could answer, but it is in the cloud.",
        "  LM Studio did not answer.",
        "  Allow the cloud for this conversation.",
        "  To allow it for one question: whisper-desktop chat --reach cloud",
        "  - LM Studio (m): The connection broke (3.0 s)",
        "  - OpenRouter: Far",
        "",
        "Or stay on this computer.",
        "  1. Start LM Studio.",
        "  2. Load a model.",
        "  Or ask the guide about this app: whisper-desktop chat --guide",
    ]


def test_one_failure_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    slow = replace(BROKE, detail="LM Studio asks to slow down (429). It says: “Wait.”")
    error = LLMConnectionError(
        "LM Studio asks to slow down (429).",
        "It says: “Wait.”",
        "Try again in 40 s.",
        kind=ErrorKind.RATE_LIMITED,
        attempts=(slow,),
        setup_guidance=SetupGuidance("LM Studio did not answer.", ("Wait a while.",)),
    )
    output.say_error(error)
    assert capsys.readouterr().err.splitlines() == [
        "LM Studio asks to slow down (429).",
        "  It says: “Wait.”",
        "  Try again in 40 s.",
    ]


def test_json_tells_kind_and_attempts_of_every_failed_answer() -> None:
    interrupted = Interrupted("It stopped.", partial_text="one", kind=ErrorKind.STALLED, attempts=(BROKE,))
    slow = BackendError(ErrorKind.RATE_LIMITED, "Slow down.", status=429, retry_after=2.0, attempts=(BROKE,))
    for error, kind in (
        (CONSENT, "consent_required"),
        (interrupted, "stalled"),
        (slow, "rate_limited"),
        (LLMConnectionError("No.", kind=ErrorKind.AUTH, attempts=(BROKE,)), "auth"),
    ):
        told = shapes.error_shape(error)["error"]
        assert told["kind"] == kind
        assert told["attempts"][0]["server_name"] == "LM Studio"
    told = shapes.error_shape(CONSENT)["error"]
    assert (told["needed"], told["setup_guidance"]["steps"]) == (
        "cloud",
        ["Start LM Studio.", "Load a model."],
    )
    assert [attempt["skipped"] for attempt in told["attempts"]] == [False, True]
    assert shapes.error_shape(interrupted)["error"]["partial_text"] == "one"
    assert shapes.error_shape(slow)["error"]["retry_after"] == 2.0
    assert "kind" not in shapes.error_shape(SettingsError("No."))["error"]
