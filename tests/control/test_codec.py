"""Whatever crosses the control socket arrives as it was sent."""

import pytest

from whisper_desktop.control import codec
from whisper_desktop.errors import (
    AnswerInterrupted,
    BackendError,
    ConsentRequired,
    ControlError,
    EngineError,
    LLMConnectionError,
    SettingsError,
    WhisperError,
)
from whisper_desktop.values import (
    Attempt,
    AttemptFailed,
    DownloadLink,
    EngineState,
    EngineStatus,
    ErrorKind,
    Message,
    Reach,
    ReasoningDelta,
    Role,
    SetupGuidance,
    TextDelta,
)

ATTEMPT = Attempt("ollama", "Ollama", "http://127.0.0.1:11434", "m", ErrorKind.LOADING, "It loads.", 0.5, 503)


@pytest.mark.parametrize(
    "value",
    [
        TextDelta("é “quoted” \n line"),
        ReasoningDelta("same fields as a text delta"),
        AttemptFailed(ATTEMPT),
        Message(Role.USER, "hi"),
        EngineStatus("builtin", EngineState.READY, "m", "http://127.0.0.1:1", 42, "", 7),
    ],
)
def test_a_value_survives_the_line(value: object) -> None:
    line = codec.to_line({"id": 1, "event": codec.value_to_json(value)})
    assert line.count(b"\n") == 1
    assert codec.value_from_json(codec.from_line(line)["event"]) == value


def test_a_chain_error_survives_with_attempts_guidance_and_its_cause() -> None:
    error = LLMConnectionError(
        "Nobody answered.",
        "Two were tried.",
        "Open Setup.",
        attempts=(ATTEMPT,),
        last_error=ConsentRequired("The cloud was not allowed.", needed=Reach.CLOUD),
        setup_guidance=SetupGuidance("Do this", ("One.",), (DownloadLink("Ollama", "https://ollama.com"),)),
    )
    again = codec.error_from_json(codec.from_line(codec.to_line(codec.error_to_json(error))))
    assert isinstance(again, LLMConnectionError)
    assert (again.title, again.detail, again.next_step) == (error.title, error.detail, error.next_step)
    assert again.attempts == error.attempts
    assert again.setup_guidance == error.setup_guidance
    assert isinstance(again.last_error, ConsentRequired)
    assert again.last_error.needed is Reach.CLOUD


@pytest.mark.parametrize(
    "error",
    [
        AnswerInterrupted("It stopped.", partial_text="half", kind=ErrorKind.STALLED),
        BackendError(ErrorKind.AUTH, "The key was refused."),
        EngineError("It cannot run.", cause="port_taken"),
        SettingsError("That is not a port."),
        ControlError("Gone."),
    ],
)
def test_each_error_keeps_its_type_and_words(error: WhisperError) -> None:
    again = codec.error_from_json(codec.from_line(codec.to_line(codec.error_to_json(error))))
    assert type(again) is type(error)
    assert str(again) == str(error)
    for name in ("partial_text", "kind", "cause"):
        assert getattr(again, name, None) == getattr(error, name, None)


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
