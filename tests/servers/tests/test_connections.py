"""Faults of the connection and of time: what breaks before, between and after answers."""

import contextlib
import errno
import http.client
import json
import socket
import time

import pytest

from tests.servers.faults import Fault, FaultSwitch
from tests.servers.fixtures import ServerFactory
from tests.servers.launch import start
from tests.servers.probe import call
from tests.servers.tests.test_faults import CHAT, ask, read_raw, said

V1 = "/v1/chat/completions"
BODY = b'{"model":"m","messages":[{"role":"user","content":"x"}]}'
POST = b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s" % (V1.encode(), len(BODY), BODY)


@pytest.mark.parametrize(
    ("mode", "end"), [("reset_before_headers", "reset"), ("close_before_headers", "closed")]
)
@pytest.mark.parametrize("name", ["lm_studio", "openrouter"])
def test_a_connection_ends_before_the_headers(servers: ServerFactory, name: str, mode: str, end: str) -> None:
    server = servers(name, "--fault", f"{mode}*1", models=["m"])
    assert read_raw(server, CHAT[name]) == (b"", end)
    assert len(server.requests()) == 1
    assert ask(server, CHAT[name]).status == 200


def test_a_kept_connection_closes_so_long_after_its_answer(servers: ServerFactory) -> None:
    server = servers("lm_studio", "--fault", "close_after:60", models=["m"])
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as sock:
        sock.sendall(POST)
        head = sock.recv(65536)
        answered = time.monotonic()
        assert b"Keep-Alive: timeout=5" in head
        while sock.recv(65536):
            pass
        assert 0.03 < time.monotonic() - answered < 1


def test_a_kept_connection_closes_in_the_face_of_the_next_request(servers: ServerFactory) -> None:
    server = servers("lm_studio", "--fault", "close_after:30*1", models=["m"], port=0)
    server.set_faults(
        {"mode": "close_after", "arg": 30, "count": 1}, {"mode": "hang", "count": 1, "on": "chat"}
    )
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as sock:
        sock.sendall(POST)
        assert sock.recv(65536)
        sock.sendall(POST)
        with contextlib.suppress(ConnectionResetError):
            assert sock.recv(65536) == b""
    server.wait_for("disconnect")


def test_a_full_backlog_drops_handshakes(servers: ServerFactory) -> None:
    server = servers("impostor", "--mode", "syn_backlog")
    with socket.socket() as sock:
        sock.settimeout(0.3)
        with pytest.raises(TimeoutError):
            sock.connect(("127.0.0.1", server.port))
    assert server.log("connection") == []


def test_flapping_goes_up_and_down_and_up(servers: ServerFactory) -> None:
    server = servers("lm_studio")

    def listens() -> bool:
        with socket.socket() as sock:
            found = sock.connect_ex(("127.0.0.1", server.port))
            assert found in (0, errno.ECONNREFUSED)
            return found == 0

    server.set_fault("flapping", "0.2:0.2")
    seen = [listens()]
    deadline = time.monotonic() + 5
    while len(seen) < 5 and time.monotonic() < deadline:
        if (now := listens()) != seen[-1]:
            seen.append(now)
        time.sleep(0.01)
    assert seen == [True, False, True, False, True]
    server.set_fault()
    time.sleep(0.3)  # longer than it stays up: now it stays
    assert listens()


def test_outages_are_times_up_and_down() -> None:
    flaps = FaultSwitch([Fault("error_500"), Fault("flapping", "2:3")]).outages()
    assert [next(flaps), next(flaps)] == [(2.0, 3.0), (2.0, 3.0)]
    assert list(FaultSwitch([Fault("refuse", "4")]).outages()) == [(0.0, 4.0)]
    assert list(FaultSwitch([Fault("refuse")]).outages()) == [(0.0, None)]


