"""`models list`: one list of all models on this computer, whichever program brought them."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from whisper_desktop.app import App
from whisper_desktop.cli import output
from whisper_desktop.cli.running import json_option, run, with_app

if TYPE_CHECKING:
    from whisper_desktop.models.shelf import Shelf, ShelfModel

SOURCES: Mapping[str, str] = {
    "own": "this app",
    "lm_studio": "LM Studio",
    "ollama": "Ollama",
    "hugging_face": "Hugging Face",
    "folder": "your folder",
}
"""Whose folder a model lies in, for a person."""

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


@click.command("list")
@click.option("--paths", is_flag=True, help="Show where each one lies.")
@json_option
def list_models(paths: bool, as_json: bool) -> None:
    """List the models on this computer.

    The app's own folder, LM Studio's, Ollama's, Hugging Face's, and those of llm.model_folders.
    """

    listed = run(with_app(_look), as_json=as_json, words="Looking for models…")
    if as_json:
        output.emit_json(_shape(listed))
    else:
        _print(listed, paths=paths)


@dataclass(frozen=True, slots=True)
class _Listed:
    """The shelf, the file of the app's own engine, and the names of what is not fetched to its end."""

    shelf: "Shelf"
    own: Path | None
    begun: tuple[str, ...]


async def _look(app: App) -> _Listed:
    shelf, begun = await app.models.shelf(), await app.models.begun()
    return _Listed(shelf, app.loaded.settings.llm.own_model, tuple(job.title for job in begun))


def _print(listed: _Listed, *, paths: bool) -> None:
    models, own, now = listed.shelf.models, listed.own, time.time()
    if not models:
        output.say("There are no models on this computer yet.")
        output.say("What suits it: whisper-desktop recommend")
        output.say("To fetch one: whisper-desktop models pull NAME")
    elif paths:
        for model in models:
            output.say(f"{model.name}, {output.gigabytes(model.size_bytes)}, {SOURCES[model.source]}")
            output.say(f"  {model.path}")
    else:
        header = ("Model", "Size", "Type", "From", "Last used")
        output.table((_row(model, own, now) for model in models), header=header)
    if models:
        disk, count = output.gigabytes(listed.shelf.disk_bytes), len(models)
        output.say()
        output.say(f"{count} model{'s' if count != 1 else ''}, {disk} on the disk.")
    if own is not None:
        here = any(own in model.files for model in models)
        output.say("* The app's own engine runs it." if here else f"The app's own engine runs {own}.")
    if listed.begun:
        output.say(f"Not fetched to the end yet: {', '.join(listed.begun)}.")
        output.say("  To go on: whisper-desktop models pull")
    for problem in listed.shelf.problems:
        output.note(f"Note: {problem}")


def _row(model: "ShelfModel", own: Path | None, now: float) -> tuple[str, ...]:
    return (
        model.name + (" *" if own in model.files else ""),
        output.gigabytes(model.size_bytes),
        model.type.value,
        SOURCES[model.source],
        ago(model.last_used, now),
    )


def ago(moment: float | None, now: float) -> str:
    """How long ago something was, as people say it; "" where it never was."""
    if moment is None:
        return ""
    seconds = max(0.0, now - moment)
    for length, name in ((_DAY, "day"), (_HOUR, "hour"), (_MINUTE, "minute")):
        if seconds >= length:
            count = int(seconds // length)
            return f"{count} {name}{'s' if count != 1 else ''} ago"
    return "just now"


def _shape(listed: _Listed) -> dict[str, object]:
    """`models list --json`. Sizes are bytes, `train_context` tokens, `last_used` seconds since 1970;
    `unfinished` are the names of downloads that have not ended well yet.
    """
    return {
        "models": [_model(model, listed.own) for model in listed.shelf.models],
        "disk_bytes": listed.shelf.disk_bytes,
        "own_engine": str(listed.own) if listed.own is not None else None,
        "unfinished": list(listed.begun),
        "problems": list(listed.shelf.problems),
    }


def _model(model: "ShelfModel", own: Path | None) -> dict[str, object]:
    """`own_engine` says that the app's own engine runs it."""
    return {
        "name": model.name,
        "files": [str(path) for path in model.files],
        "size_bytes": model.size_bytes,
        "on_disk_bytes": model.on_disk_bytes,
        "source": model.source,
        "type": model.type.value,
        "quantization": model.quant or None,
        "architecture": model.architecture or None,
        "train_context": model.train_ctx,
        "projector": str(model.projector) if model.projector is not None else None,
        "sha256": model.sha256 or None,
        "last_used": model.last_used,
        "own_engine": own in model.files,
    }
