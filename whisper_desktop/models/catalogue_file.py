"""Reads lists of models: ours, and the person's own, whose wrong entries are left out with a sentence each.

A person's file is somebody's text: its size, depth and number of entries are bounded, and only plain values
are built.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from whisper_desktop.language import tr
from whisper_desktop.models.catalogue import Catalogue, CatalogueModel, Licence, Quality
from whisper_desktop.models.catalogue_shape import Cache, Experts, Outline
from whisper_desktop.models.shape import KvGroup
from whisper_desktop.settings.paths import resource

OUR_FILE = "catalog.yaml"

ABILITIES = ("tools", "vision", "reasoning")
PURPOSES = ("chat", "code", "long", "vision", "small")

_MOST_CHARACTERS = 1_000_000
_MOST_MODELS = 1000
_DEEPEST = 12
_MOST_TEXT = 300
_MOST_BYTES = 10**13
_MOST_PARAMS = 10**13
_MOST_LAYERS = 1000
_MOST_WIDTH = 1_000_000
_MOST_TOKENS = 100_000_000

_ID = re.compile(r"[\w.+:-][\w.+: -]*")
_REPO = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
_FILE = re.compile(r"(?:[\w-][\w.+ -]*/)*[\w-][\w.+ -]*\.gguf")
_NAME = re.compile(r"[\w-][\w./:@-]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MONTH = re.compile(r"\d{4}-\d{2}")

# libyaml's loader where PyYAML was built with it: six times as fast, and our list is read at every start.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Wrong(Exception):
    """An entry cannot be used: `key` says where in it, `reason` why ("is not ...")."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(f"{key}: {reason}")
        self.key = key
        self.reason = reason


class _Unreadable(Exception):
    """A file as a whole cannot be used."""


@cache
def our_list() -> Catalogue:
    """The list that comes with the app. Raises `ResourceMissing` without it."""
    path = resource(OUR_FILE)
    document = yaml.load(path.read_text("utf-8"), _LOADER)  # noqa: S506 - the safe one, in C
    licences = tuple(
        Licence(id, terms["name"], terms.get("url", ""), terms.get("limits", ""))
        for id, terms in document["licences"].items()
    )
    listed = document["quality_source"]
    usual = Quality(0.0, 0.0, 0, str(listed["name"]), str(listed["date"]))
    models, problems = _read(document["models"], path.name, licences, usual)
    return Catalogue(models, document["date"], (path,), problems, licences)


