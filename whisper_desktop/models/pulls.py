"""Models that another program on this computer fetches for us: Ollama's pull, LM Studio's download jobs.

Ollama: leaving the stream stops it, what has arrived stays there, and the next pull of the same name goes on.
LM Studio (0.4 and newer): a job is begun and looked at. Its API can neither stop nor pause one; that is done
in LM Studio itself.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace
from urllib.parse import quote

from whisper_desktop.errors import BackendError, TransferError
from whisper_desktop.language import tr
from whisper_desktop.models.download_programs import Program, error_in, not_it, refused, unreachable
from whisper_desktop.values import Deadlines, Reach
from whisper_desktop.wire import fields
from whisper_desktop.wire.http import Http
from whisper_desktop.wire.ndjson import NDJSONReader
from whisper_desktop.wire.progress import DownloadProgress, Meter, progress
from whisper_desktop.wire.replies import StreamReply

_MOST_LAYERS = 200
_LARGEST_LINE = 100_000  # bytes; a line has some 200
_CHECKING = 30  # times the usual silence: checking 70 GB on a slow disk takes minutes, and nothing is said
_LOST = 5  # looks at a job in a row that may fail before it is given up
_BEGUN = 3  # times that a job is begun which LM Studio forgets
_POLL = 4  # times `loading_poll`
_JOB_STATES = ("downloading", "paused", "completed", "failed", "already_downloaded")

OnProgress = Callable[[DownloadProgress], None]


# --- Ollama -----------------------------------------------------------------------------------------------


async def pull(
    http: Http, program: Program, tag: str, *, deadlines: Deadlines, on_progress: OnProgress
) -> None:
    """Have Ollama fetch a model. Cancelling stops it; Ollama keeps what has arrived and goes on next time.

    Ollama names the layers of a model one after the other, so the total may grow on the way. Raises
    `TransferError` or `ReachError`.
    """
    layers = _Layers(tag, program)
    try:
        async with AsyncExitStack() as stack:
            asking = http.stream(
                "POST",
                f"{program.url}/api/pull",
                allowed=Reach.THIS_MACHINE,
                json={"model": tag, "stream": True},
                headers=await program.headers(),
            )
            async with asyncio.timeout(deadlines.download_stall):
                reply = await stack.enter_async_context(asking)
            if reply.status != 200:
                raise refused(program, tag, error_in(await reply.read(_LARGEST_LINE)), reply.status)
            lines = await stack.enter_async_context(aclosing(_lines(reply, layers, deadlines)))
            async for line in lines:
                if layers.take(line):
                    return
                on_progress(layers.progress(asyncio.get_running_loop().time()))
    except TimeoutError:
        raise _silent(tag, deadlines.download_stall) from None
    except BackendError as error:
        raise unreachable(program, tag, error) from error
    raise TransferError(
        tr("Ollama stopped fetching {tag} before all of it was there.", tag=tag),
        tr("It may have been closed."),
        tr("Start it and try again; it keeps what has arrived."),
    )


async def _lines(reply: StreamReply, layers: "_Layers", deadlines: Deadlines) -> AsyncGenerator[str, None]:
    reader = NDJSONReader(_LARGEST_LINE)
    while True:
        patience = deadlines.download_stall * (_CHECKING if layers.is_checking else 1)
        try:
            async with asyncio.timeout(patience):
                piece = await reply.next_piece()
        except TimeoutError:
            raise _silent(layers.tag, patience) from None
        for line in reader.feed(piece) if piece else reader.finish():
            yield line
        if not piece:
            return


def _silent(tag: str, patience: float) -> TransferError:
    return TransferError(
        tr("Ollama says nothing any more about {tag}.", tag=tag),
        tr("There was no word from it for {patience:g} s.", patience=patience),
        tr("Restart Ollama and try again; it keeps what has arrived."),
    )


class _Layers:
    """What Ollama has said about the layers of one model."""

    def __init__(self, tag: str, program: Program) -> None:
        self.tag = tag
        self.is_checking = False
        self._program = program
        self._totals: dict[str, int] = {}
        self._done: dict[str, int] = {}
        self._says = ""
        self._meter: Meter | None = None
        self._before = 0

    def take(self, line: str) -> bool:
        """Whether that was the end. Raises `TransferError`."""
        told = fields.parsed(line)
        if not isinstance(told, dict):
            raise not_it(self._program)
        if told.get("error"):
            raise refused(self._program, self.tag, fields.name(told["error"]) or "", None)
        status = fields.name(told.get("status")) or ""
        digest = fields.name(told.get("digest"))
        total = fields.count(told.get("total"))
        self.is_checking = status.startswith(("verifying", "writing", "removing"))
        self._says = _says(status, digest)
        if digest and total is not None and (digest in self._totals or len(self._totals) < _MOST_LAYERS):
            self._totals[digest] = total
            done = min(total, fields.count(told.get("completed")) or 0)
            self._done[digest] = max(self._done.get(digest, 0), done)  # it may fetch a piece again
        return status == "success"

    def progress(self, now: float) -> DownloadProgress:
        """Of all layers that were named so far."""
        done, total = sum(self._done.values()), sum(self._totals.values()) or None
        if self._meter is None and total is not None:
            self._meter, self._before = Meter(), done  # what was there before did not arrive now
        if self._meter is None:
            return progress(done, total, waiting=self._says)
        self._meter.arrived = done - self._before
        return progress(done, total, waiting=self._says, rate=self._meter.rate(now))


def _says(status: str, digest: str | None) -> str:
    if status == "pulling manifest":
        return tr("Ollama asks its library what belongs to the model.")
    if status.startswith("verifying"):
        return tr("Ollama checks what has arrived.")
    return "" if digest or status == "success" else tr("Ollama puts the model in its place.")


# --- LM Studio --------------------------------------------------------------------------------------------


async def fetch_in_lm_studio(
    http: Http,
    program: Program,
    model: str,
    quant: str = "",
    *,
    job: str = "",
    deadlines: Deadlines,
    on_progress: OnProgress,
    on_job: Callable[[str], Awaitable[None]],
) -> None:
    """Have LM Studio fetch a model, or go on looking at a `job` that it was given before.

    `on_job` is told the job's name there, once it has one. Cancelling ends only the looking: the job goes on.
    Raises `TransferError` or `ReachError`.
    """
    ask = _Asking(http, program, model)
    meter: Meter | None = None
    before = lost = begun = 0
    now = progress(0, None)
    while True:
        try:
            told = await ask.about(job) if job else await ask.begin(quant)
        except _Lost as error:
            lost += 1
            if lost == _LOST or not job:
                raise
            on_progress(replace(now, waiting=f"{error.title} It is asked again.", rate=None, left_s=None))
            await asyncio.sleep(deadlines.loading_poll * _POLL)
            continue
        except _Forgotten:
            if begun == _BEGUN:
                raise not_it(program) from None
            job = ""  # LM Studio was restarted; it goes on with what it has
            continue
        lost = 0
        if told["status"] in ("completed", "already_downloaded"):
            return
        if told["status"] == "failed":
            raise TransferError(
                tr("LM Studio could not download {model}.", model=model),
                tr("It does not say why."),
                tr("Look at its own list of downloads, then try again."),
            )
        named = fields.name(told.get("job_id"))
        if not job:
            if named is None:
                raise not_it(program)
            job = named
            begun += 1
            await on_job(job)
        done = fields.count(told.get("downloaded_bytes")) or 0
        if meter is None:
            meter, before = Meter(), done
        meter.arrived = done - before
        says = tr("The download is paused in LM Studio.") if told["status"] == "paused" else ""
        rate = meter.rate(asyncio.get_running_loop().time())
        now = progress(done, fields.count(told.get("total_size_bytes")), waiting=says, rate=rate)
        on_progress(now)
        await asyncio.sleep(deadlines.loading_poll * _POLL)


class _Lost(TransferError):
    """One look failed, and the next one may not."""


class _Forgotten(Exception):
    """LM Studio does not know the job any more."""


class _Asking:
    """The two questions about one model. Answers have a `status` that is one of `_JOB_STATES`."""

    def __init__(self, http: Http, program: Program, model: str) -> None:
        self._http = http
        self._program = program
        self._model = model

    async def begin(self, quant: str) -> dict[str, object]:
        """A new job. Raises `TransferError`."""
        body = {"model": self._model} | ({"quantization": quant} if quant else {})
        return await self._asked("POST", "/api/v1/models/download", body)

    async def about(self, job: str) -> dict[str, object]:
        """A job that was begun. Raises `_Forgotten` or `TransferError`."""
        return await self._asked("GET", f"/api/v1/models/download/status/{quote(job, safe='')}")

    async def _asked(self, method: str, path: str, body: object = None) -> dict[str, object]:
        program = self._program
        try:
            reply = await self._http.request(
                method,
                f"{program.url}{path}",
                allowed=Reach.THIS_MACHINE,
                json=body,
                headers=await program.headers(),
                max_bytes=_LARGEST_LINE,
            )
        except BackendError as error:
            lost = unreachable(program, self._model, error)
            raise _Lost(lost.title, lost.detail, lost.next_step) from error
        told = fields.table(fields.parsed(reply.body.decode("utf-8", "replace")))
        said = error_in(reply.body)
        if reply.status == 200 and "unexpected endpoint" in said.lower():
            raise TransferError(
                tr("This LM Studio is too old to be asked for a download."),
                tr("It takes version 0.4 or newer."),
                tr("Update LM Studio, or download the model inside it."),
            )
        if reply.status == 404 and method == "GET":
            raise _Forgotten
        if reply.status != 200 or said:
            raise refused(program, self._model, said, reply.status)
        if told.get("status") not in _JOB_STATES:
            raise not_it(program)
        return told
