"""What our own engine offers: a row in the list of servers, and a specification from the settings."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from whisper_desktop.engines.builds.found import find_binary
from whisper_desktop.engines.plan import Plan, Wishes, plan
from whisper_desktop.engines.repair import changed
from whisper_desktop.engines.spec import EngineSpec
from whisper_desktop.language import mark, tr
from whisper_desktop.models.gguf import GgufHeader
from whisper_desktop.models.naming import name_of
from whisper_desktop.values import (
    ResourceInfo,
)

if TYPE_CHECKING:
    from whisper_desktop.settings.schema import LLMSettings

BUILTIN = "builtin"


_NO_REMOTE = mark(
    "The built-in engine cannot use further computers. Install a llama.cpp build, or set "
    "llm.llamacpp.server_path to a llama-server."
)


@dataclass(frozen=True, slots=True)
class Planned:
    """An engine to start, and the plan it follows, with its reasons and what it warns of."""

    spec: EngineSpec
    plan: Plan


def planned_for(
    model: Path,
    header: GgufHeader | None,
    llm: "LLMSettings",
    resources: ResourceInfo,
    *,
    freed_bytes: int = 0,
    freed_gpu_bytes: int = 0,
    before: EngineSpec | None = None,
) -> Planned:
    """Our own engine with the person's model and settings: their llama-server, the one on PATH, or built in.

    Whichever program serves, it is the engine "builtin". Numbers that the person set are obeyed, and repairs
    that were accepted for this model are kept. What `freed_bytes` of RAM and `freed_gpu_bytes` of graphics
    memory hold now will be free by then: the engine that this one replaces.

    `before` is how the same model was started last, with the same settings: where that has a longer context
    than would be chosen now, and still fits, it stays, for conversations that need it.
    """
    given = llm.llamacpp

    def follow(wishes: Wishes, builtin: bool) -> Plan:
        return plan(
            header,
            resources,
            wishes,
            freed_bytes=freed_bytes,
            freed_gpu_bytes=freed_gpu_bytes,
            builtin=builtin,
            remote=bool(given.rpc_servers) and not builtin,
        )

    binary = find_binary(given.server_path)
    made = follow(Wishes(given.n_ctx, given.n_gpu_layers, given.cache_type), binary is None)
    spec = EngineSpec(
        model_path=model.absolute(),
        alias=name_of(model),
        n_ctx=made.n_ctx,
        n_gpu_layers=made.n_gpu_layers,
        threads=made.threads,
        binary=binary,
        port=given.engine_port,
        extra_args=given.extra_args,
        load_mode=made.load_mode,
        engine_id=BUILTIN,
        cache_type=made.cache_type,
        repack=made.repack,
        parallel=made.parallel,
        rpc=given.rpc_servers if binary is not None else (),
        expected=made.expected,
        experts_on_host=made.experts_on_host,
        tensor_split=made.tensor_split,
    )
    repaired = changed(spec, given.repairs.get(str(model), ()))
    if _sized(repaired) != _sized(spec):
        # The numbers of a start that was repaired stay as they are; only what it needs is worked out anew.
        made = follow(_as_it_is(repaired), repaired.binary is None)
        rpc = repaired.rpc if repaired.binary is not None else ()
        repaired = replace(
            repaired,
            expected=made.expected,
            rpc=rpc,
            experts_on_host=made.experts_on_host,
            tensor_split=made.tensor_split,
        )
    hint = tr(_NO_REMOTE) if repaired.binary is None and given.rpc_servers else ""
    if before is not None and repaired.n_ctx < before.n_ctx:
        kept = follow(_as_it_is(before), before.binary is None)
        if not kept.warning:
            reasons = (tr("All as it was before, which still fits."),)
            return Planned(before, replace(kept, reasons=reasons, warning=hint))
        hint = tr(
            "Memory is short, so a conversation can hold {n_ctx:,} tokens now instead of "
            "{n_ctx2:,}. Close something, then start the engine again.",
            n_ctx=repaired.n_ctx,
            n_ctx2=before.n_ctx,
        )
    return Planned(repaired, replace(made, warning=made.warning or hint))


def _as_it_is(spec: EngineSpec) -> Wishes:
    return Wishes(
        spec.n_ctx,
        spec.n_gpu_layers,
        spec.cache_type,
        load_mode=spec.load_mode,
        repack=spec.repack,
        experts_on_host=spec.experts_on_host,
        tensor_split=spec.tensor_split,
    )


def _sized(spec: EngineSpec) -> tuple[object, ...]:
    """What decides how much memory it needs."""
    return spec.n_ctx, spec.n_gpu_layers, spec.cache_type, spec.load_mode, spec.repack, spec.binary


def engine_for(
    model: Path,
    header: GgufHeader | None,
    llm: "LLMSettings",
    resources: ResourceInfo,
    *,
    freed_bytes: int = 0,
    freed_gpu_bytes: int = 0,
) -> EngineSpec:
    """The engine of `planned_for` alone."""
    return planned_for(
        model, header, llm, resources, freed_bytes=freed_bytes, freed_gpu_bytes=freed_gpu_bytes
    ).spec
