"""The guard: a process that runs one program of another maker, with a virtual display where it needs one.

    guard OWNER_PID NONCE [--display XVFB --folder FOLDER] -- PROGRAM ARGUMENTS...

It ends the program and everything that came from it, then the display: when it is told to (SIGTERM), when
the program ends, or when the owner is gone (end of standard input; on Linux also the kernel's word). An
owner 0 means that nobody is watched: the program lives until it is told to end. Should the guard itself be
killed, the kernel ends program and display on Linux. The nonce only shows on the command line whose it is.

Not `xvfb-run`: a shell script that hands no signal on, leaves its display behind when it is killed, needs
`xauth` besides, and takes a display's number before it knows that it is free.

It runs as a file of its own with the standard library alone (see `guarded`), and has one thread, so that the
death signal can be armed between fork and exec. POSIX only.
"""

import contextlib
import ctypes
import os
import secrets
import select
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType

PROGRAM_GRACE_S = 1.2
DISPLAY_GRACE_S = 0.4
DISPLAY_START_S = 10.0

# While a program is being ended it may start others, so it is looked again.
_ROUNDS = 3
_ROUND_S = 0.01

# Display 0 is what other programs take for the person's own screen.
_DISPLAYS = range(99, 140)
_SCREEN = "1280x800x24"
_SOCKETS = "/tmp/.X11-unix"
_FAMILY_WILD = 0xFFFF  # <X11/Xauth.h>: the cookie counts for every display
_COOKIE = b"MIT-MAGIC-COOKIE-1"
_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_USAGE = "usage: guard OWNER_PID NONCE [--display XVFB --folder FOLDER] -- PROGRAM ARGUMENTS..."


def main(argv: list[str]) -> int:
    """Run until the program ends or is to end, and return its exit code (128 + N for signal N)."""
    cut = argv.index("--") if "--" in argv else len(argv)
    options, command = argv[2:cut], argv[cut + 1 :]
    if not command or not argv[0].isdigit() or len(options) not in (0, 4):
        print(_USAGE, file=sys.stderr)
        return 2
    owner = int(argv[0])
    alarm = _alarm()
    if owner:
        _prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGTERM)
        if os.getppid() != owner:
            print("whisper: the program that started this one has ended", file=sys.stderr)
            return 1
    _prctl(_SET_CHILD_SUBREAPER, 1)
    with contextlib.suppress(OSError):
        os.chdir(Path.home())  # not wherever the app happened to be started
    display = None
    try:
        if options:
            display = _Display(Path(options[1]), Path(options[3]))
        return _run(command, display, alarm, watched=owner != 0)
    except _Failed as failed:
        print(f"whisper: {failed}", file=sys.stderr, flush=True)
        return failed.code
    finally:
        if display is not None:
            display.end()


class _Failed(Exception):
    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


def _alarm() -> int:
    """The reading end of a pipe that gets a byte, its number, for each signal that matters here."""

    def noted(_number: int, _frame: FrameType | None) -> None:
        return None

    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    for number in (*_ENDING, signal.SIGCHLD):
        signal.signal(number, noted)
    return reading


def _run(command: list[str], display: "_Display | None", alarm: int, *, watched: bool) -> int:
    environment = os.environ if display is None else display.shown_to(os.environ)
    spared = () if display is None else (display.pid,)
    program = _start(command, environment, signal.SIGKILL)
    waiting = [alarm, 0] if watched else [alarm]
    try:
        while program.poll() is None:
            ready = select.select(waiting, [], [])[0]
            if alarm in ready and set(os.read(alarm, 4096)) & set(_ENDING):
                break
            if 0 in ready and not os.read(0, 4096):
                break
            _reap_others((program.pid, *spared))
    finally:
        _end_all(program, spared)
    code = program.returncode
    if code is None:
        code = -signal.SIGKILL  # not even that has ended it yet: the system holds it
    return int(code if code >= 0 else 128 - code)


def _start(
    command: list[str], environment: Mapping[str, str], on_our_death: int, keep: tuple[int, ...] = ()
) -> "subprocess.Popen[bytes]":
    try:
        return subprocess.Popen(
            command,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=keep,
            preexec_fn=lambda: _prctl(_SET_PARENT_DEATH_SIGNAL, on_our_death),
        )
    except OSError as error:
        code = 127 if isinstance(error, FileNotFoundError) else 126
        raise _Failed(code, f"cannot run '{command[0]}': {error.strerror}") from None


# --- Ending everything ------------------------------------------------------------------------------------


def _end_all(program: "subprocess.Popen[bytes]", spared: tuple[int, ...]) -> None:
    """Ask the program's process group to end, then kill whatever came from it and is left."""
    _signal_group(program.pid, signal.SIGTERM)
    until = time.monotonic() + PROGRAM_GRACE_S
    while program.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    _signal_group(program.pid, signal.SIGKILL)
    for _ in range(_ROUNDS):
        left = _descendants(spared)
        for pid in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if not left:
            break
        time.sleep(_ROUND_S)
        _reap_others((program.pid, *spared))
    with contextlib.suppress(subprocess.TimeoutExpired):
        program.wait(DISPLAY_GRACE_S)


