"""The pool over both real engines: started together, isolated, mended one by one, ended together."""

import asyncio
import logging
import os
import re
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from tests.engines.conftest import gone, until
from tests.engines.pool.conftest import CONTEXT, ENDLESS, MakePool, ask, events_of, exactly, plan_of
from whisper_desktop.engines.pool import Form, Pool, PoolProgress, limits_of
from whisper_desktop.engines.spec import EngineSpec
from whisper_desktop.errors import BackendError, EngineError, Interrupted
from whisper_desktop.settings.paths import log_dir
from whisper_desktop.values import (
    AnswerFinished,
    AnswerRestarted,
    AnswerStarted,
    AttemptFailed,
    Deadlines,
    EngineState,
    ErrorKind,
    Phase,
    Progress,
    Role,
    StreamEvent,
    TextDelta,
)

Scripted = Callable[..., EngineSpec]
TEXTS = 3  # pieces of an answer after which something is done to it
LONG = 8000  # tokens: still being written when the first pieces have arrived here, on a busy machine too


def pid_of(pool: Pool, role: str) -> int:
    pid = {each.role: each.pid for each in pool.status().roles}[role]
    assert pid is not None
    return pid


class After:
    """Called with every event; does something once so many pieces of text have come."""

    def __init__(self, pieces: int, what: object) -> None:
        self.left = pieces
        self._what = what

    def __call__(self, event: StreamEvent) -> None:
        if isinstance(event, TextDelta):
            self.left -= 1
            if self.left == 0 and callable(self._what):
                self._what()


@pytest.mark.parametrize("form", list(Form))
async def test_a_pool_starts_together_answers_in_every_role_and_ends_together(
    spec: EngineSpec, pool_of: MakePool, form: Form
) -> None:
    told: list[PoolProgress] = []
    pool = pool_of(
        plan_of(form, *[spec] * (3 if form is Form.PROCESSES else 1), roles=3), on_progress=told.append
    )
    status = await pool.start()
    assert (status.state, status.detail) == (EngineState.READY, "All 3 roles are ready.")
    assert {each.state for each in status.roles} == {EngineState.READY}
    fractions = [each.fraction for each in told]
    assert fractions == sorted(fractions)
    assert (fractions[-1], told[-1].ready) == (1.0, 3)

    sessions = [pool.session(each.role) for each in status.roles]
    answers = await asyncio.gather(*(ask(each, "Hello", exactly(12)) for each in sessions))
    assert [answer.usage.completion_tokens for answer in answers] == [12] * 3
    assert [answer.provenance.server_name.split(" (")[1] for answer in answers] == [
        "planner)",
        "coder)",
        "runner)",
    ]

    pids = {each.pid for each in status.roles}
    assert len(pids) == (3 if form is Form.PROCESSES else 1)
    began = time.monotonic()
    await pool.stop()
    assert time.monotonic() - began < 3
    assert all(gone(pid) for pid in pids if pid is not None)
    assert pool.status().state is EngineState.STOPPED
    assert (await pool.start()).state is EngineState.READY  # and once more


@pytest.mark.parametrize("form", list(Form))
async def test_every_role_has_read_its_opening_before_the_first_question(
    builtin: EngineSpec, pool_of: MakePool, form: Form
) -> None:
    pool = pool_of(plan_of(form, *[builtin] * (2 if form is Form.PROCESSES else 1)))
    await pool.start()
    for role in ("planner", "coder"):
        usage = (await ask(pool.session(role), "What now?", exactly(1))).usage
        assert usage.cached_prompt_tokens is not None
        assert usage.cached_prompt_tokens > 50  # the system prompt; a slot of another role would share 8


async def test_sessions_of_roles_keep_their_own_context_and_its_cache(
    spec: EngineSpec, pool_of: MakePool
) -> None:
    pool = pool_of(plan_of(Form.SLOTS, spec))
    await pool.start()
    planner, coder = pool.session("planner"), pool.session("coder")
    first = await ask(planner, "one " * 100, exactly(5))
    await ask(coder, "two " * 100, exactly(5))
    second = await ask(planner, "and?", exactly(5))
    assert second.usage.cached_prompt_tokens is not None
    assert first.usage.prompt_tokens is not None
    # The answer is read again as text, which may be cut into tokens differently.
    assert second.usage.cached_prompt_tokens >= first.usage.prompt_tokens - 8
    assert [message.role for message in planner.messages] == [Role.USER, Role.ASSISTANT] * 2
    assert planner.messages[1].content == first.text
    assert len(coder.messages) == 2
    planner.forget()
    assert planner.messages == ()


