"""Whether one model runs on this computer, how it is placed, and what would change that. Pure.

A `Subject` is what is known of the model and from where; `estimate` makes an `Estimate` of it, which an
engine's own word may correct (`corrected_by`). Words about it are in `model_fit_words`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from whisper_desktop.machine.figures import MachineFigures
from whisper_desktop.models.fit import (
    CONTEXTS,
    Budget,
    Fit,
    Mode,
    Search,
    Shortfall,
    best_fit,
    budget_for,
    can_quantize,
    largest_context,
    why_not,
)
from whisper_desktop.models.memory import ModelMemory, Need, Placement
from whisper_desktop.models.shape import ModelShape
from whisper_desktop.models.speed import Speed, predict
from whisper_desktop.values import ResourceInfo

KnownFrom = Literal["file", "header", "catalogue"]
"""The header of a file on this computer; one that was fetched; figures that the catalogue keeps."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A model that is asked about. `path` is its first file where it is on this computer.

    `file` is that file's name, wherever it lies; `note` a sentence that is good to know.
    """

    name: str
    shape: ModelShape
    known_from: KnownFrom
    path: Path | None = None
    file: str = ""
    quant: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Estimate:
    """The answer. Sizes are bytes, contexts tokens.

    `fit` is how it is placed, None where it does not fit; `need` is by part, and of the best attempt then.
    `largest` is the longest context that fits in the same way (0: none, None: not known), `largest_packed`
    the same with a KV cache in q8_0. `shortfall` is what is missing, `to_gpu` what it would take to have all
    of it on graphics cards. `asked` is the engine whose own word `need` follows, "" where it is our
    arithmetic alone. `free_now` is the computer's memory that is free at the moment.
    """

    subject: Subject
    context: int
    wanted: int | None
    fit: Fit | None
    need: Need
    placement: Placement
    budget: Budget
    largest: int | None
    largest_packed: int | None
    shortfall: Shortfall | None
    to_gpu: Shortfall | None
    speed: Speed | None
    free_now: int
    asked: str = ""

    @property
    def mode(self) -> Mode | None:
        """How it is placed; None where it does not fit."""
        return self.fit.mode if self.fit is not None else None

    @property
    def flags(self) -> tuple[str, ...]:
        """The options that place it like this in llama-server."""
        placement, options = self.placement, [f"-c {self.placement.n_ctx}"]
        if self.budget.gpus:
            options.append(f"-ngl {placement.layers_on_gpus}")
        if placement.experts_on_host and placement.layers_on_gpus:
            options.append(f"--n-cpu-moe {placement.experts_on_host}")
        if sum(map(bool, placement.gpu_layers)) > 1:
            options.append(f"--tensor-split {','.join(map(str, placement.gpu_layers))}")
        return tuple(options)


def estimate(
    subject: Subject,
    resources: ResourceInfo,
    figures: MachineFigures,
    measured: Callable[[Mode], Speed | None],
    *,
    n_ctx: int | None = None,
    builtin: bool = False,
) -> Estimate:
    """How the model would run here. `n_ctx` is the context that is wished for; None takes the best.

    `figures` are of the cards that count, `measured` tells what was measured of this model, `builtin` says
    that the built-in engine would run it.
    """
    shape, budget = subject.shape, budget_for(resources)
    context = None if n_ctx is None else min(n_ctx, shape.train_ctx or n_ctx)
    fit = best_fit(
        shape,
        budget,
        resources,
        contexts=CONTEXTS if context is None else (context,),
        least_context=min(CONTEXTS) if context is None else context,
        headroom=context is None,
        builtin=builtin,
    )
    if fit is not None:
        placement, need = fit.placement, fit.need
    else:
        search = Search(ModelMemory(shape, resources, builtin=builtin), budget, Placement(min(CONTEXTS)))
        placement = search.filled(context or min(min(CONTEXTS), shape.train_ctx or min(CONTEXTS)))
        need = search.memory.need(placement)

    def longest(cache_type: Literal["f16", "q8_0"]) -> int:
        return largest_context(
            shape,
            budget,
            resources,
            mode=fit.mode if fit is not None else None,
            cache_type=cache_type,
            headroom=context is None,
            builtin=builtin,
        )

    known = shape.knows_cache
    return Estimate(
        subject=subject,
        context=placement.n_ctx,
        wanted=n_ctx,
        fit=fit,
        need=need,
        placement=placement,
        budget=budget,
        largest=longest("f16") if known else None,
        largest_packed=longest("q8_0") if known and can_quantize(shape) else None,
        shortfall=None if fit is not None else why_not(shape, budget, resources, context=placement.n_ctx),
        to_gpu=None
        if fit is None or fit.mode == "gpu"
        else why_not(shape, budget, resources, mode="gpu", context=placement.n_ctx),
        speed=_speed(subject, fit, figures, measured),
        free_now=resources.ram_available_bytes,
    )


def corrected_by(given: Estimate, need: Need, engine: str) -> Estimate:
    """The same with an engine's own word about the memory, which may no longer fit."""
    if given.fit is None or given.budget.holds(need):
        fit = None if given.fit is None else replace(given.fit, need=need)
        return replace(given, need=need, fit=fit, asked=engine)
    on_host = given.budget.taken_of_host(need) - given.budget.host
    missing = max(on_host, need.gpu_bytes - given.budget.gpu_bytes)
    shortfall = Shortfall(max(1, missing), "host" if on_host > 0 else "gpu")
    return replace(given, need=need, fit=None, shortfall=shortfall, to_gpu=None, speed=None, asked=engine)


def _speed(
    subject: Subject, fit: Fit | None, figures: MachineFigures, measured: Callable[[Mode], Speed | None]
) -> Speed | None:
    if fit is None:
        return None
    predicted = predict(subject.shape, fit.placement, figures)
    known = measured(fit.mode)
    if known is None:
        return predicted
    return replace(known, prompt=known.prompt or predicted.prompt, predicted=predicted.answer)
