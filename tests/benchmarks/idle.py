"""What the app takes while nobody uses it: processor, wake-ups, memory; beside a bare PySide6 tray program.

Three states, each on a real screen with a real tray: idle in the tray after the start; after a first chat
whose window was closed; with a chat of 400 messages open. A wake-up is a voluntary context switch of any of
its threads (/proc/PID/task/*/status); memory is what is resident, and its fair share of that (PSS).
`python3 packaging/dev.py bench idle [SECONDS]` on an idle machine.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.tray_start import BARE, ICON
from tests.integration.worlds import closed_port
from tests.ui.desktop.screen import ROOT, Program, Screen, missing_tools, wait_for
from whisper_desktop.chat.records import Conversation, Node
from whisper_desktop.chat.store import ConversationStore
from whisper_desktop.values import Deadlines, Role

SECONDS = 20.0
SETTLE = 12.0  # seconds: what goes on after the start, or after a chat, has ended by then
MESSAGES = 400
CPU_MUST, WAKE_UPS_MUST = 0.2, 2.0  # percent of a core; a second
IN_TRAY_MUST, WITH_CHAT_MUST = 90, 130  # MB resident
TEXT = "The morning train from Lisbon is quick and cheap, and **the view** along the river is worth it. " * 6


@dataclass(frozen=True)
class Reading:
    """What one process took over some seconds."""

    name: str
    cpu_percent: float
    wake_ups: float
    resident_mb: float
    private_mb: float

    def __str__(self) -> str:
        return (
            f"{self.cpu_percent:6.2f} %  {self.wake_ups:5.1f} /s  {self.resident_mb:6.0f} MB  "
            f"{self.private_mb:6.0f} MB PSS  {self.name}"
        )


def reading(name: str, pid: int, seconds: float) -> Reading:
    """Watch a process for a while; it should have nothing to do."""
    time.sleep(SETTLE)
    cpu, switches, begun = cpu_seconds(pid), voluntary_switches(pid), time.perf_counter()
    time.sleep(seconds)
    passed = time.perf_counter() - begun
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text("utf-8")
    sizes = {line.split(":")[0]: int(line.split()[1]) for line in rollup.splitlines()[1:]}
    return Reading(
        name,
        (cpu_seconds(pid) - cpu) / passed * 100,
        (voluntary_switches(pid) - switches) / passed,
        sizes["Rss"] * 1024 / 1e6,
        sizes["Pss"] * 1024 / 1e6,
    )


def cpu_seconds(pid: int) -> float:
    """All processor time of a process: proc(5)."""
    fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def voluntary_switches(pid: int) -> int:
    """How often its threads went to wait."""
    total = 0
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        lines = status.read_text("utf-8").splitlines()
        total += sum(int(line.split()[1]) for line in lines if line.startswith("voluntary"))
    return total


def bare(screen: Screen, seconds: float) -> Reading:
    """The bare program."""
    process = subprocess.Popen([sys.executable, "-c", BARE, str(ICON)], cwd=ROOT, env=screen.env)
    try:
        return reading("bare PySide6 tray program", process.pid, seconds)
    finally:
        process.kill()
        process.wait()


def ours(screen: Screen, home: Path, seconds: float) -> list[Reading]:
    """The three states of the app."""
    ports = {
        name: str(closed_port()) for name in ("WHISPER_LLM__LMSTUDIO__PORT", "WHISPER_LLM__LLAMACPP__PORT")
    }
    env = {
        **ports,
        "OLLAMA_HOST": f"127.0.0.1:{closed_port()}",
        "WHISPER_LLM_STUB": "1",
        "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
    }
    with Program(screen, home, "--background", env=env) as program:
        wait_for("icon", lambda: program.ask("tray"))
        found = [reading("idle in the tray", program.process.pid, seconds)]
        program.click("tray", "chat", lambda: program.ask("windows"))
        wait_for("active chat", lambda: program.window("chat")["active"])
        program.write("Hello")
        screen.keys("Return")
        wait_for("answer", lambda: [row["by"] for row in program.window("chat")["rows"]][1:])
        screen.keys("alt+F4")
        wait_for("closed window", lambda: not program.ask("windows"))
        found.append(reading("after a first chat, window closed", program.process.pid, seconds))
    asyncio.run(fill(home))
    with Program(screen, home, "--background", env=env) as program:
        wait_for("menu", lambda: "Recent chats" in program.ask("entries"))

        def opened() -> bool:
            program.choose(
                *["Up"] * 6, "Right", "Return"
            )  # Quit, Logs, Settings, Setup, Models, Recent chats
            end = time.monotonic() + 3
            while time.monotonic() < end:
                if any(len(window["rows"]) == MESSAGES for window in program.ask("windows")):
                    return True
                time.sleep(0.05)
            return False

        wait_for("long chat", opened)
        found.append(reading(f"a chat of {MESSAGES} messages open", program.process.pid, seconds))
    return found


async def fill(home: Path) -> None:
    """Keep one long conversation, the newest there is."""
    store = await ConversationStore.open(home / "data" / "conversations.db", Deadlines())
    now, parent = time.time(), None
    for number in range(MESSAGES):
        role = Role.ASSISTANT if number % 2 else Role.USER
        node = Node(f"m{number}", parent, role, f"{number}. {TEXT}", now + number / 1000)
        store.put_node("long", node)
        parent = node.id
    store.put(Conversation("long", now, now + 10, title="A long one", leaf=parent))
    await store.close()


def main() -> int:
    """Measure, and print one line each. Exit code 1 when a limit is passed."""
    if missing := missing_tools():
        print(f"Not measured: {', '.join(missing)} must be installed.")
        return 0
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS
    with Screen() as screen, tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "config").mkdir()
        (home / "config" / "choices.yaml").write_text("ui:\n  setup_done: true\n", encoding="utf-8")
        plain = bare(screen, seconds)
        found = ours(screen, home, seconds)
    for each in (plain, *found):
        print(each)
    memory = f"{IN_TRAY_MUST} MB in the tray, {WITH_CHAT_MUST} MB with a chat"
    print(f"musts: {CPU_MUST} %, {WAKE_UPS_MUST:.0f} /s, {memory}")
    above = [f"{each.resident_mb - plain.resident_mb:+.0f} MB" for each in found]
    print(f"above the bare program: {', '.join(above)}; load {os.getloadavg()[0]:.1f}")
    limits = (IN_TRAY_MUST, IN_TRAY_MUST, WITH_CHAT_MUST)
    within = all(
        each.cpu_percent <= CPU_MUST and each.wake_ups <= WAKE_UPS_MUST and each.resident_mb <= limit
        for each, limit in zip(found, limits, strict=True)
    )
    return 0 if within else 1


if __name__ == "__main__":
    sys.exit(main())
