"""The object a front end holds: choosing, keys, connection tests, and the one glance."""

import asyncio
import os
import shutil
import sys
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.integration.worlds import closed_port, world
from tests.servers.fixtures import ServerFactory
from tests.servers.launch import RunningServer
from whisper_desktop.advice.flow import SetupResult
from whisper_desktop.app import App
from whisper_desktop.app.places import InQuestion, remember_allowed, server_in_question
from whisper_desktop.app.talking import answer_deadlines
from whisper_desktop.chat import Turn, TurnState
from whisper_desktop.chat.breaks import parts
from whisper_desktop.errors import (
    ConsentRequired,
    DependencyError,
    FeatureNotEnabledError,
    Interrupted,
    LLMConnectionError,
    SettingsError,
    WhisperError,
)
from whisper_desktop.events import AnswerState, BackendChosen, ServersChanged
from whisper_desktop.settings import load_settings, remember
from whisper_desktop.settings.paths import resource
from whisper_desktop.values import (
    AnswerFinished,
    Completion,
    ConnectionReport,
    Deadlines,
    ErrorKind,
    Message,
    Provenance,
    Reach,
    Role,
    ServerStatus,
    TextDelta,
)

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


async def test_a_slip_in_the_settings_of_one_backend_fails_its_own_step_and_not_the_chain(
    servers: ServerFactory,
) -> None:
    lm_studio, ollama = servers("lm_studio", models=[MODEL]), servers("ollama", models=["llama3.2:3b"])
    async with world(
        lm_studio=lm_studio.url,
        ollama=ollama.url,
        llm__lmstudio__ttl="soon",
        llm__fallback_chain=("lm_studio", "ollama"),
    ) as app:
        session = app.open_session()
        async for _ in session.send("Hello?"):
            pass
        provenance = session.turns[0].provenance
        assert provenance is not None
        assert provenance.backend == "ollama"
        (failed,) = [each for each in provenance.attempts if each.backend == "lm_studio"]
        assert failed.kind is ErrorKind.NOT_CONFIGURED
        assert "llm.lmstudio.ttl cannot be used" in failed.detail


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


async def test_a_server_that_the_person_allows_is_asked_until_they_take_it_back(
    servers: ServerFactory,
) -> None:
    proxy = servers("localai", models=["qwen3.5-4b"])
    async with world(llm__llamacpp__port=proxy.port) as app:
        with pytest.raises(ConsentRequired) as caught:
            await questioned(app)
        asked_about = server_in_question(caught.value)
        assert asked_about == InQuestion("LocalAI", proxy.url)
        assert not proxy.requests("/v1/chat/completions")

        remember_allowed(asked_about.place)
        await app.reload()
        answer = await questioned(app)
        # Where it really ran is the person's word, and the line below the answer says so.
        assert (answer.backend, answer.reach, answer.as_given) == ("localai", Reach.THIS_MACHINE, True)

    async with world(llm__llamacpp__port=proxy.port) as app:
        assert (await questioned(app)).backend == "localai"  # asked about once
        remember("privacy.server_reach", {})
        await app.reload()
        with pytest.raises(ConsentRequired):
            await questioned(app)
    assert len(proxy.requests("/v1/chat/completions")) == 2


async def test_an_answer_of_a_recognised_engine_is_not_called_as_given_for_what_was_said_of_its_address(
    servers: ServerFactory,
) -> None:
    lm_studio = servers("lm_studio", models=[MODEL])
    async with world(lm_studio=lm_studio.url) as app:
        remember_allowed(lm_studio.url)
        await app.reload()
        assert not (await questioned(app)).as_given


def test_allowing_one_server_keeps_what_was_said_of_others() -> None:
    remember("privacy.server_reach", {"http://127.0.0.1:1": "cloud"})
    remember_allowed("http://127.0.0.1:2")
    assert load_settings().settings.privacy.server_reach == {
        "http://127.0.0.1:1": Reach.CLOUD,
        "http://127.0.0.1:2": Reach.THIS_MACHINE,
    }


def test_an_answer_that_would_have_no_effect_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHISPER_PRIVACY__SERVER_REACH", "{'http://127.0.0.1:1': cloud}")
    with pytest.raises(SettingsError, match="WHISPER_PRIVACY__SERVER_REACH") as caught:
        remember_allowed("http://127.0.0.1:2")
    assert "http://127.0.0.1:2" in caught.value.next_step


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


