"""The client of the hub over real sockets: what it reads, whom it trusts, how it refuses."""

# ruff: noqa: ASYNC240 - the tests write small files while nothing else happens

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ports import closed_port
from tests.servers.launch import RunningServer, start
from whisper_desktop.errors import NetworkBlocked, SecretsError, TransferError
from whisper_desktop.models.hub import HUGGING_FACE, Hub, hub_from
from whisper_desktop.models.hub_answers import HubFile, HubModel, NotAHub, is_path, read_files, read_models
from whisper_desktop.values import Deadlines
from whisper_desktop.wire.http import Http

QUICK = replace(Deadlines(), retry_pause=0.002, request=5.0)
DATA = bytes(range(256)) * 8


@dataclass
class Place:
    """A hub and its store, and the folder they show."""

    folder: Path
    hub: RunningServer
    store: RunningServer

    def offer(self, repo: str, *files: str, **said: object) -> None:
        """A repository with these files."""
        (self.folder / repo).mkdir(parents=True)
        for file in files:
            (self.folder / repo / file).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / repo / file).write_bytes(DATA + file.encode())
        (self.folder / repo / "repo.json").write_text(json.dumps(said))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("hub")
    with (
        start("hub", "--folder", str(folder)) as store,
        start("hub", "--folder", str(folder), "--cdn", store.url, "--page-size", "2") as hub,
    ):
        place = Place(folder, hub, store)
        place.offer("o/plain", "a-Q4_K_M.gguf", "b/b-Q8_0.gguf", "c.txt", "d.gguf", "e.gguf", downloads=7)
        place.offer("o/gated", "a-Q4_K_M.gguf", gated="auto", likes=3)
        place.offer("o/private", "a.gguf", private=True)
        place.offer("o/closed", "a.gguf", disabled=True)
        place.offer("o/old", renamed_to="o/plain")
        yield place


@pytest.fixture
def place(running: Place) -> Iterator[Place]:
    yield running
    running.hub.set_fault("none")
    running.store.set_fault("none")


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    client = Http()
    yield client
    assert client.under_way == 0
    await client.aclose()


def make(http: Http, endpoint: str, token: str | None = None, **more: object) -> Hub:
    async def source() -> str | None:
        return token

    return Hub(http, endpoint=endpoint, token=source, deadlines=QUICK, **more)  # type: ignore[arg-type]


async def refused(hub: Hub, repo: str = "o/plain") -> TransferError:
    """What is said in place of the repository; it never repeats a token."""
    with pytest.raises(TransferError) as caught:
        await hub.repo(repo)
    assert "hf_" not in str(caught.value)
    assert caught.value.title.endswith(".")
    assert caught.value.next_step
    return caught.value


# --- what it reads ----------------------------------------------------------------------------------------


async def test_a_repository_is_read_page_by_page_with_sizes_and_checksums(http: Http, place: Place) -> None:
    found = await make(http, place.hub.url).repo("o/plain")
    assert (found.name, found.gated, len(found.commit)) == ("o/plain", False, 40)
    expected = {
        name: DATA + name.encode() for name in ("a-Q4_K_M.gguf", "b/b-Q8_0.gguf", "c.txt", "d.gguf", "e.gguf")
    }
    assert {file.path: (file.size, file.sha256) for file in found.files} == {
        name: (len(data), hashlib.sha256(data).hexdigest()) for name, data in expected.items()
    }


async def test_the_files_are_asked_for_at_the_commit_that_was_listed(http: Http, place: Place) -> None:
    hub = make(http, place.hub.url)
    found = await hub.repo("o/plain")
    asked = [each["path"] for each in place.hub.requests()][-3:]
    assert all(found.commit in path for path in asked)
    assert hub.url("o/p q", "x/ü?.gguf", "a/b") == f"{place.hub.url}/o/p%20q/resolve/a%2Fb/x/%C3%BC%3F.gguf"


async def test_an_old_name_leads_to_the_new_one(http: Http, place: Place) -> None:
    found = await make(http, place.hub.url).repo("o/old")
    assert found.name == "o/plain"
    assert len(found.files) == 5


async def test_a_search_asks_for_gguf_and_reads_what_is_told(http: Http, place: Place) -> None:
    found = await make(http, place.hub.url).search("o/", limit=2)
    assert found[0] == HubModel(
        "o/plain", 7, 0, False, "2026-05-01", "llama", params=3_000_000_000, train_ctx=131072
    )
    assert len(found) == 2
    assert "filter=gguf" in place.hub.requests()[-1]["path"]


