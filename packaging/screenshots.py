"""Take the README's screenshots into `resources/screenshots/`: the real app on a virtual screen with a tray.

    .venv/bin/python packaging/screenshots.py [NAME ...]

Needs Xvfb, openbox, trayer, xdotool and ImageMagick. The servers seen in the pictures are the test servers;
what the guide says comes from the guide. Look at every picture afterwards: that is what they are made for.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.engines.tiny_model import write_tiny_model  # noqa: E402 - after the line that makes it importable
from tests.integration.worlds import closed_port  # noqa: E402
from tests.models.sparse_gguf import (  # noqa: E402
    EIGHT_BILLION,
    ONE_BILLION,
    SMALL,
    THREE_BILLION,
    write_sparse,
)
from tests.servers.launch import start  # noqa: E402
from tests.ui.desktop.screen import Program, Screen, wait_for  # noqa: E402

FOLDER = ROOT / "resources" / "screenshots"
MODEL = {"id": "qwen3.5-4b", "loaded": True, "context_length": 16384, "size_bytes": 2_740_000_000}
ANSWER = """Take the **morning train** from Lisbon: quick, cheap, and the view along the river is worth it.

1. *Sintra*: palaces in the hills, forty minutes away
2. *Évora*: Roman temple, white houses, slow lunch
3. *Porto*: three hours north, best with a night there

A small helper for the budget:

```python
def budget(days: int, a_day: float = 60) -> float:
    \"\"\"What the trip costs, trains included.\"\"\"
    return days * a_day + 45
```

| Train | Leaves | Price |
|-------|--------|-------|
| Alfa Pendular | 8:09 | 25 € |
| Intercidades | 9:39 | 19 € |

