"""The six situations a person can be in, each from a look around to an answer or to words that help.

Together they are the release checklist: detection finds what runs (every scenario), guidance appears when
needed (1, 6), the fallback chain works (4), error messages help (1, 5), recommendations are right (1 to 5).
"""

from contextlib import aclosing

import pytest

from tests.integration.worlds import world
from tests.servers.fixtures import ServerFactory
from whisper_desktop.app import App
from whisper_desktop.chat import TurnState
from whisper_desktop.errors import ConsentRequired, LLMConnectionError
from whisper_desktop.values import (
    AnswerFinished,
    AttemptFailed,
    Completion,
    ErrorKind,
    Message,
    Reach,
    Role,
    ServerStatus,
    StreamEvent,
)

KEY = "sk-or-v1-test"
CHAT_MODEL = {"id": "qwen3.5-4b", "loaded": True, "context_length": 8192, "size_bytes": 2_740_000_000}


async def ask(app: App, question: str, **choices: object) -> tuple[Completion, list[StreamEvent]]:
    """One question to the app's chain; returns the answer and every event on the way to it."""
    seen: list[StreamEvent] = []
    async with aclosing(app.stream([Message(Role.USER, question)], **choices)) as events:  # type: ignore[arg-type]
        async for event in events:
            seen.append(event)
    assert isinstance(seen[-1], AnswerFinished)
    return seen[-1].completion, seen


async def test_scenario_1_fresh_install_without_a_server() -> None:
    """Nothing runs: the app says so, recommends with reasons, and the guide talks through the real engine."""
    async with world() as app:
        advice = await app.recommend()
        assert not [server for server in app.servers if server.status is ServerStatus.AVAILABLE]
        assert advice.ready_model is None
        assert advice.reasons
        assert len(advice.steps) >= 3

        with pytest.raises(LLMConnectionError) as caught:
            await ask(app, "Hello?")
        guidance = caught.value.setup_guidance
        assert guidance is not None
        assert guidance.steps
        assert guidance.offer_guide
        assert app.state().activity == "needs_attention"

        session = app.open_session(guide=True)
        async with aclosing(session.send("What can you do?")) as events:
            async for _ in events:
                pass
        (turn,) = session.turns
        assert turn.state is TurnState.COMPLETE
        assert turn.answer
        assert turn.provenance is not None
        assert (turn.provenance.backend, turn.provenance.reach) == ("guide", Reach.THIS_MACHINE)
        status = app.engine_status()
        assert status is not None
        assert status.pid


async def test_scenario_2_lm_studio_with_models(servers: ServerFactory) -> None:
    """LM Studio runs with a loaded model: found, recommended as it is, and it answers."""
    lm_studio = servers("lm_studio", models=[CHAT_MODEL, {"id": "nomic", "embedding": True}])
    async with world(lm_studio=lm_studio.url) as app:
        advice = await app.recommend()
        (found,) = [server for server in app.servers if server.id == "lm_studio"]
        assert found.status is ServerStatus.AVAILABLE
        assert [model.id for model in found.chat_models] == ["qwen3.5-4b"]
        assert (advice.preferred_server, advice.ready_model) == ("lm_studio", "qwen3.5-4b")

        completion, _ = await ask(app, "Why is the sky blue?")
        who = completion.provenance
        assert (who.backend, who.model, who.reach) == ("lm_studio", "qwen3.5-4b", Reach.THIS_MACHINE)
        assert app.state().headline == "Ready: qwen3.5-4b on LM Studio"


async def test_scenario_3_ollama_with_models(servers: ServerFactory) -> None:
    """Ollama runs with a local and a cloud model: the local one is used, the other is not taken for local."""
    ollama = servers(
        "ollama",
        models=[
            {"id": "gpt-oss:120b-cloud", "remote_host": "https://ollama.com:443"},
            {"id": "llama3.2:3b", "loaded": False, "size_bytes": 2_019_000_000},
        ],
    )
    async with world(ollama=ollama.url) as app:
        advice = await app.recommend()
        (found,) = [server for server in app.servers if server.id == "ollama"]
        assert {model.id: model.remote for model in found.models} == {
            "gpt-oss:120b-cloud": True,
            "llama3.2:3b": False,
        }
        assert (advice.preferred_server, advice.ready_model) == ("ollama", "llama3.2:3b")
        completion, _ = await ask(app, "Hello?")
        assert (completion.provenance.backend, completion.provenance.model) == ("ollama", "llama3.2:3b")


async def test_scenario_4_several_servers_and_the_first_one_fails(servers: ServerFactory) -> None:
    """Several run: the loaded model is first; when its server dies the next one answers, and it is said."""
    lm_studio = servers("lm_studio", models=[CHAT_MODEL])
    ollama = servers("ollama", models=[{"id": "llama3.2:3b", "loaded": False}])
    async with world(lm_studio=lm_studio.url, ollama=ollama.url) as app:
        await app.scan()
        first, _ = await ask(app, "One?")
        assert first.provenance.backend == "lm_studio"

        lm_studio.kill()
        second, events = await ask(app, "Two?")
        assert second.provenance.backend == "ollama"
        assert "so Ollama" in second.provenance.reason
        failures = [event.attempt for event in events if isinstance(event, AttemptFailed)]
        assert [(attempt.backend, attempt.kind) for attempt in failures] == [
            ("lm_studio", ErrorKind.CONNECT_REFUSED)
        ]

        await app.choose("ollama")
        third, events = await ask(app, "Three?")
        assert third.provenance.backend == "ollama"
        assert not [event for event in events if isinstance(event, AttemptFailed)]


async def test_scenario_5_cloud_only_with_a_key(servers: ServerFactory) -> None:
    """Only OpenRouter and a key: nothing is sent before the person allows it, then it answers."""
    cloud = servers("openrouter", models=[{"id": "openai/gpt-4"}])
    async with world(openrouter=f"{cloud.url}/api/v1", llm__openrouter__model="openai/gpt-4") as app:
        await app.set_key("openrouter", KEY)
        with pytest.raises(ConsentRequired) as caught:
            await ask(app, "Secret question")
        assert caught.value.needed is Reach.CLOUD
        assert not cloud.requests("/api/v1/chat/completions")

        completion, _ = await ask(app, "Hello?", reach=Reach.CLOUD)
        assert completion.provenance.backend == "openrouter"
        assert completion.provenance.reach is Reach.CLOUD
        (sent,) = cloud.requests("/api/v1/chat/completions")
        assert sent["headers"]["authorization"] == f"Bearer {KEY}"


async def test_scenario_6_no_configuration_and_settings_that_are_broken() -> None:
    """No settings, then broken ones: the app starts all the same, and names what it cannot use."""
    async with world() as app:
        assert app.loaded.problems == ()
        assert app.state().first_run

    async with world(env={"WHISPER_LLM_BACKEND": "nonsense", "WHISPER_LLM_MODE": "sideways"}) as app:
        problems = [str(problem) for problem in app.loaded.problems]
        assert len(problems) == 2
        assert any("WHISPER_LLM_BACKEND" in problem for problem in problems)
        await app.scan()
        assert app.backend_choices()[0].chosen
