"""The llama_cpp test server and a real llama-server give the same answers to the same questions.

Every test runs against both. The real one has a tiny random model, so texts are noise: compared are statuses,
headers, shapes, refusals word for word, and what happens to streams whose client leaves.
"""

import http.client
import json
import os
import subprocess
import time
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from tests.engines.tiny_model import write_tiny_model
from tests.ports import closed_port
from tests.reference_engine import missing
from tests.servers.launch import start
from tests.servers.probe import Seen, call

CHAT = "/v1/chat/completions"
HI: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 4, "ignore_eos": True}
BEGUN = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "word0 word1"}]
CONVERSATION = {"X-Conversation-Id": "talk"}
START_DEADLINE_S = 60.0


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The root of a running llama-server."""
    if reason := missing():
        pytest.skip(reason)
    model = write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.gguf")
    port = closed_port()
    command = [os.environ["WHISPER_TEST_LLAMA_SERVER"], "-m", str(model), "--port", str(port)]
    command += ["-t", "1", "-c", "4096", "-np", "1", "-a", "tiny"]
    with Path(model.parent, "log.txt").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_until_ready(url)
        yield url
    finally:
        process.kill()
        process.wait()


def _wait_until_ready(url: str) -> None:
    deadline = time.monotonic() + START_DEADLINE_S
    while time.monotonic() < deadline:
        try:
            if call(url, "GET", "/health").status == 200:
                return
        except OSError:
            pass
        time.sleep(0.05)
    raise TimeoutError("the reference llama-server did not start")


@pytest.fixture(scope="module")
def ours() -> Iterator[str]:
    """The root of the test server."""
    models = [{"id": "tiny", "context_length": 4096}]
    with start("llama_cpp", "--tokens", "100000", models=models) as server:
        yield server.url


@pytest.fixture(params=["ours", pytest.param("real", marks=pytest.mark.reference_engine)])
def url(request: pytest.FixtureRequest) -> str:
    """Each of the two."""
    found: str = request.getfixturevalue(request.param)
    return found


def chat(url: str, headers: dict[str, str] | None = None, **fields: object) -> Seen:
    return call(url, "POST", CHAT, HI | fields, headers)


def contents(seen: Seen) -> list[str]:
    deltas = [c["delta"].get("content") for event in seen.events() for c in event["choices"]]
    return [delta for delta in deltas if delta]


def lookup(url: str, *conversations: str) -> Any:
    return call(url, "POST", "/v1/streams/lookup", {"conversation_ids": list(conversations)}).json()


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "kind", "message"),
    [
        ("GET", "/nothing", None, 404, "not_found_error", "File Not Found"),
        ("POST", CHAT, {}, 400, "invalid_request_error", "'messages' is required"),
        (
            "POST",
            "/v1/embeddings",
            {"input": "x"},
            501,
            "not_supported_error",
            "This server does not support embeddings. Start it with `--embeddings`",
        ),
        (
            "POST",
            CHAT,
            {"messages": [BEGUN[0], BEGUN[1], BEGUN[1]]},
            400,
            "invalid_request_error",
            "Cannot have 2 or more assistant messages at the end of the list.",
        ),
        (
            "POST",
            CHAT,
            {"messages": BEGUN, "continue_final_message": True},
            400,
            "invalid_request_error",
            "Cannot set both add_generation_prompt and continue_final_message to true.",
        ),
        (
            "GET",
            "/metrics",
            None,
            501,
            "not_supported_error",
            "This server does not support metrics endpoint. Start it with `--metrics`",
        ),
        ("GET", "/v1/stream", None, 400, "invalid_request_error", "Missing conversation id in path"),
        ("DELETE", "/v1/stream", None, 400, "invalid_request_error", "Missing conversation id in path"),
        ("GET", "/v1/stream?conv_id=no", None, 404, "not_found_error", "File Not Found"),
    ],
)
def test_refusals_are_the_same_word_for_word_and_hang_up(
    url: str, method: str, path: str, body: object, status: int, kind: str, message: str
) -> None:
    seen = call(url, method, path, body)
    assert seen.json() == {"error": {"code": status, "message": message, "type": kind}}
    assert seen.status == status
    assert seen.headers["connection"] == "close"
    assert seen.headers["content-type"] == "application/json; charset=utf-8"


def test_images_are_refused_without_a_projector(url: str, request: pytest.FixtureRequest) -> None:
    picture = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]
    if "ours" in request.node.name:
        with start("llama_cpp", "--no-vision") as server:
            seen = chat(server.url, messages=[{"role": "user", "content": picture}])
    else:
        seen = chat(url, messages=[{"role": "user", "content": picture}])
    assert (seen.status, seen.json()["error"]["type"]) == (500, "server_error")
    assert seen.json()["error"]["message"].startswith("image input is not supported - hint:")


def test_a_prompt_that_is_too_long_says_how_long_it_is(url: str) -> None:
    error = chat(url, messages=[{"role": "user", "content": "hi " * 5000}]).json()["error"]
    assert error["message"] == (
        f"request ({error['n_prompt_tokens']} tokens) exceeds the available context size (4096 tokens), "
        "try increasing it"
    )
    assert (error["type"], error["n_ctx"]) == ("exceed_context_size_error", 4096)


def test_a_whole_answer_has_the_same_fields(url: str) -> None:
    seen = chat(url)
    said = seen.json()
    assert set(said) == {
        "choices",
        "created",
        "id",
        "model",
        "object",
        "system_fingerprint",
        "timings",
        "usage",
    }
    (choice,) = said["choices"]
    assert set(choice) == {"finish_reason", "index", "message"}
    assert choice["finish_reason"] == "length"
    assert set(said["usage"]) == {
        "completion_tokens",
        "prompt_tokens",
        "prompt_tokens_details",
        "total_tokens",
    }
    assert said["usage"]["completion_tokens"] == said["timings"]["predicted_n"] == 4
    assert {"cache_n", "prompt_n", "prompt_ms", "prompt_per_second", "predicted_per_second"} <= set(
        said["timings"]
    )
    assert seen.headers["keep-alive"] == "timeout=5, max=100"


def test_a_stream_has_the_same_chunks(url: str) -> None:
    seen = chat(url, stream=True, return_progress=True, stream_options={"include_usage": True})
    assert seen.headers["content-type"] == "text/event-stream"
    assert seen.headers["x-accel-buffering"] == "no"
    shapes = []
    for event in seen.events():
        delta = event["choices"][0]["delta"] if event["choices"] else None
        extra = {"prompt_progress", "usage", "timings"} & set(event)
        shapes.append(f"{sorted(delta) if delta is not None else None} {sorted(extra)}")
    assert [shape for shape, _ in groupby(shapes)] == [
        "['content', 'role'] ['prompt_progress']",
        "['content', 'role'] []",
        "['content'] []",
        "[] []",
        "None ['timings', 'usage']",
    ]
    progress = [event["prompt_progress"] for event in seen.events() if "prompt_progress" in event]
    assert all(set(each) == {"total", "cache", "processed", "time_ms"} for each in progress)
    assert progress[0]["processed"] == progress[0]["cache"]
    assert progress[-1]["processed"] == progress[-1]["total"]
    assert seen.text.endswith("data: [DONE]\n\n")


@pytest.mark.parametrize("explicit", [False, True])
def test_a_begun_answer_is_repeated_but_not_in_a_stream_that_asks_with_the_field(
    url: str, explicit: bool
) -> None:
    asked: dict[str, Any] = {"continue_final_message": True, "add_generation_prompt": False}
    fields = asked if explicit else {}
    whole = chat(url, messages=BEGUN, **fields).json()
    assert whole["choices"][0]["message"]["content"].startswith("word0 word1")
    assert whole["usage"]["completion_tokens"] == 4
    first = contents(chat(url, messages=BEGUN, stream=True, **fields))[0]
    assert first.startswith("word0 word1") != explicit


def test_a_kept_stream_can_be_read_again_from_any_byte(url: str) -> None:
    told = chat(url, CONVERSATION, stream=True)
    size = len(told.body)
    again = call(url, "GET", "/v1/stream?conv_id=talk&from=0")
    assert again.body == told.body
    assert again.headers["content-type"] == "text/event-stream"
    assert call(url, "GET", "/v1/stream?conv_id=talk").body == told.body
    assert call(url, "GET", "/v1/stream?conv_id=talk&from=100").body == told.body[100:]
    assert call(url, "GET", f"/v1/stream?conv_id=talk&from={size}").body == b""
    bad = call(url, "GET", "/v1/stream?conv_id=talk&from=x")
    assert (bad.status, bad.json()["error"]["message"]) == (400, "Invalid 'from' offset")
    (known,) = lookup(url, "talk", "unknown")
    assert set(known) == {"conversation_id", "is_done", "total_bytes", "started_at", "completed_at"}
    assert (known["conversation_id"], known["is_done"], known["total_bytes"]) == ("talk", True, size)
    gone = call(url, "DELETE", "/v1/stream?conv_id=talk")
    assert (gone.status, gone.body) == (204, b"")
    assert call(url, "DELETE", "/v1/stream?conv_id=talk").status == 204
    assert call(url, "GET", "/v1/stream?conv_id=talk").status == 404
    assert lookup(url, "talk") == []


def test_only_streams_are_kept(url: str) -> None:
    assert chat(url, CONVERSATION).status == 200
    assert lookup(url, "talk") == []
    assert chat(url, CONVERSATION, stream=True, messages=None).status == 400
    assert lookup(url, "talk") == []


def leave_early(url: str, tokens: int, conversation: str) -> bytes:
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
    body = json.dumps(HI | {"stream": True, "max_tokens": tokens})
    connection.request("POST", CHAT, body, {"X-Conversation-Id": conversation})
    answer = connection.getresponse()
    got = answer.read1(500)
    answer.close()
    connection.close()
    return got


def test_generation_goes_on_when_the_client_leaves(url: str) -> None:
    got = leave_early(url, 400, "left::tiny")
    rest = call(url, "GET", f"/v1/stream?conv_id=left::tiny&from={len(got)}").body
    whole = Seen(200, {}, got + rest)
    assert whole.events()[-1]["choices"][0]["finish_reason"] == "length"
    assert whole.text.endswith("data: [DONE]\n\n")
    (known,) = lookup(url, "left")  # the model after :: need not be named
    assert (known["conversation_id"], known["total_bytes"]) == ("left::tiny", len(whole.body))


def test_deleting_stops_a_generation_that_nobody_reads(url: str) -> None:
    leave_early(url, 100_000, "stopped")
    assert not lookup(url, "stopped")[0]["is_done"]
    assert call(url, "DELETE", "/v1/stream?conv_id=stopped").status == 204
    assert lookup(url, "stopped") == []
    began = time.monotonic()
    assert chat(url).status == 200  # the only slot is free again
    assert time.monotonic() - began < 2
