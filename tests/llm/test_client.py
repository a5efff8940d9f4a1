"""The chain against real servers: who is asked, who answers, and what the person is told."""

import asyncio
from contextlib import aclosing
from dataclasses import replace

import pytest

from tests.llm.conftest import KEY, QUICK, MakeStep
from tests.llm.held import until
from tests.servers.fixtures import ServerFactory
from whisper_desktop.backends import Backend, create_backend
from whisper_desktop.errors import (
    BackendError,
    ConsentRequired,
    Interrupted,
    LLMConnectionError,
    NetworkBlocked,
)
from whisper_desktop.llm import AnswerStream, GuideClient, LLMClient
from whisper_desktop.values import (
    AnswerFinished,
    AnswerStarted,
    Attempt,
    AttemptFailed,
    ErrorKind,
    Message,
    Progress,
    Reach,
    ReasoningDelta,
    Role,
    SetupGuidance,
    StreamEvent,
    TextDelta,
)
from whisper_desktop.wire.http import Http

CHAT = "/v1/chat/completions"


async def collect(stream: AnswerStream) -> list[StreamEvent]:
    async with stream as events:
        return [event async for event in events]


async def failing(client: LLMClient, **options: object) -> LLMConnectionError:
    with pytest.raises(LLMConnectionError) as caught:
        await client.chat_completion("Hi", **options)  # type: ignore[arg-type]
    return caught.value


async def asked_for_consent(client: LLMClient, **options: object) -> ConsentRequired:
    with pytest.raises(ConsentRequired) as caught:
        await client.chat_completion("Hi", **options)  # type: ignore[arg-type]
    return caught.value


async def test_the_first_step_answers_and_provenance_says_everything(
    servers: ServerFactory, step: MakeStep
) -> None:
    server = servers("llama_cpp", "--reasoning", "hm", models=["tiny"])
    events = await collect(LLMClient([step(server)]).stream("Hi"))
    events = [event for event in events if not isinstance(event, Progress)]
    kinds = [type(event) for event in events]
    assert kinds == [AnswerStarted, ReasoningDelta, TextDelta, TextDelta, TextDelta, AnswerFinished]
    assert events[0] == AnswerStarted("llama_cpp", "llama.cpp", "tiny", Reach.THIS_MACHINE)
    assert isinstance(events[-1], AnswerFinished)
    completion = events[-1].completion
    assert (completion.text, completion.reasoning) == ("You said: Hi", "hm")
    told = completion.provenance
    assert (told.backend, told.server_name, told.model) == ("llama_cpp", "llama.cpp", "tiny")
    assert (told.url, told.reach) == (f"{server.url}/v1", Reach.THIS_MACHINE)
    assert told.ttft_seconds is not None
    assert 0 < told.ttft_seconds <= told.total_seconds
    assert told.tokens_per_second == completion.usage.tokens_per_second
    assert [attempt.kind for attempt in told.attempts] == [None]
    assert told.reason == "llama.cpp comes first"


