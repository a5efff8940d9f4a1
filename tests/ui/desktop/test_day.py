"""A whole day with the app on a real screen, from the wizard to Quit: once by mouse, once by keyboard only.

`pytest -s` prints what was done and when. Every step waits for what the app shows.
"""

import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from tests.integration.worlds import closed_port
from tests.servers.fixtures import ServerFactory
from tests.servers.launch import RunningServer
from tests.ui.desktop.screen import Program, Screen, missing_tools, wait_for

pytestmark = pytest.mark.skipif(bool(missing_tools()), reason=f"not installed: {', '.join(missing_tools())}")

MODEL = {"id": "qwen3.5-4b", "loaded": True, "context_length": 8192, "size_bytes": 2_740_000_000}
OTHER_MODEL = {"id": "gemma3:4b", "loaded": True, "context_length": 8192, "size_bytes": 3_300_000_000}
WORDS = [f"word{number}" for number in range(48)]
ANSWER = " ".join(WORDS)
PACE = 0.025  # seconds from word to word: 40 tokens a second, 1.2 seconds in all
HALF = 20  # words
MAY_BE_LOST = 0.5  # seconds of an answer, when the app is killed
SHORTCUT = "ctrl+alt+space"


class Hands(ABC):
    """What a person does, by one kind of hands."""

    tray = True
    """Whether these hands need a tray host."""

    def __init__(self, screen: Screen) -> None:
        self.screen = screen
        self._app: Program | None = None

    def take(self, app: Program) -> None:
        """From now on these hands are on this app."""
        self._app = app

    @property
    def app(self) -> Program:
        """The app that runs."""
        assert self._app is not None
        return self._app

    def chat(self) -> dict[str, Any]:
        """The chat window, as it is."""
        return self.app.window("chat")

    def rows(self) -> list[dict[str, Any]]:
        """The messages that are shown."""
        found: list[dict[str, Any]] = self.chat()["rows"]
        return found

    def shown(self, kind: str) -> dict[str, Any] | None:
        """The window of this kind, where there is one."""
        return next((each for each in self.app.ask("windows") if each["kind"] == kind), None)

    def ask(self, question: str) -> None:
        """Write a question into the chat and send it."""
        self.go_to_composer()
        wait_for("composer", lambda: self.chat()["active"] and self.app.ask("focus") == "Your message")
        self.screen.write(question)
        wait_for("draft", lambda: self.chat()["draft"] == question)
        self.send()

    def open_by_shortcut(self) -> None:
        """Press the keys of Quick ask until its window is in front."""

        def look() -> bool:
            window = self.shown("ask")
            if window is None or not window["active"]:
                self.screen.keys(SHORTCUT)
            return window is not None and bool(window["active"])

        wait_for("Quick ask", look)

    @abstractmethod
    def press(self, button: str, effect: Callable[[], Any]) -> None:
        """Press a button that stands in the window in front."""

    @abstractmethod
    def go_on(self, button: str, effect: Callable[[], Any]) -> None:
        """Press the button that leads on in a wizard."""

    @abstractmethod
    def go_to_composer(self) -> None:
        """The next text goes into the composer."""

    @abstractmethod
    def send(self) -> None:
        """Send what is written."""

    @abstractmethod
    def stop(self) -> None:
        """Stop the answer that is coming."""

    @abstractmethod
    def on_message(self, number: int, entry: str, effect: Callable[[], Any]) -> None:
        """Choose an entry of the menu of a message."""

    @abstractmethod
    def choose(self, submenu: str, entry: str, effect: Callable[[], Any]) -> None:
        """Choose an entry of a submenu of the menu that is open."""

    @abstractmethod
    def branch(self, number: int, action: str, effect: Callable[[], Any]) -> None:
        """Go to another branch of a message."""

    @abstractmethod
    def new_chat(self) -> None:
        """An empty chat."""

    @abstractmethod
    def open_first_of(self, words: str, effect: Callable[[], Any]) -> None:
        """Search all chats and open the first place that was found."""

    @abstractmethod
    def open_chat(self, title: str, effect: Callable[[], Any]) -> None:
        """Open the newest chat of the list."""

    @abstractmethod
    def choose_backend(self, name: str, effect: Callable[[], Any]) -> None:
        """Have another backend answer from now on, by the tray's menu."""

    @abstractmethod
    def quit(self) -> None:
        """Quit by the tray's menu."""


