"""Take the screenshots into `resources/screenshots/`: the real app on a virtual screen with a tray.

    .venv/bin/python packaging/screenshots.py [NAME ...] [--language de] [--theme dark]

Without a theme every picture is taken light and dark ("chat.png", "chat-dark.png"); without a language all of
them are taken in English, and the light ones in German ("chat-de.png").

Needs Xvfb, openbox, trayer, xdotool and ImageMagick. The servers seen in the pictures are the test servers;
what the guide says comes from the guide. Look at every picture afterwards: that is what they are made for.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "packaging")]

import screenshots_chats as chats  # noqa: E402 - after the line that makes it importable

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
from tests.ui.desktop.screen import SIZE, Program, Screen, wait_for  # noqa: E402
from whisper_desktop import language  # noqa: E402
from whisper_desktop.language import tr  # noqa: E402
from whisper_desktop.values import IDENTITIES  # noqa: E402

FOLDER = ROOT / "resources" / "screenshots"
NAME = "qwen3.5-4b"
MODEL = {"id": NAME, "loaded": True, "context_length": 16384, "size_bytes": 2_740_000_000}
OTHER_MODEL = {"id": "gemma3:4b", "loaded": True, "context_length": 8192, "size_bytes": 3_300_000_000}
THEMES = ("light", "dark")
LANGUAGES = {"en": chats.ENGLISH, "de": chats.GERMAN}
SHORTCUT = "ctrl+alt+space"
_TOO_LITTLE = 1_300_000_000  # bytes of memory, for an engine that needs 1.6 GB


class Studio:
    """One screen with the app on it, and a camera. `words` is what people and models say in the pictures."""

    def __init__(self, screen: Screen, home: Path, code: str, themes: Sequence[str]) -> None:
        self.screen = screen
        self.home = home
        self.words = LANGUAGES[code]
        self._code = code
        self._themes = themes
        self.env = {
            "WHISPER_LLM__LMSTUDIO__PORT": str(closed_port()),
            "WHISPER_LLM__LLAMACPP__PORT": str(closed_port()),
            "OLLAMA_HOST": f"127.0.0.1:{closed_port()}",
            "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
            "WHISPER_UI__LANGUAGE": code,
            "WHISPER_UI__THEME": themes[0],
            "WHISPER_UI__NOTIFICATIONS": "none",  # they would cover what is to be seen
        }

    def app(self, *args: str) -> Program:
        """The app in this home."""
        return Program(self.screen, self.home, *args, env=self.env)

    def setup_is_done(self) -> None:
        """As if the wizard had been finished before."""
        (self.home / "config").mkdir(parents=True)
        (self.home / "config" / "choices.yaml").write_text("ui:\n  setup_done: true\n", encoding="utf-8")

    def has_chats(self) -> None:
        """As if the app had been used for some weeks."""
        self.setup_is_done()
        chats.fill(self.home, self.words)

    def has(self, name: str, *args: str, model: object = MODEL) -> AbstractContextManager[object]:
        """A server that runs while this context lasts."""
        server = start(name, *args, models=[model])
        if name == "ollama":
            self.env["OLLAMA_HOST"] = f"127.0.0.1:{server.port}"
        else:
            self.env["WHISPER_LLM__LMSTUDIO__PORT"] = str(server.port)
        return server

    def lm_studio(self, answer: str) -> AbstractContextManager[object]:
        """LM Studio, at the pace of a good computer."""
        return self.has("lm_studio", "--answer", answer, "--token-delay", "0.03")

    def window(self, program: Program, kind: str, name: str) -> None:
        """A picture of one window with its frame."""
        self.picture(program, program.window(kind)["frame"], name)

    def picture(self, program: Program, place: list[int], name: str) -> None:
        """A picture of a part of the screen (left, top, width, height), in every theme."""
        self.screen.xdotool("mousemove", 4, 4)
        for theme in self._themes:
            if len(self._themes) > 1:
                program.ask(f"theme {theme}")
            time.sleep(0.4)  # the pointer's hover and the last repaint; a picture can wait
            self._take(place, name + ("-dark" if theme == "dark" else ""))
        program.ask(f"theme {self._themes[0]}")

    def _take(self, place: list[int], name: str) -> None:
        x, y, width, height = place
        FOLDER.mkdir(parents=True, exist_ok=True)
        target = FOLDER / f"{name}{'' if self._code == 'en' else f'-{self._code}'}.png"
        command = ["import", "-window", "root", "-crop", f"{width}x{height}+{x}+{y}", "+repage", "-strip"]
        subprocess.run(
            [*command, "+dither", "-colors", "255", f"png8:{target}"], env=self.screen.env, check=True
        )
        print(f"{target.relative_to(ROOT)}: {target.stat().st_size / 1000:.0f} kB", flush=True)


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


def texts(program: Program, kind: str) -> list[str]:
    """The words of a window."""
    found: list[str] = program.window(kind)["texts"]
    return found


def others(program: Program, kind: str, before: list[str]) -> bool:
    """Whether a window has other words than before."""
    return texts(program, kind) != before


def more_menus(program: Program, before: int) -> bool:
    """Whether more menus are open than before."""
    return len(program.ask("menus")) > before


def answered(program: Program, kind: str, count: int) -> None:
    """Wait until so many rows are there and the last one is whole."""
    wait_for("answer", lambda: len(rows(program, kind)) >= count and not rows(program, kind)[-1]["active"])


def press(program: Program, button: str, kind: str, wanted: str) -> None:
    """Press a button until there is another one in this window."""
    program.click(f"button {button}", wanted, lambda: wanted in buttons(program, kind))


def from_tray(program: Program, entry: str, kind: str) -> None:
    """Open a window by the tray's menu."""
    program.click("tray", "menu", lambda: program.ask("menu"), button=3)
    program.click(f"entry {entry}", kind, lambda: kind in kinds(program))
    wait_for("active window", lambda: program.window(kind)["active"])


