"""What was measured on this computer: its own figures by `bench machine`, and models by their answers.

One JSON file, a few kilobytes: it is replaced as a whole, under a lock that other processes respect too. A
damaged file is set aside and begun anew; one that a newer version wrote is left alone.
"""

import json
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from whisper_desktop.errors import SettingsError
from whisper_desktop.language import tr
from whisper_desktop.machine.figures import GpuFigures, MachineFigures, figures_for
from whisper_desktop.models.speed import Speed
from whisper_desktop.settings.files import locked, write_text
from whisper_desktop.values import GIB, Deadlines, GpuInfo, ResourceInfo

FILE = "speeds.json"

_VERSION = 1
_MOST_MODELS = 500
_MOST_MACHINES = 20
_LONGEST_KEY = 300
_LARGEST = 2_000_000  # bytes of the file: with every entry it has less
_FASTEST = 1e6  # tokens a second: nothing is, so such a figure is a mistake
_LEAST_WEIGHT = 1 / 8  # of the newest answer: after some twenty, those from before hardly count
_AROUND = (0.85, 1.15)  # the range of an answer's speed around the average
_DEADLINES = Deadlines()


def machine_key(resources: ResourceInfo) -> str:
    """What tells this computer from another, and stays the same when memory is a little less tomorrow."""
    memory = max(resources.ram_total_bytes / GIB, 0.5)
    size = 2 ** (round(2 * math.log2(memory)) / 2)  # classes a factor of 1.4 apart
    parts = (
        resources.cpu_name,
        f"{resources.cores_physical} cores",
        f"{size:.1f} GiB",
    )
    return "; ".join((*parts, *(gpu.name for gpu in resources.gpus)))[:_LONGEST_KEY]


def model_key(file_name: str, size_bytes: int) -> str:
    """What tells a model's file from another one, wherever it lies."""
    return f"{file_name[-_LONGEST_KEY // 2 :]}:{size_bytes}"


@dataclass(frozen=True, slots=True)
class _Model:
    """Averages in tokens a second; `prompt` 0 where none was long enough. `last` is seconds since 1970."""

    prompt: float
    answer: float
    predicted: float
    answers: int
    prompts: int
    last: float


@dataclass(frozen=True, slots=True)
class _Contents:
    models: Mapping[str, _Model]
    machines: Mapping[str, MachineFigures]


_NOTHING = _Contents({}, {})
F = TypeVar("F", MachineFigures, GpuFigures)


class MeasuredStore:
    """The file at `path` (None: nothing is kept). Safe with several processes and threads; it may block on
    the disk.

    Nothing here raises for what the disk or the file does: without it, speeds are predicted. `notice` is a
    sentence for the person when the file had to be set aside, "" otherwise.
    """

    def __init__(
        self, path: Path | None, *, clock: Callable[[], float] = time.time, deadlines: Deadlines = _DEADLINES
    ) -> None:
        self.notice = ""
        self._path = path
        self._clock = clock
        self._deadlines = deadlines
        self._seen: tuple[tuple[int, ...] | None, _Contents] = (None, _NOTHING)

    # --- models -------------------------------------------------------------------------------------------

    def record(
        self,
        model: str,
        machine: str,
        *,
        prompt: float | None,
        answer: float | None,
        predicted: float | None = None,
        mode: str = "",
    ) -> None:
        """Add what was measured of one answer, in tokens a second; None is left as it is.

        `model` and `machine` are keys, `mode` says how it was placed ("gpu", "experts", "partial", "cpu"):
        each has averages of its own. `predicted` is what the answer's speed should have been.
        """
        prompt, answer, predicted = _sound(prompt), _sound(answer), _sound(predicted)
        if not prompt and not answer:
            return

        def add(now: _Contents) -> _Contents:
            key = _key(model, machine, mode)
            was = now.models.get(key, _Model(0.0, 0.0, 0.0, 0, 0, 0.0))
            answers, prompts = was.answers + bool(answer), was.prompts + bool(prompt)
            new = _Model(
                prompt=_averaged(was.prompt, prompt, prompts),
                answer=_averaged(was.answer, answer, answers),
                predicted=predicted or was.predicted,
                answers=answers,
                prompts=prompts,
                last=self._clock(),
            )
            models = {**now.models, key: new}
            newest = sorted(models.items(), key=lambda entry: entry[1].last)
            return replace(now, models=dict(newest[-_MOST_MODELS:]))

        self._change(add)

    def look_up(self, model: str, machine: str, mode: str | None = None) -> Speed | None:
        """How fast this model has been here; None when that was not measured.

        `mode` None takes the way in which it was used last. What was predicted comes along.
        """
        models = self._contents().models
        if mode is None:
            start = _key(model, machine, "")
            found = [entry for key, entry in models.items() if key.startswith(start) and entry.answer]
            entry = max(found, key=lambda entry: entry.last, default=None)
        else:
            entry = models.get(_key(model, machine, mode))
        if entry is None or not entry.answer:
            return None
        low, high = (share * entry.answer for share in _AROUND)
        return Speed(
            prompt=entry.prompt or None,
            answer=entry.answer,
            low=low,
            high=high,
            source="measured",
            predicted=entry.predicted or None,
        )

    # --- the computer -------------------------------------------------------------------------------------

    def calibration(self, machine: str) -> MachineFigures | None:
        """What `bench machine` measured: `gpus` are only those that were measured. None: nothing was."""
        return self._contents().machines.get(machine)

    def save_calibration(self, machine: str, figures: MachineFigures) -> bool:
        """Keep what was measured in the place of what was there; figures from tables are left out.

        False where it could not be kept.
        """
        measured = tuple(gpu for gpu in figures.gpus if gpu.source == "measured")

        def put(now: _Contents) -> _Contents:
            others = {key: each for key, each in now.machines.items() if key != machine}
            kept = dict(list(others.items())[-(_MOST_MACHINES - 1) :])
            return replace(now, machines={**kept, machine: replace(figures, gpus=measured)})

        return self._change(put)

    def figures(self, resources: ResourceInfo, gpus: Sequence[GpuInfo] | None = None) -> MachineFigures:
        """The figures of this computer, measured where they were and from the tables otherwise.

        `gpus` are the cards that count, as for `figures_for`.
        """
        table = figures_for(resources, gpus)
        known = self.calibration(machine_key(resources))
        if known is None:
            return table
        cards = {gpu.name: gpu for gpu in known.gpus}
        return replace(
            known if known.source == "measured" else table,
            gpus=tuple(replace(cards.get(gpu.name, gpu), unified=gpu.unified) for gpu in table.gpus),
        )

    # --- the file -----------------------------------------------------------------------------------------

    def _contents(self) -> _Contents:
        mark = self._mark()
        if mark is None or mark != self._seen[0]:
            self._seen = (mark, self._read())
        return self._seen[1]

    def _mark(self) -> tuple[int, ...] | None:
        if self._path is None:
            return None
        try:
            found = self._path.stat()
        except OSError:
            return None
        return (found.st_ino, found.st_size, found.st_mtime_ns)

    def _read(self) -> _Contents:
        if self._path is None:
            return _NOTHING
        try:
            return _parsed(_bytes_of(self._path))
        except (OSError, _Newer, _Damaged):
            return _NOTHING

    def _change(self, change: Callable[[_Contents], _Contents]) -> bool:
        if self._path is None:
            return False
        with suppress(SettingsError, OSError, _Newer):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with locked(self._path.parent, self._deadlines.settings_lock):
                try:
                    now = _parsed(_bytes_of(self._path))
                except _Damaged:
                    now = _NOTHING
                    self._put_aside(self._path)
                write_text(self._path, _written(change(now)))
                return True
        return False

    def _put_aside(self, path: Path) -> None:
        aside = path.with_name(f"{path.name}.damaged")
        os.replace(path, aside)
        self.notice = tr(
            "The record of measured speeds was damaged. It is kept as {aside_name}, and "
            "measuring begins anew.",
            aside_name=aside.name,
        )


