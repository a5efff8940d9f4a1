"""How far a download is, in one line of a terminal, however narrow. Pure."""

from whisper_desktop.cli.output import clean
from whisper_desktop.models.download_jobs import Job

_LEAST_BAR, _MOST_BAR = 6, 30
_LEAST_NAME = 12
_GB, _MB, _KB = 10**9, 10**6, 10**3


def progress_line(job: Job, counted: str, width: int, *, plain: bool) -> str:
    """The line for a job; `counted` is such as "2 of 3", "" for one alone. At most `width` characters.

    What matters less goes first where there is no room: the bar, the sizes, the end of the name. `plain`
    draws with ASCII alone.
    """
    name = clean(f"{job.title} ({counted})" if counted else job.title)
    now = job.progress
    share = now.done_bytes / now.total_bytes if now.total_bytes else None
    percent = "" if share is None else f"{min(share, 1.0) * 100:.0f} %"
    if now.waiting:
        return _cut(f"{name}  {percent}  {clean(now.waiting)}".replace("    ", "  "), width)
    parts = [percent, rate_words(now.rate), left_words(now.left_s)]
    sizes = size_words(now.done_bytes, now.total_bytes)
    right = _joined([*parts[:1], sizes, *parts[1:]])
    if width - len(right) - 2 < _LEAST_NAME:
        right = _joined(parts)
    room = width - len(right) - 2
    shown = _cut(name, max(room, 0))
    bar_room = room - len(shown) - 2
    bar = "" if share is None or bar_room < _LEAST_BAR else _bar(share, min(bar_room, _MOST_BAR), plain=plain)
    return _cut(_joined([shown, bar, right]), width)


def plain_line(job: Job, counted: str) -> str:
    """The same where there is no terminal: a line of its own every few seconds."""
    name = clean(f"{job.title} ({counted})" if counted else job.title)
    now = job.progress
    share = f"{now.done_bytes / now.total_bytes * 100:.0f} %" if now.total_bytes else ""
    said = [share, size_words(now.done_bytes, now.total_bytes), rate_words(now.rate), left_words(now.left_s)]
    if now.waiting:
        said = [share, clean(now.waiting)]
    return f"{name}: {', '.join(part for part in said if part)}"


def size_words(done: int, total: int | None) -> str:
    """Such as "1.1 of 2.5 GB"; one unit for both."""
    unit, name, digits = next(
        (each for each in ((_GB, "GB", 1), (_MB, "MB", 0)) if max(done, total or 0) >= each[0]),
        (_KB, "kB", 0),
    )
    if total is None:
        return f"{done / unit:.{digits}f} {name}"
    return f"{done / unit:.{digits}f} of {total / unit:.{digits}f} {name}"


def rate_words(rate: float | None) -> str:
    """Such as "48.2 MB/s"; "" where it is not known yet."""
    if rate is None:
        return ""
    return f"{rate / _MB:.1f} MB/s" if rate >= _MB / 10 else f"{rate / _KB:.0f} kB/s"


def left_words(seconds: float | None) -> str:
    """Such as "0:29 left" or "1:02:03 left"; "" where it is not known yet."""
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02} left" if hours else f"{minutes}:{rest:02} left"


def _bar(share: float, width: int, *, plain: bool) -> str:
    full, empty = ("#", "-") if plain else ("█", "░")
    count = round(min(share, 1.0) * width)
    return full * count + empty * (width - count)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: max(0, width - 1)]}~"[:width]


def _joined(parts: list[str]) -> str:
    return "  ".join(part for part in parts if part)