def open_chat(program: Program, title: str) -> None:
    """Open a conversation of the list."""
    wait_for("chat", lambda: "chat" in kinds(program))
    program.click(f"item {title}", title, lambda: rows(program, "chat"))


def from_chat_menu(program: Program, entry: str) -> None:
    """Choose from what else a conversation offers."""
    program.click("button ⋯", "menu", lambda: program.ask(f"entry {entry}"))
    program.click(f"entry {entry}", entry, lambda: program.ask("menu") is None)


# --- the pictures ------------------------------------------------------------------------------------------


def look_around(program: Program, wanted: str) -> None:
    """From the welcome to what was found."""
    wait_for("active window", lambda: program.window("setup")["active"])
    press(program, tr("Look around"), "setup", wanted)
    wait_for("facts", lambda: tr("looking…") not in texts(program, "setup"))


def wizard(studio: Studio) -> None:
    """The wizard on a computer where nothing is set up."""
    with studio.app() as program:
        wait_for("active window", lambda: program.window("setup")["active"])
        studio.window(program, "setup", "wizard-welcome")
        look_around(program, tr("Set it up"))
        studio.window(program, "setup", "wizard-found")
        program.click(
            f"button {tr('Set it up')}",
            "steps",
            lambda: any(text.endswith("↗") for text in buttons(program, "setup")),
        )
        studio.window(program, "setup", "wizard-do")


def wizard_download(studio: Studio) -> None:
    """The wizard where a model is fetched and run without any other program."""
    with studio.app() as program:
        look_around(program, tr("Set it up"))
        name = IDENTITIES["builtin"].name
        found = wait_for("choices", lambda: [text for text in buttons(program, "setup") if name in text])
        program.click(f"button {found[0]}", "choice", lambda: True)
        press(program, tr("Set it up"), "setup", tr("Download"))
        wait_for("size", lambda: any(" GB)" in text for text in texts(program, "setup")))
        studio.window(program, "setup", "wizard-download")


def wizard_test(studio: Studio) -> None:
    """The wizard where LM Studio runs: a first answer, and what follows."""
    with studio.lm_studio(studio.words.first_answer), studio.app() as program:
        look_around(program, tr("Test it"))
        title = tr("A first answer")
        program.click(f"button {tr('Test it')}", "test", lambda: title in texts(program, "setup"))
        wait_for("answer", lambda: any(text.startswith("✓") for text in texts(program, "setup")))
        for name in ("test", "privacy", "start", "done"):
            studio.window(program, "setup", f"wizard-{name}")
            if name != "done":
                before = texts(program, "setup")
                button = f"button {tr('Next')}"
                program.click(button, "page", partial(others, program, "setup", before))