async def questioned(app: App, **choices: Any) -> Provenance:
    """Who answered one question of a new conversation."""
    session = app.open_session(**choices)
    async for _ in session.send("Hello?"):
        pass
    provenance = session.turns[0].provenance
    assert provenance is not None
    return provenance


@pytest.mark.parametrize("settings", [{"llm__backend": "llama_cpp"}, {"llm__fallback_chain": ("llama_cpp",)}])
@pytest.mark.parametrize("auto_detect", [True, False])
async def test_a_proxy_on_the_port_of_llama_cpp_gets_no_prompt_without_consent(
    servers: ServerFactory, settings: dict[str, Any], auto_detect: bool
) -> None:
    proxy = servers("openai_compatible", "--flavor", "llama_swap", models=["m"])
    async with world(llm__llamacpp__port=proxy.port, llm__auto_detect=auto_detect, **settings) as app:
        with pytest.raises(ConsentRequired, match="Nothing was sent"):
            await questioned(app, model="m")
    assert not proxy.requests("/v1/chat/completions")


@pytest.mark.parametrize("path", ["", "/v1"])
@pytest.mark.parametrize("model", ["", "gpt-oss:120b-cloud"])
async def test_an_ollama_at_a_written_address_passes_no_prompt_on_without_consent(
    servers: ServerFactory, path: str, model: str
) -> None:
    cloud = {"id": "gpt-oss:120b-cloud", "remote_host": "https://ollama.com:443"}
    ollama = servers("ollama", models=[cloud])
    written = {"LLM_CHAT_API_URL": ollama.url + path, "LLM_MODEL_NAME": model}
    async with world(ollama=ollama.url, env=written) as app:
        with pytest.raises(ConsentRequired, match="Nothing was sent"):
            await questioned(app)
        assert not ollama.requests("/v1/chat/completions")
        assert (await questioned(app, reach=Reach.CLOUD)).reach is Reach.CLOUD


async def test_an_unusable_ollama_host_is_told_and_does_not_end_the_scan(servers: ServerFactory) -> None:
    lm_studio = servers("lm_studio", models=[MODEL])
    async with world(lm_studio=lm_studio.url, env={"OLLAMA_HOST": "http://not a host"}) as app:
        found = {server.id: server for server in await app.scan()}
        assert found["ollama"].status is ServerStatus.UNREACHABLE
        assert (await questioned(app)).backend == "lm_studio"


async def test_ollama_is_looked_for_where_the_settings_say(servers: ServerFactory) -> None:
    ollama = servers("ollama", models=["llama3.2:3b"])
    async with world(llm__ollama__base_url=ollama.url) as app:
        assert (await questioned(app, backend="ollama")).url == f"{ollama.url}/v1"
        assert app.key_origin("ollama") == ollama.url


async def test_a_key_goes_to_the_port_that_is_set_and_an_alias_is_not_taken_for_an_address() -> None:
    async with world(llm__lmstudio__port=4321, llm__llamacpp__port=4322) as app:
        assert app.key_origin("lmstudio") == "http://127.0.0.1:4321"
        assert app.key_origin("llama.cpp") == "http://127.0.0.1:4322"
        assert app.key_origin("localhost:9") == "http://localhost:9"
        assert app.key_origin("openai") == "https://api.openai.com"


async def test_switching_the_network_off_counts_from_the_next_request_on() -> None:
    async with world(llm__base_url="https://example.invalid/v1", llm__reach="cloud") as app:
        await app.remember({"llm.allow_network": False})
        with pytest.raises(LLMConnectionError, match="switched off"):
            await questioned(app, model="m")


async def test_another_model_file_ends_the_engine_of_the_one_before(tmp_path: Path) -> None:
    files = [Path(shutil.copy(resource("guide", "guide.gguf"), tmp_path / name)) for name in ("a", "b")]
    async with world() as app:
        pids = []
        for settings in ({}, {"llm.llamacpp.n_ctx": 512}):
            for file in files:
                await app.remember({"llm.gguf_model_path": str(file), **settings})
                assert (await questioned(app, backend="builtin")).model == file.stem
                status = app.engine_status()
                assert status is not None
                pids.append(status.pid)
        assert len(set(pids)) == len(pids)
        assert [pid for pid in pids if pid and _runs(pid)] == pids[-1:]
        await app.remember({"llm.llamacpp.n_ctx": 1024})
        await questioned(app, backend="builtin")
        assert not _runs(pids[-1])