class Mouse(Hands):
    """Clicks; only texts and the keys of Quick ask are typed."""

    def press(self, button: str, effect: Callable[[], Any]) -> None:
        self.app.click(f"button {button}", f"effect of {button}", effect)

    go_on = press

    def go_to_composer(self) -> None:
        self.app.click("field Your message", "composer", lambda: self.app.ask("focus") == "Your message")

    def send(self) -> None:
        self.press("Send", lambda: not self.chat()["draft"])

    def stop(self) -> None:
        self.press("Stop", lambda: not self.rows()[-1]["active"])

    def on_message(self, number: int, entry: str, effect: Callable[[], Any]) -> None:
        self.app.click(f"message {number}", "menu", lambda: self.app.ask("menu"), button=3)
        self.app.click(f"entry {entry}", f"effect of {entry}", effect)

    def choose(self, submenu: str, entry: str, effect: Callable[[], Any]) -> None:
        self.app.click(f"entry {submenu}", submenu, lambda: self.app.ask(f"entry {entry}"))
        self.app.click(f"entry {entry}", f"effect of {entry}", effect)

    def branch(self, number: int, action: str, effect: Callable[[], Any]) -> None:
        self.app.click(f"spot {number} {action}", "other branch", effect)

    def new_chat(self) -> None:
        self.press("+ New chat", lambda: not self.rows())

    def open_first_of(self, words: str, effect: Callable[[], Any]) -> None:
        name = "Search all chats"
        self.app.click(f"field {name}", "search", lambda: self.app.ask("focus") == name)
        self.screen.write(words)
        self.app.click(f"item {words}", "found place", effect)

    def open_chat(self, title: str, effect: Callable[[], Any]) -> None:
        self.app.click(f"item {title}", title, effect)

    def choose_backend(self, name: str, effect: Callable[[], Any]) -> None:
        self.app.click("tray", "menu", lambda: self.app.ask("menu"), button=3)
        self.choose("Backend", name, effect)

    def quit(self) -> None:
        self.app.click("tray", "menu", lambda: self.app.ask("menu"), button=3)
        self.app.click("entry Quit", "end", lambda: self.app.process.poll() is not None)


