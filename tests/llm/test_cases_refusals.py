"""What servers refuse for good, and who may still be asked: cases C13 to C19."""

import pytest

from tests.llm.conftest import KEY, QUICK, MakeStep
from tests.llm.promises import Asking, Clock, Outcome, hits, state
from tests.servers.fixtures import ServerFactory
from whisper_desktop.errors import BackendError, Interrupted, LLMConnectionError
from whisper_desktop.llm.breaker import State
from whisper_desktop.values import ErrorKind, Image, Message, Reach, Role, ToolSpec

LONG = "word " * 30


def stopped(outcome: Outcome, kind: ErrorKind) -> BackendError:
    """The failure that ended the chain, which is of this kind and was told as it is."""
    error = outcome.failed(BackendError)
    assert isinstance(error, BackendError)
    assert error.kind is kind
    assert error.attempts[0].kind is kind
    assert all(attempt.skipped for attempt in error.attempts[1:])
    return error


# --- the key ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["payment_402", "quota_429"])
async def test_who_has_no_credit_left_is_left_out_until_the_person_did_something(
    servers: ServerFactory, step: MakeStep, asking: Asking, fault: str
) -> None:
    """C13: also where it is told as a rate limit; nobody tries again by himself for a quarter of an hour."""
    server = servers("openrouter", "--fault", fault, models=["a"])
    backend = step(server, reach=Reach.CLOUD, key=KEY, model="a")
    client = asking.client(backend, step(servers("ollama")), reach="cloud", deadlines=QUICK)
    clock = Clock(client)
    for clock.ahead in (0.0, 1.0, QUICK.key_blocked - 10):
        outcome = await asking.ask(client)
        assert outcome.kinds == [ErrorKind.QUOTA, None]
        assert outcome.completion.provenance.reason == "OpenRouter has no credit left, so Ollama answered"
    assert hits(server) == 1
    assert state(client, backend) is State.BLOCKED
    server.set_fault()
    client.shared.health.forgive(server.url)
    assert (await asking.ask(client)).completion.provenance.backend == "openrouter"


async def test_without_credit_there_is_no_second_try(
    servers: ServerFactory, step: MakeStep, asking: Asking
) -> None:
    """C13: also where nobody else is there."""
    server = servers("openrouter", "--fault", "quota_429:1", models=["a"])
    backend = step(server, reach=Reach.CLOUD, key=KEY, model="a")
    outcome = await asking.ask(asking.client(backend, reach="cloud", deadlines=QUICK))
    assert outcome.failed(LLMConnectionError).kind is ErrorKind.QUOTA  # type: ignore[attr-defined]  # just checked
    assert hits(server) == 1


async def test_a_refused_key_is_not_shown_again_until_it_is_another_one(
    servers: ServerFactory, step: MakeStep, asking: Asking
) -> None:
    """C14: the next one answers; only new settings bring the first one back."""
    server = servers("openai_compatible", "--auth", KEY)
    wrong = step(server, key="sk-of-yesterday")
    second = step(servers("ollama"))
    client = asking.client(wrong, second, deadlines=QUICK)
    outcome = await asking.ask(client)
    assert (outcome.kinds, outcome.text) == ([ErrorKind.AUTH, None], "You said: Hi")
    assert state(client, wrong) is State.BLOCKED
    shown = len(server.requests())
    for _ in range(3):
        outcome = await asking.ask(client)
        assert outcome.kinds == [ErrorKind.AUTH, None]
        assert outcome.attempts[0].detail.endswith("It refused access; set its key, or another one.")
    assert len(server.requests()) == shown
    assert hits(server) == 0

    changed = asking.client(step(server, key=KEY), second, deadlines=QUICK, shared=client.shared)
    assert (await asking.ask(changed)).kinds == [ErrorKind.AUTH, None], "nobody said that anything changed"
    client.shared.health.forgive(server.url)
    assert (await asking.ask(changed)).completion.provenance.backend == "openai_compatible"


# --- the model --------------------------------------------------------------------------------------------


async def test_a_missing_model_leaves_the_other_models_of_its_server_alone(
    servers: ServerFactory, step: MakeStep, asking: Asking
) -> None:
    """C15: the same server answers with the model that it has, and is not asked for the other one again."""
    server = servers("openai_compatible", models=["there"])
    gone, there = step(server, model="gone"), step(server, model="there")
    client = asking.client(gone, there, deadlines=QUICK)
    outcome = await asking.ask(client)
    assert outcome.kinds == [ErrorKind.MODEL_MISSING, None]
    assert outcome.completion.provenance.model == "there"
    assert (state(client, gone), state(client, there)) == (State.OPEN, State.CLOSED)
    outcome = await asking.ask(client)
    assert [attempt.skipped for attempt in outcome.attempts] == [True, False]
    asked_for = [request["body"]["model"] for request in server.requests("/v1/chat/completions")]
    assert asked_for == ["gone", "there", "there"]


# --- the question -----------------------------------------------------------------------------------------


async def test_a_bad_request_is_told_as_it_is_and_not_passed_on(
    servers: ServerFactory, step: MakeStep, asking: Asking
) -> None:
    """C16: one attempt, in the server's own words, and nobody is thought worse of for it."""
    server, second = servers("openai_compatible", "--fault", "bad_request_400"), servers("ollama")
    backend = step(server)
    client = asking.client(backend, step(second), deadlines=QUICK)
    for _ in range(4):
        error = stopped(await asking.ask(client), ErrorKind.BAD_REQUEST)
        assert error.status == 400
        assert "Invalid value for 'temperature': must be <= 2." in str(error)
        assert error.next_step
        assert len(error.attempts) == 1
    assert hits(server) == 4
    assert second.requests() == []
    assert state(client, backend) is State.CLOSED


