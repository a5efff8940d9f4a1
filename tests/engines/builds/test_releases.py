"""The list of releases is untrusted: what can be used of it is used, and it is never more than a list."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.engines.builds.listings import NAMES, listed
from tests.ports import closed_port
from whisper_desktop.engines.builds.releases import (
    LARGEST_ASSET,
    Asset,
    newest_releases,
    one_release,
    parse_releases,
    sources,
)
from whisper_desktop.errors import EngineError, NetworkBlocked
from whisper_desktop.values import Reach
from whisper_desktop.wire.http import Http


def changed(**fields: object) -> Asset | None:
    """The first file of a release when its entry says this."""
    entry = listed("b11459")
    entry["assets"] = [{**entry["assets"][0], **fields}]
    (release,) = parse_releases(entry, Reach.CLOUD)
    return next(iter(release.assets), None)


def test_real_lists_are_read_completely() -> None:
    found = parse_releases([listed(tag) for tag in NAMES], Reach.CLOUD)
    assert [release.tag for release in found] == list(NAMES)
    for release in found:
        assert tuple(asset.name for asset in release.assets) == NAMES[release.tag]
        assert all(asset.sha256 and asset.size for asset in release.assets)


@pytest.mark.parametrize("digest", [None, "", "md5:00", "sha256:12", "sha256:" + "g" * 64, 7, "0" * 64])
def test_what_is_no_checksum_counts_as_none(digest: object) -> None:
    asset = changed(digest=digest)
    assert asset is not None
    assert asset.sha256 is None


@pytest.mark.parametrize("size", [None, -1, 0, True, "12", 1.5, LARGEST_ASSET + 1])
def test_what_is_no_size_counts_as_unknown(size: object) -> None:
    asset = changed(size=size)
    assert asset is not None
    assert asset.size is None


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "../../etc/passwd"},
        {"name": ".hidden"},
        {"name": "a/b"},
        {"name": "a\\b"},
        {"name": "x" * 200},
        {"name": 7},
        {"browser_download_url": "file:///etc/passwd"},
        {"browser_download_url": "ftp://example.com/a"},
        {"browser_download_url": None},
        {"state": "starter"},
    ],
)
def test_a_file_that_cannot_be_one_is_passed_over(fields: dict[str, object]) -> None:
    assert changed(**fields) is None


@pytest.mark.parametrize(
    ("listed_at", "kept"),
    [
        (Reach.CLOUD, ["https://example.com/a"]),
        (Reach.MY_NETWORK, ["https://example.com/a", "http://192.168.1.1/admin"]),
        (
            Reach.THIS_MACHINE,
            ["https://example.com/a", "http://192.168.1.1/admin", "http://127.0.0.1:9/stop"],
        ),
    ],
)
def test_a_file_that_is_said_to_be_nearer_than_the_list_is_passed_over(
    listed_at: Reach, kept: list[str]
) -> None:
    entry = listed("b11459")
    urls = ["https://example.com/a", "http://192.168.1.1/admin", "http://127.0.0.1:9/stop"]
    entry["assets"] = [
        {**asset, "browser_download_url": url} for asset, url in zip(entry["assets"], urls, strict=False)
    ]
    (release,) = parse_releases(entry, listed_at)
    assert [asset.url for asset in release.assets] == kept


def test_drafts_and_tags_that_could_be_paths_are_passed_over() -> None:
    assert parse_releases([{**listed("b11459"), "draft": True}], Reach.CLOUD) == ()
    assert parse_releases([{**listed("b11459"), "tag_name": "../b1"}], Reach.CLOUD) == ()
    assert parse_releases({**listed("b11459"), "assets": None}, Reach.CLOUD)[0].assets == ()


def test_a_list_without_an_end_is_cut_off() -> None:
    endless = [{**listed("b11459"), "assets": listed("b11459")["assets"] * 20}] * 1000
    found = parse_releases(endless, Reach.CLOUD)
    assert len(found) == 100
    assert len(found[0].assets) == 200


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.sampled_from(("tag_name", "assets", "name", "size", "digest", "browser_download_url")), inner
        )
    ),
)


@given(_JSON)
def test_no_json_at_all_raises(data: object) -> None:
    for release in parse_releases(data, Reach.CLOUD):
        assert all(asset.name and asset.url for asset in release.assets)


def test_mirrors_replace_the_listed_address() -> None:
    asset = Asset("llama b1.zip", "https://github.com/x")
    assert sources("b1", asset, ()) == ("https://github.com/x",)
    mirrors = ("https://one.example/llama/", "https://two.example")
    assert sources("b1", asset, mirrors) == (
        "https://one.example/llama/b1/llama%20b1.zip",
        "https://two.example/b1/llama%20b1.zip",
    )


# --- Asking for the list ----------------------------------------------------------------------------------

Index = Callable[[Mapping[str, tuple[int, object, str]]], Awaitable[str]]


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    client = Http()
    yield client
    await client.aclose()


@pytest.fixture
async def index() -> AsyncIterator[Index]:
    """`await index({path: (status, body, header lines)})` serves these and gives the list's address."""
    servers: list[asyncio.Server] = []

    async def serve(answers: Mapping[str, tuple[int, object, str]]) -> str:
        async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            path = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1].decode()
            status, body, header = answers.get(path, (404, {"message": "Not Found"}, "X-Nothing: 1"))
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            head = (
                f"HTTP/1.1 {status} x\r\nContent-Length: {len(data)}\r\nConnection: close\r\n{header}\r\n\r\n"
            )
            writer.write(head.encode() + data)
            await writer.drain()
            writer.close()

        servers.append(await asyncio.start_server(converse, "127.0.0.1", 0))
        return f"http://127.0.0.1:{servers[-1].sockets[0].getsockname()[1]}/releases"

    yield serve
    for server in servers:
        server.close()
        await server.wait_closed()