async def test_a_dead_server_is_left_for_the_next_one_which_says_why(
    servers: ServerFactory, step: MakeStep, dead: Backend
) -> None:
    events = await collect(LLMClient([dead, step(servers("ollama"))]).stream("Hi"))
    assert isinstance(events[0], AttemptFailed)
    assert events[0].attempt.kind is ErrorKind.CONNECT_REFUSED
    assert events[0].attempt.detail.startswith("LM Studio is not running.")
    assert isinstance(events[-1], AnswerFinished)
    told = events[-1].completion.provenance
    assert told.reason == "LM Studio did not answer, so Ollama did"
    assert [attempt.kind for attempt in told.attempts] == [ErrorKind.CONNECT_REFUSED, None]
    assert events[-1].completion.text == "You said: Hi"


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("error_500", ErrorKind.SERVER_ERROR),
        ("busy_503", ErrorKind.OVERLOADED),
        ("rate_429:1", ErrorKind.RATE_LIMITED),
        ("unauthorized_401", ErrorKind.AUTH),
        ("html_200", ErrorKind.NOT_AN_LLM),
        ("redirect", ErrorKind.NOT_AN_LLM),
        ("empty_answer", ErrorKind.EMPTY),
        ("die_mid_stream:0", ErrorKind.STREAM_CUT),
        ("eof_mid_stream:0", ErrorKind.TRUNCATED),
        ("error_mid_stream:0", ErrorKind.SERVER_ERROR),
    ],
)
async def test_what_fails_before_the_first_word_is_left_after_one_try(
    servers: ServerFactory, step: MakeStep, fault: str, kind: ErrorKind
) -> None:
    first = servers("llama_cpp", "--fault", f"{fault}@chat")
    completion = await LLMClient([step(first, model="m"), step(servers("ollama"))]).chat_completion("Hi")
    assert [attempt.kind for attempt in completion.provenance.attempts] == [kind, None]
    assert completion.provenance.backend == "ollama"
    assert completion.text == "You said: Hi"
    assert len(first.requests(CHAT)) == 1


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("bad_request_400", ErrorKind.BAD_REQUEST),
        ("context_400", ErrorKind.CONTEXT_OVERFLOW),
        ("forbidden_403_moderation", ErrorKind.CONTENT_FILTER),
    ],
)
async def test_what_would_fail_everywhere_or_was_declined_is_not_passed_on(
    servers: ServerFactory, step: MakeStep, fault: str, kind: ErrorKind
) -> None:
    first, second = servers("openai_compatible", "--fault", fault), servers("ollama")
    with pytest.raises(BackendError) as caught:
        await LLMClient([step(first), step(second)]).chat_completion("Hi")
    assert caught.value.kind is kind
    assert caught.value.attempts[0].kind is kind
    assert all(attempt.skipped for attempt in caught.value.attempts[1:])
    assert caught.value.next_step
    assert second.requests() == []


# --- time -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["hang", "hang_headers", "stall_mid_stream:0"])
async def test_a_silent_server_costs_its_first_token_deadline_once(
    servers: ServerFactory, step: MakeStep, fault: str
) -> None:
    first = servers("llama_cpp")
    mode, _, arg = fault.partition(":")
    first.set_fault(mode, arg, on="chat")
    client = LLMClient(
        [step(first, model="m"), step(servers("ollama"))],
        deadlines=replace(QUICK, first_token=0.3, progress_grace=0.3),
    )
    told = (await client.chat_completion("Hi")).provenance
    assert [attempt.kind for attempt in told.attempts] == [ErrorKind.FIRST_TOKEN_TIMEOUT, None]
    assert told.attempts[0].seconds >= 0.3
    assert told.ttft_seconds is not None
    assert told.ttft_seconds >= 0.3  # counted from the moment of asking
    assert "within 0.3 s" in told.attempts[0].detail
    await asyncio.to_thread(first.wait_for, "disconnect")


async def test_a_server_that_does_not_accept_costs_the_connect_deadline(
    servers: ServerFactory, step: MakeStep
) -> None:
    hung = servers("impostor", "--mode", "hang_accept")
    client = LLMClient(
        [step(hung, "llama_cpp", model="m"), step(servers("ollama"))],
        deadlines=replace(QUICK, first_token=0.3),
    )
    told = (await client.chat_completion("Hi")).provenance
    assert told.attempts[0].kind in (ErrorKind.CONNECT_TIMEOUT, ErrorKind.FIRST_TOKEN_TIMEOUT)
    assert told.backend == "ollama"


