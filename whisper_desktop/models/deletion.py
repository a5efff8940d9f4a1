"""Deleting a model: only what is ours without asking, and never what an engine has open."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from whisper_desktop.errors import ModelFileError
from whisper_desktop.language import tr
from whisper_desktop.models.duplicates import OTHERS, PROGRAMS, fresh_link
from whisper_desktop.models.places import Place
from whisper_desktop.models.shelf import Shelf, ShelfModel
from whisper_desktop.models.shelf_cache import FileState


def frees_bytes(model: ShelfModel, shelf: Shelf) -> int:
    """What deleting it gives back: nothing for a link, for a file with another name, or that another model
    needs too.
    """
    total = 0
    for path in _files(model, shelf):
        with suppress(OSError):
            state = FileState.of(path)
            total += state.on_disk if state.names == 1 and not path.is_symlink() else 0
    return total


def delete(
    model: ShelfModel,
    shelf: Shelf,
    places: Sequence[Place],
    *,
    consent: bool = False,
    in_use: Callable[[Path], bool] | None = None,
) -> int:
    """Delete the model's files, of a link the link alone. Returns the bytes that became free. Blocks.

    `consent` says that the person allows it for a file of LM Studio's or Hugging Face's folder; what Ollama
    keeps is deleted by Ollama alone, which would miss it. Raises `ModelFileError`.
    """
    if model.source == "ollama":
        raise _refused(
            model, tr("It belongs to Ollama."), tr("Run: ollama rm {model_name}", model_name=model.name)
        )
    if model.source in OTHERS and not consent:
        raise _refused(
            model,
            tr("It belongs to {programs}.", programs=PROGRAMS[model.source]),
            tr("Delete it there, or allow it here."),
        )
    files = _files(model, shelf)
    if in_use is not None and any(in_use(path) for path in files):
        raise _refused(model, tr("An engine uses it right now."), tr("Stop the engine and try again."))
    freed = frees_bytes(model, shelf)
    gone: list[Path] = []
    try:
        for path in files:
            for name in (*_links_to(path, model, places), fresh_link(path), path):
                name.unlink(missing_ok=True)
            gone.append(path)
    except OSError as error:
        said = tr("The system says: {strerror}.", strerror=error.strerror)
        if gone:
            left = ", ".join(path.name for path in files if path not in gone)
            raise ModelFileError(
                tr("{model_name} was deleted in part.", model_name=model.name),
                said,
                tr("Delete by hand what is left of it: {left}.", left=left),
            ) from None
        raise _refused(model, said, tr("See whether its folder is yours.")) from None
    for folder in {path.parent for path in files}:
        _remove_empty(folder, {place.path for place in places})
    return freed


def _files(model: ShelfModel, shelf: Shelf) -> tuple[Path, ...]:
    """Its files that no other model needs: tags may share one, and a projector serves all in its folder."""
    # It may have been used, and so be another value, since the shelf was looked at.
    others = [other for other in shelf.models if (other.name, other.files) != (model.name, model.files)]
    needed = {path for other in others for path in (*other.files, other.projector)}
    mine = (*model.files, *((model.projector,) if model.projector is not None else ()))
    return tuple(path for path in mine if path not in needed)


def _links_to(path: Path, model: ShelfModel, places: Sequence[Place]) -> Iterator[Path]:
    """The symbolic links by which Hugging Face names a file: `snapshots` beside the `blobs` it lies in."""
    if model.source != "hugging_face" or path.parent.name != "blobs":
        return
    if not any(path.is_relative_to(place.path) for place in places):
        return
    for folder, _, names in os.walk(path.parent.parent / "snapshots"):
        for name in names:
            link = Path(folder, name)
            if link.is_symlink() and link.resolve() == path:
                yield link


def _remove_empty(folder: Path, roots: set[Path]) -> None:
    """Folders that the model was alone in, up to the place itself."""
    while folder not in roots and any(folder.is_relative_to(root) for root in roots):
        try:
            folder.rmdir()
        except OSError:
            return
        folder = folder.parent


def _refused(model: ShelfModel, why: str, next_step: str) -> ModelFileError:
    return ModelFileError(tr("{model_name} was not deleted.", model_name=model.name), why, next_step)
