"""The engines that this app owns: which model, how much context, which program."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from whisper_desktop.engines import Engine, EngineSpec, engine_for, guide_spec, make_engine, read_log
from whisper_desktop.engines.context import memory_warning
from whisper_desktop.errors import EngineError
from whisper_desktop.models.gguf import read_header
from whisper_desktop.values import Deadlines, EngineStatus, ResourceInfo

if TYPE_CHECKING:
    from whisper_desktop.settings import LLMSettings
    from whisper_desktop.settings.schema import LlamaCppSettings
    from whisper_desktop.wire.http import Http

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
        self._made_from: tuple[Path, LlamaCppSettings] | None = None

    def guide(self) -> Engine:
        """The engine that runs the guide."""
        if "guide" not in self._engines:
            self._engines["guide"] = self._make(guide_spec())
        return self._engines["guide"]

    async def builtin(self, model: Path | None, llm: "LLMSettings", resources: ResourceInfo) -> Engine:
        """The engine that runs the person's model, as the settings are now; one with others is ended first.

        Raises `EngineError` without a model, `ModelFileError`.
        """
        if model is None:
            raise EngineError(
                "The built-in engine has no model yet.",
                "No model file is set.",
                "Set one with `whisper-desktop config set llm.gguf_model_path FILE`, or open Setup.",
                cause="no_model",
            )
        known, wanted = self._engines.get("builtin"), (model, llm.llamacpp)
        if known is not None and self._made_from == wanted:
            return known
        header = read_header(model)
        spec = engine_for(model, header, llm, resources)
        if warning := memory_warning(header, spec.n_ctx, resources):
            self._warn(warning)
        engine, self._made_from = self._make(spec), wanted
        self._engines["builtin"] = engine
        if known is not None:
            await known.stop()  # Two models at once would not fit where one just does.
        return engine

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