class Keyboard(Hands):
    """Keys only. No key leads to the icon of an XEmbed tray, so this is a desktop without one: the window
    that stands in for the tray has its menu.
    """

    tray = False

    def press(self, button: str, effect: Callable[[], Any]) -> None:
        self._tab_to(button)
        self.screen.keys("space")
        wait_for(f"effect of {button}", effect)

    def go_on(self, button: str, effect: Callable[[], Any]) -> None:
        wait_for(button, lambda: self.app.ask(f"button {button}"))
        self.screen.keys("Return")
        wait_for(f"effect of {button}", effect)

    def go_to_composer(self) -> None:
        self.screen.keys("ctrl+l")

    def send(self) -> None:
        self.screen.keys("Return")
        wait_for("question", lambda: not self.chat()["draft"])

    def stop(self) -> None:
        self.screen.keys("Escape")
        wait_for("end", lambda: not self.rows()[-1]["active"])

    def on_message(self, number: int, entry: str, effect: Callable[[], Any]) -> None:
        self._go_to(number)
        self.screen.keys("Menu")
        wait_for("menu", lambda: self.app.ask("menu"))
        self._choose(entry)
        wait_for(f"effect of {entry}", effect)

    def choose(self, submenu: str, entry: str, effect: Callable[[], Any]) -> None:
        self._go_to_entry(submenu)
        self.screen.keys("Right")
        wait_for(submenu, lambda: self.app.ask(f"entry {entry}"))
        self._choose(entry)
        wait_for(f"effect of {entry}", effect)

    def branch(self, number: int, action: str, effect: Callable[[], Any]) -> None:
        self._go_to(number)
        self.screen.keys({"branch_back": "bracketleft", "branch_on": "bracketright"}[action])
        wait_for("other branch", effect)

    def new_chat(self) -> None:
        self.screen.keys("ctrl+n")
        wait_for("new chat", lambda: not self.rows())

    def open_first_of(self, words: str, effect: Callable[[], Any]) -> None:
        self.screen.keys("ctrl+k")
        wait_for("search", lambda: self.app.ask("focus") == "Search all chats")
        self.screen.write(words)
        wait_for("found place", lambda: self.app.ask(f"item {words}"))
        self.screen.keys("Down", "Return")  # the first line is the chat itself
        wait_for("place", effect)

    def open_chat(self, title: str, effect: Callable[[], Any]) -> None:
        wait_for("list", lambda: self.app.ask(f"item {title}"))
        self.screen.keys("ctrl+1")
        wait_for(title, effect)

    def choose_backend(self, name: str, effect: Callable[[], Any]) -> None:
        self._to_window("StandIn")
        self._tab_to("Backend")
        self.screen.keys("space")
        wait_for("backends", lambda: self.app.ask(f"entry {name}"))
        self._choose(name)
        wait_for(name, effect)

    def quit(self) -> None:
        self._to_window("StandIn")
        self._tab_to("Quit")
        self.screen.keys("space")

    def _tab_to(self, name: str) -> None:
        def look() -> bool:
            if self.app.ask("focus") != name:
                self.screen.keys("Tab")
            return bool(self.app.ask("focus") == name)

        wait_for(f"focus on {name}", look)

    def _go_to(self, number: int) -> None:
        self.screen.keys("ctrl+l")
        wait_for("composer", lambda: self.app.ask("focus") == "Your message")
        self.screen.keys("shift+F6")
        wait_for("conversation", lambda: self.app.ask("focus") == "Conversation")

        def look() -> bool:
            if (here := self.chat()["current"]) != number:
                self.screen.keys("Down" if 0 <= here < number else "Up")
            return bool(self.chat()["current"] == number)

        wait_for(f"message {number}", look)

    def _choose(self, entry: str) -> None:
        self._go_to_entry(entry)
        self.screen.keys("Return")

    def _go_to_entry(self, entry: str) -> None:
        def look() -> bool:
            lines = self.app.ask("menu") or []
            if not any(line.startswith(f">{entry}") for line in lines):
                self.screen.keys("Down")
                return False
            return True

        wait_for(f"entry {entry}", look)

    def _to_window(self, kind: str) -> None:
        def look() -> bool:
            window = self.shown(kind)
            if window is None or not window["active"]:
                self.screen.keys("alt+Tab")
            window = self.shown(kind)
            return window is not None and bool(window["active"])

        wait_for(f"window {kind} in front", look)


class Record:
    """What was done, printed with the time since the beginning."""

    def __init__(self, name: str) -> None:
        self._began = time.monotonic()
        print(f"\n{name}")

    def __call__(self, done: str) -> None:
        print(f"{time.monotonic() - self._began:6.2f} s  {done}")


def choices(home: Path) -> dict[str, Any]:
    """What the app has written down."""
    file = home / "config" / "choices.yaml"
    return (yaml.safe_load(file.read_text("utf-8")) or {}) if file.exists() else {}


