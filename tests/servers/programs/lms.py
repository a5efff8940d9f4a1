"""`lms`, LM Studio's command-line tool, from its source (lmstudio-ai/lms at 07b7252): what it prints, and
where, its exit codes, when it starts LM Studio, and how it looks for names.

    lms.py HOME COMMAND...

Behaviour: `hang` (commands that never end), `garbage` (commands that print no JSON), `refuse` ({command:
text}), `moved` (the app is not where it was), `old` (it has no daemon commands), `keeps` (unload does
nothing), `fails` (text of a load that fails), `takes` (what it loads, whatever was asked for), `meanwhile`
(what another program has loaded before that), `attempts` (how often it looks for the server; really 5).
"""

import json
import socket
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
from tests.servers.programs import behaviour, detach, note_call

RED, YELLOW, CYAN, PLAIN = "\x1b[91m", "\x1b[33m", "\x1b[36m", "\x1b[39m"


def say(text: str) -> None:
    """For people: on standard error."""
    print(text, file=sys.stderr)


def fail(text: str) -> NoReturn:
    """The logger's error, and the exit code that goes with it."""
    say(f"{RED}Error:{PLAIN} {text}")
    sys.exit(1)


def pretty(title: str, *lines: str) -> None:
    """`makeTitledPrettyError`: a frame, in colour."""
    width = max(map(len, (title, *lines))) + 4
    say(f"{RED}╭─ {title} {'─' * (width - len(title) - 3)}╮{PLAIN}")
    for line in ("", *lines, ""):
        say(f"{RED}│{PLAIN}  {line.ljust(width - 2)}{RED}│{PLAIN}")
    say(f"{RED}╰{'─' * width}╯{PLAIN}")