async def test_a_role_never_takes_the_slot_of_another_however_alike_they_are(
    spec: EngineSpec, pool_of: MakePool
) -> None:
    plan = plan_of(Form.SLOTS, spec)
    alike = tuple(replace(each, role=replace(each.role, system="You are one of two.")) for each in plan.roles)
    pool = pool_of(replace(plan, roles=alike))
    await pool.start()
    await ask(pool.session("planner"), "the same " * 50, exactly(3))
    usage = (await ask(pool.session("coder"), "the same " * 50, exactly(3))).usage
    assert usage.cached_prompt_tokens is not None
    assert usage.cached_prompt_tokens < 50  # its own opening, and not what the planner has read


async def test_sessions_of_one_role_take_turns(builtin: EngineSpec, pool_of: MakePool) -> None:
    pool = pool_of(plan_of(Form.PROCESSES, builtin))
    await pool.start()
    order: list[str] = []

    async def one(name: str) -> list[StreamEvent]:
        return await events_of(
            pool.session("planner"),
            "go",
            exactly(20),
            lambda event: order.append(name) if isinstance(event, TextDelta) else None,
        )

    first, second, third = await asyncio.gather(one("a"), one("b"), one("c"))
    assert order == sorted(order)
    assert not any(isinstance(event, Progress) and event.phase is Phase.QUEUED for event in first)
    assert second[0] == Progress(Phase.QUEUED, ahead=1, server_name="Built-in engine (planner)")
    assert isinstance(third[0], Progress)
    assert third[0].ahead == 2
    assert pool.status().roles[0].ahead == 0


async def test_a_crash_fails_only_its_own_request_which_is_asked_once_more(
    spec: EngineSpec, pool_of: MakePool
) -> None:
    pool = pool_of(plan_of(Form.PROCESSES, spec, spec))
    await pool.start()
    before, other = pid_of(pool, "planner"), pid_of(pool, "coder")
    kill = After(TEXTS, lambda: os.kill(before, signal.SIGKILL))
    hit, unharmed = await asyncio.gather(
        events_of(pool.session("planner"), "go", exactly(LONG), kill),
        events_of(pool.session("coder"), "go", exactly(LONG)),
    )
    assert not any(isinstance(event, AttemptFailed | AnswerRestarted) for event in unharmed)
    assert pid_of(pool, "coder") == other
    assert pid_of(pool, "planner") not in (before, other)

    (restart,) = [number for number, event in enumerate(hit) if isinstance(event, AnswerRestarted)]
    (failed,) = [event for event in hit if isinstance(event, AttemptFailed)]
    restarted, finished = hit[restart], hit[-1]
    assert isinstance(restarted, AnswerRestarted)
    assert isinstance(finished, AnswerFinished)
    assert isinstance(hit[restart + 1], AnswerStarted)
    assert restarted.failed == failed.attempt
    assert "ended" in failed.attempt.detail
    texts = [event.text if isinstance(event, TextDelta) else "" for event in hit]
    assert restarted.partial_text == "".join(texts[:restart])
    assert finished.completion.text == "".join(texts[restart:])
    assert finished.completion.usage.completion_tokens == LONG
    assert [attempt.kind for attempt in finished.completion.provenance.attempts] == [
        ErrorKind.STREAM_CUT,
        None,
    ]


async def test_a_second_crash_ends_the_answer_with_what_was_said_and_leaves_the_context_as_it_was(
    builtin: EngineSpec, pool_of: MakePool
) -> None:
    pool = pool_of(plan_of(Form.PROCESSES, builtin))
    await pool.start()
    session, texts = pool.session("planner"), 0

    def kill_each(event: StreamEvent) -> None:
        nonlocal texts
        texts += isinstance(event, TextDelta)
        if isinstance(event, AnswerRestarted):
            texts = 0
        if texts == TEXTS and isinstance(event, TextDelta):
            os.kill(pid_of(pool, "planner"), signal.SIGKILL)

    with pytest.raises(Interrupted) as caught:
        await events_of(session, "go", ENDLESS, kill_each)
    assert len(caught.value.attempts) == 2
    assert len(caught.value.partial_text) >= TEXTS
    assert session.messages == ()
    assert (await ask(session, "again", exactly(3))).usage.completion_tokens == 3


async def test_a_crash_between_two_questions_is_not_noticed_by_the_second(
    builtin: EngineSpec, pool_of: MakePool
) -> None:
    pool = pool_of(plan_of(Form.PROCESSES, builtin))
    await pool.start()
    os.kill(pid_of(pool, "planner"), signal.SIGKILL)
    answer = await ask(pool.session("planner"), "go", exactly(3))
    assert answer.usage.completion_tokens == 3


