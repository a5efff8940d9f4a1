"""LM Studio: who answers is who was asked, and what is loaded is what was wanted."""

import asyncio
from contextlib import aclosing

import pytest

from tests.backends.conftest import ASK, MakeBackend, paths
from tests.servers.fixtures import ServerFactory
from whisper_desktop.backends import create_backend
from whisper_desktop.errors import BackendError, ConsentRequired
from whisper_desktop.values import (
    ErrorKind,
    GenerationConfig,
    Phase,
    Progress,
    Reach,
)
from whisper_desktop.wire.http import Http

CHAT = "/v1/chat/completions"
MODELS = "/api/v1/models"
LOAD, UNLOAD = "/api/v1/models/load", "/api/v1/models/unload"


@pytest.mark.parametrize("version", ["0.4.21", "0.3.10", "0.3.4"])
async def test_lm_studio_is_asked_for_the_model_that_is_loaded(
    servers: ServerFactory, make: MakeBackend, version: str
) -> None:
    options = ("--jit", "off") if version == "0.3.4" else ()  # its list tells no state, but only loaded ones
    models = [{"id": "embed", "embedding": True}, {"id": "idle", "loaded": False}, {"id": "loaded"}]
    models = models[1:] if version == "0.3.4" else models
    server = servers("lm_studio", "--version", version, *options, models=models)
    answer = await make(server).generate_text(ASK)
    assert answer.model == "loaded"
    assert server.requests(CHAT)[0]["body"]["model"] == "loaded"


async def test_lm_studio_is_never_asked_for_a_model_it_does_not_have_because_another_would_answer(
    servers: ServerFactory, make: MakeBackend
) -> None:
    server = servers("lm_studio", models=["qwen/qwen3-4b", "gemma-3-1b"])
    with pytest.raises(BackendError) as caught:
        await make(server, "llama-3.2-3b").generate_text(ASK)
    assert caught.value.kind is ErrorKind.MODEL_MISSING
    assert caught.value.title == "LM Studio has no model called “llama-3.2-3b”."
    assert caught.value.detail == "It has: qwen/qwen3-4b, gemma-3-1b."
    assert server.requests(CHAT) == []


async def test_lm_studio_without_a_model_says_so(servers: ServerFactory, make: MakeBackend) -> None:
    with pytest.raises(BackendError) as caught:
        await make(servers("lm_studio", models=[])).generate_text(ASK)
    assert caught.value.kind is ErrorKind.MODEL_MISSING
    assert caught.value.title == "LM Studio is running but has no model loaded."


async def test_lm_studio_with_a_wrong_path_is_not_mistaken_for_an_empty_answer(
    servers: ServerFactory, http: Http
) -> None:
    config = {"backend": "openai_compatible", "url": servers("lm_studio", models=["m"]).url + "/nope"}
    with pytest.raises(BackendError) as caught:
        await create_backend(config, http=http).generate_text(ASK)
    assert caught.value.kind is ErrorKind.NOT_AN_LLM


async def test_a_key_that_lm_studio_repeats_in_its_refusal_is_not_repeated_by_us(
    servers: ServerFactory, make: MakeBackend
) -> None:
    server = servers("lm_studio", "--auth", "right-key")
    with pytest.raises(BackendError) as caught:
        await make(server, key="wrong-secret-key").generate_text(ASK)
    error = caught.value
    assert error.kind is ErrorKind.AUTH
    assert error.title == "LM Studio did not accept the key (401)."
    assert f"keys set {server.url}`" in error.next_step
    shown: BaseException | None = error
    while shown is not None:
        assert "wrong-secret-key" not in repr(shown) + str(shown)
        shown = shown.__cause__ or shown.__context__


@pytest.mark.parametrize(("version", "slots"), [("0.4.21", 4), ("0.3.10", None)])
async def test_how_many_answers_it_gives_at_once_is_known_after_the_first_where_it_tells(
    servers: ServerFactory, make: MakeBackend, version: str, slots: int | None
) -> None:
    """Only the native list of 0.4 has it."""
    backend = make(servers("lm_studio", "--version", version, models=["m"]))
    assert backend.slots is None
    await backend.generate_text(ASK)
    assert backend.slots == slots