Three days come to about 225 €."""

_TOO_LITTLE = 1_300_000_000  # bytes of memory, for an engine that needs 1.6 GB


class Studio:
    """One screen with the app on it, and a camera."""

    def __init__(self, screen: Screen, home: Path, **env: str) -> None:
        self.screen = screen
        self.home = home
        self.env = {
            "WHISPER_LLM__LMSTUDIO__PORT": str(closed_port()),
            "WHISPER_LLM__LLAMACPP__PORT": str(closed_port()),
            "OLLAMA_HOST": f"127.0.0.1:{closed_port()}",
            "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
            **env,
        }

    def app(self, *args: str) -> Program:
        """The app in this home."""
        return Program(self.screen, self.home, *args, env=self.env)

    def setup_is_done(self) -> None:
        """As if the wizard had been finished before."""
        (self.home / "config").mkdir(parents=True)
        (self.home / "config" / "choices.yaml").write_text("ui:\n  setup_done: true\n", encoding="utf-8")

    def window(self, program: Program, kind: str, name: str) -> None:
        """A picture of one window with its frame."""
        self.picture(program.window(kind)["frame"], name)

    def picture(self, place: list[int], name: str) -> None:
        """A picture of a part of the screen: left, top, width, height."""
        self.screen.xdotool("mousemove", 4, 4)
        time.sleep(0.3)  # the pointer's hover and the last repaint; a picture can wait
        x, y, width, height = place
        FOLDER.mkdir(parents=True, exist_ok=True)
        target = FOLDER / f"{name}.png"
        command = ["import", "-window", "root", "-crop", f"{width}x{height}+{x}+{y}", "+repage", "-strip"]
        subprocess.run(
            [*command, "+dither", "-colors", "255", f"png8:{target}"], env=self.screen.env, check=True
        )
        print(f"{target.relative_to(ROOT)}: {target.stat().st_size / 1000:.0f} kB")


def ask(studio: Studio, program: Program, kind: str, question: str) -> None:
    """Type a question into the window of this kind."""
    wait_for("active window", lambda: program.window(kind)["active"])
    studio.screen.write(question)
    studio.screen.keys("Return")


def rows(program: Program, kind: str) -> list[dict[str, Any]]:
    """The rows of a chat."""
    found: list[dict[str, Any]] = program.window(kind)["rows"]
    return found


def kinds(program: Program) -> list[str]:
    """The kinds of the visible windows."""
    return [window["kind"] for window in program.ask("windows")]


def buttons(program: Program, kind: str) -> list[str]:
    """The buttons of a window."""
    found: list[str] = program.window(kind)["buttons"]
    return found


def answered(program: Program, kind: str, count: int) -> None:
    """Wait until so many rows are there and the last one is whole."""
    wait_for("answer", lambda: len(rows(program, kind)) >= count and not rows(program, kind)[-1]["active"])


def wizard(studio: Studio) -> None:
    """The wizard on a computer where nothing is set up, up to the first answer of the guide."""
    with studio.app() as program:
        wait_for("recommendation", lambda: "Set it up" in buttons(program, "setup"))
        wait_for("facts", lambda: "looking…" not in program.window("setup")["texts"])
        studio.window(program, "setup", "wizard-found")
        program.click("button Set it up", "steps", lambda: "Download Ollama ↗" in buttons(program, "setup"))
        studio.window(program, "setup", "wizard-do")


def wizard_download(studio: Studio) -> None:
    """The wizard where a model is fetched and run without any other program."""
    with studio.app() as program:
        found = wait_for(
            "choices", lambda: [text for text in buttons(program, "setup") if "Built-in" in text]
        )
        wait_for("facts", lambda: "looking…" not in program.window("setup")["texts"])
        program.click(f"button {found[0]}", "choice", lambda: True)
        program.click("button Set it up", "page", lambda: "Download" in buttons(program, "setup"))
        wait_for("size", lambda: any(" GB, from" in text for text in texts(program, "setup")))
        studio.window(program, "setup", "wizard-download")


def wizard_test(studio: Studio) -> None:
    """The wizard where LM Studio runs: a first answer, and the end."""
    with studio.app() as program:
        wait_for("server", lambda: "Test it" in buttons(program, "setup"))
        program.click("button Test it", "test", lambda: "A first answer" in program.window("setup")["texts"])
        wait_for("answer", lambda: any("answers with" in text for text in program.window("setup")["texts"]))
        studio.window(program, "setup", "wizard-test")
        program.click("button Next", "end", lambda: "Start" in buttons(program, "setup"))
        studio.window(program, "setup", "wizard-done")


def tray(studio: Studio) -> None:
    """The tray menu with its backends."""
    studio.setup_is_done()
    with studio.app("--background") as program:
        time.sleep(2)  # the first scan; nothing on the screen tells its end
        program.choose("Down", "Down", "Right", "Down")
        wait_for("submenu", lambda: any("Automatic" in text for text in program.ask("menu")))
        studio.picture([640, 0, 640, 240], "tray-menu")
        studio.screen.keys("Escape", "Escape")


def chat(studio: Studio) -> None:
    """A chat while the answer streams, and when it is whole."""
    studio.setup_is_done()
    with studio.app() as program:
        ask(studio, program, "chat", "Three days around Lisbon, by train. Ideas?")
        wait_for("half an answer", lambda: any("budget(" in row["text"] for row in rows(program, "chat")))
        studio.window(program, "chat", "chat-streaming")
        answered(program, "chat", 2)
        studio.window(program, "chat", "chat")


def restart(studio: Studio) -> None:
    """An answer that broke off and was begun anew elsewhere, with what came first opened."""
    studio.setup_is_done()
    short, _table, _rest = ANSWER.partition("\n\n| Train")
    pace = ("--answer", short, "--token-delay", "0.03")
    with (
        start("ollama", *pace, "--fault", "die_mid_stream:20", models=[MODEL]) as breaks,
        start("lm_studio", *pace, models=[MODEL]) as goes_on,
    ):
        studio.env["OLLAMA_HOST"] = f"127.0.0.1:{breaks.port}"
        studio.env["WHISPER_LLM__LMSTUDIO__PORT"] = str(goes_on.port)
        studio.env["WHISPER_LLM_FALLBACK_CHAIN"] = "ollama,lm_studio"
        with studio.app() as program:
            ask(studio, program, "chat", "Three days around Lisbon, by train. Ideas?")
            answered(program, "chat", 2)
            studio.screen.keys("shift+Tab", "Down", "Return")  # to the answer; what it keeps folded opens
            studio.window(program, "chat", "chat-restarted")


def consent(studio: Studio) -> None:
    """A server that may pass prompts on: the question before it is asked."""
    studio.setup_is_done()
    with start("localai", "--answer", "Lisbon, Évora, Porto.", models=[MODEL]) as server:
        studio.env["WHISPER_LLM__LLAMACPP__PORT"] = str(server.port)
        with studio.app() as program:
            ask(studio, program, "chat", "Three days around Lisbon, by train. Ideas?")
            wait_for("question", lambda: "Allow LocalAI" in buttons(program, "chat"))
            studio.window(program, "chat", "chat-consent")


def engine(studio: Studio) -> None:
    """Our own engine, which has too little memory for the context that is set: what would mend it."""
    studio.setup_is_done()
    studio.env["WHISPER_GGUF_MODEL_PATH"] = str(write_tiny_model(studio.home / "qwen3.5-4b.gguf"))
    studio.env["WHISPER_LLM__LLAMACPP__N_CTX"] = "1572864"
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (_TOO_LITTLE, hard))  # the app and its engine inherit it
    try:
        with studio.app() as program:
            ask(studio, program, "chat", "Three days around Lisbon, by train. Ideas?")
            wait_for("repairs", lambda: "Use a shorter context" in buttons(program, "chat"))
            studio.window(program, "chat", "chat-repair")
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def guide(studio: Studio) -> None:
    """Nothing answers, so the guide does: the failure, then a conversation with the real demo model."""
    studio.setup_is_done()
    with studio.app() as program:
        ask(studio, program, "chat", "What is a good name for a cat?")
        wait_for("failure", lambda: "Ask the guide" in buttons(program, "chat"))
        studio.window(program, "chat", "chat-failure")
        program.click("button Ask the guide", "guide", lambda: "guide" in kinds(program))
        for number, question in enumerate(("How do I add Ollama?", "Does my data leave this computer?"), 1):
            ask(studio, program, "guide", question)
            answered(program, "guide", 2 * number)
        studio.window(program, "guide", "guide")


def models(studio: Studio) -> None:
    """The models window: what is here, what suits, what a search came to, and a download that runs."""
    studio.setup_is_done()
    own, hub = studio.home / "data" / "models", studio.home / "hub"
    theirs = studio.home / ".lmstudio" / "models" / "lmstudio-community" / "Meta-Llama-3.1-8B-Instruct-GGUF"
    repo = hub / "bartowski" / "SmolLM2-135M-Instruct-GGUF"
    for folder in (own, theirs, repo):
        folder.mkdir(parents=True)
    on_disk(write_sparse(own / "Llama-3.2-1B-Instruct-Q4_K_M.gguf", ONE_BILLION))
    on_disk(write_sparse(own / "Llama-3.2-3B-Instruct-Q4_K_M.gguf", THREE_BILLION))
    on_disk(write_sparse(theirs / "Meta-Llama-3.1-8B-Instruct-Q4_K_M.gguf", EIGHT_BILLION))
    for quant in ("Q4_K_M", "Q8_0"):
        write_sparse(repo / f"SmolLM2-135M-Instruct-{quant}.gguf", SMALL)
    (repo / "repo.json").write_text(
        '{"downloads": 182345, "lastModified": "2026-09-12T00:00:00.000Z", "gguf": {"total": 135000000}}'
    )
    studio.env["HOME"] = str(studio.home)
    with start("hub", "--folder", str(hub)) as server:
        server.set_fault("slow", 6_000_000, on="cdn")
        studio.env["HF_ENDPOINT"] = server.url
        with studio.app("--background") as program:
            program.choose("Down", "Down", "Down", "Return")
            wait_for("models", lambda: any("to spare" in text for text in texts(program, "models")))
            time.sleep(3)  # every row says how it runs; nothing in the window tells that all do
            studio.window(program, "models", "models-here")
            wait_for("active window", lambda: program.window("models")["active"])
            studio.screen.keys("Tab", "Tab", "Right")
            wait_for("choices", lambda: "Why this one" in buttons(program, "models"))
            studio.window(program, "models", "models-recommended")
            studio.screen.keys("shift+Tab", "shift+Tab")
            studio.screen.write("SmolLM2")
            studio.screen.keys("Return")
            look = "See whether it fits"
            wait_for("results", lambda: look in buttons(program, "models"))
            program.click(f"button {look}", "forms", lambda: "Download" in buttons(program, "models"))
            wait_for("fit", lambda: any("Fits" in text for text in texts(program, "models")))
            studio.window(program, "models", "models-search")
            program.click(
                "button Download", "download", lambda: any("%" in text for text in buttons(program, "models"))
            )
            close = "Close results"
            program.click(f"button {close}", "tabs", lambda: close not in buttons(program, "models"))
            studio.screen.keys("Tab", "Tab", "Right")
            wait_for("rate", lambda: any(" left" in text for text in texts(program, "models")))
            studio.window(program, "models", "models-downloads")


def on_disk(file: Path) -> None:
    """Have a sparse file take the room that it says it has."""
    with file.open("r+b") as stream:
        os.posix_fallocate(stream.fileno(), 0, file.stat().st_size)


def texts(program: Program, kind: str) -> list[str]:
    """The words of a window."""
    found: list[str] = program.window(kind)["texts"]
    return found


def is_active(program: Program, kind: str) -> bool:
    """Whether the window of this kind stands where it will stay, with the keyboard."""
    return bool(program.window(kind)["active"])


def windows(studio: Studio) -> None:
    """Settings and logs."""
    studio.setup_is_done()
    with studio.app("--background") as program:
        for kind, steps in (("settings", 5), ("logs", 6)):
            program.choose(*["Down"] * steps, "Return")
            wait_for("active window", partial(is_active, program, kind))
            studio.window(program, kind, kind)


def with_server(shots: Callable[[Studio], None], answer: str) -> Callable[[Studio], None]:
    """The same pictures with a running LM Studio: the test server, at the pace of a good computer."""

    def run(studio: Studio) -> None:
        with start("lm_studio", "--answer", answer, "--token-delay", "0.03", models=[MODEL]) as server:
            studio.env["WHISPER_LLM__LMSTUDIO__PORT"] = str(server.port)
            shots(studio)

    return run


SHOTS: dict[str, Callable[[Studio], None]] = {
    "wizard": wizard,
    "wizard-download": wizard_download,
    "wizard-test": with_server(wizard_test, "Hello! I am ready to help."),
    "tray": with_server(tray, ANSWER),
    "chat": with_server(chat, ANSWER),
    "restart": restart,
    "consent": consent,
    "engine": engine,
    "guide": guide,
    "models": models,
    "windows": windows,
}


def main(names: list[str]) -> int:
    """Take the pictures of these names, or all."""
    os.chdir(ROOT)
    unknown = set(names) - set(SHOTS)
    if unknown:
        print(f"There is no {', '.join(unknown)}. Known are: {', '.join(SHOTS)}.")
        return 2
    for name in names or SHOTS:
        with tempfile.TemporaryDirectory() as folder, Screen() as screen:
            SHOTS[name](Studio(screen, Path(folder) / "home"))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
