"""A program that looks like a llama-server and misbehaves as told: `--behave WORD,WORD=VALUE`.

While it starts
  bad-flag        refuses an option and ends, as llama-server does
  die=CODE        ends at once with that exit code
  hang            never listens
  repeat          never listens, and says the same line for ever but for its numbers
  load=SECONDS    listens and loads, one stage in ten steps, each told in child mode
  halt=VALUE      loads as far as that, and no further
  flood           prints megabytes of log before it listens
  pour=SECONDS    prints log as fast as it can for so long while it serves
  grandchild      starts a program that holds the output open, in its own process group
  daemon          the same in another one, which nobody ends
Once it runs
  no-answer       every completion fails, while /health says all is well
  no-token        every completion hangs
  breaks=N        after N answers has no memory left for any further one
  crash-asked     hangs up on a completion, and crashes a moment later
  die-soon        ends by itself with exit code 7 once it has answered twice
  stop-writing=N  stops in the middle of an answer after N tokens, computing nothing
  keep-slot       does not hear that a reader has gone: the slot stays busy
  on-card         says that its model lies on a graphics card
  late-log=SECONDS  logs its load, and that it listens, so long after its first answer
  ignore-term     ignores SIGTERM
  forge           logs, with every answer, what it would log on leaving, as if a model had written it

What it writes streams at 200 tokens a second until its reader goes, or 100,000 are written.
"""

import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from http.server import ThreadingHTTPServer

HELP = """----- common params -----

-h,    --help, --usage                  print usage and exit
-c,    --ctx-size N                     size of the prompt context (default: 0, 0 = loaded from model)
-m,    --model FNAME                    model path to load
--port PORT                             port to listen (default: 8080)
--behave WORDS                          for tests
"""


def value_of(flag: str) -> str:
    return sys.argv[sys.argv.index(flag) + 1] if flag in sys.argv else ""


BEHAVIOUR = dict(word.partition("=")[::2] for word in value_of("--behave").split(","))
LEAVING = "0.00.000.000 I srv    operator(): operator(): cleaning up before exit..."
IS_CHILD = "LLAMA_SERVER_ROUTER_PORT" in os.environ
_output = threading.Lock()
_answered = threading.Event()


def say(text: str) -> None:
    with _output:
        print(text, flush=True)


def main() -> None:
    if "--version" in sys.argv:
        print("version: 9999 (fake)")
        return
    if "--help" in sys.argv:
        print(HELP)
        return
    if "bad-flag" in BEHAVIOUR:
        print("error: invalid argument: --behave")
        sys.exit(1)
    if "die" in BEHAVIOUR:
        sys.exit(int(BEHAVIOUR["die"]))
    if "flood" in BEHAVIOUR:
        for number in range(40_000):
            print(f"0.00.000.000 I load_tensors: line {number} " + "." * 80)
    start_others()
    if "hang" in BEHAVIOUR:
        say("0.00.000.000 I srv    load_model: loading model")
        signal.pause()
    number = 0
    while "repeat" in BEHAVIOUR:
        say(f"0.00.{number:06d} I cuda: waiting for device 0x{number:x}")
        number += 1
        time.sleep(0.01)
    say(f"0.00.000.000 I key {os.environ['LLAMA_API_KEY']} proxy {os.environ.get('HTTPS_PROXY')}")
    serve()


def start_others() -> None:
    if not {"grandchild", "daemon"} & set(BEHAVIOUR):
        return
    import subprocess

    sleeper = [sys.executable, "-I", "-S", "-c", "import time; time.sleep(60)"]
    grandchild = subprocess.Popen(sleeper, start_new_session="daemon" in BEHAVIOUR)
    say(f"grandchild {grandchild.pid}")


