"""Releases to install from: archives of scripted or real programs, on the release server of the tests."""

import io
import platform
import shutil
import sys
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.engines.builds.programs import working_server
from tests.servers.launch import RunningServer
from whisper_desktop.values import GIB, GpuInfo, ResourceInfo

ARCH = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}[platform.machine().lower()]


@dataclass(frozen=True)
class Forge:
    """What is published, and where. The archives are those of Linux, which the tests pretend to be."""

    folder: Path
    server: RunningServer
    repo: str

    @property
    def index(self) -> str:
        """The address of the list of releases."""
        return f"{self.server.url}/repos/{self.repo}/releases"

    def publish(self, tag: str, variant: str = "", text: str | bytes | None = None) -> Path:
        """Adds a build whose llama-server is this script, or these bytes; returns its archive."""
        if text is None:
            text = working_server(f"{tag} (scripted)")
        kind = f"{variant}-" if variant else ""
        archive = self._place(tag, f"llama-{tag}-bin-ubuntu-{kind}{ARCH}.tar.gz")
        data = text if isinstance(text, bytes) else text.encode()
        _pack(archive, {f"llama-{tag}/LICENSE": b"MIT", f"llama-{tag}/llama-server": data})
        return archive

    def publish_runtime(self, tag: str, toolkit: str, more: Mapping[str, bytes | str] | None = None) -> Path:
        """Adds NVIDIA's libraries for a CUDA build, in a folder of their own, as they really are.

        `more` are further files of that folder, or, as text, links.
        """
        name = f"cudart-llama-{tag}-bin-ubuntu-cuda-{toolkit}-{ARCH}"
        archive = self._place(tag, f"{name}.tar.gz")
        files: dict[str, bytes | str] = {"libcudart.so.12": b"\x7fELF", "LICENSE": b"theirs"}
        _pack(archive, {f"{name}/{file}": contents for file, contents in (files | dict(more or {})).items()})
        return archive

    def publish_file(self, tag: str, file: Path) -> Path:
        """Adds any file under the name of this system's plain build."""
        archive = self._place(tag, f"llama-{tag}-bin-ubuntu-{ARCH}.tar.gz")
        shutil.copyfile(file, archive)
        return archive

    def _place(self, tag: str, name: str) -> Path:
        folder = self.folder / self.repo / tag
        folder.mkdir(parents=True, exist_ok=True)
        return folder / name


def computer(*gpus: GpuInfo) -> ResourceInfo:
    """This computer as the archives are for it."""
    return ResourceInfo("Linux", "", platform.machine(), "", 2, 2, 16 * GIB, 8 * GIB, gpus=gpus)


def _pack(archive: Path, files: Mapping[str, bytes | str]) -> None:
    with tarfile.open(archive, "w:gz", compresslevel=1) as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            if isinstance(data, str):
                entry.type, entry.linkname = tarfile.SYMTYPE, data
                tar.addfile(entry)
                continue
            entry.size = len(data)
            entry.mode = 0o755 if sys.platform != "win32" and name.endswith("llama-server") else 0o644
            tar.addfile(entry, io.BytesIO(data))
