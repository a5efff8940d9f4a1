"""The pool from settings: which wishes count, and never two pools at once."""

from pathlib import Path

import pytest

from tests.engines.conftest import gone
from whisper_desktop.app.pool_host import PoolHost
from whisper_desktop.engines.pool import Form, PoolPlan, StubPool
from whisper_desktop.errors import EngineError, SettingsError
from whisper_desktop.machine import detect_resources
from whisper_desktop.settings import LLMSettings
from whisper_desktop.values import Deadlines, EngineState
from whisper_desktop.wire.http import Http


@pytest.fixture
def host(http: Http) -> PoolHost:
    return PoolHost(http=http, deadlines=Deadlines(), detect=detect_resources)


def settings(model: Path, *repairs: str, **pool: object) -> LLMSettings:
    llamacpp = {"n_ctx": 2048, "repairs": {str(model): list(repairs)}}
    return LLMSettings(llamacpp=llamacpp, pool=pool)


async def test_what_a_person_set_and_the_repairs_they_accepted_count(
    host: PoolHost, tiny_model: Path
) -> None:
    async def planned(*repairs: str) -> PoolPlan:
        return await host.plan(tiny_model, settings(tiny_model, *repairs, roles=["a", "b"]))

    plan = await planned()
    assert [each.role.name for each in plan.roles] == ["a", "b"]
    assert {spec.n_ctx for spec in plan.specs} == {2048}
    repaired = await planned("n_ctx=512", "cache_type=q8_0", "repack=off")
    assert {(spec.n_ctx, spec.cache_type, spec.repack) for spec in repaired.specs} == {(512, "q8_0", False)}
    slots = await host.plan(tiny_model, settings(tiny_model), form=Form.SLOTS)
    assert (len(slots.specs), slots.specs[0].parallel) == (1, 5)


async def test_opening_a_pool_ends_the_one_before_it(host: PoolHost, tiny_model: Path) -> None:
    llm = settings(tiny_model, roles=["a", "b"])
    first = await host.open(tiny_model, llm)
    pids = [each.pid for each in (await first.start()).roles]
    try:
        await host.open(tiny_model, llm)
        assert all(gone(pid) for pid in pids if pid is not None)
        assert first.status().state is EngineState.STOPPED
    finally:
        await host.stop()


async def test_a_stub_needs_neither_model_nor_engine(host: PoolHost, tiny_model: Path) -> None:
    pool = await host.open(None, settings(tiny_model, stub=True))
    assert isinstance(pool, StubPool)
    assert [each.role for each in (await pool.start()).roles][:2] == ["planner", "coder"]


async def test_what_is_missing_is_said(host: PoolHost, tiny_model: Path) -> None:
    with pytest.raises(EngineError, match="no model yet"):
        await host.plan(None, settings(tiny_model))
    with pytest.raises(SettingsError, match="no roles") as caught:
        await host.open(tiny_model, settings(tiny_model, roles=[]))
    assert caught.value.key == "llm.pool.roles"