def _runs(pid: int | None) -> bool:
    return psutil.pid_exists(pid or 0) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


async def test_the_built_in_engine_stays_off_where_it_is_switched_off() -> None:
    model = str(resource("guide", "guide.gguf"))
    for wish, error in (
        ({"llm__backend": "builtin"}, LLMConnectionError),
        ({"llm__mode": "direct"}, FeatureNotEnabledError),
    ):
        async with world(env={}, llm__gguf_model_path=model, llm__enable_direct=False, **wish) as app:
            with pytest.raises(error, match="switched off"):
                await questioned(app)
            assert app.engine_status() is None


async def test_the_mode_direct_answers_with_the_apps_own_engine_alone(servers: ServerFactory) -> None:
    lm_studio = servers("lm_studio", models=[MODEL])
    model = str(resource("guide", "guide.gguf"))
    async with world(lm_studio=lm_studio.url, llm__gguf_model_path=model, llm__mode="direct") as app:
        assert (await questioned(app)).backend == "builtin"
        assert (await questioned(app, backend="lm_studio")).backend == "lm_studio"  # who names one, gets it


@pytest.mark.parametrize("file", [None, "/nowhere/model.gguf"])
async def test_the_mode_direct_says_that_its_model_is_missing(
    servers: ServerFactory, file: str | None
) -> None:
    lm_studio = servers("lm_studio", models=[MODEL])
    async with world(lm_studio=lm_studio.url, llm__gguf_model_path=file, llm__mode="direct") as app:
        with pytest.raises(DependencyError, match="no model") as caught:
            await questioned(app)
        assert "llm.gguf_model_path" in caught.value.next_step
        assert "llm.mode auto" in caught.value.next_step


async def test_the_mode_direct_says_that_its_engine_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xllamacpp", None)  # as where it was never installed
    monkeypatch.setenv("PATH", "")
    model = str(resource("guide", "guide.gguf"))
    async with world(llm__gguf_model_path=model, llm__mode="direct") as app:
        with pytest.raises(DependencyError, match="not installed"):
            await questioned(app)


async def test_a_backend_named_for_one_question_is_looked_at_before_it_is_trusted(
    servers: ServerFactory,
) -> None:
    proxy = servers("openai_compatible", "--flavor", "llama_swap", models=["m"])
    async with world(llm__llamacpp__port=proxy.port, llm__auto_detect=False) as app:
        await app.scan()
        assert not proxy.requests()
        with pytest.raises(ConsentRequired, match="Nothing was sent"):
            await questioned(app, backend="llama.cpp", model="m")
        assert proxy.requests()
    assert not proxy.requests("/v1/chat/completions")


async def test_a_port_that_was_changed_is_looked_at_before_it_is_trusted(servers: ServerFactory) -> None:
    proxy = servers("openai_compatible", "--flavor", "llama_swap", models=["m"])
    nobody = str(closed_port())
    env = {**os.environ, "OLLAMA_HOST": f"127.0.0.1:{nobody}", "WHISPER_LLM__LMSTUDIO__PORT": nobody}
    app = App(env={**env, "WHISPER_LLM__AUTO_DETECT": "no"})
    await app.start()
    try:
        await app.remember({"llm.llamacpp.port": int(nobody)})
        with pytest.raises(LLMConnectionError):
            await questioned(app, backend="llama_cpp", model="m")
        await app.remember({"llm.llamacpp.port": proxy.port})
        with pytest.raises(ConsentRequired, match="Nothing was sent"):
            await questioned(app, backend="llama_cpp", model="m")
    finally:
        await app.stop()
    assert not proxy.requests("/v1/chat/completions")


async def test_a_backend_is_made_once_and_anew_when_the_settings_change(servers: ServerFactory) -> None:
    lm_studio = servers("lm_studio", models=[MODEL])
    async with world(lm_studio=lm_studio.url) as app:
        counts = []
        for settings in ({}, {"ui.theme": "dark"}, {"llm.hedge": False}):
            if settings:
                await app.remember(settings)
            await questioned(app, backend="lm_studio")
            counts.append(len(lm_studio.requests("/api/v1/models")))
        assert counts[1] == counts[0], "the list of models was believed, whatever windows look like"
        assert counts[2] == counts[1] + 1


