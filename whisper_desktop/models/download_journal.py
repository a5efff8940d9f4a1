"""What survives a restart of the queue of downloads: a small file of JSON, replaced as a whole.

Addresses may be secret (a signed link), so the file is for this person's eyes only. What cannot be read is
left out: the parts on the disk stay, and naming the model again goes on with them.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import get_args

from whisper_desktop.models.download_files import done_bytes
from whisper_desktop.models.download_jobs import Job, State, WantedFile, total_size
from whisper_desktop.models.kept_json import read_json
from whisper_desktop.models.sources import Kind, Source
from whisper_desktop.settings.files import write_text
from whisper_desktop.wire import fields
from whisper_desktop.wire.progress import DownloadProgress

_FORMAT = 1
_MOST_JOBS = 200
_LARGEST = 50_000_000  # bytes: a full queue of models in many parts has a few million


def write_jobs(path: Path, jobs: Sequence[Job]) -> None:
    """Keep these. Raises `SettingsError` where the disk does not take them."""
    value = {"format": _FORMAT, "jobs": [_job_as_json(job) for job in jobs]}
    write_text(path, json.dumps(value, indent=1) + "\n")


def read_jobs(path: Path) -> tuple[Job, ...]:
    """The jobs that were kept, those that ran as waiting ones; () where they cannot be read."""
    try:
        return kept_jobs(path)
    except OSError:
        return ()


def kept_jobs(path: Path) -> tuple[Job, ...]:
    """The same. Raises `OSError` where they cannot be read, and so are not to be written over."""
    told = fields.table(read_json(path, _LARGEST))
    listed = told.get("jobs")
    if told.get("format") != _FORMAT or not isinstance(listed, list):
        return ()
    jobs: dict[int, Job] = {}
    for entry in listed[:_MOST_JOBS]:
        if isinstance(entry, dict) and (job := _job(entry)) is not None:
            jobs.setdefault(job.id, job)
    return tuple(jobs.values())


def _job_as_json(job: Job) -> dict[str, object]:
    return {
        "id": job.id,
        "source": asdict(job.source),
        "title": job.title,
        "state": job.state,
        "error": job.error,
        "note": job.note,
        "files": [{**asdict(file), "target": str(file.target)} for file in job.files],
        "remote": job.remote,
    }


def _job(entry: Mapping[str, object]) -> Job | None:
    number, listed = fields.count(entry.get("id")), entry.get("files")
    state = next((each for each in get_args(State) if each == entry.get("state")), None)
    source = _source(fields.table(entry.get("source")))
    if number is None or source is None or state is None or not isinstance(listed, list):
        return None
    files = [_file(fields.table(each)) for each in listed]
    if None in files or (source.kind in ("hub", "url")) != bool(files):
        return None
    wanted = tuple(file for file in files if file is not None)
    total = total_size(wanted) if wanted else None
    done = 0 if not wanted else (total or 0) if state == "done" else done_bytes(wanted)
    return Job(
        number,
        source,
        _text(entry.get("title")),
        wanted[0].target if wanted else None,
        "waiting" if state == "running" else state,
        DownloadProgress(done, total),
        _text(entry.get("error")),
        _text(entry.get("note")),
        wanted,
        _text(entry.get("remote")),
    )


def _source(told: Mapping[str, object]) -> Source | None:
    kind = next((each for each in get_args(Kind) if each == told.get("kind")), None)
    texts = [_text(told.get(name)) for name in ("name", "file", "quant", "revision")]
    return Source(kind, *texts) if kind is not None and texts[0] else None


def _file(told: Mapping[str, object]) -> WantedFile | None:
    url, target = _text(told.get("url")), Path(_text(told.get("target")))
    if not url or not target.is_absolute():
        return None
    return WantedFile(url, target, fields.count(told.get("size")), _text(told.get("sha256")))


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
