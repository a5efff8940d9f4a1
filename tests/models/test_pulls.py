"""What Ollama and LM Studio fetch for us: progress, the end, and every way in which there is none."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from tests.ports import closed_port
from tests.servers.fixtures import ServerFactory
from whisper_desktop.errors import ConsentRequired, TransferError
from whisper_desktop.models.download_programs import Program
from whisper_desktop.models.pulls import fetch_in_lm_studio, pull
from whisper_desktop.values import Deadlines
from whisper_desktop.wire.http import Http
from whisper_desktop.wire.progress import DownloadProgress

QUICK = replace(Deadlines(), loading_poll=0.005, download_stall=2.0)
LAYERS = 2_019_377_376 + 1429
GRANITE = 2_279_145_003


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    client = Http()
    yield client
    assert client.under_way == 0
    await client.aclose()


async def pulled(http: Http, url: str, tag: str = "llama3.2", **more: object) -> list[DownloadProgress]:
    seen: list[DownloadProgress] = []
    program = Program("ollama", url, **more)  # type: ignore[arg-type]
    await pull(http, program, tag, deadlines=QUICK, on_progress=seen.append)
    return seen


async def not_pulled(http: Http, url: str, tag: str = "llama3.2") -> TransferError:
    with pytest.raises(TransferError) as caught:
        await pulled(http, url, tag)
    assert caught.value.next_step
    return caught.value


async def fetched(
    http: Http, url: str, model: str = "ibm/granite-4-micro", quant: str = "", job: str = ""
) -> tuple[list[DownloadProgress], list[str]]:
    seen: list[DownloadProgress] = []
    jobs: list[str] = []

    async def remember(name: str) -> None:
        jobs.append(name)

    await fetch_in_lm_studio(
        http, Program("lm_studio", url), model, quant, job=job, deadlines=QUICK, on_progress=seen.append,
        on_job=remember,
    )  # fmt: skip
    return seen, jobs


async def not_fetched(http: Http, url: str) -> TransferError:
    with pytest.raises(TransferError) as caught:
        await fetched(http, url)
    assert caught.value.next_step
    return caught.value


# --- Ollama -----------------------------------------------------------------------------------------------


async def test_a_pull_is_one_progress_over_all_layers(http: Http, servers: ServerFactory) -> None:
    server = servers("ollama", models=[])
    seen = await pulled(http, server.url)
    done = [each.done_bytes for each in seen]
    assert done == sorted(done)
    assert (seen[-1].done_bytes, seen[-1].total_bytes) == (LAYERS, LAYERS)
    assert seen[0].total_bytes is None
    assert "library" in seen[0].waiting
    assert [each.waiting for each in seen[-2:]] == [
        "Ollama checks what has arrived.",
        "Ollama puts the model in its place.",
    ]
    assert server.requests("/api/pull")[0]["body"] == {"model": "llama3.2", "stream": True}


async def test_a_pull_sends_the_key_of_a_server_that_wants_one(http: Http, servers: ServerFactory) -> None:
    server = servers("ollama", "--auth", "k3y", models=[])

    async def key() -> str:
        return "k3y"

    assert await pulled(http, server.url, key=key)
    assert "wants a key" in (await not_pulled(http, server.url)).title


async def test_a_cancelled_pull_leaves_at_once(http: Http, servers: ServerFactory) -> None:
    server = servers("ollama", models=[])
    server.set_fault("stall_mid_stream", 2, on="/api/pull")
    begun = asyncio.Event()
    program = Program("ollama", server.url)
    pulling = asyncio.create_task(
        pull(http, program, "x", deadlines=QUICK, on_progress=lambda _seen: begun.set())
    )
    await begun.wait()
    pulling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pulling
    await asyncio.to_thread(server.wait_for, "disconnect")


@pytest.mark.parametrize(
    ("said", "title", "step"),
    [
        ("pull model manifest: file does not exist", "Ollama knows no model llama3.2.", "ollama.com/library"),
        ("max retries exceeded: dial tcp: lookup registry: no such host", "could not fetch", "network"),
        ("write /x: no space left on device", "could not fetch", "Free some space"),
        ("pull model manifest: 412: requires a newer version of Ollama", "could not fetch", "Update Ollama"),
        ("unauthorized", "could not fetch", "Log in"),
        ("the moon is full", "could not fetch", "Try again later"),
    ],
)
async def test_an_error_in_the_stream_is_a_sentence(
    http: Http, servers: ServerFactory, said: str, title: str, step: str
) -> None:
    error = await not_pulled(http, servers("ollama", "--pull-error", said, models=[]).url)
    assert title in error.title
    assert step in error.next_step


@pytest.mark.parametrize(
    ("mode", "arg", "says"),
    [
        ("error_500", "", "could not fetch"),
        ("eof_mid_stream", 3, "stopped fetching"),
        ("cut_mid_stream", 3, "broke off"),
        ("die_mid_stream", 3, "broke off"),
        ("stall_mid_stream", 3, "says nothing any more"),
        ("hang", "", "says nothing any more"),
        ("html_200", "", "does not behave like Ollama"),
        ("malformed", 0, "does not behave like Ollama"),
        ("redirect", "", "does not behave like Ollama"),
        ("huge_line", "", "does not behave like Ollama"),
    ],
)
async def test_whatever_ends_a_pull_early_is_a_sentence(
    http: Http, servers: ServerFactory, mode: str, arg: object, says: str
) -> None:
    server = servers("ollama", "--pull-error", "x" * 110_000 if mode == "huge_line" else "", models=[])
    if mode != "huge_line":
        server.set_fault(mode, arg, on="/api/pull")
    with pytest.raises(TransferError, match=says):
        await pull(
            http,
            Program("ollama", server.url),
            "llama3.2",
            deadlines=replace(QUICK, download_stall=0.1),
            on_progress=lambda _seen: None,
        )


async def test_a_program_that_does_not_run_is_to_be_started(http: Http) -> None:
    url = f"http://127.0.0.1:{closed_port()}"
    assert "Ollama is not running" in (await not_pulled(http, url)).title
    assert "Start LM Studio" in (await not_fetched(http, url)).next_step


async def test_only_programs_on_this_computer_are_asked(http: Http) -> None:
    for asking in (pulled(http, "http://192.0.2.1:11434"), fetched(http, "http://192.0.2.1:1234")):
        with pytest.raises(ConsentRequired):
            await asking


# --- LM Studio --------------------------------------------------------------------------------------------


async def test_a_job_is_begun_and_looked_at_until_it_is_done(http: Http, servers: ServerFactory) -> None:
    server = servers("lm_studio", "--download-seconds", "0.2")
    seen, jobs = await fetched(http, server.url, quant="Q4_K_M")
    done = [each.done_bytes for each in seen]
    assert len(done) > 2
    assert done == sorted(done)
    assert {each.total_bytes for each in seen} == {GRANITE}
    begun = server.requests("/api/v1/models/download")
    assert [each["body"] for each in begun] == [{"model": "ibm/granite-4-micro", "quantization": "Q4_K_M"}]
    assert server.requests()[-1]["path"].endswith(jobs[0])


async def test_a_job_that_was_begun_before_is_only_looked_at(http: Http, servers: ServerFactory) -> None:
    server = servers("lm_studio", "--download-seconds", "0.1")
    _, jobs = await fetched(http, server.url)
    assert await fetched(http, server.url, job=jobs[0]) == ([], [])
    assert len(server.requests("/api/v1/models/download")) == 1


async def test_a_job_that_lm_studio_has_forgotten_is_begun_again(http: Http, servers: ServerFactory) -> None:
    server = servers("lm_studio", "--download-seconds", "0.1")
    _, jobs = await fetched(http, server.url, job="job_of_yesterday")
    assert jobs
    assert "job_of_yesterday" not in jobs


async def test_a_lm_studio_that_forgets_every_job_is_not_asked_for_ever(
    http: Http, servers: ServerFactory
) -> None:
    server = servers("lm_studio", "--download-seconds", "9")
    server.set_fault("not_found_404_model", on="/api/v1/models/download/status")
    assert "does not behave like LM Studio" in (await not_fetched(http, server.url)).title
    assert len([each for each in server.requests() if each["method"] == "POST"]) == 3


async def test_what_is_there_is_not_fetched(http: Http, servers: ServerFactory) -> None:
    assert await fetched(http, servers("lm_studio", models=["there"]).url, "there") == ([], [])


async def test_a_pause_in_lm_studio_is_told(http: Http, servers: ServerFactory) -> None:
    server = servers("lm_studio", "--downloads", "pause")
    told: asyncio.Future[DownloadProgress] = asyncio.get_running_loop().create_future()

    async def remember(_name: str) -> None:
        pass

    def tell(seen: DownloadProgress) -> None:
        if seen.waiting and not told.done():
            told.set_result(seen)

    looking = asyncio.create_task(
        fetch_in_lm_studio(
            http, Program("lm_studio", server.url), "x", deadlines=QUICK, on_progress=tell, on_job=remember
        )
    )
    assert (await told).waiting == "The download is paused in LM Studio."
    looking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await looking


async def test_a_look_that_fails_is_repeated_a_few_times(http: Http, servers: ServerFactory) -> None:
    server = servers("lm_studio", "--download-seconds", "0.05")
    server.set_fault("reset_before_headers", count=3, on="/api/v1/models/download/status")
    seen, _ = await fetched(http, server.url)
    again = "LM Studio broke off while it fetched ibm/granite-4-micro. It is asked again."
    assert again in [each.waiting for each in seen]
    gone = servers("lm_studio")
    gone.set_fault("reset_before_headers", on="/api/v1/models/download/status")
    assert "broke off" in (await not_fetched(http, gone.url)).title


async def test_what_lm_studio_cannot_do_is_a_sentence(http: Http, servers: ServerFactory) -> None:
    assert "too old" in (await not_fetched(http, servers("lm_studio", "--version", "0.3.9").url)).title
    failing = servers("lm_studio", "--downloads", "fail")
    assert "LM Studio could not download" in (await not_fetched(http, failing.url)).title
    locked = servers("lm_studio", "--auth", "sk-lm-x")
    error = await not_fetched(http, locked.url)
    assert "wants a key" in error.title
    assert "keys set lm_studio" in error.next_step
    strange = servers("impostor", "--mode", "spa_html_200")
    assert "does not behave like LM Studio" in (await not_fetched(http, strange.url)).title
