"""What a search on a hub finds, as models that could be tried. Values in, values out; nothing is asked here.

A candidate is not checked by us: its form is read from its name, and its size is the hub's. Before any advice
its header has to be read (`remote_header.read_remote_header`), which `entry` then takes the shape from.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from whisper_desktop.language import mark, tr
from whisper_desktop.models.catalogue import Catalogue, CatalogueModel
from whisper_desktop.models.file_names import quant_in
from whisper_desktop.models.hub_answers import HubFile, HubModel
from whisper_desktop.models.shape import ModelShape

NOT_CHECKED = mark("not checked by us")

USUAL_BITS = {
    "F32": 32.0,
    "BF16": 16.0,
    "F16": 16.0,
    "Q8_0": 8.5,
    "Q6_K": 6.56,
    "Q5_K_M": 5.7,
    "Q5_K_S": 5.55,
    "Q4_K_M": 4.87,
    "Q4_K_S": 4.63,
    "Q4_0": 4.57,
    "MXFP4": 4.5,
    "IQ4_XS": 4.4,
    "Q3_K_M": 3.95,
    "Q3_K_S": 3.59,
    "IQ3_XXS": 3.32,
    "Q2_K": 3.1,
}
"""Bits per weight of a whole file, for models from 6 billion parameters on (llama.cpp's quantizer)."""

_BEST_FIRST = ("Q4_K_M", "MXFP4", "Q4_K_S", "Q4_0", "IQ4_XS", "Q5_K_M", "Q5_K_S", "Q6_K", "Q8_0", "Q3_K_M")
"""Forms in the order in which one of them is worth a try, where nothing more is known of the computer."""

_NO_MODEL = re.compile(
    r"(^|[-_./])(mmproj|imatrix|lora|adapter|mtp|draft|eagle\d?|dflash)([-_.]|$)", re.IGNORECASE
)
_PART = re.compile(r"-(\d{5})-of-(\d{5})(?=\.gguf$)")
_BILLIONS = re.compile(r"(?:^|[-_.])(\d{1,4}(?:\.\d{1,2})?)([BM])(?=[-_.]|$)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model in one form, as a hub lists it. Sizes are bytes; `params` None and "" are not known.

    `file` is the first of `files`; `sha256` is only known of one in a single file. `known` is the id of the
    entry of ours that has the same file. `updated` is a day.
    """

    repo: str
    file: str
    files: tuple[str, ...]
    file_bytes: int
    quant: str
    sha256: str | None = None
    params: int | None = None
    train_ctx: int | None = None
    architecture: str = ""
    gated: bool = False
    downloads: int = 0
    likes: int = 0
    updated: str = ""
    known: str | None = None

    @property
    def note(self) -> str:
        """What to say beside it: "" for a model of ours."""
        return "" if self.known else tr(NOT_CHECKED)


def candidates(found: HubModel, files: Iterable[HubFile], catalogue: Catalogue) -> tuple[Candidate, ...]:
    """The models among a repository's files, the form that is worth a try first.

    Models in several files count once, and not at all where one of the files is missing.
    """
    models = [_candidate(found, parts, catalogue) for parts in _together(files)]
    return tuple(sorted(models, key=_order))


def entry(candidate: Candidate, shape: ModelShape) -> CatalogueModel:
    """The candidate as an entry, with the shape that its header told.

    It has no quality score, so that it is weighed only when the person asks for it.
    """
    return CatalogueModel(
        id=_PART.sub("", candidate.file).rpartition("/")[2].removesuffix(".gguf"),
        family="",
        repo=candidate.repo,
        file=candidate.file,
        file_bytes=candidate.file_bytes,
        file_bytes_source="published",
        quant=candidate.quant,
        params=candidate.params or 0,
        licence="",
        train_ctx=shape.train_ctx or candidate.train_ctx or 0,
        sha256=candidate.sha256,
        outline=shape,
    )


def _together(files: Iterable[HubFile]) -> list[list[HubFile]]:
    """The files that make up a model each, in the order of their parts."""
    models: dict[tuple[str, int], dict[int, HubFile]] = {}
    for file in files:
        if not file.path.endswith(".gguf") or _NO_MODEL.search(file.path):
            continue
        part = _PART.search(file.path)
        place, count = (int(part[1]), int(part[2])) if part else (1, 1)
        models.setdefault((_PART.sub("", file.path), count), {})[place] = file
    return [
        [parts[place] for place in sorted(parts)]
        for (_, count), parts in models.items()
        if sorted(parts) == list(range(1, count + 1))
    ]


def _candidate(found: HubModel, parts: Sequence[HubFile], catalogue: Catalogue) -> Candidate:
    first, size = parts[0], sum(file.size for file in parts)
    folder, _, name = _PART.sub("", first.path).rpartition("/")
    quant = quant_in(name) or quant_in(folder.rpartition("/")[2])
    known = catalogue.find(f"{found.repo}/{first.path}")
    return Candidate(
        repo=found.repo,
        file=first.path,
        files=tuple(file.path for file in parts),
        file_bytes=size,
        quant=quant,
        sha256=first.sha256 if len(parts) == 1 else None,
        params=found.params or _params(found.repo, quant, size),
        train_ctx=found.train_ctx,
        architecture=found.architecture,
        gated=found.gated,
        downloads=found.downloads,
        likes=found.likes,
        updated=found.updated,
        known=known.id if known else None,
    )


def _params(repo: str, quant: str, size: int) -> int | None:
    """How many parameters: as the repository's name says, else about as many as fit into the size."""
    named = _BILLIONS.search(repo.rpartition("/")[2])
    if named:
        return round(float(named[1]) * (1e9 if named[2].upper() == "B" else 1e6))
    bits = USUAL_BITS.get(quant.removeprefix("UD-"))
    return round(8 * size / bits) if bits else None


def _order(candidate: Candidate) -> tuple[int, int, str]:
    quant = candidate.quant.removeprefix("UD-")
    place = _BEST_FIRST.index(quant) if quant in _BEST_FIRST else len(_BEST_FIRST)
    return place, -candidate.file_bytes, candidate.file
