"""The models a program can use: those on this computer, those it registered, and those of the catalogue.

from whisper_desktop import ModelRegistry

registry = ModelRegistry("~/models")
for model in registry.discover_models():
    print(model.id, model.type, model.path)
for model in registry.list_models(model_type="vision"):
    print(model.id, "is here" if model.path else "can be downloaded")
if (model := registry.get_model_info("Qwen3-8B")) is not None:
    print(f"It needs {model.memory_requirement_gb:.1f} GiB.")
"""

import json
import os
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from whisper_desktop.errors import ModelFileError, SettingsError
from whisper_desktop.language import tr
from whisper_desktop.models.catalogue import CatalogueModel, load
from whisper_desktop.models.gguf import read_header
from whisper_desktop.models.kept_json import read_json
from whisper_desktop.models.memory import ModelMemory, Placement
from whisper_desktop.models.places import Place
from whisper_desktop.models.shape import ModelShape, shape_of
from whisper_desktop.models.shelf import ShelfModel, scan
from whisper_desktop.models.shelf_cache import ShelfCache
from whisper_desktop.settings.files import locked, write_text
from whisper_desktop.values import GIB, ModelInfo, ModelType, ResourceInfo

__all__ = ["ModelRegistry"]

_FILE = ".registry.json"
_CACHE = ".shelf.json"
_VERSION = 1
_LARGEST = 50_000_000  # bytes of the file with registered models
_PATIENCE = 5.0  # seconds for another process that registers at the same time
_CONTEXT = 4096  # tokens that the memory requirement is told for
_NUMBER, _TEXT = (int, float, type(None)), (str, type(None))
_KINDS: Mapping[str, tuple[type, ...]] = {
    "id": (str,),
    "context_length": _NUMBER,
    "max_context_length": _NUMBER,
    "size_bytes": _NUMBER,
    "remote": (bool,),
    "capabilities": (list,),
    "quantization": _TEXT,
    "parameter_size": _TEXT,
    "type": _TEXT,
    "path": _TEXT,
    "memory_requirement_gb": _NUMBER,
}
"""What is kept of a `ModelInfo`, as JSON has it: not what is true of a server at a moment."""


