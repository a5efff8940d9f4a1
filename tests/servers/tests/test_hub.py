"""The hub and its store: what they say, to whom, and what can be wrong with it."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.fixtures import ServerFactory
from tests.servers.hub import HOSTILE
from tests.servers.launch import RunningServer, start
from tests.servers.probe import Seen, call

DATA = bytes(range(256)) * 40
DIGEST = hashlib.sha256(DATA).hexdigest()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("hub")
    for repo, said in (
        ("o/plain", {"downloads": 5}),
        ("o/gated", {"gated": "manual", "downloads": 9}),
        ("o/private", {"private": True}),
        ("o/closed", {"disabled": True}),
        ("o/old", {"renamed_to": "o/plain"}),
    ):
        place = base / repo
        (place / "Q8").mkdir(parents=True)
        (place / "repo.json").write_text(json.dumps(said))
        (place / "README.md").write_text("# A model\n")
        (place / "m-Q4_K_M.gguf").write_bytes(DATA)
        (place / "Q8" / "m-Q8_0.gguf").write_bytes(DATA + b"8")
    return base


@pytest.fixture(scope="module")
def running(folder: Path) -> Iterator[tuple[RunningServer, RunningServer]]:
    with (
        start("hub", "--folder", str(folder)) as store,
        start("hub", "--folder", str(folder), "--cdn", store.url, "--page-size", "2") as hub,
    ):
        yield hub, store


@pytest.fixture
def hub(running: tuple[RunningServer, RunningServer]) -> Iterator[RunningServer]:
    yield running[0]
    running[0].set_fault("none")


@pytest.fixture
def store(running: tuple[RunningServer, RunningServer]) -> Iterator[RunningServer]:
    yield running[1]
    running[1].set_fault("none")


def get(server: RunningServer, path: str, token: str = "", method: str = "GET", **headers: str) -> Seen:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return call(
        server.url, method, path, headers=named | ({"Authorization": f"Bearer {token}"} if token else {})
    )


def test_a_repository_names_its_commit_its_files_and_whether_it_is_gated(hub: RunningServer) -> None:
    plain = get(hub, "/api/models/o/plain?blobs=true").json()
    assert len(plain["sha"]) == 40
    assert plain["gated"] is False
    assert [each["rfilename"] for each in plain["siblings"]] == [
        "Q8/m-Q8_0.gguf",
        "README.md",
        "m-Q4_K_M.gguf",
    ]
    assert plain["siblings"][2]["lfs"] == {"sha256": DIGEST, "size": len(DATA), "pointerSize": 135}
    assert "lfs" not in plain["siblings"][1]
    assert get(hub, f"/api/models/o/plain/revision/{plain['sha']}").json()["id"] == "o/plain"
    assert get(hub, "/api/models/o/gated").json()["gated"] == "manual"
    assert get(hub, "/api/models/o/plain/revision/nope").headers["x-error-code"] == "RevisionNotFound"


def test_a_tree_comes_in_pages_with_checksums(hub: RunningServer) -> None:
    first = get(hub, "/api/models/o/plain/tree/main?recursive=true")
    assert [each["path"] for each in first.json()] == ["Q8/m-Q8_0.gguf", "README.md"]
    link = first.headers["link"]
    assert link.startswith(f"<{hub.url}/api/models/o/plain/tree/main?")
    assert link.endswith('>; rel="next"')
    second = get(hub, link[1:].partition(">")[0].removeprefix(hub.url))
    assert [(each["path"], each["type"]) for each in second.json()] == [
        ("m-Q4_K_M.gguf", "file"),
        ("Q8", "directory"),
    ]
    assert second.json()[0]["lfs"]["oid"] == DIGEST
    assert "link" not in second.headers


def test_a_search_finds_by_name_those_downloaded_most_first(hub: RunningServer) -> None:
    found = get(
        hub, "/api/models?search=o&filter=gguf&sort=downloads&limit=3&expand=downloads&expand=gguf"
    ).json()
    assert [each["id"] for each in found][:2] == ["o/gated", "o/plain"]
    assert set(found[0]) == {"_id", "id", "downloads", "gguf"}
    assert "o/private" not in [each["id"] for each in get(hub, "/api/models?search=priv").json()]
    assert get(hub, "/api/models?search=priv", "hf_good").json()[0]["id"] == "o/private"


def test_a_large_file_lies_in_the_store_behind_a_link_that_is_signed_and_expires(
    hub: RunningServer, servers: ServerFactory, folder: Path
) -> None:
    path = "/o/plain/resolve/main/m-Q4_K_M.gguf"
    seen = get(hub, path, method="HEAD")
    assert seen.status == 302
    assert seen.headers["x-linked-size"] == str(len(DATA))
    assert seen.headers["x-linked-etag"] == f'"{DIGEST}"'
    assert len(seen.headers["x-repo-commit"]) == 40
    where = seen.headers["location"]
    assert not where.startswith(hub.url)
    assert call(where, "GET", where[where.index("/cdn/") :]).body == DATA
    part = call(where, "GET", where[where.index("/cdn/") :], headers={"Range": "bytes=10-19"})
    assert (part.status, part.body) == (206, DATA[10:20])
    assert (
        call(where, "GET", where[where.index("/cdn/") :].replace("Signature=", "Signature=0")).status == 403
    )
    late = servers("hub", "--folder", str(folder), "--url-lifetime", "-1")
    gone = get(late, path).headers["location"]
    assert call(gone, "GET", gone[gone.index("/cdn/") :]).status == 403


def test_a_small_file_is_sent_at_once(hub: RunningServer) -> None:
    seen = get(hub, "/o/plain/resolve/main/README.md")
    assert (seen.status, seen.body) == (200, b"# A model\n")
    assert len(seen.headers["etag"].strip('"')) == 40


@pytest.mark.parametrize(
    ("path", "token", "status", "code"),
    [
        ("/api/models/o/none", "", 401, "RepoNotFound"),
        ("/api/models/o/none", "hf_good", 404, "RepoNotFound"),
        ("/api/models/o/private", "", 401, "RepoNotFound"),
        ("/api/models/o/private", "hf_other", 404, "RepoNotFound"),
        ("/api/models/o/private", "hf_good", 200, ""),
        ("/api/models/o/plain", "hf_unknown", 401, ""),
        ("/api/models/o/gated/tree/main", "", 200, ""),
        ("/o/gated/resolve/main/m-Q4_K_M.gguf", "", 401, "GatedRepo"),
        ("/o/gated/resolve/main/m-Q4_K_M.gguf", "hf_other", 403, "GatedRepo"),
        ("/o/gated/resolve/main/m-Q4_K_M.gguf", "hf_good", 302, ""),
        ("/o/plain/resolve/main/none.gguf", "", 404, "EntryNotFound"),
        ("/o/plain/resolve/main/repo.json", "", 404, "EntryNotFound"),
        ("/o/plain/resolve/main/../private/README.md", "", 404, "EntryNotFound"),
        ("/o/plain/resolve/nope/README.md", "", 404, "RevisionNotFound"),
        ("/api/models/o/closed", "", 403, ""),
    ],
)
def test_who_may_have_what(hub: RunningServer, path: str, token: str, status: int, code: str) -> None:
    seen = get(hub, path, token)
    assert seen.status == status
    assert seen.headers.get("x-error-code", "") == code
    assert (seen.status < 400) == ("x-error-message" not in seen.headers)


def test_the_old_name_of_a_repository_leads_to_the_new_one(hub: RunningServer) -> None:
    assert get(hub, "/api/models/o/old").headers["location"] == "/api/models/o/plain"
    seen = get(hub, "/o/old/resolve/main/README.md")
    assert (seen.status, seen.headers["location"]) == (307, "/o/plain/resolve/main/README.md")


def test_what_can_be_wrong(hub: RunningServer, store: RunningServer) -> None:
    tree = "/api/models/o/plain/tree/main?recursive=true&cursor=2"
    hub.set_fault("rate_429", 7, on="api")
    limited = get(hub, tree)
    assert (limited.status, limited.headers["ratelimit"]) == (429, '"api";r=0;t=7')
    hub.set_fault("foreign_link")
    assert get(hub, "/api/models/o/plain/tree/main").headers["link"].startswith("<http://localhost:1/")
    hub.set_fault("endless_pages")
    assert "link" in get(hub, tree).headers
    hub.set_fault("no_checksums")
    assert "lfs" not in get(hub, tree).json()[0]
    hub.set_fault("foreign_checksums")
    assert get(hub, tree).json()[0]["lfs"]["oid"] == "ab" * 32
    where = get(hub, "/o/plain/resolve/main/m-Q4_K_M.gguf").headers["location"]
    link = where[where.index("/cdn/") :]
    store.set_fault("expired_403", count=1)
    assert get(store, link).status == 403
    assert get(store, link).body == DATA
    store.set_fault("other_bytes")
    assert get(store, link).body != DATA


def test_names_and_sizes_that_no_file_could_have(servers: ServerFactory, folder: Path) -> None:
    hub = servers("hub", "--folder", str(folder))
    hub.set_fault("hostile_names")
    assert set(HOSTILE) <= {each["path"] for each in get(hub, "/api/models/o/plain/tree/main").json()}
    hub.set_fault("absurd_sizes")
    assert 2**70 in [each["size"] for each in get(hub, "/api/models/o/plain/tree/main").json()]
