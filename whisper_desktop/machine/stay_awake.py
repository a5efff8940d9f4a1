"""Keeps the computer from going to sleep by itself while something long is under way.

What holds it is bound to this program, so that a crash of ours does not keep a laptop awake: on Linux a
child that holds logind's lock until a pipe from us closes, on macOS `caffeinate -w`, on Windows a thread's
wish. Where the system offers none of them, nothing is done and nothing said. Shutting the lid still sends it
to sleep.
"""

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable

_LINUX = "systemd-inhibit"
_MACOS = "caffeinate"
_END = 2.0  # seconds for a child that is told to end
# https://learn.microsoft.com/windows/win32/api/winbase/nf-winbase-setthreadexecutionstate
_ES_CONTINUOUS, _ES_SYSTEM_REQUIRED = 0x80000000, 0x00000001


class StayAwake:
    """Not for several threads at once. `hold` and `release` may take some milliseconds; neither fails."""

    def __init__(self) -> None:
        self._let_go: Callable[[], None] | None = None

    @property
    def is_held(self) -> bool:
        """Whether the system was asked to stay awake."""
        return self._let_go is not None

    def hold(self, why: str) -> None:
        """Stay awake from now on; `why` is what the system may show of it. More than once is as once."""
        if self._let_go is None:
            self._let_go = _hold_windows() if sys.platform == "win32" else _hold_by_child(why)

    def release(self) -> None:
        """Sleep when the system likes."""
        let_go, self._let_go = self._let_go, None
        if let_go is not None:
            let_go()


def command(
    why: str, *, platform: str = sys.platform, which: Callable[[str], str | None] = shutil.which
) -> tuple[str, ...] | None:
    """The child that keeps the computer awake for as long as it runs; None where there is none."""
    if platform == "darwin":
        program = which(_MACOS)
        return None if program is None else (program, "-i", "-w", str(os.getpid()))
    program, wait = which(_LINUX), which("cat")
    if program is None or wait is None:
        return None
    return (program, "--what=idle:sleep", "--who=Whisper Desktop", f"--why={why}", "--mode=block", wait)


def _hold_by_child(why: str) -> Callable[[], None] | None:
    words = command(why)
    if words is None:
        return None
    try:
        child = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        return None

    def let_go() -> None:
        assert child.stdin is not None
        child.stdin.close()
        if sys.platform == "darwin":  # it waits for our end, not for a pipe
            child.terminate()
        try:
            child.wait(_END)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()

    return let_go


def _hold_windows() -> Callable[[], None]:
    """The wish lasts as long as the thread that has it."""
    over = threading.Event()

    def wish() -> None:
        if sys.platform == "win32":
            import ctypes

            ctypes.windll.kernel32.SetThreadExecutionState(_ES_CONTINUOUS | _ES_SYSTEM_REQUIRED)
            over.wait()
            ctypes.windll.kernel32.SetThreadExecutionState(_ES_CONTINUOUS)

    threading.Thread(target=wish, name="stay-awake", daemon=True).start()
    return over.set
