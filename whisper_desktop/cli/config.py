"""`config show|path|set`: the person's config.yaml, and which layer each value comes from."""

import asyncio

import click

from whisper_desktop.cli import output, shapes
from whisper_desktop.cli.running import json_option, run, tell_problems
from whisper_desktop.control.changes import tell_owner


@click.group()
def config() -> None:
    """Show and change settings."""


@config.command()
@json_option
def show(as_json: bool) -> None:
    """Show every setting and where its value comes from."""
    from whisper_desktop.settings import load_settings

    tell_problems()
    loaded = load_settings()
    if as_json:
        output.emit_json(shapes.settings_shape(loaded))
        return
    output.table(
        ((key, _words(loaded.get(key)), source.value) for key, source in loaded.sources.items()),
        header=("setting", "value", "from"),
    )


@config.command()
@json_option
def path(as_json: bool) -> None:
    """Say where the settings file is."""
    from whisper_desktop.settings import paths

    async def work() -> tuple[str, str]:
        folder = paths.config_dir()
        return str(folder / paths.CONFIG_FILE), str(folder / paths.CHOICES_FILE)

    config, choices = run(work(), as_json=as_json)
    if as_json:
        output.emit_json(shapes.paths_shape(config, choices))
    else:
        output.say(config)


@config.command("set", context_settings={"ignore_unknown_options": True})
@click.argument("key")
@click.argument("value")
@json_option
def set_value(key: str, value: str, as_json: bool) -> None:
    """Set KEY (such as llm.backend) to VALUE in config.yaml. Comments in the file stay."""
    from whisper_desktop.settings import Layer, load_settings, set_config

    async def work() -> object:
        new = await asyncio.to_thread(set_config, key, value)
        await tell_owner()
        return new

    new = run(work(), as_json=as_json, tell=False)  # else a value is complained about that is just corrected
    tell_problems()
    if as_json:
        output.emit_json(shapes.setting_shape(key, new))
        return
    loaded = load_settings()
    if loaded.sources.get(key) is Layer.ENVIRONMENT:
        in_force = _words(loaded.get(key))
        output.say(f"{key} is {_words(new)} in config.yaml, but the environment sets it to {in_force} now.")
    else:
        output.say(f"{key} is now {_words(new)}.")


def _words(value: object) -> str:
    if value is None:
        return "—"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(str(entry) for entry in value) or "—"
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_words(entry)}" for name, entry in value.items()) or "—"
    return str(value)
