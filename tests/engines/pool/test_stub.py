"""A pool without engines: the same interface, so that programs can be tried without a model."""

import pytest

from tests.engines.pool.conftest import ask, events_of
from whisper_desktop.engines.pool import AnyPool, Pool, PoolProgress, StubPool, roles_named
from whisper_desktop.values import (
    AnswerFinished,
    AnswerStarted,
    EngineState,
    GenerationConfig,
    Role,
    TextDelta,
)

ROLES = roles_named(("planner", "coder", "historian"))


def test_a_stub_can_stand_wherever_a_pool_does() -> None:
    stub: AnyPool = StubPool(ROLES)
    public = {name for name in dir(Pool) if not name.startswith("_")}
    assert public <= set(dir(stub))


async def test_fixed_texts_answer_and_contexts_are_kept_without_any_process() -> None:
    told: list[PoolProgress] = []
    stub = StubPool(ROLES, {"planner": "First this, then that."}, on_progress=told.append)
    assert stub.status().state is EngineState.STOPPED
    async with stub:
        assert stub.status().state is EngineState.READY
        assert {each.pid for each in stub.status().roles} == {None}
        session = stub.session("planner")
        events = await events_of(session, "What now?", GenerationConfig())
        assert isinstance(events[0], AnswerStarted)
        assert [event.text for event in events if isinstance(event, TextDelta)] == [
            "First",
            " this,",
            " then",
            " that.",
        ]
        finished = events[-1]
        assert isinstance(finished, AnswerFinished)
        assert finished.completion.text == "First this, then that."
        assert finished.completion.finish_reason == "stop"
        assert finished.completion.usage.completion_tokens == 4
        assert finished.completion.provenance.backend == "stub"
        assert [message.role for message in session.messages] == [Role.USER, Role.ASSISTANT]
        other = await ask(stub.session("historian"), "Hello", GenerationConfig(max_tokens=5))
        assert (other.text, other.finish_reason) == ("This is a stub of", "length")
    assert [each.fraction for each in told] == [1.0]
    assert stub.status().state is EngineState.STOPPED


def test_a_role_that_the_pool_does_not_have_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        StubPool(ROLES).session("poet")
