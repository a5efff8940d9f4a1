"""`engine builds list|find|install|use|rollback|remove`: which llama-server the app's own engine runs on."""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import click

from whisper_desktop.cli import output
from whisper_desktop.cli.running import fail, json_option, run
from whisper_desktop.engines.builds import keep
from whisper_desktop.engines.builds.assets import Choice, best_choices, named_choice, variants
from whisper_desktop.engines.builds.describe import NotUsable, ask, devices
from whisper_desktop.engines.builds.found import Candidate, candidates
from whisper_desktop.engines.builds.install import Step, install
from whisper_desktop.engines.builds.keep import Build
from whisper_desktop.engines.builds.releases import Release, newest_releases, one_release
from whisper_desktop.errors import EngineError
from whisper_desktop.machine import detect_resources
from whisper_desktop.models.graphics import judge_graphics
from whisper_desktop.settings import load_settings
from whisper_desktop.settings.schema import LLMSettings
from whisper_desktop.values import Deadlines, ResourceInfo
from whisper_desktop.wire.http import Http

T = TypeVar("T")
Json = dict[str, object]

_RESTART = "An engine that is running keeps its program until it is started again."
_PHASES = {
    "download": "Downloading…",
    "unpack": "Unpacking…",
    "try": "Trying it with a tiny model…",
}


@click.group()
def builds() -> None:
    """Look after the llama-server programs that can run models.

    Without one, models run on the built-in engine. A build from llama.cpp can use the graphics card.
    """


@builds.command(name="list")
@json_option
def list_builds(as_json: bool) -> None:
    """Say which builds this app has installed."""
    found, current, previous = keep.installed(), keep.current(), keep.previous()
    if as_json:
        output.emit_json({"builds": [_build_shape(build, current, previous) for build in found]})
    elif not found:
        output.say("This app has installed no build. `whisper-desktop engine builds install` does.")
    else:
        output.table((build.name, build.says, _mark(build, current, previous)) for build in found)


@builds.command()
@click.option("--others", is_flag=True, help="List those of LM Studio and Ollama too.")
@json_option
def find(others: bool, as_json: bool) -> None:
    """Say where a llama-server is on this computer, and which one is used.

    Each is run for a moment, to ask it what it can do. With --others also those in the folders of LM Studio
    and Ollama are listed. They are not run, and never taken by themselves; llm.llamacpp.server_path uses one.
    """
    found = candidates(others, load_settings().settings.llm.llamacpp.server_path)
    rows = run(_described(found), as_json=as_json, words="Asking them what they are…")
    if as_json:
        output.emit_json({"programs": rows})
    elif not rows:
        output.say("There is no llama-server here, so models run on the built-in engine.")
    else:
        for number, row in enumerate(rows):
            output.say(f"{row['path']} ({row['origin']}{', used' if number == 0 and row['usable'] else ''})")
            output.say(f"  {row['detail']}")


async def _described(found: tuple[Candidate, ...]) -> list[Json]:
    return [await _program(candidate) for candidate in found]


async def _program(candidate: Candidate) -> Json:
    row: Json = {
        "path": str(candidate.path),
        "source": candidate.source,
        "origin": candidate.words,
        "usable": None,
        "version": None,
        "devices": [],
    }
    if candidate.is_anothers:
        return {**row, "detail": "It was not run. Set llm.llamacpp.server_path to this path to use it."}
    try:
        binary = await ask(candidate.path, Deadlines())
        cards = await devices(candidate.path, Deadlines())
    except NotUsable as error:
        return {**row, "usable": False, "detail": str(error)}
    names = ", ".join(f"{card.name} ({output.gigabytes(card.total_bytes)})" for card in cards)
    return {
        **row,
        "usable": True,
        "version": binary.version,
        "devices": [card.name for card in cards],
        "detail": f"Version {binary.version}; {names or 'runs models on the processor'}.",
    }


@builds.command(name="install")
@click.option("--version", metavar="TAG", help="A certain release, such as b11549, instead of the newest.")
@click.option("--variant", metavar="KIND", help="cpu, vulkan, cuda, rocm …, instead of the recommended one.")
@click.option("--yes", is_flag=True, help="Install without asking.")
@json_option
def install_build(version: str | None, variant: str | None, yes: bool, as_json: bool) -> None:
    """Download a build of llama.cpp, try it, and use it.

    The build that was in use is kept: `rollback` returns to it.
    """
    llm = load_settings().settings.llm
    choice = run(_with_http(llm, lambda http: _chosen(http, llm, version, variant)),
                 as_json=as_json, words="Looking for what fits this computer…")  # fmt: skip
    if not yes:
        _ask_first(choice, as_json=as_json)
    elif not as_json:
        output.say(_offer(choice))
    with output.progress(_PHASES["download"]) as waiting:
        build = run(
            _with_http(
                llm, lambda http: _installed(http, llm, choice, lambda step: waiting.say(_told(step)))
            ),
            as_json=as_json,
            tell=False,
        )
    if as_json:
        output.emit_json(_build_shape(build, keep.current(), keep.previous()))
    else:
        output.say(f"{build.name} is installed, tried, and used from now on. {_RESTART}")


