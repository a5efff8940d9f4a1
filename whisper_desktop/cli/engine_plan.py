"""`engine plan`: how a model would be started on this computer as it is now, and why."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from whisper_desktop.cli import output
from whisper_desktop.cli.running import json_option, of_owner, run
from whisper_desktop.control import RemoteCore
from whisper_desktop.errors import ModelFileError, SettingsError
from whisper_desktop.values import Deadlines

if TYPE_CHECKING:
    from whisper_desktop.engines.offer import Planned
    from whisper_desktop.engines.oracle import Needs
    from whisper_desktop.engines.spec import EngineSpec

_PARTS = (("weights", "weights_bytes"), ("conversation", "cache_bytes"), ("computing", "compute_bytes"))


@click.command()
@click.argument("model", required=False, type=click.Path(path_type=Path))
@click.option("--ask", is_flag=True, help="Ask the engine itself what the model needs. It loads nothing.")
@json_option
def plan(model: Path | None, ask: bool, as_json: bool) -> None:
    """Say how a model would be started here, and why. Starts nothing.

    MODEL is a GGUF file; without it, the one of llm.gguf_model_path.
    """
    planned, needs = run(_planned(model, ask=ask), as_json=as_json, words="Looking at the computer…")
    if as_json:
        output.emit_json(_shape(planned, needs))
    else:
        _say(planned, needs)


async def _planned(model: Path | None, *, ask: bool) -> "tuple[Planned, Needs | None]":
    from whisper_desktop.engines.offer import planned_for
    from whisper_desktop.engines.oracle import needs
    from whisper_desktop.machine import detect_resources
    from whisper_desktop.models.gguf import read_header
    from whisper_desktop.settings import load_settings

    llm = load_settings().settings.llm
    path = model or llm.own_model
    if path is None:
        raise SettingsError(
            "There is no model to plan for.",
            "No file was named, and none is set.",
            "Name a GGUF file, or set one with `whisper-desktop config set llm.gguf_model_path FILE`.",
            key="llm.gguf_model_path",
        )
    path = path.expanduser().absolute()
    header, resources, running = await asyncio.gather(
        asyncio.to_thread(read_header, path),
        asyncio.to_thread(detect_resources),
        of_owner(RemoteCore.engine_status, None),
    )
    if not header.layers:
        raise ModelFileError(
            f"The file {path.name} does not say how large its model is.",
            "It is a GGUF file, but none of a language model that is known here.",
            "Choose another GGUF file.",
        )
    # It would take the place of the one that runs now; the guide would stay.
    freed = running.memory_bytes if running is not None and running.engine == "builtin" else None
    planned = planned_for(path, header, llm, resources, freed_bytes=freed or 0)
    if not ask:
        return planned, None
    spec = planned.spec
    told = await needs(
        path,
        n_ctx=spec.n_ctx,
        binary=spec.binary,
        cache_type=spec.cache_type,
        n_gpu_layers=spec.n_gpu_layers,
        parallel=spec.parallel,
        deadlines=Deadlines(),
    )
    return planned, told


def _say(planned: "Planned", needs: "Needs | None") -> None:
    spec, made = planned.spec, planned.plan
    expected = spec.expected or made.expected
    program = "the built-in engine" if spec.binary is None else str(spec.binary)
    output.say(f"{spec.alias} on {program}")
    for name, value in _choices(planned).items():
        output.say(f"  {name}: {value}")
    sizes = [
        f"{words} {output.gigabytes(size)}"
        for words, field in _PARTS
        if (size := getattr(expected, field)) is not None
    ]
    if expected.total_bytes is not None:
        sizes.insert(0, f"{output.gigabytes(expected.total_bytes)} in all")
    if sizes:
        output.say(f"  memory: {', '.join(sizes)}")
    if needs is not None:
        output.say(f"  asked ({needs.source}): {output.gigabytes(needs.total)}, without the program itself")
    for reason in made.reasons:
        output.say(f"  - {reason}")
    if made.warning:
        output.say(made.warning)


def _choices(planned: "Planned") -> dict[str, str]:
    spec = planned.spec
    layers = spec.expected.layers if spec.expected is not None else None
    known = layers and spec.n_gpu_layers != "auto"
    return {
        "context": f"{spec.n_ctx:,} tokens" if spec.n_ctx else "as trained",
        **({"layers on the graphics card": placed_layers(spec, layers)} if known else {}),
        "KV cache": spec.cache_type,
        "threads": str(spec.threads),
        "load mode": spec.load_mode + ("" if spec.repack else ", weights left as they are in the file"),
    }


def placed_layers(spec: "EngineSpec", layers: int | None) -> str:
    """How many of the model's layers lie on graphics cards, on each, and with which experts beside them."""
    each = f" ({' + '.join(map(str, spec.tensor_split))})" if spec.tensor_split else ""
    experts = f", without the experts of {spec.experts_on_host}" if spec.experts_on_host else ""
    return f"{spec.n_gpu_layers} of {layers}{each}{experts}"


def _shape(planned: "Planned", needs: "Needs | None") -> dict[str, object]:
    """`engine plan --json`. Sizes are bytes."""
    spec, made = planned.spec, planned.plan
    expected = spec.expected or made.expected
    return {
        "model": str(spec.model_path),
        "binary": str(spec.binary) if spec.binary is not None else None,
        "n_ctx": spec.n_ctx,
        "n_gpu_layers": spec.n_gpu_layers,
        "layers": expected.layers,
        "experts_on_host": spec.experts_on_host,
        "tensor_split": list(spec.tensor_split),
        "cache_type": spec.cache_type,
        "threads": spec.threads,
        "parallel": spec.parallel,
        "load_mode": spec.load_mode,
        "repack": spec.repack,
        "expected": {
            "weights_bytes": expected.weights_bytes,
            "cache_bytes": expected.cache_bytes,
            "compute_bytes": expected.compute_bytes,
            "host_bytes": expected.host_bytes,
            "total_bytes": expected.total_bytes,
        },
        "asked": None
        if needs is None
        else {
            "source": needs.source,
            "devices": [
                {
                    "device": each.device,
                    "weights_bytes": each.weights,
                    "cache_bytes": each.cache,
                    "compute_bytes": each.compute,
                }
                for each in needs.devices
            ],
        },
        "reasons": list(made.reasons),
        "warning": made.warning,
    }
