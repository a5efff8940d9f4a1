"""Repairs that make an engine need less memory, each with the bytes it saves, where they are known. Pure."""

from dataclasses import dataclass

from whisper_desktop.engines.evidence import Evidence
from whisper_desktop.engines.outcome import read_outcome
from whisper_desktop.engines.own_options import no_flash_attention, overriding
from whisper_desktop.engines.spec import EngineSpec
from whisper_desktop.language import tr
from whisper_desktop.models.fit import can_quantize
from whisper_desktop.models.gguf import GgufHeader
from whisper_desktop.models.memory import kv_cache_bytes
from whisper_desktop.models.shape import KvGroup, shape_of
from whisper_desktop.values import GB, Repair

_LEAST_CONTEXT = 2048
_FEWER = 0.75  # of the layers stay on the graphics card

_BYTES = {"f16": 2.0, "q8_0": 34 / 32}
"""Per element of the KV cache; q8_0 keeps 32 of them in a block of 34 bytes (ggml-common.h)."""

_REPACKED = 0.7
"""Of the weights' bytes: what llama.cpp's repacked second copy takes beside a mapped file (measured)."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A repair and the bytes that it saves; None is unknown."""

    repair: Repair
    saves: int | None


@dataclass(frozen=True, slots=True)
class Need:
    """What an engine needed, by its model's header and its log, else by the plan. None is unknown."""

    spec: EngineSpec
    evidence: Evidence

    @property
    def context(self) -> int | None:
        """The context of one slot, in tokens."""
        header = self.evidence.header
        return self.spec.n_ctx or (header.train_ctx if header is not None else None)

    @property
    def weights(self) -> int | None:
        """Bytes of the model's weights."""
        header, plan = self.evidence.header, self.spec.expected
        return (plan.weights_bytes if plan else None) or (header.file_bytes if header is not None else None)

    @property
    def layers(self) -> tuple[int | None, int | None]:
        """How many layers were on graphics cards, and how many there are."""
        real = read_outcome(self.evidence.lines)
        if real.gpu_layers is not None:
            return real.gpu_layers, real.layers
        given, plan = self.spec.n_gpu_layers, self.spec.expected
        layers = plan.layers if plan else None
        if given == "auto":
            return (plan.gpu_layers if plan else None), layers
        return (min(given, layers) if layers else given), layers

    def cache(self, context: int | None) -> int | None:
        """Bytes of the KV cache at this context."""
        header, plan, now = self.evidence.header, self.spec.expected, self.context
        if context is None:
            return None
        groups = _kv_groups(header)
        if groups:
            each = _BYTES[self.spec.cache_type]
            return kv_cache_bytes(groups, context * self.spec.parallel, bytes_per_element=each)
        planned = plan.cache_bytes if plan else None
        return planned * context // now if planned is not None and now else None


def _kv_groups(header: GgufHeader | None) -> tuple[KvGroup, ...]:
    shape = shape_of(header) if header is not None else None
    return shape.kv_groups if shape is not None else ()


def smaller_context(need: Need) -> Offer | None:
    """Half of it, down to the next power of two, which is what contexts usually are."""
    context = need.context
    if context is None or context <= _LEAST_CONTEXT or overriding(need.spec.extra_args, "n_ctx"):
        return None
    shorter = max(_LEAST_CONTEXT, 2 ** ((context // 2).bit_length() - 1))
    now, then = need.cache(context), need.cache(shorter)
    saves = now - then if now is not None and then is not None else None
    repair = Repair(
        "smaller_context",
        tr("Use a shorter context"),
        tr(
            "{shorter:,} instead of {context:,} tokens{saved}. The model forgets the beginning "
            "of a long conversation sooner.",
            shorter=shorter,
            context=context,
            saved=_saved(saves),
        ),
        change=f"n_ctx={shorter}",
    )
    return Offer(repair, saves)


def quantized_cache(need: Need) -> Offer | None:
    """q8_0, where the model's attention heads can be kept in it."""
    spec, header = need.spec, need.evidence.header
    shape = shape_of(header) if header is not None else None
    divides = shape is not None and can_quantize(shape)
    refused = overriding(spec.extra_args, "cache_type") or no_flash_attention(spec.extra_args)
    if spec.cache_type != "f16" or not divides or refused:
        return None
    now = need.cache(need.context)
    saves = round(now * (1 - _BYTES["q8_0"] / _BYTES["f16"])) if now is not None else None
    repair = Repair(
        "quantized_cache",
        tr("Keep conversations in half the memory"),
        tr("8 instead of 16 bits for each remembered number{saved}. Barely noticeable.", saved=_saved(saves)),
        change="cache_type=q8_0",
    )
    return Offer(repair, saves)


def no_repack(need: Need) -> Offer | None:
    """Where the file is mapped: read into memory once, the weights have no second copy anyway."""
    spec, weights = need.spec, need.weights
    if not spec.repack or "mmap" not in spec.load_mode or overriding(spec.extra_args, "repack"):
        return None
    saves = round(weights * _REPACKED) if weights is not None else None
    repair = Repair(
        "no_repack",
        tr("Do not rearrange the weights"),
        tr(
            "The weights stay as they are in the file{saved}. Long texts are read more slowly.",
            saved=_saved(saves),
        ),
        change="repack=off",
    )
    return Offer(repair, saves)


def fewer_layers(need: Need) -> Offer | None:
    """A quarter of them back into the computer's own memory."""
    on_card, layers = need.layers
    if on_card is None or on_card < 2 or overriding(need.spec.extra_args, "n_gpu_layers"):
        return None
    fewer = int(on_card * _FEWER)
    saves = None
    # With experts beside the card, what a layer takes of it is not its share of the weights.
    if need.weights is not None and layers and not need.spec.experts_on_host:
        saves = round((need.weights + (need.cache(need.context) or 0)) * (on_card - fewer) / layers)
    repair = Repair(
        "fewer_layers",
        tr("Put less of the model on the graphics card"),
        tr(
            "{fewer} instead of {on_card} layers{saved}. Answers come more slowly.",
            fewer=fewer,
            on_card=on_card,
            saved=_saved(saves),
        ),
        change=f"n_gpu_layers={fewer}",
    )
    return Offer(repair, saves)


def _saved(saves: int | None) -> str:
    return (
        tr(": saves about {saves:.1f} GB", saves=saves / GB) if saves is not None and saves >= GB / 20 else ""
    )
