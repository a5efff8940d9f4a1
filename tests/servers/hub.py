"""A hub of models that speaks like Hugging Face, and the store that its large files lie in.

    folder/org/repo/model-Q4_K_M.gguf     what `--folder` holds; sub-folders are sub-folders
    folder/org/repo/repo.json             optional: gated ("auto", "manual"), private, disabled, downloads,
                                          likes, lastModified, tags, gguf, renamed_to ("org/new"), commits
                                          (other revisions that exist; "main" always does)

    store = servers("hub", "--folder", folder)
    hub = servers("hub", "--folder", folder, "--cdn", store.url, "--token", "hf_good")

GET /api/models[?search=&author=&filter=&sort=&limit=&expand=]   a list, without `expand` in full
GET /api/models/ORG/REPO[/revision/REV][?blobs=true]             one repository, `sha` is its commit
GET /api/models/ORG/REPO/tree/REV[/DIR][?recursive=&limit=&cursor=]   in pages, by the Link header
GET|HEAD /ORG/REPO/resolve/REV/FILE    a file of the large store: 302 to the store, with X-Repo-Commit,
                                       X-Linked-Size, X-Linked-ETag (SHA-256); a small one: the file itself
GET /cdn/SHA256?Expires=&Signature=    the store: ETag, Range, If-Range; no token is looked at

As on the real one: whoever has no token learns 401 of a repository that is private and of one that is not
there; lists and trees of a gated repository are public, its files are not; X-Error-Code and X-Error-Message
say what is wrong; the old name of a repository is a 307 to the new one, relative.

Options  --folder DIR  --cdn URL (default: this server)  --url-lifetime S (of a signed link)
         --token T (has access to everything)  --other-token T (is known, and has no access to gated ones)
         --page-size N (of a tree)  --large N (files from N bytes on lie in the store)
Faults   --fault JSON and POST /__test__/fault: {"mode", "arg", "count", "on"}, tried in order; `on` is cdn
         (the default), api, files (resolve), all or a path
  of the way    hang  close_before_headers  reset_before_headers  refuse[:S]  flapping:UP:DOWN
  instead       error_500  busy_503[:RETRY_AFTER]  html_200  redirect[:URL]  rate_429[:SECONDS]  malformed
                json_200 (JSON that is no hub's)  expired_403 (the link has expired)
  of the file   those of `release_storage.send_file`: cut_mid_stream:N  slow:BYTES_PER_S  ignore_range
                other_bytes  other_version ...
  of the tree   hostile_names  absurd_sizes  endless_pages  foreign_link (the next page is elsewhere)
                no_checksums  foreign_checksums
"""

import argparse
import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from tests.servers.base import Service
from tests.servers.faults import OF_THE_PROCESS, Fault, FaultSwitch, read_faults
from tests.servers.http_wire import Reply, Request, serve_connection
from tests.servers.reactions import HTML_PAGE, Response, json_response
from tests.servers.release_storage import send_file
from tests.servers.serving import main

OF_THE_TREE = {"hostile_names", "absurd_sizes", "endless_pages", "foreign_link"}
OF_CHECKSUMS = {"no_checksums", "foreign_checksums"}
OF_THE_ANSWER = {
    "hang", "close_before_headers", "reset_before_headers", "error_500", "busy_503", "html_200", "redirect",
    "rate_429", "malformed", "json_200", "expired_403",
}  # fmt: skip
OF_THE_FILE = {
    "cut_mid_stream", "die_mid_stream", "stall_mid_stream", "slow", "ignore_range", "ignore_if_range",
    "wrong_range", "foreign_range", "range_416", "other_version", "no_validator", "weak_etag", "gzip",
    "no_length", "more", "other_bytes",
}  # fmt: skip
MODES = OF_THE_PROCESS | OF_THE_TREE | OF_CHECKSUMS | OF_THE_ANSWER | OF_THE_FILE

