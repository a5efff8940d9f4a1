"""The commands that only look: `detect`, `machine`, `recommend`."""

import time
from collections.abc import Sequence

import click

from whisper_desktop.advice import model_title
from whisper_desktop.app import App
from whisper_desktop.cli import output, shapes
from whisper_desktop.cli.running import json_option, run, with_app
from whisper_desktop.values import (
    IDENTITIES,
    ModelInfo,
    ResourceInfo,
    ServerInfo,
    ServerStatus,
    SetupRecommendation,
)


@click.command()
@json_option
def detect(as_json: bool) -> None:
    """Look for model servers that run.

    Looks on this computer, and at the addresses you added (llm.addresses in the settings).
    """

    async def work(app: App) -> tuple[tuple[ServerInfo, ...], float]:
        started = time.monotonic()
        servers = await app.scan()
        return servers, time.monotonic() - started

    servers, elapsed = run(with_app(work), as_json=as_json, words="Looking for servers…")
    if as_json:
        output.emit_json(shapes.detect_shape(servers, elapsed))
    else:
        print_servers(servers)
        output.say(f"Looked for {elapsed:.1f} s.")


@click.command()
@json_option
def machine(as_json: bool) -> None:
    """Say what this computer has.

    Memory, processor and graphics, as far as they matter for running models.
    """
    look = with_app(lambda app: app.resources())
    resources = run(look, as_json=as_json, words="Looking at this computer…")
    if as_json:
        output.emit_json(shapes.machine_shape(resources))
    else:
        print_machine(resources)


@click.command()
@json_option
def recommend(as_json: bool) -> None:
    """Say what to use here, and why.

    Looks at this computer and at the servers that run, and gives the steps to a model that fits.
    """
    look = with_app(lambda app: app.recommend())
    advice = run(look, as_json=as_json, words="Looking at this computer and for servers…")
    if as_json:
        output.emit_json(shapes.recommend_shape(advice))
    else:
        print_recommendation(advice)


def print_machine(resources: ResourceInfo) -> None:
    """The machine as a short table."""
    rows = [
        (
            "Memory",
            f"{output.gigabytes(resources.ram_total_bytes)}, "
            f"{output.gigabytes(resources.ram_available_bytes)} free",
        ),
        ("Processor", f"{resources.cpu_name}, {_cores(resources)}"),
    ]
    if resources.container_limit_bytes is not None:
        rows.insert(1, ("", f"a limit of {output.gigabytes(resources.container_limit_bytes)} applies here"))
    for gpu in resources.gpus:
        memory = f"{output.gigabytes(gpu.total_bytes)}{' shared with the processor' if gpu.unified else ''}"
        free = f", {output.gigabytes(gpu.free_bytes)} free" if gpu.free_bytes is not None else ""
        rows.append(("Graphics", f"{gpu.name}, {memory}{free}"))
    if not resources.gpus:
        rows.append(("Graphics", "none found that could run a model"))
    rows.append(("System", f"{resources.os_name} {resources.os_version} ({resources.arch})"))
    output.heading("This computer")
    output.table(("  " + name, text) for name, text in rows)
    for warning in resources.warnings:
        output.say(f"  Note: {warning}")


def _cores(resources: ResourceInfo) -> str:
    cores = f"{resources.cores_physical} core{'s' if resources.cores_physical != 1 else ''}"
    if resources.cores_logical != resources.cores_physical:
        cores += f" ({resources.cores_logical} threads)"
    return cores


def print_servers(servers: Sequence[ServerInfo]) -> None:
    """The servers as a short table, each with its models."""
    output.heading("Servers")
    shown = [server for server in servers if server.status is not ServerStatus.UNREACHABLE or server.as_given]
    if not shown:
        output.say("  None found.")
    rows: list[tuple[str, str, str]] = []
    for server in shown:
        rows.append(("  " + server.name, server.url, server.detail or server.status.value.replace("_", " ")))
        for model in server.models:
            rows.append(("", "  " + model.id, _model_facts(model)))
    if rows:
        output.table(rows)


def _model_facts(model: ModelInfo) -> str:
    facts = []
    if model.loaded:
        facts.append("loaded")
    if model.size_bytes:
        facts.append(output.gigabytes(model.size_bytes))
    if model.context_length:
        facts.append(f"{model.context_length:,} tokens of context")
    if model.remote:
        facts.append("does not run on this computer")
    if not model.can_chat:
        facts.append("embeddings only")
    return ", ".join(facts)


def print_recommendation(advice: SetupRecommendation) -> None:
    """The recommendation, its reasons, its steps, and what else there is."""
    name = IDENTITIES[advice.preferred_server].name
    model = advice.ready_model or next(iter(advice.recommended_models), None)
    output.heading(f"Recommended: {name}" + (f" with {model_title(model)}" if model else ""))
    for reason in advice.reasons:
        output.say(f"  {reason}")
    if advice.memory_note:
        output.say(f"  {advice.memory_note}")
    for number, step in enumerate(advice.steps, 1):
        output.say(f"  {number}. {step}")
    for link in advice.download_links:
        output.say(f"     {link.title}: {link.url}")
    for other in advice.alternatives:
        choice = IDENTITIES[other.server].name
        if other.model:
            choice += f" with {model_title(other.model)}"
        output.say(f"  Or {choice}: {other.reason}")
