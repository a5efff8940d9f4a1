"""The build of the reference llama-server: what is trusted, where it goes, how it goes on after a stop.

The builds here are real (cmake, compiler) but of a three-line source, which stands where llama.cpp's would.
"""

import io
import json
import os
import shutil
import sys
import tarfile
from pathlib import Path

import dev_llama
import dev_lock
import pytest
from dev_say import Trouble

needs_a_compiler = pytest.mark.skipif(
    shutil.which("cmake") is None or shutil.which("c++") is None, reason="no cmake or no C++ compiler"
)
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="llama-server is not built on Windows")

CMAKE = """\
cmake_minimum_required(VERSION 3.16)
project(tiny CXX)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
foreach(name llama-server llama-fit-params llama-gguf-split ggml-rpc-server)
  add_executable(${name} main.cpp)
endforeach()
"""
MAIN = '#include <cstdio>\nint main() { std::puts("version: tiny"); }\n'


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the finished programs of this machine go, in a cache of the test's own."""
    monkeypatch.setenv("WHISPER_DEV_CACHE", str(tmp_path / "cache"))
    cpu = dev_llama.cpu_abilities(os.uname().machine, Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    return tmp_path / "cache" / "llama-server" / dev_llama.key(cpu)


def unpacked(place: Path, main: str = MAIN) -> Path:
    """A build that was stopped after its source was unpacked."""
    work = place.with_suffix(".building")
    (work / "source").mkdir(parents=True)
    (work / "source" / "CMakeLists.txt").write_text(CMAKE, encoding="utf-8")
    (work / "source" / "main.cpp").write_text(main, encoding="utf-8")
    (work / "source-unpacked").touch()
    return work


@needs_a_compiler
@pytest.mark.skipif(
    not Path("/proc/cpuinfo").exists(), reason="the cache folder is foretold from /proc/cpuinfo"
)
def test_a_stopped_build_goes_on_and_is_built_only_once(
    place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert dev_llama.find() is None
    work = unpacked(place)
    server = dev_llama.ensure(sys.executable)
    assert server == place / "llama-server" == dev_llama.find()
    assert {path.name for path in place.iterdir()} == {
        "llama-server",
        "llama-fit-params",
        "llama-gguf-split",
        "ggml-rpc-server",
        "build.json",
    }
    assert (
        json.loads((place / "build.json").read_text(encoding="utf-8"))["source"] == "llama-cpp-python 0.3.36"
    )
    assert not work.exists()
    assert "Building llama-server once" in capfd.readouterr().err
    assert dev_llama.ensure(sys.executable) == server
    assert capfd.readouterr().err == ""


@needs_a_compiler
def test_a_build_that_fails_shows_why_and_starts_afresh_next_time(place: Path) -> None:
    work = unpacked(place, main="this is no C++")
    with pytest.raises(Trouble, match=r"(?s)main\.cpp.*could not be built"):
        dev_llama.ensure(sys.executable)
    assert not work.exists()
    assert dev_llama.find() is None


def test_without_a_compiler_the_reason_is_named(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Trouble, match=r"cannot be built without cmake and c\+\+\."):
        dev_llama.ensure(sys.executable)


def test_a_server_that_does_not_start_is_named_with_its_last_words(place: Path) -> None:
    place.mkdir(parents=True)
    server = place / "llama-server"
    server.write_text("#!/bin/sh\necho libgomp.so.1: cannot open >&2; exit 127\n", encoding="utf-8")
    server.chmod(0o755)
    with pytest.raises(Trouble, match=r"(?s)libgomp.*does not start. Delete "):
        dev_llama.ensure(sys.executable)


def test_a_cache_that_cannot_be_written_names_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("WHISPER_DEV_CACHE", str(tmp_path / "file"))
    with pytest.raises(Trouble, match="Name another in WHISPER_DEV_CACHE"):
        dev_llama.ensure(sys.executable)


def test_a_source_with_another_hash_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "source.tar.gz"
    archive.write_bytes(b"abc")
    of_abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, appendix B.1
    dev_llama.check_sum(archive, of_abc)
    archive.write_bytes(b"abd")
    with pytest.raises(Trouble, match=f"instead of {of_abc}"):
        dev_llama.check_sum(archive, of_abc)


def archive_of(tmp_path: Path, *members: tuple[str, bytes | str]) -> Path:
    """A tar of files (bytes) and symbolic links (str: where to)."""
    path = tmp_path / "source.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
                tar.addfile(info)
            else:
                info.size, info.mode = len(content), 0o755 if content.startswith(b"#!") else 0o644
                tar.addfile(info, io.BytesIO(content))
    return path


def test_only_the_wanted_folder_is_unpacked(tmp_path: Path) -> None:
    archive = archive_of(
        tmp_path,
        ("pkg-1/setup.py", b"no"),
        ("pkg-1/vendor/other/x", b"no"),
        ("pkg-1/vendor/llama.cpp/CMakeLists.txt", b"yes"),
        ("pkg-1/vendor/llama.cpp/sub/run.sh", b"#!yes"),
    )
    target = tmp_path / "target"
    dev_llama.unpack(archive, "vendor/llama.cpp/", target)
    files = {str(path.relative_to(target)): path for path in target.rglob("*") if path.is_file()}
    assert set(files) == {"CMakeLists.txt", "sub/run.sh"}
    assert files["CMakeLists.txt"].read_bytes() == b"yes"
    assert os.access(files["sub/run.sh"], os.X_OK)
    assert not os.access(files["CMakeLists.txt"], os.X_OK)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("pkg/vendor/llama.cpp/../../../escaped", b"x"),
        ("pkg/vendor/llama.cpp//etc/escaped", b"x"),
        ("pkg/vendor/llama.cpp/link", "/etc/passwd"),
        ("pkg/vendor/llama.cpp/link", "harmless"),
    ],
)
def test_a_member_that_could_leave_the_folder_is_refused(
    tmp_path: Path, name: str, content: bytes | str
) -> None:
    archive = archive_of(tmp_path, (name, content))
    before = set(tmp_path.rglob("*"))
    with pytest.raises(Trouble, match="no plain file inside it"):
        dev_llama.unpack(archive, "vendor/llama.cpp/", tmp_path / "deep" / "target")
    assert set(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("environ", "system", "expected"),
    [
        ({"WHISPER_DEV_CACHE": "/data/cache"}, "linux", "/data/cache"),
        ({"XDG_CACHE_HOME": "/data/xdg"}, "linux", "/data/xdg/whisper-desktop-dev"),
        ({}, "linux", "~/.cache/whisper-desktop-dev"),
        ({}, "darwin", "~/Library/Caches/whisper-desktop-dev"),
        ({"LOCALAPPDATA": "/data/local"}, "win32", "/data/local/whisper-desktop-dev"),
        ({"WHISPER_DEV_CACHE": "~/mine"}, "darwin", "~/mine"),
    ],
)
def test_the_cache_lies_where_the_system_keeps_caches(
    environ: dict[str, str], system: str, expected: str
) -> None:
    assert dev_llama.cache_folder(environ, system) == Path(expected).expanduser()


