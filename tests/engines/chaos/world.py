"""An engine, the chain over it that a person's questions go through, and all that must be as before after a fault."""

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, contextmanager
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from tests.engines.chaos.table import NOTHING, Table
from tests.engines.conftest import gone, until
from whisper_desktop.backends import create_backend
from whisper_desktop.engines.launch import is_free
from whisper_desktop.engines.spec import EngineSpec
from whisper_desktop.engines.supervisor import Engine, make_engine
from whisper_desktop.errors import WhisperError
from whisper_desktop.llm import LLMClient
from whisper_desktop.llm.shared import Shared
from whisper_desktop.settings.paths import log_dir, run_dir
from whisper_desktop.values import AnswerFinished, Deadlines, EngineState, EngineStatus, GenerationConfig
from whisper_desktop.wire.http import Http

S = EngineState

HASTY = replace(
    Deadlines(),
    request=1.0,
    retry_pause=0.01,
    breaker_local=0.05,
    breaker_local_most=0.05,
    engine_start=5.0,
    engine_stall=2.0,
    engine_ask=2.0,
    engine_hang=1.5,
    engine_watch=0.2,
    engine_leave=0.3,
    engine_restart=0.05,
    engine_restart_most=0.2,
)
"""Short where a fault is a wait that runs out. What is promised as a time, the stop above all, is as it is."""

ANSWER_S = 15.0
"""In which every question ends, in an answer or an error: `HASTY` lets the slowest fault, a start that
freezes, take seven seconds; the rest is for a busy machine."""

STOP_S = 3.0
SETTLED_S = 3.0
"""In which nothing may be left of a fault."""

SHORT = GenerationConfig(max_tokens=20, temperature=0.0, seed=1, extra={"ignore_eos": True})
ENDLESS = replace(SHORT, max_tokens=100_000)


class Problem(Exception):
    """A promise was broken."""


@dataclass
class Asked:
    """A question under way, or what became of it."""

    text: str = ""
    error: BaseException | None = None
    finished: bool = False
    seconds: float = 0.0
    first: asyncio.Event = field(default_factory=asyncio.Event)
    task: "asyncio.Task[None] | None" = None

    def __str__(self) -> str:
        return f"{len(self.text)} letters, {self.error!r}"