async def test_what_is_not_loaded_or_loaded_twice_has_no_known_number_of_places(
    servers: ServerFactory, make: MakeBackend
) -> None:
    server = servers(
        "lm_studio", models=[{"id": "idle", "loaded": False}, {"id": "m", "context_length": 4096}]
    )
    idle, busy = make(server, "idle"), make(server, "m@q4_k_m")
    await idle.list_models()
    await busy.generate_text(ASK)
    assert (idle.slots, busy.slots) == (None, 4)
    await make(server, "m", context_length=8192).generate_text(ASK)  # loads a second instance
    await busy.list_models()
    assert busy.slots is None


async def test_a_model_that_runs_on_another_device_needs_consent(
    servers: ServerFactory, make: MakeBackend
) -> None:
    server = servers("lm_studio", models=[{"id": "far", "device": "someone-elses-desktop"}])
    with pytest.raises(ConsentRequired) as caught:
        await make(server, "far").generate_text(ASK)
    assert caught.value.needed is Reach.CLOUD
    assert server.requests(CHAT) == []
    assert (await make(server, "far").generate_text(ASK, allowed=Reach.CLOUD)).text


# --- the name in the answer -------------------------------------------------------------------------------


async def test_an_answer_of_another_model_is_stopped_before_its_first_word(
    servers: ServerFactory, make: MakeBackend
) -> None:
    server = servers("lm_studio", models=["qwen/qwen3-4b", "gemma-3-1b"])
    backend = make(server, "qwen/qwen3-4b")
    await backend.generate_text(ASK)
    server.set_models(["gemma-3-1b"])  # what was listed a moment ago is gone, and LM Studio says nothing
    seen = []

    async def read() -> None:
        async with aclosing(backend.generate_stream(ASK)) as events:
            async for event in events:
                seen.append(event)

    with pytest.raises(BackendError) as caught:
        await read()
    assert caught.value.kind is ErrorKind.MODEL_MISSING
    assert caught.value.title == "LM Studio answered with gemma-3-1b instead of qwen/qwen3-4b."
    assert seen == []
    with pytest.raises(BackendError) as again:  # the list is read anew, so that nothing is sent now
        await backend.generate_text(ASK)
    assert again.value.title == "LM Studio has no model called “qwen/qwen3-4b”."
    assert len(server.requests(CHAT)) == 2


async def test_a_model_that_was_taken_from_the_list_and_is_gone_gives_way_to_one_that_is_there(
    servers: ServerFactory, make: MakeBackend
) -> None:
    server = servers("lm_studio", models=["qwen/qwen3-4b"])
    backend = make(server)
    await backend.generate_text(ASK)
    server.set_models(["gemma-3-1b"])
    assert (await backend.generate_text(ASK)).model == "gemma-3-1b"
    assert backend.model_id == "gemma-3-1b"


@pytest.mark.parametrize(
    "answered",
    [
        "qwen/qwen3-4b",
        "qwen3-4b",
        "qwen/qwen3-4b@q4_k_m",
        "qwen/qwen3-4b:2",
        "lmstudio-community/Qwen3-4B.gguf",
    ],
)
async def test_other_spellings_of_the_same_model_are_no_other_model(
    servers: ServerFactory, make: MakeBackend, answered: str
) -> None:
    server = servers("lm_studio", "--fault", f"other_model:{answered}", models=["qwen/qwen3-4b"])
    assert (await make(server, "qwen/qwen3-4b").generate_text(ASK)).text


async def test_a_variant_is_asked_for_by_its_name_and_an_unknown_one_is_not_there(
    servers: ServerFactory, make: MakeBackend
) -> None:
    server = servers("lm_studio", models=["qwen/qwen3-4b"])
    await make(server, "qwen/qwen3-4b@q4_k_m").load_model()
    with pytest.raises(BackendError) as caught:
        await make(server, "qwen/qwen3-4b@q2_k").generate_text(ASK)
    assert caught.value.kind is ErrorKind.MODEL_MISSING


# --- loading ----------------------------------------------------------------------------------------------


async def test_a_model_that_has_to_be_loaded_first_is_told_before_anything_else(
    servers: ServerFactory, make: MakeBackend
) -> None:
    server = servers("lm_studio", models=[{"id": "idle", "loaded": False}])
    backend = make(server, ttl=300)
    assert backend.is_ready(None) is None
    async with aclosing(backend.generate_stream(ASK)) as stream:
        events = [event async for event in stream]
    assert events[0] == Progress(Phase.LOADING)
    assert server.requests(CHAT)[0]["body"]["ttl"] == 300
    async with aclosing(backend.generate_stream(ASK)) as stream:
        assert not isinstance(await anext(stream), Progress)
    assert backend.is_ready(None)


