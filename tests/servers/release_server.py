"""A forge with releases: the REST API of GitHub as far as releases go, and the storage that its files lie in.

    folder/ggml-org/llama.cpp/b100/llama-b100-bin-ubuntu-x64.tar.gz      what `--folder` holds
    folder/ggml-org/llama.cpp/b100/release.json                         optional: fields that are otherwise

    storage = servers("release_server", "--folder", folder)
    forge = servers("release_server", "--folder", folder, "--assets", storage.url)

GET /repos/OWNER/NAME/releases[?per_page=&page=]  .../releases/latest  .../releases/tags/TAG  .../releases/ID
    .../releases/ID/assets  .../releases/assets/ID (the file for `Accept: application/octet-stream`)
GET /OWNER/NAME/releases/download/TAG/FILE, /OWNER/NAME/releases/latest/download/FILE   302 to the storage
GET /release-assets/ID?sig=...    the file, with ETag, Last-Modified, Range and If-Range; no key is looked at

Files are read anew for every request, so a test may change them. Of several tags the one with the greatest
numbers is the newest; `release.json` may say `draft`, `prerelease`, `published_at`, `body`, `name`.

Options  --folder DIR  --assets URL (the storage; default: this server)  --url-lifetime S (of a signed one)
         --rate-limit N (requests to the API until it is used up, then 403)  --no-digests (as before 2025)
Faults   --fault JSON and POST /__test__/fault: {"mode", "arg", "count", "on"}, tried in order; `on` is files
         (the default), api, all or a path
  of the way    cut_mid_stream:N[:S]  die_mid_stream:N  stall_mid_stream:N  after N bytes of the body (and S
                seconds: some clients drop what they have not looked at when the connection ends)
                slow:BYTES_PER_S  hang  close_before_headers  reset_before_headers  refuse[:S]
                flapping:UP:DOWN
  instead       error_500  busy_503[:RETRY_AFTER]  not_found_404  html_200  redirect[:URL] (else in a circle)
                rate_403 (primary limit)  rate_429[:RETRY_AFTER] (secondary limit)  malformed (broken JSON)
  of the file   ignore_range (200)  ignore_if_range  wrong_range (206 from one byte later)  foreign_range (206
                with the size of another file)  range_416  other_version (another ETag each time)
                no_validator  weak_etag  gzip (packed unasked)  no_length (chunked)  more:N (chunked, N bytes
                too many)  other_bytes (as long, but not the same)
  of the list   wrong_digest
"""

import argparse
import asyncio
import hashlib
import hmac
import json
import re
import time
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from tests.servers.base import Service
from tests.servers.faults import OF_THE_PROCESS, Fault, FaultSwitch, read_faults
from tests.servers.http_wire import Reply, Request, serve_connection
from tests.servers.reactions import HTML_PAGE, Response, json_response
from tests.servers.release_storage import send_file, storage_error
from tests.servers.serving import main

MODES = OF_THE_PROCESS | {
    "cut_mid_stream", "die_mid_stream", "stall_mid_stream", "slow", "hang", "close_before_headers",
    "reset_before_headers", "error_500", "busy_503", "not_found_404", "html_200", "redirect", "rate_403",
    "rate_429", "malformed", "ignore_range", "ignore_if_range", "wrong_range", "foreign_range", "range_416",
    "other_version", "no_validator", "weak_etag", "gzip", "no_length", "more", "other_bytes", "wrong_digest",
}  # fmt: skip

SECRET = b"what the storage and the forge share"
DOCS = "https://docs.github.com/rest"
MOST_PER_PAGE = 100
JSON_UTF8 = {"Content-Type": "application/json; charset=utf-8", "Server": "github.com"}
FIRST_RELEASE = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class ReleaseFault(Fault):
    """A fault of this server: `on` is files, api, all or a path."""

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ValueError(f"no fault is called {self.mode!r}; there are {', '.join(sorted(MODES))}")
        self.on = self.on or ("api" if self.mode in ("wrong_digest", "malformed") else "files")

    def concerns(self, path: str, *, chat: bool) -> bool:
        """Whether a request for `path` meets this fault."""
        if self.mode in OF_THE_PROCESS:
            return False
        kind = {"api": "/repos/", "files": "/release-assets/", "all": "/"}.get(self.on, self.on)
        return path.startswith(kind)


HEALTHY = ReleaseFault("slow", "0")


@dataclass(frozen=True)
class Asset:
    """A file of a release."""

    path: Path
    repo: str
    tag: str

    @property
    def id(self) -> int:
        """The same in every process that has the same folder."""
        return zlib.crc32(f"{self.repo}/{self.tag}/{self.path.name}".encode())