async def test_a_conversation_that_is_too_long_goes_only_to_a_larger_context_window(
    servers: ServerFactory, step: MakeStep, asking: Asking
) -> None:
    """C17: who has room for as little, or does not say how much, is not asked; the larger one answers."""
    small, same, larger = (
        servers("llama_cpp", models=[{"id": "m", "context_length": tokens}]) for tokens in (16, 16, 64)
    )
    unknown = servers("openai_compatible")
    chain = [step(server) for server in (small, same, unknown, larger)]
    for backend in chain:
        await backend.load_model()
    client = asking.client(*chain, deadlines=QUICK)
    outcome = await asking.ask(client, LONG)
    assert outcome.kinds == [ErrorKind.CONTEXT_OVERFLOW] * 3 + [None]
    assert [attempt.skipped for attempt in outcome.attempts] == [False, True, True, False]
    assert outcome.completion.provenance.url == f"{larger.url}/v1"
    assert [hits(server) for server in (small, same, unknown, larger)] == [1, 0, 0, 1]
    assert state(client, chain[0]) is State.CLOSED
    assert (await asking.ask(client)).kinds == [None], "a short one is still for the first"


async def test_a_conversation_that_is_too_long_for_all_is_told_so(
    servers: ServerFactory, step: MakeStep, asking: Asking
) -> None:
    """C17: with what to do, after one attempt."""
    small, same = (servers("llama_cpp", models=[{"id": "m", "context_length": 16}]) for _ in range(2))
    client = asking.client(step(small), step(same), deadlines=QUICK)
    error = stopped(await asking.ask(client, LONG), ErrorKind.CONTEXT_OVERFLOW)
    assert "larger context window" in error.next_step
    assert (hits(small), hits(same)) == (1, 0)


@pytest.mark.parametrize("on_interruption", ["restart", "continue", "stop"])
@pytest.mark.parametrize("fault", ["forbidden_403_moderation", "content_filter:0"])
async def test_what_one_provider_declines_is_not_passed_on_to_another(
    servers: ServerFactory, step: MakeStep, asking: Asking, fault: str, on_interruption: str
) -> None:
    """C18: the person hears who declined and why, whatever the settings."""
    server, second = servers("openai_compatible", "--fault", fault), servers("ollama")
    backend = step(server)
    client = asking.client(backend, step(second), on_interruption=on_interruption, deadlines=QUICK)
    error = stopped(await asking.ask(client), ErrorKind.CONTENT_FILTER)
    if fault.startswith("forbidden"):
        assert "rejected as a result of our safety system" in error.detail
    assert backend.name in error.title
    assert (hits(server), second.requests()) == (1, [])
    assert state(client, backend) is State.CLOSED


@pytest.mark.parametrize("on_interruption", ["restart", "continue", "stop"])
async def test_what_one_provider_withholds_half_way_is_not_passed_on_either(
    servers: ServerFactory, step: MakeStep, asking: Asking, on_interruption: str
) -> None:
    """C18: what was shown stays, the rest is not fetched elsewhere."""
    server = servers("openai_compatible", "--tokens", "50", "--fault", "content_filter:3")
    second = servers("llama_cpp")
    client = asking.client(step(server), step(second), on_interruption=on_interruption, deadlines=QUICK)
    outcome = await asking.ask(client)
    error = outcome.failed(Interrupted)
    assert isinstance(error, Interrupted)
    assert (error.kind, error.partial_text) == (ErrorKind.CONTENT_FILTER, "word0 word1 word2")
    assert outcome.kinds == [ErrorKind.CONTENT_FILTER]
    assert second.requests() == []


# --- what a model cannot do -------------------------------------------------------------------------------

ASKS = {
    "--no-tools": ("Hi", {"tools": (ToolSpec("look_up"),)}),
    "--no-vision": ([Message(Role.USER, "Hi", images=(Image(b"\x89PNG\r\n\x1a\n"),))], {}),
    "--no-schema": ("Hi", {"json_schema": {"type": "object", "properties": {}}}),
}


@pytest.mark.parametrize("lacking", list(ASKS))
async def test_who_cannot_do_what_is_asked_is_left_out_of_such_questions_only(
    servers: ServerFactory, step: MakeStep, asking: Asking, lacking: str
) -> None:
    """C19: the next one that can answers; that the first one cannot is remembered, and no failure."""
    question, options = ASKS[lacking]
    server = servers("openai_compatible", lacking)
    backend = step(server)
    client = asking.client(backend, step(servers("openai_compatible")), deadlines=QUICK)
    for skipped in (False, True):
        outcome = await asking.ask(client, question, **options)  # type: ignore[arg-type]  # as ASKS has them
        assert outcome.kinds == [ErrorKind.UNSUPPORTED, None]
        assert outcome.attempts[0].skipped is skipped
        assert hits(server) == 1
    assert state(client, backend) is State.CLOSED
    outcome = await asking.ask(client)
    assert (outcome.kinds, outcome.completion.provenance.url) == ([None], f"{server.url}/v1")
