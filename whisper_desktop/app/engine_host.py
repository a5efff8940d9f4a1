"""The engines that this app owns: which model, how much context, which program."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from whisper_desktop.engines.find import find_binary
from whisper_desktop.engines.log import read_log
from whisper_desktop.engines.spec import EngineSpec, default_threads, guide_spec
from whisper_desktop.engines.supervisor import Engine, make_engine
from whisper_desktop.errors import EngineError
from whisper_desktop.models import kv_cache_bytes
from whisper_desktop.models.gguf import GgufHeader, read_header
from whisper_desktop.values import (
    IDENTITIES,
    Deadlines,
    EngineState,
    EngineStatus,
    ModelInfo,
    Reach,
    ResourceInfo,
    ServerInfo,
    ServerStatus,
)

if TYPE_CHECKING:
    from whisper_desktop.settings import LLMSettings
    from whisper_desktop.wire.http import Http

MOST_AUTO_CONTEXT = 32768  # tokens: what `n_ctx: auto` takes at most
LEAST_CONTEXT = 2048  # tokens: below this a conversation does not work
_PROCESS = 300_000_000  # bytes that the engine's process takes beside weights and cache
ALL_LAYERS = 999  # llama.cpp takes as many layers as there are

Kind = Literal["builtin", "guide"]


class EngineHost:
    """One engine for the person's model and one for the guide, made when first needed."""

    def __init__(
        self,
        *,
        http: "Http",
        deadlines: Deadlines,
        on_change: Callable[[EngineStatus], None],
        warn: Callable[[str], None],
    ) -> None:
        self._http = http
        self._deadlines = deadlines
        self._on_change = on_change
        self._warn = warn
        self._engines: dict[Kind, Engine] = {}

    def guide(self) -> Engine:
        """The engine that runs the guide."""
        if "guide" not in self._engines:
            self._engines["guide"] = self._make(guide_spec())
        return self._engines["guide"]

    def builtin(self, model: Path | None, llm: "LLMSettings", resources: ResourceInfo) -> Engine:
        """The engine that runs the person's model. Raises `EngineError` without one, `ModelFileError`."""
        if model is None:
            raise EngineError(
                "The built-in engine has no model yet.",
                "No model file is set.",
                "Set one with `whisper-desktop config set llm.gguf_model_path FILE`, or open Setup.",
                cause="no_model",
            )
        known = self._engines.get("builtin")
        if known is not None and known.spec.model_path == model:
            return known
        header = read_header(model)
        spec = plan_engine(header, model, llm, resources)
        if warning := memory_warning(spec, header, resources):
            self._warn(warning)
        self._engines["builtin"] = self._make(spec)
        return self._engines["builtin"]

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

    async def stop(self) -> None:
        """End every engine."""
        await asyncio.gather(*(engine.stop() for engine in self._engines.values()))


def plan_engine(header: GgufHeader, model: Path, llm: "LLMSettings", resources: ResourceInfo) -> EngineSpec:
    """What to start for this model. A number that the person set is obeyed; `auto` takes what fits."""
    wanted, layers = llm.llamacpp.n_ctx, llm.llamacpp.n_gpu_layers
    return EngineSpec(
        model_path=model,
        alias=model.stem,
        n_ctx=auto_context(header, resources) if wanted == "auto" else wanted,
        n_gpu_layers=ALL_LAYERS if layers == "auto" and resources.gpus else layers,
        threads=default_threads(resources),
        binary=find_binary(llm.llamacpp.server_path),
    )


def auto_context(header: GgufHeader, resources: ResourceInfo) -> int:
    """The largest power of two of tokens that is trained for, fits free memory, and is at most 32768."""
    trained = header.train_ctx or MOST_AUTO_CONTEXT
    context = min(MOST_AUTO_CONTEXT, trained)
    free = resources.ram_available_bytes - header.file_bytes - _PROCESS
    while context > LEAST_CONTEXT and kv_cache_bytes(header.kv_groups, context) > free:
        context //= 2
    return context


def memory_warning(spec: EngineSpec, header: GgufHeader, resources: ResourceInfo) -> str | None:
    """A sentence when what the person set will not fit the free memory; None when it will."""
    need = header.file_bytes + kv_cache_bytes(header.kv_groups, spec.n_ctx) + _PROCESS
    free = resources.ram_available_bytes
    if need <= free:
        return None
    return (
        f"The model needs {need / 1e9:.1f} GB at {spec.n_ctx:,} tokens of context "
        f"and {free / 1e9:.1f} GB are free. Close something, or use a shorter context."
    )


def builtin_server(model: Path | None, status: EngineStatus | None) -> ServerInfo:
    """The built-in engine as a line of what was found."""
    models: Sequence[ModelInfo] = ()
    detail = "The built-in engine is ready to run a model; none is set. Until then, the guide answers."
    if model is not None:
        running = status is not None and status.engine != "guide" and status.state is EngineState.READY
        size = model.stat().st_size if model.is_file() else None
        models = (ModelInfo(model.stem, loaded=running, size_bytes=size),)
        detail = f"It runs {model.stem}." if running else f"It starts {model.stem} when asked."
    return ServerInfo(
        "builtin",
        IDENTITIES["builtin"].name,
        (status.url or "") if status is not None else "",
        ServerStatus.AVAILABLE if models else ServerStatus.NO_MODELS,
        models=tuple(models),
        reach=Reach.THIS_MACHINE,
        detail=detail,
    )
