"""Makes archives, good and evil, byte by byte as asked: the libraries' own makers would refuse some of it."""

import gzip
import io
import stat
import struct
import tarfile
import warnings
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Item:
    """One entry of an archive: `kind` is file, folder, link, twin (a hard link), fifo or device."""

    name: str
    data: bytes = b""
    kind: str = "file"
    target: str = ""
    mode: int = 0o644


TAR_TYPES = {
    "file": tarfile.REGTYPE,
    "folder": tarfile.DIRTYPE,
    "link": tarfile.SYMTYPE,
    "twin": tarfile.LNKTYPE,
    "fifo": tarfile.FIFOTYPE,
    "device": tarfile.CHRTYPE,
}
ZIP_MODES = {
    "file": stat.S_IFREG,
    "folder": stat.S_IFDIR,
    "link": stat.S_IFLNK,
    "fifo": stat.S_IFIFO,
    "device": stat.S_IFCHR,
}


def file(name: str, data: bytes = b"x", mode: int = 0o644) -> Item:
    """A file."""
    return Item(name, data, mode=mode)


def program(name: str, data: bytes = b"#!/bin/sh\n") -> Item:
    """A file that may be executed."""
    return Item(name, data, mode=0o755)


def folder(name: str) -> Item:
    """A folder."""
    return Item(name, kind="folder", mode=0o755)


def link(name: str, target: str) -> Item:
    """A symbolic link."""
    return Item(name, kind="link", target=target, mode=0o777)


def twin(name: str, target: str) -> Item:
    """A hard link (tar only)."""
    return Item(name, kind="twin", target=target)


def tar_bytes(items: Sequence[Item]) -> bytes:
    """A tar that nobody packed yet."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for item in items:
            info = tarfile.TarInfo(item.name)
            info.type = TAR_TYPES[item.kind]
            info.mode = item.mode
            info.linkname = item.target
            info.size = len(item.data) if item.kind == "file" else 0
            archive.addfile(info, io.BytesIO(item.data))
    return made.getvalue()


def make_tar(path: Path, items: Sequence[Item]) -> Path:
    """A .tar.gz."""
    path.write_bytes(gzip.compress(tar_bytes(items), 6))
    return path


def make_zip(path: Path, items: Sequence[Item]) -> Path:
    """A .zip, names and all as they are given."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a name that is there twice
        for item in items:
            info = zipfile.ZipInfo("x")
            info.filename = item.name + ("/" if item.kind == "folder" else "")
            info.create_system = 3
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = (ZIP_MODES[item.kind] | item.mode) << 16
            archive.writestr(info, item.target.encode() if item.kind == "link" else item.data)
    return path


def make(path: Path, items: Sequence[Item]) -> Path:
    """In the format that the name says."""
    return (make_zip if path.suffix == ".zip" else make_tar)(path, items)


def release(name: str = "llama-b100", version: str = "0.0.100") -> list[Item]:
    """What a release of llama.cpp for Linux holds: programs, and libraries under three names each."""
    items = [folder(name), file(f"{name}/LICENSE", b"MIT License\n" * 20), program(f"{name}/llama-server")]
    for library in ("llama", "ggml-base"):
        items += [
            link(f"{name}/lib{library}.so", f"lib{library}.so.0"),
            link(f"{name}/lib{library}.so.0", f"lib{library}.so.{version}"),
            program(f"{name}/lib{library}.so.{version}", b"\x7fELF" + library.encode() * 500),
        ]
    return items


def mark_encrypted(path: Path) -> Path:
    """A .zip whose entries say that they are encrypted."""
    data = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = data.find(signature)
        while place >= 0:
            flags = struct.unpack_from("<H", data, place + offset)[0]
            struct.pack_into("<H", data, place + offset, flags | 1)
            place = data.find(signature, place + 4)
    path.write_bytes(data)
    return path
