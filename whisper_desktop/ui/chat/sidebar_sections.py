"""The list of conversations in sections, as values: pinned, folders, then by their last use. No Qt."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from whisper_desktop.chat.records import Conversation, Folder
from whisper_desktop.language import tr

MonthName = Callable[[int, int], str]
"""What a month is called, for its year and number: "October 2026"."""

PINNED = "pinned"
_FOLDER = "folder:"


@dataclass(frozen=True, slots=True)
class Section:
    """A headline and what stands below it, the newest first. `key` stays the same while its content changes.

    `folder` is the id of the folder that it shows, None for a section that comes by itself.
    """

    key: str
    title: str
    conversations: tuple[Conversation, ...]
    folder: str | None = None


def sections(
    conversations: Sequence[Conversation], folders: Sequence[Folder], now: datetime, month_name: MonthName
) -> tuple[Section, ...]:
    """All sections, top to bottom, the folders also when they are empty; `now` is in the person's time zone.

    A pinned conversation stands under Pinned alone, and one in a folder that is gone among the others.
    """
    newest_first = sorted(conversations, key=lambda each: -each.updated)
    known = {folder.id for folder in folders}
    pinned: list[Conversation] = []
    inside: dict[str, list[Conversation]] = {folder.id: [] for folder in folders}
    others: list[Conversation] = []
    for each in newest_first:
        if each.pinned:
            pinned.append(each)
        elif each.folder in known:
            inside[str(each.folder)].append(each)
        else:
            others.append(each)
    shown = [Section(PINNED, tr("Pinned"), tuple(pinned))] if pinned else []
    shown += [
        Section(f"{_FOLDER}{folder.id}", folder.name, tuple(inside[folder.id]), folder.id)
        for folder in sorted(folders, key=lambda each: each.position)
    ]
    return (*shown, *_by_day(others, now, month_name))


def _by_day(
    newest_first: Sequence[Conversation], now: datetime, month_name: MonthName
) -> tuple[Section, ...]:
    """One walk: each section begins at a time, and all that is newer was taken by the ones before."""
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    begins = [
        ("today", tr("Today"), today.timestamp()),
        ("yesterday", tr("Yesterday"), (today - timedelta(days=1)).timestamp()),
        ("week", tr("Previous 7 days"), (today - timedelta(days=7)).timestamp()),
    ]
    found: list[Section] = []
    at = 0
    while at < len(newest_first):
        newest = newest_first[at].updated
        begin = next((each for each in begins if newest >= each[2]), None)
        key, title, since = begin or _month(newest, now, month_name)
        first = at
        while at < len(newest_first) and newest_first[at].updated >= since:
            at += 1
        found.append(Section(key, title, tuple(newest_first[first:at])))
    return tuple(found)


def _month(updated: float, now: datetime, month_name: MonthName) -> tuple[str, str, float]:
    """The key, the name and the beginning of the month of a time, in seconds since 1970."""
    day = datetime.fromtimestamp(updated, now.tzinfo)
    begin = day.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return f"{day.year}-{day.month:02}", month_name(day.year, day.month), begin.timestamp()
