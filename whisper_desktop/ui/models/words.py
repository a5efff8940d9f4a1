"""Sizes, rates and times of models as people say them. No Qt."""

import datetime

from whisper_desktop.advice import sentences
from whisper_desktop.app.engine_words import in_gigabytes
from whisper_desktop.language import tr
from whisper_desktop.models.speed import Speed

_GB, _MB = 1e9, 1e6
_SLOW = 950_000  # bytes a second: below that in kB


def so_far(done: int, total: int | None) -> str:
    """How much is there: "1.2 of 2.7 GB", "40 of 68 MB", or "1.2 GB" where nobody told the total."""
    if total is None:
        return in_gigabytes(done)
    if total < _GB:
        return tr("{done:.0f} of {total:.0f} MB", done=done / _MB, total=total / _MB)
    return tr("{done:.1f} of {total:.1f} GB", done=done / _GB, total=total / _GB)


def rate_words(rate: float) -> str:
    """How fast it comes: "12.3 MB/s"."""
    if rate >= _SLOW:
        return tr("{rate:.1f} MB/s", rate=rate / 1e6)
    return tr("{rate:.0f} kB/s", rate=rate / 1e3)


def left_words(seconds: float) -> str:
    """How long it still takes: "8 s left", "about 3 min left", "about 2 h 10 min left"."""
    if seconds < 55:
        return tr("{seconds} s left", seconds=max(1, round(seconds)))
    minutes = max(1, round(seconds / 60))
    if minutes < 60:
        return tr("about {minutes} min left", minutes=minutes)
    hours, rest = divmod(10 * round(minutes / 10), 60)
    if hours >= 48:
        return tr("more than two days left")
    return (
        tr("about {hours} h {rest} min left", hours=hours, rest=rest)
        if rest
        else tr("about {hours} h left", hours=hours)
    )


def day_words(moment: float, now: float) -> str:
    """When something was: "today", "yesterday", "5 days ago", "2026-03-03". Seconds since 1970."""
    day, today = (datetime.datetime.fromtimestamp(each).date() for each in (moment, now))
    days = (today - day).days
    if days <= 0:
        return tr("today")
    if days == 1:
        return tr("yesterday")
    return tr("{days} days ago", days=days) if days < 30 else day.isoformat()


def speed_range(speed: Speed) -> str:
    """How fast it answers, as a range until it was measured."""
    if speed.source == "measured" or speed.answer is None:
        return speed.words
    return tr("{speed} tokens/s", speed=sentences.speed_range(speed))


def without_name(sentence: str, name: str) -> str:
    """A sentence about a model where its name stands above it: "Fits in memory with …"."""
    rest = sentence.removeprefix(f"{name} ")
    return rest if rest == sentence else rest[:1].upper() + rest[1:]