def test_another_cpu_gets_another_build() -> None:
    """The lines' form is the kernel's on x86 and on ARM; the flags are cut short."""
    x86 = "processor\t: 0\nflags\t\t: fpu sse2 avx2\nprocessor\t: 1\nflags\t\t: fpu sse2 avx2\n"
    arm = "processor\t: 0\nBogoMIPS\t: 50.00\nFeatures\t: fp asimd\n"
    assert dev_llama.cpu_abilities("x86_64", x86) == "x86_64 avx2 fpu sse2"
    assert dev_llama.cpu_abilities("aarch64", arm) == "aarch64 asimd fp"
    assert dev_llama.cpu_abilities("arm64", "") == "arm64"
    assert dev_llama.key("x86_64 avx2") != dev_llama.key("x86_64 avx2 avx512f")


@pytest.mark.parametrize(
    ("line", "step"),
    [
        ("[12/212] Building CXX object x.cpp.o", "compiling llama-server, step 12 of 212"),
        ("[  3%] Building CXX object x.cpp.o", "compiling llama-server, 3 %"),
        ("In function ‘x’:", None),
    ],
)
def test_the_progress_of_the_build_is_read_from_its_output(line: str, step: str | None) -> None:
    assert dev_llama.build_step(line) == step


def test_two_builds_at_once_wait_for_each_other_and_no_longer_than_told(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    lock = tmp_path / "new" / "folder" / "x.lock"
    with (
        dev_lock.only_one(lock, "building", 5),
        pytest.raises(Trouble, match="Another dev.py has been building"),
        dev_lock.only_one(lock, "building", 0),
    ):
        pass
    assert capfd.readouterr().err == "Another dev.py is building; waiting for it.\n"
    with dev_lock.only_one(lock, "building", 0):
        pass
