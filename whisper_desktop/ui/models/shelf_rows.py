"""A model on this computer as the window shows it. No Qt."""

from collections.abc import Sequence
from dataclasses import dataclass

from whisper_desktop.app.engine_words import in_gigabytes
from whisper_desktop.app.model_fit import Estimate
from whisper_desktop.app.model_fit_words import headline
from whisper_desktop.language import gigabytes, mark, tr, trn
from whisper_desktop.models.shelf import Shelf, ShelfModel
from whisper_desktop.ui.models.words import day_words, speed_range, without_name
from whisper_desktop.values import ModelType

SOURCES = {
    "own": mark("this app"),
    "lm_studio": "LM Studio",
    "ollama": "Ollama",
    "hugging_face": "Hugging Face",
    "folder": mark("a folder"),
}
"""Who brought a model."""

_TYPES = {
    ModelType.CHAT: mark("chat"),
    ModelType.COMPLETION: mark("text"),
    ModelType.EMBEDDING: mark("search"),
    ModelType.CODE: mark("code"),
    ModelType.VISION: mark("chat, sees"),
}
COLUMNS = (mark("Name"), mark("For"), mark("Size"), mark("From"), mark("Last used"), mark("Runs here"))


@dataclass(frozen=True, slots=True)
class ShelfRow:
    """One model: what each column says, and what it is sorted by. `used_now` says that our engine has it."""

    model: ShelfModel
    cells: tuple[str, ...]
    keys: tuple[str | float, ...]
    used_now: bool


def shelf_row(model: ShelfModel, told: "Runs | None", *, used_now: bool, now: float) -> ShelfRow:
    """The row of a model; `told` is how it runs here, None while that is not known."""
    used = model.last_used
    name = tr("{model_name} (in use)", model_name=model.name) if used_now else model.name
    runs = told or Runs("…", 0.0)
    cells = (
        name,
        tr(_TYPES[model.type]),
        in_gigabytes(model.size_bytes),
        tr(SOURCES[model.source]),
        day_words(used, now) if used is not None else "–",
        runs.short,
    )
    keys: tuple[str | float, ...] = (
        model.name.casefold(),
        cells[1],
        float(model.size_bytes),
        cells[3],
        used or 0.0,
        runs.order,
    )
    return ShelfRow(model, cells, keys, used_now)


@dataclass(frozen=True, slots=True)
class Runs:
    """How a model runs here: a few words, a figure to sort by (the fastest highest), and a sentence."""

    short: str
    order: float
    sentence: str = ""


def runs(told: Estimate) -> Runs:
    """In a few words: its speed where it fits, what is missing where it does not."""
    sentence = without_name(headline(told), told.subject.name)
    if told.fit is None:
        short = told.shortfall
        if short is None:
            return Runs(tr("too large"), -1.0, sentence)
        missing = gigabytes(short.missing_bytes)
        return Runs(tr("too large: {missing} short", missing=missing), -1.0, sentence)
    speed = told.speed
    if speed is None or speed.answer is None:
        return Runs(tr("fits"), 0.0, sentence)
    return Runs(tr("fits, {speed_range}", speed_range=speed_range(speed)), speed.answer, sentence)


def shelf_summary(shelf: Shelf) -> str:
    """How many there are, and what they take."""
    count = len(shelf.models)
    if not count:
        return ""
    size = in_gigabytes(shelf.disk_bytes)
    return trn("One model, {size} on disk", "{count:,} models, {size} on disk", count, size=size)


def problem_words(problems: Sequence[str]) -> str:
    """What could not be listed: the first sentence, and how many more there are."""
    if len(problems) <= 2:
        return "\n".join(problems)
    more = trn(
        "One more file is not listed; pointing here shows why.",
        "{count} more files are not listed; pointing here shows why.",
        len(problems) - 1,
    )
    return f"{problems[0]}\n{more}"


def deletion_words(model: ShelfModel, frees: int) -> tuple[str, str]:
    """What is asked before a model is deleted: the question, and what it means."""
    question = tr("Delete {model_name}?", model_name=model.name)
    effect = (
        tr("That frees {frees}.", frees=in_gigabytes(frees))
        if frees
        else tr("That frees nothing: its file has another name too, or another model needs it.")
    )
    count = len(model.files)
    file, folder = model.path.name, model.path.parent
    where = (
        tr("{file} in {folder}", file=file, folder=folder)
        if count == 1
        else trn(
            "{file} and one more file in {folder}",
            "{file} and {count} more files in {folder}",
            count - 1,
            file=file,
            folder=folder,
        )
    )
    whose = (
        tr(" {sources} brought it and would have to fetch it again.", sources=tr(SOURCES[model.source]))
        if model.source in ("lm_studio", "hugging_face")
        else ""
    )
    return question, f"{effect}{whose}\n{where}"


def cannot_delete(model: ShelfModel) -> str:
    """Why it cannot be deleted here, with what can be done; "" where it can."""
    if model.source != "ollama":
        return ""
    return tr("Ollama deletes its own models: `ollama rm {model_name}`.", model_name=model.name)
