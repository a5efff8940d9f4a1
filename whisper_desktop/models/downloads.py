"""The queue of downloads: one at a time (or as many as are wanted), and what it knows outlives the program.

A job's files appear in their places when all of them are there and checked. After a restart, also after a
crash, what was under way waits for its turn again and goes on where it was; what was paused stays paused.
"""

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from whisper_desktop.errors import SettingsError, TransferError, WhisperError
from whisper_desktop.language import tr
from whisper_desktop.models.download_files import Line, check_room, drop, missing_bytes
from whisper_desktop.models.download_jobs import (
    Job,
    WantedFile,
    file_of_address,
    files_of_repository,
    moved,
    next_up,
    same_as,
    still,
    title_of,
    total_size,
)
from whisper_desktop.models.download_journal import kept_jobs, write_jobs
from whisper_desktop.models.download_programs import CAN_PAUSE, Program
from whisper_desktop.models.download_work import Worker
from whisper_desktop.models.hub import Hub
from whisper_desktop.models.sources import Source, choose
from whisper_desktop.values import Deadlines
from whisper_desktop.wire.bandwidth import Bandwidth
from whisper_desktop.wire.endings import to_its_end, to_the_end
from whisper_desktop.wire.files import try_lock
from whisper_desktop.wire.http import Http
from whisper_desktop.wire.part_file import not_written
from whisper_desktop.wire.progress import DownloadProgress

log = logging.getLogger(__name__)

_NOTES = "download-notes"  # a folder beside the journal
_MOST_DONE = 30  # finished jobs that are remembered
_MOST_OPEN = 100


