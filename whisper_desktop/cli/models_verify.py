"""`models verify`: whether a model's files are what they should be."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from whisper_desktop.app import App
from whisper_desktop.cli import output
from whisper_desktop.cli.running import Failed, json_option, run, with_app

if TYPE_CHECKING:
    from whisper_desktop.app.model_check import Verdict


@click.command()
@click.argument("name")
@json_option
def verify(name: str, as_json: bool) -> None:
    """Check that a model's files are intact.

    NAME is one from `models list`, or a GGUF file. It is compared by the SHA-256 that the download, the
    catalogue, Ollama or Hugging Face tells; where nobody tells one, by the structure of the file. Exit code 1
    says that it is damaged.
    """
    with output.progress(f"Looking at {name}…") as waiting:
        verdict = run(with_app(lambda app: _verified(app, name, waiting.say)), as_json=as_json)
    if as_json:
        output.emit_json(_shape(verdict))
    else:
        output.say(verdict.sentence)
        if verdict.next_step:
            output.say(f"  {verdict.next_step}")
    if not verdict.is_whole:
        raise Failed


async def _verified(app: App, name: str, say: Callable[[str], None]) -> "Verdict":
    model = await app.models.model_or_file(name)
    loop = asyncio.get_running_loop()

    def told(done: int) -> None:
        percent = 100 * done // max(1, model.size_bytes)
        loop.call_soon_threadsafe(say, f"Reading {model.name}, {min(percent, 100)} %…")

    return await app.models.verify(str(model.path), on_progress=told)


def _shape(verdict: "Verdict") -> dict[str, object]:
    """`models verify --json`. `certain` says that every file was compared with a checksum."""
    return {
        "model": verdict.name,
        "whole": verdict.is_whole,
        "certain": verdict.is_certain,
        "files": [
            {
                "path": str(file.path),
                "size_bytes": file.size_bytes,
                "sha256": file.sha256 or None,
                "expected": file.expected.sha256 if file.expected is not None else None,
                "expected_by": file.expected.by if file.expected is not None else None,
            }
            for file in verdict.files
        ],
        "problem": verdict.problem or None,
        "source": str(verdict.source) if verdict.source is not None else None,
        "sentence": verdict.sentence,
    }
