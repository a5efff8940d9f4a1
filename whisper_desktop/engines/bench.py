"""What this computer reaches with a language model: two models are timed on a real engine.

The guide is so small that it shows what a layer takes, whatever is read; a synthetic model of a gigabyte is
too large for any cache, so it shows what the memory gives. Two equations, two unknowns. How fast a prompt is
read tells what arithmetic is reached.

One thread for each core is the fastest while nothing else runs, and may be many times slower otherwise: a
layer waits for its slowest thread. So both are timed, with a thread for each core and with one less, quiet
and beside a busy core.

The part about graphics cards is written after the same equations, and has never run on one.
"""

import asyncio
import statistics
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from whisper_desktop.engines import bench_conditions as conditions
from whisper_desktop.engines.readiness import authorization
from whisper_desktop.engines.spec import EngineAddress, EngineSpec, guide_spec
from whisper_desktop.engines.supervisor import Engine, make_engine
from whisper_desktop.errors import BackendError, EngineError
from whisper_desktop.language import tr, trn
from whisper_desktop.machine.figures import MachineFigures
from whisper_desktop.machine.pressure import measure
from whisper_desktop.models.calibration import Rate, Timing, best_threads, calibrated, predicted
from whisper_desktop.models.gguf import read_header
from whisper_desktop.models.shape import ModelShape, shape_of
from whisper_desktop.models.speed import Speed
from whisper_desktop.models.synthetic import Synthetic
from whisper_desktop.values import Deadlines, ErrorKind, Reach, ResourceInfo
from whisper_desktop.wire import fields

if TYPE_CHECKING:
    from whisper_desktop.wire.http import Http

ENGINE_ID = "bench"

_CONTEXT = 1024
_FIRST_TOKEN = 3  # those before it are special in most vocabularies
_TOKENS = 250  # so many different ones stand in a prompt
_LEAST_RUNS, _MOST_RUNS = 3, 7
_STEADY = 0.05  # how far the middle three may lie apart
_WIDEST = 0.3  # runs of one thing that lie farther apart say nothing
_RUN_S = 1.0  # seconds that one run should take
_FEW_S = 8.0  # seconds for a few tokens beside a busy core
_PROMPT_TOKENS, _ANSWER_TOKENS = (32, 512), (8, 400)  # the least and the most of one run
_LARGEST_REPLY = 1_000_000  # bytes


@dataclass(frozen=True, slots=True)
class Compared:
    """What was predicted for a model before anything was measured, and what was measured."""

    timing: Timing
    predicted: Speed


@dataclass(frozen=True, slots=True)
class Benchmark:
    """What came of it. `figures` are those of the tables with what was measured in their place.

    `trials` are the answers of the synthetic model with each number of threads, quiet and beside a busy core;
    `threads` is the number that is best in both together. `warnings` are sentences about what may have
    disturbed it; when it was `disturbed` so much that the figures say nothing, they are not to be kept.
    """

    figures: MachineFigures
    compared: tuple[Compared, ...]
    trials: tuple[Timing, ...]
    threads: int
    warnings: tuple[str, ...]
    disturbed: bool
    seconds: float


@dataclass(frozen=True, slots=True)
class _Subject:
    name: str
    path: Path
    shape: ModelShape

    @property
    def context(self) -> int:
        return min(_CONTEXT, self.shape.train_ctx or _CONTEXT)


