"""What an answer means to a download: pure decisions on a status, headers and addresses."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urljoin

from whisper_desktop.errors import BackendError, SettingsError, TransferError
from whisper_desktop.language import tr
from whisper_desktop.values import ErrorKind, Reach
from whisper_desktop.wire.address import Address, parse_url
from whisper_desktop.wire.journal import Source
from whisper_desktop.wire.retry_after import retry_after

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
_BEYOND = re.compile(r"bytes \*/([0-9]{1,18})")
_LENGTH = re.compile(r"[0-9]{1,18}")


class Failure(TransferError):
    """One try at one address failed; the `detail` says why.

    `passing`: it may succeed later, at the earliest `wait` seconds from now. `status` is the HTTP status
    that refused it, None where nobody did. `unfit`: ranges of files are not, or badly, served there.
    """

    def __init__(
        self,
        why: str,
        next_step: str,
        *,
        passing: bool = False,
        wait: float = 0.0,
        status: int | None = None,
        unfit: bool = False,
    ) -> None:
        super().__init__(tr("The file could not be fetched."), why, next_step)
        self.passing = passing
        self.wait = wait
        self.status = status
        self.unfit = unfit


class Changed(Exception):
    """What is offered is another file, or another version of it. `total` is its size, where that was told."""

    def __init__(self, total: int | None = None) -> None:
        super().__init__()
        self.total = total


@dataclass(frozen=True, slots=True)
class Offer:
    """What an answer brings: the bytes from `start` to `end` (None unknown) of a file.

    Its size is `total` (None unknown). `validator` is what the server calls this version of it, "" where it
    does not. `whole`: it is simply everything; then `divisible` says whether the server knows ranges, too.
    """

    start: int
    end: int | None
    total: int | None
    validator: str
    whole: bool = False
    divisible: bool = True


def read_offer(
    where: str,
    status: int,
    headers: Mapping[str, str],
    start: int,
    length: int | None,
    kept: Source | None = None,
    *,
    same: bool = False,
) -> Offer:
    """What an answer brings to somebody who asked for `length` bytes (None: all) from `start` on.

    `kept` describes what is there already, if anything; `same`: it is from this address. Raises `Changed`, or
    `Failure` for what is of no use.
    """
    if status in _NOT_FROM_THERE:
        return _beyond(where, status, headers, start, kept, same=same)
    _check_is_file(where, status, headers)
    if status == 200:
        total = _length(headers)
        offer = Offer(0, total, total, _validator(headers), True, headers.get("accept-ranges") == "bytes")
        _check_version(where, offer, kept, same=same)
        return offer
    span = _CONTENT_RANGE.fullmatch(headers.get("content-range", "").strip())
    if span is None:
        raise _not_asked_for(where)
    end, total = int(span[2]) + 1, None if span[3] == "*" else int(span[3])
    offer = Offer(start, end, total, _validator(headers))
    _check_version(where, offer, kept, same=same)
    announced = _length(headers)
    if (
        int(span[1]) != start
        or end <= start
        or (length is not None and end > start + length)
        or (total is not None and end > total)
        or (announced is not None and announced != end - start)
    ):
        raise _not_asked_for(where)
    return offer


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
        raise Failure(
            tr("{netloc} sends everyone on to an address that is none.", netloc=here.netloc), try_again()
        ) from None
    if there.scheme == "http" and (here.scheme == "https" or there.reach is Reach.CLOUD):
        raise _not_safe(there)
    if not there.reach.allows(here.reach):
        raise Failure(
            tr(
                "{netloc} sends everyone on to {netloc2}, which is nearer: {words}.",
                netloc=here.netloc,
                netloc2=there.netloc,
                words=there.reach.words,
            ),
            tr("Nobody out there decides what is asked in here, so it was not followed. Check the address."),
        )
    return there


def failed(error: BackendError) -> Failure:
    """What went wrong on the way, for somebody who waits for a file and not for an answer."""
    passing = error.kind in _PASSING
    step = check_network() if passing else error.next_step or try_again()
    return Failure(f"{error.title} {error.detail}".strip(), step, passing=passing)


def cut(where: str) -> Failure:
    """The answer ended regularly, but too early."""
    return Failure(
        tr("{where} ended before all of the file was there.", where=where), check_network(), passing=True
    )


def refused(where: str, status: int, headers: Mapping[str, str]) -> Failure:
    """A status that brings no part of a file."""
    if status in _GONE:
        return Failure(tr("{where} does not have it.", where=where), try_again(), status=status)
    if status in _BUSY:
        wait = retry_after(headers, limited=status == 429) or 0.0
        why = tr("{where} is busy or broken (HTTP {status}).", where=where, status=status)
        if wait:
            why += tr(" It asks to be left alone for {wait:.0f} s.", wait=wait)
        return Failure(why, try_again(), passing=True, wait=wait, status=status)
    return Failure(
        tr("{where} refused to send it (HTTP {status}).", where=where, status=status),
        try_again(),
        status=status,
    )


def _beyond(
    where: str, status: int, headers: Mapping[str, str], start: int, kept: Source | None, *, same: bool
) -> Offer:
    """A server that has nothing there: because the file is not longer, or it is another, or it knows none."""
    said = _BEYOND.fullmatch(headers.get("content-range", "").strip())
    total = int(said[1]) if said else None
    if status == 412 and same:
        raise Changed
    offer = Offer(start, start, total, _validator(headers))
    _check_version(where, offer, kept, same=same)
    if same and total is not None and total < start:
        raise Changed(total)
    if total != start:
        raise _not_asked_for(where)
    return offer


def _check_version(where: str, offer: Offer, kept: Source | None, *, same: bool) -> None:
    """Raises `Changed` where what is offered is not what is there, and `Failure` where it never was."""
    if kept is None:
        return
    other = None not in (kept.total, offer.total) and kept.total != offer.total
    if other and not same:
        raise Failure(
            tr("{where} has another file: it has {total} bytes.", where=where, total=offer.total), try_again()
        )
    named = offer.validator or offer.whole  # All of it, asked for a part of a version, is another version.
    renamed = bool(kept.validator and named) and kept.validator != offer.validator
    if same and (other or renamed):
        raise Changed(offer.total)


def _check_is_file(where: str, status: int, headers: Mapping[str, str]) -> None:
    """Raises `Failure` for an answer that brings nothing of a file."""
    if status not in (200, 206):
        raise refused(where, status, headers)
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise Failure(tr("{where} packs the file in a way that nobody asked for.", where=where), try_again())
    if headers.get("content-type", "").lower().startswith("text/html"):
        raise Failure(
            tr("{where} sent a web page instead of the file.", where=where),
            tr("Perhaps this network wants you to log in first: open any page in a browser, then try again."),
        )


def _length(headers: Mapping[str, str]) -> int | None:
    found = _LENGTH.fullmatch(headers.get("content-length", ""))
    return int(found[0]) if found else None


def _not_asked_for(where: str) -> Failure:
    why = tr("{where} sent another part of the file than the one that was asked for.", where=where)
    return Failure(why, try_again(), passing=True, unfit=True)


def _validator(headers: Mapping[str, str]) -> str:
    """What names this version of the file beyond doubt: a strong ETag, else the date of its last change."""
    tag = headers.get("etag", "").strip()
    found = tag if tag.startswith('"') else headers.get("last-modified", "").strip()
    return found if len(found) <= _LONGEST_VALIDATOR else ""


def _not_safe(address: Address) -> Failure:
    return Failure(
        tr(
            "{netloc} would be asked without encryption, and anybody on the way could change the file.",
            netloc=address.netloc,
        ),
        tr("Use an address that begins with https://."),
    )


def try_again() -> str:
    """The step after a failure that passes by itself."""
    return tr("Try again later.")


def check_network() -> str:
    """The step after a failure on the way."""
    return tr("Check the network connection and try again.")
