"""What would make the recommendation another one: more memory, or a larger graphics card."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from whisper_desktop.advice.judge import Judge, Way
from whisper_desktop.advice.runners import Situation
from whisper_desktop.advice.score import quality_of
from whisper_desktop.language import tr
from whisper_desktop.models.catalogue import CatalogueModel
from whisper_desktop.values import GIB, ResourceInfo

_MORE_RAM = (8 * GIB, 16 * GIB, 32 * GIB)
_MOST_MORE = 2  # times what there is: few computers can be given more than that
_CARDS = tuple(size * GIB for size in (8, 12, 16, 24, 32, 48))
_CARDS_TRIED = 2
_MODELS_TRIED = 4  # at each size, those of the highest quality
_BETTER = 1.0  # points that make a change worth a sentence
_LARGER = 1.2  # a card is larger than another one that much below it


def what_would_change(judge: Judge, best: Way | None, models: Iterable[CatalogueModel]) -> Iterator[str]:
    """For memory, then for the graphics card: the least more that would bring a better model than `best`.

    `models` are those that come into question.
    """
    at_least = best.score + _BETTER if best is not None else float("-inf")
    rated = [(quality, model) for model in models if (quality := quality_of(model)) is not None]
    rated.sort(key=lambda pair: -pair[0])
    promising = [(quality, model) for quality, model in rated if quality > at_least][:_MODELS_TRIED]
    for steps in (_with_more_memory(judge.resources), _with_larger_card(judge.resources, judge.situation)):
        for words, larger in steps:
            better = _best_above(at_least, judge.on(larger), promising)
            if better is not None:
                if judge.fits(better):
                    yield tr("{words}, {model} would be the better choice.", words=words, model=better.id)
                else:
                    yield tr("{words}, {model} would fit.", words=words, model=better.id)
                break


def _best_above(
    at_least: float, judge: Judge, promising: Iterable[tuple[float, CatalogueModel]]
) -> CatalogueModel | None:
    found = None
    for quality, model in promising:
        if quality <= at_least:  # no model has more points than its quality
            break
        for way in judge.ways(model)[:1]:
            if way.score > at_least:
                found, at_least = model, way.score
    return found


def _with_more_memory(resources: ResourceInfo) -> Iterator[tuple[str, ResourceInfo]]:
    for more in _MORE_RAM:
        if more > _MOST_MORE * resources.ram_total_bytes:
            return
        shared = 2 * more // 3  # what a graphics part may take of it
        gpus = tuple(
            replace(gpu, total_bytes=gpu.total_bytes + shared) if gpu.unified and gpu.total_bytes else gpu
            for gpu in resources.gpus
        )
        total = resources.ram_total_bytes + more
        larger = replace(resources, ram_total_bytes=total, ram_installed_bytes=None, gpus=gpus)
        yield tr("With {more} GB more memory", more=more // GIB), larger


def _with_larger_card(resources: ResourceInfo, situation: Situation) -> Iterator[tuple[str, ResourceInfo]]:
    card = situation.graphics.usable
    if card is None or card.unified or card.total_bytes is None:
        return
    sizes = [size for size in _CARDS if size > _LARGER * card.total_bytes][:_CARDS_TRIED]
    for size in sizes:
        larger = replace(card, total_bytes=size)
        gpus = tuple(larger if gpu is card else gpu for gpu in resources.gpus)
        yield tr("With {size} GB on the graphics card", size=size // GIB), replace(resources, gpus=gpus)