SECRET = b"what the hub and the store share"
JSON_UTF8 = {"Content-Type": "application/json; charset=utf-8", "X-Powered-By": "huggingface-moon"}
NOTE = "repo.json"
MOST_PER_PAGE = 1000
HOSTILE = (
    "../../escaped-Q4_K_M.gguf", "/etc/passwd.gguf", "C:\\Windows\\x.gguf", "a/../../b.gguf",
    "new\nline.gguf", "bell\u0007.gguf", "right\u202eleft.gguf", "", ".", "x" * 3000 + ".gguf", "a//b.gguf",
)  # fmt: skip
ABSURD = (-1, 10**14, 2**70, 1.5, "12", None, True)


@dataclass
class HubFault(Fault):
    """A fault of this server: `on` is cdn, api, files, all or a path."""

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ValueError(f"no fault is called {self.mode!r}; there are {', '.join(sorted(MODES))}")
        self.on = self.on or ("api" if self.mode in OF_THE_TREE | OF_CHECKSUMS else "cdn")

    def concerns(self, path: str, *, chat: bool) -> bool:
        """Whether a request for `path` meets this fault."""
        if self.mode in OF_THE_PROCESS:
            return False
        if self.on == "files":
            return "/resolve/" in path
        return path.startswith({"api": "/api/", "cdn": "/cdn/", "all": "/"}.get(self.on, self.on))


HEALTHY = HubFault("slow", "0")


