"""How good a choice is, in points: quality that is certain, less what the model costs in waiting and in bits.

One point is one point of the quality score. What takes points off is our judgement, not measured: quality
counts by its lower bound, so that a score that only a maker gave does not win.
"""

from dataclasses import dataclass
from math import log2

from whisper_desktop.advice.purposes import Purpose, Wish
from whisper_desktop.models.catalogue import CatalogueModel
from whisper_desktop.models.fit import Fit
from whisper_desktop.models.speed import Speed

SLOWEST = 6.0  # tokens a second: below that nobody waits for the end of an answer
_THINKS_WITHIN = 45.0  # seconds that an answer may take with thinking before it
_FAST = 40.0  # tokens a second from which on faster is no better
_FEW_SOURCES = 3  # a score that comes from this many, or fewer, is often the maker's own
_FEW_SOURCES_COST = 2.0
_NO_THINKING_COST = 4.0
_OTHER_TRADE_COST = 2.0  # a model for programs in a chat, and one for chats with programs
_UNSURE_COST = 0.25  # for each GB to download where the speed is a guess: it may be in vain
_DIVIDED_COST = 1.0  # layers on both sides: how many, each program decides for itself
_HALF_CONTEXT_COST = 0.5  # for each time the context is half of what was wished

_QUANT_COST = (
    # By the beginning of the name; the first that fits counts. What was trained in its form has lost nothing.
    (("MXFP4", "F16", "BF16", "F32", "Q8"), 0.0),
    (("Q6",), 0.1),
    (("Q5",), 0.3),
    (("Q4", "UD-Q4"), 0.8),
    (("IQ4", "UD-IQ4"), 1.2),
    (("Q3", "IQ3", "UD-Q3", "UD-IQ3"), 3.0),
)
_TOO_COARSE = 10.0  # two bits: a smaller model at four answers better


@dataclass(frozen=True, slots=True)
class Waiting:
    """How long an answer takes, in seconds, and whether the model thinks before it."""

    seconds: float
    thinking: bool


def quality_of(model: CatalogueModel) -> float | None:
    """The score that a model has for certain: its lower bound, less for few sources. None: no score."""
    quality = model.quality
    if quality is None:
        return None
    few = quality.sources <= _FEW_SOURCES
    return quality.score - quality.plus_minus - (_FEW_SOURCES_COST if few else 0.0)


def waiting_for(model: CatalogueModel, speed: Speed, wish: Wish) -> Waiting | None:
    """How long a usual answer takes. It thinks where that is still quick. None where no speed is known."""
    if not speed.answer:
        return None
    reading = wish.prompt / speed.prompt if speed.prompt else 0.0
    seconds = reading + wish.answer / speed.answer
    thought = seconds + model.think_tokens / speed.answer
    if model.reasoning and model.think_tokens and thought <= _THINKS_WITHIN:
        return Waiting(thought, thinking=True)
    return Waiting(seconds, thinking=False)


def score_of(
    model: CatalogueModel, fit: Fit, speed: Speed, waiting: Waiting, purpose: Purpose, wish: Wish
) -> float:
    """The points of a model that has a quality score and a known speed."""
    points = quality_of(model) or 0.0
    points -= quant_cost(model.quant)
    if model.reasoning and model.think_tokens and not waiting.thinking:
        points -= _NO_THINKING_COST
    if is_coder(model) is not (purpose is Purpose.CODE):
        points -= _OTHER_TRADE_COST
    if fit.mode == "partial":
        points -= _DIVIDED_COST
    if not speed.known:
        points -= _UNSURE_COST * model.file_bytes / 1e9
    points -= max(0.0, (waiting.seconds - wish.patience) / (wish.patience / 2))
    points -= max(0.0, log2(_FAST / (speed.answer or 1.0)))
    points -= max(0.0, _HALF_CONTEXT_COST * log2(wish.contexts[0] / fit.context))
    return points - wish.for_each_gb * fit.need_bytes / 1e9


def quant_cost(quant: str) -> float:
    """What a form of the weights costs in points."""
    for beginnings, cost in _QUANT_COST:
        if quant.upper().startswith(beginnings):
            return cost
    return _TOO_COARSE


def is_coder(model: CatalogueModel) -> bool:
    """Whether writing programs is its trade."""
    return "code" in model.purposes and "chat" not in model.purposes