def processes_of(home: Path) -> list[int]:
    """The processes that belong to the app of this home."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("WHISPER_HOME") == str(home):
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def through_the_wizard(hands: Hands, record: Record) -> None:
    """From the welcome to a chat that a first answer has proved to work."""
    app = hands.app

    def buttons() -> list[str]:
        window = hands.shown("setup")
        return window["buttons"] if window is not None else []

    def texts() -> list[str]:
        window = hands.shown("setup")
        return window["texts"] if window is not None else []

    def changed(before: list[str]) -> bool:
        return texts() != before

    wait_for("wizard", lambda: app.window("setup")["active"])
    hands.go_on("Look around", lambda: "What I found" in texts())
    wait_for("server", lambda: "Test it" in buttons())
    record("the wizard found LM Studio and recommends it")
    hands.go_on("Test it", lambda: "A first answer" in texts())
    wait_for("first answer", lambda: any("answers with" in text for text in texts()))
    assert any(text.startswith(WORDS[0]) for text in texts())
    record("a first answer came in the wizard")
    hands.go_on("Next", lambda: "A first answer" not in texts())
    for _page in ("how far messages may go", "start with the computer"):
        hands.go_on("Next", partial(changed, texts()))
    hands.go_on("Start", lambda: hands.shown("setup") is None)
    assert app.window("chat")
    record("the wizard is done, and the chat is there")


def ended(hands: Hands, count: int) -> bool:
    """Whether there are so many messages, and the last one is whole."""
    rows = hands.rows()
    return len(rows) == count and not rows[-1]["active"] and bool(rows[-1]["by"])


def in_the_middle(hands: Hands, words: int) -> bool:
    """Whether an answer is coming of which so many words are there."""
    last = hands.rows()[-1:]
    return bool(last) and last[0]["active"] and len(last[0]["text"].split()) >= words


def watched(hands: Hands, words: int) -> list[tuple[float, str]]:
    """When how much of an answer was on the screen, up to so many words."""
    seen = [(time.monotonic(), "")]
    while len(seen[-1][1].split()) < words:
        row = hands.rows()[-1]
        assert row["active"] or not row["text"], "the answer ended too early"
        if row["text"] != seen[-1][1]:
            seen.append((time.monotonic(), row["text"]))
    return seen


@pytest.mark.parametrize("kind", [Mouse, Keyboard])
def test_a_day_from_the_wizard_to_quit(
    kind: type[Hands], servers: ServerFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    pace = ("--answer", ANSWER, "--token-delay", str(PACE))
    lm_studio = servers("lm_studio", *pace, models=[MODEL])
    monkeypatch.setenv("WHISPER_LLM__LMSTUDIO__PORT", str(lm_studio.port))
    monkeypatch.setenv("WHISPER_LLM__LLAMACPP__PORT", str(closed_port()))
    ollama = servers("ollama", models=[OTHER_MODEL])
    monkeypatch.setenv("OLLAMA_HOST", f"127.0.0.1:{ollama.port}")
    record = Record(f"A day by {kind.__name__.lower()}")
    with Screen(tray=kind.tray) as screen:
        hands = kind(screen)
        with Program(screen, home) as app:
            hands.take(app)
            through_the_wizard(hands, record)
            first = at_work(hands, record, lm_studio)
            lm_studio_dies(hands, record, lm_studio)
            lm_studio = servers("lm_studio", *pace, port=lm_studio.port, models=[MODEL])
            before, seen, killed = app_is_killed(hands, record)
            assert hands.app.ended() == -signal.SIGKILL
        with Program(screen, home) as app:
            hands.take(app)
            wait_for("chat", lambda: hands.chat()["active"])
            nothing_is_lost(hands, record, before, seen, killed)
            hands.open_first_of("heavy", lambda: hands.rows() == first)
            record("the first chat is as it was")
            hands.choose_backend("Ollama", lambda: choices(home)["llm"]["backend"] == "ollama")
            record("the backend was switched by the tray's menu")
            quick_ask(hands, record)
            hands.quit()
            assert app.ended() == 0
            assert app.said == ""
            wait_for("end of every process", lambda: not processes_of(home))
            record("quit: exit code 0, and no process is left")


def at_work(hands: Hands, record: Record, lm_studio: RunningServer) -> list[dict[str, Any]]:
    """Ask, stop, ask again, branch, search; what the first chat shows then."""
    hands.ask("How far is the moon?")
    wait_for("stream", lambda: in_the_middle(hands, 1))
    wait_for("answer", lambda: ended(hands, 2))
    assert [row["text"] for row in hands.rows()] == ["How far is the moon?", ANSWER]
    record("a question was answered word by word")

    lm_studio.set_fault("stall_mid_stream", HALF)  # so that a slow machine is in time to stop it
    hands.ask("And how heavy is it?")
    wait_for("stream", lambda: in_the_middle(hands, HALF))
    hands.stop()
    lm_studio.set_fault()
    stopped = hands.rows()[-1]
    assert ANSWER.startswith(stopped["text"])
    assert stopped["text"] != ANSWER
    assert stopped["seam"].startswith("Stopped after ")
    record(f"an answer was stopped: “{stopped['seam']}”")

    hands.on_message(3, "Try again", lambda: hands.rows()[-1]["active"])
    wait_for("another answer", lambda: ended(hands, 4) and hands.rows()[-1]["branch"] == [1, 2])
    assert hands.rows()[-1]["text"] == ANSWER
    record("another answer stands beside it")

    hands.on_message(0, "Edit", lambda: hands.chat()["draft"] == "How far is the moon?")
    screen = hands.screen
    screen.keys("ctrl+a")
    screen.write("How far is the sun?")
    wait_for("draft", lambda: hands.chat()["draft"] == "How far is the sun?")
    hands.send()
    wait_for("answer", lambda: ended(hands, 2) and hands.rows()[0]["branch"] == [1, 2])
    assert hands.rows()[0]["text"] == "How far is the sun?"
    record("the first question was worded otherwise: a branch")

    hands.branch(0, "branch_back", lambda: len(hands.rows()) == 4)
    assert hands.rows()[0]["text"] == "How far is the moon?"
    hands.branch(0, "branch_on", lambda: hands.rows()[0]["text"] == "How far is the sun?")
    record("the branches were switched to and fro")

    hands.new_chat()
    hands.ask("What is a good name for a cat?")
    wait_for("answer", lambda: ended(hands, 2))
    hands.open_first_of("heavy", lambda: len(hands.rows()) == 4)
    assert hands.rows()[2]["text"] == "And how heavy is it?"
    record("a search over all chats led to the other branch of the first one")
    return hands.rows()


def lm_studio_dies(hands: Hands, record: Record, lm_studio: RunningServer) -> None:
    """The server is killed while it answers; another one takes over."""
    hands.new_chat()
    lm_studio.set_fault("stall_mid_stream", HALF)
    hands.ask("What grows in the shade?")
    wait_for("stream", lambda: in_the_middle(hands, HALF))
    lm_studio.kill()
    wait_for("end of the answer", lambda: len(hands.rows()) == 2 and not hands.rows()[-1]["active"])
    broken = hands.rows()[-1]
    assert ANSWER.startswith(broken["text"])
    assert broken["by"] == "LM Studio"
    assert "LM Studio closed the connection" in broken["seam"]
    assert "Try again" in broken["seam"]
    record(f"LM Studio was killed while it answered: “{broken['seam']}”")
    hands.on_message(1, "With another model…", lambda: hands.app.ask("entry Ollama"))
    hands.choose("Ollama", "Any of its models", lambda: hands.rows()[-1]["by"] == "Ollama")
    wait_for("branch", lambda: hands.rows()[-1]["branch"] == [1, 2])
    record("Ollama answered instead; what had come stands beside it")


def app_is_killed(
    hands: Hands, record: Record
) -> tuple[list[dict[str, Any]], list[tuple[float, str]], float]:
    """kill -9 in the middle of an answer; what was shown before, what was seen of it, and when it ended."""
    hands.new_chat()
    hands.ask("Which tree is the oldest?")
    wait_for("answer", lambda: ended(hands, 2))
    before = hands.rows()
    hands.ask("And the tallest?")
    wait_for("stream", lambda: in_the_middle(hands, 1))
    seen = watched(hands, 32)
    killed = time.monotonic()
    hands.app.process.kill()
    record(f"the app was killed (-9) in the middle of an answer, after {len(seen[-1][1].split())} words")
    return before, seen, killed


def nothing_is_lost(
    hands: Hands, record: Record, before: list[dict[str, Any]], seen: list[tuple[float, str]], killed: float
) -> None:
    """After the next start everything is there, but for half a second of what was being written."""
    hands.open_chat(before[0]["text"], lambda: hands.rows()[:2] == before)
    after = hands.rows()
    assert len(after) == 4
    assert after[2]["text"] == "And the tallest?"
    kept = after[3]
    must = max((text for when, text in seen if when <= killed - MAY_BE_LOST), key=len)
    assert ANSWER.startswith(kept["text"])
    assert kept["text"].startswith(must)
    assert kept["seam"].startswith("The app ended while this answer was written.")
    words, least = len(kept["text"].split()), len(must.split())
    record(f"started again: {words} words of it are there ({least} must be): “{kept['seam']}”")

    hands.on_message(3, "Continue", lambda: hands.rows()[3]["active"])
    wait_for("rest", lambda: ended(hands, 4))
    whole = hands.rows()[3]["text"]
    assert whole.startswith(kept["text"])
    assert whole.endswith(WORDS[-1])
    record(f"the answer was continued to its end: {len(whole.split())} words")


def quick_ask(hands: Hands, record: Record) -> None:
    """Asked in passing."""
    hands.open_by_shortcut()
    hands.screen.write("Name a river")
    hands.screen.keys("Return")
    wait_for("answer", lambda: [row["by"] for row in hands.app.window("ask")["rows"]] == [None, "Ollama"])
    record("Quick ask came by its keys and was answered by Ollama")
    hands.screen.keys("Escape")
    wait_for("nothing", lambda: hands.shown("ask") is None)