async def test_a_stall_after_text_keeps_the_text_and_asks_nobody_else(
    servers: ServerFactory, step: MakeStep
) -> None:
    first, second = servers("llama_cpp", "--fault", "stall_mid_stream:2"), servers("ollama")
    client = LLMClient([step(first, model="m"), step(second)], deadlines=replace(QUICK, stall=0.2))
    with pytest.raises(Interrupted) as caught:
        await client.chat_completion("Hi")
    error = caught.value
    assert (error.kind, error.partial_text) == (ErrorKind.STALLED, "You said:")
    assert error.title == "The answer stopped after 2 words."
    assert "0.2 s" in error.detail
    assert second.requests() == []


async def test_a_consumer_that_reads_slowly_is_not_a_server_that_stalls(
    servers: ServerFactory, step: MakeStep
) -> None:
    server = servers("llama_cpp", "--token-delay", "0.02")
    client = LLMClient([step(server)], deadlines=replace(QUICK, stall=0.15))
    async with aclosing(client.stream("one two")) as events:
        async for event in events:
            if isinstance(event, TextDelta):
                await asyncio.sleep(0.2)
    assert isinstance(event, AnswerFinished)


# --- a model that is loading ------------------------------------------------------------------------------


async def test_a_loading_server_is_waited_for_when_nobody_else_is_there(
    servers: ServerFactory, step: MakeStep
) -> None:
    server = servers("llama_cpp", "--fault", "loading:0.3")
    completion = await LLMClient([step(server, model="m")], deadlines=QUICK).chat_completion("Hi")
    assert completion.text == "You said: Hi"
    assert len(server.requests()) > 2, "it was asked until it was ready"
    assert [attempt.kind for attempt in completion.provenance.attempts] == [None]


async def test_a_loading_server_is_left_after_its_grace_when_somebody_else_can_answer(
    servers: ServerFactory, step: MakeStep
) -> None:
    first = servers("llama_cpp", "--fault", "loading:60")
    client = LLMClient(
        [step(first, model="m"), step(servers("ollama"))], deadlines=replace(QUICK, loading_move_on=0.1)
    )
    told = (await client.chat_completion("Hi")).provenance
    assert [attempt.kind for attempt in told.attempts] == [ErrorKind.LOADING, None]
    assert told.reason == "llama.cpp was still loading its model, so Ollama answered"


async def test_the_chain_comes_back_to_a_loading_server_when_the_others_fail(
    servers: ServerFactory, step: MakeStep, dead: Backend
) -> None:
    first = servers("llama_cpp", "--fault", "loading:0.6")
    client = LLMClient([step(first, model="m"), dead], deadlines=replace(QUICK, loading_move_on=0.05))
    told = (await client.chat_completion("Hi")).provenance
    assert told.backend == "llama_cpp"
    assert [attempt.kind for attempt in told.attempts] == [ErrorKind.LOADING, ErrorKind.CONNECT_REFUSED, None]


async def test_a_server_that_never_finishes_loading_is_given_up(
    servers: ServerFactory, step: MakeStep
) -> None:
    server = servers("llama_cpp", "--fault", "loading:60")
    client = LLMClient([step(server, model="m")], deadlines=replace(QUICK, loading_wait=0.2))
    error = await failing(client)
    assert error.title == "llama.cpp is still loading m."


# --- the last step ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["error_500", "busy_503", "rate_429:1"])
async def test_the_last_step_gets_a_second_try(servers: ServerFactory, step: MakeStep, fault: str) -> None:
    server = servers("openai_compatible", "--fault", f"{fault}*1")
    told = (await LLMClient([step(server)], deadlines=QUICK).chat_completion("Hi")).provenance
    assert len(server.requests(CHAT)) == 2
    assert [attempt.kind is None for attempt in told.attempts] == [False, True]
    assert told.reason == "OpenAI-compatible server answered at the second try"


async def test_the_second_try_is_the_last(servers: ServerFactory, step: MakeStep) -> None:
    server = servers("openai_compatible", "--fault", "error_500")
    error = await failing(LLMClient([step(server)], deadlines=QUICK))
    assert len(server.requests(CHAT)) == 2
    assert [attempt.kind for attempt in error.attempts] == [ErrorKind.SERVER_ERROR] * 2