class World:
    """One engine over many faults. `seen` are its states since the fault's round began."""

    def __init__(self, spec: EngineSpec, folder: Path, http: Http, table: Table) -> None:
        self.model = folder / "model.gguf"
        self.sound = spec.model_path.read_bytes()
        self.model.write_bytes(self.sound)
        self.spec = replace(spec, model_path=self.model)
        self.temporary = Path(os.environ["TMPDIR"])
        self.http = http
        self.table = table
        self.seen: list[EngineStatus] = []
        self.ports: set[int] = set()
        self.asleep = 0.0
        self.errors: list[str] = []
        self.asks: list[Asked] = []
        self.load_s = 0.3
        self.engine: Engine
        self.client: LLMClient
        self._children = {child.pid for child in self._family()}
        self._tasks = asyncio.all_tasks()
        self._files: int | None = None
        asyncio.get_running_loop().set_exception_handler(self._went_wrong)
        self.begin_anew()

    def begin_anew(self) -> None:
        """Another engine and chain, after a broken promise."""
        self.engine = make_engine(
            self.spec, http=self.http, deadlines=HASTY, on_change=self._changed, chance=lambda: 0.5
        )
        step = create_backend({"backend": "builtin"}, http=self.http, engine=self.engine, deadlines=HASTY)
        self.client = LLMClient([step], shared=Shared(HASTY))

    def _changed(self, status: EngineStatus) -> None:
        self.seen.append(status)
        if status.url is not None:
            self.ports.add(urlsplit(status.url).port or 0)

    def _went_wrong(self, _loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        self.errors.append(f"{context.get('message')}: {context.get('exception')!r}")

    # --- questions ----------------------------------------------------------------------------------------

    def begin(self, config: GenerationConfig = SHORT) -> Asked:
        """Ask, in a task of its own."""
        asked = Asked()
        asked.task = asyncio.create_task(self._read(asked, config))
        self.asks.append(asked)
        return asked

    async def _read(self, asked: Asked, config: GenerationConfig) -> None:
        began = time.monotonic()
        try:
            async with self.client.stream("Hi", config) as events:
                async for event in events:
                    if event.text:
                        asked.text += event.text
                        asked.first.set()
                    asked.finished = isinstance(event, AnswerFinished)
        except BaseException as error:
            asked.error = error
            if isinstance(error, asyncio.CancelledError):
                raise
        finally:
            asked.seconds = time.monotonic() - began
            asked.first.set()

    async def end(self, asked: Asked) -> Asked:
        """Wait for its end: an answer, or an error in words for a person."""
        assert asked.task is not None
        _, late = await asyncio.wait({asked.task}, timeout=ANSWER_S)
        if late:
            asked.task.cancel()
            raise Problem(f"a question did not end within {ANSWER_S:g} s")
        if not asked.task.cancelled():
            if asked.error is not None and not (isinstance(asked.error, WhisperError) and asked.error.title):
                raise Problem(f"a question ended in no named error: {asked.error!r}") from asked.error
            if asked.error is None and not (asked.finished and asked.text):
                raise Problem("a question ended without an answer and without an error")
        return asked

    async def ask(self, config: GenerationConfig = SHORT) -> Asked:
        """Ask and wait for the end."""
        asked = await self.end(self.begin(config))
        self.table.took("question", asked.seconds, ANSWER_S)
        return asked

    async def answered(self, config: GenerationConfig = SHORT) -> Asked:
        """Ask; an answer must come."""
        asked = await self.ask(config)
        if asked.error is not None:
            raise Problem(f"no answer came: {asked.error}") from asked.error
        return asked

    async def refused(self) -> WhisperError:
        """Ask; an error must come."""
        asked = await self.ask()
        if not isinstance(asked.error, WhisperError):
            raise Problem("an answer came although the engine cannot run")
        return asked.error

    @asynccontextmanager
    async def streaming(self) -> AsyncIterator[Asked]:
        """While an answer without an end is being written; its end, at the end of the block, is a fault's."""
        asked = self.begin(ENDLESS)
        async with asyncio.timeout(ANSWER_S):
            await asked.first.wait()
        if asked.error is not None:
            raise Problem(f"no answer came: {asked.error}") from asked.error
        yield asked
        await self.end(asked)
        # The time since the fault, not that of the reading before it, is what was waited.

    # --- the engine ---------------------------------------------------------------------------------------

    @property
    def state(self) -> EngineState:
        return self.engine.status().state

    @property
    def pid(self) -> int:
        pid = self.engine.status().pid
        if pid is None:
            raise Problem(f"no process runs: {self.engine.status()}")
        return pid

    def process(self) -> int | None:
        """The engine's process id, if one runs."""
        return self.engine.status().pid

    async def stop(self) -> float:
        """Stop the engine; how long that took."""
        began = time.monotonic()
        await self.engine.stop()
        took = time.monotonic() - began
        if took >= STOP_S:
            raise Problem(f"the stop took {took:.2f} s")
        return took

    async def loading(self, moment: float, config: GenerationConfig = SHORT) -> Asked:
        """A question that starts the engine, left alone at that moment of the load (0 to 1)."""
        await self.engine.stop()
        asked = self.begin(config)
        if not await until(lambda: self.process() is not None, ANSWER_S):
            raise Problem("no process was started")
        await asyncio.sleep(moment * self.load_s)
        return asked

    def signal(self, number: int) -> None:
        """Send a signal to its process."""
        os.kill(self.pid, number)

    async def told(self) -> None:
        """Return when a cause was told."""
        if not await until(lambda: self.cause != NOTHING, ANSWER_S):
            raise Problem("no cause was told")

    @property
    def cause(self) -> str:
        """The causes told since the round began, each once; `NOTHING` where there was none."""
        causes = dict.fromkeys(status.cause for status in self.seen if status.cause)
        return "+".join(causes) or NOTHING

    @property
    def was_ready(self) -> bool:
        """Whether it was ready at any time before the first cause of this round was told."""
        for status in self.seen:
            if status.cause:
                return False
            if status.state is S.READY:
                return True
        return False

    # --- what must be as before ---------------------------------------------------------------------------

    def _family(self) -> Iterable[psutil.Process]:
        return psutil.Process().children(recursive=True)

    def left_behind(self) -> list[str]:
        """Everything that is left of the rounds so far, but for the engine itself where it runs."""
        status = self.engine.status()
        own = {status.pid} - {None}
        found = [
            f"process {child.pid}" for child in self._family() if child.pid not in self._children | own
        ]
        records = len(list(run_dir().glob("engine-*.json")))
        if records != len(own):
            found.append(f"{records} records for {len(own)} engines")
        current = urlsplit(status.url).port if status.url else None
        found += [f"port {port} is taken" for port in self.ports - {current} if not is_free(port)]
        found += [f"file {path}" for path in self._stray_files()]
        if self.engine.leases:
            found.append(f"{self.engine.leases} leases")
        limiter = self.client.shared.limiter
        if (limiter.active, limiter.waiting, self.http.under_way) != (0, 0, 0):
            found.append(f"requests: {limiter.active} {limiter.waiting} {self.http.under_way}")
        if not own:
            left = asyncio.all_tasks() - self._tasks - {asyncio.current_task()}
            found += [f"task {task}" for task in left]
        return found

    def _stray_files(self) -> Iterable[Path]:
        kept = (log_dir(), run_dir())
        for root in (self.temporary, Path(os.environ["WHISPER_HOME"])):
            for path in root.rglob("*"):
                if path.is_file() and not any(path.is_relative_to(each) for each in kept):
                    yield path
        yield from (path for path in run_dir().iterdir() if not path.name.startswith("engine-"))

    async def settle(self) -> None:
        """Return when nothing is left but a running engine. Raises `Problem`."""
        await until(lambda: not self.left_behind(), SETTLED_S)
        found = self.left_behind() + self.errors
        self.errors.clear()
        if found:
            raise Problem("left behind: " + "; ".join(found))
        self.ports.clear()

    async def settle_files(self) -> None:
        """With the engine stopped: no more files and sockets are open than after the first round."""
        await self.http.refresh()
        now = psutil.Process().num_fds()
        if self._files is None:
            self._files = now
        await until(lambda: psutil.Process().num_fds() <= (self._files or 0), SETTLED_S)
        now = psutil.Process().num_fds()
        if now > self._files:
            raise Problem(f"{now} files and sockets are open, {self._files} were after the first round")
