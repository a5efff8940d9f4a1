"""Serves a guide file as the app does: the built-in engine in a child process. For evaluation and tests."""

import http.client
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from whisper_desktop.engines.command import child_command, child_folder, engine_flags, scrubbed
from whisper_desktop.engines.launch import free_port
from whisper_desktop.engines.spec import TRAINED_CONTEXT, EngineSpec
from whisper_desktop.values import Deadlines


@contextmanager
def serving(model: Path) -> Iterator[str]:
    """The address of a server with `model`. It ends with the block, and with this process, however that ends.

    Raises `RuntimeError` when it does not become ready.
    """
    spec = EngineSpec(model, alias="guide", n_ctx=TRAINED_CONTEXT, threads=1)
    port = free_port()
    command = child_command(spec, engine_flags(spec, port), owner_pid=os.getpid(), nonce="evaluation")
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=child_folder(),
        env=scrubbed(os.environ),
    ) as child:
        try:
            _wait_until_healthy(child, port)
            yield f"http://127.0.0.1:{port}"
        finally:
            child.kill()


def _wait_until_healthy(child: subprocess.Popen[bytes], port: int) -> None:
    until = time.monotonic() + Deadlines().engine_start
    while time.monotonic() < until and child.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/health")
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(Deadlines().engine_poll)
    raise RuntimeError(f"the engine did not become ready; its exit code is {child.poll()}")