async def test_a_long_wait_that_a_server_asks_for_is_not_waited_out(
    servers: ServerFactory, step: MakeStep
) -> None:
    server = servers("openai_compatible", "--fault", "rate_429:3600")
    error = await failing(LLMClient([step(server)], deadlines=QUICK))
    assert len(server.requests(CHAT)) == 1
    assert error.next_step == "Try again in 3600 s."


# --- an answer that breaks off ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("die_mid_stream:3", ErrorKind.STREAM_CUT),
        ("cut_mid_stream:3", ErrorKind.STREAM_CUT),
        ("eof_mid_stream:3", ErrorKind.TRUNCATED),
        ("error_mid_stream:3", ErrorKind.SERVER_ERROR),
    ],
)
async def test_an_answer_that_breaks_off_keeps_its_text_and_is_never_continued_by_another(
    servers: ServerFactory, step: MakeStep, fault: str, kind: ErrorKind
) -> None:
    first, second = servers("llama_cpp", "--tokens", "50", "--fault", fault), servers("ollama")
    seen: list[str] = []

    async def read() -> None:
        async with aclosing(LLMClient([step(first, model="m"), step(second)]).stream("Hi")) as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    seen.append(event.text)

    with pytest.raises(Interrupted) as caught:
        await read()
    error = caught.value
    assert (error.kind, error.partial_text) == (kind, "word0 word1 word2")
    assert "".join(seen) == error.partial_text
    assert error.title == "The answer stopped after 3 words."
    assert "The text so far is kept." in error.detail
    assert [attempt.kind for attempt in error.attempts] == [kind]
    assert second.requests() == []


async def test_a_broken_off_thought_counts_as_shown(servers: ServerFactory, step: MakeStep) -> None:
    server = servers("llama_cpp", "--reasoning", "a b c d", "--fault", "eof_mid_stream:2")
    with pytest.raises(Interrupted) as caught:
        await LLMClient([step(server, model="m")]).chat_completion("Hi")
    assert caught.value.partial_text == ""
    assert caught.value.title == "The answer stopped before its first word."


# --- cancelling -------------------------------------------------------------------------------------------


async def test_closing_the_stream_stops_the_server_and_leaves_no_task(
    servers: ServerFactory, step: MakeStep
) -> None:
    server = servers("llama_cpp", "--tokens", "1000", "--token-delay", "0.02")
    async with aclosing(LLMClient([step(server, model="m")]).stream("Hi")) as events:
        async for event in events:
            if isinstance(event, TextDelta):
                break
    gone = await asyncio.to_thread(server.wait_for, "disconnect")
    assert gone["tokens_sent"] < 30
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("waiting", ["hang", "stall_mid_stream:1", "loading:60"])
async def test_cancelling_the_task_works_while_it_waits(
    servers: ServerFactory, step: MakeStep, waiting: str
) -> None:
    server = servers("llama_cpp")
    mode, _, arg = waiting.partition(":")
    server.set_fault(mode, arg, on="chat")
    task = asyncio.create_task(LLMClient([step(server, model="m")], deadlines=QUICK).chat_completion("Hi"))
    await until(lambda: bool(server.requests(CHAT if mode != "loading" else None)))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    if mode != "loading":
        await asyncio.to_thread(server.wait_for, "disconnect")
    assert asyncio.all_tasks() == {asyncio.current_task()}


# --- reach ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reach", [Reach.CLOUD, Reach.MY_NETWORK, None])
async def test_a_step_beyond_what_is_allowed_is_skipped_and_gets_not_a_byte(
    servers: ServerFactory, step: MakeStep, dead: Backend, reach: Reach | None
) -> None:
    far = servers("openai_compatible")
    error = await asked_for_consent(LLMClient([dead, step(far, reach=reach)]))
    assert [attempt.kind for attempt in error.attempts] == [
        ErrorKind.CONNECT_REFUSED,
        ErrorKind.CONSENT_REQUIRED,
    ]
    assert error.needed is reach
    assert error.title.startswith("OpenAI-compatible server was not asked")
    assert "LM Studio did not answer" in error.detail
    assert far.log("connection") == []


