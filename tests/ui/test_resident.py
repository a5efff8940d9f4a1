"""What a desktop that waits in the tray has not loaded: it would lie in memory all day."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.integration.worlds import closed_port
from tests.servers.fixtures import ServerFactory

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60.0
NOT_WHILE_WAITING = (
    "pydantic",
    "keyring",
    "secretstorage",
    "cryptography",
    "importlib.metadata",
    "httpx",
    "markdown_it",
    "pygments",
    "pypdf",
    "ziamath",
    "whisper_desktop.advice.ranking",
    "whisper_desktop.engines.supervisor",
    "whisper_desktop.models.catalogue",
    "whisper_desktop.models.downloads",
    "whisper_desktop.wire.transfer",
    "whisper_desktop.ui.chat.window",
)

_WAITING = """
import json, linecache, sys
from contextlib import aclosing
from PySide6.QtCore import QTimer
from whisper_desktop.ui.desktop import Desktop
from whisper_desktop.ui import main

started = Desktop._on_started

def on_started(self, app):
    started(self, app)

    async def use():
        session = await app.chats.new()
        async with aclosing(session.send("Hello")) as events:
            async for _ in events:
                pass
        await app.models.begun()
        return session.nodes

    def look():
        if any(server.models for server in app.servers):
            self.bridge.run(use()).add_done_callback(tell)
        else:
            QTimer.singleShot(20, look)

    def tell(used):
        seen = {"messages": len(used.result()), "modules": [*sys.modules], "sources": [*linecache.cache]}
        print(json.dumps(seen), flush=True)
        self.quit()

    look()

Desktop._on_started = on_started
raise SystemExit(main.run_desktop(background=True))
"""


def test_a_desktop_in_the_tray_that_has_asked_a_server_has_loaded_only_what_that_needs(
    servers: ServerFactory, tmp_path: Path
) -> None:
    server = servers("lm_studio", models=["a"])
    env = {
        **os.environ,
        "WHISPER_LLM__LMSTUDIO__PORT": str(server.port),
        "WHISPER_LLM__LLAMACPP__PORT": str(closed_port()),
        "OLLAMA_HOST": f"127.0.0.1:{closed_port()}",
        "QT_QPA_PLATFORM": "offscreen",
        "WHISPER_HOME": str(tmp_path),
        "WHISPER_UI__SETUP_DONE": "1",
        "DBUS_SESSION_BUS_ADDRESS": "disabled:",
    }
    done = subprocess.run(
        [sys.executable, "-c", _WAITING], cwd=ROOT, env=env, capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["messages"] == 2, "it has asked a server"
    assert not {*NOT_WHILE_WAITING} & {*seen["modules"]}
    assert not [name for name in seen["sources"] if "whisper_desktop" in name]
