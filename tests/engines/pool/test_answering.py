"""What becomes of one question when its process ends, at a place that breaks as told."""

from collections.abc import AsyncGenerator, Sequence

import pytest

from tests.engines.pool.conftest import events_of
from whisper_desktop.engines.pool import PoolRole, RoleSession
from whisper_desktop.engines.pool.place import InstanceEnded, Turn
from whisper_desktop.errors import BackendError, EngineError, Interrupted
from whisper_desktop.values import (
    AnswerFinished,
    AnswerRestarted,
    AnswerStarted,
    AttemptFailed,
    BackendEvent,
    EngineState,
    EngineStatus,
    ErrorKind,
    GenerationConfig,
    Message,
    Phase,
    Progress,
    ReasoningDelta,
    Repair,
    StreamEnd,
    StreamEvent,
    TextDelta,
    ToolCall,
    ToolCallDelta,
)

ENDED = InstanceEnded(EngineError("The engine ended.", "It was killed.", cause="killed"))
CALL = ToolCallDelta(ToolCall("1", "delete_file", "{}"))
END = StreamEnd("stop")


class BreakingPlace:
    """Each try plays the next of `scripts`: events, and at the end of one perhaps an exception."""

    backend = "builtin"

    def __init__(self, *scripts: Sequence[BackendEvent | Exception]) -> None:
        self.turn = Turn()
        self.tries = 0
        self._scripts = scripts

    def status(self) -> EngineStatus:
        state = EngineState.BACKING_OFF if self.tries else EngineState.READY
        return EngineStatus("pool-1", state, "model", None, None, "")

    async def batches(
        self, messages: Sequence[Message], config: GenerationConfig
    ) -> AsyncGenerator[Sequence[BackendEvent], None]:
        self.tries += 1
        for each in self._scripts[self.tries - 1]:
            if isinstance(each, Exception):
                raise each
            yield [each]


def session(place: BreakingPlace) -> RoleSession:
    return RoleSession(PoolRole("coder"), place)


async def events(place: BreakingPlace) -> list[StreamEvent]:
    return await events_of(session(place), "go", GenerationConfig())


async def test_before_the_first_text_another_try_is_told_but_nothing_is_taken_back() -> None:
    told = await events(BreakingPlace([Progress(Phase.READING, 0.5), ENDED], [TextDelta("a"), END]))
    assert [type(event) for event in told] == [
        Progress,
        AttemptFailed,
        Progress,
        AnswerStarted,
        TextDelta,
        AnswerFinished,
    ]
    assert isinstance(told[2], Progress)
    assert told[2].phase is Phase.LOADING  # it is started again


async def test_what_was_said_before_is_handed_back_and_is_no_part_of_the_answer() -> None:
    told = await events(
        BreakingPlace(
            [ReasoningDelta("hm"), TextDelta("half"), ENDED], [ReasoningDelta("so"), TextDelta("all"), END]
        )
    )
    (again,) = [event for event in told if isinstance(event, AnswerRestarted)]
    assert (again.partial_text, again.partial_reasoning) == ("half", "hm")
    assert isinstance(told[-1], AnswerFinished)
    assert (told[-1].completion.text, told[-1].completion.reasoning) == ("all", "so")
    assert "started again" in told[-1].completion.provenance.reason


async def test_a_function_that_was_called_is_not_called_again() -> None:
    place = BreakingPlace([TextDelta("I delete it."), CALL, ENDED], [CALL, END])
    with pytest.raises(Interrupted) as caught:
        await events(place)
    assert place.tries == 1
    assert caught.value.partial_text == "I delete it."


async def test_two_crashes_without_a_word_are_an_error_with_both_tries() -> None:
    place = BreakingPlace([ENDED], [ENDED], [TextDelta("never"), END])
    with pytest.raises(BackendError) as caught:
        await events(place)
    assert (place.tries, len(caught.value.attempts)) == (2, 2)
    assert caught.value.kind is ErrorKind.STREAM_CUT


async def test_text_of_the_first_try_is_not_lost_when_the_second_says_nothing() -> None:
    with pytest.raises(Interrupted) as caught:
        await events(BreakingPlace([TextDelta("half"), ENDED], [ENDED]))
    assert caught.value.partial_text == "half"


async def test_an_engine_that_cannot_be_started_says_why_and_what_mends_it() -> None:
    repair = Repair("other_port", "Another port", "It listens elsewhere.", "port=auto")
    broken = EngineError("The port is taken.", cause="port_taken", repairs=(repair,))
    with pytest.raises(BackendError, match="The port is taken") as caught:
        await events(BreakingPlace([broken]))
    assert (caught.value.kind, caught.value.repairs) == (ErrorKind.ENGINE, (repair,))


async def test_a_failed_question_leaves_the_context_as_it_was() -> None:
    conversation = session(
        BreakingPlace([TextDelta("one"), END], [TextDelta("tw"), BackendError(ErrorKind.STALLED, "x")])
    )
    await events_of(conversation, "first", GenerationConfig())
    before = conversation.messages
    with pytest.raises(Interrupted):
        await events_of(conversation, "second", GenerationConfig())
    assert conversation.messages == before
