"""Guests fail alone: whatever a hook does, the answer comes, and the next attempt sees the original."""

import asyncio
import logging
from dataclasses import replace
from typing import Any

import pytest

from tests.llm.tolerance import tolerance
from whisper_desktop.llm.hooks import Hook, HookRequest, HookRunner
from whisper_desktop.values import (
    Attempt,
    Completion,
    Deadlines,
    GenerationConfig,
    Message,
    Provenance,
    Reach,
    Role,
    ToolSpec,
    Usage,
)

HASTY = Deadlines(hook=0.05)
SECRET = "a secret of the person"

REQUEST = HookRequest(
    attempt=1,
    backend="lm_studio",
    server_name="LM Studio",
    model="qwen",
    reach=Reach.THIS_MACHINE,
    messages=(Message(Role.USER, SECRET),),
    config=GenerationConfig(
        temperature=0.5,
        extra={"options": {"num_ctx": 4096, "stop": ["a"]}},
        json_schema={"type": "object"},
        tools=(ToolSpec("look", "", {"properties": {}}),),
    ),
)
ANSWER = Attempt("lm_studio", "LM Studio", "http://127.0.0.1:1234", "qwen", None, "", 1.0)
COMPLETION = Completion(
    "Hello",
    "",
    "stop",
    Usage(),
    Provenance(
        "lm_studio",
        "LM Studio",
        ANSWER.url,
        "qwen",
        Reach.THIS_MACHINE,
        True,
        "LM Studio comes first",
        (ANSWER,),
        0.1,
        1.0,
        None,
    ),
)


class Quiet:
    """A hook that only listens."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.seen: list[HookRequest] = []

    async def before(self, request: HookRequest) -> HookRequest | None:
        self.heard.append("before")
        self.seen.append(request)
        return None

    async def after(self, request: HookRequest, completion: Completion) -> None:
        self.heard.append(f"after: {completion.text}")
        self.seen.append(request)

    async def cancelled(self, request: HookRequest) -> None:
        self.heard.append("cancelled")
        self.seen.append(request)


class Adding(Quiet):
    """Puts a message in front."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text

    async def before(self, request: HookRequest) -> HookRequest | None:
        await super().before(request)
        return replace(request, messages=(Message(Role.SYSTEM, self.text), *request.messages))


class Raising(Quiet):
    async def before(self, request: HookRequest) -> HookRequest | None:
        await super().before(request)
        raise ValueError(request.messages[0].content)


class Hanging(Quiet):
    async def before(self, request: HookRequest) -> HookRequest | None:
        await super().before(request)
        await asyncio.Event().wait()
        return None


class Mutating(Quiet):
    """Does to the request everything that can be done to a frozen one."""

    async def before(self, request: HookRequest) -> HookRequest | None:
        await super().before(request)
        extra: Any = request.config.extra
        extra["options"]["num_ctx"] = 1
        extra["options"]["stop"].append("b")
        schema: Any = request.config.json_schema
        schema["type"] = "array"
        parameters: Any = request.config.tools[0].parameters
        parameters["properties"]["x"] = {}
        object.__setattr__(request.messages[0], "content", "mutated")
        object.__setattr__(request, "messages", ())
        raise RuntimeError


def runner(*hooks: Hook, warn: Any = None) -> HookRunner:
    return HookRunner(hooks, HASTY, warn=warn)


def contents(request: HookRequest) -> list[str]:
    return [message.content for message in request.messages]


async def test_without_hooks_there_is_nothing_to_prepare() -> None:
    assert not runner()
    assert runner(Quiet())


async def test_each_hook_sees_what_the_one_before_it_made() -> None:
    first, second, last = Adding("one"), Adding("two"), Quiet()
    made = await runner(first, second, last).before(REQUEST)
    assert contents(made) == ["two", "one", SECRET]
    assert contents(last.seen[0]) == ["two", "one", SECRET]
    assert contents(REQUEST) == [SECRET]


async def test_hooks_learn_how_it_ended() -> None:
    hook = Quiet()
    running = runner(hook)
    await running.before(REQUEST)
    await running.after(REQUEST, COMPLETION)
    await running.cancelled(REQUEST)
    assert hook.heard == ["before", "after: Hello", "cancelled"]
    assert all(seen == hook.seen[0] for seen in hook.seen)


async def test_the_second_attempt_sees_the_original_whatever_the_first_did_to_it() -> None:
    hook = Mutating()
    running = runner(hook)
    for _ in range(2):
        assert contents(await running.before(REQUEST)) == [SECRET]
    witness = Quiet()
    await runner(witness).before(REQUEST)
    assert witness.seen[0].config.extra == {"options": {"num_ctx": 4096, "stop": ["a"]}}
    assert witness.seen[0].config.json_schema == {"type": "object"}
    assert witness.seen[0].config.tools[0].parameters == {"properties": {}}
    assert contents(witness.seen[0]) == [SECRET]


