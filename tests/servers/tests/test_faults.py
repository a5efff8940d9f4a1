"""Every fault mode, on every server that chats."""

import http.client
import importlib
import re
import socket
from typing import Any

import pytest

import tests.servers
from tests.servers.base import common_options
from tests.servers.faults import IN_OWN_WORDS, MODES, FaultSwitch, parse
from tests.servers.fixtures import ServerFactory
from tests.servers.launch import RunningServer
from tests.servers.probe import Seen, call

KEY = {"Authorization": "Bearer sk-or-v1-test"}
CHAT = {
    "lm_studio": "/v1/chat/completions",
    "ollama": "/v1/chat/completions",
    "llama_cpp": "/v1/chat/completions",
    "openrouter": "/api/v1/chat/completions",
    "openai_compatible": "/v1/chat/completions",
    "jan": "/v1/chat/completions",
    "koboldcpp": "/v1/chat/completions",
    "textgen": "/v1/chat/completions",
    "localai": "/v1/chat/completions",
    "lemonade": "/api/v1/chat/completions",
    "docker_model_runner": "/engines/v1/chat/completions",
}
STATUS = {
    "busy_503": 503,
    "error_500": 500,
    "rate_429": 429,
    "unauthorized_401": 401,
    "payment_402": 402,
    "forbidden_403_moderation": 403,
    "not_found_404_model": 404,
    "context_400": 400,
    "bad_request_400": 400,
}
# Where a server's own words come with another status, or it has a second spelling of the same thing.
STATUS_BY_SERVER = {("jan", "error_500"): 502}


def ask(server: RunningServer, path: str, *, stream: bool = True, model: str = "m") -> Seen:
    body = {"model": model, "stream": stream, "messages": [{"role": "user", "content": "one two three"}]}
    return call(server.url, "POST", path, body, KEY)


def said(seen: Seen) -> str:
    return "".join(
        choice["delta"].get("content") or "" for event in seen.events() for choice in event.get("choices", [])
    )


def read_raw(server: RunningServer, path: str, deadline_s: float = 5.0) -> tuple[bytes, str]:
    """The bytes of a streamed answer, and how it ended: "closed", "reset" or "silent" for so long."""
    body = b'{"model":"m","stream":true,"messages":[{"role":"user","content":"one two three"}]}'
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {KEY['Authorization']}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    got = b""
    with socket.create_connection(("127.0.0.1", server.port), timeout=deadline_s) as sock:
        sock.sendall(head.encode() + body)
        while True:
            try:
                piece = sock.recv(65536)
            except ConnectionResetError:
                return got, "reset"
            except TimeoutError:
                return got, "silent"
            if not piece:
                return got, "closed"
            got += piece


@pytest.mark.parametrize("name", CHAT)
def test_a_healthy_server_streams_an_answer_to_the_last_message(servers: ServerFactory, name: str) -> None:
    seen = ask(servers(name, models=["m"]), CHAT[name])
    assert seen.status == 200
    assert seen.headers["content-type"].startswith("text/event-stream")
    assert said(seen) == "You said: one two three"
    reasons = [c["finish_reason"] for e in seen.events() for c in e["choices"] if c["finish_reason"]]
    assert reasons == ["stop"]
    assert seen.text.endswith("data: [DONE]\n\n")


@pytest.mark.parametrize("name", CHAT)
def test_refusals_have_their_status_in_the_servers_words(servers: ServerFactory, name: str) -> None:
    server = servers(name, models=["m"])
    for mode, status in STATUS.items():
        server.set_fault(mode, 7)
        seen = ask(server, CHAT[name])
        assert seen.status == STATUS_BY_SERVER.get((name, mode), status), mode
        assert "event-stream" not in seen.headers["content-type"]
        assert (seen.headers.get("retry-after") == "7") == (
            mode == "rate_429" or "retry-after" in seen.headers
        )
        if mode != "error_500" and "json" in seen.headers["content-type"]:
            assert isinstance(seen.json(), dict)
    for mode in IN_OWN_WORDS - set(STATUS):
        server.set_fault(mode)
        assert ask(server, CHAT[name]).status in (400, 404, 429, 500, 502)


