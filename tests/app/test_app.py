"""The object a front end holds: choosing, keys, connection tests, and the one glance."""

import asyncio

import pytest

from tests.integration.worlds import closed_port, world
from tests.servers.fixtures import ServerFactory
from whisper_desktop.advice.flow import SetupResult
from whisper_desktop.app import App
from whisper_desktop.errors import SettingsError
from whisper_desktop.events import AnswerState, BackendChosen, ServersChanged
from whisper_desktop.values import Message, Reach, Role

MODEL = {"id": "qwen3.5-4b", "loaded": True}


async def test_before_it_is_started_there_is_a_glance_already() -> None:
    assert App().state().activity == "starting"


async def test_a_choice_is_remembered_by_the_next_start_and_automatic_takes_it_back(
    servers: ServerFactory,
) -> None:
    lm_studio = servers("lm_studio", models=[MODEL])
    async with world(lm_studio=lm_studio.url) as app:
        heard: list[str | None] = []
        app.bus.listen(BackendChosen, lambda event: heard.append(event.backend))
        await app.scan()
        await app.choose("lmstudio", "qwen3.5-4b")
        assert heard == ["lm_studio"]
    async with world(lm_studio=lm_studio.url) as app:
        await app.scan()
        chosen = [choice for choice in app.backend_choices() if choice.chosen]
        assert [(choice.id, choice.models) for choice in chosen] == [("lm_studio", ("qwen3.5-4b",))]
        assert app.state().headline == "Ready: qwen3.5-4b on LM Studio"
        await app.choose(None)
        assert app.backend_choices()[0].chosen


async def test_an_unknown_backend_is_named_and_nothing_changes() -> None:
    async with world() as app:
        with pytest.raises(SettingsError, match="nonsense"):
            await app.choose("nonsense")
        assert app.backend_choices()[0].chosen


async def test_switching_takes_effect_for_the_next_message(servers: ServerFactory) -> None:
    lm_studio, ollama = servers("lm_studio", models=[MODEL]), servers("ollama", models=["llama3.2:3b"])
    async with world(lm_studio=lm_studio.url, ollama=ollama.url) as app:
        await app.scan()
        for backend in ("ollama", "lm_studio", "ollama"):
            await app.choose(backend)
            session = app.open_session()
            async for _ in session.send("Hello?"):
                pass
            provenance = session.turns[0].provenance
            assert provenance is not None
            assert provenance.backend == backend


async def test_the_glance_says_working_while_an_answer_is_written(servers: ServerFactory) -> None:
    lm_studio = servers("lm_studio", models=[MODEL])
    async with world(lm_studio=lm_studio.url) as app:
        await app.scan()
        seen: list[tuple[bool, str]] = []
        app.bus.listen(AnswerState, lambda event: seen.append((event.active, app.state().activity)))
        async for _ in app.stream([Message(Role.USER, "Hello?")]):
            pass
        assert seen == [(True, "working"), (False, "ready")]


async def test_servers_are_told_as_they_are_found_and_two_scans_at_once_are_one(
    servers: ServerFactory,
) -> None:
    lm_studio = servers("lm_studio", models=[MODEL])
    async with world(lm_studio=lm_studio.url) as app:
        told: list[ServersChanged] = []
        app.bus.listen(ServersChanged, told.append)
        first, second = await asyncio.gather(app.scan(), app.scan())
        assert first is second
        assert told[-1].scanning is False
        assert all(event.scanning for event in told[:-1])
        assert len(lm_studio.requests("/lmstudio-greeting")) == 1


async def test_a_connection_test_is_a_real_answer(servers: ServerFactory) -> None:
    lm_studio = servers("lm_studio", "--answer", "Hello there.", models=[MODEL])
    async with world(lm_studio=lm_studio.url) as app:
        report = await app.test_connection("lm_studio")
        assert report.ok
        assert report.title == "LM Studio answers with qwen3.5-4b."
        assert report.detail == "Hello there."


