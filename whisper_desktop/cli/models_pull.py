"""`models pull`: fetches models, and shows how far that is."""

import asyncio
import shlex
import shutil
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from whisper_desktop.app import App
from whisper_desktop.cli import output
from whisper_desktop.cli.running import Failed, json_option, run, with_app
from whisper_desktop.errors import ModelFileError, ReachError, SecretsError, TransferError, WhisperError

if TYPE_CHECKING:
    from whisper_desktop.app.model_host import ModelHost
    from whisper_desktop.models.download_jobs import Job

_REDRAWN = 0.1  # seconds between two states of the line
_REPEATED = 5.0  # seconds between two lines where there is no terminal
_COMMAND = "whisper-desktop models pull"


@click.command()
@click.argument("sources", metavar="[SOURCE]...", nargs=-1)
@json_option
def pull(sources: tuple[str, ...], as_json: bool) -> None:
    """Fetch models, one after the other.

    SOURCE is an id of the catalogue, REPO/FILE or REPO:QUANT on Hugging Face, an address, ollama:TAG or
    lmstudio:KEY. Without one, what was begun before is gone on with. Ctrl-C keeps what has arrived.
    """
    done, refused = run(with_app(lambda app: _pulled(app, sources, as_json=as_json)), as_json=as_json)
    if as_json:
        output.emit_json(_shape(done, refused))
    if refused or not all(each.is_well for each in done):
        raise Failed


async def _pulled(
    app: App, sources: Sequence[str], *, as_json: bool
) -> "tuple[tuple[_Ended, ...], tuple[tuple[str, WhisperError], ...]]":
    """The jobs as they ended, and the sources that could not be queued, each with the reason."""
    models = app.models
    await models.downloads.open()
    numbers, refused = await _queued(models, sources, as_json=as_json)
    if not numbers:
        if not refused and not as_json:
            output.say("Nothing is waiting to be fetched.")
        return (), refused
    for place, number in enumerate(numbers):
        await models.downloads.move(number, place)
    shown = _Shown(tuple(numbers))
    try:
        await models.fetch()
        async with aclosing(models.downloads.watch()) as states:
            async for jobs in states:
                ours = [job for job in jobs if job.id in numbers]
                shown.show(ours)
                if all(job.state in ("done", "failed") for job in ours):
                    break
    except asyncio.CancelledError:
        shown.end()
        await _kept(models, numbers)
        raise
    shown.end()
    ended = [await _ended(models, job) for job in models.downloads.jobs() if job.id in numbers]
    if not as_json:
        for each in ended:
            _say(each)
    return tuple(ended), refused


@dataclass(frozen=True, slots=True)
class _Ended:
    """A job that has ended. `use` is what `models use` takes for it, "" where there is nothing to use;
    `problem` says what is wrong with what was fetched.
    """

    job: "Job"
    use: str = ""
    problem: str = ""

    @property
    def is_well(self) -> bool:
        return self.job.state == "done" and not self.problem


async def _ended(models: "ModelHost", job: "Job") -> _Ended:
    from whisper_desktop.models.facts import facts_of

    if job.state != "done" or job.target is None:
        return _Ended(job)
    try:
        if not (await asyncio.to_thread(facts_of, job.target)).is_model:
            return _Ended(job)
    except ModelFileError as error:
        return _Ended(
            job, problem=f"{job.title} was fetched, but it is no model: {job.target}. {error.detail}"
        )
    try:
        by_name = (await models.model(job.title)).path.samefile(job.target)
    except (ModelFileError, OSError):  # there are several of this name
        by_name = False
    return _Ended(job, job.title if by_name else str(job.target))


