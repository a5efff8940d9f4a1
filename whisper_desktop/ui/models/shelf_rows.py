"""A model on this computer as the window shows it. No Qt."""

from collections.abc import Sequence
from dataclasses import dataclass

from whisper_desktop.advice.sentences import gigabytes
from whisper_desktop.app.engine_words import in_gigabytes
from whisper_desktop.app.model_fit import Estimate
from whisper_desktop.app.model_fit_words import headline
from whisper_desktop.models.shelf import Shelf, ShelfModel
from whisper_desktop.ui.models.words import day_words, speed_range, without_name
from whisper_desktop.values import ModelType

SOURCES = {
    "own": "this app",
    "lm_studio": "LM Studio",
    "ollama": "Ollama",
    "hugging_face": "Hugging Face",
    "folder": "a folder",
}
"""Who brought a model."""

_TYPES = {
    ModelType.CHAT: "chat",
    ModelType.COMPLETION: "text",
    ModelType.EMBEDDING: "search",
    ModelType.CODE: "code",
    ModelType.VISION: "chat, sees",
}
COLUMNS = ("Name", "For", "Size", "From", "Last used", "Runs here")


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
    name = f"{model.name} (in use)" if used_now else model.name
    runs = told or Runs("…", 0.0)
    cells = (
        name,
        _TYPES[model.type],
        in_gigabytes(model.size_bytes),
        SOURCES[model.source],
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
        missing = f": {gigabytes(short.missing_bytes)} short" if short is not None else ""
        return Runs(f"too large{missing}", -1.0, sentence)
    speed = told.speed
    if speed is None or speed.answer is None:
        return Runs("fits", 0.0, sentence)
    return Runs(f"fits, {speed_range(speed)}", speed.answer, sentence)


def shelf_summary(shelf: Shelf) -> str:
    """How many there are, and what they take."""
    count = len(shelf.models)
    if not count:
        return ""
    models = "One model" if count == 1 else f"{count:,} models"
    return f"{models}, {in_gigabytes(shelf.disk_bytes)} on disk"


def problem_words(problems: Sequence[str]) -> str:
    """What could not be listed: the first sentence, and how many more there are."""
    if len(problems) <= 2:
        return "\n".join(problems)
    return f"{problems[0]}\n{len(problems) - 1} more files are not listed; pointing here shows why."


def deletion_words(model: ShelfModel, frees: int) -> tuple[str, str]:
    """What is asked before a model is deleted: the question, and what it means."""
    question = f"Delete {model.name}?"
    effect = (
        f"That frees {in_gigabytes(frees)}."
        if frees
        else "That frees nothing: its file has another name too, or another model needs it."
    )
    count = len(model.files)
    what = f"{model.path.name}" if count == 1 else f"{model.path.name} and {count - 1} more files"
    where = f"{what} in {model.path.parent}"
    whose = (
        f" {SOURCES[model.source]} brought it and would have to fetch it again."
        if model.source in ("lm_studio", "hugging_face")
        else ""
    )
    return question, f"{effect}{whose}\n{where}"


def cannot_delete(model: ShelfModel) -> str:
    """Why it cannot be deleted here, with what can be done; "" where it can."""
    if model.source != "ollama":
        return ""
    return f"Ollama deletes its own models: `ollama rm {model.name}`."