class Bench:
    """One benchmark of this computer. `binary` None is the built-in engine, as for `EngineSpec`.

    `table` are the figures from the tables, with the cards that count. `folder` is where the synthetic model
    lies meanwhile; nothing of it is left, however the benchmark ends. `say` gets a few words at each step.
    After `limit` seconds runs are no longer repeated, and after twice as many all is given up.
    """

    def __init__(
        self,
        resources: ResourceInfo,
        table: MachineFigures,
        *,
        http: "Http",
        folder: Path,
        deadlines: Deadlines,
        binary: Path | None = None,
        model: Synthetic | None = None,
        say: Callable[[str], None] = lambda _words: None,
        limit: float = 60.0,
    ) -> None:
        self._cores = max(1, resources.cores_physical)
        self._table = table
        self._http = http
        self._folder = folder
        self._deadlines = deadlines
        self._binary = binary
        self._wanted = model
        self._say = say
        self._limit = limit
        self._until = 0.0

    async def run(self) -> Benchmark:
        """Measure. Raises `EngineError`, `BackendError` and `OSError`."""
        try:
            async with asyncio.timeout(2 * self._limit):
                return await self._run()
        except TimeoutError:
            raise EngineError(
                tr("This took too long, so nothing was measured."),
                tr(
                    "It was given up after {number:.0f} s: the computer is very slow, or very busy.",
                    number=2 * self._limit,
                ),
                tr("Close other programs, then try again."),
                cause="bench_late",
            ) from None

    async def _run(self) -> Benchmark:
        began = time.monotonic()
        self._until = began + self._limit
        self._say(tr("Looking at what else runs…"))
        await asyncio.to_thread(conditions.remove_old, self._folder)
        disk, load = await asyncio.gather(
            asyncio.to_thread(conditions.free_on_disk, self._folder), conditions.other_load()
        )
        now = await asyncio.to_thread(measure)
        model = self._wanted or conditions.chosen(now, disk)
        self._say(tr("Writing a model to measure with…"))
        async with conditions.written(self._folder, model) as path:
            large = _Subject(tr("synthetic model"), path, await _shape(path))
            guide_path = guide_spec().model_path
            guide = _Subject("guide", guide_path, await _shape(guide_path))
            trials, prompts = await self._try_threads(large)
            threads = best_threads(trials)
            quiet = next(each for each in trials if each.threads == threads and not each.busy)
            timed = [(large, replace(quiet, prompt=prompts[threads]))]
            timed.append((guide, await self._time(guide, threads)))
            figures = calibrated(self._table, [(subject.shape, timing) for subject, timing in timed])
            if self._table.gpus:
                on_card = await self._time_on_card(large, guide)
                timed += on_card
                figures = calibrated(figures, [(subject.shape, timing) for subject, timing in on_card])
        compared = (
            Compared(timing, predicted(subject.shape, timing, self._table)) for subject, timing in timed
        )
        load = max(load, await conditions.other_load())
        rates = [rate for _, timing in timed for rate in (timing.answer, timing.prompt) if rate is not None]
        return Benchmark(
            figures,
            tuple(compared),
            trials,
            threads,
            conditions.warnings_for(now, load),
            load >= conditions.DISTURBING or max(rate.spread for rate in rates) > _WIDEST,
            time.monotonic() - began,
        )

    async def time_model(self, name: str, path: Path, threads: int) -> tuple[ModelShape, Timing]:
        """Time one model by itself, on the processor. Raises as `run` does, and `ModelFileError`."""
        self._until = time.monotonic() + self._limit
        subject = _Subject(name, path, await _shape(path))
        return subject.shape, await self._time(subject, threads)

    async def _try_threads(self, large: _Subject) -> tuple[tuple[Timing, ...], dict[int, Rate]]:
        """The answers with each number of threads, and how fast each reads a prompt."""
        trials: list[Timing] = []
        prompts: dict[int, Rate] = {}
        for threads in range(self._cores, max(0, self._cores - 2), -1):
            name = trn("{count} thread", "{count} threads", threads)
            self._say(tr("Timing the synthetic model with {name}…", name=name))
            async with self._serving(large, threads) as ask:
                await ask.warm_up()
                trials.append(Timing(large.name, threads, await ask.answers()))
                prompts[threads] = await ask.prompts()
                self._say(tr("Timing it with {name} beside a busy core…", name=name))
                with conditions.busy_core():
                    trials.append(Timing(large.name, threads, await ask.few_answers(), busy=True))
        return tuple(trials), prompts

    async def _time(self, subject: _Subject, threads: int) -> Timing:
        self._say(tr("Timing the {subject_name}…", subject_name=subject.name))
        async with self._serving(subject, threads) as ask:
            await ask.warm_up()
            return Timing(subject.name, threads, await ask.answers(), await ask.prompts())

    async def _time_on_card(self, *subjects: _Subject) -> list[tuple[_Subject, Timing]]:
        """The same with every layer on the first card; nothing where the build does not use it."""
        timed = []
        for subject in subjects:
            card = self._table.gpus[0].name
            self._say(tr("Timing the {subject_name} on {card}…", subject_name=subject.name, card=card))
            async with self._serving(subject, 1, layers=subject.shape.all_layers) as ask:
                outcome = ask.engine.outcome
                if outcome is None or outcome.gpu_layers != subject.shape.all_layers:
                    return []
                await ask.warm_up()
                answers = await ask.answers()
                timed.append((subject, Timing(subject.name, 1, answers, await ask.prompts(), gpu=card)))
        return timed

    @asynccontextmanager
    async def _serving(
        self, subject: _Subject, threads: int, layers: int = 0
    ) -> AsyncGenerator["_Asked", None]:
        spec = EngineSpec(
            model_path=subject.path,
            alias=subject.name,
            n_ctx=subject.context,
            n_gpu_layers=layers,
            threads=threads,
            binary=self._binary,
            extra_args=("--split-mode", "none") if layers and len(self._table.gpus) > 1 else (),
            engine_id=ENGINE_ID,
        )
        engine = make_engine(spec, http=self._http, deadlines=self._deadlines)
        try:
            address = await engine.ensure_ready()
            yield _Asked(engine, address, subject, self._http, self._deadlines, self._until)
        finally:
            await engine.close()