class Downloads:
    """Fetches models into `folder`, and remembers in the file `journal` what there is to do.

    `programs` are Ollama and LM Studio by their ids, where they may be asked. `on_done` is told of each job
    that has ended well. `bandwidth` may be changed at any time, as may `at_once`; `connections` is how many
    one download opens. A journal is used by one object at a time, which belongs to the event loop that first
    uses it.
    """

    def __init__(
        self,
        http: Http,
        folder: Path,
        journal: Path,
        *,
        hub: Hub,
        programs: Mapping[str, Program] | None = None,
        at_once: int = 1,
        bandwidth: Bandwidth | None = None,
        connections: int = 4,
        deadlines: Deadlines = Deadlines(),
        on_done: Callable[[Job], None] = lambda _job: None,
    ) -> None:
        self.bandwidth = bandwidth or Bandwidth()
        line = Line(self.bandwidth, connections, journal.with_name(_NOTES))
        self._worker = Worker(http, hub, programs or {}, line, deadlines)
        self._folder = folder
        self._journal = journal
        self._hub = hub
        self._at_once = max(1, at_once)
        self._on_done = on_done
        self._jobs: tuple[Job, ...] = ()
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._lock: int | None = None
        self._opening = asyncio.Lock()
        self._adding = asyncio.Lock()
        self._writing = asyncio.Lock()
        self._changed = asyncio.Event()
        self._closed = False

    # --- what a person does -------------------------------------------------------------------------------

    async def add(self, source: Source) -> Job:
        """Queue a model. One that is queued or here already is not queued twice: its job is returned.

        What goes wrong before the first byte (no such file, a licence, no room on the disk) is raised here:
        `TransferError`, `ReachError` or `SecretsError`.
        """
        await self.open()
        async with self._adding:
            known = same_as((job for job in self._jobs if job.is_open), source, None)
            if known is not None:
                return await self._again(known)
            job = await self._described(source)
            known = same_as(self._jobs, source, job.target)
            if known is not None and known.is_open:
                if known.state != "running":
                    self._set(known.id, files=job.files, note=job.note, source=source)
                return await self._again(known)
            if known is not None and await asyncio.to_thread(_is_here, known, job):
                return known
            if sum(each.is_open for each in self._jobs) >= _MOST_OPEN:
                raise TransferError(
                    tr("The queue of downloads is full."),
                    tr("{most_open} are waiting.", most_open=_MOST_OPEN),
                    tr("Remove some of them, or wait until some are done."),
                )
            await self._check_room(job)
            if known is not None:
                self._remove(known.id)
            self._tell((*self._jobs, job))
            await self._keep()
            return job

    async def pause(self, number: int) -> None:
        """Stop a job until it is resumed; what has arrived is kept. Raises `TransferError`."""
        await self.open()
        job = self._job(number)
        if not CAN_PAUSE.get(job.source.kind, True):
            raise TransferError(
                tr("{title} can only be paused in LM Studio.", title=job.title),
                tr("LM Studio does not let other programs do it."),
                tr("Open its list of downloads and pause it there."),
            )
        try:
            await self._stopped(number)
        finally:
            self._tell(tuple(_paused(each) if each.id == number else each for each in self._jobs))
        await self._keep()

    async def resume(self, number: int) -> None:
        """Have a paused or failed job wait for its turn again. Raises `TransferError` without room."""
        await self.open()
        await self._again(self._job(number))

    async def cancel(self, number: int, *, keep: bool = True) -> str:
        """Take a job off the list; a sentence says what becomes of what has arrived.

        With `keep` it stays on the disk, and adding the model again goes on there. Raises `TransferError`.
        """
        await self.open()
        await self._stopped(number)
        job = self._job(number)
        self._remove(number)
        await self._keep()
        if job.state == "done":
            return tr("{title} is off the list. The model stays where it is.", title=job.title)
        if job.source.kind == "ollama":
            return tr("Ollama keeps what has arrived, and goes on there when the model is asked for again.")
        if job.source.kind == "lm_studio":
            return tr("LM Studio goes on with it by itself. Stop it there if you do not want it.")
        if keep:
            return tr("What has arrived is kept, and adding the model again goes on there.")
        try:
            await to_its_end(asyncio.to_thread(drop, job.files))
        except OSError as error:
            raise TransferError(
                tr("What has arrived of {title} could not be removed.", title=job.title),
                tr("The system says: {strerror}.", strerror=error.strerror),
                tr("Remove it by hand: {parent}.", parent=job.files[0].target.parent),
            ) from error
        return tr("What had arrived is removed.")

    async def move(self, number: int, place: int) -> None:
        """Have a job at another place of the list, 0 being the first. Raises `TransferError`."""
        await self.open()
        self._job(number)
        self._tell(moved(self._jobs, number, place))
        await self._keep()

    def jobs(self) -> tuple[Job, ...]:
        """All of them as they are now, in their order. Nothing before `open`, or what opens it."""
        return self._jobs

    async def watch(self) -> AsyncGenerator[tuple[Job, ...], None]:
        """The jobs as they are, and again after each change; who is slow misses only what is out of date."""
        await self.open()
        while not self._closed:
            changed = self._changed
            yield self._jobs
            await changed.wait()

    @property
    def at_once(self) -> int:
        """How many jobs may run side by side. Fewer take effect as they end."""
        return self._at_once

    @at_once.setter
    def at_once(self, value: int) -> None:
        self._at_once = max(1, value)
        self._tell(self._jobs)

    # --- its life -----------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Take the journal, and read what is to be done. Raises `TransferError` where another one has it."""
        async with self._opening:
            if self._lock is None:
                self._lock, jobs = await to_its_end(asyncio.to_thread(self._taken))
                self._tell(jobs)

    async def run(self) -> None:
        """Fetch what waits, until this is cancelled. Raises `TransferError` like `open`."""
        await self.open()
        try:
            while True:
                changed = self._changed
                for number in next_up(self._jobs, self._at_once):
                    self._set(number, state="running", error="")
                    task = self._tasks[number] = asyncio.create_task(self._work(self._job(number)))
                    task.add_done_callback(self._forget_task)
                    changed = self._changed
                await changed.wait()
        finally:
            tasks = tuple(self._tasks.values())
            for task in tasks:
                task.cancel()
            await to_the_end(*tasks)
            self._tell(tuple(_waiting(job) for job in self._jobs))
            await to_the_end(self._keep())

    async def aclose(self) -> None:
        """Let go of the journal, and end every `watch`. To be called when `run` has ended."""
        self._closed = True
        self._changed.set()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _taken(self) -> tuple[int, tuple[Job, ...]]:
        lock = self._journal.with_name(f"{self._journal.name}.lock")
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise not_written(error, lock) from error
        try:
            if not try_lock(descriptor):
                raise TransferError(
                    tr("Models are being downloaded by another window or program of this app."),
                    tr("Two of them would get in each other's way."),
                    tr("Use that one, or try again when it has ended."),
                )
            return descriptor, kept_jobs(self._journal)
        except OSError as error:
            os.close(descriptor)
            raise TransferError(
                tr("The list of downloads cannot be read."),
                tr("The system says: {strerror}.", strerror=error.strerror),
                tr("See whether {journal} may be read; nothing in it was changed.", journal=self._journal),
            ) from error
        except BaseException:
            os.close(descriptor)
            raise

    # --- one job ------------------------------------------------------------------------------------------

    async def _described(self, source: Source) -> Job:
        """The job for a source, with all that can be known before it begins."""
        number = max((job.id for job in self._jobs), default=0) + 1
        if source.kind in ("ollama", "lm_studio"):
            note = tr("The total may grow on the way.") if source.kind == "ollama" else ""
            return Job(number, source, source.name, note=note)
        if source.kind == "url":
            files: tuple[WantedFile, ...] = (file_of_address(self._folder, source.name),)
            note = tr("Nobody tells its checksum, so only its size can be checked.")
            return Job(number, source, title_of(files), files[0].target, files=files, note=note)
        repo = await self._hub.repo(source.name, source.revision)
        chosen = choose(repo.files, source)
        urls = [self._hub.url(repo.name, file.path, repo.commit) for file in chosen.files]
        refusal = await self._hub.refusal(urls[0], repo.name, chosen.files[0].path)
        if refusal is not None:
            raise refusal
        files = files_of_repository(self._folder, repo.name, chosen.files, urls, repo.files)
        progress = DownloadProgress(0, total_size(files))
        return Job(
            number,
            source,
            title_of(files),
            files[0].target,
            progress=progress,
            note=chosen.note,
            files=files,
        )

    async def _again(self, job: Job) -> Job:
        if job.state in ("paused", "failed"):
            await self._check_room(job)
            self._set(job.id, state="waiting", error="")
            await self._keep()
        return self._job(job.id)

    async def _check_room(self, job: Job) -> None:
        """The disk has to take all that is queued, not only the next one."""
        others = [
            each.files for each in self._jobs if each.id != job.id and each.state in ("waiting", "running")
        ]

        def check() -> None:
            own = missing_bytes(job.files)
            check_room(self._folder, job.title, own, sum(missing_bytes(files) for files in others))

        if job.files:
            await asyncio.to_thread(check)

    async def _work(self, job: Job) -> None:
        number = job.id

        def tell(progress: DownloadProgress) -> None:
            self._set(number, progress=progress)

        async def remember(remote: str) -> None:
            self._set(number, remote=remote)
            await self._keep()

        try:
            await self._worker.do(job, tell, remember)
            total = self._job(number).progress.total_bytes
            done = self._job(number).progress.done_bytes if total is None else total
            self._set(number, state="done", progress=DownloadProgress(done, done))
        except WhisperError as error:
            self._failed(number, str(error))
        except Exception as error:  # a fault of ours ends one job, not the queue
            log.exception("A download ended because of a fault in this app")
            why = tr(
                "{title} could not be downloaded: a fault in this app ({name}).",
                title=job.title,
                name=type(error).__name__,
            )
            self._failed(number, tr("{why} Try again, and report it if it happens again.", why=why))
        job = self._job(number)
        if job.state == "done":
            self._on_done(job)
            self._forget_old()
        await self._keep()

    # --- the list -----------------------------------------------------------------------------------------

    def _job(self, number: int) -> Job:
        found = next((job for job in self._jobs if job.id == number), None)
        if found is None:
            raise TransferError(
                tr("There is no download {number}.", number=number),
                tr("It may have been removed."),
                tr("Look at the list of downloads."),
            )
        return found

    def _set(self, number: int, **changes: Any) -> None:
        self._tell(tuple(replace(job, **changes) if job.id == number else job for job in self._jobs))

    def _failed(self, number: int, why: str) -> None:
        self._set(number, state="failed", error=why, progress=still(self._job(number).progress))

    def _remove(self, number: int) -> None:
        self._tell(tuple(job for job in self._jobs if job.id != number))

    def _forget_old(self) -> None:
        done = [job.id for job in self._jobs if job.state == "done"]
        old = set(done[:-_MOST_DONE])
        self._tell(tuple(job for job in self._jobs if job.id not in old))

    def _tell(self, jobs: tuple[Job, ...]) -> None:
        self._jobs = jobs
        self._changed.set()
        self._changed = asyncio.Event()

    def _forget_task(self, task: asyncio.Task[None]) -> None:
        self._tasks = {number: each for number, each in self._tasks.items() if each is not task}

    async def _stopped(self, number: int) -> None:
        """Its work has ended, whatever it was about."""
        self._job(number)
        task = self._tasks.get(number)
        if task is not None:
            task.cancel()
            await to_the_end(task)

    async def _keep(self) -> None:
        """The journal says what is to be done; where the disk does not take it, only this run knows."""
        async with self._writing:
            try:
                await to_its_end(asyncio.to_thread(write_jobs, self._journal, self._jobs))
            except SettingsError as error:
                log.warning("The list of downloads is not kept: %s", error)


def _waiting(job: Job) -> Job:
    return replace(job, state="waiting", progress=still(job.progress)) if job.state == "running" else job


def _paused(job: Job) -> Job:
    is_on = job.state in ("waiting", "running")
    return replace(job, state="paused", progress=still(job.progress)) if is_on else job


def _is_here(known: Job, wanted: Job) -> bool:
    """Whether what a finished job fetched is what is wanted, and still there."""
    same = [(file.target, file.size, file.sha256) for file in wanted.files] == [
        (file.target, file.size, file.sha256) for file in known.files
    ]
    return same and bool(known.files) and not missing_bytes(known.files) and known.files[0].target.is_file()
