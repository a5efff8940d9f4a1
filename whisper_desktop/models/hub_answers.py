"""What a hub of models (Hugging Face, or a mirror of it) answers: bounded, and none of it trusted. No I/O.

Names and sizes that no file could have are passed over. What a hub says in words is never repeated; its codes
and statuses become sentences of ours.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, urljoin

from whisper_desktop.errors import SettingsError, TransferError
from whisper_desktop.language import tr
from whisper_desktop.wire import fields
from whisper_desktop.wire.address import Address, parse_url
from whisper_desktop.wire.replies import Reply
from whisper_desktop.wire.retry_after import retry_after

LARGEST_FILE = 2 * 10**12
"""Bytes. The largest model files have a few hundred GB; what claims more is no model."""

_LONGEST_PATH = 1000
_SHA256 = re.compile(r"[0-9a-f]{64}")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_REPO = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
_NEXT = re.compile(r'<([^<>]{1,4000})>\s*;\s*rel="?next"?')
_LEFT = re.compile(r"\bt=(\d{1,6})\b")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a repository: `path` is relative, with "/"; `size` in bytes; `sha256` None where unknown."""

    path: str
    size: int
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class HubRepo:
    """A repository as it was at `commit`, which names it for good; `gated` ones ask for a licence first."""

    name: str
    commit: str
    gated: bool
    files: tuple[HubFile, ...]


@dataclass(frozen=True, slots=True)
class HubModel:
    """One answer to a search. `params` counts parameters, `train_ctx` tokens; `updated` is a day."""

    repo: str
    downloads: int = 0
    likes: int = 0
    gated: bool = False
    updated: str = ""
    architecture: str = ""
    params: int | None = None
    train_ctx: int | None = None


class NotAHub(Exception):
    """The answer is not what a hub says."""


def is_repo(name: str) -> bool:
    """Whether a repository can be called so: "owner/name"."""
    return _REPO.fullmatch(name) is not None and ".." not in name


def is_path(path: object) -> bool:
    """Whether a file of a repository can be called so; nothing that leads out of its folder is."""
    return (
        isinstance(path, str)
        and 0 < len(path) <= _LONGEST_PATH
        and path.isprintable()
        and "\\" not in path
        and all(part not in ("", ".", "..") for part in path.split("/"))
    )


def read_repo(value: object, asked: str) -> tuple[str, str, bool]:
    """Name, commit and whether it is gated, of the repository that was `asked` for. Raises `NotAHub`."""
    told = fields.table(value)
    commit, name = told.get("sha"), told.get("id")
    if not isinstance(commit, str) or not _COMMIT.fullmatch(commit):
        raise NotAHub
    known = name if isinstance(name, str) and is_repo(name) else asked  # another one after it was renamed
    return known, commit, bool(told.get("gated"))


def read_files(value: object) -> list[HubFile]:
    """The files of one page of a tree. Raises `NotAHub`."""
    if not isinstance(value, list):
        raise NotAHub
    return [file for entry in value if (file := _file(fields.table(entry))) is not None]


def _file(entry: Mapping[str, object]) -> HubFile | None:
    lfs, path = fields.table(entry.get("lfs")), entry.get("path")
    size = fields.count(lfs.get("size", entry.get("size")))
    if entry.get("type") != "file" or not isinstance(path, str) or not is_path(path):
        return None
    if size is None or size > LARGEST_FILE:
        return None
    digest = lfs.get("oid")
    known = isinstance(digest, str) and _SHA256.fullmatch(digest)
    return HubFile(path, size, str(digest) if known else None)


def read_models(value: object) -> tuple[HubModel, ...]:
    """The answers to a search. Raises `NotAHub`."""
    if not isinstance(value, list):
        raise NotAHub
    found = (_model(fields.table(entry)) for entry in value)
    return tuple(model for model in found if model is not None)


def _model(entry: Mapping[str, object]) -> HubModel | None:
    name, gguf = entry.get("id"), fields.table(entry.get("gguf"))
    if not isinstance(name, str) or not is_repo(name):
        return None
    day = _DAY.match(str(entry.get("lastModified", ""))[:40])
    return HubModel(
        name,
        downloads=fields.count(entry.get("downloads")) or 0,
        likes=fields.count(entry.get("likes")) or 0,
        gated=bool(entry.get("gated")),
        updated=day[0] if day else "",
        architecture=fields.name(gguf.get("architecture")) or "",
        params=fields.count(gguf.get("total")),
        train_ctx=fields.count(gguf.get("context_length")),
    )


