"""`keys set|list|remove`: keys live in the system's keyring, never in a file, never on the command line."""

import sys

import click

from whisper_desktop.app import App
from whisper_desktop.cli import output
from whisper_desktop.cli.running import json_option, run, with_app


@click.group()
def keys() -> None:
    """Keep, list and remove keys. They live in this system's keyring."""


@keys.command("set")
@click.argument("name")
@json_option
def set_key(name: str, as_json: bool) -> None:
    """Keep the key for NAME: a backend such as openrouter, or an address. It is asked for, or piped in."""
    if sys.stdin.isatty():
        key = click.prompt(f"Key for {name}", hide_input=True)
    else:
        key = sys.stdin.readline().strip()

    async def work(app: App) -> tuple[str, str]:
        return app.key_origin(name), await app.set_key(name, key)

    origin, explanation = run(with_app(work), as_json=as_json)
    if as_json:
        output.emit_json({"origin": origin, "stored": explanation})
    else:
        output.say(f"The key for {origin} is kept. {explanation}")


@keys.command("list")
@json_option
def list_keys(as_json: bool) -> None:
    """Say which addresses have a key. No key is ever shown."""

    async def work(app: App) -> tuple[tuple[str, ...], str]:
        return await app.keys(), app.secrets.explanation

    origins, explanation = run(with_app(work), as_json=as_json)
    if as_json:
        output.emit_json({"origins": list(origins), "store": explanation})
        return
    for origin in origins:
        output.say(origin)
    if not origins:
        output.say("No keys are kept.")
    output.say(explanation)


@keys.command("remove")
@click.argument("name")
@json_option
def remove_key(name: str, as_json: bool) -> None:
    """Forget the key for NAME."""

    async def work(app: App) -> str:
        await app.remove_key(name)
        return app.key_origin(name)

    origin = run(with_app(work), as_json=as_json)
    if as_json:
        output.emit_json({"origin": origin, "removed": True})
    else:
        output.say(f"There is no key for {origin} any more.")
