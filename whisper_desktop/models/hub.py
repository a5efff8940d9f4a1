"""Hugging Face, or a mirror of it: which files a repository has, which repositories there are.

The token goes to the hub's own origin and nowhere else: redirects to the store that files lie in carry none.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import closing
from typing import TypeVar
from urllib.parse import quote, urlencode

from whisper_desktop.errors import BackendError, NetworkBlocked, SettingsError, TransferError
from whisper_desktop.language import tr
from whisper_desktop.models.hub_answers import (
    Asked,
    HubFile,
    HubModel,
    HubRepo,
    NotAHub,
    is_repo,
    next_page,
    not_a_hub,
    read_files,
    read_models,
    read_repo,
    refused,
)
from whisper_desktop.settings.secrets import Secret, checked_key
from whisper_desktop.values import Deadlines, Reach
from whisper_desktop.wire.address import Address, parse_url
from whisper_desktop.wire.download_answers import REDIRECTS, Failure, check_network, failed, redirected
from whisper_desktop.wire.http import Http
from whisper_desktop.wire.redirects import opened
from whisper_desktop.wire.replies import Reply

HUGGING_FACE = "https://huggingface.co"

_LARGEST_ANSWER = 8_000_000  # bytes; a page of 1,000 files has 0.4 MB
_MOST_PAGES = 20
_MOST_REDIRECTS = 5
_TRIES = 3
_EXPANDED = ("downloads", "likes", "gated", "lastModified", "gguf")
_HEADERS = {"accept": "application/json"}
_YES = frozenset({"1", "on", "yes", "true"})

_T = TypeVar("_T")

TokenSource = Callable[[], Awaitable[str | None]]


class Hub:
    """One hub of models. `endpoint` is its address; `token` fetches the person's token for it, if any.

    An endpoint that cannot be used raises `TransferError` when it is first needed, not here.
    """

    def __init__(
        self,
        http: Http,
        *,
        endpoint: str = HUGGING_FACE,
        token: TokenSource | None = None,
        offline: bool = False,
        deadlines: Deadlines = Deadlines(),
    ) -> None:
        self._http = http
        self._endpoint = endpoint
        self._token = token
        self._offline = offline
        self._deadlines = deadlines

    @property
    def address(self) -> Address:
        """Where it is, without a slash at the end. Raises `TransferError`."""
        return _usable(self._endpoint)

    @property
    def origin(self) -> str:
        """What the token belongs to. Raises `TransferError`."""
        return self.address.origin

    def page(self, repo: str) -> str:
        """Where a person looks at a repository."""
        return f"{self.address.url}/{repo}"

    def url(self, repo: str, file: str, revision: str = "main") -> str:
        """Where a file is fetched from; it leads on to a link that expires."""
        return f"{self.address.url}/{quote(repo)}/resolve/{quote(revision, safe='')}/{quote(file)}"

    async def key(self) -> str | None:
        """The token, for this origin only. Raises `SecretsError` where it was clearly not pasted whole."""
        return await self._token() if self._token is not None else None

    async def key_for(self, url: str) -> str | None:
        """The token where this address is the hub's; None for any other, which may have been the hub once."""
        return await self.key() if parse_url(url).origin == self.origin else None

    def check_allowed(self) -> None:
        """Raises `NetworkBlocked` where the environment wants nothing to be asked of it."""
        if self._offline:
            raise NetworkBlocked(
                tr("Nothing was asked of {netloc}.", netloc=self.address.netloc),
                tr("HF_HUB_OFFLINE says so."),
                tr("Start without that variable to download models from there."),
            )

    async def repo(self, name: str, revision: str = "main") -> HubRepo:
        """A repository with all of its files. Raises `TransferError`, `ReachError` or `SecretsError`."""
        if not is_repo(name):
            raise TransferError(
                tr("“{name}” is not the name of a repository.", name=name[:100]),
                "",
                tr("One looks like Qwen/Qwen3-4B-GGUF."),
            )
        api = f"{self.address.url}/api/models"
        where = f"{api}/{quote(name)}/revision/{quote(revision, safe='')}"
        asked = Asked(self.address, name, revision=revision)
        told = await self._read(parse_url(where), asked, lambda reply: read_repo(reply.json(), name))
        known, commit, gated = told
        page: Address | None = parse_url(f"{api}/{quote(known)}/tree/{commit}?recursive=true")
        files: list[HubFile] = []
        for _ in range(_MOST_PAGES):
            if page is None:
                return HubRepo(known, commit, gated, tuple(files))
            found, page = await self._read(page, asked, _page_read(page))
            files += found
        raise TransferError(
            tr("{name} has more files than can be looked through.", name=name),
            tr("{netloc} goes on listing them after {files}.", netloc=self.address.netloc, files=len(files)),
            tr("Choose a file at {page} and give its address.", page=self.page(name)),
        )

    async def files(self, repo: str, revision: str = "main") -> tuple[HubFile, ...]:
        """The files of a repository. Raises like `repo`."""
        return (await self.repo(repo, revision)).files

    async def search(self, text: str, limit: int = 20) -> tuple[HubModel, ...]:
        """Repositories with GGUF files, those that most people download first. Raises like `repo`."""
        asked = [("search", text), ("filter", "gguf"), ("sort", "downloads"), ("limit", str(limit))]
        asked += [("expand", name) for name in _EXPANDED]
        where = parse_url(f"{self.address.url}/api/models?{urlencode(asked)}")
        found = await self._read(where, Asked(self.address), lambda reply: read_models(reply.json()))
        return found[:limit]

    async def refusal(self, url: str, repo: str, file: str) -> TransferError | None:
        """Why the hub does not give out the file at `url`; None where it does, or does not answer.

        Raises `ReachError`, or `SecretsError` like `key`.
        """
        self.check_allowed()
        key, where = await self.key_for(url), parse_url(url)
        headers = {"authorization": f"Bearer {key}"} if key else {}
        try:
            async with asyncio.timeout(self._deadlines.request):
                for _ in range(_MOST_REDIRECTS):
                    reply = await self._http.send(
                        "HEAD", where.url, Reach.CLOUD, None, headers, redirects=True
                    )
                    reply.close()
                    if reply.status not in REDIRECTS:
                        break
                    where = redirected(where, reply.headers.get("location", ""))
                    if where.origin != parse_url(url).origin:
                        return None
        except (BackendError, Failure, TimeoutError):
            return None
        if reply.status < 400 or reply.status >= 500:
            return None
        asked = Asked(self.address, repo, file, with_token=key is not None)
        return refused(Reply(reply.status, reply.headers, b""), asked)

    async def _read(self, where: Address, asked: Asked, read: Callable[[Reply], _T]) -> _T:
        """What `read` makes of the answer. Raises like `repo`."""
        self.check_allowed()
        key = await self.key()
        asked = Asked(asked.endpoint, asked.repo, asked.file, asked.revision, with_token=key is not None)
        reply = await self._asked(where, key)
        if reply.status != 200:
            raise refused(reply, asked)
        try:
            return read(reply)
        except (NotAHub, BackendError):
            raise not_a_hub(asked.endpoint) from None

    async def _asked(self, where: Address, key: str | None) -> Reply:
        """The whole answer, tried a few times where it may pass."""
        for left in reversed(range(_TRIES)):
            try:
                reply = await self._once(where, key)
                if reply.status < 500 or not left:
                    return reply
            except Failure as failure:
                if not failure.passing or not left:
                    raise TransferError(
                        tr("{netloc} cannot be asked.", netloc=where.netloc),
                        failure.detail,
                        failure.next_step,
                    ) from failure
            await asyncio.sleep(self._deadlines.retry_pause * (_TRIES - left))
        raise AssertionError("the last try returns or raises")

    async def _once(self, where: Address, key: str | None) -> Reply:
        try:
            async with asyncio.timeout(self._deadlines.request):
                reply = await opened(
                    self._http, where, _HEADERS, allowed=Reach.CLOUD, key=key, deadlines=self._deadlines
                )
                with closing(reply):
                    return Reply(reply.status, reply.headers, await reply.read(_LARGEST_ANSWER))
        except TimeoutError:
            why = tr(
                "{netloc} did not answer within {request:g} s.",
                netloc=where.netloc,
                request=self._deadlines.request,
            )
            raise Failure(why, check_network(), passing=True) from None
        except BackendError as error:
            raise failed(error) from None
        except NetworkBlocked as error:
            raise NetworkBlocked(
                tr("Nothing was asked of {netloc}: the network is switched off.", netloc=where.netloc),
                error.detail,
                tr("Allow the network (llm.allow_network) to look for models and to download them."),
            ) from None


