"""What becomes of one input: read or refused, how long that took and how much memory, or what went wrong."""

import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

from tests.fuzz.mutations import Files
from whisper_desktop.errors import ModelFileError
from whisper_desktop.models.gguf import GgufHeader, read_beginning, read_header
from whisper_desktop.models.memory import ModelMemory, Placement
from whisper_desktop.models.shape import shape_of
from whisper_desktop.values import GpuInfo, ResourceInfo

MOST_BYTES = 64_000_000
"""Of memory, for one input and all that is made of it."""

MOST_S = 2.0
"""For one input."""

_COMPUTER = ResourceInfo(
    "Linux", "6.1", "x86_64", "a processor", 4, 8, 16 << 30, 8 << 30, cpu_features=("avx2",),
    gpus=(GpuInfo("NVIDIA", "a card", 8 << 30), GpuInfo("NVIDIA", "another", 4 << 30)),
)  # fmt: skip
_PLACEMENTS = (
    Placement(4096),
    Placement(131_072, (3, 2), parallel=4, cache_type="q8_0"),
    Placement(1, (99_999,), experts_on_host=7, load_mode="mmap"),
)

_T = TypeVar("_T")


class Outcome(NamedTuple):
    """`refused` is the sentence of a `ModelFileError`, "" where the header was read.

    `failure` says what must not be, "" else.
    """

    refused: str
    seconds: float
    peak_bytes: int
    failure: str


def judge(folder: Path, files: Files) -> Outcome:
    """Write the files to `folder`, which is empty, read them, and see what is made of what was read."""
    for name, data in files.items():
        (folder / name).write_bytes(data)
    path = folder / next(iter(files))
    try:
        header, seconds, peak = _measured(lambda: _read(path))
        refused = header if isinstance(header, str) else ""
        failure = (
            "" if refused or _is_sane(header, files) else "the header does not say how large the file is"
        )
        if isinstance(header, GgufHeader):
            _, more_s, more = _measured(lambda: _used(header))
            seconds, peak = max(seconds, more_s), max(peak, more)
    except Exception as error:
        return Outcome("", 0.0, 0, f"{type(error).__name__}: {error} ({_where(error)})")
    finally:
        for name in files:
            (folder / name).unlink()
    if peak > MOST_BYTES:
        failure = f"{peak / 1e6:.0f} MB of memory"
    if seconds > MOST_S:
        failure = f"{seconds:.1f} s"
    return Outcome(refused, seconds, peak, failure)


def _read(path: Path) -> GgufHeader | str:
    read_header_alone = _refusal(lambda: read_header(path, tensors=False))
    header = _refusal(lambda: read_header(path))
    if isinstance(read_header_alone, str) and not isinstance(header, str):
        raise AssertionError("the metadata alone was refused, and all of it was not")
    beginning = _refusal(lambda: read_beginning(path))
    if isinstance(header, GgufHeader) and (
        isinstance(beginning, str) or _listed(beginning) != _listed(header)
    ):
        raise AssertionError("the beginning tells a list of models something else than all of it")
    return header


def _listed(header: GgufHeader) -> tuple[object, ...]:
    """What a list of models shows of it."""
    template = header.metadata.get("tokenizer.chat_template")
    return (
        header.architecture,
        header.train_ctx,
        template is True or isinstance(template, str) and template != "",
    )


def _refusal(read: Callable[[], GgufHeader]) -> GgufHeader | str:
    try:
        return read()
    except ModelFileError as error:
        if not (error.title and error.detail and error.next_step):
            raise AssertionError(f"a refusal that does not say what to do: {error}") from None
        return str(error)


def _is_sane(header: GgufHeader | str, files: Files) -> bool:
    return isinstance(header, GgufHeader) and header.file_bytes <= sum(map(len, files.values()))


def _used(header: GgufHeader) -> None:
    shape = shape_of(header)
    if shape is None:
        return
    memory = ModelMemory(shape, _COMPUTER)
    for placement in _PLACEMENTS:
        need = memory.need(placement)
        parts = (*need.gpus, need.host)
        if any(size < 0 for part in parts for size in (part.weights, part.cache, part.compute, part.total)):
            raise AssertionError("a need below 0")


def _measured(work: Callable[[], _T]) -> tuple[_T, float, int]:
    """Twice: by the clock, and then with an eye on memory, which takes longer."""
    before = time.perf_counter()
    work()
    seconds = time.perf_counter() - before
    tracemalloc.start()
    try:
        found = work()
        return found, seconds, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def _where(error: BaseException) -> str:
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    if traceback is None:
        return "nowhere"
    code = traceback.tb_frame.f_code
    return f"{Path(code.co_filename).name}:{traceback.tb_lineno}, {code.co_name}"
