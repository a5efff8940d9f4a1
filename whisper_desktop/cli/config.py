"""`config show|path|set`: the person's config.yaml, and which layer each value comes from."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from whisper_desktop.app import App
from whisper_desktop.cli import output
from whisper_desktop.cli.running import json_option, make_app, run, with_app
from whisper_desktop.control import Front
from whisper_desktop.values import Reach

if TYPE_CHECKING:
    from whisper_desktop.settings import LoadedSettings


@click.group()
def config() -> None:
    """Show and change settings."""


@config.command()
@json_option
def show(as_json: bool) -> None:
    """Show every setting and where its value comes from."""

    async def work(app: App) -> "LoadedSettings":
        return app.loaded

    loaded = run(with_app(work), as_json=as_json)
    values = {key: loaded.get(key) for key in loaded.sources}
    problems = [
        {"key": problem.key, "where": problem.where, "title": problem.title, "detail": problem.detail}
        for problem in loaded.problems
    ]
    if as_json:
        output.emit_json(
            {
                "settings": {
                    key: {"value": _plain(value), "source": loaded.sources[key].value}
                    for key, value in values.items()
                },
                "problems": problems,
            }
        )
        return
    output.table(
        ((key, _words(value), loaded.sources[key].value) for key, value in values.items()),
        header=("setting", "value", "from"),
    )
    for problem in loaded.problems:
        output.say(f"Note: {problem}")


@config.command()
@json_option
def path(as_json: bool) -> None:
    """Say where the settings file is."""
    from whisper_desktop.settings import paths

    folder = paths.config_dir()
    files = {"config": str(folder / "config.yaml"), "choices": str(folder / "choices.yaml")}
    if as_json:
        output.emit_json(files)
    else:
        output.say(files["config"])


@config.command("set")
@click.argument("key")
@click.argument("value")
@json_option
def set_value(key: str, value: str, as_json: bool) -> None:
    """Set KEY (such as llm.backend) to VALUE in config.yaml. Comments in the file stay."""

    async def work() -> None:
        from whisper_desktop.settings import set_config

        await asyncio.to_thread(set_config, key, value)
        await tell_owner()

    run(work(), as_json=as_json)
    if as_json:
        output.emit_json({"key": key, "value": value})
    else:
        output.say(f"{key} is now {value}.")


async def tell_owner() -> None:
    """A running app reads the settings again; where none runs there is nobody to tell."""
    remote = await Front(make_app).running()
    if remote is not None:
        await remote.reload()
        await remote.close()


def _plain(value: object) -> object:
    """The value as JSON has it."""
    if isinstance(value, Path | Reach):
        return str(value)
    return list(value) if isinstance(value, tuple) else value


def _words(value: object) -> str:
    if value is None:
        return "—"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(str(entry) for entry in value) or "—"
    return str(value)
