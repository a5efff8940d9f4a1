"""Where models lie on a computer: our own folder, other programs' folders, and those a person named.

LM Studio: its home is what `~/.lmstudio-home-pointer` names, `~/.cache/lm-studio` of older versions, or
`~/.lmstudio`, with the models in `models/`. Ollama: `OLLAMA_MODELS`, `~/.ollama/models`, or the folder of its
Linux service. Hugging Face: `HF_HUB_CACHE`, `HF_HOME/hub`, or `~/.cache/huggingface/hub`.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Source = Literal["own", "lm_studio", "ollama", "hugging_face", "folder"]

_LONGEST_POINTER = 4096  # bytes: no path is longer
_OLLAMA_SERVICE = "/usr/share/ollama/.ollama/models"  # where its Linux service keeps them


@dataclass(frozen=True, slots=True)
class Place:
    """A folder with models, and whose it is."""

    path: Path
    source: Source


def places(
    own: Path,
    further: Sequence[Path] = (),
    *,
    env: Mapping[str, str] | None = None,
    home: Path | None = None,
) -> tuple[Place, ...]:
    """The folders that exist, our `own` first, then other programs', then `further` ones. Each only once.

    `env` and `home` stand for the environment and the person's home folder.
    """
    environ = os.environ if env is None else env
    base = Path.home() if home is None else home
    candidates = [
        Place(own, "own"),
        *(Place(path, "lm_studio") for path in _lm_studio(base)),
        *(Place(path, "ollama") for path in _ollama(environ, base)),
        *(Place(path, "hugging_face") for path in _hugging_face(environ, base)),
        *(Place(path, "folder") for path in further),
    ]
    return tuple(_existing(candidates))


def _existing(candidates: Sequence[Place]) -> Iterator[Place]:
    seen: set[Path] = set()
    for place in candidates:
        try:
            real = place.path.expanduser().resolve()
            if real not in seen and real.is_dir():
                seen.add(real)
                yield Place(real, place.source)
        except (OSError, RuntimeError, ValueError):  # a drive that is gone, a loop of links, no path at all
            continue


def _lm_studio(home: Path) -> Iterator[Path]:
    pointer = home / ".lmstudio-home-pointer"
    try:
        with pointer.open("rb") as file:
            named = file.read(_LONGEST_POINTER).decode("utf-8").strip()
        if named and os.path.isabs(named):
            yield Path(named) / "models"
    except (OSError, UnicodeDecodeError, ValueError):
        pass
    yield home / ".cache" / "lm-studio" / "models"
    yield home / ".lmstudio" / "models"


def _ollama(environ: Mapping[str, str], home: Path) -> Iterator[Path]:
    if given := environ.get("OLLAMA_MODELS", "").strip():
        yield Path(given)
    yield home / ".ollama" / "models"
    yield Path(_OLLAMA_SERVICE)


def _hugging_face(environ: Mapping[str, str], home: Path) -> Iterator[Path]:
    if given := environ.get("HF_HUB_CACHE", "").strip():
        yield Path(given)
    if given := environ.get("HF_HOME", "").strip():
        yield Path(given) / "hub"
    yield home / ".cache" / "huggingface" / "hub"
