"""What an answer means to a download: pure decisions on a status, headers and addresses."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urljoin

from whisper_desktop.errors import BackendError, SettingsError
from whisper_desktop.values import ErrorKind, Reach
from whisper_desktop.wire.address import Address, parse_url
from whisper_desktop.wire.part_file import Source
from whisper_desktop.wire.retry_after import retry_after

TRY_AGAIN = "Try again later."
CHECK_NETWORK = "Check the network connection and try again."
REDIRECTS = (301, 302, 303, 307, 308)

_LONGEST_VALIDATOR = 500
_GONE = (404, 410)
_NOT_FROM_THERE = (412, 416)
_BUSY = (408, 425, 429, 500, 502, 503, 504)
_PASSING = (
    ErrorKind.CONNECT_REFUSED,
    ErrorKind.CONNECT_TIMEOUT,
    ErrorKind.OFFLINE,
    ErrorKind.CLOSED_EARLY,
    ErrorKind.STREAM_CUT,
    ErrorKind.STALLED,
)
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)")
_LENGTH = re.compile(r"[0-9]{1,18}")


class Failure(Exception):
    """One try at one address failed: `why` and `next_step` are sentences.

    `passing`: it may succeed later, at the earliest `wait` seconds from now.
    """

    def __init__(self, why: str, next_step: str, *, passing: bool = False, wait: float = 0.0) -> None:
        super().__init__(why)
        self.why = why
        self.next_step = next_step
        self.passing = passing
        self.wait = wait


class Changed(Exception):
    """What is offered does not go on where the part ends, or is of another file."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What an answer brings: all bytes from `start` on, of a file with `total` bytes (None unknown).

    `validator` is what the server calls this version of the file, "" where it does not.
    """

    start: int
    total: int | None
    validator: str


def read_offer(
    where: str, status: int, headers: Mapping[str, str], have: int, kept: Source | None, *, same: bool
) -> Offer:
    """What an answer brings to somebody who has `have` bytes of what `kept` describes and asked for the rest.

    `same`: they are from this address. Raises `Changed`, or `Failure` for what is not the file at all.
    """
    if status in _NOT_FROM_THERE and have:
        raise Changed
    if status not in (200, 206):
        raise _refused(where, status, headers)
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise Failure(f"{where} packs the file in a way that nobody asked for.", TRY_AGAIN)
    if headers.get("content-type", "").lower().startswith("text/html"):
        raise Failure(
            f"{where} sent a web page instead of the file.",
            "Perhaps this network wants you to log in first: open any page in a browser, then try again.",
        )
    validator = _validator(headers)
    if status == 200:
        length = _LENGTH.fullmatch(headers.get("content-length", ""))
        return Offer(0, int(length[0]) if length else None, validator)
    span = _CONTENT_RANGE.fullmatch(headers.get("content-range", "").strip())
    if span is None or kept is None or int(span[1]) != have or int(span[2]) < have:
        raise Changed
    if same and kept.validator and validator and validator != kept.validator:
        raise Changed
    return Offer(have, None if span[3] == "*" else int(span[3]), validator)


def may_resume(kept: Source, address: str, sha256: str) -> bool:
    """Whether more of the same can be had from this address, or the checksum would tell that it is not."""
    if kept.sha256 != sha256:
        return False
    return bool(sha256) or (kept.address == address and bool(kept.validator))


def usable(url: str) -> Address:
    """The address to begin at. Raises `Failure`."""
    try:
        address = parse_url(url)
    except SettingsError as error:
        raise Failure(f"{error.title} {error.detail}", error.next_step) from None
    if address.scheme == "http" and address.reach is Reach.CLOUD:
        raise _not_safe(address)
    return address


def redirected(here: Address, location: str) -> Address:
    """Where a redirect leads. Raises `Failure` where nobody follows it."""
    try:
        there = parse_url(urljoin(here.url, location))
    except (SettingsError, ValueError):
        raise Failure(f"{here.netloc} sends everyone on to an address that is none.", TRY_AGAIN) from None
    if there.scheme == "http" and (here.scheme == "https" or there.reach is Reach.CLOUD):
        raise _not_safe(there)
    if not there.reach.allows(here.reach):
        raise Failure(
            f"{here.netloc} sends everyone on to {there.netloc}, which is nearer: {there.reach.words}.",
            "Nobody out there decides what is asked in here, so it was not followed. Check the address.",
        )
    return there


def failed(error: BackendError) -> Failure:
    """What went wrong on the way, for somebody who waits for a file and not for an answer."""
    passing = error.kind in _PASSING
    step = CHECK_NETWORK if passing else error.next_step or TRY_AGAIN
    return Failure(f"{error.title} {error.detail}".strip(), step, passing=passing)


def cut(where: str) -> Failure:
    """The answer ended regularly, but too early."""
    return Failure(f"{where} ended before all of the file was there.", CHECK_NETWORK, passing=True)


def _refused(where: str, status: int, headers: Mapping[str, str]) -> Failure:
    if status in _GONE:
        return Failure(f"{where} does not have it.", TRY_AGAIN)
    if status in _BUSY:
        wait = retry_after(headers, limited=status == 429) or 0.0
        why = f"{where} is busy or broken (HTTP {status})."
        if wait:
            why += f" It asks to be left alone for {wait:.0f} s."
        return Failure(why, TRY_AGAIN, passing=True, wait=wait)
    return Failure(f"{where} refused to send it (HTTP {status}).", TRY_AGAIN)


def _validator(headers: Mapping[str, str]) -> str:
    """What names this version of the file beyond doubt: a strong ETag, else the date of its last change."""
    tag = headers.get("etag", "").strip()
    found = tag if tag.startswith('"') else headers.get("last-modified", "").strip()
    return found if len(found) <= _LONGEST_VALIDATOR else ""


def _not_safe(address: Address) -> Failure:
    return Failure(
        f"{address.netloc} would be asked without encryption, and anybody on the way could change the file.",
        "Use an address that begins with https://.",
    )
