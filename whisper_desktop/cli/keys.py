"""`keys set|list|remove`: keys live in the system's keyring, never in a file, never on the command line."""

import asyncio
import sys

import click

from whisper_desktop.app import App
from whisper_desktop.cli import output, shapes
from whisper_desktop.cli.running import json_option, run, with_app
from whisper_desktop.control.changes import tell_owner
from whisper_desktop.errors import SecretsError

_LONGEST_LINE = 100_000  # bytes read from a pipe


@click.group()
def keys() -> None:
    """Keep, list and remove servers' keys.

    They live in this system's keyring, never in a file.
    """


@keys.command("set")
@click.argument("name")
@json_option
def set_key(name: str, as_json: bool) -> None:
    """Keep the key for NAME: a backend such as openrouter, or an address.

    The key is asked for, or piped in; it is never part of the command line, which other programs can read.
    """
    key = _key_for(name)

    async def work(app: App) -> tuple[str, str]:
        origin, explanation = app.key_origin(name), await app.set_key(name, key)
        if not await asyncio.to_thread(lambda: app.secrets.persistent):
            raise SecretsError(f"The key for {origin} was not kept.", explanation)
        await tell_owner()
        return origin, explanation

    origin, explanation = run(with_app(work), as_json=as_json)
    if as_json:
        output.emit_json(shapes.key_kept_shape(origin, explanation))
    else:
        output.say(f"The key for {origin} is kept. {explanation}")


def _key_for(name: str) -> str:
    if sys.stdin.isatty():
        typed: str = click.prompt(f"Key for {name}", hide_input=True, err=True)
        return typed
    try:
        return sys.stdin.buffer.readline(_LONGEST_LINE).decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise click.UsageError("What was piped in is not a key: it is no text.") from None


@keys.command("list")
@json_option
def list_keys(as_json: bool) -> None:
    """Say which addresses have a key. No key is ever shown."""

    async def work(app: App) -> tuple[tuple[str, ...], str]:
        return await app.keys(), await asyncio.to_thread(lambda: app.secrets.explanation)

    origins, explanation = run(with_app(work), as_json=as_json)
    if as_json:
        output.emit_json(shapes.keys_shape(origins, explanation))
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
    """Forget the key for NAME: a backend such as openrouter, or an address."""

    async def work(app: App) -> tuple[str, bool]:
        origin = app.key_origin(name)
        had_one = origin in await app.keys()
        await app.remove_key(name)
        await tell_owner()
        return origin, had_one

    origin, had_one = run(with_app(work), as_json=as_json)
    if as_json:
        output.emit_json(shapes.key_removed_shape(origin, had_one))
    elif had_one:
        output.say(f"The key for {origin} is forgotten.")
    else:
        output.say(f"There was no key for {origin}.")
