"""A program that looks like a llama-server and misbehaves as told: `--behave WORD,WORD`.

hang          never listens
no-answer     loads, but every completion fails, while /health says all is well
ignore-term   ignores SIGTERM
flood         prints megabytes of log before it listens
grandchild    starts a program that holds the output open and outlives it
die-soon      ends by itself with exit code 7 once it has answered twice
"""

import json
import os
import signal
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HELP = """----- common params -----

-h,    --help, --usage                  print usage and exit
-c,    --ctx-size N                     size of the prompt context (default: 0, 0 = loaded from model)
-m,    --model FNAME                    model path to load
--port PORT                             port to listen (default: 8080)
--behave WORDS                          for tests
"""


def value_of(flag: str) -> str:
    return sys.argv[sys.argv.index(flag) + 1] if flag in sys.argv else ""


BEHAVIOUR = value_of("--behave").split(",")


class Handler(BaseHTTPRequestHandler):
    """Answers /props and chat completions to whoever has the key."""

    answered = 0

    def _reply(self, status: int, body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _refused(self) -> bool:
        if self.headers.get("Authorization") == f"Bearer {os.environ['LLAMA_API_KEY']}":
            return False
        self._reply(401, {"error": {"message": "Invalid API Key", "code": 401}})
        return True

    def do_GET(self) -> None:
        if self.path == "/health":
            self._reply(200, {"status": "ok"})
        elif not self._refused():
            self._reply(200, {"model_alias": "fake"})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        if self._refused():
            return
        if "no-answer" in BEHAVIOUR:
            self._reply(500, {"error": {"message": "the cache is broken", "code": 500}})
            return
        Handler.answered += 1
        self._reply(200, {"choices": [{"message": {"content": "x"}, "finish_reason": "length"}]})
        if "die-soon" in BEHAVIOUR and Handler.answered == 2:
            os._exit(7)

    def log_message(self, format: str, *args: object) -> None:
        return


def main() -> None:
    if "--version" in sys.argv:
        print("version: 9999 (fake)")
        return
    if "--help" in sys.argv:
        print(HELP)
        return
    if "ignore-term" in BEHAVIOUR:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if "flood" in BEHAVIOUR:
        for number in range(40_000):
            print(f"0.00.000.000 I load_tensors: line {number} " + "." * 80)
    if "grandchild" in BEHAVIOUR:
        grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        print(f"grandchild {grandchild.pid}", flush=True)
    if "hang" in BEHAVIOUR:
        signal.pause()
    print(
        f"0.00.000.000 I key {os.environ['LLAMA_API_KEY']} proxy {os.environ.get('HTTPS_PROXY')}", flush=True
    )
    ThreadingHTTPServer(("127.0.0.1", int(value_of("--port"))), Handler).serve_forever()


main()
