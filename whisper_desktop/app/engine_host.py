"""The engines that this app owns: which model, how it is started, which program, when it sleeps."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from whisper_desktop.app.engine_words import no_model
from whisper_desktop.discovery.owners import describe_owner
from whisper_desktop.engines import Engine, EngineSpec, find_binary, guide_spec, make_engine, read_log
from whisper_desktop.engines.diagnosis import explain
from whisper_desktop.engines.offer import Planned, planned_for
from whisper_desktop.engines.repair import changed
from whisper_desktop.engines.rest import RestPolicy
from whisper_desktop.language import tr
from whisper_desktop.models.gguf import header_if_readable
from whisper_desktop.values import Deadlines, EngineState, EngineStatus, ResourceInfo

if TYPE_CHECKING:
    from whisper_desktop.settings import LLMSettings
    from whisper_desktop.settings.schema import LlamaCppSettings
    from whisper_desktop.wire.http import Http

Kind = Literal["builtin", "guide"]

Detect = Callable[[], ResourceInfo]

_RUNNING = (EngineState.STARTING, EngineState.READY)
_TO_BE_PLANNED = (EngineState.STOPPED, EngineState.SLEEPING)  # a failed one stays as what failed
_WITHOUT_MEMORY = (EngineState.STOPPED, EngineState.FAILED, EngineState.SLEEPING)


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
        self._warning = ""
        self._planning = asyncio.Lock()
        self._closed = False

    def guide(self, llm: "LLMSettings") -> Engine:
        """The engine that runs the guide."""
        spec = guide_spec()
        return self._serving("guide", changed(spec, _repairs(spec.model_path, llm.llamacpp)), llm)

    async def builtin(self, model: Path | None, llm: "LLMSettings") -> Engine:
        """The engine that runs the person's model, as the settings, the files and the free memory are now.

        For who is about to use it: one that does not run is planned anew with each call. One that runs with
        other settings is started anew as soon as nobody uses it, so that never two models are in memory.
        Raises `EngineError` without a model.
        """
        if model is None:
            raise no_model(tr("The built-in engine"))
        async with self._planning:
            wanted = await asyncio.to_thread(_basis, model, llm.llamacpp)
            engine = self._engines.get("builtin")
            if engine is None or self._made_from != wanted:
                planned = await self.plan(model, llm)
            elif engine.status().state in _TO_BE_PLANNED:
                planned = await self.plan(model, llm, before=engine.spec)
                if engine.status().state not in _TO_BE_PLANNED:
                    return engine  # started meanwhile
            else:
                return engine
            if planned.plan.warning and planned.plan.warning != self._warning:
                self._warn(planned.plan.warning)
            self._warning = planned.plan.warning
            self._made_from = wanted
            return self._serving("builtin", planned.spec, llm)

    async def plan(self, model: Path, llm: "LLMSettings", *, before: EngineSpec | None = None) -> Planned:
        """How a model would be started on the computer as it is now, in place of one that runs. Starts
        nothing. `before` is as in `planned_for`.

        A file that cannot be read is planned for without knowledge: the engine itself says best what is
        wrong with it, and what mends it.
        """

        running = self._engines.get("builtin")
        memory = running.status().memory_bytes if running is not None else None
        outcome = running.outcome if running is not None else None

        def work() -> Planned:
            header = header_if_readable(model)
            return planned_for(
                model,
                header,
                llm,
                self._detect(),
                freed_bytes=memory or 0,
                freed_gpu_bytes=outcome.gpu_bytes if outcome is not None else 0,
                before=before,
            )

        return await asyncio.to_thread(work)

    def _serving(self, kind: Kind, spec: EngineSpec, llm: "LLMSettings") -> Engine:
        """The engine of this kind, with this specification from its next start on.

        Raises `EngineError` where the app closes before there was one.
        """
        engine = self._engines.get(kind)
        if engine is None:
            if self._closed:
                raise explain("closing", spec)
            engine = self._engines[kind] = make_engine(
                spec,
                http=self._http,
                deadlines=self._deadlines,
                on_change=self._on_change,
                rest_policy=rest_policy(llm.llamacpp),
                describe_owner=describe_owner,
            )
        else:
            engine.respec(spec)
        return engine

    def use_settings(self, llm: "LLMSettings") -> None:
        """The settings have changed: when engines sleep holds for those that run, the rest from their next
        use on.
        """
        for engine in self._engines.values():
            engine.rest_policy = rest_policy(llm.llamacpp)

    def status(self) -> EngineStatus | None:
        """The person's engine, or the guide's where only that was used; None when neither was."""
        engine = self._engines.get("builtin") or self._engines.get("guide")
        if engine is None:
            return None
        status = engine.status()
        if engine.id == "guide" or status.state not in _RUNNING or not self._warning:
            return status
        return replace(status, warning=f"{self._warning} {status.warning}".strip())

    def statuses(self) -> dict[Path, EngineStatus]:
        """Every engine by the model it serves."""
        engines = tuple(self._engines.values())  # asked from any thread
        return {engine.spec.model_path: engine.status() for engine in engines}

    def log(self, lines: int) -> list[str]:
        """The newest lines of the log: of this run, or of the last one where nothing has run yet."""
        engine = self._engines.get("builtin") or self._engines.get("guide")
        return engine.log_tail(lines) if engine is not None else read_log(lines)

    async def rest(self, reason: str) -> bool:
        """Put every engine to sleep that nobody uses; False when none was put to sleep.

        `reason` is the sentence for their status.
        """
        engines = self._engines.values()
        awake = [engine for engine in engines if engine.status().state not in _WITHOUT_MEMORY]
        return any(await asyncio.gather(*(engine.rest(reason) for engine in awake)))

    async def close(self) -> None:
        """End every engine; none starts any more, whoever asks."""
        self._closed = True
        await self._end(engine.close() for engine in self._engines.values())

    async def stop(self) -> None:
        """End every engine; the next question starts what it needs."""
        await self._end(engine.stop() for engine in self._engines.values())

    async def _end(self, ends: Iterable[Coroutine[object, object, None]]) -> None:
        for error in await asyncio.gather(*ends, return_exceptions=True):
            if isinstance(error, BaseException):
                raise error  # after all the others have ended


def rest_policy(llamacpp: "LlamaCppSettings") -> RestPolicy:
    """When an engine sleeps, from the settings."""
    return RestPolicy(
        idle=llamacpp.idle_minutes * 60 or None,
        under_pressure=llamacpp.sleep_under_pressure,
        on_battery=llamacpp.sleep_on_battery,
    )


def _repairs(model: Path, llamacpp: "LlamaCppSettings") -> tuple[str, ...]:
    return llamacpp.repairs.get(str(model), ())


def _basis(model: Path, llamacpp: "LlamaCppSettings") -> object:
    """What the plan for a model stands on besides the computer: another one makes another plan."""
    return (
        model,
        _mark(model),
        find_binary(llamacpp.server_path),  # another build may have been installed since
        llamacpp.n_ctx,
        llamacpp.n_gpu_layers,
        llamacpp.cache_type,
        llamacpp.engine_port,
        llamacpp.extra_args,
        llamacpp.rpc_servers,
        _repairs(model, llamacpp),
    )


def _mark(model: Path) -> tuple[int, int] | None:
    """What changes when the file is replaced."""
    try:
        stat = model.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size