def serve() -> None:
    import json
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    loaded = threading.Event()
    slot = {"busy": False, "task": -1, "prompt": 0, "written": 0}
    counts = {"answered": 0, "written": 0}
    one_slot = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        """Answers to whoever has the key: /props, /slots, /metrics and chat completions."""

        protocol_version = "HTTP/1.1"

        def _reply(self, status: int, body: object) -> None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def _refused(self) -> bool:
            right = self.headers.get("Authorization") == f"Bearer {os.environ['LLAMA_API_KEY']}"
            if not loaded.is_set():
                error = {"message": "Loading model", "type": "unavailable_error", "code": 503}
                self._reply(503, {"error": error})
            elif not right:
                self._reply(401, {"error": {"message": "Invalid API Key", "code": 401}})
            return not (right and loaded.is_set())

        def do_GET(self) -> None:
            if self.path == "/health":
                self._reply(200, {"status": "ok"})
            elif self._refused():
                return
            elif self.path == "/slots":
                counted = {"n_prompt_tokens": slot["prompt"], "n_prompt_tokens_processed": slot["prompt"]}
                written = [{"n_decoded": slot["written"], "has_next_token": slot["busy"]}]
                one = {"id": 0, "is_processing": slot["busy"], "id_task": slot["task"], "next_token": written}
                self._reply(200, [{**one, **counted}])
            elif self.path == "/metrics":
                self._reply(200, f"llamacpp:tokens_predicted_total {counts['written']}\n".encode())
            else:
                self._reply(200, {"model_alias": "fake", "total_slots": 1})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self._refused():
                return
            if self.path not in ("/v1/chat/completions", "/v1/completions"):
                self._reply(404, {"error": {"message": "File Not Found", "code": 404}})
            elif "no-answer" in BEHAVIOUR:
                self._reply(500, {"error": {"message": "the cache is broken", "code": 500}})
            elif "breaks" in BEHAVIOUR and counts["answered"] >= int(BEHAVIOUR["breaks"]):
                self._reply(500, {"error": {"message": "std::bad_alloc", "code": 500}})
            elif "no-token" in BEHAVIOUR:
                signal.pause() if threading.current_thread() is threading.main_thread() else time.sleep(60)
            elif "crash-asked" in BEHAVIOUR:
                self.connection.shutdown(2)
                time.sleep(0.1)
                os.kill(os.getpid(), signal.SIGSEGV)
            elif body.get("stream"):
                self._stream()
            else:
                counts["answered"] += 1
                counts["written"] += 1
                if "forge" in BEHAVIOUR:
                    say(f"0.00.000.001 W unparsed output: well\n{LEAVING}")
                self._reply(200, {"choices": [{"message": {"content": "x"}, "finish_reason": "length"}]})
                _answered.set()
                if "die-soon" in BEHAVIOUR and counts["answered"] == 2:
                    os._exit(7)

        def _stream(self) -> None:
            with one_slot:
                slot.update(busy=True, task=slot["task"] + 1, prompt=3, written=0)
                try:
                    self._write_tokens()
                except OSError:
                    while "keep-slot" in BEHAVIOUR:
                        time.sleep(60)
                finally:
                    slot["busy"] = False

        def _write_tokens(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Connection", "close")
            self.end_headers()
            for number in range(100_000):
                if number == int(BEHAVIOUR.get("stop-writing", -1)):
                    time.sleep(60)
                chunk = {"choices": [{"index": 0, "delta": {"content": "x "}, "finish_reason": None}]}
                self.wfile.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
                slot["written"] += 1
                counts["written"] += 1
                time.sleep(0.005)

        def log_message(self, format: str, *args: object) -> None:
            return

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            return

    port = int(value_of("--port"))
    try:
        server = Server(("127.0.0.1", port), Handler)
    except OSError:
        print(f"E srv start: couldn't bind HTTP server socket, hostname: 127.0.0.1, port: {port}")
        sys.exit(1)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    load(loaded)
    say(f"0.00.000.000 I srv    listening on http://127.0.0.1:{port}")
    if "pour" in BEHAVIOUR:
        threading.Thread(target=pour, daemon=True).start()
    wait_for_the_end(server)


def load(loaded: threading.Event) -> None:
    """As long as told, saying how far it is."""
    import json

    seconds, halt = float(BEHAVIOUR.get("load") or 0), float(BEHAVIOUR.get("halt") or 2)
    for step in range(11):
        if step / 10 > halt:
            threading.Event().wait()
        state = {"stages": ["text_model"], "current": "text_model", "value": step / 10}
        if IS_CHILD:
            say(f"\ncmd_child_to_router:state:{json.dumps({'state': 'loading', 'payload': state})}")
        time.sleep(seconds / 10)
    where = "CUDA0" if "on-card" in BEHAVIOUR else "  CPU"
    buffers = f"0.00.000.000 I load_tensors:        {where} model buffer size =     1.00 MiB"
    late = float(BEHAVIOUR.get("late-log") or 0)
    if not late:
        say(buffers)
    loaded.set()
    if IS_CHILD:
        say(f"\ncmd_child_to_router:state:{json.dumps({'state': 'ready', 'payload': {'id': 'fake'}})}")
    if late:
        _answered.wait()
        time.sleep(late)
        say(buffers)


def pour() -> None:
    line = "0.00.000.000 I srv    update_slots: " + "." * 80 + "\n"
    until = time.monotonic() + float(BEHAVIOUR["pour"])
    while time.monotonic() < until:
        sys.stdout.write(line * 1000)
        sys.stdout.flush()


def wait_for_the_end(server: "ThreadingHTTPServer") -> None:
    """As llama-server: by SIGTERM; in child mode by a command on its input, for which SIGTERM waits, while it
    no longer listens. A second SIGTERM ends it at once.
    """
    ended = threading.Event()

    def leave(*_: object) -> None:
        if "ignore-term" in BEHAVIOUR:
            return
        if ended.is_set():
            os._exit(1)
        say(LEAVING)
        ended.set()

    signal.signal(signal.SIGTERM, leave)
    told = threading.Event()

    def listen() -> None:
        for line in sys.stdin:
            if line.startswith("cmd_router_to_child:exit"):
                if "ignore-term" not in BEHAVIOUR:
                    told.set()
                    ended.set()
                return
        os._exit(1)

    if IS_CHILD:
        threading.Thread(target=listen, daemon=True).start()
    while not ended.wait(0.05):
        pass
    server.shutdown()
    server.server_close()
    while IS_CHILD and not told.wait(0.05):
        pass
    os._exit(0)


main()