def merged(ours: Catalogue, path: Path) -> Catalogue:
    """Our list with the person's own over it. Without that file, ours."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            text = file.read(_MOST_CHARACTERS + 1)
        document = _document_in(text)
    except FileNotFoundError:
        return ours
    except (OSError, UnicodeDecodeError):
        return replace(
            ours, problems=(tr("{path_name} is not used, because it cannot be read.", path_name=path.name),)
        )
    except _Unreadable as reason:
        return replace(
            ours, problems=(tr("{path_name} is not used: {reason}.", path_name=path.name, reason=reason),)
        )
    entries = document.get("models", document) if isinstance(document, Mapping) else document
    if not isinstance(entries, list):
        problem = tr(
            "{path_name} is not used, because it is not a list of models, each after a dash.",
            path_name=path.name,
        )
        return replace(ours, problems=(problem,))
    models, problems = _read(entries, path.name, ours.licences, None)
    own = {model.id.casefold(): model for model in models}
    kept = tuple(own.pop(model.id.casefold(), model) for model in ours)
    return Catalogue(kept + tuple(own.values()), ours.date, (*ours.source, path), problems, ours.licences)


def _document_in(text: str) -> Any:
    """The YAML in somebody's text, with bounds. Raises `_Unreadable`."""
    if len(text) > _MOST_CHARACTERS:
        raise _Unreadable(
            tr("it is larger than {most_characters} MB", most_characters=_MOST_CHARACTERS // 1000000)
        )
    try:
        depth = 0
        for event in yaml.parse(text, _LOADER):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _DEEPEST:
                raise _Unreadable(tr("it is nested too deeply"))
            if isinstance(event, yaml.AliasEvent):
                raise _Unreadable(tr("a part of it stands for another one (*)"))
        return yaml.load(text, _LOADER)  # noqa: S506 - the safe one, in C
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark
        raise _Unreadable(tr("line {part} is not valid YAML", part=mark.line + 1 if mark else 1)) from None
    except (yaml.YAMLError, ValueError):
        raise _Unreadable(tr("it is not valid YAML")) from None


def _read(
    entries: Iterable[object], file: str, licences: Collection[Licence], usual: Quality | None
) -> tuple[tuple[CatalogueModel, ...], tuple[str, ...]]:
    """The models, and a sentence for each entry that is none. `usual` is None for a person's own list."""
    models: dict[str, CatalogueModel] = {}
    problems = []
    limits = {licence.id: licence.limits for licence in licences}
    for place, entry in enumerate(entries, 1):
        if place > _MOST_MODELS:
            problems.append(
                tr(
                    "{file}: only the first {most_models} models are used.",
                    file=file,
                    most_models=_MOST_MODELS,
                )
            )
            break
        name = tr("number {place}", place=place)
        try:
            if not isinstance(entry, Mapping):
                raise _Wrong("entry", tr("is not a group of keys and values"))
            name = _name_of(entry) or name
            model = _model(_Keys(entry), limits, usual)
            if model.id.casefold() in models:
                raise _Wrong("id", tr("is that of an entry before it"))
            models[model.id.casefold()] = model
        except _Wrong as wrong:
            problems.append(
                tr(
                    '{file}: the model {name} is left out, because its "{key}" {reason}.',
                    file=file,
                    name=name,
                    key=wrong.key,
                    reason=wrong.reason,
                )
            )
    return tuple(models.values()), tuple(problems)


def _name_of(entry: Mapping[object, object]) -> str:
    for key in ("id", "file", "path", "repo"):
        value = entry.get(key)
        if isinstance(value, str) and value.strip():
            return f'"{_shown(value)}"'
    return ""


def _shown(value: object) -> str:
    """A person's own text as a sentence may repeat it."""
    text = " ".join(str(value).split())
    return "".join(letter if letter.isprintable() else "?" for letter in text[:80])


def _model(keys: "_Keys", limits: Mapping[str, str], usual: Quality | None) -> CatalogueModel:
    if usual is None and keys.has("path"):
        return _own_file(keys)
    ours = usual is not None
    file = keys.text("file", _FILE)
    size, known = _size(keys)
    licence = keys.text("licence", default=None if ours else "")
    if ours and licence not in limits:
        raise _Wrong("licence", tr("is not one of the licences above"))
    abilities = keys.names("abilities", ABILITIES)
    ids = _ids(keys.group("ids"))
    model = CatalogueModel(
        id=keys.text("id", _ID, default=None if ours else _stem(file)),
        family=keys.text("family", default=None if ours else ""),
        repo=keys.text("repo", _REPO),
        file=file,
        file_bytes=size,
        file_bytes_source=known,
        sha256=keys.text("sha256", _SHA256, default="") or None,
        quant=keys.text("quant", default=None if ours else _quant(file)),
        params=keys.number("params", 1, _MOST_PARAMS, default=None if ours else 0),
        licence=licence,
        licence_limits=limits.get(licence, ""),
        train_ctx=keys.number("context", 1, _MOST_TOKENS, default=None if ours else 0),
        vision="vision" in abilities,
        tools="tools" in abilities,
        reasoning="reasoning" in abilities,
        purposes=keys.names("purposes", PURPOSES),
        quality=_quality(keys.group("quality"), usual),
        think_tokens=keys.number("think_tokens", 0, _MOST_TOKENS, default=0),
        older=keys.flag("older"),
        released=keys.text("released", _MONTH, default="") or None,
        own=not ours,
        outline=_outline(keys.group("shape", needed=ours)),
        lm_studio=ids.get("lm_studio"),
        ollama=ids.get("ollama"),
        openrouter=ids.get("openrouter"),
    )
    keys.nothing_else()
    return model


def _own_file(keys: "_Keys") -> CatalogueModel:
    """A model file on this computer: its header tells the rest."""
    from whisper_desktop.errors import ModelFileError
    from whisper_desktop.models.facts import facts_in
    from whisper_desktop.models.gguf import read_header
    from whisper_desktop.models.shape import shape_of
    from whisper_desktop.values import ModelType

    path = Path(keys.text("path")).expanduser()
    if not path.is_absolute():
        raise _Wrong("path", tr("is not a full path"))
    try:
        header = read_header(path)
        shape = shape_of(header)
    except (ModelFileError, OSError):
        raise _Wrong("path", tr("is not a model file that can be read")) from None
    if shape is None:
        raise _Wrong("path", tr("is not a model with layers"))
    facts = facts_in(header, path.name)
    abilities = keys.names("abilities", ABILITIES)
    model = CatalogueModel(
        id=keys.text("id", _ID, default=_stem(path.name)),
        family=keys.text("family", default=facts.title),
        repo="",
        file=path.name,
        file_bytes=shape.file_bytes,
        file_bytes_source="published",
        quant=keys.text("quant", default=facts.quant),
        params=keys.number("params", 1, _MOST_PARAMS, default=0),
        licence=keys.text("licence", default=""),
        train_ctx=shape.train_ctx or 0,
        vision="vision" in abilities or facts.type is ModelType.VISION,
        tools="tools" in abilities,
        reasoning="reasoning" in abilities,
        purposes=keys.names("purposes", PURPOSES),
        quality=_quality(keys.group("quality"), None),
        think_tokens=keys.number("think_tokens", 0, _MOST_TOKENS, default=0),
        path=path,
        own=True,
        outline=shape,
    )
    keys.nothing_else()
    return model


def _size(keys: "_Keys") -> tuple[int, str]:
    """The size, in bytes, and how it is known. `size: 4920739232` is short for a published one."""
    if keys.is_number("size"):
        return keys.number("size", 1, _MOST_BYTES), "published"
    size = keys.group("size", needed=True)
    assert size is not None
    known = size.text("known", default="published")
    if known not in ("published", "computed", "approximate"):
        raise _Wrong("size.known", tr('is not "published", "computed" or "approximate"'))
    found = size.number("bytes", 1, _MOST_BYTES)
    size.nothing_else()
    return found, known


def _quality(keys: "_Keys | None", usual: Quality | None) -> Quality | None:
    if keys is None:
        return None
    quality = Quality(
        score=keys.real("score", 0, 100),
        plus_minus=keys.real("plus_minus", 0, 100),
        sources=keys.number("sources", 0, 10_000, default=0),
        source=usual.source if usual else keys.text("source", default=""),
        date=usual.date if usual else keys.text("date", default=""),
    )
    keys.nothing_else()
    return quality


def _ids(keys: "_Keys | None") -> dict[str, str]:
    if keys is None:
        return {}
    known = [name for name in ("lm_studio", "ollama", "openrouter") if keys.has(name)]
    found = {name: keys.text(name, _NAME) for name in known}
    keys.nothing_else()
    return found


def _outline(keys: "_Keys | None") -> Outline | None:
    if keys is None:
        return None
    dims, weights = keys.group("dims", needed=True), keys.group("weights", needed=True)
    assert dims is not None
    assert weights is not None
    layers = dims.number("layers", 1, _MOST_LAYERS)
    experts, state = keys.group("experts"), keys.group("state")
    outline = Outline(
        architecture=keys.text("architecture"),
        layers=layers,
        width=dims.number("width", 1, _MOST_WIDTH),
        heads=dims.number("heads", 1, _MOST_WIDTH),
        vocabulary=dims.number("vocabulary", 1, _MOST_TOKENS),
        tied=dims.flag("tied"),
        feed_forward=dims.number("feed_forward", 1, _MOST_WIDTH, default=0),
        layer_weights=weights.number("layers", 1, _MOST_BYTES),
        table=weights.number("table", 1, _MOST_BYTES),
        per_layer_table=weights.number("per_layer_table", 1, _MOST_BYTES, default=0),
        output=weights.number("output", 1, _MOST_BYTES, default=0),
        experts=_experts(experts, layers) if experts else None,
        caches=tuple(_cache(cache) for cache in keys.groups("cache")),
        state_bytes=state.number("bytes", 1, _MOST_BYTES) if state else 0,
        state_layers=state.number("layers", 1, layers) if state else 0,
        recurrent_width=state.number("width", 1, _MOST_WIDTH, default=0) if state else 0,
        per_layer_width=dims.number("per_layer_width", 1, _MOST_WIDTH, default=0),
        merges=dims.number("merges", 0, _MOST_TOKENS) if dims.has("merges") else None,
    )
    for group in (keys, dims, weights, state):
        if group is not None:
            group.nothing_else()
    if sum(cache.group.layers for cache in outline.caches) + outline.state_layers > layers:
        raise _Wrong("shape.cache", tr("has more layers than the model"))
    return outline


def _experts(keys: "_Keys", layers: int) -> Experts:
    experts = Experts(
        size_bytes=keys.number("bytes", 1, _MOST_BYTES),
        count=keys.number("count", 2, 100_000),
        used=keys.number("used", 1, 100_000),
        feed_forward=keys.number("feed_forward", 1, _MOST_WIDTH),
        layers=keys.number("layers", 1, layers),
    )
    keys.nothing_else()
    return experts


def _cache(keys: "_Keys") -> Cache:
    group = KvGroup(
        layers=keys.number("layers", 1, _MOST_LAYERS),
        kv_heads=keys.number("kv_heads", 1, _MOST_WIDTH),
        k_dim=keys.number("k_dim", 1, _MOST_WIDTH),
        v_dim=keys.number("v_dim", 0, _MOST_WIDTH),
        window=keys.number("window", 1, _MOST_TOKENS, default=0) or None,
    )
    cache = Cache(group, keys.number("every", 1, _MOST_LAYERS, default=0))
    keys.nothing_else()
    return cache


def _stem(file: str) -> str:
    return re.sub(r"(-\d{5}-of-\d{5})?\.gguf$", "", file.rpartition("/")[2])


def _quant(file: str) -> str:
    from whisper_desktop.models.file_names import quant_in

    return quant_in(file)


@dataclass(slots=True)
class _Keys:
    """The keys of an entry, or of a group inside it, whose name is `above`. Each is taken once."""

    values: dict[object, object]
    above: str

    def __init__(self, values: Mapping[object, object], above: str = "") -> None:
        self.values = dict(values)
        self.above = above

    def has(self, key: str) -> bool:
        return self.values.get(key) is not None

    def is_number(self, key: str) -> bool:
        value = self.values.get(key)
        return isinstance(value, int) and not isinstance(value, bool)

    def text(self, key: str, form: re.Pattern[str] | None = None, *, default: str | None = None) -> str:
        value = self._take(key, default)
        if not isinstance(value, str) or len(value) > _MOST_TEXT or not value.isprintable():
            raise self._wrong(key, tr("is not a text of up to {most_text} letters", most_text=_MOST_TEXT))
        if value != default and form is not None and (not form.fullmatch(value) or ".." in value):
            raise self._wrong(key, tr("is not written as such a name is"))
        return value

    def number(self, key: str, least: int, most: int, *, default: int | None = None) -> int:
        value = self._take(key, default)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self._wrong(key, tr("is not a whole number"))
        if value != default and not least <= value <= most:
            raise self._wrong(key, tr("is not between {least:,} and {most:,}", least=least, most=most))
        return value

    def real(self, key: str, least: float, most: float) -> float:
        value = self._take(key, None)
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            raise self._wrong(
                key, tr("is not a number between {least:g} and {most:g}", least=least, most=most)
            )
        return float(value)

    def flag(self, key: str) -> bool:
        value = self._take(key, False)
        if not isinstance(value, bool):
            raise self._wrong(key, tr("is neither true nor false"))
        return value

    def names(self, key: str, known: Collection[str]) -> tuple[str, ...]:
        value = self._take(key, [])
        if not isinstance(value, list) or not all(name in known for name in value):
            raise self._wrong(key, tr("is not a list out of {items}", items=", ".join(known)))
        return tuple(dict.fromkeys(value))

    def group(self, key: str, *, needed: bool = False) -> "_Keys | None":
        value = self._take(key, None if needed else {})
        if not isinstance(value, Mapping) or (needed and not value):
            raise self._wrong(key, tr("is not a group of keys and values"))
        return _Keys(value, f"{self.above}{key}.") if value else None

    def groups(self, key: str) -> "tuple[_Keys, ...]":
        value = self._take(key, None)
        if not isinstance(value, list) or not value or not all(isinstance(one, Mapping) for one in value):
            raise self._wrong(key, tr("is not a list of groups of keys and values"))
        return tuple(_Keys(one, f"{self.above}{key}.") for one in value)

    def nothing_else(self) -> None:
        """Raises for a key that means nothing here: most likely it is misspelt."""
        for key in self.values:
            raise self._wrong(_shown(key), tr("is not known here"))

    def _take(self, key: str, default: object) -> object:
        value = self.values.pop(key, None)
        if value is None:
            value = default
        if value is None:
            raise self._wrong(key, tr("is missing"))
        return value

    def _wrong(self, key: str, reason: str) -> _Wrong:
        return _Wrong(f"{self.above}{key}", reason)
