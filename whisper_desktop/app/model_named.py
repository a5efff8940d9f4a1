"""Which model a text means, wherever it is: on this computer, in the catalogue, on a hub, at an address.

A name is looked for on this computer first, then in the catalogue. REPO/FILE and addresses mean the file
itself: the first megabytes are fetched for its header, never the weights.
"""

import asyncio
import shlex
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from urllib.parse import unquote, urlsplit

from whisper_desktop.app.model_fit import KnownFrom, Subject
from whisper_desktop.errors import ModelFileError, ReachError, TransferError
from whisper_desktop.language import tr
from whisper_desktop.models.catalogue import Catalogue, CatalogueModel
from whisper_desktop.models.file_names import quant_in
from whisper_desktop.models.gguf import GgufHeader, read_header
from whisper_desktop.models.hub import Hub
from whisper_desktop.models.naming import name_of
from whisper_desktop.models.remote_header import RemoteHeader, read_remote_header
from whisper_desktop.models.shape import shape_of
from whisper_desktop.models.shelf import Shelf, ShelfModel
from whisper_desktop.models.sources import Source, choose, parse_source
from whisper_desktop.values import Deadlines, Reach
from whisper_desktop.wire.download_answers import Failure
from whisper_desktop.wire.http import Http

_MOST_NAMED = 4
_NO_RIGHT = (401, 403, 404)
_PROGRAMS = {"ollama": "Ollama", "lm_studio": "LM Studio"}


class Naming:
    """Finds what is meant. `endpoint` is the address of the hub, whose pages are understood as well."""

    def __init__(
        self,
        http: Http,
        hub: Hub,
        catalogue: Catalogue,
        shelf: Shelf,
        deadlines: Deadlines,
        endpoint: str = "",
    ) -> None:
        self._http = http
        self._hub = hub
        self._catalogue = catalogue
        self._shelf = shelf
        self._deadlines = deadlines
        self._endpoint = endpoint

    async def subject(self, text: str) -> Subject:
        """What is known of the model.

        Raises `ModelFileError`, `TransferError`, `ReachError` or `SecretsError`.
        """
        name = text.strip()
        here = self._here(name)
        if here is not None:
            return await self._of_file(*here)
        known = self._catalogue.find(name)
        if known is not None and known.path is not None:
            return await self._of_file(known.id, known.path)
        if known is not None and not _is_file_of(name, known):
            return await self._of_entry(known)
        if looks_local(name):
            path = await asyncio.to_thread(lambda: Path(name).expanduser().absolute())
            return await self._of_file(await asyncio.to_thread(name_of, path), path)
        if is_bare(name):
            raise unknown(name, self._catalogue, self._shelf)
        source = parse_source(name, find=in_hub(self._catalogue), endpoint=self._endpoint)
        if source.kind in _PROGRAMS:
            return await self._of_program(source)
        try:
            return await self._remote(source)
        except (TransferError, ReachError) as error:
            if known is None or not known.shape.knows_cache:
                raise
            return _subject_of(
                known, tr("{title} So these are the figures of the catalogue.", title=error.title)
            )

    def _here(self, name: str) -> tuple[str, Path] | None:
        """The name and the file of a model on this computer."""
        held = held_model(self._shelf, self._catalogue, name)
        return None if held is None else (held.name, held.path)

    async def _of_file(self, name: str, path: Path) -> Subject:
        header = await asyncio.to_thread(read_header, path)
        return _subject(name, header, "file", path.name, path)

    async def _of_entry(self, entry: CatalogueModel) -> Subject:
        if entry.shape.knows_cache:
            return _subject_of(entry)
        told = await self._remote(Source("hub", entry.repo, entry.file))
        return _subject_of(entry.with_shape(told.shape), known_from="header")

    async def _of_program(self, source: Source) -> Subject:
        entry = self._catalogue.find(source.name)
        if entry is not None:
            return await self._of_entry(entry)
        program = _PROGRAMS[source.kind]
        raise TransferError(
            tr(
                "What {source_name} needs cannot be told before {program} has it.",
                source_name=source.name,
                program=program,
            ),
            tr("{program} does not show other programs what it offers.", program=program),
            tr(
                "Fetch it (`whisper-desktop models pull {source}`), or name its file on Hugging Face.",
                source=source,
            ),
        )

    async def _remote(self, source: Source) -> Subject:
        if source.kind == "url":
            told = await self._header(source.name, None)
            file = unquote(urlsplit(source.name).path).rpartition("/")[2]
            return _subject(file.removesuffix(".gguf"), told.header, "header", file)
        repo = await self._hub.repo(source.name, source.revision)
        chosen = choose(repo.files, source)
        path = chosen.files[0].path
        url = self._hub.url(repo.name, path, repo.commit)
        try:
            told = await self._header(url, await self._hub.key_for(url))
        except Failure as failure:
            refusal = await self._hub.refusal(url, repo.name, path) if failure.status in _NO_RIGHT else None
            if refusal is None:
                raise
            raise refusal from failure
        file = path.rpartition("/")[2]
        return _subject(f"{repo.name}/{path}", told.header, "header", file, note=chosen.note)

    async def _header(self, url: str, key: str | None) -> RemoteHeader:
        return await read_remote_header(
            self._http, url, allowed=Reach.CLOUD, key=key, deadlines=self._deadlines
        )