class ModelRegistry:
    """Which models there are. What was found and registered is kept in `models_dir` for the next time.

    `places` are further folders to look into: `models.places.places` finds those of other programs.
    `resources` are the computer whose processor counts (None: one of this kind with the usual instruction
    sets). Its methods block for as long as the disk takes; a registry is for one thread at a time, and
    several processes may have one each.
    """

    def __init__(
        self,
        models_dir: str | Path,
        *,
        places: Sequence[Place] = (),
        resources: ResourceInfo | None = None,
        catalogue: Iterable[CatalogueModel] | None = None,
    ) -> None:
        self._dir = _real(models_dir)
        further = (replace(place, path=_real(place.path)) for place in places)
        self._places = (Place(self._dir, "own"), *further)
        self._resources = resources or _usual()
        self._catalogue = catalogue
        self._local: dict[str, ModelInfo] | None = None
        self.problems: tuple[str, ...] = ()
        """A sentence for each file that could not be listed, of the last `discover_models`."""

    def discover_models(self) -> list[ModelInfo]:
        """Look at the folders again. Returns the models there; files that are no models are left out.

        A folder that is not there yet has none. What was read of a file before is not read again while its
        size and the time of its last change are the same.
        """
        places = [place for place in self._places if os.path.isdir(place.path)]
        shelf = scan(places, ShelfCache(self._dir / _CACHE if os.path.isdir(self._dir) else None))
        self.problems = shelf.problems
        self._local = {}
        for model in shelf.models:
            info = _info(model)
            # Two folders may have models of one name: the second one is told apart by its file.
            self._local[info.id if info.id not in self._local else str(model.path)] = info
        return list(self._local.values())

    def register_model(self, model: ModelInfo) -> None:
        """Add a model, or replace the one of the same id, for this and every later registry of this folder.

        One with a `path` is listed while its file is there. Raises `ModelFileError` where it has no id, a
        value of the wrong kind, or a `path` without a model; `SettingsError` where the folder cannot be
        written.
        """
        if not isinstance(model.id, str) or not model.id.strip():
            raise ModelFileError(
                tr("The model cannot be registered."), tr("It has no id."), tr("Give it a name.")
            )
        if model.path is not None:
            path = Path(os.path.expanduser(model.path)).absolute()
            read_header(path, tensors=False)
            model = replace(model, path=path, size_bytes=model.size_bytes or path.stat().st_size)
        try:
            kept = _kept(model)
            fine = _read(json.loads(json.dumps(kept))) is not None
        except (TypeError, ValueError):
            fine = False
        if not fine:
            raise ModelFileError(
                tr("The model {model_id} cannot be registered.", model_id=model.id),
                tr("One of its values is of another kind than `ModelInfo` says."),
                tr("Look through what it was made with."),
            )
        try:
            self._dir.mkdir(parents=True, exist_ok=True)
            with locked(self._dir, _PATIENCE):
                self._add(model.id, kept)
        except OSError as error:
            raise SettingsError(
                tr("The model {model_id} cannot be registered.", model_id=model.id),
                tr("The system says: {strerror}.", strerror=error.strerror),
                tr("See whether {dir} is a folder that can be read and written.", dir=self._dir),
            ) from error

    def list_models(
        self, *, local_only: bool = False, model_type: ModelType | str | None = None
    ) -> list[ModelInfo]:
        """All models, by name: registered ones, those found on this computer, and those of the catalogue.

        `local_only` leaves out what is not on this computer. What a model needs is worked out by
        `get_model_info`. Raises `ValueError` for a type there is none of.
        """
        wanted = ModelType(model_type) if model_type is not None else None
        models = [
            model
            for model in self._all().values()
            if (not local_only or model.path is not None) and (wanted is None or model.type is wanted)
        ]
        return sorted(models, key=lambda model: model.id.casefold())

    def get_model_info(self, name: str) -> ModelInfo | None:
        """The model of this name, with what it needs; None where there is none.

        Upper and lower case do not matter, `.gguf` may be there or not, and the quantization may be left out
        where that leaves one model. `memory_requirement_gb` is in GiB: on the processor, with 4,096 tokens of
        context; None where the file does not tell.
        """
        models = self._all()
        model = _named(name, models)
        if model is None or model.memory_requirement_gb is not None:
            return model
        shape = self._shape(model)
        return model if shape is None else replace(model, memory_requirement_gb=self._needs(shape))

    # --- where they come from -----------------------------------------------------------------------------

    def _all(self) -> dict[str, ModelInfo]:
        if self._local is None:
            self.discover_models()
        local, registered = self._local or {}, self._registered()
        found = {**local, **registered}  # a registered one is what the program says it is
        have = {model.path.name.casefold() for model in found.values() if model.path is not None}
        for entry in self._entries():
            if entry.id not in found and entry.file.casefold() not in have:
                found[entry.id] = _catalogued(entry)
        return found

    def _entries(self) -> Iterable[CatalogueModel]:
        return load() if self._catalogue is None else self._catalogue

    def _registered(self) -> dict[str, ModelInfo]:
        """Those whose files are there: a drive may come back."""
        try:
            models = map(_read, (_entries(read_json(self._dir / _FILE, _LARGEST)) or {}).values())
        except OSError:
            return {}
        there = (model for model in models if model and (model.path is None or os.path.isfile(model.path)))
        return {model.id: model for model in there}

    def _add(self, name: str, kept: Mapping[str, Any]) -> None:
        """Raises `OSError` or `SettingsError`."""
        file = self._dir / _FILE
        entries = _entries(read_json(file, _LARGEST))
        if entries is None and file.exists():  # damaged, or of a newer version: whoever can may still read it
            os.replace(file, file.with_name(f"{file.name}.damaged"))
        models = [*((entries or {}) | {name: kept}).values()]
        write_text(file, json.dumps({"version": _VERSION, "models": models}, indent=1))

    def _shape(self, model: ModelInfo) -> ModelShape | None:
        if model.path is None:
            return next((entry.shape for entry in self._entries() if entry.id == model.id), None)
        try:
            return shape_of(read_header(model.path))
        except ModelFileError:
            return None

    def _needs(self, shape: ModelShape) -> float | None:
        if not shape.knows_cache:
            return None
        context = min(_CONTEXT, shape.train_ctx or _CONTEXT)
        return ModelMemory(shape, self._resources).need(Placement(context)).total / GIB


