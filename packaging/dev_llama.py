"""The tests' reference `llama-server`, built from a pinned source package into a cache outside the tree.

Source: the sdist of llama-cpp-python (MIT), which carries llama.cpp (MIT) whole. The build is for this very
CPU (GGML_NATIVE), so the cache folder is named after the source, the options and the CPU. A build that was
interrupted goes on where it stopped.
"""

import hashlib
import json
import os
import platform
import re
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path

from dev_lock import only_one
from dev_process import quiet
from dev_say import Trouble, duration, say

_PACKAGE = "llama-cpp-python"
_VERSION = "0.3.36"
_SHA256 = "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e"
_INSIDE = "vendor/llama.cpp/"

_OPTIONS = (
    "-DCMAKE_BUILD_TYPE=Release",
    "-DBUILD_SHARED_LIBS=OFF",
    "-DLLAMA_BUILD_TESTS=OFF",
    "-DLLAMA_BUILD_EXAMPLES=OFF",
    "-DLLAMA_BUILD_APP=OFF",
    "-DLLAMA_USE_PREBUILT_UI=OFF",
    "-DLLAMA_OPENSSL=OFF",
    "-DGGML_NATIVE=ON",
    "-DGGML_RPC=ON",
)
_PROGRAMS = ("llama-server", "llama-fit-params", "llama-gguf-split", "ggml-rpc-server")

_DOWNLOAD_LIMIT_S = 1200.0
_CONFIGURE_LIMIT_S = 600.0
_BUILD_LIMIT_S = 3600.0
_START_LIMIT_S = 20.0
_BLOCK = 1 << 20


