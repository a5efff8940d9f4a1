"""Which builds of llama.cpp are published: GitHub's list of releases, or another one of the same shape.

The list is untrusted: bounded, and what is not understood is passed over, as are files that it says are
nearer than itself: nobody out there decides what is asked in here. What it is trusted with is the checksum of
each archive, so it has to come over https, or from this computer or the local network. An archive may then
come from anywhere else (the listed address, a mirror): it is the listed one or it is refused. One without a
checksum in the list (GitHub computes them since June 2025) is never installed: a checksum from the place that
the archive comes from would prove nothing.
"""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from whisper_desktop.errors import BackendError, EngineError, NetworkBlocked, SettingsError
from whisper_desktop.language import tr
from whisper_desktop.values import ErrorKind, Reach
from whisper_desktop.wire.address import Address, parse_url
from whisper_desktop.wire.http import Http, Reply

OFFICIAL = "https://api.github.com/repos/ggml-org/llama.cpp/releases"
"""The newest releases first. `/latest` is of no use: since late 2026 it names releases without builds."""

LARGEST_ASSET = 4 * 10**9
"""Bytes. The largest archives so far, CUDA's libraries, have 0.6 GB."""

_NEWEST = 10  # releases; each takes about 60 KB of the list
_MOST_RELEASES = 100
_MOST_ASSETS = 200
_LIST_LIMIT = 8_000_000
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,150}")
_DIGEST = re.compile(r"sha256:([0-9a-fA-F]{64})")
_HEADERS = {"accept": "application/vnd.github+json"}


@dataclass(frozen=True, slots=True)
class Asset:
    """One published file. `size` is in bytes, `sha256` in hex; None where the list does not tell."""

    name: str
    url: str
    size: int | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Release:
    """One release: its tag, such as "b11549", and its files."""

    tag: str
    assets: tuple[Asset, ...]


def parse_releases(data: object, listed_at: Reach) -> tuple[Release, ...]:
    """Releases from a list of GitHub's shape, or from a single release, in the order given. Never raises.

    `listed_at` is how far away the list itself is: files that are nearer are passed over.
    """
    entries = data if isinstance(data, list) else [data]
    releases = (_release(entry, listed_at) for entry in entries[:_MOST_RELEASES] if isinstance(entry, dict))
    return tuple(release for release in releases if release is not None)


def _release(entry: dict[object, object], listed_at: Reach) -> Release | None:
    tag, listed = entry.get("tag_name"), entry.get("assets")
    if not isinstance(tag, str) or not _NAME.fullmatch(tag) or entry.get("draft") is True:
        return None
    assets = listed[:_MOST_ASSETS] if isinstance(listed, list) else []
    found = (_asset(asset, listed_at) for asset in assets if isinstance(asset, dict))
    return Release(tag, tuple(asset for asset in found if asset is not None))


def _asset(entry: dict[object, object], listed_at: Reach) -> Asset | None:
    name, url, size = entry.get("name"), entry.get("browser_download_url"), entry.get("size")
    if not isinstance(name, str) or not _NAME.fullmatch(name) or not isinstance(url, str):
        return None
    if entry.get("state", "uploaded") != "uploaded":
        return None  # it is listed while it is still on its way there
    try:
        reach = parse_url(url).reach
    except SettingsError:
        return None
    if not reach.allows(listed_at):
        return None
    if type(size) is not int or not 0 < size <= LARGEST_ASSET:
        size = None
    digest = entry.get("digest")
    match = _DIGEST.fullmatch(digest) if isinstance(digest, str) else None
    return Asset(name, url, size, match[1].lower() if match else None)


def sources(tag: str, asset: Asset, mirrors: Sequence[str]) -> tuple[str, ...]:
    """Where to download an asset from: the listed address, or `<mirror>/<tag>/<name>` for each mirror."""
    if not mirrors:
        return (asset.url,)
    return tuple(f"{mirror.rstrip('/')}/{quote(tag)}/{quote(asset.name)}" for mirror in mirrors)


async def newest_releases(http: Http, index: str | None = None) -> tuple[Release, ...]:
    """The newest releases, as they are listed. Raises `EngineError`, or `ReachError` for a nearer reach."""
    address = _index(index)
    asked = address.url if index else f"{address.url}?per_page={_NEWEST}"
    reply = await _get(http, asked, address)
    if reply.status != 200:
        raise _refused(reply, address)
    releases = parse_releases(_data(reply, address), address.reach)
    if not releases:
        raise _unreadable(address, tr("It lists no release."))
    return releases


