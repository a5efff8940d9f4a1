"""The models of the catalogue, ranked for one computer and one purpose, each with the reasons for its place.

Data flow: machine -> budget and figures; each model -> the ways in which it fits -> the programs that can
place it so -> speed, waiting, points. What does not fit, is too slow or does not suit is rejected with a
sentence. The first choice is for the program that suits this computer; the others follow by their points.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain

from whisper_desktop.advice import sentences
from whisper_desktop.advice.changes import what_would_change
from whisper_desktop.advice.judge import Judge, Measured, Way
from whisper_desktop.advice.purposes import WISHES, Purpose
from whisper_desktop.advice.runners import name_on, needs_build
from whisper_desktop.machine.figures import MachineFigures
from whisper_desktop.models.catalogue import Catalogue, CatalogueModel
from whisper_desktop.models.fit import Budget, Fit
from whisper_desktop.models.speed import Speed
from whisper_desktop.values import Reach, ResourceInfo, ServerInfo, ServerStatus


class Confidence(StrEnum):
    """How much of a choice is known."""

    EXACT = "exact"
    FORMULA = "formula"
    GUESSED = "guessed"


@dataclass(frozen=True, slots=True)
class Choice:
    """A model that suits, how it would run, and why. `answer_seconds` is for a usual question.

    `name` is the model's in that program; `present` says that a server here has it already.
    """

    model: CatalogueModel
    backend: str
    fit: Fit
    speed: Speed
    score: float
    answer_seconds: float
    thinking: bool
    reasons: tuple[str, ...]
    name: str
    confidence: Confidence
    present: bool = False


@dataclass(frozen=True, slots=True)
class Ranking:
    """Choices, the recommended one first; the models that are none, each with the sentence that says why.

    `changes` say what would make the answer another one. `budget` is what the memory was counted against.
    """

    choices: tuple[Choice, ...]
    rejected: tuple[tuple[CatalogueModel, str], ...]
    changes: tuple[str, ...]
    purpose: Purpose
    budget: Budget


def rank(
    resources: ResourceInfo,
    servers: Sequence[ServerInfo],
    catalogue: Catalogue,
    *,
    purpose: Purpose = Purpose.CHAT,
    figures: MachineFigures | None = None,
    measured: Measured | None = None,
) -> Ranking:
    """The models for this computer, best first. Pure: the same values give the same ranking.

    `figures` are what was measured of this computer; None takes the tables.
    """
    judge = Judge(resources, servers, purpose, figures, measured)
    judged = {model.id: judge.ways(model) for model in catalogue}
    rejected = [(model, judge.objection(model)) for model in catalogue if not judged[model.id]]
    present = frozenset(_present(servers, catalogue))

    def is_here(way: Way) -> bool:
        return (way.backend, way.model.id) in present

    first = max(
        chain.from_iterable(judged.values()),
        key=lambda way: (is_here(way), way.backend == judge.programs[0], way.score),
        default=None,
    )
    best = (max(ways, key=is_here) for ways in judged.values() if ways)
    others = sorted(best, key=lambda way: -way.score)
    ways = [first, *(way for way in others if way.model is not first.model)] if first is not None else []
    return Ranking(
        choices=tuple(_choice(way, judge, present=is_here(way)) for way in ways),
        rejected=tuple(rejected),
        changes=tuple(what_would_change(judge, next(iter(others), None), _but(first, catalogue))),
        purpose=purpose,
        budget=judge.budget,
    )


def _but(first: Way | None, models: Iterable[CatalogueModel]) -> Iterator[CatalogueModel]:
    return (model for model in models if first is None or model is not first.model)


def _present(servers: Iterable[ServerInfo], catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    """The servers on this computer by their ids, each with a model of the catalogue that it has."""
    for server in servers:
        if server.reach is Reach.THIS_MACHINE and server.status is ServerStatus.AVAILABLE:
            for held in server.chat_models:
                known = None if held.remote else catalogue.find(held.id)
                if known is not None:
                    yield server.id, known.id


def _choice(way: Way, judge: Judge, *, present: bool) -> Choice:
    model, fit, speed, waiting = way.model, way.fit, way.speed, way.waiting
    with_build = needs_build(way.backend, fit, judge.situation.graphics)
    told = (
        sentences.fit_sentence(model, fit, present=present),
        sentences.speed_sentence(speed, waiting),
        sentences.program_sentence(way.backend, judge.programs[0], fit, with_build=with_build),
        sentences.quant_sentence(model, fit, speed),
        sentences.thinking_sentence(model, waiting, speed),
        sentences.beside_sentence(WISHES[judge.purpose]),
        sentences.quality_sentence(model),
        sentences.certainty_sentence(speed),
        sentences.licence_sentence(model),
    )
    if speed.source == "measured":
        confidence = Confidence.EXACT
    else:
        confidence = Confidence.FORMULA if speed.known else Confidence.GUESSED
    return Choice(
        model=model,
        backend=way.backend,
        fit=fit,
        speed=speed,
        score=way.score,
        answer_seconds=waiting.seconds,
        thinking=waiting.thinking,
        reasons=tuple(sentence for sentence in told if sentence),
        name=name_on(way.backend, model),
        confidence=confidence,
        present=present,
    )