async def _queued(
    models: "ModelHost", sources: Sequence[str], *, as_json: bool
) -> "tuple[list[int], tuple[tuple[str, WhisperError], ...]]":
    """The jobs for what was named, or all that were begun. Raises what is wrong with the only one."""
    downloads = models.downloads
    if not sources:
        numbers = [job.id for job in downloads.jobs() if job.is_open]
        for number in numbers:
            await downloads.resume(number)
        return numbers, ()
    numbers, refused = [], []
    for text in sources:
        try:
            job = await downloads.add(await models.source(text))
        except (ModelFileError, TransferError, ReachError, SecretsError) as error:
            if len(sources) == 1:
                raise
            refused.append((text, error))
            if not as_json:
                output.say_error(error)
            continue
        if job.id not in numbers:
            numbers.append(job.id)
        if job.note and not as_json:
            output.note(job.note)
    return numbers, tuple(refused)


async def _kept(models: "ModelHost", numbers: Iterable[int]) -> None:
    """Ctrl-C: what has arrived stays, and the person is told how to go on."""
    left = [
        job for job in models.downloads.jobs() if job.id in numbers and job.state in ("waiting", "running")
    ]
    for job in left:
        try:
            await models.downloads.pause(job.id)
        except TransferError as error:  # LM Studio goes on by itself
            output.note(f"{error}")
    names = " ".join(str(job.source) for job in left)
    if names:
        output.note(f"What has arrived is kept. To go on: {_COMMAND} {names}")


def _say(ended: _Ended) -> None:
    job = ended.job
    if job.state == "failed":
        output.note(job.error)
        output.note(f"  To try again: {_COMMAND} {job.source}")
    elif ended.problem:
        output.note(ended.problem)
        output.note("  Delete that file, and choose another one.")
    elif job.target is not None:
        output.say(f"{job.title} is here: {job.target}")
        if ended.use:
            output.say(f"  To use it in this app: whisper-desktop models use {shlex.quote(ended.use)}")
    else:
        output.say(
            f"{job.title} is there: {'Ollama' if job.source.kind == 'ollama' else 'LM Studio'} has it."
        )


class _Shown:
    """The progress on standard error: one line that changes in a terminal, else a line now and then."""

    def __init__(self, numbers: tuple[int, ...]) -> None:
        self._numbers = numbers
        self._terminal = sys.stderr.isatty()
        self._plain = (sys.stderr.encoding or "").lower().replace("-", "") != "utf8"
        self._next = 0.0
        self._drawn = 0

    def show(self, jobs: "Sequence[Job]") -> None:
        """The state of these jobs, if it is time for it."""
        from whisper_desktop.cli.download_line import plain_line, progress_line

        now = time.monotonic()
        running = [job for job in jobs if job.state == "running"]
        if not running or now < self._next:
            return
        job = running[0]
        place = self._numbers.index(job.id) + 1
        counted = f"{place} of {len(self._numbers)}" if len(self._numbers) > 1 else ""
        self._next = now + (_REDRAWN if self._terminal else _REPEATED)
        if not self._terminal:
            output.note(plain_line(job, counted))
            return
        width = shutil.get_terminal_size().columns - 1
        line = progress_line(job, counted, width, plain=self._plain)
        click.echo("\r" + line.ljust(min(self._drawn, width)), nl=False, err=True)
        self._drawn = len(line)

    def end(self) -> None:
        """Take the line away."""
        if self._drawn:
            click.echo("\r" + " " * self._drawn + "\r", nl=False, err=True)
            self._drawn = 0


def _shape(done: "Iterable[_Ended]", refused: "Iterable[tuple[str, WhisperError]]") -> dict[str, object]:
    """`models pull --json`. `state` is done or failed; `error` also tells of what was fetched and is no
    model; `refused` are sources that could not be queued.
    """
    from whisper_desktop.cli import shapes

    return {
        "downloads": [
            {
                "source": str(each.job.source),
                "name": each.job.title,
                "state": each.job.state,
                "path": str(each.job.target) if each.job.target is not None else None,
                "size_bytes": each.job.progress.total_bytes,
                "error": each.job.error or each.problem or None,
                "note": each.job.note or None,
            }
            for each in done
        ],
        "refused": [{"source": text, **shapes.error_shape(error)} for text, error in refused],
    }