async def one_release(http: Http, tag: str, index: str | None = None) -> Release:
    """The release of that tag, from the list or asked for by name. Raises like `newest_releases`."""
    address = _index(index)
    tag = f"b{tag}" if tag.isdigit() else tag
    if not _NAME.fullmatch(tag):
        raise _no_such(tag, address)
    if index:  # a list in a file knows no names; GitHub does, and its list is long
        found = next((release for release in await newest_releases(http, index) if release.tag == tag), None)
        if found is not None:
            return found
    reply = await _get(http, f"{address.url.rstrip('/')}/tags/{quote(tag)}", address)
    if reply.status == 404:
        raise _no_such(tag, address)
    if reply.status != 200:
        raise _refused(reply, address)
    releases = parse_releases(_data(reply, address), address.reach)
    found = next((release for release in releases if release.tag == tag), None)
    if found is None:
        raise _no_such(tag, address)
    return found


def _index(given: str | None) -> Address:
    try:
        address = parse_url(given or OFFICIAL)
    except SettingsError as error:
        raise EngineError(error.title, error.detail, error.next_step, cause="build_index") from None
    if address.scheme == "http" and address.reach is Reach.CLOUD:
        raise EngineError(
            tr("The list of builds is not read over a connection that is not secure."),
            tr(
                "{netloc} is on the internet, and anybody on the way there could change the checksums.",
                netloc=address.netloc,
            ),
            tr("Set llm.llamacpp.build_index to https://{netloc}, or remove it.", netloc=address.netloc),
            cause="build_index",
        )
    return address


async def _get(http: Http, url: str, address: Address) -> Reply:
    try:
        return await http.request("GET", url, allowed=Reach.CLOUD, headers=_HEADERS, max_bytes=_LIST_LIMIT)
    except NetworkBlocked as error:
        raise NetworkBlocked(
            tr("Builds were not looked for at {netloc}: the network is switched off.", netloc=address.netloc),
            error.detail,
            tr(
                "Allow the network for this (llm.allow_network), or set llm.llamacpp.build_index to "
                "a list on this computer. Builds that are installed go on working."
            ),
        ) from None
    except BackendError as error:
        if error.kind is ErrorKind.TOO_LARGE:
            raise _unreadable(
                address, tr("It is larger than {list_limit:g} MB.", list_limit=_LIST_LIMIT / 1000000.0)
            ) from error
        if error.kind is ErrorKind.NOT_AN_LLM and error.status is not None:
            raise _unreadable(address, error.title) from error
        raise EngineError(
            tr("The list of builds cannot be reached."),
            error.title,
            tr(
                "See whether this computer is online, and try again. Builds that are installed go on working."
            ),
            cause="build_index",
        ) from error


def _data(reply: Reply, address: Address) -> object:
    try:
        return reply.json()
    except BackendError:
        raise _unreadable(address, tr("It is not JSON.")) from None


def _refused(reply: Reply, address: Address) -> EngineError:
    if reply.status == 429 or (reply.status == 403 and reply.headers.get("x-ratelimit-remaining") == "0"):
        return EngineError(
            tr(
                "{netloc} answers no more questions for now ({status}).",
                netloc=address.netloc,
                status=reply.status,
            ),
            tr("It allows a number of them each hour from one address, and yours has used them up."),
            tr("Try again {when}.", when=_when(reply.headers.get("x-ratelimit-reset", ""), time.time())),
            cause="build_index",
        )
    return _unreadable(address, tr("The server answered with status {status}.", status=reply.status))


def _when(reset: str, now: float) -> str:
    """ "in 12 minutes", from the moment (seconds since 1970) that GitHub names in a header."""
    seconds = int(reset) - now if reset.isascii() and reset.isdigit() and len(reset) <= 12 else 0
    if not 0 < seconds <= 3600:
        return tr("in an hour")
    minutes = max(1, round(seconds / 60))
    return tr("in a minute") if minutes == 1 else tr("in {minutes} minutes", minutes=minutes)


def _unreadable(address: Address, why: str) -> EngineError:
    return EngineError(
        tr("The list of builds from {netloc} cannot be used.", netloc=address.netloc),
        why,
        tr("Try again later, or correct llm.llamacpp.build_index."),
        cause="build_index",
    )


def _no_such(tag: str, address: Address) -> EngineError:
    return EngineError(
        tr("There is no release {tag}.", tag=tag),
        tr("{netloc} does not know it.", netloc=address.netloc),
        tr("Leave the version out to take the newest one."),
        cause="build_missing",
    )
