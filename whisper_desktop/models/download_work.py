"""The work of one download, whoever does it: our own transfer, Ollama, or LM Studio."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from whisper_desktop.errors import TransferError
from whisper_desktop.language import tr
from whisper_desktop.models.download_files import Line, answers, check_place, fetch
from whisper_desktop.models.download_jobs import Job
from whisper_desktop.models.download_programs import NAMES, Program
from whisper_desktop.models.hub import Hub
from whisper_desktop.models.pulls import fetch_in_lm_studio, pull
from whisper_desktop.models.sources import Source
from whisper_desktop.values import Deadlines
from whisper_desktop.wire.address import parse_url
from whisper_desktop.wire.http import Http
from whisper_desktop.wire.progress import DownloadProgress

_MOST_LOSSES = 40  # of the network in a row, more than an hour, before a download has failed

Tell = Callable[[DownloadProgress], None]


class Worker:
    """Does the work of jobs. `programs` are Ollama and LM Studio by their ids, where they may be asked."""

    def __init__(
        self,
        http: Http,
        hub: Hub,
        programs: Mapping[str, Program],
        line: Line,
        deadlines: Deadlines,
    ) -> None:
        self._http = http
        self._hub = hub
        self._programs = dict(programs)
        self._line = line
        self._deadlines = deadlines

    async def do(self, job: Job, tell: Tell, remember: Callable[[str], Awaitable[None]]) -> None:
        """All of it, or go on with it. `remember` is given what another program calls the job.

        Raises `TransferError`, `ReachError` or `SecretsError`; cancelling leaves what has arrived.
        """
        source = job.source
        if source.kind == "ollama":
            program = self._program(source)
            await pull(self._http, program, source.name, deadlines=self._deadlines, on_progress=tell)
        elif source.kind == "lm_studio":
            await fetch_in_lm_studio(
                self._http,
                self._program(source),
                source.name,
                source.quant,
                job=job.remote,
                deadlines=self._deadlines,
                on_progress=tell,
                on_job=remember,
            )
        else:
            await self._files(job, tell)

    def _program(self, source: Source) -> Program:
        found = self._programs.get(source.kind)
        if found is None:
            raise TransferError(
                tr(
                    "{names} cannot be asked for {source_name}.",
                    names=NAMES[source.kind],
                    source_name=source.name,
                ),
                tr("It is not set up here."),
                tr("Set up {names} first, or choose a model from Hugging Face.", names=NAMES[source.kind]),
            )
        return found

    async def _files(self, job: Job, tell: Tell) -> None:
        """Our own transfer. A network that is gone is waited for; what has failed otherwise has failed."""
        url, key = job.files[0].url, None
        if job.source.kind == "hub":
            self._hub.check_allowed()
            key = await self._hub.key_for(url)
        await asyncio.to_thread(check_place, job.title, job.files)
        last, losses = job.progress, 0

        def told(progress: DownloadProgress) -> None:
            nonlocal last
            last = progress
            tell(progress)

        while True:
            before = last.done_bytes
            try:
                await fetch(
                    self._http,
                    job.files,
                    key=key,
                    line=self._line,
                    deadlines=self._deadlines,
                    on_progress=told,
                )
                return
            except TransferError as error:
                if isinstance(error.__cause__, OSError):
                    raise  # the disk
                if await answers(self._http, url, self._deadlines):
                    refusal = await self._refusal(job)
                    if refusal is not None:
                        raise refusal from error
                    raise
                losses = 1 if last.done_bytes > before else losses + 1
                if losses > _MOST_LOSSES:
                    raise
            pause = min(self._deadlines.breaker_far * 2 ** (losses - 1), self._deadlines.breaker_far_most)
            says = tr(
                "{netloc} cannot be reached. It is tried again in {max} s.",
                netloc=parse_url(url).netloc,
                max=max(1, round(pause)),
            )
            tell(replace(last, waiting=says, rate=None, left_s=None))
            await asyncio.sleep(pause)

    async def _refusal(self, job: Job) -> TransferError | None:
        """What the hub has against it, if anything: it knows of licences, a transfer does not."""
        if job.source.kind != "hub":
            return None
        first = job.files[0]
        return await self._hub.refusal(first.url, job.source.name, first.target.name)
