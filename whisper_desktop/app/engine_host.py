"""The engines that this app owns: which model, how it is started, which program, when it sleeps."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from whisper_desktop.engines import Engine, EngineSpec, guide_spec, make_engine, read_log
from whisper_desktop.engines.offer import Planned, planned_for
from whisper_desktop.engines.rest import RestPolicy
from whisper_desktop.errors import EngineError, ModelFileError
from whisper_desktop.models.gguf import read_header
from whisper_desktop.values import Deadlines, EngineStatus, ResourceInfo

if TYPE_CHECKING:
    from whisper_desktop.settings import LLMSettings
    from whisper_desktop.settings.schema import LlamaCppSettings
    from whisper_desktop.wire.http import Http

Kind = Literal["builtin", "guide"]

Detect = Callable[[], ResourceInfo]


class EngineHost:
    """One engine for the person's model and one for the guide, made when first needed.

    `detect` looks at the computer as it is now; it may block, and runs in a thread.
    """

    def __init__(
        self,
        *,
        http: "Http",
        deadlines: Deadlines,
        detect: Detect,
        on_change: Callable[[EngineStatus], None],
        warn: Callable[[str], None],
    ) -> None:
        self._http = http
        self._deadlines = deadlines
        self._detect = detect
        self._on_change = on_change
        self._warn = warn
        self._engines: dict[Kind, Engine] = {}
        self._made_from: object = None
        self._planning = asyncio.Lock()

    def guide(self, llm: "LLMSettings") -> Engine:
        """The engine that runs the guide."""
        if "guide" not in self._engines:
            self._engines["guide"] = self._make(guide_spec())
        engine = self._engines["guide"]
        engine.rest_policy = rest_policy(llm.llamacpp)
        return engine

    async def builtin(self, model: Path | None, llm: "LLMSettings") -> Engine:
        """The engine that runs the person's model, as the settings and the file are now.

        One that runs with others is started anew as soon as nobody uses it, so that never two models are in
        memory. Raises `EngineError` without a model.
        """
        if model is None:
            raise EngineError(
                "The built-in engine has no model yet.",
                "No model file is set.",
                "Set one with `whisper-desktop config set llm.gguf_model_path FILE`, or open Setup.",
                cause="no_model",
            )
        async with self._planning:
            engine = self._engines.get("builtin")
            wanted = (model, await asyncio.to_thread(_mark, model), _shaping(llm.llamacpp))
            if engine is None or self._made_from != wanted:
                planned = await self.plan(model, llm)
                if planned.plan.warning:
                    self._warn(planned.plan.warning)
                if engine is None:
                    engine = self._engines["builtin"] = self._make(planned.spec)
                else:
                    engine.respec(planned.spec)
                self._made_from = wanted
        engine.rest_policy = rest_policy(llm.llamacpp)
        return engine

    async def plan(self, model: Path, llm: "LLMSettings") -> Planned:
        """How a model would be started on the computer as it is now, in place of one that runs. Starts
        nothing.

        A file that cannot be read is planned for without knowledge: the engine itself says best what is
        wrong with it, and what mends it.
        """

        running = self._engines.get("builtin")
        memory = running.status().memory_bytes if running is not None else None
        outcome = running.outcome if running is not None else None

        def work() -> Planned:
            try:
                header = read_header(model)
            except ModelFileError:
                header = None
            return planned_for(
                model,
                header,
                llm,
                self._detect(),
                freed_bytes=memory or 0,
                freed_gpu_bytes=outcome.gpu_bytes if outcome is not None else 0,
            )

        return await asyncio.to_thread(work)

    def _make(self, spec: EngineSpec) -> Engine:
        return make_engine(spec, http=self._http, deadlines=self._deadlines, on_change=self._on_change)

    def status(self) -> EngineStatus | None:
        """The person's engine, or the guide's where only that was used; None when neither was."""
        engine = self._engines.get("builtin") or self._engines.get("guide")
        return engine.status() if engine is not None else None

    def log(self, lines: int) -> list[str]:
        """The newest lines of the log: of this run, or of the last one where nothing has run yet."""
        engine = self._engines.get("builtin") or self._engines.get("guide")
        return engine.log_tail(lines) if engine is not None else read_log(lines)

    async def rest(self, reason: str) -> bool:
        """Put every engine to sleep that nobody uses; False when none was put to sleep.

        `reason` is the sentence for their status.
        """
        slept = await asyncio.gather(*(engine.rest(reason) for engine in self._engines.values()))
        return any(slept)

    async def stop(self) -> None:
        """End every engine."""
        await asyncio.gather(*(engine.stop() for engine in self._engines.values()))


def rest_policy(llamacpp: "LlamaCppSettings") -> RestPolicy:
    """When an engine sleeps, from the settings."""
    return RestPolicy(
        idle=llamacpp.idle_minutes * 60 or None,
        under_pressure=llamacpp.sleep_under_pressure,
        on_battery=llamacpp.sleep_on_battery,
    )


def _shaping(llamacpp: "LlamaCppSettings") -> "LlamaCppSettings":
    """The settings without those that only say when it sleeps: they hold for an engine that runs."""
    always = RestPolicy()
    return llamacpp.model_copy(
        update={
            "idle_minutes": 0.0,
            "sleep_under_pressure": always.under_pressure,
            "sleep_on_battery": always.on_battery,
        }
    )


def _mark(model: Path) -> tuple[int, int] | None:
    """What changes when the file is replaced."""
    try:
        stat = model.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size