async def test_a_test_gives_the_answer_as_it_comes_and_ends_with_its_report(servers: ServerFactory) -> None:
    lm_studio = servers("lm_studio", "--answer", "Hello there.", models=[MODEL])
    async with world(lm_studio=lm_studio.url) as app:
        events = [event async for event in app.test_stream("lm_studio")]
        assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "Hello there."
        assert isinstance(events[-1], ConnectionReport)
        assert events[-1].ok
        failed = [event async for event in app.test_stream("ollama")][-1]
        assert isinstance(failed, ConnectionReport)
        assert not failed.ok
        assert app.state().activity == "ready"  # a test is no answer that failed


async def test_a_service_with_a_key_is_a_step_and_a_choice(servers: ServerFactory) -> None:
    async with world(llm__openai__model="gpt-5") as app:
        assert not [choice for choice in app.backend_choices() if choice.id == "openai"]
        await app.set_key("openai", "sk-abcdefgh")
        (choice,) = [choice for choice in app.backend_choices() if choice.id == "openai"]
        assert (choice.detail, choice.reach) == ("cloud · asks first", Reach.CLOUD)
        with pytest.raises(ConsentRequired, match="OpenAI") as caught:
            await questioned(app)
        assert caught.value.needed is Reach.CLOUD
        await app.remove_key("openai")
        with pytest.raises(LLMConnectionError):
            await questioned(app)


def test_the_persons_patience_is_taken_and_otherwise_the_deadlines_are_left_alone() -> None:
    scaled = Deadlines().scaled(0.1)
    assert answer_deadlines(scaled, load_settings()) == scaled
    given = {"llm.request_timeout": 20, "llm.wait_for_loading": 7}
    deadlines = answer_deadlines(Deadlines(), load_settings(overrides=given))
    assert (deadlines.no_progress, deadlines.first_token, deadlines.loading_move_on) == (20.0, 20.0, 7.0)
    longer = answer_deadlines(Deadlines(), load_settings(overrides={"llm.request_timeout": 600}))
    assert (longer.no_progress, longer.first_token) == (600.0, 60.0)


async def test_stopping_before_the_first_token_is_told_in_a_sentence(servers: ServerFactory) -> None:
    lm_studio = servers("lm_studio", "--first-token-delay", "30", models=[MODEL])
    ollama = servers("ollama", models=["llama3.2:3b"])
    async with world(lm_studio=lm_studio.url, ollama=ollama.url) as app:
        asking = asyncio.create_task(questioned(app))
        await asyncio.to_thread(_received, lm_studio, "/v1/chat/completions")
        await app.stop()
        with pytest.raises(WhisperError, match="closing"):
            await asyncio.wait_for(asking, 5)


async def test_skipping_the_setup_leaves_what_the_person_wrote_as_it_is() -> None:
    async with world() as app:
        await app.finish_setup(SetupResult(None, skipped=True))
        assert not app.state().first_run
        assert app.loaded.sources["llm.reach"] == app.loaded.sources["llm.backend"] == "default"


async def test_testing_the_automatic_choice_goes_no_farther_than_a_question_would(
    servers: ServerFactory,
) -> None:
    router = servers("openrouter", "--auth", "sk-or-v1-abcdefgh", models=["openai/gpt-5"])
    async with world(openrouter=router.url, llm__openrouter__model="openai/gpt-5") as app:
        await app.set_key("openrouter", "sk-or-v1-abcdefgh")
        assert not (await app.test_connection(None)).ok
        assert not router.requests("/api/v1/chat/completions")
        assert (await app.test_connection("openrouter")).ok


def _received(server: RunningServer, path: str) -> None:
    """Wait until the server has got a request for this path."""
    count = 1
    while server.wait_for("request", count)["path"] != path:
        count += 1


async def test_a_key_does_not_vouch_for_where_a_server_runs_its_models(servers: ServerFactory) -> None:
    proxy = servers("openai_compatible", "--flavor", "llama_swap", models=["qwen3.5-4b"])
    async with world(llm__llamacpp__port=proxy.port) as app:
        await app.set_key(proxy.url, "its-key")
        (found,) = [server for server in await app.scan() if server.url == proxy.url]
        assert (found.reach, found.as_given) == (None, False)


WORDS = " ".join(f"word{number}" for number in range(40))