@pytest.mark.parametrize("name", CHAT)
def test_streams_break_in_every_way_after_the_tokens_asked_for(servers: ServerFactory, name: str) -> None:
    server = servers(name, models=["m"])
    for mode in ("die_mid_stream", "cut_mid_stream"):
        server.set_fault(mode, 2)
        got, end = read_raw(server, CHAT[name])
        assert b'" said:"' in got
        assert b'" one"' not in got
        assert not got.endswith(b"0\r\n\r\n")
        assert end == ("reset" if mode == "die_mid_stream" else "closed")
    server.set_fault("eof_mid_stream", 2)
    seen = ask(server, CHAT[name])
    assert said(seen) == "You said:"
    assert "[DONE]" not in seen.text
    assert not any(c["finish_reason"] for e in seen.events() for c in e["choices"])
    server.set_fault("error_mid_stream", 2)
    seen = ask(server, CHAT[name])
    assert "[DONE]" not in seen.text
    errors = [event for event in seen.events() if "error" in event]
    assert len(errors) == (0 if name == "ollama" else 1)
    server.set_fault("stall_mid_stream", 2)
    assert read_raw(server, CHAT[name], deadline_s=0.2)[1] == "silent"
    assert server.wait_for("disconnect")["tokens_sent"] == 2


@pytest.mark.parametrize("name", CHAT)
def test_answers_that_no_such_server_would_give(servers: ServerFactory, name: str) -> None:
    server = servers(name, models=["m"])
    server.set_fault("html_200")
    seen = ask(server, CHAT[name])
    assert (seen.status, seen.headers["content-type"]) == (200, "text/html; charset=utf-8")
    server.set_fault("empty_200")
    seen = ask(server, CHAT[name])
    assert (seen.status, seen.body) == (200, b"")
    assert seen.headers["content-type"].startswith("text/event-stream")
    server.set_fault("json_error_200")
    assert ask(server, CHAT[name]).status == 200
    server.set_fault("garbage")
    seen = ask(server, CHAT[name])
    assert b"not json" in seen.body
    with pytest.raises(ValueError, match=r"."):
        seen.events()
    with pytest.raises(ValueError, match=r"."):
        ask(server, CHAT[name], stream=False).json()
    server.set_fault("empty_answer")
    seen = ask(server, CHAT[name])
    assert said(seen) == ""
    assert seen.text.endswith("data: [DONE]\n\n")
    server.set_fault("redirect", "http://127.0.0.1:9/x")
    seen = ask(server, CHAT[name])
    assert (seen.status, seen.headers["location"]) == (307, "http://127.0.0.1:9/x")


@pytest.mark.parametrize("name", ["lm_studio", "openrouter"])
def test_silence_in_every_place(servers: ServerFactory, name: str) -> None:
    server = servers(name, models=["m"])
    server.set_fault("hang")
    assert read_raw(server, CHAT[name], 0.2) == (b"", "silent")
    server.set_fault("hang_headers")
    got, end = read_raw(server, CHAT[name], 0.2)
    assert end == "silent"
    assert got.startswith(b"HTTP/1.1 200 OK")
    assert got.endswith(b"\r\n\r\n")
    server.set_fault("no_done")
    got, end = read_raw(server, CHAT[name], 0.2)
    assert end == "silent"
    assert b'"finish_reason":"stop"' in got
    assert b"[DONE]" not in got


@pytest.mark.parametrize("name", CHAT)
def test_whole_answers_break_half_way(servers: ServerFactory, name: str) -> None:
    server = servers(name, models=["m"])
    server.set_fault("error_mid_stream")
    seen = ask(server, CHAT[name], stream=False)
    if name == "openrouter":
        (choice,) = seen.json()["choices"]
        assert (seen.status, choice["finish_reason"], choice["error"]["code"]) == (200, "error", 502)
    else:
        assert seen.status in (400, 500, 502)
    server.set_fault("cut_mid_stream")
    with pytest.raises(http.client.IncompleteRead):
        ask(server, CHAT[name], stream=False)


def test_a_fault_counts_down_and_the_server_is_well_again(servers: ServerFactory) -> None:
    server = servers("llama_cpp", "--fault", "error_500*1")
    assert ask(server, "/v1/chat/completions").status == 500
    assert ask(server, "/v1/chat/completions").status == 200
    server.set_faults({"mode": "busy_503", "count": 2}, {"mode": "rate_429", "arg": "1", "count": 1})
    seen = [ask(server, "/v1/chat/completions").status for _ in range(4)]
    assert seen == [503, 503, 429, 200]


