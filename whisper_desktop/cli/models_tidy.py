"""`models remove` and `models dedupe`: give back room on the disk, after saying what that changes."""

import asyncio
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from whisper_desktop.app import App
from whisper_desktop.cli import output
from whisper_desktop.cli.models_list import SOURCES
from whisper_desktop.cli.running import Failed, fail, json_option, of_owner, run, with_app
from whisper_desktop.control import RemoteCore
from whisper_desktop.errors import ModelFileError
from whisper_desktop.models.duplicates import OTHERS
from whisper_desktop.values import EngineState

if TYPE_CHECKING:
    from whisper_desktop.models.duplicates import Copy, Duplicate
    from whisper_desktop.models.shelf import ShelfModel

_WITHOUT_FILE = (EngineState.STOPPED, EngineState.FAILED, EngineState.SLEEPING)

yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


@click.command()
@click.argument("name")
@yes_option
@json_option
def remove(name: str, yes: bool, as_json: bool) -> None:
    """Delete a model's files, and say what that frees.

    NAME is one from `models list`, or its file. What Ollama keeps is deleted by Ollama.
    """
    # Asked between two runs and not within one: while a loop runs, Ctrl-C would not end the question.
    model, frees = run(with_app(lambda app: _to_remove(app, name)), as_json=as_json)
    if model.source != "ollama" and not yes:  # which is refused below
        where = f" from the folder of {SOURCES[model.source]}" if model.source in OTHERS else ""
        _ask(
            f"Delete {model.name}{where}, which frees {output.gigabytes(frees)}?",
            [str(path) for path in model.files],
            as_json=as_json,
        )
    freed, was_own = run(with_app(lambda app: _removed(app, model)), as_json=as_json, tell=False)
    if as_json:
        files = [str(path) for path in model.files]
        output.emit_json({"model": model.name, "files": files, "freed_bytes": freed})
        return
    room = (
        f"{output.gigabytes(freed)} are free again."
        if freed
        else "Another name of its file still needs the room."
    )
    output.say(f"{model.name} is deleted. {room}")
    if was_own:
        output.note("The app's own engine has no model now: whisper-desktop models use NAME")


async def _to_remove(app: App, name: str) -> "tuple[ShelfModel, int]":
    model = await app.models.model(name)
    return model, await app.models.frees(model)


async def _removed(app: App, model: "ShelfModel") -> tuple[int, bool]:
    was_own = app.models.is_own(model)
    freed = await app.models.delete(model, consent=True, in_use=await _used_by_owner(app))
    return freed, was_own


@click.command()
@yes_option
@click.option("--also-others", is_flag=True, help="Also files of LM Studio, Ollama and Hugging Face.")
@json_option
def dedupe(yes: bool, also_others: bool, as_json: bool) -> None:
    """Keep models that are here twice only once.

    Copies become links to one of them, in one step each; where that fails, both stay as they were. Files of
    other programs are left alone unless you say otherwise.
    """
    with output.progress("Comparing models…") as waiting:
        found = run(with_app(lambda app: _duplicates(app, waiting.say)), as_json=as_json)
    pairs = [(duplicate, copy) for duplicate in found for copy in duplicate.copies]
    wanted = [pair for pair in pairs if also_others or not pair[1].belongs_to_other]
    left = tuple(copy for _, copy in pairs if copy.belongs_to_other and not also_others)
    if not as_json:
        _print(found, left)
    if wanted and not yes:
        saves = output.gigabytes(sum(duplicate.size_bytes for duplicate, _ in wanted))
        _ask(f"Make {len(wanted)} of them links, which frees {saves}?", [], as_json=as_json)
    done = _Deduped(found, left=left)
    if wanted:
        linking = with_app(lambda app: _linked(app, done, wanted, consent=also_others))
        done = run(linking, as_json=as_json, tell=False)
    if as_json:
        output.emit_json(_shape(done))
    elif done.linked:
        count = len(done.linked)
        freed = f" {output.gigabytes(done.freed)} are free again." if done.freed else ""
        output.say(f"{count} {'copies are links' if count != 1 else 'copy is a link'} now.{freed}")
    if done.failed:
        for problem in done.failed:
            output.note(problem)
        raise Failed


@dataclass(frozen=True, slots=True)
class _Deduped:
    """`linked` are copies that are links now, `left` those of other programs that were left alone."""

    found: "tuple[Duplicate, ...]"
    linked: "tuple[Copy, ...]" = ()
    left: "tuple[Copy, ...]" = ()
    failed: tuple[str, ...] = ()
    freed: int = 0


async def _duplicates(app: App, say: Callable[[str], None]) -> "tuple[Duplicate, ...]":
    loop = asyncio.get_running_loop()

    def told(path: Path, done: int) -> None:
        loop.call_soon_threadsafe(say, f"Reading {path.name}, {output.gigabytes(done)}…")

    return await app.models.duplicates(on_progress=told)


async def _linked(
    app: App, done: _Deduped, wanted: "Sequence[tuple[Duplicate, Copy]]", *, consent: bool
) -> _Deduped:
    in_use = await _used_by_owner(app)
    linked: list[Copy] = []
    failed: list[str] = []
    freed = 0
    for duplicate, copy in wanted:
        try:
            freed += await app.models.link(duplicate, copy, consent=consent, in_use=in_use)
            linked.append(copy)
        except ModelFileError as error:
            failed.append(f"{error}")
    return replace(done, linked=tuple(linked), failed=tuple(failed), freed=freed)


def _print(found: "tuple[Duplicate, ...]", left: "tuple[Copy, ...]") -> None:
    if not found:
        output.say("No model is here more than once.")
        return
    for duplicate in found:
        size = output.gigabytes(duplicate.size_bytes)
        output.say(f"{duplicate.keep.model.name}, {size}, is here {len(duplicate.copies) + 1} times:")
        for copy in (duplicate.keep, *duplicate.copies):
            kept = " (stays)" if copy is duplicate.keep else ""
            output.say(f"  {SOURCES[copy.model.source]}: {copy.path}{kept}")
    if left:
        one = len(left) == 1
        output.say(
            f"{len(left)} of them {'belongs' if one else 'belong'} to another program and "
            f"{'is' if one else 'are'} left alone; --also-others includes {'it' if one else 'them'}."
        )


def _ask(question: str, details: list[str], *, as_json: bool) -> None:
    """Ends the command where the person says no, or where nobody can be asked."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        unasked = ModelFileError(
            "Nothing was changed.", f"The question is: {question}", "Add --yes to say it beforehand."
        )
        fail(unasked, as_json=as_json)
    for line in details:
        output.note(f"  {line}")
    click.confirm(question, default=False, abort=True, err=True)


async def _used_by_owner(app: App) -> tuple[Path, ...]:
    """The file that the engine of the running app has open, if it has one."""
    status = await of_owner(RemoteCore.engine_status, None)
    own = app.loaded.settings.llm.own_model
    if own is None or status is None or status.engine != "builtin" or status.state in _WITHOUT_FILE:
        return ()
    return (own,)


def _shape(done: _Deduped) -> dict[str, object]:
    """`models dedupe --json`. Sizes are bytes; `left` are files of other programs that were not touched."""
    return {
        "duplicates": [
            {
                "size_bytes": duplicate.size_bytes,
                "keep": str(duplicate.keep.path),
                "copies": [str(copy.path) for copy in duplicate.copies],
            }
            for duplicate in done.found
        ],
        "linked": [str(copy.path) for copy in done.linked],
        "left": [str(copy.path) for copy in done.left],
        "failed": list(done.failed),
        "freed_bytes": done.freed,
    }
