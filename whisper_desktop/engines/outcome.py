"""What a start really did, read from the engine's log, compared with what the plan said.

The lines are those of llama.cpp (src/llama-model.cpp, llama-kv-cache.cpp, llama-context.cpp, common/fit.cpp),
which both llama-server and the built-in engine print. A load may appear twice, because the engine measures
before it loads: the last one counts. What the model says of itself is not believed (see `log_lines`).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from whisper_desktop.engines.log_lines import own
from whisper_desktop.engines.spec import EngineSpec
from whisper_desktop.language import tr
from whisper_desktop.values import GB

_MIB = 2**20
_MORE_THAN_PLANNED = 1.15
_NOT_WORTH_A_WORD = 250_000_000  # bytes beyond the plan that are never worth a warning

_LAYERS = re.compile(r"offloaded (\d{1,6})/(\d{1,6}) layers to GPU")
_BUFFER = re.compile(r": {1,20}(\S{1,80}) (model|KV|RS|compute) buffer size = {1,20}(\d{1,9}\.?\d{0,4}) MiB")
_CONTEXT = re.compile(r"llama_\w{0,40}context\w{0,40}: n_ctx {1,40}= (\d{1,9})")
_CONTEXT_AGAIN = "constructing llama_context"
_CUT = re.compile(r"context size reduced from (\d{1,9}) to \d")
_CACHE = re.compile(r"\bK \((\w{1,20})\): {1,20}[\d.]{1,20} MiB, V \(\w{1,20}\):")
_DEVICE = re.compile(r"using device (\S{1,40}) \((.{1,100}?)\)(?: \(\S{0,40}\))? - \d{1,9} MiB free")
_MODEL_AGAIN = re.compile(r"loading model tensors|loaded meta data")
_HOST = re.compile(r"^(?:CPU|AMX|BLAS)|_Host$")


@dataclass(frozen=True, slots=True)
class Buffers:
    """What lies on one device, in bytes. `device` is llama.cpp's name, such as "CUDA0" or "CPU_REPACK"."""

    device: str
    weights: int = 0
    cache: int = 0
    compute: int = 0

    @property
    def on_host(self) -> bool:
        """Whether it is the computer's own memory."""
        return _HOST.search(self.device) is not None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an engine's log says of its load; None, "" and () are not said.

    `gpu_layers` of the model's `layers` (the output counts as one) lie on graphics cards. `n_ctx` is the
    whole context in tokens, for all slots, `context_cut` what it was reduced from to fit. `cache_type` is
    that of the keys. `devices` are the graphics processors that it found, by name.
    """

    gpu_layers: int | None = None
    layers: int | None = None
    n_ctx: int | None = None
    context_cut: int | None = None
    cache_type: str = ""
    buffers: tuple[Buffers, ...] = ()
    devices: tuple[str, ...] = ()

    @property
    def total_bytes(self) -> int:
        """All buffers on all devices; 0 when none was logged."""
        return sum(each.weights + each.cache + each.compute for each in self.buffers)

    @property
    def gpu_bytes(self) -> int:
        """What lies on graphics cards."""
        return sum(each.weights + each.cache + each.compute for each in self.buffers if not each.on_host)


def read_outcome(lines: Sequence[str]) -> Outcome:
    """The facts of a load from the lines that it printed."""
    sizes: dict[tuple[str, str], int] = {}
    devices: dict[str, None] = {}
    layers: tuple[int | None, int | None] = (None, None)
    n_ctx = cut = None
    cache_type = ""
    for line in (each.text for each in own(lines)):
        if _MODEL_AGAIN.search(line):
            sizes, layers = {}, (None, None)
        elif _CONTEXT_AGAIN in line:
            sizes = {key: size for key, size in sizes.items() if key[1] == "model"}
        elif match := _BUFFER.search(line):
            key, size = (match[1], match[2]), round(float(match[3]) * _MIB)
            # A model with sliding windows has two caches on a device; a compute buffer is told once more when
            # it has to grow.
            sizes[key] = size + (sizes.get(key, 0) if match[2] != "compute" else 0)
        elif match := _LAYERS.search(line):
            layers = int(match[1]), int(match[2])
        elif match := _CUT.search(line):
            cut = int(match[1])
        elif match := _CACHE.search(line):
            cache_type = match[1]
        elif match := _CONTEXT.search(line):
            n_ctx = int(match[1])
        elif match := _DEVICE.search(line):
            devices[match[2]] = None
    buffers = _by_device(sizes)
    if any(each.weights for each in buffers) and all(each.on_host for each in buffers if each.weights):
        # Builds with RPC say "offloaded 33/33 layers to GPU" on computers that have none; buffers do not lie.
        layers = 0, layers[1]
    return Outcome(*layers, n_ctx, cut, cache_type, buffers, tuple(devices))


def _by_device(sizes: dict[tuple[str, str], int]) -> tuple[Buffers, ...]:
    names = dict.fromkeys(device for device, _ in sizes)
    return tuple(
        Buffers(
            device,
            sizes.get((device, "model"), 0),
            sizes.get((device, "KV"), 0) + sizes.get((device, "RS"), 0),
            sizes.get((device, "compute"), 0),
        )
        for device in names
    )


def warning_of(spec: EngineSpec, outcome: Outcome) -> str:
    """What is otherwise than planned, in sentences; "" when it runs as planned, or nothing is known."""
    return " ".join(
        sentence
        for sentence in (
            _layers(spec, outcome),
            _context(spec, outcome),
            _cache(spec, outcome),
            _memory(spec, outcome),
        )
        if sentence
    )


def _layers(spec: EngineSpec, outcome: Outcome) -> str:
    if spec.rpc and outcome.buffers and not any(each.device.startswith("RPC") for each in outcome.buffers):
        return tr("None of the further computers is used. Look whether llama.cpp's rpc-server runs there.")
    expected = spec.expected
    planned = expected.gpu_layers if expected is not None else None
    if planned is None and spec.n_gpu_layers != "auto":
        planned = spec.n_gpu_layers
    real = outcome.gpu_layers
    if not planned or real is None:
        return ""
    all_layers = outcome.layers or (expected.layers if expected is not None else None)
    planned = min(planned, all_layers or planned)
    if real >= planned:
        return ""
    of_all = tr(" of {all_layers}", all_layers=all_layers) if all_layers else ""
    put = tr(
        "The plan put {planned}{of_all} layers on the graphics card; the engine put",
        planned=planned,
        of_all=of_all,
    )
    if real == 0:
        return tr(
            "{put} none: it runs on the processor, which is much slower. Its build may not "
            "support this card, or the driver is missing.",
            put=put,
        )
    return tr("{put} {real}: the rest runs on the processor, which is slower.", put=put, real=real)


def _context(spec: EngineSpec, outcome: Outcome) -> str:
    if outcome.n_ctx is None or not spec.n_ctx or outcome.n_ctx >= spec.n_ctx * spec.parallel:
        return ""
    wanted = outcome.context_cut or spec.n_ctx * spec.parallel
    return tr(
        "The engine reduced the context from {wanted:,} to {n_ctx:,} tokens, so that the model fits.",
        wanted=wanted,
        n_ctx=outcome.n_ctx,
    )


def _cache(spec: EngineSpec, outcome: Outcome) -> str:
    if spec.cache_type == "f16" or outcome.cache_type in ("", spec.cache_type):
        return ""
    return tr(
        "The KV cache was to be {cache_type}; the engine keeps it as {cache_type2}, which takes more memory.",
        cache_type=spec.cache_type,
        cache_type2=outcome.cache_type,
    )


def _memory(spec: EngineSpec, outcome: Outcome) -> str:
    expected = spec.expected
    if expected is None or expected.weights_bytes is None or expected.cache_bytes is None:
        return ""
    planned = expected.weights_bytes + expected.cache_bytes + (expected.compute_bytes or 0)
    real = outcome.total_bytes
    if real <= planned * _MORE_THAN_PLANNED or real - planned < _NOT_WORTH_A_WORD:
        return ""
    return tr(
        "The engine takes {real:.1f} GB for the model and its context, where {planned:.1f} "
        "GB were expected. If memory gets short, use a shorter context.",
        real=real / GB,
        planned=planned / GB,
    )