async def test_the_next_page_is_asked_of_the_hub_itself_wherever_its_link_leads(
    http: Http, place: Place
) -> None:
    place.hub.set_fault("foreign_link")
    assert len((await make(http, place.hub.url).repo("o/plain")).files) == 5


# --- whose token goes where -------------------------------------------------------------------------------


async def test_the_token_goes_to_the_hub_and_not_to_the_store(http: Http, place: Place) -> None:
    hub = make(http, place.hub.url, "hf_good")
    seen = len(place.store.requests())
    assert (await hub.repo("o/private")).files
    assert await hub.refusal(hub.url("o/gated", "a-Q4_K_M.gguf"), "o/gated", "a-Q4_K_M.gguf") is None
    assert place.hub.requests()[-1]["headers"]["authorization"] == "Bearer hf_good"
    assert len(place.store.requests()) == seen
    assert await hub.key_for(place.store.url + "/x") is None


async def test_an_answer_that_leads_to_another_host_gets_no_token_there(http: Http, place: Place) -> None:
    place.hub.set_fault("redirect", place.store.url + "/api/models/o/plain", on="api", count=1)
    await make(http, place.hub.url, "hf_good").repo("o/plain")
    asked = [each for each in place.store.requests() if each["path"] == "/api/models/o/plain"]
    assert asked
    assert "authorization" not in asked[-1]["headers"]


async def test_the_environment_names_hub_and_token(http: Http, place: Place) -> None:
    hub = hub_from(http, {"HF_ENDPOINT": place.hub.url + "/", "HF_TOKEN": " hf_good "}, deadlines=QUICK)
    assert (await hub.repo("o/private")).files
    assert hub.origin == place.hub.url
    assert hub_from(http, {}).origin == HUGGING_FACE
    asked: list[str] = []

    def kept(url: str) -> object:
        async def key() -> str | None:
            asked.append(url)
            return "hf_good"

        return key

    hub = hub_from(http, {"HF_ENDPOINT": place.hub.url}, kept=kept, deadlines=QUICK)  # type: ignore[arg-type]
    assert (await hub.repo("o/private")).files
    assert set(asked) == {place.hub.url}
    with pytest.raises(SecretsError):
        await hub_from(http, {"HF_TOKEN": "Bearer hf_x y"}).key()


@pytest.mark.parametrize("value", ["1", "on", "YES", "True"])
async def test_offline_means_that_nothing_is_asked(http: Http, place: Place, value: str) -> None:
    seen = len(place.hub.log())
    hub = hub_from(http, {"HF_ENDPOINT": place.hub.url, "HF_HUB_OFFLINE": value})
    for asking in (hub.repo("o/plain"), hub.search("x"), hub.refusal(hub.url("o/p", "f"), "o/p", "f")):
        with pytest.raises(NetworkBlocked, match="HF_HUB_OFFLINE"):
            await asking
    assert len(place.hub.log()) == seen


async def test_without_network_the_sentence_says_how_to_get_it(http: Http) -> None:
    http.allow_network = False
    with pytest.raises(NetworkBlocked, match="switched off"):
        await make(http, "https://hub.example").search("x")


# --- what it says when there is nothing -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("repo", "token", "says", "step"),
    [
        ("o/none", None, "shows no repository o/none", "If it is private"),
        ("o/private", None, "shows no repository o/private", "keys set http"),
        ("o/none", "hf_good", "has no repository o/none", "search=none"),
        ("o/plain", "hf_wrong", "does not accept the token", "/settings/tokens"),
        ("o/closed", None, "does not give out o/closed", "choose another"),
        ("../x", None, "is not the name of a repository", "Qwen"),
    ],
)
async def test_a_refusal_is_a_sentence(
    http: Http, place: Place, repo: str, token: str | None, says: str, step: str
) -> None:
    error = await refused(make(http, place.hub.url, token), repo)
    assert says in error.title
    assert step in error.next_step


