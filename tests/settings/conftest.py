"""What the settings' tests share: a home with files in it, and loading with nothing else around."""

from pathlib import Path

import pytest

from whisper_desktop.settings.layers import LoadedSettings, load_settings


class Home:
    """A person's home folder: write its files, load its settings."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / "config"
        self.folder.mkdir(parents=True)
        self.env = {"WHISPER_HOME": str(root)}

    @property
    def config(self) -> Path:
        return self.folder / "config.yaml"

    @property
    def choices(self) -> Path:
        return self.folder / "choices.yaml"

    @property
    def last_good(self) -> Path:
        return self.folder / "config.last-good.yaml"

    def load(self, *, env: dict[str, str] | None = None, **layers: dict[str, object]) -> LoadedSettings:
        return load_settings(env={**self.env, **(env or {})}, **layers)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")
