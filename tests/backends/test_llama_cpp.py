"""llama.cpp: what it tells of itself, its routers, and answers that go on after a cut."""

import asyncio
from contextlib import aclosing

import pytest

from tests.backends.conftest import ASK, MakeBackend, paths, seen
from tests.servers.fixtures import ServerFactory
from whisper_desktop.errors import BackendError
from whisper_desktop.values import (
    ErrorKind,
    Phase,
    Progress,
    TextDelta,
)

CHAT = "/v1/chat/completions"


async def test_llama_cpp_tells_the_context_it_really_has(servers: ServerFactory, make: MakeBackend) -> None:
    server = servers("llama_cpp", models=[{"id": "tiny", "context_length": 512, "max_context_length": 4096}])
    (model,) = await make(server).list_models()
    assert (model.context_length, model.max_context_length, model.loaded) == (512, 4096, True)


async def test_llama_cpp_that_loads_its_model_is_loading_and_not_broken(
    servers: ServerFactory, make: MakeBackend
) -> None:
    server = servers("llama_cpp", "--fault", "loading:30")
    with pytest.raises(BackendError) as caught:
        await make(server, "m").generate_text(ASK)
    assert (caught.value.kind, caught.value.status) == (ErrorKind.LOADING, 503)
    assert caught.value.title == "llama.cpp is still loading m."


async def test_reading_the_prompt_is_told_as_progress(servers: ServerFactory, make: MakeBackend) -> None:
    server = servers("llama_cpp")
    async with aclosing(make(server).generate_stream(ASK)) as stream:
        read = [event for event in [event async for event in stream] if isinstance(event, Progress)]
    assert {event.phase for event in read} == {Phase.READING}
    assert read[-1].done == 1.0


async def test_its_real_context_and_its_slots_are_known_after_the_first_answer(
    servers: ServerFactory, make: MakeBackend
) -> None:
    server = servers("llama_cpp", models=[{"id": "tiny", "context_length": 512}])
    backend = make(server, "tiny")
    assert (backend.context_of(None), backend.slots) == (None, None)
    await backend.generate_text(ASK)
    assert (backend.context_of(None), backend.slots) == (512, 4)
    await backend.generate_text(ASK)
    assert paths(server) == ["GET /props", f"POST {CHAT}", f"POST {CHAT}"]


async def test_one_that_keeps_its_properties_for_itself_is_used_without(
    servers: ServerFactory, make: MakeBackend
) -> None:
    server = servers("llama_cpp", "--fault", "html_200@/props")
    backend = make(server, "m")
    assert (await backend.generate_text(ASK)).text
    assert backend.slots is None


async def test_a_sleeping_model_is_loaded_first(servers: ServerFactory, make: MakeBackend) -> None:
    server = servers("llama_cpp", "--sleeping")
    backend = make(server)
    async with aclosing(backend.generate_stream(ASK)) as stream:
        assert await anext(stream) == Progress(Phase.LOADING)


async def test_a_router_has_several_models_and_says_which_are_loaded(
    servers: ServerFactory, make: MakeBackend
) -> None:
    server = servers("llama_cpp", "--router", models=["on", {"id": "off", "loaded": False}])
    assert [(entry.id, entry.loaded) for entry in await make(server).list_models()] == [
        ("on", True),
        ("off", False),
    ]
    assert (await make(server).generate_text(ASK)).model == "on"
    async with aclosing(make(server, "off").generate_stream(ASK)) as stream:
        assert await anext(stream) == Progress(Phase.LOADING)
    with pytest.raises(BackendError) as caught:
        await make(server, "nobody").generate_text(ASK)
    assert caught.value.kind is ErrorKind.MODEL_MISSING
    assert caught.value.detail == "It has: on, off."


# --- answers that go on after a cut -----------------------------------------------------------------------


@pytest.mark.parametrize("after", [0, 1, 7, 49])
@pytest.mark.parametrize("mode", ["cut_mid_stream", "die_mid_stream"])
async def test_an_answer_whose_connection_was_cut_goes_on_without_a_gap_and_without_a_repetition(
    servers: ServerFactory, make: MakeBackend, mode: str, after: int
) -> None:
    server = servers("llama_cpp", "--tokens", "50", "--token-delay", "0.002")
    server.set_fault(mode, after, count=1)
    answer = await make(server, "tiny", resume=True).generate_text(ASK)
    assert answer.text == "".join(f"word{number} " for number in range(50)).strip()
    assert answer.usage.completion_tokens == 50
    assert len(server.requests(CHAT)) == 1


async def test_a_server_that_is_gone_after_the_cut_is_told_as_the_cut(
    servers: ServerFactory, make: MakeBackend
) -> None:
    server = servers("llama_cpp", "--tokens", "50", "--token-delay", "0.01")
    words = []

    async def read() -> None:
        async with aclosing(make(server, "tiny", resume=True).generate_stream(ASK)) as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    words.append(event.text)
                    server.kill()

    with pytest.raises(BackendError) as caught:
        await read()
    assert caught.value.kind is ErrorKind.STREAM_CUT
    assert words


async def test_a_build_without_a_replay_buffer_is_asked_as_before(
    servers: ServerFactory, make: MakeBackend
) -> None:
    server = servers("llama_cpp", "--no-replay", "--tokens", "50", "--fault", "cut_mid_stream:3")
    backend = make(server, "tiny", resume=True)
    for _ in range(2):
        with pytest.raises(BackendError) as caught:
            await backend.generate_text(ASK)
        assert caught.value.kind is ErrorKind.STREAM_CUT
    assert "x-conversation-id" not in server.requests(CHAT)[0]["headers"]


async def test_who_stops_reading_stops_the_generation_that_would_go_on(
    servers: ServerFactory, make: MakeBackend
) -> None:
    server = servers("llama_cpp", "--tokens", "1000", "--token-delay", "0.01")
    backend = make(server, "tiny", resume=True)
    async with aclosing(backend.generate_stream(ASK)) as events:
        async for event in events:
            if isinstance(event, TextDelta):
                break
    assert server.requests()[-1]["method"] == "DELETE"
    ended = await seen(server, "generated")
    assert ended["cancelled"] is True
    assert len(asyncio.all_tasks()) == 1


async def test_a_cancelled_reader_stops_it_too_however_often_it_is_cancelled(
    servers: ServerFactory, make: MakeBackend
) -> None:
    server = servers("llama_cpp", "--tokens", "1000", "--token-delay", "0.01")
    backend = make(server, "tiny", resume=True)
    reading = asyncio.ensure_future(backend.generate_text(ASK))
    await seen(server, "request", 3)
    for _ in range(50):
        reading.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert (await seen(server, "generated"))["cancelled"] is True
    assert len(asyncio.all_tasks()) == 1


async def test_without_the_option_closing_the_connection_is_all_that_is_needed(
    servers: ServerFactory, make: MakeBackend
) -> None:
    server = servers("llama_cpp")
    await make(server, "tiny").generate_text(ASK)
    assert "x-conversation-id" not in server.requests(CHAT)[0]["headers"]
    assert "POST /v1/streams/lookup" not in paths(server)
