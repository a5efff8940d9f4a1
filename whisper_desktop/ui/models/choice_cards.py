"""A ranked model as the window shows it: reasons, memory, speed, and the ways to get it. No Qt."""

from collections.abc import Callable, Collection
from dataclasses import dataclass

from whisper_desktop.advice import Choice
from whisper_desktop.language import gigabytes, mark, tr
from whisper_desktop.models.catalogue import CatalogueModel
from whisper_desktop.models.fit import Fit
from whisper_desktop.models.memory import Part
from whisper_desktop.ui.models.words import speed_range, without_name

_FIRST_REASONS = 2


@dataclass(frozen=True, slots=True)
class Way:
    """One way to download a model: what the person chooses, and the source that is queued then."""

    title: str
    source: str


@dataclass(frozen=True, slots=True)
class Memory:
    """What a model takes of what may be used, in bytes; `parts` are (name, bytes)."""

    need: int
    budget: int
    parts: tuple[tuple[str, int], ...]
    words: str

    @property
    def arithmetic(self) -> str:
        """The parts and the budget, one a line."""
        lines = [f"{tr(name)}: {gigabytes(size)}" for name, size in self.parts]
        return "\n".join((*lines, tr("of {words}", words=self.words)))


@dataclass(frozen=True, slots=True)
class ChoiceCard:
    """One choice. `facts` is one line; `reasons` come first, `more` on demand."""

    id: str
    badge: str
    facts: str
    reasons: tuple[str, ...]
    more: tuple[str, ...]
    memory: Memory
    ways: tuple[Way, ...]


def choice_card(choice: Choice, running: Collection[str]) -> ChoiceCard:
    """The card of a choice; `running` are the ids of the servers that run here and can fetch models."""
    model, reasons = choice.model, [without_name(reason, choice.model.id) for reason in choice.reasons]
    facts = (
        speed_range(choice.speed),
        tr("{gigabytes} to download", gigabytes=gigabytes(model.file_bytes)),
        model.licence,
    )
    return ChoiceCard(
        id=model.id,
        badge=tr("older") if model.older else "",
        facts=" · ".join(facts),
        reasons=tuple(reasons[:_FIRST_REASONS]),
        more=tuple(reasons[_FIRST_REASONS:]),
        memory=memory_of(choice.fit),
        ways=ways(model, running),
    )


def ways(model: CatalogueModel, running: Collection[str]) -> tuple[Way, ...]:
    """How a model of the catalogue can be had: as a file for our engine, or by a program that runs here."""
    found = [Way(tr("For the built-in engine"), model.id)]
    if "ollama" in running and model.pulls_with_ollama:
        found.append(Way(tr("With Ollama"), f"ollama:{model.ollama_name}"))
    if "lm_studio" in running and model.lm_studio:
        found.append(Way(tr("With LM Studio"), f"lmstudio:{model.lm_studio}"))
    return tuple(found)


def memory_of(fit: Fit) -> Memory:
    """What it takes where memory is shortest."""
    need = fit.need
    if fit.need_bytes == need.host.total:
        places: tuple[Part, ...] = (need.host,)
    else:
        places = need.gpus if fit.need_bytes == need.gpu_bytes else (*need.gpus, need.host)
    parts = [(name, sum(map(size_in, places))) for name, size_in in _PARTS]
    return Memory(
        fit.need_bytes, fit.budget_bytes, tuple(part for part in parts if part[1]), fit.budget_words
    )


_PARTS: tuple[tuple[str, Callable[[Part], int]], ...] = (
    (mark("Weights"), lambda part: part.weights),
    (mark("Weights, arranged for the processor"), lambda part: part.copies),
    (mark("Conversation (KV cache)"), lambda part: part.cache),
    (mark("Conversation, kept states"), lambda part: part.checkpoints),
    (mark("Working memory"), lambda part: part.compute),
    (mark("Program and vocabulary"), lambda part: part.other),
)
