"""What a search came to as the window shows it: models, and the forms in which each can be had. No Qt."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from whisper_desktop.app.engine_words import in_gigabytes
from whisper_desktop.app.model_host import Found
from whisper_desktop.language import tr
from whisper_desktop.models.catalogue import CatalogueModel
from whisper_desktop.models.catalogue_search import Candidate
from whisper_desktop.models.hub_answers import HubModel

_NAMED = re.compile(r"://|/|^(ollama|lmstudio|lm_studio|lm-studio):", re.IGNORECASE)
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Form:
    """One form of a model: its title, and the text that names it for `fit` and `pull`."""

    title: str
    source: str


@dataclass(frozen=True, slots=True)
class FoundCard:
    """One result. `forms` is empty where a repository's files have to be looked at first: `repo` names it."""

    title: str
    facts: str
    forms: tuple[Form, ...] = ()
    repo: str = ""


def names_one(text: str) -> bool:
    """Whether a text names a file, an address or a program's model, and not words to be searched for."""
    return _NAMED.search(text.strip()) is not None and not names_repository(text)


def names_repository(text: str) -> bool:
    """Whether it is OWNER/NAME, of which all files are shown."""
    return _REPOSITORY.fullmatch(text.strip()) is not None


def named_card(text: str) -> FoundCard:
    """The card of a model that was named exactly."""
    return FoundCard(text.strip(), "", (Form("", text.strip()),))


def found_cards(found: Found) -> tuple[FoundCard, ...]:
    """What we know ourselves first, then what the hub has."""
    return (*map(_known, found.known), *map(_repository, found.repositories))


def forms(candidates: Sequence[Candidate]) -> tuple[Form, ...]:
    """The forms of a repository's model, the one that is worth a try first."""
    return tuple(
        Form(f"{each.quant or each.file}, {in_gigabytes(each.file_bytes)}", f"{each.repo}/{each.file}")
        for each in candidates
    )


def _known(model: CatalogueModel) -> FoundCard:
    facts = [
        model.quant,
        tr("{file_bytes} to download", file_bytes=in_gigabytes(model.file_bytes)),
        model.licence,
    ]
    if model.older:
        facts.append("older")
    return FoundCard(model.id, " · ".join(facts), (Form("", model.id),))


def _repository(found: HubModel) -> FoundCard:
    facts = [tr("Hugging Face")]
    if found.params:
        facts.append(tr("{params:.1f} billion parameters", params=found.params / 1000000000.0))
    facts.append(tr("{downloads:,} downloads", downloads=found.downloads))
    if found.updated:
        facts.append(tr("changed {updated}", updated=found.updated))
    if found.gated:
        facts.append(tr("asks to accept its licence first"))
    return FoundCard(found.repo, " · ".join(facts), repo=found.repo)
