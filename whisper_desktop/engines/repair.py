"""What could mend an engine that cannot run, as changes that a person accepts with one click. Pure.

A change is one text that is kept in the settings (`llm.llamacpp.repairs`) and applied to every later start:

    n_ctx=4096            a context of at most that many tokens for each slot
    cache_type=q8_0       the memory of conversations at 8 instead of 16 bits; f16 takes that back
    n_gpu_layers=12       at most that many layers on the graphics card; 0 is none
    repack=off            the weights stay as they are in the file
    port=auto             a free port instead of a fixed one
    binary=builtin        the built-in engine instead of a llama-server
    rpc=off               without the other computers
    --flag=off            one of the person's own options is left out, with its values

A repair that is no change of a start has a `command` instead. What cannot help is not offered: what is so
already, what one of the person's own options overrides, what would save next to nothing.
"""

import importlib.util
from collections.abc import Iterable
from dataclasses import replace

from whisper_desktop.engines.evidence import Evidence
from whisper_desktop.engines.memory_repairs import (
    Need,
    Offer,
    fewer_layers,
    no_repack,
    quantized_cache,
    smaller_context,
)
from whisper_desktop.engines.own_options import is_flag, named_by, overriding, without
from whisper_desktop.engines.spec import EngineSpec
from whisper_desktop.language import tr
from whisper_desktop.values import Repair

_WORTH = 32_000_000
"""Bytes: no start fails for want of less."""


def repairs_for(
    cause: str, spec: EngineSpec, evidence: Evidence | None = None, *, option: str = ""
) -> tuple[Repair, ...]:
    """What could mend `cause`, the likeliest to help first; () where a person can only look.

    `option` is one of the person's options, or a value of one, that the log names. No two repairs have the
    same `id`. `diagnose` and `explain` put them into their errors already.
    """
    need = Need(spec, evidence or Evidence(None, ()))
    match cause:
        case "out_of_memory" | "oom_killed":
            return _saving(spec, smaller_context(need), quantized_cache(need), no_repack(need))
        case "gpu_out_of_memory":
            less = _saving(spec, smaller_context(need), quantized_cache(need), fewer_layers(need))
            return _given(*less, _no_gpu(spec))
        case "gpu_unusable" | "driver":
            return _given(_other_build(spec), _no_gpu(spec))
        case "cpu_unsupported" | "library_missing" | "builtin_missing" | "aborted" | "crashed" | "stuck":
            return _given(_other_build(spec), _no_gpu(spec) if need.layers[0] else None)
        case "binary_missing" | "binary_not_executable" | "binary_wrong":
            return (_other_build(spec),)
        case "model_missing" | "model_corrupt" | "not_a_model":
            return (_download_again(),)
        case "unsupported_model" | "chat_template":
            return (_other_build(spec), _download_again())
        case "bad_flag":
            return _given(_without(spec, option), _other_build(spec) if spec.binary else None)
        case "extra_file":
            return _given(_without(spec, option))
        case "cache_type":
            return _given(_full_cache(spec))
        case "port_taken" | "port_forbidden" | "foreign_server":
            return _given(_other_port(spec))
        case "computer_lost" | "start_timeout":
            return _given(_alone(spec))
        case _:
            return ()


def _given(*repairs: Repair | None) -> tuple[Repair, ...]:
    return tuple(repair for repair in repairs if repair is not None)


def _saving(spec: EngineSpec, *offers: Offer | None) -> tuple[Repair, ...]:
    """Those worth it, the one that saves most first where that is known of all."""
    worth = [offer for offer in offers if offer and (offer.saves is None or offer.saves >= _WORTH)]
    if all(offer.saves is not None for offer in worth):
        worth.sort(key=lambda offer: -(offer.saves or 0))
    # A context of the person's own cannot be changed from outside, only left out.
    own = _without(spec, overriding(spec.extra_args, "n_ctx"))
    return _given(*(offer.repair for offer in worth), own)


def _download_again() -> Repair:
    return Repair(
        "download_again",
        tr("Download the model again"),
        tr(
            "Shows models for this computer and where they are. "
            "The file that is there stays until you remove it."
        ),
        command="whisper-desktop recommend",
    )