class Tool:
    """One call of it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.internal = home / ".lmstudio" / ".internal"
        self.behaviour = behaviour(home)

    def ask(self, port: int, method: str, path: str, body: object = None) -> Any:
        """One request; raises OSError where nobody answers."""
        content = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
        with socket.create_connection(("127.0.0.1", port), 0.5 if body is None else 5) as connection:
            connection.sendall(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        try:
            return json.loads(answer.partition(b"\r\n\r\n")[2])
        except ValueError:
            return None

    def read(self, name: str) -> dict[str, Any]:
        """One of LM Studio's own files."""
        try:
            found: dict[str, Any] = json.loads((self.internal / name).read_text())
        except (OSError, ValueError):  # not there, or being written
            return {}
        return found

    def find(self) -> int | None:
        """The port of the app, where it runs."""
        port = self.read("http-server.json").get("port")
        try:
            return port if port and self.ask(port, "GET", "/lms-status") else None
        except OSError:
            return None

    def client(self) -> int:
        """The port of the app, which is started where it does not run: `createClient`."""
        port = self.find()
        if port is not None:
            return port
        if self.behaviour.get("moved"):
            path = "/tmp/.mount_LM-StuJkL2fm/lm-studio"
            print(f"Error: spawn {path} ENOENT\n    at ChildProcess._handle.onexit", file=sys.stderr)
            sys.exit(1)
        detach(self.home, "studio.py", "daemon")
        for _ in range(200):
            time.sleep(0.02)
            port = self.find()
            if port is not None:
                return port
        fail("Failed to start or connect to local LM Studio API server.")

    def order(self, name: str, **body: object) -> Any:
        """Has something done by the app."""
        return self.ask(self.client(), "POST", f"/{name}", body)

    def greets(self, port: int) -> bool:
        """`checkHttpServer`."""
        try:
            said = self.ask(port, "GET", "/lmstudio-greeting")
        except OSError:
            return False
        return isinstance(said, dict) and said.get("lmstudio") is True

    # --- commands -----------------------------------------------------------------------------------------

    def server_start(self, words: list[str]) -> None:
        port = int(words[words.index("--port") + 1]) if "--port" in words else 1234
        self.order("start-server", port=port)
        for _ in range(self.behaviour.get("attempts", 50)):
            if self.greets(port):
                say(f"Success! Server is now running on port {port}")
                return
            time.sleep(0.02)
        fail("Failed to verify the server is running. Please try to use another port.")

    def server_stop(self, words: list[str]) -> None:
        port = self.read("http-server-config.json").get("port")
        if port is None or not self.greets(port):
            fail("The server is not running.")
        self.order("stop-server")
        say(f"Stopped the server on port {port}.")

    def server_status(self, words: list[str]) -> None:
        port = self.read("http-server-config.json").get("port")
        running = port is not None and self.greets(port)
        if "--json" in words:
            print(json.dumps({"running": running, **({} if port is None else {"port": port})}))
        else:
            say(f"The server is running on port {port}." if running else "The server is not running.")

    def daemon_up(self, words: list[str]) -> None:
        info = self.order("info")
        print(json.dumps({"status": "running", **info}))

    def daemon_status(self, words: list[str]) -> None:
        if self.find() is None:
            print(json.dumps({"status": "not-running"}))
        else:
            info = self.order("info")
            print(json.dumps({"status": "running", "pid": info["pid"], "isDaemon": info["isDaemon"]}))

    def daemon_down(self, words: list[str]) -> None:
        if self.find() is None:
            say("Daemon is not running.")
            sys.exit(1)
        if not self.order("info")["isDaemon"]:
            say("The daemon is currently running as part of LM Studio. Please exit LM Studio to stop it.")
            sys.exit(1)
        say("Shutting down llmster...")
        self.order("shutdown")
        say("Done.")

    def ls(self, words: list[str]) -> None:
        print(json.dumps(self.order("models")))

    def ps(self, words: list[str]) -> None:
        print(json.dumps(self.order("loaded")))

    def load(self, words: list[str]) -> None:
        wanted = words[0]
        keys = [model["modelKey"] for model in self.order("models")]
        # The package `fuzzy`: the letters in order; an exact name comes first.
        matching = sorted((key for key in keys if _resembles(wanted, key)), key=lambda key: key != wanted)
        if not matching:
            pretty(
                "Model not found",
                f'No model found that matches model key "{YELLOW}{wanted}{PLAIN}".',
                "",
                "To see a list of all downloaded models, run:",
                "",
                f"    {YELLOW}lms ls{PLAIN}",
            )
            sys.exit(1)
        if "meanwhile" in self.behaviour:
            self.order("load", key=self.behaviour["meanwhile"])
        if "fails" in self.behaviour:
            fail(self.behaviour["fails"])
        for percent in (0, 50, 100):
            print(f"\r\x1b[2K⠋ Loading {matching[0]} {percent}%", end="", file=sys.stderr)
        key = str(self.behaviour.get("takes", matching[0]))
        options = dict(word[2:].split("=", 1) for word in words if "=" in word)
        context = int(options.get("context-length", 0))
        name = self.order("load", key=key, contextLength=context, identifier=options.get("identifier"))
        say("\r\x1b[2KModel loaded successfully in 1.52s.\n(2.33 GiB)")
        say(f'To use the model in the API/SDK, use the identifier "\x1b[32m{name}{PLAIN}".')

    def unload(self, words: list[str]) -> None:
        names = [each["identifier"] for each in self.order("loaded")]
        if words[0] not in names:
            pretty(
                "Model Not Found",
                f'Cannot find a model with the identifier "{YELLOW}{words[0]}{PLAIN}".',
                "",
                "To see a list of loaded models, run:",
                "",
                f"    {YELLOW}lms ps{PLAIN}",
            )
            return  # exit code 0
        if self.behaviour.get("keeps"):
            say(f'Error: "{words[0]}" is busy.')
            return
        self.order("unload", identifier=words[0])
        say(f'Model "{words[0]}" unloaded.')


def _resembles(pattern: str, text: str) -> bool:
    letters = iter(text.lower())
    return all(letter in letters for letter in pattern.lower())


def main(argv: list[str]) -> None:
    """Runs one command."""
    tool = Tool(Path(argv[0]))
    words = argv[1:]
    note_call(tool.home, ["lms", *words])
    group = words[0] in ("server", "daemon")
    name = "_".join(words[:2]) if group else words[0]
    script = tool.behaviour
    if name.startswith("daemon") and script.get("old"):
        print("error: unknown command 'daemon'\n(Did you mean dev?)", file=sys.stderr)
        sys.exit(1)
    if name in script.get("hang", ()):
        time.sleep(60)
    if name in script.get("garbage", ()):
        print("\x1b[1mA new version of lms is available\x1b[0m\n{not json")
        return
    if name in script.get("refuse", {}):
        fail(script["refuse"][name])
    getattr(tool, name)(words[2:] if group else words[1:])


if __name__ == "__main__":
    main(sys.argv[1:])