@pytest.mark.parametrize(
    ("token", "says", "step"),
    [
        (None, "only given to people who have accepted its licence", "/o/gated, then give a token"),
        ("hf_other", "Your token has no access to o/gated", "Ask for access at"),
    ],
)
async def test_a_licence_is_asked_for_with_the_page_where_it_is_accepted(
    http: Http, place: Place, token: str | None, says: str, step: str
) -> None:
    hub = make(http, place.hub.url, token)
    assert (await hub.repo("o/gated")).gated
    error = await hub.refusal(hub.url("o/gated", "a-Q4_K_M.gguf"), "o/gated", "a-Q4_K_M.gguf")
    assert error is not None
    assert says in error.title
    assert step in error.next_step
    assert hub.page("o/gated") in error.next_step


async def test_a_file_that_is_not_there_is_named(http: Http, place: Place) -> None:
    hub = make(http, place.hub.url)
    error = await hub.refusal(hub.url("o/plain", "zz.gguf"), "o/plain", "zz.gguf")
    assert error is not None
    assert error.title == "o/plain has no file zz.gguf."
    with pytest.raises(TransferError, match=r"no revision v9\."):
        await hub.repo("o/plain", "v9")


async def test_a_rate_limit_says_when_to_come_back(http: Http, place: Place) -> None:
    place.hub.set_fault("rate_429", 42, on="api")
    error = await refused(make(http, place.hub.url))
    assert "answers no more questions" in error.title
    assert error.next_step == "Try again in 42 s."
    assert "With a token it allows more." in error.detail


@pytest.mark.parametrize("mode", ["html_200", "json_200", "malformed"])
async def test_a_mirror_that_is_no_hub_is_told_from_one(http: Http, place: Place, mode: str) -> None:
    place.hub.set_fault(mode, on="api")
    hub = make(http, place.hub.url)
    assert "does not answer like a hub" in (await refused(hub)).title
    with pytest.raises(TransferError, match="does not answer like a hub"):
        await hub.search("x")


async def test_what_passes_is_tried_again(http: Http, place: Place) -> None:
    place.hub.set_fault("error_500", count=2, on="api")
    assert (await make(http, place.hub.url).repo("o/plain")).files
    place.hub.set_fault("reset_before_headers", count=1, on="api")
    assert (await make(http, place.hub.url).repo("o/plain")).files


async def test_what_does_not_pass_is_said(http: Http, place: Place) -> None:
    place.hub.set_fault("error_500", on="api")
    assert "cannot answer right now" in (await refused(make(http, place.hub.url))).title
    error = await refused(make(http, f"http://127.0.0.1:{closed_port()}"))
    assert "cannot be asked" in error.title


async def test_silence_ends(http: Http, place: Place) -> None:
    place.hub.set_fault("hang", on="api")
    hub = Hub(http, endpoint=place.hub.url, deadlines=replace(QUICK, request=0.05))
    async with asyncio.timeout(3):
        assert "cannot be asked" in (await refused(hub)).title


@pytest.mark.parametrize("endpoint", ["http://hub.example", "https://", "ftp://x", "https://x/?a=b", "a b"])
async def test_an_endpoint_that_cannot_be_used_is_said_when_it_is_needed(http: Http, endpoint: str) -> None:
    error = await refused(make(http, endpoint))
    assert "HF_ENDPOINT" in error.title
    assert HUGGING_FACE in error.next_step


# --- whom it does not trust -------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["hostile_names", "absurd_sizes"])
async def test_names_and_sizes_that_no_file_could_have_are_passed_over(
    http: Http, place: Place, mode: str
) -> None:
    place.hub.set_fault(mode)
    assert len((await make(http, place.hub.url).repo("o/plain")).files) == 5


async def test_a_list_that_never_ends_is_left(http: Http, place: Place) -> None:
    place.hub.set_fault("endless_pages")
    assert "more files than can be looked through" in (await refused(make(http, place.hub.url))).title


@pytest.mark.parametrize(
    "path",
    ["../x", "a/../x", "/x", "a//x", "a/./x", "", ".", "a\\x", "a\nx", "a\u202ex", "x" * 1001, None, 3],
)
def test_a_path_that_leads_out_is_none(path: object) -> None:
    assert not is_path(path)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.sampled_from(["type", "path", "size", "lfs", "oid", "id", "gguf", "total", "lastModified"]),
            inner,
        )
    ),
    max_leaves=20,
)


@given(_JSON)
def test_no_answer_makes_the_reader_stumble(value: object) -> None:
    for read in (read_files, read_models):
        try:
            found: object = read(value)
        except NotAHub:
            continue
        assert all(isinstance(each, HubFile | HubModel) for each in found)  # type: ignore[attr-defined]
