"""The forge and its storage: what they say, and what can be wrong with it."""

import gzip
import hashlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.servers.fixtures import ServerFactory
from tests.servers.launch import RunningServer, start
from tests.servers.probe import Seen, call

DATA = bytes(range(256)) * 40
FILE = "/o/r/releases/download/b2/a.bin"
AGENT = {"User-Agent": "test"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("releases")
    for number in range(1, 12):
        place = base / "o" / "r" / f"b{number}"
        place.mkdir(parents=True)
        (place / "a.bin").write_bytes(DATA)
    (base / "o/r/b11/release.json").write_text(json.dumps({"prerelease": True}))
    (base / "o/r/b10/release.json").write_text(json.dumps({"draft": True}))
    return base


@pytest.fixture(scope="module")
def running(folder: Path) -> Iterator[tuple[RunningServer, RunningServer]]:
    with start("release_server", "--folder", str(folder), "--rate-limit", "999") as storage:
        options = ("--folder", str(folder), "--rate-limit", "999", "--assets", storage.url)
        with start("release_server", *options) as forge:
            yield forge, storage


@pytest.fixture
def storage(running: tuple[RunningServer, RunningServer]) -> Iterator[RunningServer]:
    yield running[1]
    running[1].set_fault("none")


@pytest.fixture
def forge(running: tuple[RunningServer, RunningServer]) -> Iterator[RunningServer]:
    yield running[0]
    running[0].set_fault("none")


def api(server: RunningServer, path: str, **headers: str) -> Seen:
    return call(server.url, "GET", f"/repos/o/r/releases{path}", headers=AGENT | headers)


def fetched(server: RunningServer, **headers: str) -> Seen:
    """The file, from the storage at once."""
    where = call(server.url, "GET", FILE).headers["location"]
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return call(server.url, "GET", where, headers=named)


def test_the_list_has_pages_with_the_newest_first_and_no_drafts(forge: RunningServer) -> None:
    first = api(forge, "?per_page=4")
    assert [each["tag_name"] for each in first.json()] == ["b11", "b9", "b8", "b7"]
    assert first.headers["link"] == (
        f'<{forge.url}/repos/o/r/releases?per_page=4&page=2>; rel="next", '
        f'<{forge.url}/repos/o/r/releases?per_page=4&page=3>; rel="last"'
    )
    last = api(forge, "?per_page=4&page=3")
    assert [each["tag_name"] for each in last.json()] == ["b2", "b1"]
    assert 'rel="prev"' in last.headers["link"]
    assert 'rel="next"' not in last.headers["link"]
    assert "link" not in api(forge, "").headers


def test_one_release_by_tag_number_and_as_the_latest(forge: RunningServer) -> None:
    latest = api(forge, "/latest").json()
    assert latest["tag_name"] == "b9"
    assert api(forge, "/tags/b9").json() == latest
    assert api(forge, f"/{latest['id']}").json() == latest
    assert api(forge, f"/{latest['id']}/assets").json() == latest["assets"]
    assert api(forge, "/tags/b77").status == 404
    assert api(forge, "/tags/b11").json()["prerelease"] is True


def test_an_asset_names_its_size_its_checksum_and_where_it_is(forge: RunningServer) -> None:
    asset = api(forge, "/tags/b2").json()["assets"][0]
    assert asset["size"] == len(DATA)
    assert asset["digest"] == f"sha256:{hashlib.sha256(DATA).hexdigest()}"
    assert asset["browser_download_url"] == forge.url + FILE
    assert api(forge, f"/assets/{asset['id']}").json() == asset
    redirect = api(forge, f"/assets/{asset['id']}", Accept="application/octet-stream")
    assert redirect.status == 302
    forge.set_fault("wrong_digest")
    assert api(forge, "/tags/b2").json()["assets"][0]["digest"] != asset["digest"]


def test_the_api_wants_a_user_agent_counts_requests_and_knows_what_has_not_changed(
    servers: ServerFactory, folder: Path
) -> None:
    forge = servers("release_server", "--folder", str(folder), "--rate-limit", "2")
    assert call(forge.url, "GET", "/repos/o/r/releases", headers={}).status == 403
    first = api(forge, "/latest")
    assert first.headers["x-ratelimit-remaining"] == "1"
    same = call(
        forge.url,
        "GET",
        "/repos/o/r/releases/latest",
        headers=AGENT | {"If-None-Match": first.headers["etag"]},
    )
    assert (same.status, same.body) == (304, b"")
    assert api(forge, "/latest").status == 200
    refused = api(forge, "/latest")
    assert (refused.status, refused.headers["x-ratelimit-remaining"]) == (403, "0")
    assert "rate limit exceeded" in refused.json()["message"]


def test_a_file_lies_behind_a_redirect_to_another_origin(
    forge: RunningServer, storage: RunningServer
) -> None:
    for path in (FILE, "/o/r/releases/latest/download/a.bin"):
        redirect = call(forge.url, "GET", path)
        assert redirect.status == 302
        where = urlsplit(redirect.headers["location"])
        assert f"{where.scheme}://{where.netloc}" == storage.url
        assert call(storage.url, "GET", f"{where.path}?{where.query}").body == DATA
        assert call(storage.url, "GET", f"{where.path}?{where.query[:-70]}").status == 403
    assert call(forge.url, "GET", "/o/r/releases/download/b2/other").status == 404


def test_a_signed_address_ends(servers: ServerFactory, folder: Path) -> None:
    server = servers("release_server", "--folder", str(folder), "--url-lifetime", "-2")
    assert fetched(server).status == 403


def test_ranges_are_given_while_the_file_is_the_same(storage: RunningServer) -> None:
    whole = fetched(storage)
    assert (whole.status, whole.headers["accept-ranges"]) == (200, "bytes")
    tag, date = whole.headers["etag"], whole.headers["last-modified"]
    part = fetched(storage, Range="bytes=100-199")
    assert (part.status, part.body) == (206, DATA[100:200])
    assert part.headers["content-range"] == f"bytes 100-199/{len(DATA)}"
    assert fetched(storage, Range="bytes=-10").body == DATA[-10:]
    assert fetched(storage, Range="bytes=5-", If_Range=tag).body == DATA[5:]
    assert fetched(storage, Range="bytes=5-", If_Range=date).body == DATA[5:]
    assert fetched(storage, Range="bytes=5-", If_Range='"another"').body == DATA
    beyond = fetched(storage, Range=f"bytes={len(DATA)}-")
    assert (beyond.status, beyond.headers["content-range"]) == (416, f"bytes */{len(DATA)}")
    assert fetched(storage, If_None_Match=tag).status == 304


def test_a_file_that_changed_has_another_tag(storage: RunningServer, folder: Path) -> None:
    tag = fetched(storage).headers["etag"]
    try:
        (folder / "o/r/b2/a.bin").write_bytes(DATA + b"x")
        assert fetched(storage, Range="bytes=5-", If_Range=tag).body == DATA + b"x"
    finally:
        (folder / "o/r/b2/a.bin").write_bytes(DATA)


@pytest.mark.parametrize(
    ("mode", "status", "body"),
    [
        ("ignore_range", 200, DATA),
        ("wrong_range", 206, DATA[11:]),
        ("foreign_range", 206, DATA[10:]),
        ("range_416", 416, None),
        ("ignore_if_range", 206, DATA[10:]),
        ("other_bytes", 200, None),
        ("no_length", 200, DATA),
        ("more", 200, DATA + b"xxx"),
        ("error_500", 500, None),
        ("not_found_404", 404, None),
        ("html_200", 200, None),
        ("redirect", 302, b""),
        ("rate_403", 403, None),
        ("rate_429", 429, None),
        ("busy_503", 503, None),
    ],
)
def test_faults_of_a_file(storage: RunningServer, mode: str, status: int, body: bytes | None) -> None:
    headers = {"Range": "bytes=10-", "If_Range": '"x"'} if "range" in mode else {}
    if mode in ("wrong_range", "foreign_range", "range_416", "ignore_range"):
        del headers["If_Range"]
    storage.set_fault(mode, 3)
    seen = fetched(storage, **headers)
    assert seen.status == status
    assert body is None or seen.body == body
    if mode == "other_bytes":
        assert len(seen.body) == len(DATA)
        assert seen.body != DATA
    storage.set_fault()
    assert fetched(storage).body == DATA


def test_a_packed_file_and_validators_that_are_no_good(storage: RunningServer) -> None:
    storage.set_fault("gzip")
    assert gzip.decompress(fetched(storage).body) == DATA
    storage.set_fault("weak_etag")
    assert fetched(storage).headers["etag"].startswith("W/")
    storage.set_fault("no_validator")
    assert {"etag", "last-modified"}.isdisjoint(fetched(storage).headers)
    storage.set_fault("other_version")
    assert fetched(storage).headers["etag"] != fetched(storage).headers["etag"]


@pytest.mark.parametrize("mode", ["cut_mid_stream", "die_mid_stream", "stall_mid_stream"])
def test_a_body_breaks_off_after_so_many_bytes(storage: RunningServer, mode: str) -> None:
    where = urlsplit(call(storage.url, "GET", FILE).headers["location"])
    storage.set_fault(mode, 1000)
    with socket.create_connection(("127.0.0.1", storage.port), timeout=0.5) as sock:
        sock.sendall(f"GET {where.path}?{where.query} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        received = b""
        ended: type[BaseException] | None = None
        try:
            while piece := sock.recv(65536):
                received += piece
        except (ConnectionResetError, TimeoutError) as error:
            ended = type(error)
    assert received.partition(b"\r\n\r\n")[2] == DATA[:1000]
    assert ended is {"cut_mid_stream": None, "die_mid_stream": ConnectionResetError}.get(mode, TimeoutError)


def test_faults_concern_files_or_the_api_as_they_are_told(storage: RunningServer) -> None:
    storage.set_fault("error_500", on="api")
    assert api(storage, "/latest").status == 500
    assert fetched(storage).status == 200
    storage.set_fault("malformed")
    with pytest.raises(ValueError, match="Unterminated"):
        api(storage, "/latest").json()
    with pytest.raises(ValueError, match="no fault is called"):
        storage.set_fault("nonsense")