async def broken_off(servers: ServerFactory, on_interruption: str) -> Turn:
    """A question that LM Studio stops answering half way, with llama.cpp next in line."""
    lm_studio = servers("lm_studio", "--answer", WORDS, "--fault", "eof_mid_stream:20", models=[MODEL])
    llama_cpp = servers("llama_cpp", "--answer", WORDS, "--no-echo", models=["tiny"])
    async with world(
        lm_studio=lm_studio.url,
        llm__llamacpp__port=llama_cpp.port,
        llm__on_interruption=on_interruption,
        llm__fallback_chain=("lm_studio", "llama_cpp"),
    ) as app:
        session = app.open_session()
        with suppress(Interrupted):
            async for _ in session.send("Count"):
                pass
        return session.turns[0]


HALF = WORDS.split()[:20]


async def test_after_a_break_the_answer_begins_anew_and_what_came_is_kept(servers: ServerFactory) -> None:
    turn = await broken_off(servers, "restart")
    assert (turn.state, turn.answer) == (TurnState.COMPLETE, WORDS)
    (aside,) = turn.set_aside
    assert (aside.text.split(), aside.failed.backend) == (HALF, "lm_studio")


async def test_where_the_person_wants_no_second_answer_it_ends_with_what_came(servers: ServerFactory) -> None:
    turn = await broken_off(servers, "stop")
    assert turn.state is TurnState.INTERRUPTED
    assert (turn.answer.split(), turn.set_aside) == (HALF, ())


async def test_where_the_person_wants_it_the_text_goes_on_after_a_seam(servers: ServerFactory) -> None:
    turn = await broken_off(servers, "continue")
    assert turn.state is TurnState.COMPLETE
    (seam,) = turn.seams
    assert seam.failed.backend == "lm_studio"
    assert parts(turn.answer, turn.seams)[0].split() == HALF
    assert turn.answer == WORDS  # no character is lost or doubled


async def test_what_one_answer_learnt_of_a_server_the_next_one_knows(servers: ServerFactory) -> None:
    ollama = servers("ollama")
    chain = ("lm_studio", "ollama")
    async with world(ollama=ollama.url, llm__fallback_chain=chain) as app:
        first, second = [(await answered(app)).provenance for _ in range(2)]
        assert [attempt.skipped for attempt in first.attempts] == [False, False]
        assert [attempt.skipped for attempt in second.attempts] == [True, False]


async def test_a_server_that_is_seen_to_answer_again_is_asked_again(servers: ServerFactory) -> None:
    ollama, port = servers("ollama"), closed_port()
    world_of_two = world(
        lm_studio=f"http://127.0.0.1:{port}", ollama=ollama.url, llm__fallback_chain=("lm_studio", "ollama")
    )
    async with world_of_two as app:
        assert (await answered(app)).provenance.backend == "ollama"
        servers("lm_studio", port=port)
        await app.scan()
        assert (await answered(app)).provenance.backend == "lm_studio"


async def test_a_new_key_takes_a_refusal_back(servers: ServerFactory) -> None:
    cloud = servers("openrouter", models=["m"])
    settings: dict[str, Any] = {
        "llm__openrouter__model": "m",
        "llm__reach": "cloud",
        "llm__backend": "openrouter",
    }
    async with world(openrouter=cloud.url, **settings) as app:
        await app.set_key("openrouter", "sk-or-v1-wrong")
        with pytest.raises(LLMConnectionError) as caught:
            await answered(app)
        assert caught.value.kind is ErrorKind.AUTH
        await app.set_key("openrouter", "sk-or-v1-test")
        assert (await answered(app)).provenance.backend == "openrouter"


async def test_what_answers_may_cost_is_kept_across_starts(servers: ServerFactory) -> None:
    cloud = servers("openrouter", models=["m"])
    settings: dict[str, Any] = {
        "llm__openrouter__model": "m",
        "llm__reach": "cloud",
        "llm__backend": "openrouter",
    }
    cost = 0.0
    async with world(openrouter=cloud.url, **settings) as app:
        await app.set_key("openrouter", "sk-or-v1-test")
        cost = (await answered(app)).provenance.cost_usd or 0.0
    assert cost > 0
    async with world(openrouter=cloud.url, llm__spending__daily=cost / 2, **settings) as app:
        await app.set_key("openrouter", "sk-or-v1-test")
        with pytest.raises(LLMConnectionError) as caught:
            await answered(app)
    assert caught.value.kind is ErrorKind.BUDGET


async def answered(app: App) -> Completion:
    """The answer to a question."""
    async with aclosing(app.stream([Message(Role.USER, "Hi")])) as events:
        last = [event async for event in events][-1]
    assert isinstance(last, AnswerFinished)
    return last.completion
