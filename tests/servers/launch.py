"""Starts test servers as processes of their own and stops them again."""

import contextlib
import http.client
import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
START_DEADLINE_S = 10.0
STOP_DEADLINE_S = 3.0


class RunningServer:
    """A server that listens. `url` is its root without a slash at the end; use it as a context manager."""

    def __init__(
        self, name: str, process: subprocess.Popen[bytes], facts: Mapping[str, Any], folder: str, log: str
    ) -> None:
        self.name = name
        self.url: str = facts["url"]
        self.port: int = facts["port"]
        self.pid: int = facts["pid"]
        self._process = process
        self._folder = folder
        self._log = Path(log)

    def __repr__(self) -> str:
        return f"<{self.name} at {self.url}>"

    def log(self, event: str | None = None) -> list[dict[str, Any]]:
        """What the server saw so far, oldest first; only one kind of event where it is named.

        Kinds: connection, request, response, disconnect, malformed (see `request_log.py`).
        """
        text = self._log.read_text("utf-8") if self._log.exists() else ""
        events = [json.loads(line) for line in text.split("\n")[:-1]]
        return [entry for entry in events if event in (None, entry["event"])]

    def requests(self, path: str | None = None) -> list[dict[str, Any]]:
        """The requests so far, those for `path` only where it is given."""
        return [entry for entry in self.log("request") if path in (None, entry["path"])]

    def wait_for(self, event: str, count: int = 1, timeout: float = 5.0) -> dict[str, Any]:
        """Waits until `count` events of a kind have been logged and returns the last of them."""
        deadline = time.monotonic() + timeout
        while len(found := self.log(event)) < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self!r} logged {len(found)} x {event} in {timeout} s, not {count}")
            time.sleep(0.01)
        return found[count - 1]

    def set_fault(self, mode: str = "none", arg: object = "", count: int | None = None, on: str = "") -> None:
        """Puts one fault in force, in place of what there was; "none" makes the server healthy again."""
        self.set_faults({"mode": mode, "arg": arg, "count": count, "on": on})

    def set_faults(self, *faults: Mapping[str, object]) -> None:
        """Puts several faults in force, tried in order: `{"mode", "arg", "count", "on"}`."""
        self._post("/__test__/fault", list(faults))

    def set_models(self, models: Sequence[object]) -> None:
        """Changes the models the server has."""
        self._post("/__test__/models", models)

    def stop(self) -> None:
        """Ends the process (SIGTERM, then SIGKILL) and removes its log. Does nothing the second time."""
        _end(self._process)
        shutil.rmtree(self._folder, ignore_errors=True)

    def kill(self) -> None:
        """Ends the process at once, as a crash does. The log stays readable until `stop`."""
        self._process.kill()
        self._process.wait()

    def _post(self, path: str, value: object) -> None:
        host = self.url.removeprefix("http://").rsplit(":", 1)[0].strip("[]")
        connection = http.client.HTTPConnection(host, self.port, timeout=5)
        try:
            connection.request("POST", path, json.dumps(value), {"Connection": "close"})
            answer = connection.getresponse()
            said = answer.read().decode()
        finally:
            connection.close()
        if answer.status != 200:
            raise ValueError(f"{self!r} did not take {value!r}: {said}")

    def __enter__(self) -> "RunningServer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def start(
    name: str, *args: str, port: int = 0, host: str = "127.0.0.1", models: Sequence[object] | None = None
) -> RunningServer:
    """Starts `tests.servers.<name>` with its options and waits until it listens (10 s at most).

    `models` is the value of `--models`, not yet JSON. Raises RuntimeError with what the server said where it
    does not start.
    """
    folder = tempfile.mkdtemp(prefix="test-server-")
    log = os.path.join(folder, "log.jsonl")
    options = ["--port", str(port), "--host", host, "--log", log, *args]
    if models is not None:
        options += ["--models", json.dumps(list(models))]
    process, facts = _launch(name, options, folder)
    return RunningServer(name, process, facts, folder, log)


def start_many(*servers: tuple[str, Sequence[str]]) -> list[RunningServer]:
    """Starts several servers, each a name and its options, in one process; stopping one stops them all."""
    folder = tempfile.mkdtemp(prefix="test-servers-")
    logs = [os.path.join(folder, f"log-{number}.jsonl") for number in range(len(servers))]
    plan = [
        {"name": name, "args": ["--log", log, *args]} for (name, args), log in zip(servers, logs, strict=True)
    ]
    process, facts = _launch("many", [json.dumps(plan)], folder)
    return [
        RunningServer(name, process, each, folder, log)
        for (name, _), each, log in zip(servers, facts, logs, strict=True)
    ]


def _launch(name: str, options: Sequence[str], folder: str) -> tuple[subprocess.Popen[bytes], Any]:
    # -S: the servers use the standard library only, and site-packages cost start-up time.
    command = [sys.executable, "-S", "-E", "-m", f"tests.servers.{name}", *options]
    errors_path = os.path.join(folder, "stderr.txt")
    with open(errors_path, "wb") as errors:
        process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
        )
    line = _first_line(process)
    try:
        return process, json.loads(line)
    except ValueError:
        _end(process)
        said = Path(errors_path).read_text("utf-8", "replace")[-2000:]
        shutil.rmtree(folder, ignore_errors=True)
        raise RuntimeError(f"the test server {name} did not start: {said or 'it said nothing'}") from None


def _first_line(process: subprocess.Popen[bytes]) -> bytes:
    """The line that announces the server; b"" where it ended or the deadline passed."""
    assert process.stdout is not None
    lines: queue.Queue[bytes] = queue.Queue()
    threading.Thread(target=lambda stream=process.stdout: lines.put(stream.readline()), daemon=True).start()
    try:
        return lines.get(timeout=START_DEADLINE_S)
    except queue.Empty:
        return b""


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_DEADLINE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
