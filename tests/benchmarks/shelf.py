"""How long it takes to list 1,000 model files, when all are new (cold) and when nothing has changed (warm).

The files are sparse, with the headers of real models: nine of ten have a vocabulary of 8,192 tokens, the
tenth one of 128,256. They lie in four places, one of them Ollama's. Cold means without our cache; that the
system has just written them and has them in memory is the same for both. Run it with
`python3 packaging/dev.py bench shelf` on an idle machine; needs 500 MB of disk.
"""

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from tests.models.sparse_gguf import ONE_BILLION, SMALL, write_sparse
from whisper_desktop.models.places import Place
from whisper_desktop.models.shelf import scan
from whisper_desktop.models.shelf_cache import ShelfCache

FILES = 1000
RUNS = 7
MOST_COLD, MOST_WARM = 1.0, 0.050  # seconds
_HEADER = 8 * 2**20  # bytes that hold every header here


def main() -> bool:
    """Measure and print; whether both are fast enough."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        places = _filled(folder)
        kept = folder / "cache" / "shelf.json"
        cold, warm = [], []
        for _ in range(RUNS):
            kept.unlink(missing_ok=True)
            cold.append(_timed(places, kept))
            warm.append(_timed(places, kept))
        print(f"{FILES} model files, medians of {RUNS} runs, cold and warm in turns")
        print(f"cold  {statistics.median(cold) * 1000:8.1f} ms   (at most {MOST_COLD * 1000:.0f})")
        print(f"warm  {statistics.median(warm) * 1000:8.1f} ms   (at most {MOST_WARM * 1000:.0f})")
        return statistics.median(cold) < MOST_COLD and statistics.median(warm) < MOST_WARM


def _timed(places: list[Place], kept: Path) -> float:
    start = time.perf_counter()
    shelf = scan(places, ShelfCache(kept))
    took = time.perf_counter() - start
    assert len(shelf.models) == FILES, shelf.problems[:3]
    return took


def _filled(folder: Path) -> list[Place]:
    headers = []
    for shape in (SMALL, ONE_BILLION):
        model = write_sparse(folder / "model.gguf", shape)
        with model.open("rb") as file:
            headers.append((file.read(_HEADER).rstrip(b"\0"), model.stat().st_size))
        model.unlink()
    places = [Place(folder / source, source) for source in ("own", "lm_studio", "folder", "ollama")]
    for number in range(FILES):
        header, size = headers[number % 10 == 0]
        place = places[number % len(places)]
        if place.source == "ollama":
            digest = f"{number:064x}"
            path = place.path / "blobs" / f"sha256-{digest}"
            layer = {"mediaType": "application/vnd.ollama.image.model", "digest": f"sha256:{digest}"}
            manifest = place.path / f"manifests/registry.ollama.ai/library/model{number}/latest"
            manifest.parent.mkdir(parents=True)
            manifest.write_text(json.dumps({"layers": [layer]}))
        else:
            path = place.path / f"maker{number % 7}" / f"repo{number}" / f"Model-{number}-Q4_K_M.gguf"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.write(header)
            file.truncate(size)
    return places


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