async def test_a_larger_context_is_loaded_once_and_the_smaller_instance_stays(
    servers: ServerFactory, make: MakeBackend
) -> None:
    server = servers("lm_studio", models=[{"id": "m", "context_length": 4096, "max_context_length": 32768}])
    backend = make(server, "m", context_length=16384)
    await backend.list_models()
    assert (backend.is_ready(None), backend.context_of(None)) == (False, 16384)
    for _ in range(3):
        await backend.generate_text(ASK)
    (load,) = server.requests(LOAD)
    assert load["body"] == {"model": "m", "context_length": 16384}
    assert {request["body"]["model"] for request in server.requests(CHAT)} == {"m:2"}
    assert (backend.is_ready(None), backend.context_of(None)) == (True, 16384)
    await backend.unload_model()
    assert [request["body"] for request in server.requests(UNLOAD)] == [{"instance_id": "m:2"}]
    assert [model.id for model in await backend.list_models() if model.loaded] == ["m"]


async def test_two_requests_at_once_load_one_instance(servers: ServerFactory, make: MakeBackend) -> None:
    models = [{"id": "m", "loaded": False, "max_context_length": 32768}]
    server = servers("lm_studio", "--load-seconds", "0.2", models=models)
    backend = make(server, "m", context_length=16384)
    await asyncio.gather(*(backend.generate_text(ASK) for _ in range(3)))
    assert len(server.requests(LOAD)) == 1


async def test_a_request_may_ask_for_more_context_but_not_for_more_than_the_model_has(
    servers: ServerFactory, make: MakeBackend
) -> None:
    models = [{"id": "m", "loaded": False, "context_length": 4096, "max_context_length": 8192}]
    server = servers("lm_studio", models=models)
    await make(server, "m").generate_text(ASK, GenerationConfig(context_length=100_000))
    assert server.requests(LOAD)[0]["body"] == {"model": "m", "context_length": 8192}


async def test_enough_context_is_enough(servers: ServerFactory, make: MakeBackend) -> None:
    server = servers("lm_studio", models=[{"id": "m", "context_length": 4096}])
    await make(server, "m", context_length=2048).generate_text(ASK)
    assert server.requests(LOAD) == []


async def test_loading_really_loads_and_unloading_leaves_what_others_have_loaded(
    servers: ServerFactory, make: MakeBackend
) -> None:
    server = servers("lm_studio", models=[{"id": "theirs"}, {"id": "ours", "loaded": False}])
    theirs, ours = make(server, "theirs"), make(server, "ours")
    assert (await theirs.load_model(), await ours.load_model()) == ("theirs", "ours")
    assert len(server.requests(LOAD)) == 1
    assert all(model.loaded for model in await ours.list_models())
    await theirs.unload_model()
    await ours.unload_model()
    assert [model.id for model in await ours.list_models() if model.loaded] == ["theirs"]


async def test_what_was_loaded_just_in_time_for_us_is_ours_to_unload(
    servers: ServerFactory, make: MakeBackend
) -> None:
    server = servers("lm_studio", models=[{"id": "idle", "loaded": False}])
    backend = make(server)
    await backend.generate_text(ASK)
    await backend.unload_model()
    assert [request["body"] for request in server.requests(UNLOAD)] == [{"instance_id": "idle"}]


async def test_json_without_a_schema_is_refused_here_because_lm_studio_would(
    servers: ServerFactory, make: MakeBackend
) -> None:
    server = servers("lm_studio")
    config = GenerationConfig(extra={"response_format": {"type": "json_object"}})
    with pytest.raises(BackendError) as caught:
        await make(server).generate_text(ASK, config)
    assert caught.value.kind is ErrorKind.UNSUPPORTED
    assert server.requests(CHAT) == []


async def test_an_lm_studio_that_was_updated_is_asked_for_its_newest_list_again(
    servers: ServerFactory, make: MakeBackend
) -> None:
    old = servers("lm_studio", "--version", "0.3.10", models=["m"])
    backend = make(old)
    await backend.generate_text(ASK)
    old.kill()
    with pytest.raises(BackendError):
        await backend.generate_text(ASK)
    new = servers("lm_studio", port=old.port, models=["m", {"id": "far", "device": "workstation"}])
    assert [model.remote for model in await backend.list_models()] == [False, True]
    assert "GET /api/v1/models" in paths(new)
