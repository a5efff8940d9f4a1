"""LM Studio's AppImage on a real virtual display: started, seen to greet, and gone without a trace."""

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.engines.conftest import gone, until
from tests.engines.programs.conftest import IMPATIENT, PATIENT, MakeSurroundings, yes
from tests.ports import closed_port
from tests.servers.programs import ROOT, Home
from tests.servers.programs.appimage import opens_display
from whisper_desktop.engines.programs import started
from whisper_desktop.engines.programs.appimage import why_it_ended
from whisper_desktop.engines.programs.guarded import Guarded, Lifetime
from whisper_desktop.engines.programs.lm_studio import LMStudio
from whisper_desktop.errors import EngineError
from whisper_desktop.settings.paths import cache_dir, run_dir
from whisper_desktop.values import Deadlines

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="AppImages run on Linux only"),
    pytest.mark.skipif(shutil.which("Xvfb") is None, reason="no Xvfb"),
]


@pytest.fixture
def port() -> int:
    return closed_port()


@pytest.fixture
def appimage(home: Home) -> Path:
    return home.install_appimage()


@pytest.fixture
def studio(appimage: Path, around: MakeSurroundings) -> LMStudio:
    """LM Studio on a virtual display."""
    return LMStudio(around(), appimage_path=appimage, virtual=True)


async def start(studio: LMStudio, port: int, lifetime: Lifetime = Lifetime.OURS) -> Guarded:
    running = await studio.start(port, await yes("lm_studio", "start", port), lifetime=lifetime)
    assert running.child is not None
    return running.child


def display_of(home: Home) -> str:
    """The display that it opened, as a socket."""
    (name,) = [call[1] for call in home.calls() if call[0] == "display"]
    return f"/tmp/.X11-unix/X{name.lstrip(':')}"


def is_open(display: str) -> bool:
    return os.path.lexists(display)


def family(pid: int) -> list[int]:
    return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]


def killed_owner(home: Home, appimage: Path, port: int) -> list[int]:
    """What ran below an app of ours that has just been killed."""
    owner = subprocess.Popen(
        [sys.executable, "-m", "tests.engines.programs.owner", str(appimage), str(port)],
        cwd=ROOT,
        env={**home.env, "WHISPER_HOME": os.environ["WHISPER_HOME"]},
        stdout=subprocess.PIPE,
    )
    with owner:
        assert owner.stdout is not None
        everybody = family(int(owner.stdout.readline()))
        owner.kill()
    return everybody


def cookies() -> list[Path]:
    return list(run_dir().glob("display-*"))


# --- a life -----------------------------------------------------------------------------------------------


async def test_it_greets_on_a_display_of_its_own_and_leaves_nothing(
    home: Home, appimage: Path, studio: LMStudio, port: int
) -> None:
    home.script(serves=port, daughters=True)
    child = await start(studio, port)
    display, everybody = display_of(home), family(child.pid)
    assert is_open(display)
    assert len(everybody) == 5, "the guard, the display, the app, its server and its daughter"
    (cookie,) = [folder / "Xauthority" for folder in cookies()]
    assert cookie.stat().st_mode & 0o777 == 0o600
    name = f":{display.rpartition('X')[2]}"
    assert opens_display(name, cookie)
    assert not opens_display(name, appimage), "nobody without the cookie is let in"
    assert await child.stop(Deadlines())
    assert [pid for pid in everybody if not gone(pid)] == []
    assert not is_open(display)
    assert cookies() == []


async def test_its_server_is_switched_on_where_it_does_not_come_by_itself(
    home: Home, studio: LMStudio, port: int
) -> None:
    home.install_lms()
    home.script(slow=0.2)
    child = await start(studio, port)
    assert ["lms", "server", "start", "--port", str(port)] in home.calls()
    assert home.pids("daemon") == [], "the tool found the app that was starting"
    await child.stop(Deadlines())


