"""`models search`: what the catalogue and Hugging Face have under a name, and the files of a repository."""

import datetime
from typing import TYPE_CHECKING

import click

from whisper_desktop.app import App
from whisper_desktop.cli import output
from whisper_desktop.cli.running import Failed, json_option, run, with_app

if TYPE_CHECKING:
    from whisper_desktop.app.model_host import Found
    from whisper_desktop.models.catalogue import Catalogue, CatalogueModel
    from whisper_desktop.models.catalogue_search import Candidate
    from whisper_desktop.models.hub_answers import HubModel

_MOST_SHOWN = 30  # files of a repository


@click.command()
@click.argument("text")
@click.option("--limit", type=click.IntRange(1, 100), default=15, show_default=True, help="How many at most.")
@json_option
def search(text: str, limit: int, as_json: bool) -> None:
    """Look for models called TEXT.

    In the catalogue, which also works without a network, and on Hugging Face. Where TEXT is a repository
    (OWNER/NAME), its files are listed.
    """
    from whisper_desktop.models.hub_answers import is_repo

    if is_repo(text.strip()):
        repo = text.strip()
        files = run(
            with_app(lambda app: app.models.files(repo)), as_json=as_json, words=f"Asking for {repo}…"
        )
        if as_json:
            shapes = [_file(each) for each in files]
            output.emit_json({"repository": repo, "files": shapes})
        else:
            _print_files(repo, files)
        return

    async def work(app: App) -> "tuple[Found, Catalogue]":
        return await app.models.search(text, limit), await app.models.catalogue()

    found, catalogue = run(with_app(work), as_json=as_json, words=f"Looking for {text}…")
    if as_json:
        output.emit_json(_shape(found))
    else:
        _print(found, text)
        for problem in catalogue.problems:
            output.note(f"Note: {problem}")
        if age := catalogue.age_sentence(datetime.date.today()):
            output.note(f"Note: {age}")
    if found.problem and not found.known:
        raise Failed


def _print(found: "Found", text: str) -> None:
    if found.known:
        output.heading("In the catalogue")
        output.table(map(_known_row, found.known), header=("  Model", "Size", "Licence", ""))
    if found.repositories:
        if found.known:
            output.say()
        output.heading("On Hugging Face, not checked by us")
        output.table(
            map(_repository_row, found.repositories), header=("  Repository", "Weights", "Downloads", "")
        )
    if found.problem:
        output.note(f"Note: {found.problem}")
    if found.repositories or found.known:
        name = found.repositories[0].repo if found.repositories else found.known[0].id
        output.say()
        if found.repositories:
            output.say(f"Its files: whisper-desktop models search {name}")
        output.say(f"Whether it fits: whisper-desktop models fit {name}")
    elif not found.problem:
        output.say(f"Nothing is called {text}, in the catalogue or on Hugging Face.")


def _known_row(model: "CatalogueModel") -> tuple[str, ...]:
    remarks = [
        word
        for word, there in (("older", model.older), ("sees pictures", model.vision), ("yours", model.own))
        if there
    ]
    about = "about " if model.file_bytes_source == "approximate" else ""
    return "  " + model.id, about + output.gigabytes(model.file_bytes), model.licence, ", ".join(remarks)


def _repository_row(model: "HubModel") -> tuple[str, ...]:
    weights = f"{model.params / 1e9:.1f}B" if model.params else ""
    return "  " + model.repo, weights, f"{model.downloads:,}", "asks for a licence" if model.gated else ""


def _print_files(repo: str, files: "tuple[Candidate, ...]") -> None:
    if not files:
        output.say(f"{repo} has no model that runs here: none of its files is a whole GGUF model.")
        return
    output.heading(repo + (", which asks for a licence first" if files[0].gated else ""))
    output.table(
        (
            ("  " + each.file, each.quant, output.gigabytes(each.file_bytes), each.note)
            for each in files[:_MOST_SHOWN]
        ),
        header=("  File", "Form", "Size", ""),
    )
    if len(files) > _MOST_SHOWN:
        output.say(f"  {len(files) - _MOST_SHOWN} more: add --json")
    output.say()
    output.say(f"Whether one fits: whisper-desktop models fit {repo}/{files[0].file}")
    output.say(f"To fetch it: whisper-desktop models pull {repo}/{files[0].file}")


def _shape(found: "Found") -> dict[str, object]:
    """`models search --json`. Sizes are bytes; `parameters` counts weights; `problem` says why the hub could
    not be asked.
    """
    return {
        "catalogue": [
            {
                "id": model.id,
                "repository": model.repo,
                "file": model.file,
                "size_bytes": model.file_bytes,
                "quantization": model.quant,
                "parameters": model.params,
                "licence": model.licence,
                "older": model.older,
                "vision": model.vision,
            }
            for model in found.known
        ],
        "repositories": [
            {
                "repository": model.repo,
                "downloads": model.downloads,
                "likes": model.likes,
                "gated": model.gated,
                "updated": model.updated,
                "architecture": model.architecture or None,
                "parameters": model.params,
                "train_context": model.train_ctx,
            }
            for model in found.repositories
        ],
        "problem": found.problem or None,
    }


def _file(candidate: "Candidate") -> dict[str, object]:
    """One file of `models search OWNER/NAME --json`."""
    return {
        "file": candidate.file,
        "files": list(candidate.files),
        "size_bytes": candidate.file_bytes,
        "quantization": candidate.quant or None,
        "sha256": candidate.sha256,
        "catalogue_id": candidate.known,
        "gated": candidate.gated,
    }