async def test_cancelling_frees_the_slot_at_once(spec: EngineSpec, pool_of: MakePool) -> None:
    pool = pool_of(plan_of(Form.SLOTS, spec))
    await pool.start()
    session = pool.session("planner")
    for _ in range(3):
        begun = asyncio.Event()
        task = asyncio.create_task(events_of(session, "go", ENDLESS, After(3, begun.set)))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    async with asyncio.timeout(Deadlines().engine_slot_free):
        answer = await ask(session, "go", exactly(3))
    assert answer.usage.completion_tokens == 3
    assert len(session.messages) == 2
    assert pool.status().roles[0].ahead == 0


async def test_a_request_without_progress_is_given_up_and_says_so(
    builtin: EngineSpec, pool_of: MakePool
) -> None:
    pool = pool_of(plan_of(Form.PROCESSES, builtin, builtin), limits=replace(limits_of(), request=1.0))
    await pool.start()
    pid = pid_of(pool, "planner")
    stop = After(TEXTS, lambda: os.kill(pid, signal.SIGSTOP))
    try:
        began = time.monotonic()
        with pytest.raises(Interrupted) as caught:
            await events_of(pool.session("planner"), "go", ENDLESS, stop)
        assert caught.value.kind is ErrorKind.STALLED
        assert "no progress for 1 s" in str(caught.value)
        assert time.monotonic() - began < 5
        with pytest.raises(BackendError) as silent:
            await events_of(pool.session("planner"), "go", exactly(3))
        assert silent.value.kind is ErrorKind.STALLED
        assert (await ask(pool.session("coder"), "go", exactly(3))).usage.completion_tokens == 3
    finally:
        os.kill(pid, signal.SIGCONT)


async def test_what_the_engine_refuses_is_not_asked_again(builtin: EngineSpec, pool_of: MakePool) -> None:
    pool = pool_of(plan_of(Form.PROCESSES, builtin))
    await pool.start()
    with pytest.raises(BackendError) as caught:
        await ask(pool.session("planner"), "long " * CONTEXT, exactly(3))
    assert caught.value.kind is ErrorKind.CONTEXT_OVERFLOW
    assert len(caught.value.attempts) == 1


async def test_stopping_ends_streams_and_they_are_not_asked_again(
    spec: EngineSpec, pool_of: MakePool
) -> None:
    pool = pool_of(plan_of(Form.PROCESSES, spec, spec))
    await pool.start()
    begun = asyncio.Event()
    task = asyncio.create_task(events_of(pool.session("planner"), "go", ENDLESS, After(3, begun.set)))
    await begun.wait()
    began = time.monotonic()
    await pool.stop()
    with pytest.raises(Interrupted) as caught:
        await task
    assert time.monotonic() - began < 3
    assert len(caught.value.attempts) == 1


# --- quorum and failures ----------------------------------------------------------------------------------


async def test_below_the_quorum_everything_is_stopped_with_one_error_that_names_each_cause(
    builtin: EngineSpec, pool_of: MakePool, tmp_path: Path
) -> None:
    missing = replace(builtin, model_path=tmp_path / "missing.gguf")
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF and nothing of it")
    pool = pool_of(plan_of(Form.PROCESSES, builtin, missing, replace(builtin, model_path=broken)))
    with pytest.raises(EngineError) as caught:
        await pool.start()
    assert str(tmp_path / "missing.gguf") in str(caught.value)
    assert caught.value.cause in ("model_missing", "not_a_model", "model_corrupt")
    status = pool.status()
    assert status.state is EngineState.FAILED
    assert [each.pid for each in status.roles] == [None] * 3


async def test_with_the_quorum_reached_the_pool_works_without_the_others_and_says_so(
    builtin: EngineSpec, pool_of: MakePool, tmp_path: Path
) -> None:
    missing = replace(builtin, model_path=tmp_path / "missing.gguf")
    pool = pool_of(plan_of(Form.PROCESSES, builtin, missing, builtin), limits=replace(limits_of(), quorum=2))
    await pool.start()
    assert await until(lambda: pool.status().progress.fraction == 1.0, 5)
    status = pool.status()
    assert status.state is EngineState.READY
    assert status.detail.startswith("It works without the coder. The model file is not there")
    assert status.progress.sentence == "2 of 3 roles are ready."
    assert (await ask(pool.session("runner"), "go", exactly(3))).usage.completion_tokens == 3
    with pytest.raises(BackendError, match="model file is not there") as caught:
        await ask(pool.session("coder"), "go", exactly(3))
    assert caught.value.kind is ErrorKind.ENGINE