async def test_a_nearer_server_answers_although_a_farther_one_comes_first(
    servers: ServerFactory, step: MakeStep
) -> None:
    far, near = servers("openrouter"), servers("ollama")
    chain = [step(far, reach=Reach.CLOUD, key=KEY), step(near)]
    told = (await LLMClient(chain).chat_completion("Hi")).provenance
    assert told.reason == "OpenRouter was not allowed, so Ollama answered"
    assert far.log("connection") == []


async def test_with_consent_the_cloud_answers_and_provenance_says_cloud(
    servers: ServerFactory, step: MakeStep, dead: Backend
) -> None:
    server = servers("openrouter", models=["openai/gpt-4o"])
    client = LLMClient([dead, step(server, reach=Reach.CLOUD, key=KEY, model="openai/gpt-4o")])
    assert (await asked_for_consent(client)).needed is Reach.CLOUD
    told = (await client.chat_completion("Hi", reach=Reach.CLOUD)).provenance
    assert (told.reach, told.backend) == (Reach.CLOUD, "openrouter")


async def test_an_ollama_cloud_model_is_skipped_although_its_port_is_local(
    servers: ServerFactory, step: MakeStep
) -> None:
    cloud = {"id": "big-cloud", "remote_host": "https://ollama.com", "remote_model": "big"}
    server = servers("ollama", models=[cloud])
    error = await asked_for_consent(LLMClient([step(server, model="big-cloud")]))
    assert [attempt.kind for attempt in error.attempts] == [ErrorKind.CONSENT_REQUIRED]
    assert [request["path"] for request in server.requests() if request["method"] == "POST"] == []


async def test_with_the_network_switched_off_consent_does_not_help(step: MakeStep) -> None:
    http = Http(allow_network=False)
    backend = create_backend({"backend": "vllm", "url": "http://10.255.0.1:8000", "model": "m"}, http=http)
    error = await failing(LLMClient([backend], reach=Reach.CLOUD))
    assert isinstance(error.last_error, NetworkBlocked)
    assert "WHISPER_ALLOW_NETWORK" in str(error)


# --- nobody answers ---------------------------------------------------------------------------------------


async def test_when_nobody_answers_the_error_has_every_attempt_the_guidance_and_the_most_useful_headline(
    servers: ServerFactory, step: MakeStep, dead: Backend
) -> None:
    asked: list[tuple[Attempt, ...]] = []

    def guidance(attempts: tuple[Attempt, ...]) -> SetupGuidance:
        asked.append(attempts)
        return SetupGuidance("Start one of them.", ("Open LM Studio.",))

    empty = servers("ollama", models=[])
    error = await failing(LLMClient([dead, step(empty), dead], guidance=guidance))
    assert error.title == "Ollama is running but has no model yet."
    assert "LM Studio did not answer" in error.detail
    assert error.next_step
    assert [attempt.kind for attempt in error.attempts] == [
        ErrorKind.CONNECT_REFUSED,
        ErrorKind.MODEL_MISSING,
        ErrorKind.CONNECT_REFUSED,
    ]
    assert isinstance(error.last_error, BackendError)
    assert error.last_error.kind is ErrorKind.CONNECT_REFUSED
    assert error.setup_guidance == SetupGuidance("Start one of them.", ("Open LM Studio.",))
    assert asked == [error.attempts]


async def test_an_empty_chain_says_what_to_do(step: MakeStep) -> None:
    error = await failing(LLMClient([]))
    assert error.attempts == ()
    assert "LM Studio or Ollama" in error.next_step