def test_a_fault_meets_only_the_requests_it_is_meant_for(servers: ServerFactory) -> None:
    server = servers("ollama", "--fault", "error_500@/api/tags")
    assert call(server.url, "GET", "/api/tags").status == 500
    assert call(server.url, "GET", "/api/version").status == 200
    server.set_fault("error_500")
    assert call(server.url, "GET", "/api/tags").status == 200
    server.set_fault("error_500", on="all")
    assert call(server.url, "GET", "/api/tags").status == 500
    server.set_fault()
    assert call(server.url, "GET", "/api/tags").status == 200


def test_loading_is_told_or_waited_for_and_then_over(servers: ServerFactory) -> None:
    llama = servers("llama_cpp", "--fault", "loading:60")
    seen = call(llama.url, "GET", "/health")
    assert seen.status == 503
    assert seen.json() == {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}
    ollama = servers("ollama", models=["m"])
    ollama.set_fault("loading", 1)
    assert call(ollama.url, "GET", "/api/ps").json() == {"models": []}
    assert ask(ollama, "/v1/chat/completions").status == 200
    assert len(call(ollama.url, "GET", "/api/ps").json()["models"]) == 1


def test_slow_accept_answers_after_a_while(servers: ServerFactory) -> None:
    server = servers("ollama", "--fault", "slow_accept:0.2")
    assert call(server.url, "GET", "/").status == 200
    assert server.wait_for("response")["after_s"] >= 0.2


def test_an_unknown_fault_is_refused_by_name(servers: ServerFactory) -> None:
    with pytest.raises(ValueError, match="no fault is called 'explode'"):
        servers("ollama").set_fault("explode")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hang", {"mode": "hang", "arg": "", "count": None, "on": "all"}),
        ("error_500*2", {"mode": "error_500", "arg": "", "count": 2, "on": "chat"}),
        ("rate_429:40:availability", {"arg": "40:availability", "variant": "availability"}),
        ("hang@/v1/models*1", {"on": "/v1/models", "count": 1}),
        ("redirect:http://127.0.0.1:9/x", {"arg": "http://127.0.0.1:9/x"}),
        ("error_500~2.5", {"mode": "error_500", "percent": 2.5, "count": None}),
    ],
)
def test_faults_are_written_in_one_line(text: str, expected: dict[str, Any]) -> None:
    fault = parse(text)
    assert {name: getattr(fault, name) for name in expected} == expected


@pytest.mark.parametrize("name", ["lm_studio", "ollama", "llama_cpp", "openai_compatible"])
def test_text_completions_have_their_own_shape(servers: ServerFactory, name: str) -> None:
    url = servers(name, models=["m"]).url
    body = {"model": "m", "prompt": "one"}
    whole = call(url, "POST", "/v1/completions", body).json()
    assert (whole["object"], whole["choices"][0]["text"]) == ("text_completion", "You said: one")
    seen = call(url, "POST", "/v1/completions", body | {"stream": True})
    assert "".join(event["choices"][0]["text"] for event in seen.events()) == "You said: one"


def test_a_share_of_the_requests_meets_a_fault_and_always_the_same_ones() -> None:
    def met() -> list[bool]:
        switch = FaultSwitch([parse("error_500~5")])
        return [switch.take("/", chat=True) is not None for _ in range(1000)]

    assert 30 < sum(met()) < 70
    assert met() == met()


def test_the_manual_names_every_mode_and_every_option() -> None:
    manual = tests.servers.__doc__ or ""
    assert [mode for mode in sorted(MODES) if not re.search(rf"\b{mode}\b", manual)] == []
    options: set[str] = set()
    for name in [*CHAT, "gpt4all", "anthropic", "gemini", "impostor"]:
        server = importlib.import_module(f"tests.servers.{name}").SERVER
        options |= {
            option for each in common_options(server, name)._actions for option in each.option_strings
        }
    missing = {option for option in options if not re.search(rf"{option}(?![\w-])", manual)}
    assert missing == {"-h", "--help"}
