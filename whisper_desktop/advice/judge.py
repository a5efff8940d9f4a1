"""How one model would run on one computer, for one purpose: where it fits, in which program, how fast."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from whisper_desktop.advice import sentences
from whisper_desktop.advice.purposes import WISHES, Purpose
from whisper_desktop.advice.runners import can_do, running_here, situation_of
from whisper_desktop.advice.score import SLOWEST, Waiting, quality_of, score_of, waiting_for
from whisper_desktop.language import tr
from whisper_desktop.machine.figures import MachineFigures, figures_for
from whisper_desktop.models.catalogue import CatalogueModel
from whisper_desktop.models.fit import Fit, Mode, Search, budget_for, ladder, why_not
from whisper_desktop.models.measured import MeasuredStore, machine_key, model_key
from whisper_desktop.models.memory import ModelMemory, Placement
from whisper_desktop.models.speed import Speed, predict
from whisper_desktop.values import ResourceInfo, ServerInfo

Measured = Callable[[CatalogueModel, Mode], Speed | None]
"""What was measured of a model that is placed so on this computer, if anything was."""

_SHORT = 8192  # tokens: with layers on both sides, memory may better go to layers than to more context


@dataclass(frozen=True, slots=True)
class Way:
    """One way to run a model on a computer."""

    model: CatalogueModel
    backend: str
    fit: Fit
    speed: Speed
    waiting: Waiting
    score: float


class Judge:
    """One computer and one purpose. Says of each model how it would run best, or why it would not.

    `programs` are the ids of the programs that could run a model, the one that suits this computer first: one
    that runs already, else the one that the base rule names.
    """

    def __init__(
        self,
        resources: ResourceInfo,
        servers: Sequence[ServerInfo] = (),
        purpose: Purpose = Purpose.CHAT,
        figures: MachineFigures | None = None,
        measured: Measured | None = None,
    ) -> None:
        self.situation = situation_of(resources)
        self.resources = resources
        self.purpose = purpose
        self.budget = budget_for(resources)
        running = running_here(servers)
        self.programs = sorted(self.situation.programs, key=lambda program: program not in running)
        self._wish = WISHES[purpose]
        self._within = self.budget.beside(self._wish.beside_bytes, tr("the part that sees"))
        self._figures = figures or figures_for(resources, self.situation.graphics.gpus)
        self._measured = measured or (lambda _model, _mode: None)
        self._known: dict[str, tuple[Fit, ...]] = {}

    def on(self, other: ResourceInfo) -> "Judge":
        """The same question about another computer, whose parts are as fast as this one's."""
        same_cards = len(situation_of(other).graphics.gpus) == len(self.situation.graphics.gpus)
        return Judge(other, (), self.purpose, self._figures if same_cards else None)

    def fits(self, model: CatalogueModel) -> bool:
        """Whether there is room for it in any way."""
        if model.id in self._known:
            return bool(self._known[model.id])
        contexts, search, whole_layers = self._search(model)
        least = contexts[-1]
        # What is quickly found out comes first.
        return any(search.fit(mode, least) is not None for mode in ("cpu", "gpu", "experts")) or (
            whole_layers.fit("partial", least) is not None
        )

    def ways(self, model: CatalogueModel) -> tuple[Way, ...]:
        """How it would run best in each program: the best way first, of equals that of the suitable program.

        Empty for a model that does not fit, is too slow, does not suit the purpose, or that nobody has rated.
        """
        if quality_of(model) is None or sentences.unsuited(model, self.purpose, self._wish):
            return ()
        best: dict[str, Way] = {}
        for way in self._ways(model):
            before = best.get(way.backend)
            if self._is_quick(way) and (before is None or way.score > before.score):
                best[way.backend] = way
        order = self.programs.index
        return tuple(sorted(best.values(), key=lambda way: (-way.score, order(way.backend))))

    def objection(self, model: CatalogueModel) -> str:
        """Why there is no way to run it here: a sentence."""
        unsuited = sentences.unsuited(model, self.purpose, self._wish)
        if unsuited is not None:
            return unsuited
        if not self.fits(model):
            context = min(self._wish.contexts[-1], model.train_ctx)
            shortfall = why_not(model.shape, self._within, self.resources, context=context)
            return sentences.too_large(shortfall, context)
        if quality_of(model) is None:
            return tr(sentences.UNRATED)
        ways = list(self._ways(model))
        if not ways:
            return tr(sentences.NO_PROGRAM)
        fastest = max(ways, key=lambda way: way.speed.answer or 0.0)
        return sentences.too_slow(fastest.speed, fastest.waiting)

    def _ways(self, model: CatalogueModel) -> Iterator[Way]:
        if model.id not in self._known:
            self._known[model.id] = tuple(self._fits(model))
        for fit in self._known[model.id]:
            speed = predict(model.shape, fit.placement, self._figures)
            measured = self._measured(model, fit.mode)
            if measured is not None:
                speed = replace(measured, prompt=measured.prompt or speed.prompt, predicted=speed.answer)
            waiting = waiting_for(model, speed, self._wish)
            if waiting is None:
                continue
            score = score_of(model, fit, speed, waiting, self.purpose, self._wish)
            for program in self.programs:
                if can_do(program, model, fit):
                    yield Way(model, program, fit, speed, waiting, score)

    def _fits(self, model: CatalogueModel) -> Iterator[Fit]:
        """The ways in which it fits; only one where graphics cards hold all of it and all that is wished."""
        contexts, search, whole_layers = self._search(model)
        budget = self._within
        whole = list(_longest(search, "gpu", contexts))
        yield from whole
        if whole and (whole[0].context == contexts[0] or budget.unified):
            return
        # Where all memory is the graphics processor's as well, a part of the model elsewhere saves none.
        if any(budget.gpus) and not (budget.unified and budget.host <= budget.gpu_bytes):
            short = [context for context in contexts[1:] if context <= _SHORT]
            yield from _longest(search, "experts", contexts)
            yield from _longest(whole_layers, "partial", contexts)
            yield from _longest(whole_layers, "partial", short)
        yield from _longest(search, "cpu", contexts)

    def _search(self, model: CatalogueModel) -> tuple[list[int], Search, Search]:
        """The contexts that count, the longest first; a search, and one that keeps layers as they are."""
        wished = self._wish.contexts
        contexts = [context for context in ladder(model.shape, wished) if context >= wished[-1]]
        contexts = contexts or ladder(model.shape, wished)[:1]
        base = Placement(contexts[-1])
        memory = ModelMemory(model.shape, self.resources)
        return (
            contexts,
            Search(memory, self._within, base),
            Search(memory, self._within, base, experts=False),
        )

    def _is_quick(self, way: Way) -> bool:
        return (way.speed.answer or 0.0) >= SLOWEST and way.waiting.seconds <= self._wish.limit


def measured_in(store: MeasuredStore, resources: ResourceInfo) -> Measured:
    """What was kept of the answers on this computer."""
    machine = machine_key(resources)
    return lambda model, mode: store.look_up(
        model_key(model.file.rpartition("/")[2], model.file_bytes), machine, mode
    )


def _longest(search: Search, mode: Mode, contexts: Iterable[int]) -> Iterator[Fit]:
    """The fit with the longest context, if there is one."""
    for context in contexts:
        fit = search.fit(mode, context)
        if fit is not None:
            yield fit
            return