async def test_a_dead_chain_leaves_nothing_behind(dead: Backend) -> None:
    error = await failing(LLMClient([dead]))
    assert error.title == "LM Studio is not running."
    assert asyncio.all_tasks() == {asyncio.current_task()}


# --- the guide --------------------------------------------------------------------------------------------


def test_the_guide_is_never_a_step_of_a_chain(step: MakeStep) -> None:
    guide = step("http://127.0.0.1:9", "openai_compatible")
    guide.config = replace(guide.config, id="guide", name="Guide")
    with pytest.raises(ValueError, match="never a step of a chain"):
        LLMClient([guide])
    with pytest.raises(ValueError, match="cannot be answered by"):
        GuideClient(step("http://127.0.0.1:9"))


async def test_the_guide_does_not_slip_in_through_a_chain_that_is_made_later(
    servers: ServerFactory, step: MakeStep
) -> None:
    server = servers("llama_cpp")
    guide = step(server)
    guide.config = replace(guide.config, id="guide", name="Guide")
    with pytest.raises(ValueError, match="never a step of a chain"):
        await LLMClient(lambda: [guide]).chat_completion("Hi")
    assert server.requests() == []
    completion = await GuideClient(guide).chat_completion("Hi")
    assert completion.provenance.server_name == "Guide"


# --- what callers pass ------------------------------------------------------------------------------------


async def test_messages_may_be_text_dictionaries_or_messages(servers: ServerFactory, step: MakeStep) -> None:
    server = servers("openai_compatible")
    client = LLMClient([step(server)])
    await client.chat_completion("Hi", temperature=0.5, max_tokens=9, extra={"top_k": 3})
    await client.chat_completion(
        [{"role": "system", "content": "Be brief."}, Message(Role.USER, "Hi"), "And you?"], stop=("x",)
    )
    first, second = (request["body"] for request in server.requests(CHAT))
    assert first["messages"] == [{"role": "user", "content": "Hi"}]
    assert (first["temperature"], first["max_tokens"], first["top_k"]) == (0.5, 9, 3)
    assert [message["role"] for message in second["messages"]] == ["system", "user", "user"]
    assert second["stop"] == ["x"]


async def test_wrong_messages_and_options_are_refused_before_anybody_is_asked(
    servers: ServerFactory, step: MakeStep
) -> None:
    server = servers("openai_compatible")
    client = LLMClient([step(server)])
    with pytest.raises(TypeError, match="no option temprature"):
        await client.chat_completion("Hi", temprature=0.5)
    for wrong in ([], [{"role": "robot", "content": "x"}], [{"role": "user", "content": 7}]):
        with pytest.raises(ValueError, match="essage"):
            await client.chat_completion(wrong)
    assert server.requests() == []


async def test_a_model_that_is_asked_for_goes_before_the_configured_one(
    servers: ServerFactory, step: MakeStep
) -> None:
    server = servers("lm_studio", models=["a", "b"])
    told = (await LLMClient([step(server, model="a")]).chat_completion("Hi", model="b")).provenance
    assert told.model == "b"


async def test_the_speed_is_measured_when_the_server_does_not_tell_it(
    servers: ServerFactory, step: MakeStep
) -> None:
    server = servers("openai_compatible", "--tokens", "20", "--token-delay", "0.005")
    completion = await LLMClient([step(server)]).chat_completion("Hi")
    assert completion.usage.tokens_per_second is None
    assert completion.provenance.tokens_per_second is not None
    assert 0 < completion.provenance.tokens_per_second <= 1 / 0.005 * 1.5


async def test_questions_side_by_side_do_not_mix(servers: ServerFactory, step: MakeStep) -> None:
    client = LLMClient([step(servers("llama_cpp", "--token-delay", "0.002"))])
    answers = await asyncio.gather(*(client.chat_completion(f"question {n}") for n in range(10)))
    assert [answer.text for answer in answers] == [f"You said: question {n}" for n in range(10)]
