"""How fast a model will be, in tokens a second: arithmetic over what has to be read and computed.

An answer waits for memory: each token reads every weight that it goes through, and each layer takes a
little on top. A prompt waits for arithmetic: it goes through in batches that read the weights once.

Compared with 242 measured rows, the median of predicted/measured was between 0.93 and 1.40 for one card and
another (long conversations, power limits, old programs make it slower), so what comes out is multiplied by
0.85 and shown as a range of 0.65 to 1.15.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from whisper_desktop.language import number, tr
from whisper_desktop.machine.figures import GpuFigures, MachineFigures, Source
from whisper_desktop.models.gguf_types import TYPES
from whisper_desktop.models.memory import CacheType, Placement, kv_cache_bytes
from whisper_desktop.models.shape import LayerShape, ModelShape, Weights

SpeedSource = Literal["predicted", "calibrated", "measured"]
"""By tables; by what `bench machine` measured of this computer; by this model's own answers here."""

_EXPECTED: Mapping[Source, float] = {"measured": 1.0, "table": 0.85, "guess": 0.85}
_LOW: Mapping[Source, float] = {"measured": 0.8, "table": 0.65, "guess": 0.3}
_HIGH: Mapping[Source, float] = {"measured": 1.15, "table": 1.15, "guess": 2.0}
_MIXTURE_PROMPT = 0.45  # of the arithmetic that is reached when tokens go to different experts (0.3 to 0.6)
_CROSSING = 0.15e-3  # seconds a token for a layer that is worked on in two places (not verified)
_BUS = 8e9  # bytes a second at which weights come to a card while it reads a prompt (not verified)
_BATCH = 512  # tokens for which they come once, llama.cpp's default
_ELEMENT: Mapping[CacheType, float] = {"f16": 2.0, "q8_0": 34 / 32}  # bytes of the KV cache's element
_ELEMENTS = {name: size / elements for name, elements, size in TYPES.values()}  # bytes of a weight
_USUAL_TABLE = _ELEMENTS["Q6_K"]  # what "Q4_K_M" gives the table of tokens
_USUAL_BITS = 4.85  # of a weight in "Q4_K_M"


@dataclass(frozen=True, slots=True)
class Speed:
    """Tokens a second while a prompt is read and while an answer is written; None where it is not known.

    `low` and `high` are the range of `answer`. `predicted` is what was predicted for an answer, when
    `answer` is what was measured. `known` is False when a part of the computer is in no table, so that the
    range is a guess.
    """

    prompt: float | None
    answer: float | None
    low: float
    high: float
    source: SpeedSource = "predicted"
    predicted: float | None = None
    known: bool = True

    @property
    def words(self) -> str:
        """What a person reads, such as "about 14 tokens/s" or "14 tokens/s measured, 12 predicted"."""
        if self.answer is None:
            return tr("speed not known")
        if self.source == "measured":
            predicted = (
                tr(", {figure} predicted", figure=_figure(self.predicted))
                if self.predicted is not None
                else ""
            )
            return tr(
                "{figure} tokens/s measured{predicted}", figure=_figure(self.answer), predicted=predicted
            )
        if not self.known:
            return tr(
                "somewhere between {figure} and {figure2} tokens/s",
                figure=_figure(self.low),
                figure2=_figure(self.high),
            )
        return tr("about {figure} tokens/s", figure=_figure(self.answer))