class Refusal(Exception):
    """A request that is refused, with the answer that says so."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        said = {"X-Error-Code": code} if code else {}
        self.response = json_response(
            {"error": message}, status, {**JSON_UTF8, **said, "X-Error-Message": message}
        )


@dataclass(frozen=True)
class Repo:
    """One repository: its name, its folder, and what `repo.json` says about it."""

    name: str
    folder: Path
    said: Mapping[str, Any]

    @property
    def commit(self) -> str:
        """Changes with the names, sizes and times of its files."""
        state = [(each.name, each.stat().st_size, each.stat().st_mtime_ns) for each in self.files()]
        return hashlib.sha1(f"{self.name} {state}".encode()).hexdigest()

    def files(self) -> list[Path]:
        """All of its files, in the order of their paths."""
        found = sorted(each for each in self.folder.rglob("*") if each.is_file())
        return [each for each in found if each != self.folder / NOTE]

    def path_of(self, file: Path) -> str:
        """As the hub names it."""
        return file.relative_to(self.folder).as_posix()


class Hub(Service):
    """See the module's docstring."""

    name = "hub"

    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__(options)
        self._folder = Path(options.folder)
        self._options = options
        self._faults = FaultSwitch(options.fault)
        self.outages = self._faults.outages()

    @classmethod
    def add_options(cls, parser: argparse.ArgumentParser) -> None:
        """What it has, who may have it, and what goes wrong with it."""
        parser.add_argument("--folder", required=True)
        parser.add_argument("--cdn", default="", metavar="URL")
        parser.add_argument("--url-lifetime", type=float, default=300, metavar="S")
        parser.add_argument("--token", default="hf_good")
        parser.add_argument("--other-token", default="hf_other")
        parser.add_argument("--page-size", type=int, default=MOST_PER_PAGE, metavar="N")
        parser.add_argument("--large", type=int, default=1000, metavar="N")
        parser.add_argument("--fault", type=lambda text: read_faults(json.loads(text), HubFault), default=[])

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
        try:
            if request.method not in ("GET", "HEAD"):
                raise Refusal(404, "", "Not Found")
            if request.path.startswith("/cdn/"):
                await self._serve(request, reply, fault)
            elif request.path.startswith("/api/models"):
                await _say(reply, self._api(request, fault))
            else:
                await self._resolve(request, reply, fault)
        except Refusal as refusal:
            await _say(reply, refusal.response)

    def _control(self, request: Request) -> Response:
        try:
            if request.target == "/__test__/log":
                return json_response(self.log.events)
            if request.target == "/__test__/fault":
                self._faults = FaultSwitch(read_faults(request.json(), HubFault))
                self.outages = self._faults.outages()
                self.outages_changed.set()
                return json_response({"faults": len(self._faults.faults)})
        except (ValueError, TypeError) as error:
            return json_response({"error": str(error)}, 400)
        return json_response({"error": "there are log and fault"}, 404)

    # --- who may have what --------------------------------------------------------------------------------

    def _repo(self, request: Request, name: str) -> Repo:
        """The repository. Raises `Refusal` as the real one does."""
        token = request.bearer
        if token and token not in (self._options.token, self._options.other_token):
            raise Refusal(401, "", "Invalid credentials in Authorization header")
        repo = self._found(name)
        hidden = repo is None or (repo.said.get("private") and token != self._options.token)
        if hidden and not token:
            raise Refusal(401, "RepoNotFound", "Invalid username or password.")
        if repo is None or hidden:
            raise Refusal(404, "RepoNotFound", "Repository not found")
        if repo.said.get("disabled"):
            raise Refusal(403, "", "Access to this resource is disabled.")
        return repo

    def _found(self, name: str) -> Repo | None:
        folder = self._folder / name
        if ".." in name or name.count("/") != 1 or not folder.is_dir():
            return None
        note = folder / NOTE
        return Repo(name, folder, json.loads(note.read_bytes()) if note.exists() else {})

    def _may_have_files(self, request: Request, repo: Repo) -> None:
        if not repo.said.get("gated") or request.bearer == self._options.token:
            return
        page = f"{_origin(request)}/{repo.name}"
        if not request.bearer:
            raise Refusal(
                401,
                "GatedRepo",
                f"Access to model {repo.name} is restricted. You must have access to it and be authenticated "
                "to access it. Please log in.",
            )
        raise Refusal(
            403,
            "GatedRepo",
            f"Access to model {repo.name} is restricted and you are not in the authorized list. Visit {page} "
            "to ask for access.",
        )

    def _check_revision(self, repo: Repo, revision: str) -> None:
        if revision not in ("main", repo.commit, *repo.said.get("commits", ())):
            raise Refusal(404, "RevisionNotFound", f"Invalid rev id: {revision}")

    # --- the API ------------------------------------------------------------------------------------------

    def _api(self, request: Request, fault: Fault) -> Response:
        parts = [each for each in request.path.split("/")[3:] if each]
        if not parts:
            return self._list(request)
        if len(parts) < 2:
            raise Refusal(404, "RepoNotFound", "Repository not found")
        repo = self._repo(request, "/".join(parts[:2]))
        if moved := repo.said.get("renamed_to"):
            where = request.target.replace(f"/{repo.name}", f"/{moved}", 1)
            return Response(307, b"", {"Location": where, **JSON_UTF8})
        match parts[2:]:
            case []:
                return json_response(self._info(repo, request), 200, JSON_UTF8)
            case ["revision", revision]:
                self._check_revision(repo, revision)
                return json_response(self._info(repo, request), 200, JSON_UTF8)
            case ["tree", revision, *folder]:
                self._check_revision(repo, revision)
                return self._tree(request, repo, "/".join(folder), fault)
        raise Refusal(404, "", "Sorry, we can't find the page you are looking for.")

    def _list(self, request: Request) -> Response:
        asked = request.query
        repos = [self._found(f"{each.parent.name}/{each.name}") for each in sorted(self._folder.glob("*/*"))]
        found = [
            repo
            for repo in repos
            if repo is not None
            and asked.get("search", "").lower() in repo.name.lower()
            and asked.get("author", "") in ("", repo.name.split("/")[0])
            and (not repo.said.get("private") or request.bearer == self._options.token)
            and ("gguf" not in asked.get("filter", "") or any(f.suffix == ".gguf" for f in repo.files()))
        ]
        key = asked.get("sort", "downloads")
        found.sort(
            key=lambda repo: repo.said.get(key, 0 if key in ("downloads", "likes") else ""), reverse=True
        )
        wanted = [value for name, value in _pairs(request) if name == "expand"]
        limit = min(MOST_PER_PAGE, int(asked.get("limit", "1000")))
        return json_response([self._entry(repo, wanted) for repo in found[:limit]], 200, JSON_UTF8)

    @staticmethod
    def _entry(repo: Repo, wanted: Sequence[str]) -> dict[str, object]:
        every: dict[str, object] = {
            "author": repo.name.split("/")[0],
            "downloads": 0,
            "likes": 0,
            "gated": False,
            "private": False,
            "lastModified": "2026-05-01T12:00:00.000Z",
            "tags": ["gguf"],
            "gguf": {"total": 3_000_000_000, "architecture": "llama", "context_length": 131072},
            **repo.said,
        }
        shown = {name: value for name, value in every.items() if not wanted or name in wanted}
        return {"_id": hashlib.md5(repo.name.encode()).hexdigest()[:24], "id": repo.name, **shown}

    def _info(self, repo: Repo, request: Request) -> dict[str, object]:
        blobs = request.query.get("blobs") == "true"
        return {
            **self._entry(repo, ()),
            "modelId": repo.name,
            "sha": repo.commit,
            "disabled": False,
            "siblings": [self._sibling(repo, each, blobs=blobs) for each in repo.files()],
        }

    def _sibling(self, repo: Repo, file: Path, *, blobs: bool) -> dict[str, object]:
        entry: dict[str, object] = {"rfilename": repo.path_of(file)}
        if blobs:
            entry |= {"size": file.stat().st_size, "blobId": _blob_id(file)}
            if self._is_large(file):
                size = file.stat().st_size
                entry["lfs"] = {"sha256": _sha256(file), "size": size, "pointerSize": 135}
        return entry

    def _is_large(self, file: Path) -> bool:
        return file.stat().st_size >= int(self._options.large)

    def _tree(self, request: Request, repo: Repo, folder: str, fault: Fault) -> Response:
        entries = [self._node(repo, each, fault) for each in repo.files()]
        if folder:
            entries = [each for each in entries if str(each["path"]).startswith(folder + "/")]
        folders = sorted({str(each["path"]).rpartition("/")[0] for each in entries} - {""})
        entries += [{"type": "directory", "oid": "0" * 40, "size": 0, "path": each} for each in folders]
        if request.query.get("recursive") != "true":
            entries = [each for each in entries if "/" not in str(each["path"]).removeprefix(folder + "/")]
        if fault.mode == "hostile_names":
            entries += [{"type": "file", "oid": "0" * 40, "size": 5, "path": each} for each in HOSTILE]
        if fault.mode == "absurd_sizes":
            entries += [
                {"type": "file", "oid": "0" * 40, "size": each, "path": f"absurd{place}-Q4_K_M.gguf"}
                for place, each in enumerate(ABSURD)
            ]
        start = int(request.query.get("cursor", "0"))
        size = min(int(self._options.page_size), int(request.query.get("limit", "1000")))
        headers = dict(JSON_UTF8)
        if start + size < len(entries) or fault.mode == "endless_pages":
            asked = dict(request.query) | {"cursor": start + size, "limit": size}
            origin = "http://localhost:1" if fault.mode == "foreign_link" else _origin(request)
            headers["Link"] = f'<{origin}{quote(request.path)}?{urlencode(asked)}>; rel="next"'
        page = entries[:size] if fault.mode == "endless_pages" else entries[start : start + size]
        return json_response(page, 200, headers)

    def _node(self, repo: Repo, file: Path, fault: Fault) -> dict[str, object]:
        size = file.stat().st_size
        node: dict[str, object] = {"type": "file", "oid": _blob_id(file), "size": size}
        node["path"] = repo.path_of(file)
        if self._is_large(file) and fault.mode != "no_checksums":
            digest = "ab" * 32 if fault.mode == "foreign_checksums" else _sha256(file)
            node |= {"lfs": {"oid": digest, "size": size, "pointerSize": 135}, "xetHash": digest[::-1]}
        return node

    # --- the files ----------------------------------------------------------------------------------------

    async def _resolve(self, request: Request, reply: Reply, fault: Fault) -> None:
        match request.path.split("/")[1:]:
            case [owner, name, "resolve", revision, *rest] if rest:
                repo = self._repo(request, f"{owner}/{name}")
            case _:
                raise Refusal(404, "", "Sorry, we can't find the page you are looking for.")
        if moved := repo.said.get("renamed_to"):
            there = request.target.replace(f"/{repo.name}", f"/{moved}", 1)
            await _say(reply, Response(307, b"", {"Location": there}))
            return
        self._may_have_files(request, repo)
        self._check_revision(repo, revision)
        file = repo.folder / "/".join(rest)
        if ".." in rest or not file.is_file() or file == repo.folder / NOTE:
            raise Refusal(404, "EntryNotFound", "Entry not found")
        facts = {"X-Repo-Commit": repo.commit, "Accept-Ranges": "bytes"}
        if not self._is_large(file):
            body = file.read_bytes()
            await reply.send(
                200, {**facts, "ETag": f'"{_blob_id(file)}"', "Content-Type": "text/plain"}, body
            )
            return
        digest = _sha256(file)
        linked = {"X-Linked-Size": str(file.stat().st_size), "X-Linked-ETag": f'"{digest}"'}
        said = f"Found. Redirecting to {self._signed(request, digest)}".encode()
        where = {"Location": self._signed(request, digest), "Content-Type": "text/plain; charset=utf-8"}
        await reply.send(302, {**facts, **linked, **where, "ETag": f'"{_blob_id(file)}"'}, said)

    def _signed(self, request: Request, digest: str) -> str:
        until = str(int(time.time() + self._options.url_lifetime))
        asked = urlencode({"Expires": until, "Signature": _signature(digest, until), "Key-Pair-Id": "K2FPYV"})
        return f"{self._options.cdn.rstrip('/') or _origin(request)}/cdn/{digest}?{asked}"

    async def _serve(self, request: Request, reply: Reply, fault: Fault) -> None:
        digest, until = request.path.removeprefix("/cdn/"), request.query.get("Expires", "0")
        signed = request.query.get("Signature") == _signature(digest, until)
        if not signed or int(until) < time.time():
            await _say(reply, _denied())
            return
        files = (each for each in self._folder.rglob("*") if each.is_file() and _sha256(each) == digest)
        file = next(files, None)
        if file is None:
            await _say(reply, Response(404, b"<Error><Code>NoSuchKey</Code></Error>", _XML))
        else:
            await send_file(request, reply, file, fault)


