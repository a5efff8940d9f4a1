"""The models that Ollama keeps: its manifests name them, its blobs hold them.

`manifests/<registry>/<namespace>/<model>/<tag>` is JSON with layers; the layer of the kind "model" is a GGUF
file at `blobs/sha256-<digest>`, which our engine can use where it lies. The digest is its SHA-256.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from whisper_desktop.models.kept_json import read_json

_MODEL = "application/vnd.ollama.image.model"
_PROJECTOR = "application/vnd.ollama.image.projector"
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_LARGEST_MANIFEST = 1_000_000  # bytes: they have a few hundred
_MOST_MANIFESTS = 10_000
_DEPTH = 4  # registry, namespace, model, tag
_REGISTRY = "registry.ollama.ai"
_LIBRARY = "library"


@dataclass(frozen=True, slots=True)
class OllamaModel:
    """One tag. `name` is what `ollama run` takes; `blob` is its GGUF file, `projector` the one for images."""

    name: str
    blob: Path
    sha256: str
    projector: Path | None = None


def ollama_models(root: Path) -> tuple[OllamaModel, ...]:
    """The models in Ollama's folder whose weights are there: models of its cloud have none.

    What is no manifest, or names what is not there, is passed over. Raises `OSError` where the folder cannot
    be read.
    """
    manifests = root / "manifests"
    if not manifests.exists():
        return ()
    blobs = os.path.join(root, "blobs")
    models = (_model(path, names, blobs) for path, names in _files(manifests))
    return tuple(model for model in models if model is not None)


def _files(folder: Path) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The manifests, where they belong, with the names on the way there. Links are not followed."""
    left = _MOST_MANIFESTS
    waiting: list[tuple[str, tuple[str, ...]]] = [(os.fspath(folder), ())]
    while waiting:
        at, names = waiting.pop()
        try:
            with os.scandir(at) as entries:
                found = sorted(islice(entries, left), key=lambda entry: entry.name)
        except OSError:
            if not names:
                raise
            continue
        left -= len(found)
        for entry in found:
            way = (*names, entry.name)
            if len(way) < _DEPTH and entry.is_dir(follow_symlinks=False):
                waiting.append((entry.path, way))
            elif len(way) == _DEPTH and entry.is_file(follow_symlinks=False):
                yield entry.path, way


def _model(manifest: str, names: tuple[str, ...], blobs: str) -> OllamaModel | None:
    try:
        told = read_json(Path(manifest), _LARGEST_MANIFEST)
    except OSError:
        return None
    listed = told.get("layers") if isinstance(told, dict) else None
    layers = [layer for layer in listed if isinstance(layer, dict)] if isinstance(listed, list) else []
    weights = _blob(layers, _MODEL, blobs)
    if weights is None:
        return None
    projector = _blob(layers, _PROJECTOR, blobs)
    path, digest = weights
    return OllamaModel(_name(*names), path, digest, projector[0] if projector else None)


def _blob(layers: list[dict[str, object]], kind: str, blobs: str) -> tuple[Path, str] | None:
    for layer in layers:
        match = _DIGEST.fullmatch(str(layer.get("digest", "")))
        if layer.get("mediaType") != kind or match is None:
            continue
        for name in (f"sha256-{match[1]}", f"sha256:{match[1]}"):  # the second is that of old versions
            path = os.path.join(blobs, name)
            if os.path.isfile(path):
                return Path(path), match[1]
    return None


def _name(registry: str, namespace: str, model: str, tag: str) -> str:
    """What `ollama run` takes: the registry and the namespace only where they are not Ollama's own."""
    if registry != _REGISTRY:
        return f"{registry}/{namespace}/{model}:{tag}"
    return f"{model}:{tag}" if namespace == _LIBRARY else f"{namespace}/{model}:{tag}"