async def test_without_fuse_it_is_unpacked_once(home: Home, studio: LMStudio, port: int) -> None:
    home.script(serves=port, no_fuse=True)
    for _ in range(2):
        child = await start(studio, port)
        await child.stop(Deadlines())
    starts = [call[:2] for call in home.calls() if call[0] != "display"]
    assert starts == [
        ["appimage", "--no-sandbox"],
        ["appimage", "--appimage-extract"],
        ["unpacked", "--no-sandbox"],
        ["unpacked", "--no-sandbox"],
    ]
    assert len(list((cache_dir() / "programs").iterdir())) == 1


async def test_it_uses_the_screen_of_a_person_who_has_one(
    home: Home, appimage: Path, around: MakeSurroundings, port: int
) -> None:
    studio = LMStudio(around(DISPLAY=f":{port}"), appimage_path=appimage)
    with pytest.raises(EngineError, match="found no display"):
        await studio.start(port, await yes("lm_studio", "start", port))
    assert [call[0] for call in home.calls()] == ["appimage"], "it was started, and nobody has that display"


# --- whose life it shares ---------------------------------------------------------------------------------


async def test_it_dies_with_us_and_takes_its_display_along(home: Home, appimage: Path, port: int) -> None:
    home.script(serves=port, daughters=True)
    everybody = killed_owner(home, appimage, port)
    assert await until(lambda: all(map(gone, everybody)), 5)
    assert not is_open(display_of(home))
    assert cookies() == []


async def test_a_guard_that_is_killed_takes_program_and_display_along(
    home: Home, studio: LMStudio, port: int
) -> None:
    home.script(serves=port)
    child = await start(studio, port)
    everybody = family(child.pid)
    os.kill(child.pid, signal.SIGKILL)
    assert await until(lambda: all(map(gone, everybody)), 5)
    assert not is_open(display_of(home))
    assert len(cookies()) == 1
    await child.stop(Deadlines())
    again = await start(studio, port)
    assert len(cookies()) == 1, "what was left is removed by the next one"
    await again.stop(Deadlines())


async def test_on_its_own_it_stays_until_it_is_stopped(home: Home, studio: LMStudio, port: int) -> None:
    home.script(serves=port)
    child = await start(studio, port, Lifetime.ITS_OWN)
    everybody = family(child.pid)
    record = started.recall("lm_studio")
    assert record is not None
    assert (record.pid, record.parts) == (child.pid, ("guard",))
    assert os.getsid(child.pid) == child.pid, "nothing of this terminal ends it"
    assert psutil.Process(child.pid).cmdline()[5] == "0", "and it watches nobody"
    await studio.stop(await yes("lm_studio", "stop"))
    assert await until(lambda: all(map(gone, everybody)), 3)
    assert started.recall("lm_studio") is None


async def test_a_start_that_nobody_waits_for_any_more_leaves_nothing(
    home: Home, studio: LMStudio, port: int
) -> None:
    starting = asyncio.create_task(start(studio, port))
    assert await until(lambda: bool(home.pids("app")), 20)
    (app,) = home.pids("app")
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert gone(app)
    assert cookies() == []


# --- faults -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "cause", "sentence"),
    [
        ({}, "program_silent", r"did not answer on port \d+. It was given 0.5 s"),
        (
            {"dies": "Segmentation fault"},
            "ended",
            "ended by itself. The last it says is: Segmentation fault.",
        ),
        ({"library": "libgbm.so.1"}, "library_missing", "library libgbm.so.1 is missing"),
        ({"no_fuse": True, "unpacks": False}, "fuse_missing", "has to be unpacked, and that failed"),
    ],
)
async def test_a_start_that_fails_says_why_and_leaves_nothing(
    home: Home,
    appimage: Path,
    around: MakeSurroundings,
    port: int,
    script: dict[str, object],
    cause: str,
    sentence: str,
) -> None:
    home.script(**script)
    deadlines = PATIENT if script else IMPATIENT
    studio = LMStudio(around(deadlines), appimage_path=appimage, virtual=True)
    with pytest.raises(EngineError) as caught:
        await studio.start(port, await yes("lm_studio", "start", port))
    assert re.search(sentence, str(caught.value)), str(caught.value)
    assert caught.value.cause == cause
    assert [pid for pid in home.pids() if not gone(pid)] == []
    assert cookies() == []


