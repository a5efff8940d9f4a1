"""`keys set|sign-in|list|remove`: keys live in the system's keyring, never in a file or on a command line."""

import asyncio
import sys
import webbrowser
from contextlib import aclosing

import click

from whisper_desktop.app import App
from whisper_desktop.app.oauth import BrowserWanted, sign_in
from whisper_desktop.cli import output, shapes
from whisper_desktop.cli.running import json_option, run, with_app
from whisper_desktop.control.changes import tell_owner
from whisper_desktop.errors import SecretsError
from whisper_desktop.language import tr

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
            raise SecretsError(tr("The key for {origin} was not kept.", origin=origin), explanation)
        await tell_owner()
        return origin, explanation

    _say_kept(*run(with_app(work), as_json=as_json), as_json=as_json)


@keys.command("sign-in")
@json_option
def sign_in_at_openrouter(as_json: bool) -> None:
    """Sign in at OpenRouter in the browser, and keep the key that it gives.

    Without a browser here, open the address that is printed in one on this computer. Ctrl-C calls it off.
    """

    async def work(app: App) -> tuple[str, str]:
        explanation = await signed_in(app)
        origin = app.key_origin("openrouter")
        if not await asyncio.to_thread(lambda: app.secrets.persistent):
            raise SecretsError(tr("The key for {origin} was not kept.", origin=origin), explanation)
        await tell_owner()
        return origin, explanation

    _say_kept(*run(with_app(work), as_json=as_json), as_json=as_json)


async def signed_in(app: App) -> str:
    """Sign in at OpenRouter, with the browser where one opens; returns where the key is kept."""
    explanation = ""
    async with aclosing(sign_in(app)) as steps:
        async for step in steps:
            if isinstance(step, BrowserWanted):
                output.note(tr("Sign in at this address; Ctrl-C calls it off:"))
                output.note(step.address)
                await asyncio.to_thread(webbrowser.open, step.address)
            else:
                explanation = step.explanation
    return explanation


def _say_kept(origin: str, explanation: str, *, as_json: bool) -> None:
    if as_json:
        output.emit_json(shapes.key_kept_shape(origin, explanation))
    else:
        output.say(tr("The key for {origin} is kept. {explanation}", origin=origin, explanation=explanation))


def _key_for(name: str) -> str:
    if sys.stdin.isatty():
        typed: str = click.prompt(tr("Key for {name}", name=name), hide_input=True, err=True)
        return typed
    try:
        return sys.stdin.buffer.readline(_LONGEST_LINE).decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise click.UsageError(tr("What was piped in is not a key: it is no text.")) from None


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
        output.say(tr("No keys are kept."))
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
        output.say(tr("The key for {origin} is forgotten.", origin=origin))
    else:
        output.say(tr("There was no key for {origin}.", origin=origin))
