"""The same answer in other bytes: what a faithful reader takes from them is always the same."""

import gzip
import http.client
import json
import zlib
from typing import Any

import pytest

from tests.servers.disguises import CUTS, MODES, PIECEWISE, cuts, disguised
from tests.servers.faults import DISGUISES
from tests.servers.fixtures import ServerFactory
from tests.servers.launch import RunningServer
from tests.servers.probe import Seen, call
from tests.servers.reactions import Stream, ndjson, sse
from tests.servers.tests.test_faults import CHAT, KEY

TEXT = "Grüße aus 東京 🙂 und zurück"


def ask(server: RunningServer, path: str, **fields: object) -> Seen:
    messages = [{"role": "user", "content": "x"}]
    return call(server.url, "POST", path, {"model": "m", "stream": True, "messages": messages} | fields, KEY)


def read(seen: Seen) -> tuple[str, list[str], bool]:
    """Text, finish reasons and whether [DONE] came, read by the rules of SSE."""
    body = seen.body
    if seen.headers.get("content-encoding") == "gzip":
        body = zlib.decompress(body, wbits=31)
    text = body.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    datas = []
    for event in text.split("\n\n"):
        lines = [line[5:].removeprefix(" ") for line in event.split("\n") if line.startswith("data:")]
        if lines:
            datas.append("\n".join(lines))
    events: list[Any] = [json.loads(data) for data in datas if data != "[DONE]"]
    choices = [choice for event in events for choice in event["choices"]]
    said = "".join(choice["delta"].get("content") or "" for choice in choices)
    return said, [c["finish_reason"] for c in choices if c["finish_reason"]], "[DONE]" in datas


@pytest.mark.parametrize("name", ["lm_studio", "llama_cpp", "ollama", "openrouter"])
def test_the_text_is_the_same_in_every_disguise(servers: ServerFactory, name: str) -> None:
    server = servers(name, "--answer", TEXT, models=["m"])
    plain = ask(server, CHAT[name])
    assert read(plain) == (TEXT, ["stop"], True)
    for mode in sorted(MODES):
        server.set_fault(mode)
        other = ask(server, CHAT[name])
        assert read(other) == read(plain), mode
        if mode not in CUTS:
            assert other.body != plain.body, mode


def test_every_disguise_is_a_fault_and_the_other_way_round() -> None:
    assert MODES == DISGUISES


@pytest.mark.parametrize("mode", ["crlf", "bom", "gzip", "byte_by_byte", "split_utf8"])
def test_ndjson_can_be_disguised_too(servers: ServerFactory, mode: str) -> None:
    server = servers("ollama", "--answer", TEXT, "--fault", mode, models=["m"])
    seen = ask(server, "/api/chat")
    body = gzip.decompress(seen.body) if mode == "gzip" else seen.body
    lines = [json.loads(line) for line in body.decode("utf-8-sig").split("\n") if line.strip()]
    assert "".join(line["message"]["content"] for line in lines) == TEXT
    assert lines[-1]["done"] is True


def test_cuts_go_through_the_middle_of_characters() -> None:
    assert cuts("aü🙂".encode(), "split_utf8") == [b"a\xc3", b"\xbc\xf0", b"\x9f", b"\x99", b"\x82"]
    assert cuts(b"ab", "byte_by_byte") == [b"a", b"b"]
    assert cuts(b"ab", "none") == [b"ab"]


def test_the_writes_arrive_one_by_one(servers: ServerFactory) -> None:
    server = servers("lm_studio", "--answer", "hi", "--fault", "byte_by_byte", models=["m"])
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    body = json.dumps({"model": "m", "stream": True, "messages": [{"role": "user", "content": "x"}]})
    connection.request("POST", "/v1/chat/completions", body)
    answer = connection.getresponse()
    reads = []
    while piece := answer.read1():
        reads.append(piece)
    connection.close()
    assert len(reads) > len(b"".join(reads)) / 4


def test_a_packed_stream_is_not_held_back(servers: ServerFactory) -> None:
    server = servers("lm_studio", "--tokens", "9", "--token-delay", "0.05", "--fault", "gzip", models=["m"])
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    body = json.dumps({"model": "m", "stream": True, "messages": [{"role": "user", "content": "x"}]})
    connection.request("POST", "/v1/chat/completions", body)
    answer = connection.getresponse()
    unpacker, text = zlib.decompressobj(wbits=31), b""
    while b"word0" not in text:
        text += unpacker.decompress(answer.read1())
    connection.close()
    assert b"word8" not in text


def test_a_refusal_can_be_packed(servers: ServerFactory) -> None:
    seen = ask(servers("lm_studio", "--fault", "gzip:error_500"), "/v1/chat/completions")
    assert (seen.status, seen.headers["content-encoding"]) == (500, "gzip")
    assert json.loads(gzip.decompress(seen.body)) == {"error": "Internal server error."}


def test_shapes_change_every_event() -> None:
    stream = Stream({}, (sse({"a": 1}),), (sse({"b": [1, 2]}, "x"),), (), b"data: [DONE]\n\n")
    for mode, shape in PIECEWISE.items():
        shaped = disguised(stream, mode)
        assert isinstance(shaped, Stream)
        assert shaped.opening[0] == shape(stream.opening[0])
    assert PIECEWISE["multi_line"](sse({"a": 1})) == b'data: {\ndata:  "a": 1\ndata: }\n\n'
    assert PIECEWISE["crlf"](ndjson(1)) == b"1\r\n"
