"""The processes themselves: how they start, listen, refuse, log and end."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.parse

import pytest

from tests.servers.fixtures import ServerFactory
from tests.servers.launch import ROOT, start
from tests.servers.probe import call, raw

NAMES = (
    "lm_studio",
    "ollama",
    "llama_cpp",
    "openrouter",
    "openai_compatible",
    "jan",
    "gpt4all",
    "koboldcpp",
    "textgen",
    "localai",
    "lemonade",
    "docker_model_runner",
)


@pytest.mark.parametrize("name", NAMES)
def test_every_server_announces_where_it_listens(servers: ServerFactory, name: str) -> None:
    server = servers(name)
    assert server.url == f"http://127.0.0.1:{server.port}"
    assert raw(server.url, b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n").startswith(
        b"HTTP/1.1 "
    )


def test_a_server_ends_when_its_standard_input_ends() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.servers.ollama"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin
    assert process.stdout
    with process.stdin, process.stdout:
        said = json.loads(process.stdout.readline())
        assert said["pid"] == process.pid
        process.stdin.close()
        try:
            assert process.wait(5) == 0
        finally:
            process.kill()


def test_stop_ends_the_process_even_while_a_request_hangs(servers: ServerFactory) -> None:
    server = servers("ollama", "--fault", "hang")
    with socket.create_connection(("127.0.0.1", server.port)) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        server.wait_for("request")
        began = time.monotonic()
        server.stop()
        assert time.monotonic() - began < 2
    with pytest.raises(ProcessLookupError):
        os.kill(server.pid, 0)


def test_a_server_that_cannot_start_says_why() -> None:
    with pytest.raises(RuntimeError, match="no fault is called 'nonsense'"):
        start("ollama", "--fault", "nonsense")


def test_one_port_on_both_loopback_addresses(servers: ServerFactory) -> None:
    server = servers("ollama", host="127.0.0.1,::1")
    assert call(f"http://127.0.0.1:{server.port}", "GET", "/").text == "Ollama is running"
    assert call(f"http://[::1]:{server.port}", "GET", "/").text == "Ollama is running"


def test_many_servers_share_one_process_and_keep_their_logs_apart(servers: ServerFactory) -> None:
    first, second = servers.many(("ollama", []), ("llama_cpp", ["--auth", "k"]))
    assert first.pid == second.pid
    assert call(second.url, "GET", "/props").status == 401
    assert call(first.url, "GET", "/api/version").json() == {"version": "0.33.0"}
    assert [entry["path"] for entry in first.requests()] == ["/api/version"]
    assert [entry["path"] for entry in second.requests()] == ["/props"]


def test_delay_listen_refuses_and_then_serves(servers: ServerFactory) -> None:
    server = servers("ollama", "--delay-listen", "0.3")
    with pytest.raises(ConnectionRefusedError):
        call(server.url, "GET", "/")
    deadline = time.monotonic() + 5
    while True:
        try:
            assert call(server.url, "GET", "/").status == 200
            break
        except ConnectionRefusedError:
            assert time.monotonic() < deadline


def test_refuse_breaks_open_connections_and_comes_back_on_the_same_port(servers: ServerFactory) -> None:
    server = servers("ollama")
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as sock:
        server.set_fault("refuse", 0.3)
        with pytest.raises(ConnectionResetError):
            sock.recv(1)
    with pytest.raises(ConnectionRefusedError):
        call(server.url, "GET", "/")
    deadline = time.monotonic() + 5
    while True:
        try:
            assert call(server.url, "GET", "/").status == 200
            break
        except ConnectionRefusedError:
            assert time.monotonic() < deadline


def test_the_log_proves_what_was_sent(servers: ServerFactory) -> None:
    server = servers("lm_studio")
    body = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
    call(server.url, "POST", "/v1/chat/completions", body, {"Authorization": "Bearer secret"})
    (entry,) = server.requests("/v1/chat/completions")
    assert entry["method"] == "POST"
    assert entry["headers"]["authorization"] == "Bearer secret"
    assert entry["body"] == body
    assert server.wait_for("response")["status"] == 200
    assert [each["event"] for each in server.log()] == ["connection", "request", "response"]
    assert call(server.url, "GET", "/__test__/log").json()[1]["body"] == body


def test_a_client_that_leaves_early_is_noticed_at_once(servers: ServerFactory) -> None:
    server = servers("ollama", "--tokens", "1000", "--token-delay", "0.02")
    body = json.dumps({"model": "llama3.2", "messages": [{"role": "user", "content": "hello"}]}).encode()
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as sock:
        sock.sendall(b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body))
        sock.sendall(body)
        while b"word2" not in sock.recv(65536):
            pass
    left = server.wait_for("disconnect")
    assert 3 <= left["tokens_sent"] < 100
    assert left["path"] == "/api/chat"
    assert server.log("response") == []


def test_an_idle_connection_is_closed_where_the_server_does_so(servers: ServerFactory) -> None:
    server = servers("lm_studio", "--keep-alive", "0.1")
    got = raw(server.url, b"GET /lmstudio-greeting HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert got.endswith(b'{"lmstudio":true}')


def test_pipelined_and_chunked_requests_are_understood(servers: ServerFactory) -> None:
    server = servers("ollama")
    body = b'{"model":"llama3.2"}'
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    got = raw(
        server.url,
        b"POST /api/show HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        + chunked
        + b"GET /api/version HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    )
    assert got.count(b"HTTP/1.1 200 OK") == 2
    assert b"model_info" in got
    assert got.endswith(b'{"version":"0.33.0"}')


def test_what_is_not_http_gets_a_400(servers: ServerFactory) -> None:
    server = servers("ollama")
    assert raw(server.url, b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n").startswith(b"HTTP/1.1 400")
    assert server.wait_for("malformed")["detail"]


def test_models_change_while_it_runs(servers: ServerFactory) -> None:
    server = servers("ollama")
    server.set_models([{"id": "other:1b", "capabilities": ["completion"]}])
    (only,) = call(server.url, "GET", "/api/tags").json()["models"]
    assert (only["name"], only["capabilities"]) == ("other:1b", ["completion"])
    with pytest.raises(ValueError, match="a model has no weight"):
        server.set_models([{"id": "x", "weight": 1}])


def test_starting_is_quick_enough_for_hundreds_of_tests(servers: ServerFactory) -> None:
    """No stopwatch: what would make it slow is an import, and only the standard library is imported."""
    code = "import sys, tests.servers.lm_studio as m; print(','.join(sorted(sys.modules)))"
    loaded = subprocess.run(
        [sys.executable, "-S", "-E", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
    packages = {name.split(".")[0] for name in loaded.split(",")}
    assert packages - set(sys.stdlib_module_names) <= {"__main__", "tests"}
    assert urllib.parse.urlsplit(servers("lm_studio").url).scheme == "http"
