"""`doctor`: checks what a working app needs, one line each, and says what to do about what is wrong."""

import asyncio
from dataclasses import dataclass

import click

from whisper_desktop.app import App
from whisper_desktop.cli import output
from whisper_desktop.cli.running import Failed, json_option, run, with_app
from whisper_desktop.errors import WhisperError
from whisper_desktop.values import EngineStatus, ServerStatus


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report. `ok` None: worth knowing, not a fault."""

    name: str
    ok: bool | None
    detail: str
    next_step: str = ""


@click.command()
@json_option
def doctor(as_json: bool) -> None:
    """Check settings, keyring, display, engine and servers. Exit code 1 when something needs attention."""
    checks = run(with_app(_examine), as_json=as_json)
    healthy = all(check.ok is not False for check in checks)
    if as_json:
        output.emit_json(
            {
                "healthy": healthy,
                "checks": [
                    {"name": check.name, "ok": check.ok, "detail": check.detail, "next_step": check.next_step}
                    for check in checks
                ],
            }
        )
    else:
        marks = {True: "ok", False: "PROBLEM", None: "note"}
        output.table((marks[check.ok], check.name, check.detail) for check in checks)
        for check in checks:
            if check.next_step:
                output.say(f"{check.name}: {check.next_step}")
    if not healthy:
        raise Failed


async def _examine(app: App) -> list[Check]:
    checks = [_settings(app), _keyring(app)]
    resources, servers, engine = await asyncio.gather(app.resources(), app.scan(), _engine(app))
    checks.append(
        Check("display", None if not resources.has_display else True, "a desktop answers")
        if resources.has_display
        else Check("display", None, "none here: the terminal is used instead of windows")
    )
    checks.append(engine)
    usable = [server for server in servers if server.status is ServerStatus.AVAILABLE]
    checks.append(
        Check("servers", True, ", ".join(server.name for server in usable) + " can answer")
        if usable
        else Check("servers", None, "none that can answer", "`whisper-desktop recommend` says what to do.")
    )
    return checks + [Check("machine", None, warning) for warning in resources.warnings]


def _settings(app: App) -> Check:
    problems = app.loaded.problems
    if not problems:
        return Check("settings", True, "every value can be used")
    return Check("settings", False, str(problems[0]), "Correct it with `whisper-desktop config set`.")


def _keyring(app: App) -> Check:
    return Check("keyring", True if app.secrets.persistent else None, app.secrets.explanation)


async def _engine(app: App) -> Check:
    """The engine is only believed when it has answered: with the guide's model, started and stopped."""
    try:
        status: EngineStatus = await app.start_engine()
    except WhisperError as error:
        return Check("engine", False, f"{error.title} {error.detail}".strip(), error.next_step)
    memory = f", {output.gigabytes(status.memory_bytes)} of memory" if status.memory_bytes else ""
    return Check("engine", True, f"starts and answers{memory}")