def in_hub(catalogue: Catalogue) -> Callable[[str], CatalogueModel | None]:
    """Looks in the catalogue for models that can be fetched: a person's own may be a file and no more."""

    def find(name: str) -> CatalogueModel | None:
        entry = catalogue.find(name)
        return entry if entry is not None and entry.repo else None

    return find


def held_model(shelf: Shelf, catalogue: Catalogue, name: str) -> ShelfModel | None:
    """The model on this computer that a name means: its own, with Ollama's `:latest` left out, or the one
    that the catalogue has for its file.
    """
    found = shelf.find(name) or shelf.find(f"{name.strip()}:latest")
    if found is None and (entry := catalogue.find(name)) is not None:
        found = held_copy(shelf, entry)
    return found


def held_copy(shelf: Shelf, entry: CatalogueModel) -> ShelfModel | None:
    """The model on this computer that is this entry's file, by its name or its checksum, and its size."""
    name = entry.file.rpartition("/")[2].casefold()
    for model in shelf.models:
        if model.size_bytes != entry.file_bytes and entry.file_bytes_source != "approximate":
            continue
        if model.path.name.casefold() == name or (entry.sha256 and model.sha256 == entry.sha256):
            return model
    return None


def is_bare(name: str) -> bool:
    """Whether it is a name and no more: nothing in it says where the model is."""
    return bool(name) and not any(mark in name for mark in "/:\\")


def unknown(name: str, catalogue: Catalogue, shelf: Shelf | None = None) -> ModelFileError:
    """The error for a name that nothing here has, with those that are close to it."""
    held = shelf.models if shelf is not None else ()
    names = {each.casefold(): each for each in (*(model.name for model in held), *(m.id for m in catalogue))}
    wanted = name.casefold()
    near = [names[each] for each in names if wanted in each] or [
        names[each] for each in get_close_matches(wanted, list(names), _MOST_NAMED, 0.5)
    ]
    said = [tr("There is {items}.", items=", ".join(near[:_MOST_NAMED]))] if near else []
    said += catalogue.problems[:1]  # it may be one of the person's own, whose entry has a mistake
    where = tr("on this computer or in the catalogue") if shelf is not None else tr("in the catalogue")
    return ModelFileError(
        tr("No model {where} is called {name}.", where=where, name=name[:100]),
        " ".join(said),
        tr("Look for it: `whisper-desktop models search {quote}`.", quote=shlex.quote(name[:100])),
    )


def looks_local(name: str) -> bool:
    """Whether it is written like a place on this computer, or is one."""
    if "://" in name:
        return False
    if name.startswith(("/", "~", ".")) or "\\" in name:
        return True
    try:
        return Path(name).is_file()
    except OSError:  # longer than any name can be
        return False


def _is_file_of(name: str, entry: CatalogueModel) -> bool:
    """Whether the file itself was named, and not the entry: its own header is wanted then."""
    return bool(entry.repo) and name.casefold() == f"{entry.repo}/{entry.file}".casefold()


def _subject_of(entry: CatalogueModel, note: str = "", known_from: KnownFrom = "catalogue") -> Subject:
    file = entry.file.rpartition("/")[2]
    return Subject(entry.id, entry.shape, known_from, None, file, entry.quant, note)


def _subject(
    name: str, header: GgufHeader, known_from: KnownFrom, file: str, path: Path | None = None, note: str = ""
) -> Subject:
    shape = shape_of(header)
    if shape is None:
        raise ModelFileError(
            tr("{file} does not say how large its model is.", file=file),
            tr("It is a GGUF file, but none of a language model that is known here."),
            tr("Choose another GGUF file."),
        )
    if header.missing_bytes:
        note = tr(
            "The file is not whole: it is {missing_bytes:,} bytes too short. {note}",
            missing_bytes=header.missing_bytes,
            note=note,
        ).strip()
    return Subject(name, shape, known_from, path, file, quant_in(file), note)
