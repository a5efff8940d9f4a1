"""The commands that only look: `detect`, `machine`, `recommend`."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import click

from whisper_desktop.advice import (
    Purpose,
    Ranking,
    model_title,
    rank,
    read_profile,
    recommended_setup,
)
from whisper_desktop.advice.profiles import MAX_CHARACTERS
from whisper_desktop.app import App
from whisper_desktop.cli import output, shapes
from whisper_desktop.cli.ranking_words import arithmetic_shape, print_arithmetic, print_ranking, ranking_shape
from whisper_desktop.cli.running import json_option, run, with_app
from whisper_desktop.errors import SettingsError
from whisper_desktop.machine.figures import MachineFigures
from whisper_desktop.models.catalogue import OWN_FILE, Catalogue, load
from whisper_desktop.models.fit import budget_for
from whisper_desktop.models.graphics import judge_graphics
from whisper_desktop.settings.paths import config_dir
from whisper_desktop.values import (
    IDENTITIES,
    ModelInfo,
    ResourceInfo,
    ServerInfo,
    ServerStatus,
    SetupRecommendation,
)

_MATTER_MOST = 3  # of a recommendation's reasons: does it fit, is it quick, why this program


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

    Memory, processor and graphics, who told us, and what of it a model may use.
    """
    look = with_app(_looked_at)
    resources, figures = run(look, as_json=as_json, words="Looking at this computer…")
    budget = budget_for(resources)
    if as_json:
        output.emit_json(shapes.machine_shape(resources) | arithmetic_shape(budget, figures))
        return
    print_machine(resources)
    for remark in judge_graphics(resources).remarks:
        output.say(f"  {remark}")
    output.say()
    print_arithmetic(budget, figures)


@click.command()
@click.option(
    "--purpose",
    type=click.Choice([purpose.value for purpose in Purpose]),
    default=Purpose.CHAT.value,
    show_default=True,
    help="What the model is for: conversation, programs, long documents, pictures, or the least memory.",
)
@click.option(
    "--profile",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Another computer, described in a YAML or JSON file (ram_gb, gpus, os, …).",
)
@click.option("--all", "everything", is_flag=True, help="Show all models, and why some are not offered.")
@json_option
def recommend(purpose: str, profile: Path | None, everything: bool, as_json: bool) -> None:
    """Say what to use here, and why.

    Looks at this computer and at the servers that run, and gives the steps to a model that fits.
    """
    if profile is not None:
        work, words = _advise_profile(profile, Purpose(purpose)), ""
    else:
        work = with_app(lambda app: _advise_here(app, Purpose(purpose)))
        words = "Looking at this computer and for servers…"
    advised = run(work, as_json=as_json, words=words)
    if as_json:
        told = shapes.recommend_shape(advised.advice) | ranking_shape(advised.ranking)
        output.emit_json(told | {"profile": advised.profile, "notes": advised.notes})
        return
    if advised.profile is not None:
        output.heading(f"For {advised.profile}")
    print_recommendation(advised.advice, advised.ranking.changes)
    output.say()
    print_ranking(advised.ranking, everything=everything)
    for remark in advised.notes:
        output.note(f"Note: {remark}")


async def _looked_at(app: App) -> tuple[ResourceInfo, MachineFigures]:
    """This computer, and how fast it is: by the tables where nothing was measured, or nothing can be kept."""
    resources = await app.resources()
    return resources, await app.models.figures()


@dataclass(frozen=True, slots=True)
class _Advised:
    """`profile` is the name of the computer that a file describes, None is this one. `notes` are about the
    list of models.
    """

    advice: SetupRecommendation
    ranking: Ranking
    notes: list[str]
    profile: str | None = None


async def _advise_here(app: App, purpose: Purpose) -> _Advised:
    advice, ranking = await app.models.advise(purpose)
    return _Advised(advice, ranking, _notes_on(await app.models.catalogue()))


async def _advise_profile(file: Path, purpose: Purpose) -> _Advised:
    try:
        with file.open(encoding="utf-8") as opened:
            text = opened.read(MAX_CHARACTERS + 1)
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise SettingsError(f"{file.name} cannot be read: {why}.") from None
    profile = read_profile(text, file.name)
    catalogue = load(config_dir() / OWN_FILE)
    ranking = rank(profile.resources, (), catalogue, purpose=purpose)
    advice = recommended_setup(profile.resources, (), catalogue, ranking)
    return _Advised(advice, ranking, _notes_on(catalogue), profile.name)


def _notes_on(catalogue: Catalogue) -> list[str]:
    age = catalogue.age_sentence(datetime.now(UTC).date())
    return [*catalogue.problems, *filter(None, [age])]


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
        told = f" (told by {gpu.source})" if gpu.source else ""
        rows.append(("Graphics", f"{gpu.name}, {memory}{free}{told}"))
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


def print_recommendation(advice: SetupRecommendation, changes: Sequence[str] = ()) -> None:
    """The recommendation and what matters most of it, its steps, the rest of its reasons, what else there is.

    `changes` are sentences that it may hold already.
    """
    name = IDENTITIES[advice.preferred_server].name
    model = advice.ready_model or next(iter(advice.recommended_models), None)
    output.heading(f"Recommended: {name}" + (f" with {model_title(model)}" if model else ""))
    _say_all(advice.reasons[:_MATTER_MOST])
    output.say()
    output.heading("What to do")
    for number, step in enumerate(advice.steps, 1):
        output.say(f"  {number}. {step}")
    for link in advice.download_links:
        output.say(f"     {link.title}: {link.url}")
    output.say()
    output.heading("More about it")
    _say_all(dict.fromkeys((*advice.reasons[_MATTER_MOST:], *changes, advice.memory_note)))
    if not advice.alternatives:
        return
    output.say()
    output.heading("What else there is")
    for other in advice.alternatives:
        choice = IDENTITIES[other.server].name
        if other.model:
            choice += f" with {model_title(other.model)}"
        output.say(f"  {choice}: {other.reason}")


def _say_all(sentences: Iterable[str]) -> None:
    for sentence in sentences:
        output.say(f"  {sentence}")
