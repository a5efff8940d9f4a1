"""`doctor`: checks what a working app needs, one line each, and says what to do about what is wrong."""

import sys
from contextlib import aclosing
from pathlib import Path

import click

from whisper_desktop.app import App
from whisper_desktop.app.diagnosis import Check, Diagnosis, diagnose, examine, of_error
from whisper_desktop.app.report import Report, make_report, save_report
from whisper_desktop.cli import output, shapes
from whisper_desktop.cli.running import Failed, json_option, make_front, run, with_app
from whisper_desktop.control import AskRequest
from whisper_desktop.errors import WhisperError
from whisper_desktop.language import mark, tr, trn
from whisper_desktop.values import AnswerFinished, Message, Role

_MARKS = {True: mark("ok"), False: mark("PROBLEM"), None: mark("note")}


@click.command()
@click.option("--backend", metavar="ID", help="Also ask this backend for a real answer.")
@click.option(
    "--bundle",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Save a report without keys and names, to hand to somebody who helps.",
)
@json_option
def doctor(backend: str | None, bundle: Path | None, as_json: bool) -> None:
    """Check that everything works.

    Looks at settings, keyring, display, engine and servers. The exit code is 1 when something needs
    attention.
    """
    if bundle is not None:
        _save_bundle(bundle, as_json=as_json)
        return

    async def work(app: App) -> list[Check]:
        checks = await _examined(app)
        return [*checks, await _asked(app, backend)] if backend else checks

    checks = run(with_app(work), as_json=as_json, words=tr("Looking, and asking the engine…"))
    healthy = all(check.ok is not False for check in checks)
    if as_json:
        output.emit_json(
            shapes.doctor_shape(
                healthy, [(check.id, check.ok, check.detail, check.next_step) for check in checks]
            )
        )
    else:
        output.table((tr(_MARKS[check.ok]), check.id, check.detail) for check in checks)
        for check in checks:
            if check.next_step:
                output.say(f"{check.id}: {check.next_step}")
    if not healthy:
        raise Failed


async def _examined(app: App) -> list[Check]:
    """The checks, with the engine's before those of the servers."""
    engine = await _engine()
    checks = list(await examine(app))
    place = next(number for number, check in enumerate(checks) if check.id == "servers")
    return [*checks[:place], engine, *checks[place:]]


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
                    return Check(
                        "engine", True, tr("starts and answers, in {seconds:.1f} s", seconds=seconds)
                    )
    except WhisperError as error:
        return of_error("engine", error)
    return Check("engine", False, tr("it ended an answer without a word"))


# --- The report ---------------------------------------------------------------------------------------------


def _save_bundle(path: Path, *, as_json: bool) -> None:
    """What is inside is told first; where somebody can say no, they are asked."""

    async def work(app: App) -> Report:
        told = await diagnose(app)
        engine = await _engine()
        return await make_report(app, Diagnosis((*told.checks, engine), told.parts))

    report = run(with_app(work), as_json=as_json, words=tr("Collecting what there is to tell…"))
    if not as_json:
        _tell_contents(report)
        if sys.stdin.isatty() and not click.confirm(tr("Save it?"), default=True, err=True):
            return
    run(save_report(report, path), as_json=as_json, tell=False)
    if as_json:
        output.emit_json({"file": str(path), "contents": [each.name for each in report.enclosed]})
    else:
        output.say(tr("Saved: {path}. Nothing was sent anywhere.", path=path))


def _tell_contents(report: Report) -> None:
    output.say(
        tr("The report has these texts. Keys, names, mail addresses and what was written are taken out.")
    )
    output.table(
        (each.name, each.about, trn("one line", "{count} lines", each.text.count("\n")))
        for each in report.enclosed
    )
