"""How fast the parts of a computer are, as far as their names tell: memory, arithmetic, the cost of a layer.

From tables. `bench machine` puts what it has measured in the place of what is guessed here.
Bandwidths of graphics cards are the makers' figures; what a language model reaches of them, and what each
layer costs beyond that, was fitted to 144 measured rows of nine machines for each family of cards.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from whisper_desktop.values import GpuInfo, ResourceInfo

Source = Literal["measured", "table", "guess"]
"""Where a figure comes from: this computer itself, a table that knows the part by name, or neither."""

_GB = 1e9
_MS = 1e-3


@dataclass(frozen=True, slots=True)
class GpuFigures:
    """One graphics processor. `bandwidth` is the maker's, in bytes a second; a model reaches `efficiency`
    of it. `compute` is what is reached while a prompt is read, in operations a second. Each layer takes
    `layer_s` seconds a token on top, `mixture_s` more in a mixture of experts, `hybrid_s` more in a model
    with recurrent layers. `unified`: it works in the computer's own memory.
    """

    bandwidth: float
    compute: float
    efficiency: float = 0.8
    layer_s: float = 0.06 * _MS
    mixture_s: float = 0.04 * _MS
    hybrid_s: float = 0.04 * _MS
    unified: bool = False
    name: str = ""
    source: Source = "guess"


@dataclass(frozen=True, slots=True)
class MachineFigures:
    """A computer. `host_bandwidth` is what a model reaches on the processor, in bytes a second,
    `host_compute` what it reaches while it reads a prompt, in operations a second, `layer_s` the seconds that
    each layer takes on top for one token. `source` is about these three; each of the `gpus` has its own.
    """

    host_bandwidth: float
    host_compute: float
    gpus: tuple[GpuFigures, ...] = ()
    layer_s: float = 0.05 * _MS
    source: Source = "guess"


def figures_for(resources: ResourceInfo, gpus: Sequence[GpuInfo] | None = None) -> MachineFigures:
    """What the tables say of this computer.

    `gpus` are the cards that count, in the order in which layers are given to them; None for all there are.
    """
    bandwidth, source = _memory_of(resources)
    per_core = _COMPUTE_AVX2 if _is_modern(resources) else _COMPUTE_OLD
    cores = max(1, resources.cores_physical)
    return MachineFigures(
        host_bandwidth=min(bandwidth, cores * _CORE_READS),
        host_compute=cores * per_core,
        gpus=tuple(gpu_figures(gpu) for gpu in (resources.gpus if gpus is None else gpus)),
        source=source,
    )


def gpu_figures(gpu: GpuInfo) -> GpuFigures:
    """What the tables say of one graphics processor; a guess by its maker where they do not know it."""
    name = _plain(gpu.name)
    for family in _FAMILIES:
        card = _best_match(name, family.cards)
        if card is not None:
            portable = _PORTABLE.search(name) is not None and "laptop" not in card
            bandwidth = family.cards[card] * _GB * (_PORTABLE_SHARE if portable else 1.0)
            return family.figures(gpu, bandwidth, "guess" if portable else "table")
    family, bandwidth = _UNKNOWN.get((gpu.vendor, gpu.unified), (_INTEL, _SHARED_GUESS))
    return family.figures(gpu, bandwidth * _GB, "guess")


@dataclass(frozen=True, slots=True)
class _Family:
    """Cards that reach the same share of their bandwidth. `cards` in GB/s by name.

    `operations` are the operations a second that are reached for each byte a second of bandwidth.
    Times in milliseconds.
    """

    efficiency: float
    layer: float
    mixture: float
    hybrid: float
    operations: float
    cards: Mapping[str, float]

    def figures(self, gpu: GpuInfo, bandwidth: float, source: Source) -> GpuFigures:
        return GpuFigures(
            bandwidth=bandwidth,
            compute=bandwidth * self.operations,
            efficiency=self.efficiency,
            layer_s=self.layer * _MS,
            mixture_s=self.mixture * _MS,
            hybrid_s=self.hybrid * _MS,
            unified=gpu.unified,
            name=gpu.name,
            source=source,
        )


# Operations for each byte follow from what was measured: RTX 3060 28 and 3090 57 TFLOP/s, 4070 47, 5080 104,
# 5090 199, RX 7900 XTX 30, M1 Max 6.5, M4 Pro 6, 780M 2.7; families in between are interpolated.
_BLACKWELL = _Family(
    0.83, 0.045, 0.03, 0.03, 108,
    {
        "rtx 5090": 1792, "rtx 5080": 960, "rtx 5070 ti": 896, "rtx 5070": 672, "rtx 5060 ti": 448,
        "rtx 5060": 448, "rtx 5050": 320, "rtx 5090 laptop": 896, "rtx 5080 laptop": 896,
        "rtx 5070 ti laptop": 672, "rtx 5070 laptop": 384, "rtx 5060 laptop": 448, "rtx 5050 laptop": 384,
        "rtx pro 6000": 1792,
    },
)  # fmt: skip
_ADA = _Family(
    0.83, 0.045, 0.03, 0.03, 93,
    {
        "rtx 4090": 1008, "rtx 4080 super": 736, "rtx 4080": 717, "rtx 4070 ti super": 672,
        "rtx 4070 ti": 504, "rtx 4070 super": 504, "rtx 4070": 504, "rtx 4060 ti": 288, "rtx 4060": 272,
        "rtx 4090 laptop": 576, "rtx 4080 laptop": 432, "rtx 4070 laptop": 256, "rtx 4060 laptop": 256,
        "rtx 4050 laptop": 192, "rtx 4050": 192, "l4": 300, "l40s": 864, "l40": 864, "rtx 6000 ada": 960,
        "rtx 5880 ada": 960, "rtx 5000 ada": 576, "rtx 4000 ada": 360, "rtx 2000 ada": 224,
    },
)  # fmt: skip
_AMPERE = _Family(
    0.83, 0.045, 0.03, 0.03, 65,
    {
        "rtx 3090 ti": 1008, "rtx 3090": 936, "rtx 3080 ti": 912, "rtx 3080": 760, "rtx 3070 ti": 608,
        "rtx 3070": 448, "rtx 3060 ti": 448, "rtx 3060": 360, "rtx 3050": 224, "rtx 3080 ti laptop": 512,
        "rtx 3080 laptop": 448, "rtx 3070 ti laptop": 448, "rtx 3070 laptop": 448, "rtx 3060 laptop": 336,
        "rtx 3050 ti laptop": 192, "rtx 3050 laptop": 192, "a10": 600, "a10g": 600, "rtx a6000": 768,
        "rtx a5000": 768, "rtx a4000": 448, "rtx a3000 laptop": 264, "a100": 1555, "a100 80gb": 2039,
    },
)  # fmt: skip
_HOPPER = _Family(
    0.83, 0.045, 0.03, 0.03, 100,
    {"h100 pcie": 2039, "h100 nvl": 3938, "h100": 3350, "h200": 4800},
)  # fmt: skip
_GB10 = _Family(0.69, 0.027, 0.033, 0.017, 108, {"gb10": 273})
_TURING = _Family(
    0.70, 0.07, 0.04, 0.04, 40,
    {
        "rtx 2080 ti": 616, "rtx 2080 super": 496, "rtx 2080": 448, "rtx 2070 super": 448, "rtx 2070": 448,
        "rtx 2060 super": 448, "rtx 2060": 336, "t4": 320, "v100": 900,
    },
)  # fmt: skip
_PASCAL = _Family(
    0.40, 0.17, 0.05, 0.05, 12,
    {
        "gtx 1660 ti": 288, "gtx 1660 super": 336, "gtx 1660": 192, "gtx 1650 super": 192, "gtx 1650": 128,
        "gtx 1080 ti": 484, "gtx 1080": 320, "gtx 1070 ti": 256, "gtx 1070": 256, "gtx 1060": 192,
        "gtx 1050 ti": 112, "gtx 1050": 112, "p40": 347,
    },
)  # fmt: skip
_RDNA = _Family(
    0.85, 0.077, 0.027, 0.049, 32,
    {
        "rx 9070 xt": 640, "rx 9070": 560, "rx 9060 xt": 320, "r9700": 640, "rx 7900 xtx": 960,
        "rx 7900 xt": 800, "rx 7900 gre": 576, "rx 7800 xt": 624, "rx 7700 xt": 432, "rx 7600 xt": 288,
        "rx 7600": 288, "rx 6950 xt": 576, "rx 6900 xt": 512, "rx 6800 xt": 512, "rx 6800": 512,
        "rx 6750 xt": 432, "rx 6700 xt": 384, "rx 6650 xt": 256, "rx 6600 xt": 256, "rx 6600": 224,
        "mi300x": 5300,
    },
)  # fmt: skip
_SHARED_AMD = _Family(
    0.70, 0.08, 0.03, 0.05, 30,
    {
        "8060s": 256, "8050s": 256, "strix halo": 256, "8040s": 256, "890m": 120, "880m": 120, "780m": 90,
        "760m": 90, "680m": 75,
    },
)  # fmt: skip
_INTEL = _Family(
    0.60, 0.10, 0.03, 0.05, 40,
    {"arc pro b70": 608, "arc b580": 456, "arc a770": 560, "140v": 136.5, "130v": 136.5,
     "140t": 120, "130t": 120},
)  # fmt: skip
_APPLE_M1 = _Family(0.65, 0.12, 0.07, 0.07, 15, {"m1 ultra": 800, "m1 max": 400, "m1 pro": 200, "m1": 68})
# Of an M3 Max, an M4 Max and an M5 Max there are two, and the name does not tell which: the slower counts.
_APPLE = _Family(
    0.90, 0.083, 0.051, 0.053, 22,
    {
        "m2 ultra": 800, "m2 max": 400, "m2 pro": 200, "m2": 100, "m3 ultra": 800, "m3 max": 300,
        "m3 pro": 150, "m3": 100, "m4 max": 410, "m4 pro": 273, "m4": 120, "m5 max": 460, "m5 pro": 307,
        "m5": 153,
    },
)  # fmt: skip
_FAMILIES = (
    _BLACKWELL, _ADA, _AMPERE, _HOPPER, _GB10, _TURING, _PASCAL, _RDNA, _SHARED_AMD, _INTEL, _APPLE_M1, _APPLE
)  # fmt: skip
_SHARED_GUESS = 60  # GB/s of a graphics part in a processor that no table knows: dual-channel DDR4
_UNKNOWN = {
    ("NVIDIA", False): (_AMPERE, 300.0),
    ("NVIDIA", True): (_GB10, 100.0),
    ("AMD", False): (_RDNA, 256.0),
    ("AMD", True): (_SHARED_AMD, 75.0),
    ("Intel", False): (_INTEL, 200.0),
    ("Apple", True): (_APPLE, 100.0),
}
"""By maker and whether it shares the computer's memory: the family it is taken for, and its GB/s."""