async def _with_http(llm: LLMSettings, work: Callable[[Http], Coroutine[Any, Any, T]]) -> T:
    http = Http(allow_network=llm.allow_network)
    try:
        return await work(http)
    finally:
        await http.aclose()


async def _chosen(http: Http, llm: LLMSettings, version: str | None, variant: str | None) -> Choice:
    index = llm.llamacpp.build_index
    resources = await asyncio.to_thread(detect_resources)
    if version:
        releases: tuple[Release, ...] = (await one_release(http, version, index),)
    else:
        releases = await newest_releases(http, index)
    if variant:
        choice = named_choice(releases, resources, variant)
    else:
        choice = next(iter(best_choices(releases, resources, judge_graphics(resources).usable)), None)
    if choice is None:
        raise _none_fits(releases, resources, version, variant)
    return choice


def _none_fits(
    releases: tuple[Release, ...], resources: ResourceInfo, version: str | None, variant: str | None
) -> EngineError:
    where = f"{resources.os_name} on {resources.arch}"
    published = ", ".join(variants(releases, resources))
    asked = " ".join(filter(None, (version, variant)))
    return EngineError(
        f"There is no build {asked} for {where}." if asked else f"There is no build for {where}.",
        f"Published for it, with a checksum, are: {published}."
        if published
        else "None is published for it with a checksum, and without one a download cannot be trusted.",
        "Choose one of those." if published else "Models go on running on the built-in engine.",
        cause="build_missing",
    )


async def _installed(http: Http, llm: LLMSettings, choice: Choice, on_step: Callable[[Step], None]) -> Build:
    return await install(
        choice, http=http, deadlines=Deadlines(), mirrors=llm.llamacpp.build_mirrors, on_step=on_step
    )


def _offer(choice: Choice) -> str:
    return f"{choice.name}, {output.gigabytes(choice.download_bytes)} to download. {choice.reason}"


def _ask_first(choice: Choice, *, as_json: bool) -> None:
    if as_json or not sys.stdin.isatty():
        fail(
            EngineError(
                f"Nothing was downloaded: {_offer(choice)}",
                "A program from the internet is installed only when somebody says yes.",
                "Add --yes to install it.",
                cause="build_consent",
            ),
            as_json=as_json,
        )
    output.say(_offer(choice))
    click.confirm("Install it?", default=True, abort=True)


def _told(step: Step) -> str:
    if step.note:
        return step.note
    if step.done is not None and step.total:
        return f"Downloading, {output.gigabytes(step.done)} of {output.gigabytes(step.total)}…"
    return _PHASES[step.phase]


@builds.command()
@click.argument("name")
@json_option
def use(name: str, as_json: bool) -> None:
    """Use an installed build: NAME as `list` shows it."""
    _change(lambda: keep.switch_to(name), as_json=as_json)


@builds.command()
@json_option
def rollback(as_json: bool) -> None:
    """Use the previous build again."""
    _change(keep.rollback, as_json=as_json)


def _change(change: Callable[[], Build], *, as_json: bool) -> None:
    build = _changed(change, as_json=as_json)
    if as_json:
        output.emit_json(_build_shape(build, keep.current(), keep.previous()))
    else:
        output.say(f"{build.name} is used from now on. {_RESTART}")


@builds.command()
@click.argument("name")
@json_option
def remove(name: str, as_json: bool) -> None:
    """Delete an installed build: NAME as `list` shows it. One that is running is kept."""
    _changed(lambda: keep.remove(name), as_json=as_json)
    used = keep.current()
    if as_json:
        output.emit_json({"removed": name, "current": used.name if used else None})
    else:
        rest = f"{used.name} is in use." if used else "No other is installed; the built-in engine is used."
        output.say(f"{name} is removed. {rest}")


def _changed(change: Callable[[], T], *, as_json: bool) -> T:
    async def work() -> T:
        with keep.changing():
            return change()

    return run(work(), as_json=as_json)


def _mark(build: Build, current: Build | None, previous: Build | None) -> str:
    return "in use" if build == current else "previous" if build == previous else ""


def _build_shape(build: Build, current: Build | None, previous: Build | None) -> Json:
    return {
        "name": build.name,
        "version": build.version,
        "variant": build.variant,
        "says": build.says,
        "path": str(build.binary),
        "current": build == current,
        "previous": build == previous,
    }