async def test_without_a_display_nothing_is_started(
    home: Home, appimage: Path, around: MakeSurroundings, port: int
) -> None:
    studio = LMStudio(around(), appimage_path=appimage)
    with pytest.raises(EngineError) as caught:
        await studio.start(port, await yes("lm_studio", "start", port))
    assert caught.value.cause == "display_missing"
    assert "llm.lmstudio.use_xvfb" in caught.value.next_step
    assert home.calls() == []


async def test_without_xvfb_that_is_said(
    home: Home, appimage: Path, around: MakeSurroundings, port: int
) -> None:
    studio = LMStudio(around(PATH=str(home.bin)), appimage_path=appimage, virtual=True)
    with pytest.raises(EngineError, match="no Xvfb on PATH") as caught:
        await studio.start(port, await yes("lm_studio", "start", port))
    assert "Install Xvfb" in caught.value.next_step
    assert home.calls() == []


@pytest.mark.parametrize(
    ("xvfb", "sentence"),
    [("exit 1", "Xvfb ended with code 1"), ("exec /nowhere", "Xvfb ended with code 127")],
)
async def test_an_xvfb_that_does_not_work_is_named(
    home: Home, appimage: Path, around: MakeSurroundings, port: int, xvfb: str, sentence: str
) -> None:
    (home.bin / "Xvfb").write_text(f"#!/bin/sh\n{xvfb}\n")
    (home.bin / "Xvfb").chmod(0o755)
    studio = LMStudio(around(), appimage_path=appimage, virtual=True)
    with pytest.raises(EngineError, match=sentence) as caught:
        await studio.start(port, await yes("lm_studio", "start", port))
    assert caught.value.cause == "display_missing"
    assert home.calls() == []
    assert cookies() == []


@pytest.mark.parametrize(
    ("spoil", "cause", "sentence"),
    [
        (lambda file: file.chmod(0o644), "not_executable", r"Allow it: chmod u\+x"),
        (lambda file: file.unlink(), "program_missing", "is not there"),
        (lambda file: file.write_bytes(b"\x7fELF" + bytes(60)), "cannot_spawn", "Exec format error"),
    ],
    ids=["no right to run", "no file", "no program"],
)
async def test_a_file_that_cannot_be_run_is_said(
    appimage: Path,
    studio: LMStudio,
    port: int,
    spoil: Callable[[Path], object],
    cause: str,
    sentence: str,
) -> None:
    spoil(appimage)
    with pytest.raises(EngineError, match=sentence) as caught:
        await studio.start(port, await yes("lm_studio", "start", port))
    assert caught.value.cause == cause


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ("fuse: device not found, try 'modprobe fuse' first", "fuse_missing"),
        ("fusermount3: mount failed: Operation not permitted", "fuse_missing"),
        ("Cannot mount AppImage, please check your FUSE setup.", "fuse_missing"),
        ("[5:ERROR:ozone_platform_x11.cc(240)] Missing X server or $DISPLAY", "display_missing"),
        ("(lm-studio:5): Gtk-WARNING **: cannot open display: :7", "display_missing"),
        ("whisper: no virtual display: all numbers are taken", "display_missing"),
        ("lm-studio: error while loading shared libraries: libasound.so.2: cannot open", "library_missing"),
        ("whatever", "ended"),
    ],
)
def test_what_it_prints_at_its_end_is_understood(line: str, cause: str) -> None:
    assert why_it_ended(Path("LM.AppImage"), ["starting", line, ""]).cause == cause


def test_what_a_person_reads_holds_nothing_that_steers_a_terminal() -> None:
    error = why_it_ended(Path("LM.AppImage"), ["\x1b[31mlibc++abi:\x1b[0m terminating\x07"])
    assert "The last it says is: libc++abi: terminating." in str(error)
    assert json.dumps(str(error)).isascii()