_PORTABLE = re.compile(r"\b(laptop|mobile|max q)\b")
_PORTABLE_SHARE = 0.6  # of the desktop card of the same name, where the portable one is in no table


# --- The processor ----------------------------------------------------------------------------------------

_REACHED = 0.62  # of the memory's peak, by a model on the processor (fitted; Apple's are held by it too)
_CORE_READS = 12e9  # bytes a second that one core gets through: a few cores do not use all of the memory
_COMPUTE_AVX2 = 0.15e12  # operations a second of one core while it reads a prompt (8 cores: 1.0 to 1.3e12)
_COMPUTE_OLD = 0.04e12
_DDR4_LAPTOP = 28e9  # bytes a second that are reached where nothing is known

_DDR4_2666, _DDR4_3200, _DDR5_4800, _DDR5_5600 = 42.7, 51.2, 76.8, 89.6
_PROCESSORS: tuple[tuple[str, float], ...] = (
    # Peak in GB/s of two channels, or of what is soldered on; the first that fits counts.
    (r"ryzen ai max", 256),
    (r"ryzen ai \d", 120),
    (r"ryzen \d( pro)? [789]\d4\d", _DDR5_5600),
    (r"ryzen \d( pro)? [67]\d35", _DDR5_4800),
    (r"ryzen \d( pro)? 6\d\d0", _DDR5_4800),
    (r"ryzen \d( pro)? 7\d[23]0", _DDR4_3200),
    (r"ryzen \d( pro)? [789]\d{3}", _DDR5_5600),
    (r"ryzen \d( pro)? [345]\d{3}", _DDR4_3200),
    (r"ryzen \d( pro)? [12]\d{3}", _DDR4_2666),
    (r"core ultra \d 2\d\dv", 136.5),
    (r"core ultra", _DDR5_5600),
    (r"(core i\d|th gen .*i\d) 1[234]\d{3}", _DDR5_4800),
    (r"(core i\d|th gen .*i\d) 11\d{2}", _DDR4_3200),
    (r"core i\d ([6789]\d{3}|10\d{2,3})", _DDR4_2666),
    (r"core i\d [2345]\d{3}", 25.6),
    (r"celeron|pentium|\bn(50|95|97|100|150|200|305)\b", 21.3),
)