def _signal_group(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _descendants(spared: tuple[int, ...]) -> set[int]:
    """Our children and theirs. On Linux what lost its parent is ours too, since we are the subreaper;
    elsewhere nothing but the group can be known.
    """
    parents = _parents() if sys.platform == "linux" else {}
    found: set[int] = set()
    grown = {pid for pid, parent in parents.items() if parent == os.getpid()} - set(spared)
    while grown:
        found |= grown
        grown = {pid for pid, parent in parents.items() if parent in grown} - found
    return found


def _parents() -> dict[int, int]:
    parents = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):
                stat = Path("/proc", name, "stat").read_text("utf-8", "replace")
                # proc(5): the name in brackets may hold anything; the parent is the second field after it.
                parents[int(name)] = int(stat[stat.rindex(")") + 2 :].split()[1])
    return parents


def _reap_others(known: tuple[int, ...]) -> None:
    """Children that came to us when their parent ended, and have ended themselves."""
    if sys.platform != "linux":
        return
    with contextlib.suppress(ChildProcessError):
        while True:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is None or ended.si_pid in known:
                return
            os.waitpid(ended.si_pid, os.WNOHANG)


# --- The virtual display ----------------------------------------------------------------------------------


class _Display:
    """An X server without a screen. Only a program that was told its cookie can use it."""

    def __init__(self, xvfb: Path, folder: Path) -> None:
        _sweep(folder)
        self._folder = folder / f"display-{os.getpid()}"
        self._authority = self._folder / "Xauthority"
        try:
            self._folder.mkdir(mode=0o700)
            with open(os.open(self._authority, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
                file.write(_authority(secrets.token_bytes(16)))
            self._server, self._number = self._started(xvfb)
        except OSError as error:
            raise _no_display(f"{folder}: {error.strerror}") from None
        except _Failed:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise

    @property
    def pid(self) -> int:
        return self._server.pid

    def shown_to(self, environment: Mapping[str, str]) -> dict[str, str]:
        """The environment of a program that is to see this display and no other one."""
        kept = {name: value for name, value in environment.items() if name != "WAYLAND_DISPLAY"}
        ours = {"DISPLAY": f":{self._number}", "XAUTHORITY": str(self._authority)}
        return {**kept, **ours, "XDG_SESSION_TYPE": "x11"}

    def _started(self, xvfb: Path) -> "tuple[subprocess.Popen[bytes], int]":
        for number in _DISPLAYS:
            if not os.path.lexists(f"{_SOCKETS}/X{number}"):
                server = self._try(xvfb, number)
                if server is not None:
                    return server, number
        raise _no_display("all numbers are taken")

    def _try(self, xvfb: Path, number: int) -> "subprocess.Popen[bytes] | None":
        """The server when it listens on this number; None where another one was faster."""
        reading, writing = os.pipe()
        command = [str(xvfb), f":{number}", "-displayfd", str(writing), "-screen", "0", _SCREEN]
        command += ["-nolisten", "tcp", "-noreset", "-auth", str(self._authority)]
        try:
            # SIGTERM: it then removes its socket and its lock itself.
            server = _start(command, os.environ, signal.SIGTERM, (writing,))
        except _Failed as failed:
            os.close(reading)
            raise _no_display(str(failed)) from None
        finally:
            os.close(writing)
        try:
            said = _line_from(reading)
        finally:
            os.close(reading)
        if said is None:
            _finish(server)
            raise _no_display("Xvfb does not get ready")
        if said:
            return server
        code = server.wait(DISPLAY_START_S)
        if os.path.lexists(f"{_SOCKETS}/X{number}"):
            return None
        raise _no_display(f"Xvfb ended with code {code}")

    def end(self) -> None:
        """End the server; what one that had to be killed leaves is removed."""
        if not _finish(self._server):
            for left in (f"{_SOCKETS}/X{self._number}", f"/tmp/.X{self._number}-lock"):
                with contextlib.suppress(OSError):
                    os.unlink(left)
        shutil.rmtree(self._folder, ignore_errors=True)


def _sweep(folder: Path) -> None:
    """Remove the cookies of displays whose guard was killed; a guard's process id is in its folder's name."""
    for left in folder.glob("display-*"):
        try:
            os.kill(int(left.name.removeprefix("display-")), 0)
        except ProcessLookupError:
            shutil.rmtree(left, ignore_errors=True)
        except (OSError, ValueError):
            continue


def _line_from(pipe: int) -> bytes | None:
    """A whole line (Xvfb writes its end separately, and dies when nobody reads it), b"" where the writer has
    ended before, None where nothing comes.
    """
    line = b""
    while not line.endswith(b"\n"):
        if not select.select([pipe], [], [], DISPLAY_START_S)[0]:
            return None
        piece = os.read(pipe, 32)
        if not piece:
            return b""
        line += piece
    return line


def _no_display(why: str) -> _Failed:
    return _Failed(1, f"no virtual display: {why}")


def _finish(server: "subprocess.Popen[bytes]") -> bool:
    """End it; whether it did so by itself."""
    server.terminate()
    try:
        server.wait(DISPLAY_GRACE_S)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait(DISPLAY_GRACE_S)
    return server.returncode == 0


def _authority(cookie: bytes) -> bytes:
    """One entry of an X authority file, as libXau reads it: lengths are 16 bits, high byte first."""
    fields = (b"", b"", _COOKIE, cookie)
    return struct.pack(">H", _FAMILY_WILD) + b"".join(struct.pack(">H", len(each)) + each for each in fields)


# --- Linux ------------------------------------------------------------------------------------------------

_SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG in <linux/prctl.h>
_SET_CHILD_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER
_call_prctl: Callable[..., int] | None = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


def _prctl(option: int, value: int) -> None:
    if _call_prctl is not None:
        _call_prctl(option, int(value), 0, 0, 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
