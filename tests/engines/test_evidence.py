"""What the kernel and the system can be asked about the end of a process."""

import errno
import os
import socket
import sys
from pathlib import Path

import pytest

from whisper_desktop.engines.evidence import Before, forbids_port, gather, port_error
from whisper_desktop.machine.host import Host

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's counters are Linux's")


def computer(root: Path, files: dict[str, str]) -> Host:
    """A folder that looks like one."""
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return Host(root=root)


def counters(kind: str, own: int, everywhere: int) -> dict[str, str]:
    """The kernel's files, as control groups of version 1, 2 and in a container show them."""
    events = f"low 0\nhigh 3\nmax 12\noom 2\noom_kill {own}\noom_group_kill 0\n"
    vmstat = {"proc/vmstat": f"nr_free_pages 81\noom_kill {everywhere}\n"}
    match kind:
        case "version 2":
            groups = "0::/user.slice/app-whisper.scope\n"
            return vmstat | {
                "proc/self/cgroup": groups,
                "proc/77/cgroup": groups,
                "sys/fs/cgroup/user.slice/memory.events": "oom_kill 41\n",
                "sys/fs/cgroup/user.slice/app-whisper.scope/memory.events": events,
            }
        case "version 1":
            groups = "4:memory:/app\n0::/\n"
            return vmstat | {
                "proc/self/cgroup": groups,
                "proc/77/cgroup": groups,
                "sys/fs/cgroup/memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 41\n",
                "sys/fs/cgroup/memory/app/memory.oom_control": f"under_oom 0\noom_kill {own}\n",
            }
        case "container":
            groups = "0::/../../not/here\n"
            return vmstat | {
                "proc/self/cgroup": groups,
                "proc/77/cgroup": groups,
                "sys/fs/cgroup/memory.events": events,
            }
    return vmstat


@pytest.mark.parametrize("kind", ["version 2", "version 1", "container"])
def test_a_kill_in_the_group_is_counted(kind: str, tmp_path: Path) -> None:
    before = Before.now(host=computer(tmp_path, counters(kind, own=3, everywhere=50)))
    after = computer(tmp_path, counters(kind, own=4, everywhere=51))
    assert before.kills_since(after) == 1


@pytest.mark.parametrize("kind", ["version 2", "version 1", "container"])
def test_a_kill_elsewhere_is_nothing_to_a_process_whose_group_counts(kind: str, tmp_path: Path) -> None:
    before = Before.now(77, computer(tmp_path, counters(kind, own=3, everywhere=50)))
    after = computer(tmp_path, counters(kind, own=3, everywhere=60))
    assert before.kills_since(after) == 0


def test_a_kill_anywhere_counts_while_the_process_s_group_is_not_known(tmp_path: Path) -> None:
    before = Before.now(host=computer(tmp_path, counters("version 2", own=3, everywhere=50)))
    after = computer(tmp_path, counters("version 2", own=3, everywhere=51))
    assert before.kills_since(after) == 1


def test_without_counters_nothing_is_said(tmp_path: Path) -> None:
    before = Before.now(host=computer(tmp_path, {}))
    assert before.kills_since(computer(tmp_path, counters("version 2", own=9, everywhere=9))) is None


def test_where_only_the_whole_computer_counts_that_is_used(tmp_path: Path) -> None:
    before = Before.now(77, computer(tmp_path, counters("none", own=0, everywhere=50)))
    assert before.kills_since(computer(tmp_path, counters("none", own=0, everywhere=52))) == 2


def test_this_kernel_counts() -> None:
    assert Before.now().everywhere is not None
    assert Before.now(os.getpid()).kills_since() == 0


def test_the_facts_of_an_end_are_gathered(tiny_model: Path) -> None:
    evidence = gather(Before.now(), code=-9, lines=["one"], ready=True, peak_bytes=7, model=tiny_model)
    assert (evidence.code, evidence.lines, evidence.ready, evidence.peak_bytes) == (-9, ("one",), True, 7)
    assert evidence.available_bytes is not None
    assert evidence.available_bytes > 0
    assert evidence.oom_kills == 0
    assert evidence.header is not None
    assert evidence.header.architecture == "llama"


def test_a_model_that_cannot_be_read_is_simply_not_known(tmp_path: Path) -> None:
    (tmp_path / "broken.gguf").write_bytes(b"GGUF but not really")
    for name in ("broken.gguf", "missing.gguf", "."):
        assert gather(Before.now(), code=1, lines=(), model=tmp_path / name).header is None


CANNOT_LISTEN = "0.00.002.945 E srv start: couldn't bind HTTP server socket, hostname: 127.0.0.1, port: {}"


def test_the_system_is_asked_about_a_port_that_was_refused() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        refused = gather(Before.now(), code=1, lines=[CANNOT_LISTEN.format(port)], port=port)
        unasked = gather(Before.now(), code=1, lines=["fine"], port=port)
    assert refused.port_error == errno.EADDRINUSE
    assert unasked.port_error is None
    assert port_error(port) is None


def test_a_port_of_the_administrator_s_is_forbidden() -> None:
    least = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    if least < 2:
        pytest.skip("every port may be used here")
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)  # nobody
    try:
        assert port_error(least - 1) == errno.EACCES
    finally:
        if root:
            os.seteuid(0)


def test_forbidden_is_not_taken() -> None:
    assert forbids_port(errno.EACCES)
    assert forbids_port(10013)
    assert not forbids_port(errno.EADDRINUSE)
    assert not forbids_port(None)
