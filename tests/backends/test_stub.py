"""The stub: the same answer each time, and every fault on demand."""

import asyncio
from contextlib import aclosing

import pytest

from tests.backends.conftest import ASK, WEATHER
from whisper_desktop.backends import Backend, create_backend
from whisper_desktop.errors import BackendError, ConsentRequired
from whisper_desktop.values import (
    ErrorKind,
    GenerationConfig,
    Message,
    Role,
    TextDelta,
    ToolCall,
)
from whisper_desktop.wire.http import Http


def stub(**options: object) -> Backend:
    return create_backend({"backend": "stub", **options}, http=Http(allow_network=False))


async def test_the_stub_answers_the_same_without_any_network() -> None:
    ask = [Message(Role.USER, "Hi you")]
    first, second = await stub().generate_text(ask), await stub().generate_text(ask)
    assert first == second
    assert first.text == "This is a stub, no model is running. You said: Hi you"
    assert (first.model, first.finish_reason) == ("stub", "stop")
    assert await stub().is_healthy()
    assert len(asyncio.all_tasks()) == 1


@pytest.mark.parametrize("kind", ErrorKind)
async def test_it_plays_every_fault_before_and_after_its_first_words(kind: ErrorKind) -> None:
    for after in (0, 3):
        backend = stub(fault=kind.value, after_tokens=after, tokens=20, retry_after=2)
        words: list[str] = []
        with pytest.raises((BackendError, ConsentRequired)) as caught:
            await read(backend, words)
        assert getattr(caught.value, "kind", None) is kind
        assert len(words) == (0 if kind is ErrorKind.EMPTY else after)
        if isinstance(caught.value, BackendError):
            assert caught.value.retry_after == 2


async def read(backend: Backend, words: list[str], question: str = "Hi") -> None:
    async with aclosing(backend.generate_stream([Message(Role.USER, question)])) as events:
        async for event in events:
            if isinstance(event, TextDelta):
                words.append(event.text)


@pytest.mark.parametrize(
    ("question", "kind", "after"),
    [
        ("fault: error_500", ErrorKind.SERVER_ERROR, 0),
        ("Now, fault: truncated after 4", ErrorKind.TRUNCATED, 4),
        ("fault: rate_429", ErrorKind.RATE_LIMITED, 0),
    ],
)
async def test_a_message_can_ask_for_a_fault(question: str, kind: ErrorKind, after: int) -> None:
    words: list[str] = []
    with pytest.raises(BackendError) as caught:
        await read(stub(), words, question)
    assert (caught.value.kind, len(words)) == (kind, after)


async def test_a_fault_that_is_none_is_just_a_message() -> None:
    assert (await stub().generate_text([Message(Role.USER, "fault: mine")])).text.endswith("fault: mine")


async def test_it_can_fall_silent_and_be_cancelled() -> None:
    words: list[str] = []
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await read(stub(fault="stall", after_tokens=2), words)
    assert len(words) == 2
    assert len(asyncio.all_tasks()) == 1


async def test_a_fault_can_heal() -> None:
    backend = stub(fault="overloaded", times=2)
    for _ in range(2):
        with pytest.raises(BackendError):
            await backend.generate_text(ASK)
    assert (await backend.generate_text(ASK)).text


async def test_it_calls_a_function_when_it_is_given_one() -> None:
    backend = stub(tool_call={"name": "weather", "arguments": {"place": "Lisbon"}}, reasoning="hm")
    answer = await backend.generate_text(ASK, GenerationConfig(tools=(WEATHER,)))
    assert answer.tool_calls == (ToolCall("call_stub", "weather", '{"place": "Lisbon"}'),)
    assert (answer.finish_reason, answer.reasoning) == ("tool_calls", "hm")
    assert (await backend.generate_text(ASK)).tool_calls == ()


async def test_it_makes_vectors() -> None:
    found = await stub().embed(["one", "two", "one"])
    assert found.vectors[0] == found.vectors[2] != found.vectors[1]


async def test_it_is_cut_at_the_tokens_that_were_asked_for() -> None:
    answer = await stub(tokens=5).generate_text(ASK, GenerationConfig(max_tokens=2))
    assert (answer.text, answer.finish_reason) == ("word0 word1 ", "length")
