"""A conversation keeps what was shown, however its answer ended."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import pytest

from whisper_desktop.chat import Session, SetAside, Turn, TurnState
from whisper_desktop.chat.breaks import Seam
from whisper_desktop.errors import Interrupted, LLMConnectionError
from whisper_desktop.values import (
    AnswerContinued,
    AnswerFinished,
    AnswerRestarted,
    Attempt,
    Completion,
    ErrorKind,
    Message,
    Provenance,
    Reach,
    ReasoningDelta,
    Role,
    StreamEvent,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
)

WHO = Provenance(
    backend="lm_studio",
    server_name="LM Studio",
    url="http://127.0.0.1:1234",
    model="qwen3.5-4b",
    reach=Reach.THIS_MACHINE,
    as_given=False,
    reason="LM Studio was the first that could answer.",
    attempts=(Attempt("lm_studio", "LM Studio", "http://127.0.0.1:1234", "qwen3.5-4b", None, "", 0.6),),
    ttft_seconds=0.6,
    total_seconds=1.2,
    tokens_per_second=31.2,
)


class Script:
    """Plays prepared answers, and keeps what it was sent."""

    def __init__(self, *answers: Sequence[StreamEvent | Exception]) -> None:
        self._answers = list(answers)
        self.sent: list[tuple[Message, ...]] = []

    async def __call__(
        self, session: Session, messages: Sequence[Message]
    ) -> AsyncGenerator[StreamEvent, None]:
        self.sent.append(tuple(messages))
        for event in self._answers.pop(0):
            if isinstance(event, Exception):
                raise event
            yield event


def finished(text: str) -> AnswerFinished:
    return AnswerFinished(Completion(text, "", "stop", Usage(), WHO))


async def ask(session: Session, question: str) -> None:
    async with aclosing(session.send(question)) as events:
        async for _ in events:
            pass


async def test_a_complete_answer_is_kept_with_its_provenance_and_sent_along_next_time() -> None:
    script = Script(
        [ReasoningDelta("hm"), TextDelta("Hel"), TextDelta("lo"), finished("Hello")],
        [TextDelta("Bye"), finished("Bye")],
    )
    session = Session(script)
    await ask(session, "Hi")
    await ask(session, "And?")
    assert session.turns[0] == Turn("Hi", "Hello", "hm", TurnState.COMPLETE, WHO)
    assert script.sent[1] == (
        Message(Role.USER, "Hi"),
        Message(Role.ASSISTANT, "Hello"),
        Message(Role.USER, "And?"),
    )


async def test_closing_the_stream_keeps_what_came_and_marks_it_stopped() -> None:
    session = Session(Script([TextDelta("one "), TextDelta("two"), finished("one two")]))
    async with aclosing(session.send("Count")) as events:
        async for _ in events:
            break
    assert session.turns[0].answer == "one "
    assert session.turns[0].state is TurnState.STOPPED


async def test_a_broken_answer_stays_and_is_marked_interrupted() -> None:
    broken = Interrupted("The answer stopped.", partial_text="one ", kind=ErrorKind.STREAM_CUT)
    session = Session(Script([TextDelta("one "), broken]))
    with pytest.raises(Interrupted):
        await ask(session, "Count")
    assert session.turns[0].state is TurnState.INTERRUPTED
    assert session.turns[0].answer == "one "
    assert session.turns[0].error is broken


async def test_a_failed_question_is_not_sent_along_and_can_be_asked_again() -> None:
    script = Script([LLMConnectionError("Nobody answered.")], [TextDelta("Hi"), finished("Hi")])
    session = Session(script)
    with pytest.raises(LLMConnectionError):
        await ask(session, "Hello?")
    assert session.turns[0].state is TurnState.FAILED
    question = session.drop_last()
    assert question == "Hello?"
    await ask(session, question)
    assert script.sent[1] == (Message(Role.USER, "Hello?"),)


async def test_only_the_last_turns_are_sent_where_the_history_is_bounded() -> None:
    answers = [(TextDelta(str(number)), finished(str(number))) for number in range(4)]
    script = Script(*answers)
    session = Session(script, history_turns=1)
    for number in range(4):
        await ask(session, f"q{number}")
    assert [message.content for message in script.sent[3]] == ["q2", "2", "q3"]


async def test_a_second_question_while_one_is_answered_is_refused() -> None:
    session = Session(Script([TextDelta("one"), finished("one")], []))
    first = session.send("first")
    await anext(first)
    with pytest.raises(RuntimeError):
        await anext(session.send("second"))
    await first.aclose()


BROKE = Attempt("lm_studio", "LM Studio", "http://127.0.0.1:1234", "m", ErrorKind.STREAM_CUT, "Cut.", 2.0)


async def test_what_came_before_a_new_beginning_is_set_aside_and_no_part_of_the_answer() -> None:
    script = Script(
        [
            ReasoningDelta("Hm, "),
            TextDelta("One "),
            TextDelta("two"),
            AnswerRestarted(BROKE, "One two", "Hm, "),
            ReasoningDelta("So. "),
            TextDelta("Uno "),
            TextDelta("dos"),
            finished("Uno dos"),
        ],
        [TextDelta("Bye"), finished("Bye")],
    )
    session = Session(script)
    await ask(session, "Count")
    turn = session.turns[0]
    assert (turn.answer, turn.reasoning, turn.state) == ("Uno dos", "So. ", TurnState.COMPLETE)
    assert turn.set_aside == (SetAside(BROKE, "One two", "Hm, "),)
    await ask(session, "And?")
    assert [message.content for message in script.sent[1]] == ["Count", "Uno dos", "And?"]


async def test_a_continued_answer_keeps_its_seam_also_when_it_is_set_aside_later() -> None:
    continued: list[StreamEvent] = [TextDelta("One "), AnswerContinued(BROKE, 4), TextDelta("two")]
    session = Session(
        Script(
            [*continued, finished("One two")], [*continued, AnswerRestarted(BROKE, "One two"), finished("")]
        )
    )
    await ask(session, "Count")
    await ask(session, "Count again")
    seam = Seam(4, BROKE)
    assert (session.turns[0].answer, session.turns[0].seams) == ("One two", (seam,))
    assert session.turns[1].set_aside == (SetAside(BROKE, "One two", "", (seam,)),)
    assert session.turns[1].seams == ()


async def test_tool_calls_stay_whatever_breaks_later() -> None:
    call = ToolCall("1", "get_weather", "{}")
    session = Session(Script([ToolCallDelta(call), Interrupted("It stopped.")]))
    with pytest.raises(Interrupted):
        await ask(session, "Weather?")
    assert session.turns[0].tool_calls == (call,)


async def test_a_new_beginning_that_breaks_too_loses_nothing() -> None:
    session = Session(Script([TextDelta("One"), AnswerRestarted(BROKE, "One"), Interrupted("It stopped.")]))
    with pytest.raises(Interrupted):
        await ask(session, "Count")
    assert session.turns[0].state is TurnState.INTERRUPTED
    assert session.turns[0].set_aside[0].text == "One"