def hub_from(
    http: Http,
    env: Mapping[str, str],
    *,
    kept: Callable[[str], TokenSource] | None = None,
    deadlines: Deadlines = Deadlines(),
) -> Hub:
    """The hub that the environment names: HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE. Never raises.

    `kept` gives the token that is kept for an address (`app.keys.Keys.source_for`); one in the environment
    comes before it.
    """
    endpoint = env.get("HF_ENDPOINT", "").strip() or HUGGING_FACE
    given = Secret(env["HF_TOKEN"]) if env.get("HF_TOKEN", "").strip() else None

    async def token() -> str | None:
        if given is not None:
            return checked_key(given.reveal())
        return await kept(_usable(endpoint).origin)() if kept is not None else None

    offline = env.get("HF_HUB_OFFLINE", "").strip().lower() in _YES
    return Hub(http, endpoint=endpoint, token=token, offline=offline, deadlines=deadlines)


def _page_read(here: Address) -> Callable[[Reply], tuple[list[HubFile], Address | None]]:
    return lambda reply: (read_files(reply.json()), next_page(here, reply.headers))


def _usable(endpoint: str) -> Address:
    text = endpoint.strip()
    try:
        address = parse_url(text if "://" in text else f"https://{text}")
    except SettingsError as error:
        raise _wrong_endpoint(error.detail) from None
    if address.query:
        raise _wrong_endpoint(tr("It has a part after a question mark."))
    if address.scheme == "http" and address.reach is Reach.CLOUD:
        raise _wrong_endpoint(
            tr("It is on the internet, and anybody on the way there could change the files.")
        )
    return Address(address.scheme, address.host, address.port, address.path.rstrip("/"))


def _wrong_endpoint(why: str) -> TransferError:
    return TransferError(
        tr("The address of the hub that HF_ENDPOINT names cannot be used."),
        why,
        tr(
            "Remove HF_ENDPOINT, or set it to a mirror's address, such as {hugging_face}.",
            hugging_face=HUGGING_FACE,
        ),
    )