class _Asked:
    """An engine that is timed."""

    def __init__(
        self,
        engine: Engine,
        address: EngineAddress,
        subject: _Subject,
        http: "Http",
        deadlines: Deadlines,
        until: float,
    ) -> None:
        self.engine = engine
        self._address = address
        self._subject = subject
        self._http = http
        self._deadlines = deadlines
        self._until = until
        self._asked = 0
        self._prompt_tokens, self._answer_tokens = (least for least, _ in (_PROMPT_TOKENS, _ANSWER_TOKENS))

    async def warm_up(self) -> None:
        """The first answers fill buffers and wake the processor; how long they take tells how much to ask."""
        await self._ask(self._prompt_tokens, self._answer_tokens)
        prompt, answer = await self._ask(self._prompt_tokens, self._answer_tokens)
        half = self._subject.context // 2
        self._prompt_tokens = round(min(max(prompt * _RUN_S, _PROMPT_TOKENS[0]), _PROMPT_TOKENS[1], half))
        self._answer_tokens = round(min(max(answer * _RUN_S, _ANSWER_TOKENS[0]), _ANSWER_TOKENS[1], half))

    async def prompts(self) -> Rate:
        """How fast it reads, in tokens a second."""
        tokens = self._prompt_tokens

        async def once() -> float:
            return (await self._ask(tokens, 2))[0]

        return await self._repeated(once, tokens)

    async def answers(self) -> Rate:
        """How fast it writes, in tokens a second."""
        tokens = self._answer_tokens

        async def once() -> float:
            return (await self._ask(2, tokens))[1]

        return await self._repeated(once, tokens)

    async def few_answers(self) -> Rate:
        """The same of a few tokens, once or more: where threads wait for each other, one takes seconds.

        No `runs` mean that not even the first ended, and that it is slower than what is told.
        """
        tokens, began = _ANSWER_TOKENS[0], time.monotonic()
        rates: list[float] = []
        while len(rates) < _LEAST_RUNS and time.monotonic() < began + _FEW_S:
            try:
                rates.append((await self._ask(2, tokens, total=_FEW_S))[1])
            except BackendError as error:
                if error.kind is not ErrorKind.TOTAL_TIMEOUT:
                    raise
                break
        return rate_of(rates, tokens) if rates else Rate(tokens / _FEW_S, 0.0, 0, tokens)

    async def _repeated(self, once: Callable[[], Awaitable[float]], tokens: int) -> Rate:
        rates = [await once()]
        while len(rates) < _MOST_RUNS and time.monotonic() < self._until:
            if len(rates) >= _LEAST_RUNS and is_steady(rates):
                break
            rates.append(await once())
        return rate_of(rates, tokens)

    async def _ask(
        self, prompt_tokens: int, answer_tokens: int, *, total: float | None = None
    ) -> tuple[float, float]:
        """Tokens a second of one prompt and of one answer, by the engine's own clock."""
        self._asked += 1
        most = min(_TOKENS, max(1, self._subject.shape.vocabulary - _FIRST_TOKEN))
        reply = await self._http.request(
            "POST",
            f"{self._address.url}/completion",
            allowed=Reach.THIS_MACHINE,
            json={
                "prompt": [_FIRST_TOKEN + (7 * place + self._asked) % most for place in range(prompt_tokens)],
                "n_predict": answer_tokens,
                "ignore_eos": True,
                "cache_prompt": False,
                "temperature": 0,
            },
            headers=authorization(self._address),
            total=total or self._deadlines.engine_hang,
            max_bytes=_LARGEST_REPLY,
        )
        told = fields.table(fields.parsed(reply.body.decode("utf-8", "replace")))
        rates = rates_in(fields.table(told.get("timings"))) if reply.status == 200 else None
        if rates is None:
            raise EngineError(
                tr("The engine could not be timed."),
                tr("It answered {status} without saying how long it took.", status=reply.status),
                tr("Update the engine with `whisper-desktop engine builds install`, then try again."),
                cause="bench_no_timings",
            )
        return rates


def rates_in(timings: Mapping[str, object]) -> tuple[float, float] | None:
    """Tokens a second of the prompt and of the answer, from llama-server's `timings`; None without them.

    Its clock for the answer starts with the first token, which therefore does not count.
    """
    prompt_n, prompt_ms, answer_n, answer_ms = (
        fields.number(timings.get(name)) for name in ("prompt_n", "prompt_ms", "predicted_n", "predicted_ms")
    )
    if not (prompt_n and prompt_ms and answer_n and answer_n > 1 and answer_ms):
        return None
    return 1000 * prompt_n / prompt_ms, 1000 * (answer_n - 1) / answer_ms


def rate_of(rates: Sequence[float], tokens: int) -> Rate:
    """The rate of several runs of so many tokens. Raises `ValueError` without any."""
    median = statistics.median(rates)
    return Rate(median, (max(rates) - min(rates)) / median, len(rates), tokens)


def is_steady(rates: Sequence[float]) -> bool:
    """Whether the middle three of them lie close together."""
    ordered = sorted(rates)
    first = (len(ordered) - 3) // 2
    middle = ordered[max(0, first) : first + 3]
    return len(middle) == 3 and middle[2] - middle[0] <= _STEADY * middle[1]


async def _shape(path: Path) -> ModelShape:
    shape = shape_of(await asyncio.to_thread(read_header, path))
    assert shape is not None, tr("the models that are timed say how many layers they have")
    return shape
