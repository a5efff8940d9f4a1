"""What lies around the servers: proxies, names, the network, sleep, consent, guests.

Cases C34 to C36 and C44 to C48.
"""

import asyncio
import socket
import time
from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.llm.conftest import KEY, QUICK, MakeStep
from tests.llm.promises import Asking, hits
from tests.llm.tolerance import tolerance
from tests.servers.fixtures import ServerFactory
from whisper_desktop.backends import Backend
from whisper_desktop.errors import ConsentRequired
from whisper_desktop.llm import LLMClient, Shared
from whisper_desktop.llm.hooks import Hook, HookRequest
from whisper_desktop.values import (
    AnswerContinued,
    AnswerRestarted,
    Completion,
    Deadlines,
    ErrorKind,
    Message,
    Reach,
    Role,
)

SAID = "You said: Hi"


@pytest.mark.parametrize(
    "proxy",
    ["http://127.0.0.1:9", "socks5h://127.0.0.1:9", "not a proxy at all", "http://", "http://[::bad"],
)
async def test_no_proxy_variable_ever_touches_this_computer(
    servers: ServerFactory,
    step: MakeStep,
    asking: Asking,
    monkeypatch: pytest.MonkeyPatch,
    proxy: str,
) -> None:
    """C34: neither to answer nor to construct."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
        monkeypatch.setenv(name, proxy)
    server = servers("openai_compatible")
    assert (await asking.ask(asking.client(step(server)))).text == SAID
    async with LLMClient([f"{server.url}/v1"]) as client:
        assert (await client.chat_completion("Hi")).text == SAID


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_localhost_is_found_on_whichever_loopback_address_it_listens(
    servers: ServerFactory, step: MakeStep, asking: Asking, host: str
) -> None:
    """C35: within 300 ms."""
    server = servers("openai_compatible", host=host)
    client = asking.client(step(f"http://localhost:{server.port}"))
    outcome = await asking.ask(client)
    assert outcome.text == SAID
    assert outcome.seconds < 0.3 + tolerance()


async def test_names_that_hang_do_not_hold_up_this_computer(
    servers: ServerFactory, step: MakeStep, asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C36: with every thread of the resolver stuck, an address that needs no resolver is asked at once."""
    real, release, hanging = socket.getaddrinfo, asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def hang(host: str, *args: object, **options: object) -> object:
        if host != "model.example":
            return real(host, *args, **options)  # type: ignore[arg-type]  # handed on as it came
        loop.call_soon_threadsafe(hanging.set)
        asyncio.run_coroutine_threadsafe(release.wait(), loop).result(10)
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    near = asking.client(step(servers("openai_compatible")))
    far = step("http://model.example:1", "openai_compatible", model="m", reach=Reach.CLOUD)
    stuck = [
        asyncio.create_task(asking.ask(asking.client(far, reach="cloud", deadlines=QUICK))) for _ in range(40)
    ]
    await hanging.wait()
    outcome = await asking.ask(near)
    assert outcome.text == SAID
    assert outcome.seconds < 1
    release.set()
    for failed in await asyncio.gather(*stuck):
        assert failed.error is not None


async def test_a_whole_network_that_is_gone_is_noticed_once_and_this_computer_answers(
    servers: ServerFactory, step: MakeStep, asking: Asking
) -> None:
    """C45: what is far is left out together, what is near is asked, and no server gets the blame."""
    unreachable = ("224.0.0.1", "224.0.0.2", "224.0.0.3")  # refused by this computer's own network stack
    far = [step(f"http://{address}", "vllm", model="m", reach=Reach.CLOUD) for address in unreachable]
    client = asking.client(*far, step(servers("ollama")), reach="cloud")
    outcome = await asking.ask(client)
    assert outcome.kinds == [ErrorKind.OFFLINE, ErrorKind.OFFLINE, ErrorKind.OFFLINE, None]
    assert [attempt.skipped for attempt in outcome.attempts] == [False, True, True, False]
    assert outcome.seconds < 1


async def test_a_chain_that_would_leave_its_reach_stops_and_asks(
    servers: ServerFactory, step: MakeStep, asking: Asking, dead: Backend
) -> None:
    """C46: nothing leaves, the person is asked, and who allowed it gets an answer."""
    cloud = servers("openrouter", models=["openai/gpt-4o"])
    far = step(cloud, reach=Reach.CLOUD, key=KEY, model="openai/gpt-4o")
    client = asking.client(dead, far)
    outcome = await asking.ask(client)
    error = outcome.failed(ConsentRequired)
    assert isinstance(error, ConsentRequired)
    assert error.needed is Reach.CLOUD
    assert outcome.kinds == [ErrorKind.CONNECT_REFUSED, ErrorKind.CONSENT_REQUIRED]
    assert "LM Studio did not answer" in str(error)
    assert cloud.log("connection") == []
    assert (await asking.ask(client, reach=Reach.CLOUD)).text == SAID


