"""Rows of the transcript as values: how events change them and what they say."""

from dataclasses import replace
from typing import Any

import pytest

from tests.ui.conftest import completion
from whisper_desktop.chat import GUIDE_LABEL, WAITING
from whisper_desktop.chat.records import Node, TurnState
from whisper_desktop.errors import BackendError, ConsentRequired, Interrupted, LLMConnectionError
from whisper_desktop.ui.chat import rows
from whisper_desktop.ui.chat.failure import actions_for
from whisper_desktop.values import (
    AnswerContinued,
    AnswerFinished,
    AnswerRestarted,
    AnswerStarted,
    Attempt,
    AttemptFailed,
    ErrorKind,
    Phase,
    Progress,
    Reach,
    ReasoningDelta,
    Repair,
    Role,
    SetupGuidance,
    StreamEvent,
    TextDelta,
    ToolCall,
    ToolCallDelta,
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
    assert row.note == "LM Studio: nothing listens there. Going on…"
    assert rows.with_event(row, AttemptFailed(replace(REFUSED, skipped=True))) == row
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
    row = rows.broken(row, Interrupted("The answer stopped.", "The server closed the connection."))
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
        assert actions_for(error, guide=False)[0] == ("allow", "Allow the cloud in this chat")


@pytest.mark.parametrize(
    ("kind", "actions"),
    [
        (ErrorKind.CONTENT_FILTER, ["edit", "retry"]),
        (ErrorKind.CONTEXT_OVERFLOW, ["chat", "edit", "retry"]),
        (ErrorKind.BUDGET, ["settings", "retry"]),
        (ErrorKind.AUTH, ["setup", "retry"]),
        (ErrorKind.RATE_LIMITED, ["retry", "guide", "setup"]),
    ],
)
def test_what_removes_the_cause_comes_before_trying_again(kind: ErrorKind, actions: list[str]) -> None:
    assert [action for action, _label in actions_for(BackendError(kind, "No."), guide=False)] == actions


def test_a_question_can_also_be_answered_by_setting_up_a_model_here() -> None:
    consent = ConsentRequired("It is in your network.", needed=Reach.MY_NETWORK)
    assert actions_for(consent, guide=False) == (
        ("allow", "Allow my network in this chat"),
        ("retry", "Try again"),
        ("setup", "Open setup"),
    )


def test_a_server_that_nobody_can_place_is_allowed_by_name_or_not_now() -> None:
    left_out = Attempt("jan", "Jan", "http://127.0.0.1:1337/v1", None, ErrorKind.CONSENT_REQUIRED, "", 0.0)
    asks = ConsentRequired("Jan was not asked.", attempts=(left_out,))
    assert actions_for(asks, guide=False) == (
        ("allow", "Allow Jan"),
        ("edit", "Not now"),
        ("setup", "Open setup"),
    )
    broke_off = rows.broken(rows.with_event(rows.waiting(guide=False), TextDelta("one")), asks)
    assert rows.offers(broke_off) == (
        ("allow", "Allow Jan"),
        ("continue", "Continue"),
        ("retry", "Try again"),
    )


SHORTER = Repair("smaller_context", "Use a shorter context", "Half of it.", change="n_ctx=4096")
SMALLER = Repair(
    "quantized_cache", "Keep conversations in half the memory", "8 bits.", change="cache_type=q8_0"
)
NO_REPACK = Repair("no_repack", "Load the model as it is", "Slower.", change="repack=off")
DOWNLOAD = Repair("download_again", "Download the model again", "Shows models.", command="recommend")
BUILD = Repair("other_build", "Install another build", "Downloads one.", command="engine builds install")


def engine_failed(*repairs: Repair) -> LLMConnectionError:
    return LLMConnectionError("The engine cannot run.", kind=ErrorKind.ENGINE, repairs=repairs)


def test_the_likeliest_repairs_are_buttons_and_not_too_many() -> None:
    assert actions_for(engine_failed(SHORTER, SMALLER, NO_REPACK), guide=False) == (
        ("repair:smaller_context", "Use a shorter context"),
        ("repair:quantized_cache", "Keep conversations in half the memory"),
        ("retry", "Try again"),
    )


def test_what_setup_does_is_a_button_and_what_only_a_terminal_does_is_none() -> None:
    assert actions_for(engine_failed(BUILD, DOWNLOAD), guide=False) == (
        ("setup", "Download the model again"),
        ("retry", "Try again"),
    )
    assert ("guide", "Ask the guide") in actions_for(engine_failed(BUILD), guide=False)


def test_a_question_about_the_cloud_still_offers_to_mend_the_engine_here() -> None:
    asks = ConsentRequired("OpenRouter was not asked.", needed=Reach.CLOUD, repairs=(SHORTER, SMALLER))
    assert actions_for(asks, guide=False) == (
        ("allow", "Allow the cloud in this chat"),
        ("repair:smaller_context", "Use a shorter context"),
        ("retry", "Try again"),
        ("setup", "Open setup"),
    )


def test_an_answer_that_an_engine_broke_off_says_all_of_it_and_offers_the_repair() -> None:
    error = Interrupted(
        "The answer stopped after 1 word.", "It ran out of memory.", "Ask again.", repairs=(SHORTER,)
    )
    row = rows.broken(rows.with_event(rows.waiting(guide=False), TextDelta("one")), error)
    assert row.seam == "The answer stopped after 1 word. It ran out of memory. Ask again."
    assert rows.offers(row)[0] == ("repair:smaller_context", "Use a shorter context")


BROKE = Attempt("lm_studio", "LM Studio", "", "m", ErrorKind.STREAM_CUT, "The connection broke.", 3.0)
OLLAMA_SPEAKS = AnswerStarted("ollama", "Ollama", "qwen3.5:4b", Reach.THIS_MACHINE)


def after(*events: StreamEvent) -> rows.Row:
    """A row after these events."""
    row = rows.waiting(guide=False)
    for event in events:
        row = rows.with_event(row, event)
    return row


def test_waiting_says_what_for_and_the_first_word_ends_it() -> None:
    row = after(Progress(Phase.LOADING, 0.4))
    assert rows.note_line(row) == "Loading the model… 40 %"
    assert rows.note_line(replace(row, waited=7)) == "Loading the model… 40 % · 7 s"
    assert rows.with_event(row, Progress(Phase.READING, 1.0)) == row
    assert rows.with_event(replace(row, waited=7), AttemptFailed(REFUSED)).waited == 7  # in all
    assert rows.with_event(replace(row, waited=7), TextDelta("Hi")).waited == 0
    assert rows.with_event(row, TextDelta("Hi")).note == ""


def test_a_restart_sets_the_beginning_aside_and_says_so_in_one_line() -> None:
    before = (ReasoningDelta("Hm."), TextDelta("one two "), TextDelta("three"))
    broke = after(*before, AttemptFailed(BROKE))
    assert (broke.text, broke.note) == ("one two three", "LM Studio: The connection broke. Going on…")
    row = rows.with_event(broke, AnswerRestarted(BROKE, "one two three", "Hm."))
    assert (row.text, row.reasoning, row.note) == ("", "", WAITING)
    assert rows.aside_lines(row) == ("LM Studio stopped after 3 words; the answer begins anew.",)
    for event in (OLLAMA_SPEAKS, TextDelta("uno "), TextDelta("dos")):
        row = rows.with_event(row, event)
    assert row.text == "uno dos"
    assert rows.aside_lines(row) == ("LM Studio stopped after 3 words; Ollama began anew.",)
    assert [rows.aside_text(aside) for aside in row.set_aside] == ["Hm.\n\none two three"]
    assert rows.ending(rows.with_event(row, AnswerFinished(completion("uno dos")))) == (
        "LM Studio stopped after 3 words; Ollama began anew. The answer is complete."
    )


def test_a_continued_answer_is_marked_where_it_was_continued() -> None:
    row = after(TextDelta("one tw"), AnswerContinued(BROKE, 6), OLLAMA_SPEAKS, TextDelta("o three"))
    assert row.text == "one two three"
    assert rows.whole_text(row) == "one tw\n\n[LM Studio stopped here; Ollama went on.]\n\no three"


def test_a_new_beginning_that_fails_too_keeps_what_came_first_and_offers_what_can_be_done() -> None:
    started = after(TextDelta("one two"), AnswerRestarted(BROKE, "one two"))
    consent = ConsentRequired("OpenRouter could go on, but is in the cloud.", needed=Reach.CLOUD)
    row = rows.broken(started, consent)
    assert (row.kind, row.set_aside[0].text) == (rows.Kind.ANSWER, "one two")
    assert rows.offers(row) == (("allow", "Allow the cloud in this chat"), ("retry", "Try again"))


def test_reasoning_and_calls_stay_when_nothing_else_had_come() -> None:
    call = ToolCall("1", "get_weather", "{}")
    for event in (ReasoningDelta("Hm."), ToolCallDelta(call)):
        row = rows.broken(after(event), Interrupted("It stopped."))
        assert row.kind is rows.Kind.ANSWER
        assert (row.reasoning, row.tool_calls) in {("Hm.", ()), ("", (call,))}
    assert rows.call_lines(after(ToolCallDelta(call))) == ("Calls get_weather",)


def test_everything_folded_opens_and_closes_together() -> None:
    row = after(TextDelta("one"), AnswerRestarted(BROKE, "one"), AnswerFinished(completion("uno")))
    shown = rows.unfolded(row)
    assert (shown.open, shown.aside_open) == (True, True)
    assert rows.unfolded(shown) == row
    unfinished = rows.unfolded(rows.stopped(after(TextDelta("one"), AnswerRestarted(BROKE, "one"))))
    assert (unfinished.open, unfinished.aside_open) == (False, True)


def test_a_screen_reader_hears_that_the_answer_began_anew_and_what_came_first_when_it_is_open() -> None:
    row = after(TextDelta("one"), AnswerRestarted(BROKE, "one"), OLLAMA_SPEAKS, TextDelta("uno"))
    row = rows.with_event(row, AnswerFinished(completion("uno")))
    line = "LM Studio stopped after one word; Ollama began anew."
    assert rows.spoken(row).startswith(f"{line}\nqwen3.5:4b: uno")
    assert rows.spoken(rows.unfolded(row)).startswith(f"[{line}]\n\none\nqwen3.5:4b: uno")
    assert "Calls now" in rows.spoken(after(ToolCallDelta(ToolCall("1", "now", ""))))


def test_an_answer_that_did_not_end_well_is_not_called_complete() -> None:
    row = rows.stopped(after(TextDelta("one two")))
    assert rows.ending(row) == "Stopped after 2 words."
    assert rows.ending(rows.broken(rows.waiting(guide=False), LLMConnectionError("No."))) == "No answer came."


def test_pieces_of_text_that_come_together_are_joined_in_order() -> None:
    events: list[StreamEvent] = [
        TextDelta("a"),
        TextDelta("b"),
        ReasoningDelta("r"),
        TextDelta("c"),
        ToolCallDelta(ToolCall("1", "f", "")),
    ]
    row = rows.with_events(rows.waiting(guide=False), events)
    assert (row.text, row.reasoning, len(row.tool_calls)) == ("abc", "r", 1)
    assert row == after(*events)


def kept(role: Role = Role.ASSISTANT, **fields: Any) -> Node:
    """A kept message."""
    return Node("n1", None, role, fields.pop("text", "Half an answer"), 1.0, **fields)


def test_a_kept_question_and_a_kept_answer_are_rows_with_their_ids_and_branches() -> None:
    asked = rows.of_node(kept(Role.USER), (1, 3))
    assert (asked.kind, asked.node, asked.branch, asked.can_retry) == (
        rows.Kind.QUESTION,
        "n1",
        (1, 3),
        False,
    )
    done = rows.of_node(
        kept(provenance=completion("x").provenance, finish_reason="length", reasoning_seconds=3.0)
    )
    assert (done.kind, done.active, done.cut) == (rows.Kind.ANSWER, False, True)
    assert rows.can_continue(done)
    assert rows.reasoning_line(done) == "Reasoned for 3.0 s"
    assert rows.branch_line(asked) == "2 of 3"


@pytest.mark.parametrize(
    ("state", "error", "kind", "seam"),
    [
        (TurnState.STOPPED, None, rows.Kind.ANSWER, "Stopped after 3 words."),
        (TurnState.INTERRUPTED, None, rows.Kind.ANSWER, "The answer broke off when the app ended."),
        (TurnState.INTERRUPTED, Interrupted("It stopped."), rows.Kind.ANSWER, "It stopped."),
    ],
)
def test_an_answer_that_did_not_end_well_is_kept_with_its_seam_and_can_go_on(
    state: TurnState, error: Interrupted | None, kind: rows.Kind, seam: str
) -> None:
    row = rows.of_node(kept(state=state, error=error), last=True)
    assert (row.kind, row.seam, row.can_retry, row.active) == (kind, seam, True, False)
    assert ("continue", "Continue") in rows.offers(row)
    assert not rows.of_node(kept(state=state, error=error)).can_retry


def test_a_kept_failure_without_text_is_a_failure_with_its_place() -> None:
    row = rows.of_node(kept(text="", state=TurnState.FAILED, error=LLMConnectionError("No.")), (0, 2))
    assert (row.kind, row.node, row.branch) == (rows.Kind.FAILURE, "n1", (0, 2))


def test_what_can_be_done_depends_on_what_a_row_is() -> None:
    def names(row: rows.Row) -> list[str]:
        return [action for action, _label in rows.actions(row)]

    assert names(rows.question("Why?")) == ["copy", "copy_text", "quote", "edit"]
    done = rows.with_event(after(TextDelta("Hi")), AnswerFinished(completion("Hi")))
    assert names(done) == ["copy", "copy_text", "quote", "regenerate", "regenerate_with"]
    with_branches = replace(done, node="n", branch=(0, 2))
    assert names(with_branches)[-4:] == ["branch_back", "branch_on", "show_tree", "delete"]
    assert names(after(TextDelta("Hi"))) == ["copy", "copy_text"]


def test_a_very_long_question_is_shown_folded_at_first() -> None:
    row = rows.question("word " * 5_000)
    assert len(rows.shown_question(row)) < 3_000
    assert rows.shown_question(replace(row, open=True)) == row.text
    assert ("details", "Show all of it") in rows.hover_actions(row)
    assert rows.shown_question(rows.question("short")) == "short"
