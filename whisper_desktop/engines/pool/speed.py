"""How fast processes are against one server with slots, while all roles write on the processor. Pure.

Processes read all weights for each token of each role, and need no agreement; a server reads them once
for a token of all roles, and its threads wait for each other. Measured on two cores, five roles at once, in
tokens a second (sequential: one after another on one engine with both cores):

    weights             processes    five slots    sequential
    Q4_K 176 MB, own       176           148           110
    Q4_K 176 MB, shared    125           148           110
    Q8_0 330 MB            121            93            81
    F16 619 MB              63           120            57
    Q4_K 17 MB, own       1764          1446           969

So quantized weights keep the cores busy, and 16-bit weights the memory: its 40 GB/s were reached. `_RATES` is
that table as GB of weights a second and core. By this arithmetic, more cores than the memory can feed turn it
around for quantized weights too, at about five; nothing beyond two cores was measured. A model that stays in
the processor's cache waits for nothing but a server's threads for each other, and they do the more so the
more other programs run.
"""

from typing import NamedTuple

from whisper_desktop.models.gguf import GgufHeader

ISOLATION_IS_WORTH = 0.75
"""Processes are taken down to this part of the speed of one server."""

_MEMORY_GB_S = 40.0  # measured; also about what two channels of DDR4 give
_CACHE_BYTES = 32 * 2**20  # smaller models stay in the processor's cache, whose speed is not the limit


class _Rate(NamedTuple):
    """GB of weights that a core works through in a second: alone with its own or shared ones, in a batch."""

    own: float
    shared: float
    batch: float


_FOUR_BITS = _Rate(15.4, 10.9, 12.9)
_EIGHT_BITS = _Rate(20.0, 20.0, 15.3)
_SIXTEEN_BITS = _Rate(27.0, 27.0, 37.0)
_RATES = {
    **dict.fromkeys(("F32", "F16", "BF16"), _SIXTEEN_BITS),
    **dict.fromkeys(("Q8_0", "Q8_1", "Q8_K"), _EIGHT_BITS),
}


def relative_speed(header: GgufHeader | None, cores: int, *, shared: bool) -> float:
    """How many times as fast processes are as one server with slots, on so many physical cores.

    `shared` says that they share their weights, and so cannot repack them.
    """
    rate = _rate(header)
    alone = rate.shared if shared else rate.own
    if header is not None and header.file_bytes <= _CACHE_BYTES:
        return max(1.0, alone / rate.batch)
    return min(cores * alone, _MEMORY_GB_S) / (cores * rate.batch)


def _rate(header: GgufHeader | None) -> _Rate:
    """The rates for the type that most of the weights have."""
    sizes: dict[str, int] = {}
    for tensor in header.tensors if header is not None else ():
        sizes[tensor.type] = sizes.get(tensor.type, 0) + tensor.size_bytes
    return _RATES.get(max(sizes, key=lambda kind: sizes[kind]), _FOUR_BITS) if sizes else _FOUR_BITS