def tray(studio: Studio) -> None:
    """The tray menu with its backends, its models and the recent chats."""
    studio.has_chats()
    with (
        studio.lm_studio(studio.words.answer),
        studio.has("ollama", model=OTHER_MODEL),
        studio.app("--background") as program,
    ):
        wait_for("scan", lambda: program.ask("entries") and NAME in program.ask("entries")[0])
        shown = (("Backend", tr("Backend")), ("Model", tr("Model")), ("Recent", tr("Recent chats")))
        for name, entry in shown:
            program.click("tray", "menu", lambda: program.ask("menu"), button=3)
            before = len(program.ask("menus"))
            program.click(f"entry {entry}", name, partial(more_menus, program, before))
            suffix = "" if name == "Backend" else f"-{name.lower()}"
            studio.picture(program, around(program.ask("menus")), f"tray-menu{suffix}")
            studio.screen.keys("Escape", "Escape")
            wait_for("closed menu", lambda: program.ask("menu") is None)


def around(places: list[list[int]]) -> list[int]:
    """The part of the screen that holds all of these, with a little room, from the upper edge on."""
    left = min(x for x, _y, _width, _height in places) - 16
    right = max(x + width for x, _y, width, _height in places) + 16
    bottom = max(y + height for _x, y, _width, height in places) + 16
    return [max(left, 0), 0, min(right, SIZE[0]) - max(left, 0), bottom]


def stand_in(studio: Studio) -> None:
    """The window that has the tray's menu where there is no tray."""
    studio.has_chats()
    with studio.lm_studio(studio.words.answer), studio.app("--background") as program:
        wait_for("icon", lambda: program.ask("tray"))
        studio.screen.stop_tray()
        wait_for("scan", lambda: any(NAME in text for text in texts(program, "StandIn")))
        wait_for("active window", lambda: program.window("StandIn")["active"])
        studio.window(program, "StandIn", "stand-in")


def chat(studio: Studio) -> None:
    """A chat that is empty, while the answer streams, and when it is whole."""
    studio.has_chats()
    with studio.lm_studio(studio.words.answer), studio.app() as program:
        wait_for("list", lambda: program.ask(f"item {studio.words.pinned}"))
        wait_for("server", lambda: program.window("chat")["active"])
        studio.window(program, "chat", "chat-empty")
        ask(studio, program, "chat", studio.words.question)
        wait_for("half an answer", lambda: "```python" in "".join(r["text"] for r in rows(program, "chat")))
        studio.window(program, "chat", "chat-streaming")
        answered(program, "chat", 2)
        studio.window(program, "chat", "chat")


def library(studio: Studio) -> None:
    """Conversations that were had before: formulas, attachments, branches, settings, and a search."""
    studio.has_chats()
    words = studio.words
    with studio.lm_studio(words.answer), studio.app() as program:
        open_chat(program, words.math[0])
        time.sleep(2)  # formulas are drawn by another process; nothing on the screen tells when
        studio.window(program, "chat", "chat-math")
        program.click(f"item {words.files[0]}", "chat", lambda: words.files[1] == first(program))
        studio.window(program, "chat", "chat-attachments")
        program.click(f"item {words.branches[0]}", "chat", lambda: words.branches[1] == first(program))
        from_chat_menu(program, tr("Branches"))
        studio.window(program, "chat", "chat-branches")
        from_chat_menu(program, tr("Settings of this chat"))
        studio.window(program, "chat", "chat-parameters")
        from_chat_menu(program, tr("Settings of this chat"))
        program.click(f"field {tr('Search all chats')}", "search", lambda: True)
        studio.screen.write(words.looked_for)
        wait_for("place", lambda: program.ask(f"item {words.found}"))
        time.sleep(0.5)  # the last letters may bring another list
        program.click(f"item {words.found}", "place", lambda: words.question == first(program))
        studio.window(program, "chat", "chat-search")
        studio.screen.keys("Escape", "ctrl+slash")
        wait_for("sheet", lambda: program.window("ShortcutsSheet")["active"])
        studio.window(program, "ShortcutsSheet", "chat-shortcuts")


