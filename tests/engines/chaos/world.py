"""An engine, the chain over it that questions go through, and all that must be as before after a fault."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from tests.engines.chaos.table import NOTHING, Table
from tests.engines.conftest import until
from whisper_desktop.backends import create_backend
from whisper_desktop.engines.launch import is_free
from whisper_desktop.engines.spec import EngineSpec
from whisper_desktop.engines.supervisor import Engine, make_engine
from whisper_desktop.errors import WhisperError
from whisper_desktop.llm import LLMClient, Shared
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
"""Short where a wait runs out. What is promised as a time, the stop above all, is as it is."""

ANSWER_S = 15.0
"""In which every question ends, in an answer or an error. The slowest fault, a start that freezes, takes
seven seconds with `HASTY`; the rest is for a busy machine.
"""

STOP_S = 3.0
SETTLED_S = 3.0
"""In which nothing may be left of a fault."""

UNSEEN_S = 2.0
"""After which a question finds out what nobody saw: an engine that nobody uses is not looked at."""

SHORT = GenerationConfig(max_tokens=20, temperature=0.0, seed=1, extra={"ignore_eos": True})
LONG_ANSWER = replace(SHORT, max_tokens=2000)
ENDLESS = replace(SHORT, max_tokens=100_000)
LOG_LINES = 30


class Problem(Exception):
    """A promise was broken."""


@dataclass
class Asked:
    """A question under way, or what became of it. `first` is set at its first text, or its end."""

    text: str = ""
    error: BaseException | None = None
    finished: bool = False
    seconds: float = 0.0
    first: asyncio.Event = field(default_factory=asyncio.Event)
    task: "asyncio.Task[None] | None" = None

    def cancel(self) -> None:
        """Nobody wants the answer any more."""
        assert self.task is not None
        self.task.cancel()

    def __str__(self) -> str:
        return f"{len(self.text)} letters, {self.error!r}"


class World:
    """One engine over many faults.

    `seen` are its states since the fault began, `whole` what `LONG_ANSWER` is when nothing disturbs it,
    `load_s` how long a start takes from its process on, `asleep` for how long the computer has slept.
    """

    def __init__(self, spec: EngineSpec, folder: Path, http: Http, table: Table) -> None:
        self.sound = spec.model_path.read_bytes()
        self.model = folder / "model.gguf"
        self.model.write_bytes(self.sound)
        self.spec = replace(spec, model_path=self.model)
        self.table = table
        self.http = http
        self.seen: list[EngineStatus] = []
        self.starts = 0
        self.whole = ""
        self.load_s = 0.0
        self.asleep = 0.0
        self._ports: set[int] = set()
        self._asks: list[Asked] = []
        self._unhandled: list[str] = []
        self._children = {child.pid for child in _children()}
        self._tasks = asyncio.all_tasks()
        self._files: int | None = None
        self._kept: set[Path] = set()
        asyncio.get_running_loop().set_exception_handler(self._went_wrong)
        self.engine, self.client = self._made()

    def _made(self) -> tuple[Engine, LLMClient]:
        engine = make_engine(
            self.spec, http=self.http, deadlines=HASTY, on_change=self._changed, chance=lambda: 0.5
        )
        step = create_backend({"backend": "builtin"}, http=self.http, engine=engine, deadlines=HASTY)
        return engine, LLMClient([step], shared=Shared(HASTY))

    def _changed(self, status: EngineStatus) -> None:
        self.seen.append(status)
        self.starts += status.state is S.STARTING
        if status.url is not None:
            self._ports.add(_port(status.url))

    def _went_wrong(self, _loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        self._unhandled.append(f"{context.get('message')}: {context.get('exception')!r}")

    async def learn(self) -> None:
        """What things are like when nothing disturbs them."""
        await self.answered()
        asked = await self.loading(0.0)
        began = time.monotonic()
        await until(lambda: self.state is S.READY, ANSWER_S)
        self.load_s = time.monotonic() - began
        await self.end(asked)
        self.whole = (await self.answered(LONG_ANSWER)).text
        self._kept = set(_stray_files())

    # --- questions ----------------------------------------------------------------------------------------

    def begin(self, config: GenerationConfig = SHORT, prompt: str = "Hi") -> Asked:
        """Ask, in a task of its own."""
        asked = Asked()
        asked.task = asyncio.create_task(self._read(asked, config, prompt))
        self._asks.append(asked)
        return asked

    async def _read(self, asked: Asked, config: GenerationConfig, prompt: str) -> None:
        began = time.monotonic()
        try:
            async with self.client.stream(prompt, config) as events:
                async for event in events:
                    if event.text:
                        asked.text += event.text
                        asked.first.set()
                    asked.finished = isinstance(event, AnswerFinished)
        except Exception as error:
            asked.error = error
        finally:
            asked.seconds = time.monotonic() - began
            asked.first.set()

    async def end(self, asked: Asked) -> Asked:
        """Wait for its end: an answer, or an error in words for a person, with the cause if one was told."""
        assert asked.task is not None
        began = time.monotonic()
        _, late = await asyncio.wait({asked.task}, timeout=ANSWER_S)
        if late:
            raise Problem(f"a question did not end within {ANSWER_S:g} s")
        self.table.took("wait for the end of a question", time.monotonic() - began, ANSWER_S)
        if asked.task.cancelled():
            return asked
        if asked.error is None and not (asked.finished and asked.text):
            raise Problem("a question ended without an answer and without an error")
        if asked.error is not None and not (isinstance(asked.error, WhisperError) and asked.error.title):
            raise Problem(f"a question ended in no named error: {asked.error!r}") from asked.error
        return asked

    async def ask(self, config: GenerationConfig = SHORT) -> Asked:
        """Ask and wait for the end."""
        return await self.end(self.begin(config))

    async def answered(self, config: GenerationConfig = SHORT) -> Asked:
        """Ask; an answer must come."""
        asked = await self.ask(config)
        if asked.error is not None:
            raise Problem(f"no answer came: {asked.error}") from asked.error
        return asked

    async def refused(self) -> str:
        """Ask; an error must come that says the cause. Its words."""
        asked = await self.ask()
        if asked.error is None:
            raise Problem("an answer came although the engine cannot run")
        self.says_why(asked)
        return str(asked.error)

    def says_why(self, asked: Asked) -> None:
        """The error says what the engine's state says: the cause, in the same words."""
        titles = {status.detail.partition(". ")[0] for status in self.seen if status.cause}
        if asked.error is not None and not any(title in str(asked.error) for title in titles):
            raise Problem(f"the error does not name the cause {self.cause}: {asked.error}")

    @asynccontextmanager
    async def streaming(self) -> AsyncIterator[Asked]:
        """While an answer without an end is being written, which what is done in the block must end."""
        asked = self.begin(ENDLESS)
        async with asyncio.timeout(ANSWER_S):
            await asked.first.wait()
        if asked.error is not None:
            raise Problem(f"no answer came: {asked.error}") from asked.error
        yield asked
        await self.end(asked)

    async def undisturbed(self, asked: Asked) -> None:
        """A `LONG_ANSWER` that must come as if nothing had happened."""
        await self.end(asked)
        if asked.error is not None or asked.text != self.whole:
            raise Problem(f"the answer was harmed: {asked}")

    # --- the engine ---------------------------------------------------------------------------------------

    @property
    def state(self) -> EngineState:
        return self.engine.status().state

    @property
    def process(self) -> int | None:
        """The engine's process id, if one runs."""
        return self.engine.status().pid

    @property
    def pid(self) -> int:
        """The engine's process id."""
        if (pid := self.process) is None:
            raise Problem(f"no process runs: {self.engine.status()}")
        return pid

    def signal(self, number: int) -> None:
        """Send a signal to the engine."""
        os.kill(self.pid, number)

    async def stop(self, what: str = "stop") -> None:
        """Stop the engine, in time."""
        began = time.monotonic()
        await self.engine.stop()
        took = time.monotonic() - began
        self.table.took(what, took, STOP_S)
        if took >= STOP_S:
            raise Problem(f"the {what} took {took:.2f} s")

    async def loading(self, moment: float, config: GenerationConfig = SHORT) -> Asked:
        """A question that starts the engine, at that moment of the load: from 0 to 1, which is ready."""
        await self.stop()
        asked = self.begin(config)
        if not await until(lambda: self.process is not None, ANSWER_S):
            raise Problem("no process was started")
        await asyncio.sleep(moment * self.load_s)
        return asked

    # --- what it tells ------------------------------------------------------------------------------------

    @property
    def cause(self) -> str:
        """The causes told since the fault began, each once; `NOTHING` where there was none."""
        return "+".join(dict.fromkeys(status.cause for status in self.seen if status.cause)) or NOTHING

    async def told(self, *, may_be_lost: bool = False) -> None:
        """Return when a cause was told; a question finds out what nobody looks at.

        A signal that `may_be_lost` may also leave it running and answering.
        """
        if not await until(lambda: self.cause != NOTHING, UNSEEN_S):
            await self.ask()
            if not await until(lambda: self.cause != NOTHING, ANSWER_S):
                if may_be_lost and self.state is S.READY:
                    return
                raise Problem("no cause was told")

    def forget(self, cause: str) -> None:
        """What was told of the first of two faults."""
        if self.cause.partition("+")[0] != cause:
            raise Problem(f"{cause} was not told, but {self.cause}")
        self.seen = [status for status in self.seen if status.cause != cause]

    @property
    def was_ready(self) -> bool:
        """Whether it got ready before the first cause was told."""
        for status in self.seen:
            if status.cause or status.state is S.READY:
                return not status.cause
        return False

    # --- one fault after the other ------------------------------------------------------------------------

    def begin_round(self) -> None:
        """What was told so far is no matter of the next fault."""
        self.seen.clear()
        self._asks.clear()

    def mend_model(self) -> None:
        """The sound model in its place, whatever is there."""
        if self.model.is_fifo():
            os.close(os.open(self.model, os.O_RDWR | os.O_NONBLOCK))  # who waits for a writer waits no more
        if self.model.is_dir():
            self.model.rmdir()
        else:
            self.model.unlink(missing_ok=True)
        self.model.write_bytes(self.sound)

    async def recover(self) -> None:
        """After a broken promise: nothing of it disturbs the next fault."""
        tasks = {asked.task for asked in self._asks if asked.task is not None}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        with suppress(WhisperError):
            await self.engine.stop()
        for child in _children():
            if child.pid not in self._children:
                child.kill()
        self.mend_model()
        self._unhandled.clear()
        self._ports.clear()
        self._tasks = asyncio.all_tasks()
        self._files = None
        self._kept = set(_stray_files())
        self.engine, self.client = self._made()

    def report(self, what: str, error: Exception) -> str:
        """A broken promise, with what was asked, told and logged."""
        asks = [f"  asked: {asked}" for asked in self._asks]
        states = [f"  {each.state.value} {each.cause} {each.detail}" for each in self.seen]
        log = [f"  | {line}" for line in self.engine.log_tail(LOG_LINES)]
        return "\n".join([f"{what}: {error!r}", *asks, *states, *log])

    # --- what must be as before ---------------------------------------------------------------------------

    async def settle(self) -> None:
        """Return when nothing is left but a running engine. Raises `Problem`."""
        await until(lambda: not self._left_behind(), SETTLED_S)
        left, self._unhandled = self._left_behind() + self._unhandled, []
        if left:
            raise Problem("left behind: " + "; ".join(left))
        self._ports.clear()
        if self.process is None:
            await self._settle_files()

    def _left_behind(self) -> list[str]:
        status, limiter = self.engine.status(), self.client.shared.limiter
        own = {status.pid} - {None}
        current = _port(status.url) if status.url else 0
        found = [f"process {each.pid}" for each in _children() if each.pid not in self._children | own]
        found += [f"port {port}" for port in self._ports - {current} if not is_free(port)]
        found += [f"file {path}" for path in set(_stray_files()) - self._kept]
        if (records := len(list(run_dir().glob("engine-*.json")))) != len(own):
            found.append(f"{records} records for {len(own)} engines")
        held = (self.engine.leases, limiter.active, limiter.waiting, self.http.under_way)
        if any(held):
            found.append(f"leases, places, those who wait for a place, requests: {held}")
        if not own:
            found += [f"{task}" for task in asyncio.all_tasks() - self._tasks - {asyncio.current_task()}]
        return found

    async def _settle_files(self) -> None:
        """No more files and sockets are open than after the first fault."""
        await self.http.refresh()
        most = self._files = self._files or psutil.Process().num_fds()
        if not await until(lambda: psutil.Process().num_fds() <= most, SETTLED_S):
            raise Problem(f"{psutil.Process().num_fds()} files and sockets are open, {most} were before")


def _children() -> Iterable[psutil.Process]:
    return psutil.Process().children(recursive=True)


def _port(url: str) -> int:
    return urlsplit(url).port or 0


def _stray_files() -> Iterable[Path]:
    """Files outside the logs that are no record of an engine."""
    for root in (Path(os.environ["TMPDIR"]), Path(os.environ["WHISPER_HOME"])):
        for path in root.rglob("*"):
            record = path.parent == run_dir() and path.name.startswith("engine-")
            if path.is_file() and not record and not path.is_relative_to(log_dir()):
                yield path
