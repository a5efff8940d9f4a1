"""What the tests of the models window share: a hub with repositories, models on the disk, an open window."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from PySide6.QtWidgets import QLabel, QWidget
from pytestqt.qtbot import QtBot

from tests.engines.tiny_model import write_tiny_model
from tests.servers.fixtures import ServerFactory
from tests.servers.launch import RunningServer
from tests.ui.conftest import WAIT, Shown, World
from whisper_desktop.app import App
from whisper_desktop.settings.paths import model_cache_dir
from whisper_desktop.ui.bridge import Bridge
from whisper_desktop.ui.models.window import ModelsWindow
from whisper_desktop.values import Deadlines

QUICK = replace(Deadlines(), retry_pause=0.002, breaker_far=0.02, breaker_far_most=0.05)
"""With what fails tried again at once."""


@dataclass
class Hub:
    """A hub, and the folder that its repositories lie in."""

    server: RunningServer
    folder: Path

    def offer(self, repo: str, *files: str, **said: object) -> Path:
        """Offer a repository whose files are small models that run; returns the folder of its files."""
        folder = self.folder / repo
        folder.mkdir(parents=True)
        for name in files:
            write_tiny_model(folder / name)
        (folder / "repo.json").write_text(json.dumps(said))
        return folder


@pytest.fixture
def hub(servers: ServerFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """The hub that the app asks."""
    folder = tmp_path / "hub"
    folder.mkdir()
    server = servers("hub", "--folder", str(folder))
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    return Hub(server, folder)


@pytest.fixture
def own_folder() -> Path:
    """The folder of the app's own models."""
    folder = model_cache_dir(None)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


Opener = Callable[[App], ModelsWindow]


@pytest.fixture
def opened(bridge: Bridge, shown: Shown, qtbot: QtBot) -> Opener:
    """Opens the window and waits until it has looked at the folders."""

    def open_it(app: App) -> ModelsWindow:
        window = shown(ModelsWindow(bridge, app))
        qtbot.waitUntil(lambda: window.shelf.looked, timeout=WAIT)
        return window

    return open_it


@pytest.fixture
def window(opened: Opener, world: World, hub: Hub) -> ModelsWindow:
    """The window of an app that knows the hub, and where no model is."""
    return opened(world(deadlines=QUICK))


def words(widget: QWidget) -> str:
    """All that its labels say."""
    return " ".join(label.text() for label in widget.findChildren(QLabel))
