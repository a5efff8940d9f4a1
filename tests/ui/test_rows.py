"""Rows of the transcript as values: how events change them and what they say."""

from dataclasses import replace

from tests.ui.conftest import completion
from whisper_desktop.chat import GUIDE_LABEL
from whisper_desktop.errors import AnswerInterrupted, ConsentRequired, LLMConnectionError
from whisper_desktop.ui.chat import rows
from whisper_desktop.ui.chat.failure import actions_for
from whisper_desktop.values import (
    AnswerFinished,
    Attempt,
    AttemptFailed,
    ErrorKind,
    Reach,
    ReasoningDelta,
    SetupGuidance,
    TextDelta,
)

REFUSED = Attempt(
    "lm_studio",
    "LM Studio",
    "http://127.0.0.1:1234",
    None,
    ErrorKind.CONNECT_REFUSED,
    "nothing listens there",
    0.01,
)
ANSWERED = Attempt("ollama", "Ollama", "http://127.0.0.1:11434", "qwen3.5:4b", None, "", 0.6)


def test_an_answer_grows_and_ends_with_who_gave_it() -> None:
    row = rows.waiting(guide=False)
    for event in (TextDelta("Hel"), TextDelta("lo"), AnswerFinished(completion("Hello"))):
        row = rows.with_event(row, event)
    assert (row.text, row.active, row.note) == ("Hello", False, "")
    assert rows.who_line(row) == "qwen3.5:4b · Ollama · this computer · 0.6 s · 31 tok/s"


def test_a_failover_is_told_while_it_happens_and_afterwards() -> None:
    row = rows.with_event(rows.waiting(guide=False), AttemptFailed(REFUSED))
    assert row.note == "LM Studio did not answer. Trying the next one…"
    reason = "LM Studio did not answer, so Ollama did."
    row = rows.with_event(row, AnswerFinished(completion("Hi", REFUSED, ANSWERED, reason=reason)))
    assert rows.why_line(row) == reason
    assert rows.detail_lines(row) == (
        "LM Studio: nothing listens there (10 ms)",
        "Ollama (qwen3.5:4b): answered after 0.6 s",
        "first token after 0.6 s, 4.2 s in all",
    )


def test_an_answer_without_a_failover_needs_no_reason() -> None:
    row = rows.with_event(rows.waiting(guide=False), AnswerFinished(completion("Hi", reason="It was first.")))
    assert rows.why_line(row) == ""


def test_reasoning_is_kept_apart() -> None:
    row = rows.with_event(rows.waiting(guide=False), ReasoningDelta("Let me think."))
    assert (row.text, row.reasoning, row.note) == ("", "Let me think.", "Thinking…")


def test_waiting_says_for_how_long_after_two_seconds() -> None:
    row = rows.waiting(guide=False)
    assert rows.note_line(replace(row, waited=1)) == "Waiting for the first word…"
    assert rows.note_line(replace(row, waited=7)) == "Waiting for the first word… 7 s"


def test_a_stopped_answer_keeps_its_text_and_shows_where_it_stopped() -> None:
    row = rows.stopped(rows.with_event(rows.waiting(guide=False), TextDelta("one two three")))
    assert (row.text, row.seam, row.active) == ("one two three", "Stopped after 3 words.", False)


def test_a_broken_answer_keeps_its_text_with_a_seam() -> None:
    row = rows.with_event(rows.waiting(guide=False), TextDelta("half an"))
    row = rows.broken(row, AnswerInterrupted("The answer stopped.", "The server closed the connection."))
    assert (row.kind, row.text) == (rows.Kind.ANSWER, "half an")
    assert row.seam == "The answer stopped. The server closed the connection."


def test_a_failure_before_any_text_is_a_row_of_its_own() -> None:
    row = rows.broken(rows.waiting(guide=False), LLMConnectionError("Nobody answered."))
    assert row.kind is rows.Kind.FAILURE


def test_the_guide_is_labelled_in_every_answer() -> None:
    row = rows.with_event(rows.waiting(guide=True), AnswerFinished(completion("Hi", backend="guide")))
    assert rows.who_line(row) == "Guide: a demo for this app · this computer · 0.6 s · 31 tok/s"
    assert rows.who_line(rows.stopped(rows.waiting(guide=True))) == GUIDE_LABEL


def test_a_screen_reader_hears_who_said_what() -> None:
    row = rows.with_event(rows.waiting(guide=False), TextDelta("**Hello**"))
    row = rows.with_event(row, AnswerFinished(completion("**Hello**")))
    assert rows.spoken(row).splitlines()[0] == "qwen3.5:4b: Hello"
    assert rows.spoken(rows.question("Why?")) == "You: Why?"


def test_a_failure_offers_again_guide_and_setup() -> None:
    error = LLMConnectionError("Nobody answered.", setup_guidance=SetupGuidance("Start one."))
    assert [action for action, _label in actions_for(error, guide=False)] == ["retry", "guide", "setup"]


def test_a_failure_of_the_guide_does_not_offer_the_guide() -> None:
    assert [action for action, _label in actions_for(LLMConnectionError("No."), guide=True)] == ["retry"]


def test_a_missing_consent_is_offered_first_also_inside_a_chain() -> None:
    consent = ConsentRequired("OpenRouter is in the cloud.", needed=Reach.CLOUD)
    for error in (consent, LLMConnectionError("Nobody answered.", last_error=consent)):
        assert actions_for(error, guide=False)[0] == ("allow", "Allow cloud in this chat")
