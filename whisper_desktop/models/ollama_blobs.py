"""The models that Ollama keeps: its manifests name them, its blobs hold them.

`manifests/<registry>/<namespace>/<model>/<tag>` is JSON with layers; the layer of the kind "model" is a GGUF
file at `blobs/sha256-<digest>`, which our engine can use where it lies. The digest is its SHA-256.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
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
    models = (_model(path, manifests, root / "blobs") for path in _files(manifests))
    return tuple(model for model in models if model is not None)


def _files(folder: Path) -> Iterator[Path]:
    """The manifests, each at the depth where they belong. Links are not followed."""
    left = _MOST_MANIFESTS
    waiting = [(folder, 0)]
    while waiting:
        at, depth = waiting.pop()
        try:
            with os.scandir(at) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError:
            if not depth:
                raise
            continue
        for entry in found:
            if left == 0:
                return
            left -= 1
            if depth < _DEPTH - 1 and entry.is_dir(follow_symlinks=False):
                waiting.append((Path(entry.path), depth + 1))
            elif depth == _DEPTH - 1 and entry.is_file(follow_symlinks=False):
                yield Path(entry.path)


def _model(manifest: Path, root: Path, blobs: Path) -> OllamaModel | None:
    try:
        told = read_json(manifest, _LARGEST_MANIFEST)
    except OSError:
        return None
    listed = told.get("layers") if isinstance(told, dict) else None
    layers = [layer for layer in listed if isinstance(layer, dict)] if isinstance(listed, list) else []
    weights = _blob(layers, _MODEL, blobs)
    if weights is None:
        return None
    projector = _blob(layers, _PROJECTOR, blobs)
    path, digest = weights
    return OllamaModel(_name(manifest.relative_to(root)), path, digest, projector[0] if projector else None)


def _blob(layers: list[dict[str, object]], kind: str, blobs: Path) -> tuple[Path, str] | None:
    for layer in layers:
        match = _DIGEST.fullmatch(str(layer.get("digest", "")))
        if layer.get("mediaType") != kind or match is None:
            continue
        for name in (f"sha256-{match[1]}", f"sha256:{match[1]}"):  # the second is that of old versions
            path = blobs / name
            if path.is_file():
                return path, match[1]
    return None


def _name(path: Path) -> str:
    """What `ollama run` takes: the registry and the namespace only where they are not Ollama's own."""
    registry, namespace, model, tag = path.parts
    if registry != _REGISTRY:
        return f"{registry}/{namespace}/{model}:{tag}"
    return f"{model}:{tag}" if namespace == _LIBRARY else f"{namespace}/{model}:{tag}"