def answer(body: object, status: int = 200, header: str = "Content-Type: application/json") -> Any:
    return status, body, header


async def test_the_list_and_one_release_by_its_name(http: Http, index: Index) -> None:
    newest, older = listed("b11459"), listed("b7902")
    url = await index({"/releases": answer([newest]), "/releases/tags/b7902": answer(older)})
    assert [release.tag for release in await newest_releases(http, url)] == ["b11459"]
    assert (await one_release(http, "b11459", url)).tag == "b11459"
    assert (await one_release(http, "7902", url)).tag == "b7902"
    for missing in ("b1", "../..", "b1/../b7902", ""):
        with pytest.raises(EngineError, match="There is no release") as caught:
            await one_release(http, missing, url)
        assert caught.value.cause == "build_missing"


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (answer(b"<!doctype html><p>Log in"), "not JSON"),
        (answer([]), "lists no release"),
        (answer({"message": "hello"}), "lists no release"),
        (answer(b" " * 9_000_000), "larger than 8 MB"),
        (answer(b"", 500), "status 500"),
        (answer(b"", 302, "Location: http://127.0.0.1:9/"), "sends everyone on"),
        (answer({}, 403), "status 403"),
        (answer({}, 403, "X-RateLimit-Remaining: 0"), "in an hour"),
        (answer({}, 429, "X-RateLimit-Reset: many"), "in an hour"),
    ],
)
async def test_a_list_that_is_none_is_told_in_words(
    http: Http, index: Index, reply: tuple[int, object, str], words: str
) -> None:
    url = await index({"/releases": reply})
    with pytest.raises(EngineError, match=words) as caught:
        await newest_releases(http, url)
    assert caught.value.cause == "build_index"
    assert "model server" not in str(caught.value)


async def test_too_many_questions_are_told_with_the_time_to_wait(http: Http, index: Index) -> None:
    reset = int(time.time()) + 12 * 60
    url = await index(
        {"/releases": answer({}, 403, f"X-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: {reset}")}
    )
    with pytest.raises(EngineError, match="in 12 minutes"):
        await newest_releases(http, url)


async def test_nobody_there_is_told_and_installed_builds_go_on(http: Http) -> None:
    with pytest.raises(EngineError, match="cannot be reached") as caught:
        await newest_releases(http, f"http://127.0.0.1:{closed_port()}/releases")
    assert "go on working" in caught.value.next_step


async def test_without_the_network_nothing_is_asked_and_the_words_are_about_builds() -> None:
    http = Http(allow_network=False)
    with pytest.raises(NetworkBlocked, match="Builds were not looked for at api.github.com"):
        await newest_releases(http)
    await http.aclose()


async def test_checksums_are_not_taken_from_the_internet_in_the_clear(http: Http) -> None:
    with pytest.raises(EngineError, match="not secure"):
        await newest_releases(http, "http://example.com/releases")