def next_page(here: Address, headers: Mapping[str, str]) -> Address | None:
    """The page that follows, always at the same host: mirrors copy links that lead to the hub they mirror."""
    match = _NEXT.search(headers.get("link", ""))
    if match is None:
        return None
    try:
        there = parse_url(urljoin(here.url, match[1]))
    except (SettingsError, ValueError):
        return None
    return Address(here.scheme, here.host, here.port, here.path, there.query)


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked of which hub, for the sentence about a refusal."""

    endpoint: Address
    repo: str = ""
    file: str = ""
    revision: str = "main"
    with_token: bool = False

    @property
    def page(self) -> str:
        """Where a person looks at the repository."""
        return f"{self.endpoint.url}/{self.repo}"


def refused(reply: Reply, asked: Asked) -> TransferError:
    """The sentence for an answer that brings nothing."""
    hub, repo, code = asked.endpoint.netloc, asked.repo, reply.headers.get("x-error-code", "")
    wrong_key = "invalid credentials" in reply.headers.get("x-error-message", "").lower()
    give_token = tr("give a token: `whisper-desktop keys set {origin}`.", origin=asked.endpoint.origin)
    if reply.status == 429:
        return _limited(reply, asked)
    if code == "GatedRepo" and not asked.with_token:
        return TransferError(
            tr("{repo} is only given to people who have accepted its licence.", repo=repo),
            tr("{hub} wants to know that you are one of them.", hub=hub),
            tr("Accept it at {page}, then {give_token}", page=asked.page, give_token=give_token),
        )
    if code == "GatedRepo":
        return TransferError(
            tr("Your token has no access to {repo}.", repo=repo),
            tr(
                "Its account has not accepted the licence, still waits for an answer, or did not "
                "allow the token to read such repositories."
            ),
            tr("Ask for access at {page}, then try again.", page=asked.page),
        )
    if reply.status == 401 and wrong_key:
        return TransferError(
            tr("{hub} does not accept the token that is kept for it.", hub=hub),
            tr("It was revoked, has expired, or belongs to another hub."),
            tr(
                "Make a new one at {url}/settings/tokens, then {give_token}",
                url=asked.endpoint.url,
                give_token=give_token,
            ),
        )
    if code == "EntryNotFound":
        return TransferError(
            tr("{repo} has no file {file}.", repo=repo, file=asked.file),
            "",
            tr("See what it has at {page}.", page=asked.page),
        )
    if code == "RevisionNotFound":
        return TransferError(
            tr("{repo} has no revision {revision}.", repo=repo, revision=asked.revision),
            "",
            tr("Leave the revision out to take the newest files."),
        )
    if repo and reply.status == 401:
        return TransferError(
            tr("{hub} shows no repository {repo}.", hub=hub, repo=repo),
            tr("There is none of that name, or it is private: without a token it does not tell which."),
            tr(
                "Check the name at {search}. If it is private, {give_token}",
                search=_search(asked),
                give_token=give_token,
            ),
        )
    if repo and reply.status == 404:
        why = tr("Perhaps the name is misspelt, or your token may not see it.") if asked.with_token else ""
        return TransferError(
            tr("{hub} has no repository {repo}.", hub=hub, repo=repo),
            why,
            tr("Look for the name at {search}.", search=_search(asked)),
        )
    if repo and reply.status == 403:
        return TransferError(
            tr("{hub} does not give out {repo}.", hub=hub, repo=repo),
            tr("Access to it is disabled, or not allowed from here."),
            tr("See {page}, or choose another model.", page=asked.page),
        )
    if reply.status >= 500:
        return TransferError(
            tr("{hub} cannot answer right now.", hub=hub),
            tr("It is busy or broken (HTTP {status}).", status=reply.status),
            tr("Try again later."),
        )
    return not_a_hub(asked.endpoint)


def not_a_hub(endpoint: Address) -> TransferError:
    """Something answers there, but no hub."""
    return TransferError(
        tr("{netloc} does not answer like a hub of models.", netloc=endpoint.netloc),
        tr("It may be a login page of this network, or another kind of server."),
        tr(
            "Open any page in a browser to see whether the network wants you to log in. If "
            "HF_ENDPOINT is set, check that it names a mirror of Hugging Face."
        ),
    )


def _limited(reply: Reply, asked: Asked) -> TransferError:
    told = _LEFT.search(reply.headers.get("ratelimit", ""))
    wait = float(told[1]) if told else retry_after(reply.headers)
    token = "" if asked.with_token else tr(" With a token it allows more.")
    return TransferError(
        tr("{netloc} answers no more questions for now.", netloc=asked.endpoint.netloc),
        tr(
            "It allows a number of them every few minutes, and this address has used them up.{token}",
            token=token,
        ),
        tr("Try again in {max} s.", max=max(1, round(wait))) if wait else tr("Try again in a few minutes."),
    )


def _search(asked: Asked) -> str:
    return f"{asked.endpoint.url}/models?search={quote(asked.repo.rpartition('/')[2])}"
