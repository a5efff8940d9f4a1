"""The models that the app knows: file, exact bytes, architecture, licence, abilities, names elsewhere.

Ours come from `resources/catalog.yaml`, which says where its figures come from; the person's own from
`models.yaml` beside the settings, merged over ours.
"""

import datetime
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import overload

from whisper_desktop.language import tr
from whisper_desktop.models.catalogue_shape import Outline, spread, unknown_shape
from whisper_desktop.models.shape import KvGroup, ModelShape

OWN_FILE = "models.yaml"
"""The name of the person's own list, in the folder of the settings."""

OLD_AFTER = 120
"""Days after which a list of models is worth a remark."""

_PART = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$")
_MOST_PARTS = 999


@dataclass(frozen=True, slots=True)
class Quality:
    """How good a model's answers are: a score and how far off it may be, from so many sources.

    `source` is the list that it stands in, `date` when that was read ("2026-10").
    """

    score: float
    plus_minus: float
    sources: int
    source: str
    date: str


@dataclass(frozen=True, slots=True)
class Licence:
    """`limits` says in plain words what it does not allow, above all for commercial use; "" for nothing."""

    id: str
    name: str
    url: str = ""
    limits: str = ""


@dataclass(frozen=True)
class CatalogueModel:
    """One model in one quantization. Sizes are bytes.

    `file_bytes_source` says how the size is known: "published" (by who hosts the file), "computed"
    (llama.cpp's tensor sizes, within 0.3 %) or "approximate". `file` is the first one of a model in several.
    `lm_studio`, `ollama` and `openrouter` are its names there, None where none is known. `think_tokens` is
    what it spends on thinking before a usual answer. `path` is the file of a person's own model.
    `outline` is what the shape is made from, or the shape itself; None where only the size is known.
    """

    id: str
    family: str
    repo: str
    file: str
    file_bytes: int
    file_bytes_source: str
    quant: str
    params: int
    licence: str
    train_ctx: int
    sha256: str | None = None
    licence_limits: str = ""
    vision: bool = False
    tools: bool = False
    reasoning: bool = False
    purposes: tuple[str, ...] = ()
    quality: Quality | None = None
    think_tokens: int = 0
    older: bool = False
    released: str | None = None
    lm_studio: str | None = None
    ollama: str | None = None
    openrouter: str | None = None
    path: Path | None = None
    own: bool = False
    outline: Outline | ModelShape | None = field(default=None, repr=False)

    @property
    def files(self) -> tuple[str, ...]:
        """All files of the model in the repository, in their order."""
        found = _PART.search(self.file)
        if found is None:
            return (self.file,)
        stem, count = self.file[: found.start()], min(int(found[2]), _MOST_PARTS)
        return tuple(f"{stem}-{part:05d}-of-{count:05d}.gguf" for part in range(1, count + 1))

    @cached_property
    def shape(self) -> ModelShape:
        """What the model is made of, its weights spread evenly over the layers.

        Where only the size is known, `knows_cache` is False: its header has to be read before any advice.
        """
        train_ctx = self.train_ctx or None
        if isinstance(self.outline, Outline):
            return spread(self.outline, self.file_bytes, self.quant, self.params, train_ctx)
        return self.outline or unknown_shape(self.file_bytes, train_ctx)

    def with_shape(self, shape: ModelShape) -> "CatalogueModel":
        """The same model with the shape that its file's header told."""
        return replace(self, outline=shape, train_ctx=shape.train_ctx or self.train_ctx)

    @property
    def billions(self) -> float:
        """Parameters in billions: the "7B" of a model's name."""
        return self.params / 1e9

    @property
    def mixture(self) -> bool:
        """Whether a token goes through some of its weights only."""
        return self.shape.is_mixture

    @property
    def kv(self) -> tuple[KvGroup, ...]:
        """The KV caches of all layers that have one."""
        return self.shape.kv_groups

    @property
    def state_bytes(self) -> int:
        """What the recurrent layers keep of one sequence, whatever its length."""
        return sum(layer.state_bytes for layer in self.shape.layers)

    @property
    def ollama_name(self) -> str:
        """What to give to `ollama pull`. Ollama takes a repository with its form, if it is one file."""
        return self.ollama or f"hf.co/{self.repo}:{self.quant}"

    @property
    def lm_studio_name(self) -> str:
        """What to ask LM Studio for: its own name of the model, or the address of the repository."""
        return self.lm_studio or f"https://huggingface.co/{self.repo}"

    @property
    def pulls_with_ollama(self) -> bool:
        """Whether Ollama can fetch it: it refuses repositories whose model lies in several files."""
        return self.ollama is not None or len(self.files) == 1


@dataclass(frozen=True)
class Catalogue(Sequence[CatalogueModel]):
    """A list of models. `date` is of ours, `source` the files read, `problems` a sentence for each entry of
    the person's own list that could not be used.
    """

    models: tuple[CatalogueModel, ...]
    date: datetime.date
    source: tuple[Path, ...] = ()
    problems: tuple[str, ...] = ()
    licences: tuple[Licence, ...] = ()

    @overload
    def __getitem__(self, index: int) -> CatalogueModel: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[CatalogueModel, ...]: ...
    def __getitem__(self, index: int | slice) -> CatalogueModel | tuple[CatalogueModel, ...]:
        return self.models[index]

    def __len__(self) -> int:
        return len(self.models)

    def find(self, name: str) -> CatalogueModel | None:
        """The model that is called so here, by its file, or by LM Studio, Ollama or OpenRouter."""
        return self._names.get(name.strip().casefold())

    def age_days(self, today: datetime.date) -> int:
        """How old our list is; 0 on a computer whose clock is behind it."""
        return max(0, (today - self.date).days)

    def age_sentence(self, today: datetime.date) -> str:
        """What to say of a list that is getting old; "" while it is not."""
        days = self.age_days(today)
        if days <= OLD_AFTER:
            return ""
        return tr(
            "This list of models is {days} days old, and newer ones may suit this computer "
            "better. Search for them by name, or update Whisper Desktop for a newer list.",
            days=days,
        )

    @cached_property
    def _names(self) -> dict[str, CatalogueModel]:
        names: dict[str, CatalogueModel] = {}
        # An id counts before any other name, and ours are in the order of the file.
        for model in self.models:
            names.setdefault(model.id.casefold(), model)
        for model in self.models:
            for other in (
                model.file,
                model.file.rpartition("/")[2],
                f"{model.repo}/{model.file}",
                model.ollama_name,
                model.lm_studio,
                model.openrouter,
                str(model.path) if model.path else None,
            ):
                if other:
                    names.setdefault(other.casefold(), model)
        return names


def load(extra: Path | None = None) -> Catalogue:
    """Every model: ours in the order of the file, then the person's own from `extra`, if that file is there.

    An own entry with the id of one of ours stands in its place. Raises `ResourceMissing` without our list.
    """
    # PyYAML takes longer to import than all the rest of this package.
    from whisper_desktop.models.catalogue_file import merged, our_list

    ours = our_list()
    return ours if extra is None else merged(ours, extra)