class _Damaged(Exception):
    """The file is not what we write."""


class _Newer(Exception):
    """A newer version of this app wrote it."""


def _key(model: str, machine: str, mode: str) -> str:
    return f"{machine}\n{model}\n{mode}"


def _sound(speed: float | None) -> float | None:
    """A speed that can be one."""
    return speed if speed is not None and 0 < speed < _FASTEST else None


def _averaged(was: float, new: float | None, count: int) -> float:
    return was if new is None else was + (new - was) * max(1 / count, _LEAST_WEIGHT)


def _written(contents: _Contents) -> str:
    return json.dumps(
        {
            "version": _VERSION,
            "machines": {key: asdict(figures) for key, figures in contents.machines.items()},
            "models": {key: asdict(model) for key, model in contents.models.items()},
        },
        indent=1,
    )


def _bytes_of(path: Path) -> bytes | None:
    """What the file holds; None where there is none. Raises `OSError`."""
    try:
        with path.open("rb") as file:
            return file.read(_LARGEST)
    except FileNotFoundError:
        return None


def _parsed(data: bytes | None) -> _Contents:
    """Raises `_Damaged` or `_Newer`."""
    if data is None:
        return _NOTHING
    try:
        told = json.loads(data)
        if told["version"] > _VERSION:
            raise _Newer
        return _Contents(
            {key: _model(each) for key, each in list(told["models"].items())[-_MOST_MODELS:]},
            {key: _machine(each) for key, each in list(told["machines"].items())[-_MOST_MACHINES:]},
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise _Damaged from error


def _model(told: Mapping[str, Any]) -> _Model:
    prompt, answer, predicted = (float(told[name]) for name in ("prompt", "answer", "predicted"))
    answers, prompts, last = int(told["answers"]), int(told["prompts"]), float(told["last"])
    if not all(0 <= rate < _FASTEST for rate in (prompt, answer, predicted)):
        raise ValueError(tr("a speed that nothing has"))
    if answers < 0 or prompts < 0 or not math.isfinite(last):
        raise ValueError(tr("a count that nothing has"))
    return _Model(prompt, answer, predicted, answers, prompts, last)


def _machine(told: Mapping[str, Any]) -> MachineFigures:
    gpus = tuple(_figures(GpuFigures, gpu) for gpu in told["gpus"])
    return _figures(MachineFigures, {**told, "gpus": gpus})


def _figures(kind: type[F], told: Mapping[str, Any]) -> F:
    """`MachineFigures` or `GpuFigures`: rates above 0, times from 0, a source that is one."""
    values = {field.name: told[field.name] for field in fields(kind)}
    for name, value in values.items():
        if not isinstance(value, _KINDS.get(name, (int, float))):
            raise TypeError(f"{name} cannot be {value}")
        if isinstance(value, int | float):
            least = 0 if name.endswith("_s") or name == "unified" else _LEAST_FIGURE
            if not (math.isfinite(value) and value >= least):
                raise ValueError(tr("{name} cannot be {value}", name=name, value=value))
    if values["source"] not in ("measured", "table", "guess"):
        raise ValueError(tr("a source that there is not"))
    return kind(**values)


_KINDS: Mapping[str, tuple[type, ...]] = {
    "name": (str,),
    "source": (str,),
    "unified": (bool,),
    "gpus": (tuple,),
}
"""The fields that are no figures."""

_LEAST_FIGURE = 1e-6  # of a rate or a share: anything would take for ever
