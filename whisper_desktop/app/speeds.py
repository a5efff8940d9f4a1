"""How fast our own engine was in real use: each answer that is long enough goes into the store of speeds."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from whisper_desktop.app.engine_words import OURS
from whisper_desktop.errors import WhisperError
from whisper_desktop.models.fit import Mode
from whisper_desktop.models.gguf import read_header
from whisper_desktop.models.graphics import judge_graphics
from whisper_desktop.models.measured import MeasuredStore, machine_key, model_key
from whisper_desktop.models.memory import Placement
from whisper_desktop.models.shape import ModelShape, shape_of
from whisper_desktop.models.speed import predict
from whisper_desktop.values import Provenance, ResourceInfo, Usage

if TYPE_CHECKING:
    from whisper_desktop.engines.outcome import Outcome
    from whisper_desktop.engines.spec import EngineSpec
    from whisper_desktop.engines.supervisor import Engine

_ANSWER_TOKENS = 64
"""An answer of so many tokens counts: the processor speeds up, and the engine reads its clock, at the scale
of one token, so fewer would tell more about that than about the model.
"""

_SLOW_TOKENS, _SLOW_S = 16, 5.0
"""So does one of so many that took so many seconds: where a model is slow, people stop answers early."""

_PROMPT_TOKENS = 128
"""A prompt of so many new tokens counts: fewer are read slower, because each batch reads all weights."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """What one answer says about speed, in tokens a second; None where it was too short for that.

    `context` is how many tokens the conversation had, halfway through the answer.
    """

    prompt: float | None
    answer: float | None
    context: int


def spoken(usage: Usage) -> Spoken:
    """What counts of an answer."""
    written, read = usage.completion_tokens or 0, usage.prompt_tokens or 0
    # The engine's clock starts with the first token, and its figure counts that one too.
    answer = (
        usage.tokens_per_second * (written - 1) / written if usage.tokens_per_second and written else None
    )
    long = written >= _ANSWER_TOKENS
    if answer and written >= _SLOW_TOKENS and written / answer >= _SLOW_S:
        long = True
    new = read - (usage.cached_prompt_tokens or 0)
    return Spoken(
        usage.prompt_tokens_per_second if new >= _PROMPT_TOKENS else None,
        answer if long else None,
        read + written // 2,
    )


class Speeds:
    """Keeps what answers say. `engine` gives the engine of a kind ("builtin", "guide") that has answered.

    Lives on one event loop; nothing here ever delays or disturbs an answer.
    """

    def __init__(
        self,
        store: MeasuredStore,
        *,
        engine: "Callable[[str], Awaitable[Engine]]",
        resources: Callable[[], Awaitable[ResourceInfo]],
    ) -> None:
        self._store = store
        self._engine = engine
        self._resources = resources
        self._keeping: set[asyncio.Task[None]] = set()

    def answered(self, provenance: Provenance) -> None:
        """An answer is complete. Those of other programs, and short ones, are passed over."""
        said = spoken(provenance.usage)
        if provenance.backend not in OURS or (said.prompt is None and said.answer is None):
            return
        task = asyncio.create_task(self._keep(provenance.backend, said))
        self._keeping.add(task)
        task.add_done_callback(self._keeping.discard)

    async def stop(self) -> None:
        """Wait until everything is kept."""
        await asyncio.gather(*self._keeping, return_exceptions=True)

    async def _keep(self, kind: str, said: Spoken) -> None:
        with suppress(WhisperError, OSError):  # the model's file is gone, or the engine is closing
            engine = await self._engine(kind)
            spec, outcome = engine.spec, engine.outcome
            if spec.rpc:
                return  # other computers had a part in it
            resources = await self._resources()
            await asyncio.to_thread(self._write, spec, outcome, resources, said)

    def _write(
        self, spec: "EngineSpec", outcome: "Outcome | None", resources: ResourceInfo, said: Spoken
    ) -> None:
        header = read_header(spec.model_path)
        shape = shape_of(header)
        if shape is None:
            return
        placement = placement_of(spec, outcome)
        figures = self._store.figures(resources, judge_graphics(resources).gpus)
        known = len(placement.gpu_layers) <= len(figures.gpus)
        expected = predict(shape, placement, figures, context_used=said.context) if known else None
        self._store.record(
            model_key(spec.model_path.name, header.file_bytes),
            machine_key(resources),
            prompt=said.prompt,
            answer=said.answer,
            predicted=expected.answer if expected is not None else None,
            mode=mode_of(shape, placement),
        )


def placement_of(spec: "EngineSpec", outcome: "Outcome | None") -> Placement:
    """How a model was really placed, as far as its engine told."""
    planned = spec.expected.gpu_layers if spec.expected is not None else None
    told = outcome.gpu_layers if outcome is not None else None
    layers = (told if told is not None else planned) or 0
    split = spec.tensor_split if sum(spec.tensor_split) == layers else (layers,)
    return Placement(
        n_ctx=spec.n_ctx,
        gpu_layers=split if layers else (),
        experts_on_host=spec.experts_on_host if layers else 0,
        cache_type=spec.cache_type,
        parallel=spec.parallel,
        load_mode=spec.load_mode,
        repack=spec.repack,
    )


def mode_of(shape: ModelShape, placement: Placement) -> Mode:
    """The name of this way to place a model, as the search for one calls it."""
    layers = placement.layers_on_gpus
    if not layers:
        return "cpu"
    if layers < shape.all_layers:
        return "partial"
    return "experts" if placement.experts_on_host and shape.is_mixture else "gpu"
