"""What the tests of the pool share: pools of real engines with the tiny model, and a short way to ask."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing

import pytest

from whisper_desktop.engines.pool import (
    Form,
    PlacedRole,
    Pool,
    PoolLimits,
    PoolPlan,
    PoolProgress,
    RoleSession,
    limits_of,
    roles_named,
)
from whisper_desktop.engines.spec import EngineSpec
from whisper_desktop.values import Completion, Deadlines, GenerationConfig, StreamEvent
from whisper_desktop.wire.http import Http

CONTEXT = 8192
ENDLESS = GenerationConfig(max_tokens=100_000, extra={"ignore_eos": True, "n_predict": 100_000})


def exactly(tokens: int, **more: object) -> GenerationConfig:
    """So many tokens, whatever the model would like."""
    return GenerationConfig(max_tokens=tokens, extra={"ignore_eos": True, **more})


def plan_of(form: Form, *specs: EngineSpec, roles: int = 2) -> PoolPlan:
    """A plan by hand: one role for each spec, or so many roles in the slots of the first."""
    numbered = tuple(
        EngineSpec(
            spec.model_path,
            spec.alias,
            CONTEXT,
            binary=spec.binary,
            extra_args=spec.extra_args,
            engine_id=f"pool-{number + 1}",
            load_mode="mmap",
            parallel=1 if form is Form.PROCESSES else roles,
        )
        for number, spec in enumerate(specs)
    )
    names = roles_named()[: len(specs) if form is Form.PROCESSES else roles]
    placed = tuple(
        PlacedRole(role, number, 0) if form is Form.PROCESSES else PlacedRole(role, 0, number)
        for number, role in enumerate(names)
    )
    return PoolPlan(form, numbered, placed, None, 0, 2, ())


MakePool = Callable[..., Pool]


@pytest.fixture
async def pool_of(http: Http) -> AsyncIterator[MakePool]:
    """Makes pools and stops them when the test ends."""
    pools: list[Pool] = []

    def make(
        plan: PoolPlan,
        *,
        limits: PoolLimits | None = None,
        deadlines: Deadlines | None = None,
        on_progress: Callable[[PoolProgress], None] | None = None,
    ) -> Pool:
        limits = limits or limits_of(None, deadlines)
        pool = Pool(plan, http=http, limits=limits, deadlines=deadlines, on_progress=on_progress)
        pools.append(pool)
        return pool

    yield make
    await asyncio.gather(*(pool.stop() for pool in pools))


async def ask(session: RoleSession, question: str, config: GenerationConfig) -> Completion:
    """The whole answer."""
    return (await events_of(session, question, config))[-1].completion  # type: ignore[union-attr] # the last


async def events_of(
    session: RoleSession,
    question: str,
    config: GenerationConfig,
    seen: Callable[[StreamEvent], object] = lambda event: None,
) -> list[StreamEvent]:
    """All events of an answer; `seen` is called with each."""
    events: list[StreamEvent] = []
    async with aclosing(session.stream(question, config)) as stream:
        async for event in stream:
            events.append(event)
            seen(event)
    return events
