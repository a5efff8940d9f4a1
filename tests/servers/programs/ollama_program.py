"""`ollama serve`: listens where OLLAMA_HOST says, or says why not.

    ollama_program.py HOME serve

Behaviour: `mute` (it never listens), `dies` (text with which it ends), `models` (names), `load_seconds`.
"""

import json
import os
import socket
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
from tests.servers.ollama import Ollama
from tests.servers.programs import behaviour, note_call, note_pid
from tests.servers.serving import main as serve


def main(argv: list[str]) -> int:
    """Serves until SIGTERM."""
    home = Path(argv[0])
    script = behaviour(home)
    host, _, port = os.environ.get("OLLAMA_HOST", "127.0.0.1:11434").partition(":")
    note_call(home, ["ollama", *argv[1:], port])
    note_pid(home, "ollama")
    print(
        'time=2026-11-21T18:15:12.001Z level=INFO source=routes.go:1961 msg="server config"', file=sys.stderr
    )
    if "dies" in script:
        print(f"Error: {script['dies']}", file=sys.stderr)
        return 1
    if script.get("mute"):
        time.sleep(60)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, int(port)))
        except OSError:
            print(f"Error: listen tcp {host}:{port}: bind: address already in use", file=sys.stderr)
            return 1
    models = [{"id": name, "loaded": False} for name in script.get("models", ["llama3.2:latest"])]
    options = ["--stay", "--host", host, "--port", port, "--models", json.dumps(models)]
    serve(Ollama, options)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