@dataclass(frozen=True)
class Release:
    """One tag of a repository, with what `release.json` says about it."""

    repo: str
    tag: str
    assets: tuple[Asset, ...]
    created: datetime
    said: Mapping[str, Any]

    @property
    def id(self) -> int:
        """The same in every process that has the same folder."""
        return zlib.crc32(f"{self.repo}/{self.tag}".encode())


class ReleaseServer(Service):
    """See the module's docstring."""

    name = "release_server"

    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__(options)
        self._folder = Path(options.folder)
        self._assets: str = options.assets.rstrip("/")
        self._lifetime: float = options.url_lifetime
        self._left: int = options.rate_limit
        self._limit: int = options.rate_limit
        self._digests: bool = not options.no_digests
        self._reset = time.time() + 3600
        self._faults = FaultSwitch(options.fault)
        self.outages = self._faults.outages()

    @classmethod
    def add_options(cls, parser: argparse.ArgumentParser) -> None:
        """What it has, and what goes wrong with it."""
        parser.add_argument("--folder", required=True)
        parser.add_argument("--assets", default="", metavar="URL")
        parser.add_argument("--url-lifetime", type=float, default=300, metavar="S")
        parser.add_argument("--rate-limit", type=int, default=60, metavar="N")
        parser.add_argument("--no-digests", action="store_true")
        parser.add_argument(
            "--fault", type=lambda text: read_faults(json.loads(text), ReleaseFault), default=[]
        )

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves HTTP requests until either side has had enough."""
        await serve_connection(reader, writer, self._handle, self.log.note, {}, None)

    async def _handle(self, request: Request, reply: Reply) -> None:
        if request.path.startswith("/__test__/"):
            await _say(reply, self._control(request))
            return
        self.log.note_request(request)
        fault = self._faults.take(request.path, chat=False) or HEALTHY
        if await _fails(fault, request, reply):
            return
        if request.method not in ("GET", "HEAD"):
            await _say(reply, json_response({"message": "Not Found"}, 404))
        elif request.path.startswith("/repos/"):
            await _say(reply, self._api(request, fault))
        elif request.path.startswith("/release-assets/"):
            await self._serve(request, reply, fault)
        else:
            await _say(reply, self._page(request))

    def _control(self, request: Request) -> Response:
        try:
            if request.target == "/__test__/log":
                return json_response(self.log.events)
            if request.target == "/__test__/fault":
                self._faults = FaultSwitch(read_faults(request.json(), ReleaseFault))
                self.outages = self._faults.outages()
                self.outages_changed.set()
                return json_response({"faults": len(self._faults.faults)})
        except (ValueError, TypeError) as error:
            return json_response({"error": str(error)}, 400)
        return json_response({"error": "there are log and fault"}, 404)

    # --- the API ------------------------------------------------------------------------------------------

    def _api(self, request: Request, fault: Fault) -> Response:
        if "user-agent" not in request.headers:
            said = "Request forbidden by administrative rules. Please make sure your request has a User-Agent"
            return Response(403, f"{said} header.\r\n".encode(), {"Content-Type": "text/html"})
        if self._left <= 0:
            return _rate_limited(self._limits())
        response = self._found(request, fault)
        tag = f'W/"{hashlib.sha256(response.body).hexdigest()}"'
        headers = {**response.headers, **self._limits(), "ETag": tag, "Vary": "Accept, Authorization"}
        if response.status == 200 and request.headers.get("if-none-match") == tag:
            return Response(304, b"", headers)  # does not count
        self._left -= 1
        return Response(response.status, response.body, {**headers, **self._limits()})

    def _limits(self) -> dict[str, str]:
        return {
            "X-RateLimit-Limit": str(self._limit),
            "X-RateLimit-Remaining": str(max(0, self._left)),
            "X-RateLimit-Used": str(self._limit - max(0, self._left)),
            "X-RateLimit-Reset": str(int(self._reset)),
            "X-RateLimit-Resource": "core",
        }

    def _found(self, request: Request, fault: Fault) -> Response:
        _, _, owner, name, *rest = request.path.split("/") + [""] * 3
        repo = f"{owner}/{name}"
        releases = self._releases(repo)
        origin = f"http://{request.headers.get('host', 'localhost')}"
        match [each for each in rest if each]:
            case ["releases"]:
                return self._listed(
                    request, origin, [each for each in releases if not _is_draft(each)], fault
                )
            case ["releases", "latest"]:
                full = [each for each in releases if not _is_draft(each) and not each.said.get("prerelease")]
                return self._one(full[0] if full else None, origin, fault)
            case ["releases", "tags", tag]:
                return self._one(next((each for each in releases if each.tag == tag), None), origin, fault)
            case ["releases", "assets", number]:
                asset = next((a for each in releases for a in each.assets if str(a.id) == number), None)
                if asset is None:
                    return _not_found()
                if request.headers.get("accept") == "application/octet-stream":
                    return self._redirect(asset)
                return json_response(self._asset(asset, origin, fault), 200, JSON_UTF8)
            case ["releases", number] | ["releases", number, "assets"]:
                release = next((each for each in releases if str(each.id) == number), None)
                if release is not None and request.path.endswith("/assets"):
                    assets = [self._asset(each, origin, fault) for each in release.assets]
                    return json_response(assets, 200, JSON_UTF8)
                return self._one(release, origin, fault)
        return _not_found()

    def _one(self, release: Release | None, origin: str, fault: Fault) -> Response:
        if release is None:
            return _not_found()
        return json_response(self._release(release, origin, fault), 200, JSON_UTF8)

    def _listed(self, request: Request, origin: str, releases: list[Release], fault: Fault) -> Response:
        try:
            size = min(MOST_PER_PAGE, max(1, int(request.query.get("per_page", "30"))))
            page = max(1, int(request.query.get("page", "1")))
        except ValueError:
            size, page = 30, 1
        last = max(1, -(-len(releases) // size))
        pages = [("prev", page - 1), ("next", page + 1), ("last", last), ("first", 1)]
        if page >= last:
            pages = [each for each in pages if each[0] not in ("next", "last")]
        if page == 1:
            pages = [each for each in pages if each[0] not in ("prev", "first")]
        links = [
            f'<{origin}{request.path}?{urlencode({"per_page": size, "page": number})}>; rel="{name}"'
            for name, number in pages
        ]
        shown = releases[(page - 1) * size : page * size]
        headers = JSON_UTF8 | ({"Link": ", ".join(links)} if links else {})
        return json_response([self._release(each, origin, fault) for each in shown], 200, headers)

    def _release(self, release: Release, origin: str, fault: Fault) -> dict[str, object]:
        base = f"{origin}/repos/{release.repo}/releases"
        moment = _moment(release.created)
        return {
            "url": f"{base}/{release.id}",
            "assets_url": f"{base}/{release.id}/assets",
            "html_url": f"{origin}/{release.repo}/releases/tag/{quote(release.tag)}",
            "id": release.id,
            "author": {"login": "github-actions[bot]", "type": "Bot"},
            "tag_name": release.tag,
            "target_commitish": "master",
            "name": release.tag,
            "draft": False,
            "immutable": False,
            "prerelease": False,
            "created_at": moment,
            "updated_at": moment,
            "published_at": moment,
            "assets": [self._asset(each, origin, fault) for each in release.assets],
            "tarball_url": f"{origin}/repos/{release.repo}/tarball/{quote(release.tag)}",
            "zipball_url": f"{origin}/repos/{release.repo}/zipball/{quote(release.tag)}",
            "body": "",
            **release.said,
        }

    def _asset(self, asset: Asset, origin: str, fault: Fault) -> dict[str, object]:
        digest = hashlib.sha256(asset.path.read_bytes()).hexdigest()
        if fault.mode == "wrong_digest":
            digest = digest[::-1]
        moment = _moment(datetime.fromtimestamp(asset.path.stat().st_mtime, UTC))
        name = quote(asset.path.name)
        return {
            "url": f"{origin}/repos/{asset.repo}/releases/assets/{asset.id}",
            "id": asset.id,
            "name": asset.path.name,
            "label": "",
            "uploader": {"login": "github-actions[bot]", "type": "Bot"},
            "content_type": "application/zip" if name.endswith(".zip") else "application/gzip",
            "state": "uploaded",
            "size": asset.path.stat().st_size,
            "digest": f"sha256:{digest}" if self._digests else None,
            "download_count": 7,
            "created_at": moment,
            "updated_at": moment,
            "browser_download_url": f"{origin}/{asset.repo}/releases/download/{quote(asset.tag)}/{name}",
        }

    # --- the pages and the storage ------------------------------------------------------------------------

    def _page(self, request: Request) -> Response:
        match request.path.split("/")[1:]:
            case [owner, name, "releases", "download", tag, file]:
                return self._redirect(self._find(f"{owner}/{name}", tag, file))
            case [owner, name, "releases", "latest", "download", file]:
                releases = [each for each in self._releases(f"{owner}/{name}") if not _is_draft(each)]
                full = [each for each in releases if not each.said.get("prerelease")]
                return self._redirect(self._find(f"{owner}/{name}", full[0].tag, file) if full else None)
        return Response(404, b"Not Found", {"Content-Type": "text/plain; charset=utf-8"})

    def _redirect(self, asset: Asset | None) -> Response:
        if asset is None:
            return Response(404, b"Not Found", {"Content-Type": "text/plain; charset=utf-8"})
        until = str(int(time.time() + self._lifetime))
        signed = {
            "se": until,
            "sig": _signature(asset.id, until),
            "response-content-disposition": f"attachment; filename={asset.path.name}",
        }
        where = f"{self._assets}/release-assets/{asset.id}?{urlencode(signed)}"
        return Response(302, b"", {"Location": where, "Content-Type": "text/html; charset=utf-8"})

    async def _serve(self, request: Request, reply: Reply, fault: Fault) -> None:
        number = request.path.removeprefix("/release-assets/")
        asset = next((each for each in self._all() if str(each.id) == number), None)
        until = request.query.get("se", "")
        if asset is None:
            await _say(reply, storage_error(404, "BlobNotFound"))
        elif request.query.get("sig") != _signature(asset.id, until) or int(until) < time.time():
            await _say(reply, storage_error(403, "AuthenticationFailed"))
        else:
            await send_file(request, reply, asset.path, fault)

    # --- the folder ---------------------------------------------------------------------------------------

    def _releases(self, repo: str) -> list[Release]:
        """The newest first."""
        base = self._folder / repo
        if ".." in repo or not base.is_dir():
            return []
        tags = sorted((each.name for each in base.iterdir() if each.is_dir()), key=_numbers)
        return [self._read(repo, tag, place) for place, tag in enumerate(tags)][::-1]

    def _read(self, repo: str, tag: str, place: int) -> Release:
        folder = self._folder / repo / tag
        note = folder / "release.json"
        files = sorted(each for each in folder.iterdir() if each.is_file() and each != note)
        return Release(
            repo,
            tag,
            tuple(Asset(each, repo, tag) for each in files),
            FIRST_RELEASE + timedelta(days=place),
            json.loads(note.read_bytes()) if note.exists() else {},
        )

    def _find(self, repo: str, tag: str, file: str) -> Asset | None:
        found = (each for release in self._releases(repo) if release.tag == tag for each in release.assets)
        return next((each for each in found if each.path.name == file), None)

    def _all(self) -> Iterator[Asset]:
        for base in sorted(self._folder.glob("*/*")):
            for release in self._releases("/".join(base.parts[-2:])):
                yield from release.assets


async def _fails(fault: Fault, request: Request, reply: Reply) -> bool:
    """Plays a fault that replaces the answer; False where the answer is still to be given."""
    asked = {"Retry-After": fault.arg} if fault.arg else {}
    match fault.mode:
        case "hang":
            await reply.silence()
        case "close_before_headers":
            reply.cut()
        case "reset_before_headers":
            await reply.reset()
        case "error_500":
            await _say(reply, storage_error(500, "InternalError"))
        case "busy_503":
            await _say(reply, Response(503, b"<h1>Server Busy</h1>", {"Content-Type": "text/html", **asked}))
        case "not_found_404":
            await _say(reply, storage_error(404, "BlobNotFound"))
        case "html_200":
            await _say(reply, Response(200, HTML_PAGE, {"Content-Type": "text/html; charset=utf-8"}))
        case "redirect":
            await _say(reply, Response(302, b"", {"Location": fault.arg or request.target}))
        case "rate_403":
            limits = {"X-RateLimit-Limit": "60", "X-RateLimit-Remaining": "0"}
            await _say(reply, _rate_limited({**limits, "X-RateLimit-Reset": str(int(time.time()) + 1800)}))
        case "rate_429":
            said = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
            await _say(reply, json_response({"message": said}, 429, {**JSON_UTF8, **asked}))
        case "malformed":
            await _say(reply, Response(200, b'[{"tag_name": "b1', JSON_UTF8))
        case _:
            return False
    return True


async def _say(reply: Reply, response: Response) -> None:
    await reply.send(response.status, response.headers, response.body)


def _signature(number: int, until: str) -> str:
    return hmac.new(SECRET, f"{number} {until}".encode(), hashlib.sha256).hexdigest()


def _not_found() -> Response:
    return json_response({"message": "Not Found", "documentation_url": DOCS, "status": "404"}, 404, JSON_UTF8)


def _rate_limited(limits: Mapping[str, str]) -> Response:
    said = "API rate limit exceeded for 127.0.0.1. (But here's the good news: Authenticated requests get a"
    body = {"message": f"{said} higher rate limit. Check out the documentation for more details.)"}
    return json_response({**body, "documentation_url": DOCS}, 403, {**JSON_UTF8, **limits})


def _is_draft(release: Release) -> bool:
    return bool(release.said.get("draft"))


def _numbers(tag: str) -> tuple[int, ...]:
    return tuple(int(each) for each in re.findall(r"\d+", tag))


def _moment(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


SERVER = ReleaseServer

if __name__ == "__main__":
    main(ReleaseServer)