_XML = {"Content-Type": "application/xml", "Server": "AmazonS3"}


async def _fails(fault: Fault, request: Request, reply: Reply) -> bool:
    """Plays a fault that replaces the answer; False where the answer is still to be given."""
    match fault.mode:
        case "hang":
            await reply.silence()
        case "close_before_headers":
            reply.cut()
        case "reset_before_headers":
            await reply.reset()
        case "error_500":
            await _say(reply, json_response({"error": "Internal Error - We're working hard to fix"}, 500))
        case "busy_503":
            asked = {"Retry-After": fault.arg} if fault.arg else {}
            await _say(reply, Response(503, b"", asked))
        case "html_200":
            await _say(reply, Response(200, HTML_PAGE, {"Content-Type": "text/html; charset=utf-8"}))
        case "redirect":
            await _say(reply, Response(302, b"", {"Location": fault.arg or request.target}))
        case "rate_429":
            limits = {
                "RateLimit": f'"api";r=0;t={fault.arg or 55}',
                "RateLimit-Policy": '"fixed window";"api";q=500;w=300',
            }
            said = "You have reached the rate limit of this hub."
            await _say(reply, json_response({"error": said}, 429, {**JSON_UTF8, **limits}))
        case "malformed":
            await _say(reply, Response(200, b'[{"type": "fi', JSON_UTF8))
        case "json_200":
            await _say(reply, json_response({"status": "ok", "service": "something else"}))
        case "expired_403":
            await _say(reply, _denied())
        case _:
            return False
    return True


async def _say(reply: Reply, response: Response) -> None:
    await reply.send(response.status, response.headers, response.body)


def _denied() -> Response:
    return Response(403, b"<Error><Code>AccessDenied</Code><Message>Access denied</Message></Error>", _XML)


def _pairs(request: Request) -> list[tuple[str, str]]:
    return parse_qsl(urlsplit(request.target).query)


def _origin(request: Request) -> str:
    return f"http://{request.headers.get('host', 'localhost')}"


def _signature(digest: str, until: str) -> str:
    return hmac.new(SECRET, f"{digest} {until}".encode(), hashlib.sha256).hexdigest()


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _blob_id(file: Path) -> str:
    """What git calls the file's content."""
    data = file.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


SERVER = Hub

if __name__ == "__main__":
    main(Hub)
