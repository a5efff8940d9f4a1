"""How long a server asks to be left alone, from the many ways in which servers say it. No I/O.

Answers are seconds, None for what says nothing: negative, infinite and unreadable values, and moments that
have passed. More than a day is a day. A moment is compared with the response's own Date header, since clocks
differ.
"""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST_S = 86_400.0

_LONGEST_TEXT = 100
_MILLISECONDS = ("retry-after-ms", "x-ms-retry-after-ms")
_DURATION = re.compile(r"(?:\d{1,9}(?:\.\d{1,9})?(?:ms|s|m|h|d))+")
_PART = re.compile(r"([\d.]+)(ms|s|m|h|d)")
_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_FIRST_MOMENT_S = 1e9  # numbers from here on are seconds since 1970,
_FIRST_MOMENT_MS = 1e11  # and from here on milliseconds


def retry_after(headers: Mapping[str, str], *, limited: bool = True) -> float | None:
    """Seconds to wait. Header names are in lower case.

    Read in this order: `retry-after-ms`, `x-ms-retry-after-ms`, `retry-after`, and for a request that was
    `limited` (429) the reset times of the rate limits, which some servers send with every answer.
    """
    now = _moment(headers.get("date"))
    for name in _MILLISECONDS:
        seconds = seconds_in(headers[name].strip() + "ms") if name in headers else None
        if seconds is not None:
            return seconds
    asked = seconds_in(headers.get("retry-after"), now)
    return _reset(headers, now) if asked is None and limited else asked


def seconds_in(value: object, now: datetime | None = None) -> float | None:
    """Seconds from a number, a duration ("1m30s", "250ms"), or a moment after `now` (a number or a date)."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        text = str(value)[:_LONGEST_TEXT].strip()
        if _DURATION.fullmatch(text):
            return _bounded(sum(float(count) * _UNITS_S[unit] for count, unit in _PART.findall(text)))
        until = _moment(text)
        return _bounded((until - now).total_seconds()) if until is not None and now is not None else None
    if number < _FIRST_MOMENT_S:
        return _bounded(number)
    since_1970 = number / 1000 if number >= _FIRST_MOMENT_MS else number
    return _bounded(since_1970 - now.timestamp()) if now is not None else None


def _reset(headers: Mapping[str, str], now: datetime | None) -> float | None:
    """When the limit that is used up is reset; where the server does not say which that is, the first one."""
    every: list[float] = []
    used_up: list[float] = []
    for name, value in headers.items():
        seconds = seconds_in(value, now) if "ratelimit-reset" in name else None
        if seconds is not None:
            every.append(seconds)
            if seconds_in(headers.get(name.replace("reset", "remaining"))) == 0:
                used_up.append(seconds)
    return max(used_up, default=None) if used_up else min(every, default=None)


def _moment(text: str | None) -> datetime | None:
    """A date as HTTP or as ISO 8601 has it; one without a time zone is taken as UTC."""
    for read in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            found = read(text or "")
            return found if found.tzinfo else found.replace(tzinfo=UTC)
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
    return None


def _bounded(seconds: float) -> float | None:
    return min(seconds, LONGEST_S) if math.isfinite(seconds) and seconds >= 0 else None