@pytest.mark.parametrize("refuses", ["--no-prefill", ""])
async def test_a_continuation_is_marked_and_a_refused_one_becomes_a_new_beginning(
    servers: ServerFactory, step: MakeStep, asking: Asking, refuses: str
) -> None:
    """C47: the refusal of a begun answer never reaches the person."""
    words = " ".join(f"word{number}" for number in range(20))
    first = servers("openai_compatible", "--tokens", "20", "--fault", "cut_mid_stream:8")
    second = servers("llama_cpp", "--tokens", "20", *filter(None, [refuses]))
    client = asking.client(step(first), step(second), on_interruption="continue")
    outcome = await asking.ask(client)
    assert outcome.text == words
    assert outcome.kinds[0] is ErrorKind.STREAM_CUT
    assert outcome.kinds[-1] is None
    seams = [event for event in outcome.events if isinstance(event, AnswerContinued)]
    anew = [event for event in outcome.events if isinstance(event, AnswerRestarted)]
    if refuses:
        assert (len(seams), len(anew)) == (0, 1)
        assert anew[0].partial_text == " ".join(f"word{number}" for number in range(8))
    else:
        assert (len(seams), len(anew)) == (1, 0)
        assert outcome.completion.seams == (seams[0].position,)
        assert words.startswith(outcome.text[: seams[0].position])
    sent = second.requests("/v1/chat/completions")
    assert len(sent) == (2 if refuses else 1)
    assert sent[0]["body"]["messages"][-1]["role"] == "assistant"


class Guest:
    """A hook that does harm to the first attempt, and remembers what it saw."""

    def __init__(self, harm: str) -> None:
        self.harm = harm
        self.seen: list[tuple[int, str]] = []
        self.ended: list[str] = []

    async def before(self, request: HookRequest) -> HookRequest | None:
        self.seen.append((request.attempt, request.messages[-1].content))
        if self.harm == "raises":
            raise RuntimeError("I am broken.")
        if self.harm == "hangs":
            await asyncio.sleep(60)
        if self.harm == "mutates":
            return replace(request, messages=(Message(Role.USER, f"changed {request.attempt}"),))
        return None

    async def after(self, request: HookRequest, completion: Completion) -> None:
        self.ended.append(f"after {request.attempt}")

    async def cancelled(self, request: HookRequest) -> None:
        self.ended.append(f"cancelled {request.attempt}")


@pytest.mark.parametrize("harm", ["raises", "hangs", "mutates"])
async def test_a_guest_that_does_harm_does_not_harm_the_answer(
    servers: ServerFactory, step: MakeStep, asking: Asking, harm: str
) -> None:
    """C48: the second attempt begins with the original, and each attempt is ended once."""
    guest = Guest(harm)
    first, second = servers("openai_compatible", "--fault", "error_500"), servers("ollama")
    client = with_hooks([guest], step(first), step(second))
    outcome = await asking.ask(client)
    assert outcome.text == ("You said: changed 2" if harm == "mutates" else SAID)
    assert guest.seen == [(1, "Hi"), (2, "Hi")]
    if harm == "mutates":
        assert guest.ended == ["cancelled 1", "after 2"]
        assert first.requests("/v1/chat/completions")[0]["body"]["messages"][-1]["content"] == "changed 1"


async def test_a_guest_that_fails_three_times_in_a_row_is_switched_off(
    servers: ServerFactory, step: MakeStep, asking: Asking
) -> None:
    """C48: and the person is told once."""
    guest, told = Guest("raises"), list[str]()
    client = with_hooks([guest], step(servers("ollama")), warn=told.append)
    for _ in range(5):
        assert (await asking.ask(client)).text == SAID
    assert len(guest.seen) < 5
    assert len(told) == 1
    assert "Guest" in told[0]


def with_hooks(hooks: Sequence[Hook], *steps: Backend, warn: object = None) -> LLMClient:
    """A client with guests. What it leaves behind is checked through its connections."""
    return LLMClient(steps, shared=Shared(replace(QUICK, hook=0.1), hooks=hooks, warn=warn))  # type: ignore[arg-type]


@pytest.mark.parametrize("jump", [3600.0, -3600.0])
async def test_a_wall_clock_that_jumps_changes_nothing(
    servers: ServerFactory,
    step: MakeStep,
    asking: Asking,
    dead: Backend,
    monkeypatch: pytest.MonkeyPatch,
    jump: float,
) -> None:
    """C44: breakers, deadlines and streams go by the clock that only goes forward."""
    client = asking.client(dead, step(servers("ollama", "--token-delay", "0.05")))
    assert (await asking.ask(client)).kinds == [ErrorKind.CONNECT_REFUSED, None]
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + jump)
    outcome = await asking.ask(client)
    assert outcome.kinds == [ErrorKind.CONNECT_REFUSED, None]
    assert outcome.attempts[0].skipped
    assert outcome.text == SAID


async def test_an_hour_of_sleep_in_the_middle_of_a_stream_is_no_storm_of_deadlines(
    servers: ServerFactory, step: MakeStep, asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C44: whoever was answering before goes on, with a moment to show that it lives."""
    server = servers("llama_cpp", "--tokens", "20", "--token-delay", "0.03")
    client = asking.client(step(server), deadlines=Deadlines(stall=0.2, first_token=5))
    loop = asyncio.get_running_loop()
    real, slept = loop.time, 0.0
    monkeypatch.setattr(loop, "time", lambda: real() + slept)
    text = ""
    async with client.stream("Hi") as events:
        async for event in events:
            text += event.text
            if text == "word0 word1":
                slept = 3600.0
    assert text == " ".join(f"word{number}" for number in range(20))
    assert hits(server) == 1
