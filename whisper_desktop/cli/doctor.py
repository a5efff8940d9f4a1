"""`doctor`: checks what a working app needs, one line each, and says what to do about what is wrong."""

import asyncio
from contextlib import aclosing
from dataclasses import dataclass

import click

from whisper_desktop.app import App
from whisper_desktop.cli import output, shapes
from whisper_desktop.cli.running import Failed, json_option, make_front, run, with_app
from whisper_desktop.control import AskRequest
from whisper_desktop.errors import WhisperError
from whisper_desktop.values import (
    AnswerFinished,
    Message,
    ResourceInfo,
    Role,
    ServerInfo,
    ServerStatus,
)


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report. `ok` None: worth knowing, not a fault."""

    name: str
    ok: bool | None
    detail: str
    next_step: str = ""


_MARKS = {True: "ok", False: "PROBLEM", None: "note"}


@click.command()
@click.option("--backend", metavar="ID", help="Also ask this backend for a real answer.")
@json_option
def doctor(backend: str | None, as_json: bool) -> None:
    """Check that everything works.

    Looks at settings, keyring, display, engine and servers. The exit code is 1 when something needs
    attention.
    """

    async def work(app: App) -> list[Check]:
        checks = await _examine(app)
        return [*checks, await _asked(app, backend)] if backend else checks

    checks = run(with_app(work), as_json=as_json, words="Looking, and asking the engine…")
    healthy = all(check.ok is not False for check in checks)
    if as_json:
        output.emit_json(
            shapes.doctor_shape(
                healthy, [(check.name, check.ok, check.detail, check.next_step) for check in checks]
            )
        )
    else:
        output.table((_MARKS[check.ok], check.name, check.detail) for check in checks)
        for check in checks:
            if check.next_step:
                output.say(f"{check.name}: {check.next_step}")
    if not healthy:
        raise Failed


async def _examine(app: App) -> list[Check]:
    keyring, resources, servers, engine = await asyncio.gather(
        asyncio.to_thread(_keyring, app), app.resources(), app.scan(), _engine()
    )
    return [
        *_settings(app),
        keyring,
        _display(resources),
        engine,
        _servers(servers),
        *(Check("machine", None, warning) for warning in resources.warnings),
    ]


def _settings(app: App) -> list[Check]:
    problems = [
        Check("settings", False, f"{problem.title} {problem.detail}".strip(), problem.next_step)
        for problem in app.loaded.problems
    ]
    return problems or [Check("settings", True, "every value can be used")]


def _keyring(app: App) -> Check:
    return Check("keyring", True if app.secrets.persistent else None, app.secrets.explanation)


def _display(resources: ResourceInfo) -> Check:
    if resources.has_display:
        return Check("display", True, "a desktop answers")
    return Check("display", None, "none here: the terminal is used instead of windows")


def _servers(servers: tuple[ServerInfo, ...]) -> Check:
    usable = [server.name for server in servers if server.status is ServerStatus.AVAILABLE]
    if usable:
        return Check("servers", True, f"can answer: {', '.join(usable)}")
    return Check("servers", None, "none that can answer", "`whisper-desktop recommend` says what to do.")


async def _asked(app: App, backend: str) -> Check:
    report = await app.test_connection(backend)
    return Check(backend, report.ok, f"{report.title} {report.detail}".strip(), report.next_step)


async def _engine() -> Check:
    """The engine is only believed when it has answered: the guide is asked, through whoever is the owner."""
    request = AskRequest((Message(Role.USER, "Hello"),), guide=True)
    try:
        async with make_front() as front, aclosing(front.ask(request)) as events:
            async for event in events:
                if isinstance(event, AnswerFinished):
                    seconds = event.completion.provenance.total_seconds
                    return Check("engine", True, f"starts and answers, in {seconds:.1f} s")
    except WhisperError as error:
        return Check("engine", False, f"{error.title} {error.detail}".strip(), error.next_step)
    return Check("engine", False, "it ended an answer without a word")