def cache_folder(environ: Mapping[str, str], platform_name: str = sys.platform) -> Path:
    """Where development keeps what is slow to make: WHISPER_DEV_CACHE, else the system's place for caches."""
    if environ.get("WHISPER_DEV_CACHE"):
        return Path(environ["WHISPER_DEV_CACHE"]).expanduser().absolute()
    home = Path("~").expanduser()
    if platform_name == "win32":
        base = Path(environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif platform_name == "darwin":
        base = home / "Library" / "Caches"
    else:
        base = Path(environ.get("XDG_CACHE_HOME") or home / ".cache")
    return base / "whisper-desktop-dev"


def cpu_abilities(machine: str, cpuinfo: str) -> str:
    """The machine and its CPU's instruction sets, from the text of /proc/cpuinfo (empty if there is none)."""
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return " ".join([machine, *sorted(value.split())])
    return machine


def key(cpu: str) -> str:
    """The name of the cache folder: what is built, how, and for which CPU."""
    parts = [_SHA256, *_OPTIONS, *_PROGRAMS, cpu]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def find() -> Path | None:
    """The reference llama-server, if it has been built."""
    server = _place() / "llama-server"
    return server if server.exists() else None


def ensure(python: str) -> Path:
    """The reference llama-server, built now if need be. Trouble says why it cannot be had."""
    if sys.platform == "win32":
        raise Trouble("The reference llama-server is built on Linux and macOS only.")
    place = _place()
    try:
        with only_one(place.with_suffix(".lock"), "building llama-server", _BUILD_LIMIT_S):
            if not find():
                _build(python, place)
    except OSError as error:
        raise Trouble(
            f"The cache folder {place.parent} cannot be used: {error.strerror}. "
            "Name another in WHISPER_DEV_CACHE."
        ) from error
    server = place / "llama-server"
    answer = quiet([server, "--version"], limit_s=_START_LIMIT_S)
    if answer.code:
        raise Trouble(
            f"{answer.tail()}\nThe reference llama-server does not start. Delete {place} to build it anew."
        )
    return server


def build_step(line: str) -> str | None:
    """How far a line of ninja's (`[12/212] ...`) or make's (`[ 12%] ...`) output says the build is."""
    if done := re.match(r"\[(\d+)/(\d+)\]", line):
        return f"compiling llama-server, step {done[1]} of {done[2]}"
    if done := re.match(r"\[ *(\d+)%\]", line):
        return f"compiling llama-server, {done[1]} %"
    return None


def check_sum(archive: Path, expected: str) -> None:
    """Raises Trouble unless the file's SHA-256 is the expected one."""
    digest = hashlib.sha256()
    with archive.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    if digest.hexdigest() != expected:
        raise Trouble(
            f"{archive.name} is not the file that the project expects, so it was not unpacked: its SHA-256 "
            f"is {digest.hexdigest()} instead of {expected}. Try again; if it stays so, do not trust the "
            "package index."
        )


def unpack(archive: Path, inside: str, target: Path) -> None:
    """Unpacks what lies under `<top folder>/<inside>` into `target`; what could leave it raises Trouble.

    Own rules, for tarfile's filters are missing from Python 3.11.0 to 3.11.3: plain files and folders only.
    """
    with tarfile.open(archive) as tar:
        for member in tar:
            _, _, path = member.name.partition("/")
            if member.isdir() or not (path + "/").startswith(inside):
                continue
            relative = Path(path[len(inside) :])
            if not member.isfile() or relative.is_absolute() or ".." in relative.parts or not relative.parts:
                raise Trouble(
                    f"{archive.name} holds {member.name!r}, which is no plain file inside it, so nothing was "
                    "built. Do not trust the package index it came from."
                )
            to = target / relative
            to.parent.mkdir(parents=True, exist_ok=True)
            content = tar.extractfile(member)
            assert content is not None  # a plain file has content
            with content, to.open("wb") as file:
                shutil.copyfileobj(content, file)
            to.chmod(0o755 if member.mode & 0o100 else 0o644)


def _place() -> Path:
    try:
        cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        cpuinfo = ""
    return cache_folder(os.environ) / "llama-server" / key(cpu_abilities(platform.machine(), cpuinfo))


def _build(python: str, place: Path) -> None:
    lacking = [name for name in ("cmake", "c++") if shutil.which(name) is None]
    if lacking:
        raise Trouble(f"The reference llama-server cannot be built without {' and '.join(lacking)}.")
    work = place.with_suffix(".building")
    source, out = work / "source", work / "out"
    unpacked = work / "source-unpacked"
    if not unpacked.exists():
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        _fetch(python, source)
        unpacked.touch()
    jobs = os.cpu_count() or 2
    say(f"Building llama-server once, for the tests: about 6 minutes on two cores. It is kept in {place}.")
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    configured = quiet(
        ["cmake", *generator, "-S", source, "-B", out, *_OPTIONS],
        limit_s=_CONFIGURE_LIMIT_S,
        doing="looking at this machine's compiler",
    )
    if configured.code:
        shutil.rmtree(work)
        raise Trouble(f"{configured.tail()}\nllama-server could not be configured. The lines above say why.")
    built = quiet(
        ["cmake", "--build", out, "--target", *_PROGRAMS, f"-j{jobs}"],
        limit_s=_BUILD_LIMIT_S,
        step=build_step,
    )
    if built.code:
        shutil.rmtree(work)
        raise Trouble(f"{built.tail()}\nllama-server could not be built. The lines above say why.")
    _settle(out / "bin", place, built.seconds)
    shutil.rmtree(work)
    say(f"llama-server is built ({duration(configured.seconds + built.seconds)}).")


def _fetch(python: str, source: Path) -> None:
    say(f"Fetching the source of llama.cpp (MIT): {_PACKAGE} {_VERSION}, 77 MB.")
    with tempfile.TemporaryDirectory(dir=source.parent) as folder:
        wanted = Path(folder, "wanted.txt")
        wanted.write_text(f"{_PACKAGE}=={_VERSION} --hash=sha256:{_SHA256}\n", encoding="utf-8")
        # pip looks into the package to learn its name, for which it fetches the package's small build tools.
        options = [
            "--no-deps",
            "--no-binary",
            _PACKAGE,
            "--require-hashes",
            "--no-input",
            "--progress-bar",
            "off",
        ]
        fetched = quiet(
            [python, "-m", "pip", "download", *options, "-r", wanted, "-d", folder],
            limit_s=_DOWNLOAD_LIMIT_S,
            doing="downloading",
        )
        archives = list(Path(folder).glob("*.tar.gz"))
        if fetched.code or len(archives) != 1:
            from dev_venv import pip_advice

            raise Trouble(
                f"{fetched.tail()}\nThe source of llama.cpp did not arrive. {pip_advice(fetched.lines)}"
            )
        check_sum(archives[0], _SHA256)
        unpack(archives[0], _INSIDE, source)


def _settle(programs: Path, place: Path, seconds: float) -> None:
    """Puts the finished programs into their place in one step: nobody ever sees half of them."""
    beside = place.with_suffix(".placing")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir()
    for name in _PROGRAMS:
        shutil.copy2(programs / name, beside / name)
    facts = {
        "source": f"{_PACKAGE} {_VERSION}",
        "sha256": _SHA256,
        "options": _OPTIONS,
        "seconds": round(seconds),
    }
    (beside / "build.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    beside.rename(place)