def first(program: Program) -> str:
    """The first message that is shown."""
    shown = rows(program, "chat")
    return str(shown[0]["text"]) if shown else ""


def compare(studio: Studio) -> None:
    """Two models side by side."""
    studio.has_chats()
    words = studio.words
    with (
        studio.lm_studio(words.answer),
        studio.has("ollama", "--answer", words.short, "--token-delay", "0.03", model=OTHER_MODEL),
        studio.app() as program,
    ):
        wait_for("list", lambda: program.ask(f"item {words.pinned}"))
        from_chat_menu(program, tr("Ask two side by side"))
        wait_for("two", lambda: tr("Two side by side") in texts(program, "chat"))
        ask(studio, program, "chat", words.question)
        both = tr("Ask both again")
        wait_for("begin", lambda: both in buttons(program, "chat"))
        time.sleep(8)  # both answers; nothing but their text tells their end
        studio.window(program, "chat", "chat-compare")


def quick_ask(studio: Studio) -> None:
    """Quick ask with an answer."""
    studio.has_chats()
    with studio.lm_studio(studio.words.quick_answer), studio.app("--background") as program:
        wait_for("scan", lambda: program.ask("entries") and NAME in program.ask("entries")[0])

        def opened() -> bool:
            if "ask" not in kinds(program):
                studio.screen.keys(SHORTCUT)
            return "ask" in kinds(program) and bool(program.window("ask")["active"])

        wait_for("Quick ask", opened)
        studio.window(program, "ask", "quick-ask-empty")
        ask(studio, program, "ask", studio.words.quick)
        answered(program, "ask", 2)
        studio.window(program, "ask", "quick-ask")


def restart(studio: Studio) -> None:
    """An answer that broke off and was begun anew elsewhere, with what came first opened."""
    studio.setup_is_done()
    short = studio.words.answer.partition("\n\n|")[0]
    pace = ("--answer", short, "--token-delay", "0.03")
    studio.env["WHISPER_LLM_FALLBACK_CHAIN"] = "ollama,lm_studio"
    with (
        studio.has("ollama", *pace, "--fault", "die_mid_stream:20"),
        studio.has("lm_studio", *pace),
        studio.app() as program,
    ):
        ask(studio, program, "chat", studio.words.question)
        answered(program, "chat", 2)
        studio.screen.keys("shift+F6", "Up", "Down", "space")  # to the answer; what it keeps folded opens
        studio.window(program, "chat", "chat-restarted")


def consent(studio: Studio) -> None:
    """A server that may pass prompts on: the question before it is asked."""
    studio.setup_is_done()
    with start("localai", "--answer", studio.words.short, models=[MODEL]) as server:
        studio.env["WHISPER_LLM__LLAMACPP__PORT"] = str(server.port)
        with studio.app() as program:
            ask(studio, program, "chat", studio.words.question)
            allow = tr("Allow {server}", server="LocalAI")
            wait_for("question", lambda: allow in buttons(program, "chat"))
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
            ask(studio, program, "chat", studio.words.question)
            mends = tr("Use a shorter context")
            wait_for("repairs", lambda: mends in buttons(program, "chat"))
            studio.window(program, "chat", "chat-repair")
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def guide(studio: Studio) -> None:
    """Nothing answers, so the guide does: the failure, then a conversation with the real demo model."""
    studio.setup_is_done()
    with studio.app() as program:
        ask(studio, program, "chat", studio.words.other_questions[0])
        offered = tr("Ask the guide")
        wait_for("failure", lambda: offered in buttons(program, "chat"))
        studio.window(program, "chat", "chat-failure")
        program.click(f"button {offered}", "guide", lambda: "guide" in kinds(program))
        for number, question in enumerate(studio.words.guide, 1):
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
        server.set_fault("slow", 1_500_000, on="cdn")
        studio.env["HF_ENDPOINT"] = server.url
        with studio.app("--background") as program:
            from_tray(program, tr("Models…"), "models")
            wait_for("models", lambda: any(" GB" in text for text in texts(program, "models")))
            time.sleep(4)  # every row says how it runs; nothing in the window tells that all do
            studio.window(program, "models", "models-here")
            studio.screen.keys("Tab", "Tab", "Right")
            wait_for("choices", lambda: tr("Why this one") in buttons(program, "models"))
            studio.window(program, "models", "models-recommended")
            studio.screen.keys("shift+Tab", "shift+Tab")
            studio.screen.write("SmolLM2")
            studio.screen.keys("Return")
            look, fetch = tr("See whether it fits"), tr("Download")
            wait_for("results", lambda: look in buttons(program, "models"))
            press(program, look, "models", fetch)
            time.sleep(2)  # how each form fits
            studio.window(program, "models", "models-search")
            program.click(
                f"button {fetch}", "download", lambda: any("%" in text for text in buttons(program, "models"))
            )
            close = tr("Close results")
            program.click(f"button {close}", "tabs", lambda: close not in buttons(program, "models"))
            studio.screen.keys("Tab", "Tab", "Right")
            time.sleep(4)  # until the rate is known
            studio.window(program, "models", "models-downloads")