def _real(path: str | Path) -> Path:
    return Path(os.path.realpath(os.path.expanduser(path)))


def _info(model: ShelfModel) -> ModelInfo:
    return ModelInfo(
        id=model.name,
        max_context_length=model.train_ctx,
        size_bytes=model.size_bytes,
        capabilities=_ABILITIES[model.type],
        quantization=model.quant or None,
        type=model.type,
        path=model.path,
    )


def _catalogued(entry: CatalogueModel) -> ModelInfo:
    abilities = {
        "completion": True,
        "vision": entry.vision,
        "tools": entry.tools,
        "reasoning": entry.reasoning,
    }
    return ModelInfo(
        id=entry.id,
        max_context_length=entry.train_ctx,
        size_bytes=entry.file_bytes,
        capabilities=tuple(name for name, there in abilities.items() if there),
        quantization=entry.quant,
        parameter_size=f"{entry.billions:.1f}B",
        type=ModelType.VISION if entry.vision else ModelType.CHAT,
    )


_ABILITIES: Mapping[ModelType, tuple[str, ...]] = {
    ModelType.CHAT: ("completion",),
    ModelType.COMPLETION: ("completion",),
    ModelType.CODE: ("completion",),
    ModelType.VISION: ("completion", "vision"),
    ModelType.EMBEDDING: ("embedding",),
}


def _named(name: str, models: Mapping[str, ModelInfo]) -> ModelInfo | None:
    """By its id, else by its file, else by how either begins; the last two only where that is one model."""
    wanted = name.strip().casefold().removesuffix(".gguf")
    by_id = [model for model in models.values() if model.id.casefold().removesuffix(".gguf") == wanted]
    if by_id or not wanted:
        return by_id[0] if by_id else None
    by_name = [model for model in models.values() if wanted in _names(model)]
    begins = [model for model in models.values() if any(x.startswith(f"{wanted}-") for x in _names(model))]
    found = by_name or begins
    return found[0] if len(found) == 1 else None


def _names(model: ModelInfo) -> Iterator[str]:
    yield model.id.casefold().removesuffix(".gguf")
    if model.path is not None:
        yield model.path.stem.casefold()
        yield str(model.path).casefold().removesuffix(".gguf")


def _kept(model: ModelInfo) -> dict[str, Any]:
    told = {name: value for name, value in asdict(model).items() if name in _KINDS}
    return {name: str(value) if isinstance(value, Path) else value for name, value in told.items()}


def _entries(told: object) -> dict[str, Mapping[str, Any]] | None:
    """What was kept of each model, by its id; None where that is nothing we wrote."""
    listed = told.get("models") if isinstance(told, dict) and told.get("version") == _VERSION else None
    if not isinstance(listed, list):
        return None
    return {
        entry["id"]: entry
        for entry in listed
        if isinstance(entry, dict) and isinstance(entry.get("id"), str) and entry["id"].strip()
    }


def _read(told: Mapping[str, Any]) -> ModelInfo | None:
    """What was kept of one model; None where the entry is damaged."""
    values = {name: value for name, value in told.items() if name in _KINDS}
    if not all(isinstance(value, _KINDS[name]) for name, value in values.items()):
        return None
    abilities = values.get("capabilities", [])
    if not all(isinstance(each, str) for each in abilities):
        return None
    try:
        return replace(
            ModelInfo(**values),
            capabilities=tuple(abilities),
            type=ModelType(values["type"]) if values.get("type") else None,
            path=Path(values["path"]) if values.get("path") else None,
        )
    except (TypeError, ValueError):
        return None


def _usual() -> ResourceInfo:
    """This kind of computer, as far as the need for memory goes by it."""
    return ResourceInfo(platform.system(), "", platform.machine() or "x86_64", "", 1, 1, 0, 0)
