"""The port arbiter: who has a port, and whether to adopt what answers there."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.discovery.looking import PATIENT
from tests.ports import closed_port
from tests.servers.fixtures import ServerFactory
from whisper_desktop.discovery.owners import (
    Claim,
    Listener,
    Owner,
    Verdict,
    Whose,
    arbitrate,
    describe_owner,
    owner_behind,
    owner_of,
    psutil_listeners,
    read_table,
)
from whisper_desktop.engines import orphans
from whisper_desktop.wire.http import Http


@pytest.fixture
def port() -> int:
    return closed_port()


def listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    sock.bind((host, port))
    sock.listen()
    return sock


LISTEN = """
import socket, sys
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print(flush=True)
while True:
    server.accept()
"""


@pytest.fixture
def stranger(port: int, tmp_path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A program of somebody's own, a script that listens on `port`."""
    script = tmp_path / "server.py"
    script.write_text(LISTEN)
    with subprocess.Popen([sys.executable, "-S", str(script), str(port)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


# --- who it is --------------------------------------------------------------------------------------------


def test_nobody_has_a_port_that_is_free(port: int) -> None:
    assert owner_of(port) is None
    assert describe_owner(port) == ""


def test_a_script_is_named_with_its_interpreter_and_process(
    port: int, stranger: "subprocess.Popen[bytes]"
) -> None:
    owner = owner_of(port)
    assert owner is not None
    assert (owner.whose, owner.pid, owner.address) == (Whose.THIS_USER, stranger.pid, "127.0.0.1")
    assert describe_owner(port) == f"It belongs to {owner.program} (process {stranger.pid})."
    assert owner.program is not None
    assert owner.program.startswith("python")
    assert owner.program.endswith(" server.py")


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::1", "::"])
def test_every_way_of_listening_here_is_seen(host: str, port: int) -> None:
    with listening(host, port):
        owner = owner_of(port)
        assert owner is not None
        assert (owner.address, owner.pid) == (host, os.getpid())
    assert owner_of(port) is None


def test_of_two_that_share_a_port_the_one_in_the_way_is_told(
    port: int, stranger: "subprocess.Popen[bytes]"
) -> None:
    with listening("::1", port):
        owner = owner_of(port)
    assert owner is not None
    assert owner.pid == stranger.pid


def test_a_connection_is_no_listener(port: int) -> None:
    with listening("127.0.0.1", port) as server, socket.create_connection(("127.0.0.1", port)) as client:
        assert owner_of(client.getsockname()[1]) is None
        assert server.fileno() > 0


def test_an_engine_of_ours_is_known_by_its_record_and_only_while_that_is_true(
    port: int, stranger: "subprocess.Popen[bytes]"
) -> None:
    record = orphans.remember("qwen", stranger.pid, "nonce")
    owner = owner_of(port)
    assert owner is not None
    assert owner.whose is Whose.OURS
    assert owner.words == f"this app itself, through {owner.program} (process {stranger.pid})"
    assert record is not None
    record.write_text(json.dumps({**json.loads(record.read_text()), "started": "another boot:1"}))
    owner = owner_of(port)
    assert owner is not None
    assert owner.whose is Whose.THIS_USER


def test_a_child_of_an_engine_of_ours_is_ours(port: int) -> None:
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-S', '-c', {LISTEN!r}, sys.argv[1]])"
    with subprocess.Popen([sys.executable, "-S", "-c", code, str(port)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        orphans.remember("qwen", process.pid, "nonce")
        owner = owner_of(port)
        for child in psutil.Process(process.pid).children():
            child.kill()
        process.kill()
    assert owner is not None
    assert owner.pid != process.pid
    assert owner.whose is Whose.OURS


def test_without_rights_the_other_user_is_named_if_not_the_program() -> None:
    hidden = Listener("127.0.0.1", 11434, uid=0, inode=1)
    owner = owner_behind(hidden, own_uid=12345)
    assert (owner.whose, owner.user) == (Whose.OTHER_USER, "root")
    assert owner.words == "a program of another user (root)"
    assert owner_behind(hidden, own_uid=0).whose is Whose.UNKNOWN
    assert owner_behind(Listener("127.0.0.1", 1), own_uid=None).whose is Whose.UNKNOWN


# --- recorded tables --------------------------------------------------------------------------------------

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
QUEUES = "00000000:00000000 00:00000000 00000000"
TCP = f"""{HEAD}\
   0: 0100007F:2CAA 00000000:0000 0A {QUEUES}   998        0 31337 1 0000000000000000 100 0 0 10 0
   1: 00000000:04D2 00000000:0000 0A {QUEUES}  1000        0 41414 1 0000000000000000 100 0 0 10 0
   2: 0100007F:04D2 0100007F:C001 01 {QUEUES}  1000        0 51515 1 0000000000000000 20 4 30 10 -1
   3: garbage
"""
NOWHERE = f"{0:032}:0000"
TCP6 = f"""{HEAD}\
   0: 00000000000000000000000001000000:1F90 {NOWHERE} 0A {QUEUES}     0        0 777 1 0000000000000000
   1: 0000000000000000FFFF00000100007F:1F91 {NOWHERE} 0A {QUEUES}     0        0 778 1 0000000000000000
"""


@pytest.mark.skipif(sys.byteorder != "little", reason="recorded on a little-endian machine")
def test_the_kernels_table_is_read() -> None:
    assert list(read_table(TCP)) == [
        Listener("127.0.0.1", 11434, uid=998, inode=31337),
        Listener("0.0.0.0", 1234, uid=1000, inode=41414),
    ]
    assert list(read_table(TCP6)) == [
        Listener("::1", 8080, uid=0, inode=777),
        Listener("127.0.0.1", 8081, uid=0, inode=778),
    ]


def test_what_psutil_tells_on_other_systems_is_read() -> None:
    recorded = [
        ("LISTEN", ("127.0.0.1", 11434), 812),
        ("LISTEN", ("*", 1234), 913),
        ("LISTEN", ("::", 8080), 0),  # Windows: a process that may not be looked at
        ("ESTABLISHED", ("127.0.0.1", 11434), 812),
        ("LISTEN", (), 5),
    ]
    assert list(psutil_listeners(recorded)) == [  # type: ignore[arg-type]  # as tuples of no certain length
        Listener("127.0.0.1", 11434, 812),
        Listener("0.0.0.0", 1234, 913),
        Listener("::", 8080, None),
    ]


@pytest.mark.parametrize(
    ("owner", "words"),
    [
        (Owner(1, "::", Whose.THIS_USER, "node", 4121), "node (process 4121)"),
        (Owner(1, "::", Whose.OTHER_USER, None, None, "ollama"), "a program of another user (ollama)"),
        (Owner(1, "::", Whose.OTHER_USER), "a program of another user"),
        (
            Owner(1, "::", Whose.OTHER_USER, "ollama", 77, "ollama"),
            "ollama (process 77 of the user ollama)",
        ),
        (Owner(1, "::", Whose.UNKNOWN), "a program that this system does not name"),
    ],
)
def test_it_is_named_as_far_as_it_can_be(owner: Owner, words: str) -> None:
    assert owner.words == words


# --- what to do about it ----------------------------------------------------------------------------------


async def claim(port: int, wanted: str | None = None) -> Claim:
    http = Http(allow_network=False)
    try:
        return await arbitrate(port, http=http, deadlines=PATIENT, wanted=wanted)
    finally:
        await http.aclose()


async def test_a_free_port_is_free(port: int) -> None:
    found = await claim(port)
    assert found.verdict is Verdict.FREE
    assert found.sentence == f"Port {port} is free."


@pytest.mark.parametrize(("name", "version"), [("lm_studio", None), ("ollama", "0.33.0")])
async def test_a_known_server_is_adopted_with_name_process_and_version(
    servers: ServerFactory, name: str, version: str | None
) -> None:
    server = servers(name)
    found = await claim(server.port, name)
    assert found.verdict is Verdict.ADOPT
    assert found.server is not None
    assert (found.server.id, found.server.version) == (name, version)
    assert found.owner is not None
    assert found.owner.pid == server.pid
    shown = {"lm_studio": "LM Studio", "ollama": "Ollama 0.33.0"}[name]
    assert found.sentence == f"{shown} answers on port {server.port}: {found.owner.words}."


async def test_another_server_than_the_wanted_one_is_in_the_way(servers: ServerFactory) -> None:
    server = servers("ollama")
    assert (await claim(server.port, "lm_studio")).verdict is Verdict.TAKEN
    assert (await claim(server.port)).verdict is Verdict.ADOPT


async def test_a_program_that_does_not_speak_is_named_all_the_same(
    port: int, stranger: "subprocess.Popen[bytes]"
) -> None:
    found = await claim(port, "lm_studio")
    assert found.verdict is Verdict.TAKEN
    assert found.server is None
    assert f"Port {port} is taken by python" in found.sentence
    assert f"server.py (process {stranger.pid})" in found.sentence


async def test_a_port_that_only_the_system_keeps_is_taken_too(port: int) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", port))  # and nobody listens, as behind the border of a virtual machine
        found = await claim(port)
    assert found.verdict is Verdict.TAKEN
    assert found.sentence == f"Port {port} is taken by a program that this system does not name."
