"""What the tests of `models` have in common: a home without models, a hub, files that are models."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli.program import Program
from tests.engines.tiny_model import write_tiny_model
from tests.servers.launch import RunningServer, start

LARGE = 4_000_000
"""Bytes of the models here: a copy is worth a question, and a slow hub takes seconds for one."""


def write_model(path: Path, *, name: str = "tiny", size: int = LARGE) -> Path:
    """A real model with so many bytes, those after its weights without a meaning."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_tiny_model(path, name=name)
    with path.open("ab") as file:
        file.write(hashlib.shake_128(name.encode()).digest(size - path.stat().st_size))
    return path


@dataclass(frozen=True)
class World:
    """The program in its home, the hub's folder, and both of its servers."""

    program: Program
    folder: Path
    hub: RunningServer
    store: RunningServer

    @property
    def home(self) -> Path:
        """The person's home folder, with nothing in it."""
        return Path(self.program.env["HOME"])

    @property
    def own(self) -> Path:
        """The app's own folder of models."""
        return self.program.home / "data" / "models"

    def offer(self, repo: str, file: str = "m-Q4_K_M.gguf", **said: object) -> Path:
        """A model on the hub, by its file there."""
        path = write_model(self.folder / repo / file, name=repo)
        (self.folder / repo / "repo.json").write_text(json.dumps(said))
        return path

    def asked(self, since: int) -> int:
        """How many bytes of files the store was asked for after so many requests, all being `LARGE`."""
        total = 0
        for request in self.store.requests()[since:]:
            start, _, end = request["headers"].get("range", "bytes=0-").removeprefix("bytes=").partition("-")
            total += (int(end) + 1 if end else LARGE) - int(start)
        return total

    def lm_studio(self, name: str, like: Path | None = None) -> Path:
        """A model in LM Studio's folder."""
        path = self.home / ".lmstudio" / "models" / "o" / "r" / name
        if like is None:
            return write_model(path, name=name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(like.read_bytes())
        return path

    def ollama(self, tag: str, like: Path | None = None) -> Path:
        """A model of Ollama's: its blob, and the manifest that names it."""
        root = self.home / ".ollama" / "models"
        fresh = write_model(root / "blobs" / "fresh", name=tag)
        if like is not None:
            fresh.write_bytes(like.read_bytes())
        digest = hashlib.sha256(fresh.read_bytes()).hexdigest()
        blob = fresh.rename(fresh.with_name(f"sha256-{digest}"))
        name, _, version = tag.partition(":")
        manifest = root / "manifests" / "registry.ollama.ai" / "library" / name / version
        manifest.parent.mkdir(parents=True)
        layer = {"mediaType": "application/vnd.ollama.image.model", "digest": f"sha256:{digest}"}
        manifest.write_text(json.dumps({"layers": [layer]}))
        return blob


@pytest.fixture(scope="session")
def hub_servers(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Path, RunningServer, RunningServer]]:
    """The hub's folder, the hub, and the store."""
    folder = tmp_path_factory.mktemp("hub")
    with (
        start("hub", "--folder", str(folder)) as store,
        start("hub", "--folder", str(folder), "--cdn", store.url) as hub,
    ):
        yield folder, hub, store


@pytest.fixture
def world(
    program: Program, tmp_path: Path, hub_servers: tuple[Path, RunningServer, RunningServer]
) -> Iterator[World]:
    """A computer without models, and a hub that behaves."""
    folder, hub, store = hub_servers
    home = tmp_path / "person"
    home.mkdir()
    program.env |= {"HOME": str(home), "HF_ENDPOINT": hub.url}
    for name in ("OLLAMA_MODELS", "HF_HOME", "HF_HUB_CACHE", "HF_TOKEN", "HF_HUB_OFFLINE"):
        program.env.pop(name, None)
    yield World(program, folder, hub, store)
    hub.set_fault("none")
    store.set_fault("none")