async def test_what_is_sent_is_not_in_the_hands_of_a_hook_any_more() -> None:
    class Keeping(Quiet):
        async def before(self, request: HookRequest) -> HookRequest | None:
            self.extra = {"seed": 1}
            return replace(request, config=replace(request.config, extra=self.extra))

    hook = Keeping()
    made = await runner(hook).before(REQUEST)
    hook.extra["seed"] = 2
    assert made.config.extra == {"seed": 1}


async def test_a_hook_cannot_send_the_prompt_somewhere_else() -> None:
    class Diverting(Quiet):
        async def before(self, request: HookRequest) -> HookRequest | None:
            return replace(request, reach=Reach.CLOUD, backend="openrouter", model="other", attempt=7)

    made = await runner(Diverting()).before(REQUEST)
    assert (made.reach, made.backend, made.model, made.attempt) == (
        Reach.THIS_MACHINE,
        "lm_studio",
        "qwen",
        1,
    )


@pytest.mark.parametrize("kind", [Raising, Hanging, Mutating])
async def test_a_failing_hook_is_passed_over_and_off_after_three_failures(
    kind: type[Quiet], caplog: pytest.LogCaptureFixture
) -> None:
    hook, good = kind(), Adding("good")
    told: list[str] = []
    running = runner(hook, good, warn=told.append)
    with caplog.at_level(logging.INFO):
        for _ in range(5):
            assert contents(await running.before(REQUEST)) == ["good", SECRET]
    assert len(hook.heard) == 3
    assert told == [f"The hook {kind.__name__} kept failing, so it is off until the next start."]
    assert [record.levelno for record in caplog.records].count(logging.WARNING) == 1
    assert SECRET not in caplog.text
    assert running


async def test_when_the_last_hook_is_off_there_is_nothing_to_prepare_again() -> None:
    running = runner(Raising())
    for _ in range(3):
        await running.before(REQUEST)
    assert not running


async def test_a_success_in_between_keeps_a_hook_on() -> None:
    class Moody(Quiet):
        async def before(self, request: HookRequest) -> HookRequest | None:
            await super().before(request)
            if len(self.heard) % 3:
                raise ValueError("not now")
            return None

    hook = Moody()
    running = runner(hook)
    for _ in range(12):
        await running.before(REQUEST)
    assert len(hook.heard) == 12


async def test_one_good_method_does_not_make_up_for_another_that_always_fails() -> None:
    hook = Raising()
    running = runner(hook)
    for _ in range(5):
        await running.before(REQUEST)
        await running.after(REQUEST, COMPLETION)
    assert not running


async def test_a_hook_takes_no_longer_than_its_deadline() -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    await runner(Hanging()).before(REQUEST)
    assert 0.05 <= loop.time() - began < 0.05 + tolerance()


@pytest.mark.parametrize(
    "returned",
    ["a string", 7, replace(REQUEST, messages=()), replace(REQUEST, messages=("text",))],  # type: ignore[arg-type]
)
async def test_a_hook_that_returns_nonsense_changes_nothing(returned: Any) -> None:
    class Confused(Quiet):
        async def before(self, request: HookRequest) -> HookRequest | None:
            await super().before(request)
            return returned  # type: ignore[no-any-return]

    hook = Confused()
    running = runner(hook)
    for _ in range(5):
        assert await running.before(REQUEST) == REQUEST
    assert len(hook.heard) == 3


async def test_a_hook_that_lacks_a_method_or_is_not_asynchronous_fails_alone() -> None:
    class Odd:
        def before(self, request: HookRequest) -> None:
            return None

    odd: Any = Odd()
    running = runner(odd)
    assert await running.before(REQUEST) == REQUEST
    for _ in range(3):
        await running.cancelled(REQUEST)
    assert not running


async def test_a_hook_that_cancels_itself_does_not_cancel_the_answer() -> None:
    class Quitting(Quiet):
        async def before(self, request: HookRequest) -> HookRequest | None:
            raise asyncio.CancelledError

        async def after(self, request: HookRequest, completion: Completion) -> None:
            raise SystemExit(3)

    running = runner(Quitting())
    assert await running.before(REQUEST) == REQUEST
    for _ in range(3):
        await running.after(REQUEST, COMPLETION)
    assert not running


async def test_a_hook_that_will_not_be_cancelled_is_off_at_once() -> None:
    free = asyncio.Event()

    class Stubborn(Quiet):
        async def before(self, request: HookRequest) -> HookRequest | None:
            while not free.is_set():
                try:
                    await free.wait()
                except asyncio.CancelledError:
                    continue
            return None

    running = runner(Stubborn())
    assert await running.before(REQUEST) == REQUEST
    assert not running
    free.set()
    await asyncio.wait(asyncio.all_tasks() - {asyncio.current_task()})


async def test_cancelling_the_answer_cancels_the_hook_and_blames_nobody() -> None:
    hook = Hanging()
    running = runner(hook)
    for number in range(5):
        asking = asyncio.create_task(running.before(REQUEST))
        for _ in range(3):
            await asyncio.sleep(0)
        assert len(hook.heard) == number + 1
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert asyncio.all_tasks() == {asyncio.current_task()}
    assert running
