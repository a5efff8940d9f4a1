"""The programs that are no LLM servers."""

import contextlib
import http.client
import socket

import pytest

from tests.servers.fixtures import ServerFactory
from tests.servers.probe import call, raw

GET = b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n"
PATHS = ("/", "/v1/models", "/api/tags", "/lmstudio-greeting", "/props")


@pytest.mark.parametrize(
    ("mode", "status"),
    [
        ("spa_html_200", 200),
        ("airplay_403", 403),
        ("express_200", 200),
        ("redirect_loop", 302),
        ("redirect_to_elsewhere", 307),
        ("json_list", 200),
        ("empty_401", 401),
    ],
)
def test_one_answer_for_every_path(servers: ServerFactory, mode: str, status: int) -> None:
    url = servers("impostor", "--mode", mode).url
    seen = [call(url, "GET", path) for path in PATHS]
    assert {each.status for each in seen} == {status}
    if mode == "express_200":
        assert {each.headers["x-powered-by"] for each in seen} == {"Express"}
    if mode == "spa_html_200":
        assert all(b"<html>" in each.body for each in seen)


def test_redirects_go_in_circles_or_away(servers: ServerFactory) -> None:
    loop = servers("impostor", "--mode", "redirect_loop").url
    assert [call(loop, "GET", path).headers["location"] for path in ("/", "/a", "/b")] == ["/a", "/b", "/a"]
    away = servers("impostor", "--mode", "redirect_to_elsewhere", "--elsewhere", "http://127.0.0.1:9/").url
    assert call(away, "GET", "/v1/models?x=1").headers["location"] == "http://127.0.0.1:9/v1/models?x=1"


def test_the_ollama_imitator_has_the_root_but_no_version_and_no_chat(servers: ServerFactory) -> None:
    url = servers("impostor", "--mode", "ollama_imitator").url
    assert call(url, "GET", "/").text == "Ollama is running"
    assert call(url, "GET", "/api/version").json() == {"version": "proxy"}
    assert call(url, "POST", "/api/chat", {}).status == 404


@pytest.mark.parametrize("mode", ["hang_accept", "hang_request"])
def test_what_hangs_never_says_a_byte_and_logs_when_the_client_leaves(
    servers: ServerFactory, mode: str
) -> None:
    server = servers("impostor", "--mode", mode)
    with pytest.raises(TimeoutError):
        raw(server.url, GET, 0.2)
    server.wait_for("disconnect")


@pytest.mark.parametrize(
    ("mode", "first"),
    [("hang_headers", b"HTTP/1.1 200 OK"), ("trickle", b"HTTP/1.1 200 OK"), ("trickle_headers", b"H")],
)
def test_headers_without_a_body_and_bytes_by_the_second(
    servers: ServerFactory, mode: str, first: bytes
) -> None:
    server = servers("impostor", "--mode", mode)
    got = b""
    with socket.create_connection(("127.0.0.1", server.port), timeout=0.3) as sock:
        sock.sendall(GET)
        with contextlib.suppress(TimeoutError):
            while piece := sock.recv(65536):
                got += piece
    assert got.startswith(first)
    assert len(got.split(b"\r\n\r\n")[-1]) <= 1


def test_the_huge_body_says_how_huge_it_is(servers: ServerFactory) -> None:
    server = servers("impostor", "--mode", "huge_200mb")
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    connection.request("GET", "/v1/models")
    answer = connection.getresponse()
    assert answer.getheader("content-length") == str(200 * 1024 * 1024)
    assert answer.read(20).startswith(b'{"data":["xxx')
    connection.close()
    server.wait_for("disconnect")


def test_other_protocols(servers: ServerFactory) -> None:
    assert raw(servers("impostor", "--mode", "non_http").url, GET).startswith(b"SSH-2.0-OpenSSH")
    assert raw(servers("impostor", "--mode", "garbage").url, GET).startswith(bytes(range(256)))
    closes = servers("impostor", "--mode", "closes_at_once")
    with socket.create_connection(("127.0.0.1", closes.port), timeout=5) as sock:
        assert sock.recv(1) == b""
    with pytest.raises(ConnectionResetError):
        raw(servers("impostor", "--mode", "resets_at_once").url, GET)


def test_an_impostor_has_no_test_paths(servers: ServerFactory) -> None:
    assert call(servers("impostor", "--mode", "ollama_imitator").url, "GET", "/__test__/log").status == 404
