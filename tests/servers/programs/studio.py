"""LM Studio itself, with or without a window: what `lms` talks to, and what serves.

    studio.py HOME daemon|app

Its tools reach it on a port of its own, written to `.internal/http-server.json`; there it answers
`GET /lms-status` and takes orders. Its HTTP server is `tests.servers.lm_studio` in a process below it.

Behaviour: `models` (keys), `late` (seconds until its server listens), `never` (it never does), `serves`
(a port where its server listens from the start), `daughters` (it has helpers in sessions of their own),
`slow` (seconds until it does anything), `unreachable` (its tools do not find it).
"""

import contextlib
import json
import os
import signal
import socketserver
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
from tests.servers.programs import ROOT, behaviour, note_pid

VERSION = "0.4.21"


class Studio:
    """What runs, and what is loaded."""

    def __init__(self, home: Path, *, is_daemon: bool) -> None:
        self.home = home
        self.is_daemon = is_daemon
        self.behaviour = behaviour(home)
        self.internal = home / ".lmstudio" / ".internal"
        self.keys = self.behaviour.get("models", ["qwen/qwen3-4b-2507", "qwen/qwen3-4b-thinking"])
        self.loaded: list[dict[str, object]] = []
        self.server: subprocess.Popen[bytes] | None = None

    def model(self, key: str) -> dict[str, object]:
        """A model as `lms ls --json` describes it."""
        return {
            "type": "llm",
            "modelKey": key,
            "format": "gguf",
            "displayName": key,
            "publisher": key.split("/", maxsplit=1)[0],
            "path": f"{key}/model.gguf",
            "sizeBytes": 2497280608,
            "indexedModelIdentifier": f"{key}/model.gguf",
            "deviceIdentifier": None,
            "vision": False,
            "trainedForToolUse": True,
            "maxContextLength": 262144,
        }

    def start_server(self, port: int) -> None:
        """The HTTP server; a port that is taken is only noticed by nobody answering there."""
        config = {"port": port, "networkInterface": "127.0.0.1"}
        (self.internal / "http-server-config.json").write_text(json.dumps(config))
        if self.behaviour.get("never"):
            return
        models = json.dumps([{"id": key, "loaded": False} for key in self.keys])
        delay = str(self.behaviour.get("late", 0))
        command = [sys.executable, "-S", "-E", "-m", "tests.servers.lm_studio"]
        command += ["--port", str(port), "--models", models, "--delay-listen", delay]
        quiet, until_we_end = subprocess.DEVNULL, subprocess.PIPE
        self.server = subprocess.Popen(command, cwd=ROOT, stdin=until_we_end, stdout=quiet, stderr=quiet)

    def stop_server(self) -> None:
        """Ends the HTTP server."""
        if self.server is not None:
            self.server.kill()
            self.server.wait()
            self.server = None

    def order(self, name: str, body: dict[str, Any]) -> Any:
        """What the tool wants done."""
        match name:
            case "info":
                return {"pid": os.getpid(), "isDaemon": self.is_daemon, "version": VERSION}
            case "models":
                return [self.model(key) for key in self.keys]
            case "loaded":
                return self.loaded
            case "start-server":
                self.start_server(body["port"])
            case "stop-server":
                self.stop_server()
            case "load":
                key = str(body["key"])
                names = [each["identifier"] for each in self.loaded]
                same = sum(str(name).split(":")[0] == key for name in names)
                identifier = body.get("identifier") or (f"{key}:{same + 1}" if same else key)
                state = {"status": "idle", "queued": 0, "parallel": 4}
                context = {"contextLength": body.get("contextLength") or 4096}
                self.loaded.append({**self.model(key), "identifier": identifier, **context, **state})
                return identifier
            case "unload":
                self.loaded = [each for each in self.loaded if each["identifier"] != body["identifier"]]
            case "shutdown":
                threading.Thread(target=self.end, daemon=True).start()
        return None

    def end(self, *_: object) -> None:
        """Ends everything that belongs to it."""
        self.stop_server()
        os._exit(0)

    def run(self) -> None:
        """Serves until it is told to end."""
        note_pid(self.home, "daemon" if self.is_daemon else "app")
        signal.signal(signal.SIGTERM, self.end)
        if self.behaviour.get("daughters"):
            # As Chromium's: they leave the group, and are not told when their parent ends.
            code = "import os, time; os.setsid(); time.sleep(60)"
            subprocess.Popen([sys.executable, "-S", "-c", code], close_fds=True)
        with _Listening(("127.0.0.1", 0), _handler(self)) as listening:
            if "serves" in self.behaviour:
                self.start_server(self.behaviour["serves"])
            if not self.behaviour.get("unreachable"):
                info = json.dumps({"port": listening.server_address[1]})
                (self.internal / "http-server.json").write_text(info)
            listening.serve_forever(poll_interval=60)


class _Listening(socketserver.ThreadingTCPServer):
    daemon_threads = True


def _handler(studio: Studio) -> type[socketserver.StreamRequestHandler]:
    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            method, path, _version = self.rfile.readline().decode().split()
            length = 0
            while line := self.rfile.readline().decode().strip().lower():
                if line.startswith("content-length:"):
                    length = int(line.partition(":")[2])
            body = self.rfile.read(length)
            status, said = "200 OK", {"package": "llmster", "version": VERSION}
            if method == "POST":
                said = studio.order(path.strip("/"), json.loads(body))
            elif path != "/lms-status":
                status, said = "404 Not Found", {}
            content = json.dumps(said).encode()
            head = f"HTTP/1.1 {status}\r\nContent-Length: {len(content)}\r\nConnection: close\r\n\r\n"
            self.wfile.write(head.encode() + content)

    return Handler


def main(argv: list[str]) -> None:
    """Runs one."""
    with contextlib.suppress(KeyboardInterrupt):
        time.sleep(behaviour(Path(argv[0])).get("slow", 0))
        Studio(Path(argv[0]), is_daemon=argv[1] == "daemon").run()


if __name__ == "__main__":
    main(sys.argv[1:])
