"""Whatever crosses the control socket arrives as it was sent."""

from typing import get_args

import pytest

from whisper_desktop.control import codec
from whisper_desktop.errors import (
    BackendError,
    ConsentRequired,
    ControlError,
    EngineError,
    Interrupted,
    LLMConnectionError,
    NetworkBlocked,
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
    DownloadLink,
    EngineState,
    EngineStatus,
    ErrorKind,
    Image,
    Message,
    Phase,
    Progress,
    Provenance,
    Reach,
    ReasoningDelta,
    Role,
    SetupGuidance,
    StreamEvent,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
)

ATTEMPT = Attempt("ollama", "Ollama", "http://127.0.0.1:11434", "m", ErrorKind.LOADING, "It loads.", 0.5, 503)
SKIPPED = Attempt("openrouter", "OpenRouter", "", None, ErrorKind.CONSENT_REQUIRED, "Far.", 0.0, None, True)
CALL = ToolCall("call_1", "get_weather", '{"city": "Lisbon"}', "signed")
GUIDANCE = SetupGuidance("Do this", ("One.",), (DownloadLink("Ollama", "https://ollama.com"),))
PROVENANCE = Provenance(
    "ollama",
    "Ollama",
    "",
    "m",
    Reach.CLOUD,
    True,
    "It was first.",
    (SKIPPED, ATTEMPT),
    0.1,
    2.5,
    31.0,
    Usage(10, 20, 31.0, 400.0, 0.002, 8, 4),
)
EVENTS = (
    AttemptFailed(ATTEMPT),
    Progress(Phase.READING, 0.31),
    Progress(Phase.QUEUED, ahead=2),
    AnswerStarted("ollama", "Ollama", "m", Reach.MY_NETWORK),
    TextDelta("é “quoted” \n line"),
    ReasoningDelta("not the same field as a text delta"),
    ToolCallDelta(CALL),
    AnswerRestarted(ATTEMPT, "Half an", "I think"),
    AnswerContinued(ATTEMPT, 7),
    AnswerFinished(Completion("Whole", "Hm", "stop", PROVENANCE.usage, PROVENANCE, (CALL,), (3,))),
)


def test_every_event_of_an_answer_is_among_the_examples() -> None:
    assert {type(event) for event in EVENTS} == set(get_args(StreamEvent))


@pytest.mark.parametrize(
    "value",
    [
        *EVENTS,
        Message(Role.USER, "hi"),
        Message(Role.ASSISTANT, "", tool_calls=(CALL,)),
        Message(Role.USER, "What is this?", images=(Image(bytes(range(256))), Image(b"plain letters"))),
        EngineStatus("builtin", EngineState.READY, "m", "http://127.0.0.1:1", 42, "", 7),
    ],
)
def test_a_value_survives_the_line(value: object) -> None:
    line = codec.to_line({"id": 1, "event": codec.value_to_json(value)})
    assert line.count(b"\n") == 1
    assert codec.value_from_json(codec.from_line(line)["event"]) == value


def again(error: WhisperError) -> WhisperError:
    """The error after it has crossed the socket."""
    return codec.error_from_json(codec.from_line(codec.to_line(codec.error_to_json(error))))


def fields(error: WhisperError) -> dict[str, object]:
    """Everything an error holds; of an error behind it likewise."""
    held = {name: value for name, value in vars(error).items() if not name.startswith("__")}
    last = held.pop("last_error", None)
    return {**held, "last_error": fields(last)} if isinstance(last, WhisperError) else held


@pytest.mark.parametrize(
    "error",
    [
        LLMConnectionError(
            "Nobody answered.",
            "Two were tried.",
            "Open Setup.",
            kind=ErrorKind.AUTH,
            attempts=(ATTEMPT, SKIPPED),
            last_error=ConsentRequired("The cloud was not allowed.", needed=Reach.CLOUD),
            setup_guidance=GUIDANCE,
        ),
        ConsentRequired(
            "OpenRouter could.", needed=Reach.CLOUD, attempts=(ATTEMPT,), setup_guidance=GUIDANCE
        ),
        ConsentRequired("Nobody can say where it runs."),
        NetworkBlocked("The network is off.", attempts=(SKIPPED,), setup_guidance=GUIDANCE),
        Interrupted("It stopped.", partial_text="half", kind=ErrorKind.STALLED, attempts=(ATTEMPT,)),
        BackendError(
            ErrorKind.RATE_LIMITED,
            "Slow down.",
            status=429,
            retry_after=1.5,
            request_sent=False,
            attempts=(ATTEMPT,),
        ),
        EngineError("It cannot run.", cause="port_taken"),
        SettingsError("That is not a port.", key="llm.lmstudio.port", where="line 3"),
        ControlError("Gone."),
    ],
)
def test_each_error_keeps_its_type_its_words_and_all_that_it_carries(error: WhisperError) -> None:
    received = again(error)
    assert type(received) is type(error)
    assert str(received) == str(error)
    assert fields(received) == fields(error)
    assert getattr(received, "kind", None) == getattr(error, "kind", None)


@pytest.mark.parametrize(
    "data",
    [
        None,
        {"type": "BackendError", "title": "No kind."},
        {"type": "BackendError", "kind": "no such kind"},
        {"type": "LLMConnectionError", "attempts": [{"backend": 1}]},
        {"type": "SettingsError", "last_error": {"type": "ControlError"}},
    ],
)
def test_what_is_no_error_becomes_a_sentence_about_that(data: object) -> None:
    assert "do not understand each other" in str(codec.error_from_json(data))


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {"type": "TextDelta"},
        {"type": "Evil", "value": {}},
        {"type": "TextDelta", "value": {"text": {}}},
    ],
)
def test_what_is_no_value_is_refused(data: object) -> None:
    with pytest.raises(ControlError):
        codec.value_from_json(data)


@pytest.mark.parametrize("line", [b"", b"{", b"[]\n", b"\xff\n", b'"text"\n'])
def test_what_is_no_line_is_refused(line: bytes) -> None:
    with pytest.raises(ControlError):
        codec.from_line(line)
