"""The pool that this app runs: from settings, model and computer to a plan, and to engines or a stub."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from whisper_desktop.app.engine_words import no_model
from whisper_desktop.engines import engine_for
from whisper_desktop.engines.plan import Wishes
from whisper_desktop.engines.pool import (
    AnyPool,
    Form,
    Pool,
    PoolPlan,
    PoolProgress,
    PoolRole,
    StubPool,
    limits_of,
    pool_plan,
    roles_named,
)
from whisper_desktop.errors import SettingsError
from whisper_desktop.language import tr
from whisper_desktop.models.gguf import header_if_readable
from whisper_desktop.values import Deadlines, ResourceInfo

if TYPE_CHECKING:
    from whisper_desktop.engines.spec import EngineSpec
    from whisper_desktop.settings import LLMSettings
    from whisper_desktop.wire.http import Http


class PoolHost:
    """One pool at a time. `detect` looks at the computer as it is now; it may block, and runs in a thread."""

    def __init__(self, *, http: "Http", deadlines: Deadlines, detect: Callable[[], ResourceInfo]) -> None:
        self._http = http
        self._deadlines = deadlines
        self._detect = detect
        self._pool: AnyPool | None = None

    async def plan(
        self, model: Path | None, llm: "LLMSettings", *, freed_bytes: int = 0, form: Form | None = None
    ) -> PoolPlan:
        """What would run on the computer as it is now, for the roles that are set. Starts nothing.

        `freed_bytes` is what the caller unloads before the pool is started; `form` asks for one form. A file
        that cannot be read is planned for without knowledge: its engine says best what is wrong with it.
        Raises `EngineError` without a model, `SettingsError` without roles.
        """
        roles = _roles(llm)
        if model is None:
            raise no_model(tr("The pool"))

        def work() -> PoolPlan:
            header = header_if_readable(model)
            resources = self._detect()
            base = engine_for(model, header, llm, resources, freed_bytes=freed_bytes)
            wishes = _wishes(model, base, llm)
            return pool_plan(
                roles, base, header, resources, wishes=wishes, freed_bytes=freed_bytes, form=form
            )

        return await asyncio.to_thread(work)

    async def open(
        self,
        model: Path | None,
        llm: "LLMSettings",
        *,
        freed_bytes: int = 0,
        on_progress: Callable[[PoolProgress], None] | None = None,
    ) -> AnyPool:
        """A pool as the settings say, not started. One that was opened before is ended first: two models are
        never in memory at once. Raises like `plan`.
        """
        await self.stop()
        if llm.pool.stub:
            self._pool = StubPool(_roles(llm), on_progress=on_progress)
        else:
            self._pool = Pool(
                await self.plan(model, llm, freed_bytes=freed_bytes),
                http=self._http,
                limits=limits_of(llm.pool, self._deadlines),
                deadlines=self._deadlines,
                on_progress=on_progress,
            )
        return self._pool

    async def stop(self) -> None:
        """End the pool, if there is one."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.stop()


def _roles(llm: "LLMSettings") -> tuple[PoolRole, ...]:
    if not llm.pool.roles:
        raise SettingsError(
            tr("The pool has no roles."),
            tr("llm.pool.roles is an empty list."),
            tr("Name at least one, such as planner, or remove the setting to get the usual five."),
            key="llm.pool.roles",
        )
    return roles_named(llm.pool.roles)


def _wishes(model: Path, base: "EngineSpec", llm: "LLMSettings") -> Wishes:
    """What the person set; where they accepted a repair for this model, what it made of the engine."""
    given = llm.llamacpp
    repaired = {change.partition("=")[0] for change in given.repairs.get(str(model), ())}
    return Wishes(
        n_ctx=base.n_ctx if "n_ctx" in repaired else given.n_ctx,
        n_gpu_layers=base.n_gpu_layers if "n_gpu_layers" in repaired else given.n_gpu_layers,
        cache_type=base.cache_type if "cache_type" in repaired else given.cache_type,
        repack=base.repack if "repack" in repaired else None,
    )