RETRY_AFTER: list[tuple[str, dict[str, str]]] = [
    ("2", {"retry-after": "2"}),
    ("0", {"retry-after": "0"}),
    ("-1", {"retry-after": "-1"}),
    ("nan", {"retry-after": "nan"}),
    ("1e400", {"retry-after": "1e400"}),
    ("soon", {"retry-after": "soon"}),
    ("Wed, 21 Oct 2026 07:28:00 GMT", {"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}),
    ("retry-after-ms=1500", {"retry-after-ms": "1500"}),
    (
        "Retry-After=Wed, 21 Oct 2026 07:28:00 GMT|Date=Wed, 21 Oct 2026 07:27:58 GMT",
        {
            "retry-after": "Wed, 21 Oct 2026 07:28:00 GMT",
            "date": "Wed, 21 Oct 2026 07:27:58 GMT",
        },
    ),
]


@pytest.mark.parametrize("name", ["openai_compatible", "lm_studio", "ollama", "llama_cpp", "openrouter"])
def test_retry_after_comes_as_it_was_given(servers: ServerFactory, name: str) -> None:
    server = servers(name, models=["m"])
    for arg, headers in RETRY_AFTER:
        server.set_fault("rate_429", arg)
        seen = ask(server, CHAT[name])
        assert seen.status == 429
        assert headers.items() <= seen.headers.items()
    with start(name, "--fault", f"rate_429:{RETRY_AFTER[-1][0]}", models=["m"]) as told_at_start:
        assert RETRY_AFTER[-1][1].items() <= ask(told_at_start, CHAT[name]).headers.items()


def test_a_spent_quota_hides_in_a_429(servers: ServerFactory) -> None:
    seen = ask(servers("openai_compatible", "--fault", "quota_429", models=["m"]), V1)
    assert (seen.status, seen.json()["error"]["code"]) == (429, "insufficient_quota")


def test_busy_for_a_while_and_then_well_again(servers: ServerFactory) -> None:
    server = servers("lm_studio", models=["m"])
    server.set_fault("busy_for", "0.5:1")
    assert ask(server, V1).status == 503
    assert call(server.url, "GET", "/v1/models").status == 503
    time.sleep(0.5)
    assert ask(server, V1).status == 200


def test_a_login_page_redirects(servers: ServerFactory) -> None:
    seen = ask(servers("lm_studio", "--fault", "login_302", models=["m"]), V1)
    assert (seen.status, seen.headers["location"]) == (302, "/login")


@pytest.mark.parametrize("name", ["llama_cpp", "ollama", "openrouter"])
def test_an_error_comes_before_all_else_or_after_the_role(servers: ServerFactory, name: str) -> None:
    server = servers(name, models=["m"])
    server.set_fault("error_first")
    first = ask(server, CHAT[name]).events()
    assert len(first) == 1
    server.set_fault("error_mid_stream", 0)
    after_role = ask(server, CHAT[name])
    assert said(after_role) == ""
    assert len(after_role.events()) == (2 if name == "llama_cpp" else 1)


@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("name", ["lm_studio", "ollama"])
def test_broken_events_come_between_whole_ones(servers: ServerFactory, name: str, count: int) -> None:
    server = servers(name, "--tokens", "4", "--fault", f"malformed:2:{count}", models=["m"])
    seen = ask(server, V1)
    good, bad = [], 0
    for line in seen.text.split("\n"):
        if line.startswith("data: {"):
            try:
                good.append(json.loads(line[6:]))
            except ValueError:
                bad += 1
                assert len(good) == (3 if name == "lm_studio" else 2)
    assert bad == count
    text = "".join(c["delta"].get("content") or "" for event in good for c in event["choices"])
    assert text == "word0 word1 word2 word3"
    assert seen.text.endswith("data: [DONE]\n\n")


def test_ndjson_breaks_in_its_own_form(servers: ServerFactory) -> None:
    server = servers("ollama", "--fault", "malformed:1", models=["m"])
    lines = ask(server, "/api/chat").text.split("\n")
    assert lines[1] == '{"message":{"content":"Hel'
    assert json.loads(lines[2])["done"] is False


def test_the_end_mark_may_come_without_a_finish_reason_or_the_other_way_round(
    servers: ServerFactory,
) -> None:
    server = servers("lm_studio", models=["m"])
    server.set_fault("no_finish")
    seen = ask(server, V1)
    assert said(seen) == "You said: one two three"
    assert seen.text.endswith("data: [DONE]\n\n")
    assert not any(c["finish_reason"] for e in seen.events() for c in e["choices"])
    server.set_fault("no_done", "close")
    seen = ask(server, V1)
    assert seen.events()[-1]["choices"][0]["finish_reason"] == "stop"
    assert "[DONE]" not in seen.text


@pytest.mark.parametrize(
    ("path", "comment"), [("/v1/chat/completions", b": keep-alive\n\n"), ("/api/chat", b"\n")]
)
def test_nothing_but_comments(servers: ServerFactory, path: str, comment: bytes) -> None:
    server = servers("ollama", "--fault", "comments_only:0.01", models=["m"])
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    connection.request("POST", path, BODY.replace(b"{", b'{"stream":true,', 1))
    answer = connection.getresponse()
    assert [answer.read(len(comment)) for _ in range(5)] == [comment] * 5
    connection.close()


def test_a_flood_is_as_long_as_asked_and_ends_well(servers: ServerFactory) -> None:
    server = servers("lm_studio", "--fault", "flood:2000000", models=["m"])
    seen = ask(server, V1)
    assert 2_000_000 < len(seen.body) < 2_200_000
    assert said(seen).count("You said: one two three") > 1000
    assert seen.text.endswith("data: [DONE]\n\n")


def test_one_event_can_be_huge(servers: ServerFactory) -> None:
    server = servers("lm_studio", "--fault", "huge_event:1", models=["m"])
    assert said(ask(server, V1)) == "x" * 2**20 + "You said: one two three"