def _memory_of(resources: ResourceInfo) -> tuple[float, Source]:
    """Bytes a second that a model reaches on the processor, and how that is known."""
    name = _plain(resources.cpu_name)
    if "apple" in name:
        chips = {**_APPLE_M1.cards, **_APPLE.cards}
        chip = _best_match(name, chips)
        if chip is not None:
            return chips[chip] * _GB * _REACHED, "table"
    for pattern, peak in _PROCESSORS:
        if re.search(pattern, name):
            return peak * _GB * _REACHED, "table"
    return _DDR4_LAPTOP, "guess"


def _is_modern(resources: ResourceInfo) -> bool:
    """Whether its processor has what llama.cpp's fast paths want; taken to be so where that is not known."""
    features = resources.cpu_features
    return not features or "avx2" in features or "dotprod" in features


def _plain(name: str) -> str:
    """A product's name in lower-case words and figures, without "(R)" and "(TM)"."""
    return " ".join(re.findall(r"[a-z0-9]+", _MARKS.sub(" ", name[:_LONGEST_NAME].lower())))


def _best_match(name: str, known: Mapping[str, float]) -> str | None:
    """The longest of the known names that stands in `name`, as whole words."""
    found = (entry for entry in known if re.search(rf"\b{entry}\b", name))
    return max(found, key=len, default=None)


_LONGEST_NAME = 200
_MARKS = re.compile(r"\((r|tm|c)\)")