async def test_a_connection_test_of_a_server_that_is_not_there_says_so() -> None:
    async with world() as app:
        report = await app.test_connection("ollama")
        assert not report.ok
        assert "Ollama" in report.title
        assert report.next_step.endswith(".")


async def test_a_connection_test_with_a_wrong_key_says_so(servers: ServerFactory) -> None:
    lm_studio = servers("lm_studio", "--auth", "right", models=[MODEL])
    async with world(lm_studio=lm_studio.url) as app:
        await app.set_key(lm_studio.url, "wrong")
        report = await app.test_connection("lm_studio")
        assert not report.ok
        assert "key" in f"{report.title} {report.detail}"
        assert "wrong" not in f"{report.title} {report.detail} {report.next_step}".split()


async def test_a_key_belongs_to_one_address_and_is_listed_without_being_shown() -> None:
    async with world() as app:
        await app.set_key("openrouter", "sk-or-v1-abc")
        await app.set_key("http://127.0.0.1:9999/v1", "local-key")
        assert set(await app.keys()) == {"https://openrouter.ai", "http://127.0.0.1:9999"}
        await app.remove_key("openrouter")
        assert await app.keys() == ("http://127.0.0.1:9999",)


@pytest.mark.parametrize("name", ["nonsense", "builtin", ""])
async def test_what_takes_no_key_is_named(name: str) -> None:
    async with world() as app:
        with pytest.raises(SettingsError):
            await app.set_key(name, "key")


async def test_the_wizard_writes_once_and_the_next_start_is_no_first_run() -> None:
    async with world() as app:
        assert app.state().first_run
        await app.finish_setup(SetupResult("openrouter", None, Reach.CLOUD))
        assert not app.state().first_run
    async with world() as app:
        assert not app.state().first_run
        assert app.loaded.settings.llm.backend == "openrouter"
        assert app.loaded.settings.llm.reach is Reach.CLOUD


async def test_a_missing_model_file_fails_its_own_step_and_not_the_chain(servers: ServerFactory) -> None:
    ollama = servers("ollama", models=["llama3.2:3b"])
    async with world(
        ollama=ollama.url,
        llm__gguf_model_path="/nowhere/model.gguf",
        llm__fallback_chain=("builtin", "ollama"),
    ) as app:
        session = app.open_session()
        async for _ in session.send("Hello?"):
            pass
        provenance = session.turns[0].provenance
        assert provenance is not None
        assert provenance.backend == "ollama"
        assert "not there" in provenance.attempts[0].detail


async def test_stopping_twice_is_harmless_and_an_unreachable_address_is_told() -> None:
    async with world(llm__base_url=f"http://127.0.0.1:{closed_port()}/v1") as app:
        report = await app.test_connection(None)
        assert not report.ok
        await app.stop()


async def test_a_server_that_nobody_can_place_is_not_asked_until_the_person_says_where_it_runs(
    servers: ServerFactory,
) -> None:
    proxy = servers("openai_compatible", "--flavor", "llama_swap", models=["qwen3.5-4b"])
    answers: tuple[dict[str, str], ...] = ({}, {proxy.url: "this_machine"})
    for said, reach in zip(answers, (None, Reach.THIS_MACHINE), strict=True):
        async with world(llm__llamacpp__port=proxy.port, privacy__server_reach=said) as app:
            (found,) = [server for server in await app.scan() if server.url == proxy.url]
            assert found.reach is reach


async def test_without_looking_around_only_addresses_that_were_given_are_asked(
    servers: ServerFactory,
) -> None:
    lm_studio, given = servers("lm_studio", models=[MODEL]), servers("ollama", models=["llama3.2:3b"])
    async with world(
        lm_studio=lm_studio.url, llm__auto_detect=False, llm__addresses=(given.url,), env={"OLLAMA_HOST": ""}
    ) as app:
        found = await app.scan()
        assert [server.id for server in found] == ["ollama", "builtin"]
        assert not lm_studio.requests("/")