def _no_gpu(spec: EngineSpec) -> Repair | None:
    if spec.n_gpu_layers == 0 or overriding(spec.extra_args, "n_gpu_layers"):
        return None
    return Repair(
        "no_gpu",
        tr("Use the processor only"),
        tr("The graphics card is left alone. Answers come much more slowly."),
        change="n_gpu_layers=0",
    )


def _other_build(spec: EngineSpec) -> Repair:
    if spec.binary is not None and importlib.util.find_spec("xllamacpp") is not None:
        return Repair(
            "other_build",
            tr("Use the built-in engine"),
            tr("Starts the engine that comes with Whisper Desktop instead of {binary}.", binary=spec.binary),
            change="binary=builtin",
        )
    return Repair(
        "other_build",
        tr("Install another build"),
        tr("Downloads a current llama.cpp that suits this computer, and tests it before it is used."),
        command="whisper-desktop engine builds install",
    )


def _other_port(spec: EngineSpec) -> Repair | None:
    if flag := overriding(spec.extra_args, "port"):
        return _without(spec, flag)
    if spec.port is None:
        return None
    return Repair(
        "other_port",
        tr("Use another port"),
        tr(
            "The engine chooses a free one. Programs that ask it on port {port} have to be told.",
            port=spec.port,
        ),
        change="port=auto",
    )


def _full_cache(spec: EngineSpec) -> Repair | None:
    if flag := overriding(spec.extra_args, "cache_type"):
        return _without(spec, flag)
    if spec.cache_type == "f16":
        return None
    return Repair(
        "remove_option",
        tr("Keep conversations in full"),
        tr("16 instead of 8 bits for each remembered number. Conversations take twice the memory."),
        change="cache_type=f16",
    )


def _alone(spec: EngineSpec) -> Repair | None:
    if flag := overriding(spec.extra_args, "rpc"):
        return _without(spec, flag)
    if not spec.rpc:
        return None
    return Repair(
        "remove_option",
        tr("Use this computer alone"),
        tr("Leaves out {items}. The whole model has to fit here.", items=", ".join(spec.rpc)),
        change="rpc=off",
    )


def _without(spec: EngineSpec, option: str) -> Repair | None:
    flag = named_by(spec.extra_args, option)
    if not flag:
        return None
    detail = tr("Starts the engine without your option {flag}.", flag=flag)
    return Repair("remove_option", tr("Leave out {flag}", flag=flag), detail, change=f"{flag}=off")


# --- Changes ----------------------------------------------------------------------------------------------


def changed(spec: EngineSpec, changes: Iterable[str]) -> EngineSpec:
    """`spec` with the accepted changes. Those that are unknown, broken or already so leave it as it is.

    What the plan expected and no longer holds is forgotten.
    """
    for change in changes:
        spec = _changed(spec, change)
    return spec


def _changed(spec: EngineSpec, change: str) -> EngineSpec:
    key, _, value = change.partition("=")
    number = int(value) if value.isascii() and value.isdecimal() and len(value) < 10 else None
    if key == "n_ctx" and number and not 0 < spec.n_ctx <= number:
        return _replanned(replace(spec, n_ctx=number))
    if key == "cache_type" and value in ("f16", "q8_0") and value != spec.cache_type:
        return _replanned(replace(spec, cache_type="f16" if value == "f16" else "q8_0"))
    if key == "n_gpu_layers" and number is not None:
        if spec.n_gpu_layers == "auto" or number < spec.n_gpu_layers:
            return _replanned(replace(spec, n_gpu_layers=number))
    elif change == "repack=off":
        return replace(spec, repack=False)
    elif change == "port=auto":
        return replace(spec, port=None)
    elif change == "binary=builtin":
        return replace(spec, binary=None, engine_id=spec.id)
    elif change == "rpc=off":
        return replace(spec, rpc=())
    elif is_flag(key) and value == "off":
        return replace(spec, extra_args=without(spec.extra_args, key))
    return spec


def _replanned(spec: EngineSpec) -> EngineSpec:
    """With what is still to be expected: the figures of memory are not, and no more layers than are asked."""
    plan, layers = spec.expected, spec.n_gpu_layers
    if plan is None:
        return spec
    if layers != "auto" and plan.gpu_layers is not None:
        plan = replace(plan, gpu_layers=min(layers, plan.gpu_layers))
    return replace(
        spec, expected=replace(plan, cache_bytes=None, compute_bytes=None, total_bytes=None, host_bytes=None)
    )
