"""A download as the window shows it: words, how far it is, and what can be done with it. No Qt."""

from collections.abc import Sequence
from dataclasses import dataclass

from whisper_desktop.app.engine_words import in_gigabytes
from whisper_desktop.language import tr, trn
from whisper_desktop.models.catalogue import CatalogueModel
from whisper_desktop.models.download_jobs import Job
from whisper_desktop.models.download_programs import CAN_PAUSE, NAMES
from whisper_desktop.ui.models.words import left_words, rate_words, so_far

FULL = 1000
"""`JobRow.share` of one that is all there."""


@dataclass(frozen=True, slots=True)
class JobRow:
    """One download. `share` is how far it is, of `FULL`; None where nobody knows.

    `status` is one line, `tone` its colour ("secondary", "good" or "bad"); `note` is good to know. `actions`
    are those of "pause", "resume", "retry", "cancel", "up", "down", "use", "folder" and "remove" that do
    something now.
    """

    id: int
    title: str
    share: int | None
    status: str
    tone: str
    note: str
    actions: frozenset[str]


def job_rows(jobs: Sequence[Job]) -> tuple[JobRow, ...]:
    """What there is to do, in its order, then what is done, the newest first."""
    todo = [job for job in jobs if job.is_open]
    done = [job for job in jobs if not job.is_open]
    rows = [_row(job, first=place == 0, last=place == len(todo) - 1) for place, job in enumerate(todo)]
    return (*rows, *(_row(job, first=True, last=True) for job in reversed(done)))


def summary(jobs: Sequence[Job]) -> str:
    """What goes on in a few words, for the tray: "downloading 43 %"; "" where nothing does."""
    running = [job for job in jobs if job.state == "running"]
    if not running:
        return ""
    if len(running) > 1:
        return trn("downloading one model", "downloading {count} models", len(running))
    share = _share(running[0])
    return tr("downloading") if share is None else tr("downloading {number} %", number=100 * share // FULL)


def job_of(model: CatalogueModel, jobs: Sequence[Job]) -> Job | None:
    """The download of this model of the catalogue, whoever fetches it; the newest one."""
    file = model.file.rpartition("/")[2]
    for job in reversed(jobs):
        names = {each.target.name for each in job.files}
        if file in names or (not job.files and job.source.name in (model.ollama_name, model.lm_studio)):
            return job
    return None


def _row(job: Job, *, first: bool, last: bool) -> JobRow:
    status, tone = _status(job)
    actions = set(_ACTIONS[job.state])
    if not CAN_PAUSE.get(job.source.kind, True):
        actions.discard("pause")
    if job.target is None:
        actions -= {"use", "folder"}
    if first:
        actions.discard("up")
    if last:
        actions.discard("down")
    share = FULL if job.state == "done" else _share(job)
    return JobRow(job.id, job.title, share, status, tone, job.note, frozenset(actions))


_ACTIONS = {
    "waiting": ("pause", "cancel", "up", "down"),
    "running": ("pause", "cancel", "up", "down"),
    "paused": ("resume", "cancel", "up", "down"),
    "failed": ("retry", "cancel", "up", "down"),
    "done": ("use", "folder", "remove"),
}


def _share(job: Job) -> int | None:
    done, total = job.progress.done_bytes, job.progress.total_bytes
    return min(FULL, FULL * done // total) if total else None


def _status(job: Job) -> tuple[str, str]:
    progress = job.progress
    arrived = so_far(progress.done_bytes, progress.total_bytes)
    match job.state:
        case "failed":
            return job.error, "bad"
        case "done":
            where = (
                tr("in {names}", names=NAMES[job.source.kind])
                if job.source.kind in NAMES
                else tr("on this computer")
            )
            size = f"{in_gigabytes(progress.done_bytes)}, " if progress.done_bytes else ""
            return f"{size}{where}", "good"
        case "paused":
            paused = tr("paused at {arrived}", arrived=arrived) if progress.done_bytes else tr("paused")
            return paused, "secondary"
        case "waiting":
            here = tr("waits for its turn, {arrived} are here", arrived=arrived)
            return here if progress.done_bytes else _turn(job), "secondary"
    if progress.waiting:
        return progress.waiting, "secondary"
    if not progress.done_bytes and progress.rate is None:
        return tr("asks for it…"), "secondary"
    parts = [arrived]
    if progress.rate:
        parts.append(rate_words(progress.rate))
    if progress.left_s is not None:
        parts.append(left_words(progress.left_s))
    if progress.source:
        parts.append(tr("from {source}", source=progress.source))
    return " · ".join(parts), "secondary"


def _turn(job: Job) -> str:
    total = job.progress.total_bytes
    return tr("waits for its turn, {total}", total=in_gigabytes(total)) if total else tr("waits for its turn")
