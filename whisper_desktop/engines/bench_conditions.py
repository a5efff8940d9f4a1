"""What a benchmark needs around it: room, quiet, a file that is gone afterwards, and noise when wanted."""

import asyncio
import hashlib
import shutil
import tempfile
import threading
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

from whisper_desktop.errors import EngineError
from whisper_desktop.language import gigabytes, tr
from whisper_desktop.machine.pressure import Pressure
from whisper_desktop.models.synthetic import Synthetic, write_synthetic

LARGE, SMALL = Synthetic(), Synthetic(layers=14)
"""What is timed where memory and disk allow it, and where they are short: 0.96 and 0.48 GB."""

_BESIDE = 400_000_000  # bytes that the engine takes beside the weights
_DISK_BESIDE = 200_000_000  # bytes of the disk that are left free
_LOOK_S = 1.0  # seconds for which it is watched what else runs
_BUSY = 0.25  # of a core: from there on other programs are mentioned
DISTURBING = 0.75
"""Cores at work for other programs, from which on what is measured says more about them than about models."""

_HASH_ROUNDS = 20_000  # some milliseconds of work between two looks at whether to stop
_OLD_S = 3600.0  # seconds after which a folder was left behind by a run that was killed
_FOLDER = "bench-"


def chosen(memory: Pressure, disk_bytes: int) -> Synthetic:
    """The model that is timed. Raises `EngineError` when there is room for none."""
    for model in (LARGE, SMALL):
        if (
            model.size_bytes + _BESIDE <= memory.available_bytes
            and model.size_bytes + _DISK_BESIDE <= disk_bytes
        ):
            return model
    if SMALL.size_bytes + _BESIDE > memory.available_bytes:
        raise EngineError(
            tr("There is too little free memory to measure with."),
            tr(
                "It takes {gb}, and {gb2} are free.",
                gb=gigabytes(SMALL.size_bytes + _BESIDE),
                gb2=gigabytes(memory.available_bytes),
            ),
            tr("Close other programs, then try again."),
            cause="bench_memory",
        )
    raise EngineError(
        tr("There is too little room on the disk to measure with."),
        tr(
            "A file of {gb} is written for two minutes, and {gb2} are free.",
            gb=gigabytes(SMALL.size_bytes),
            gb2=gigabytes(disk_bytes),
        ),
        tr("Make some room, then try again."),
        cause="bench_disk",
    )


def warnings_for(memory: Pressure, load: float) -> tuple[str, ...]:
    """Sentences about what makes the figures lower than they could be. `load` is in cores."""
    found = []
    if load >= _BUSY:
        found.append(
            tr(
                "Other programs were using {load:.1f} processor cores before or after this, so the "
                "figures may be too low.",
                load=load,
            )
        )
    if memory.on_battery:
        found.append(
            tr("The computer runs on its battery, which can make it slower than it is on the mains.")
        )
    return tuple(found)


async def other_load() -> float:
    """How many cores are at work now. Takes a second."""
    import psutil

    psutil.cpu_percent()  # the next call is about the time since this one
    await asyncio.sleep(_LOOK_S)
    return float(psutil.cpu_percent()) / 100 * (psutil.cpu_count() or 1)


def free_on_disk(folder: Path) -> int:
    """Bytes that are free where `folder` is, which is made if need be. Raises `OSError`."""
    folder.mkdir(parents=True, exist_ok=True)
    return shutil.disk_usage(folder).free


@asynccontextmanager
async def written(folder: Path, model: Synthetic) -> AsyncGenerator[Path, None]:
    """The synthetic model as a file, for as long as the block runs. Raises `OSError`."""
    own = Path(tempfile.mkdtemp(prefix=_FOLDER, dir=folder))
    given_up = threading.Event()
    path = own / "synthetic.gguf"
    writing = asyncio.ensure_future(asyncio.to_thread(write_synthetic, path, model, given_up.is_set))
    try:
        await asyncio.shield(writing)
        yield path
    finally:
        given_up.set()
        with suppress(OSError):
            await writing
        shutil.rmtree(own, ignore_errors=True)


def remove_old(folder: Path) -> None:
    """Remove what a run left behind that was killed. It may block on the disk."""
    for old in folder.glob(f"{_FOLDER}*"):
        with suppress(OSError):
            if time.time() - old.stat().st_mtime > _OLD_S:
                shutil.rmtree(old, ignore_errors=True)


@contextmanager
def busy_core() -> Generator[None, None, None]:
    """Something else to do for one core. A thread, so that nothing is left behind whatever happens to us."""
    done = threading.Event()

    def work() -> None:
        while not done.is_set():
            hashlib.pbkdf2_hmac("sha256", b"", b"", _HASH_ROUNDS)  # lets other threads run meanwhile

    thread = threading.Thread(target=work, name="busy", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