def predict(
    shape: ModelShape, placement: Placement, figures: MachineFigures, *, context_used: int = 0
) -> Speed:
    """How fast a model is when it is placed like this, with `context_used` tokens of conversation behind it.

    The cards of `placement` and those of `figures` are the same, in the same order.

    A token: bytes of weights (of a mixture, the share of the experts that it goes through) and of the cache,
    over the bandwidth that is reached, device by device one after the other, plus what each layer takes. A
    prompt: two operations a weight, over the arithmetic that is reached; weights that stay in the computer's
    memory come to a card over the bus, once a batch.
    """
    devices = _devices(shape, placement)
    answer, prompt = _Sum(), _Sum()
    share = shape.experts_used / shape.experts if shape.is_mixture else 1.0
    hybrid = any(layer.state_bytes for layer in shape.layers)
    helper = next((gpu for gpu in (_gpu(figures, card) for card in devices) if gpu is not None), None)
    for place, layer in enumerate(shape.layers):
        gpu = _gpu(figures, devices[place])
        expert_gpu = gpu if place >= placement.experts_on_host else None
        cache = _cache_bytes(layer, placement, context_used)
        answer.reads(gpu, figures, layer.weights.size_bytes + cache)
        answer.reads(expert_gpu, figures, share * layer.experts.size_bytes)
        answer.layer(gpu, figures, mixture=shape.is_mixture, hybrid=hybrid)
        if gpu is not expert_gpu and layer.experts.size_bytes:
            answer.add(_CROSSING, "table")
        for weights, device, part, reached in (
            (layer.weights, gpu, 1.0, 1.0),
            (layer.experts, expert_gpu, share, _MIXTURE_PROMPT if shape.is_mixture else 1.0),
        ):
            prompt.computes(device or helper, figures, 2 * part * _parameters(weights) / reached)
            if device is None and helper is not None and not helper.unified:
                prompt.add(weights.size_bytes / _BUS / _BATCH, "table")
    answer.reads(_gpu(figures, devices[-1]), figures, _output_bytes(shape))
    return Speed(
        prompt=prompt.rate(_EXPECTED),
        answer=answer.rate(_EXPECTED),
        low=answer.rate(_LOW) or 0.0,
        high=answer.rate(_HIGH) or 0.0,
        source="calibrated" if answer.seconds["measured"] and not answer.seconds["guess"] else "predicted",
        known=not answer.seconds["guess"],
    )


class _Sum:
    """Seconds for one token, by how well it is known what they follow from."""

    def __init__(self) -> None:
        self.seconds: dict[Source, float] = {"measured": 0.0, "table": 0.0, "guess": 0.0}

    def add(self, seconds: float, source: Source) -> None:
        self.seconds[source] += seconds

    def reads(self, gpu: GpuFigures | None, figures: MachineFigures, size_bytes: float) -> None:
        if gpu is None:
            self.add(size_bytes / figures.host_bandwidth, figures.source)
        else:
            self.add(size_bytes / (gpu.bandwidth * gpu.efficiency), gpu.source)

    def computes(self, gpu: GpuFigures | None, figures: MachineFigures, operations: float) -> None:
        if gpu is None:
            self.add(operations / figures.host_compute, figures.source)
        else:
            self.add(operations / gpu.compute, gpu.source)

    def layer(self, gpu: GpuFigures | None, figures: MachineFigures, *, mixture: bool, hybrid: bool) -> None:
        if gpu is None:
            self.add(figures.layer_s, figures.source)
        else:
            self.add(gpu.layer_s + mixture * gpu.mixture_s + hybrid * gpu.hybrid_s, gpu.source)

    def rate(self, share: Mapping[Source, float]) -> float | None:
        """Tokens a second, when of each source's figures this share is reached; None for no work at all."""
        seconds = sum(spent / share[source] for source, spent in self.seconds.items())
        return 1 / seconds if seconds > 0 else None


def _devices(shape: ModelShape, placement: Placement) -> list[int | None]:
    """The card of each layer and, as the last entry, of the output; None is the processor."""
    cards = [card for card, count in enumerate(placement.gpu_layers) for _ in range(count)]
    cards = cards[-shape.all_layers :]
    return [None] * (shape.all_layers - len(cards)) + list[int | None](cards)


def _gpu(figures: MachineFigures, card: int | None) -> GpuFigures | None:
    return None if card is None else figures.gpus[card]


def _cache_bytes(layer: LayerShape, placement: Placement, context_used: int) -> int:
    if layer.cache is None or not context_used:
        return 0
    element = _ELEMENT[placement.cache_type]
    return kv_cache_bytes((layer.cache,), context_used, bytes_per_element=element)


def _output_bytes(shape: ModelShape) -> float:
    """What is read to choose the next token. Embeddings of single layers, of which a token reads one row
    each, may lie beside a table that is the output too: that table is as large as the vocabulary is.
    """
    if not shape.tied:
        return shape.output.size_bytes
    table = shape.embedding.size_bytes
    if shape.vocabulary and shape.width:
        element = max((_ELEMENTS.get(kind, 0.0) for kind, _ in shape.embedding.matrices), default=0.0)
        table = min(table, round(shape.vocabulary * shape.width * (element or _USUAL_TABLE)))
    return shape.output.size_bytes + table


def _parameters(weights: Weights) -> float:
    """How many weights there are, by the types that hold them."""
    if not weights.matrices:
        return weights.size_bytes * 8 / _USUAL_BITS
    return sum(size / _ELEMENTS.get(kind, _USUAL_BITS / 8) for kind, size in weights.matrices)


def _figure(speed: float) -> str:
    return number(speed, ".0f" if speed >= 9.95 else ".1f")