async def test_the_gate_opens_at_the_quorum_while_others_still_load(
    builtin: EngineSpec, scripted: Scripted, pool_of: MakePool
) -> None:
    pool = pool_of(plan_of(Form.PROCESSES, builtin, scripted("hang")), limits=replace(limits_of(), quorum=1))
    status = await pool.start()
    assert status.state is EngineState.READY
    assert status.progress.sentence == "1 of 2 roles is ready."
    assert (await ask(pool.session("planner"), "go", exactly(3))).usage.completion_tokens == 3


async def test_a_start_without_progress_fails_early_and_leaves_nothing(
    builtin: EngineSpec, scripted: Scripted, pool_of: MakePool
) -> None:
    limits = replace(limits_of(), stall=1.0, look=0.05)
    pool = pool_of(plan_of(Form.PROCESSES, builtin, scripted("hang")), limits=limits)
    began = time.monotonic()
    with pytest.raises(EngineError) as caught:
        await pool.start()
    assert time.monotonic() - began < 8
    assert "the coder cannot be" in caught.value.title
    assert "no progress for 1 s" in caught.value.detail
    assert caught.value.cause == "start_timeout"
    assert [each.pid for each in pool.status().roles] == [None, None]


async def test_the_patience_of_the_pool_holds_for_each_of_its_engines(
    scripted: Scripted, pool_of: MakePool
) -> None:
    hasty = replace(Deadlines(), engine_start=0.1, engine_stall=0.1, engine_start_most=0.2)
    pool = pool_of(plan_of(Form.PROCESSES, scripted("load=0.8")), limits=limits_of(), deadlines=hasty)
    starting = asyncio.create_task(pool.start())
    assert await until(lambda: pool.status().roles[0].detail not in ("Not started.", "Starting."), 10)
    assert pool.status().roles[0].detail == "Ready."
    await pool.stop()
    with pytest.raises(EngineError):
        await starting


async def test_a_stop_during_the_start_ends_it_and_whoever_waits_for_it(
    scripted: Scripted, pool_of: MakePool
) -> None:
    hanging = scripted("hang")
    pool = pool_of(plan_of(Form.PROCESSES, hanging, hanging))
    waiting = asyncio.create_task(pool.start())
    assert await until(lambda: len(psutil.Process().children()) == 2, 10)
    pids = [child.pid for child in psutil.Process().children()]
    await pool.stop()
    with pytest.raises(EngineError) as caught:
        await waiting
    assert caught.value.cause == "stopped"
    assert all(gone(pid) for pid in pids)
    assert pool.status().state is EngineState.STOPPED


async def test_a_heartbeat_says_in_the_log_how_far_the_start_is(
    builtin: EngineSpec, scripted: Scripted, pool_of: MakePool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="whisper_desktop.engines.pool")
    limits = replace(limits_of(), stall=1.5, heartbeat=0.2, look=0.05)
    with pytest.raises(EngineError):
        await pool_of(plan_of(Form.PROCESSES, builtin, scripted("hang")), limits=limits).start()
    beats = [
        record.getMessage()
        for record in caplog.records
        if record.name.startswith("whisper_desktop.engines.pool")
    ]
    assert len(beats) >= 3
    assert re.fullmatch(r"The pool has been starting for \d+ s: \d+% \(planner \d+%, coder \d+%\)", beats[-1])


async def test_each_engine_has_a_log_of_its_own(builtin: EngineSpec, pool_of: MakePool) -> None:
    await pool_of(plan_of(Form.PROCESSES, builtin, builtin)).start()
    assert {path.name for path in log_dir().glob("engine-*.log")} == {
        "engine-pool-1.log",
        "engine-pool-2.log",
    }


# --- one after the other ----------------------------------------------------------------------------------


async def test_two_pools_one_after_the_other_are_never_both_in_memory(
    builtin: EngineSpec, pool_of: MakePool
) -> None:
    """S27, as far as a pool goes: what is unloaded is gone before the next is loaded."""
    first, second = (pool_of(plan_of(Form.PROCESSES, builtin, builtin)) for _ in range(2))
    pids: set[int] = set()
    for turn in range(4):
        pool = (first, second)[turn % 2]
        async with pool:
            assert all(gone(pid) for pid in pids)
            pids = {pid_of(pool, "planner"), pid_of(pool, "coder")}
            assert (await ask(pool.session("coder"), "go", exactly(2))).usage.completion_tokens == 2
    assert all(gone(pid) for pid in pids)