def on_disk(file: Path) -> None:
    """Have a sparse file take the room that it says it has."""
    with file.open("r+b") as stream:
        os.posix_fallocate(stream.fileno(), 0, file.stat().st_size)


def windows(studio: Studio) -> None:
    """Settings with two of its sections and the keys, the logs and the diagnosis."""
    studio.has_chats()
    with studio.lm_studio(studio.words.short), studio.app("--background") as program:
        from_tray(program, tr("Settings…"), "settings")
        studio.window(program, "settings", "settings")
        for name, section in (("privacy", tr("Privacy and costs")), ("keys", tr("Keys"))):
            before = texts(program, "settings")
            place = f"item {section}"
            program.click(place, section, partial(others, program, "settings", before))
            time.sleep(1)  # keys are asked of the keyring
            studio.window(program, "settings", "keys" if name == "keys" else f"settings-{name}")
        studio.screen.keys("alt+F4")
        from_tray(program, tr("Logs…"), "logs")
        studio.window(program, "logs", "logs")
        studio.screen.keys("ctrl+shift+Tab")
        copy = tr("Look again")
        wait_for("diagnosis", lambda: copy in buttons(program, "logs"))
        time.sleep(5)  # the checks; each one ends when it does
        x, y, width, height = program.window("logs")["frame"]
        for _notch in range(6):  # past what this computer is
            studio.screen.click([x + width // 2, y + height // 2], button=5)
        studio.window(program, "logs", "diagnosis")


SHOTS: dict[str, Callable[[Studio], None]] = {
    "wizard": wizard,
    "wizard-download": wizard_download,
    "wizard-test": wizard_test,
    "tray": tray,
    "stand-in": stand_in,
    "chat": chat,
    "library": library,
    "compare": compare,
    "quick-ask": quick_ask,
    "restart": restart,
    "consent": consent,
    "engine": engine,
    "guide": guide,
    "models": models,
    "windows": windows,
}


def main() -> int:
    """Take the pictures of these names, or all."""
    parser = argparse.ArgumentParser(description="Take the screenshots of every window.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which: {', '.join(SHOTS)}")
    parser.add_argument("--language", choices=LANGUAGES, help="only in this one")
    parser.add_argument("--theme", choices=THEMES, help="only this one")
    wanted = parser.parse_args()
    if unknown := set(wanted.names) - set(SHOTS):
        parser.error(f"There is no {', '.join(sorted(unknown))}. There are: {', '.join(SHOTS)}.")
    os.chdir(ROOT)
    for code in (wanted.language,) if wanted.language else LANGUAGES:
        language.use(code, ROOT / "resources" / "translations")
        themes = (wanted.theme,) if wanted.theme else THEMES if code == "en" else THEMES[:1]
        for name in wanted.names or SHOTS:
            with tempfile.TemporaryDirectory() as folder, Screen() as screen:
                SHOTS[name](Studio(screen, Path(folder) / "home", code, themes))
    return 0


if __name__ == "__main__":
    sys.exit(main())
