"""Become a program that ends with its owner: what a llama-server on Linux is started through.

    python -S -P become.py OWNER_PID NONCE exec BINARY FLAGS...

A person waits for it at every start, so it is run as a script by a Python without its site packages, which is
there in half the time of `-m whisper_desktop`, and imports next to nothing: not even `signal`. A frozen
program, which cannot run scripts, gets here through `child`.
"""

import os
import sys

_SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG in <linux/prctl.h>
_SIGKILL = 9


def main(argv: list[str]) -> int:
    """Become the program that is named. Returns the exit code where that cannot be."""
    owner, _nonce, _mode, binary, *flags = argv
    if not bind_to(int(owner)):
        return 1
    try:
        os.execv(binary, [binary, *flags])
    except OSError as error:
        return cannot_run(binary, error)


def bind_to(owner: int) -> bool:
    """Have the kernel kill this process when the owner's thread that started it ends. Survives `exec`.

    False, with a line in the log, where the owner has gone already: this is asked after arming, so one that
    ends later is noticed by the signal. In the child, because nothing of this is safe between fork and exec
    of a program with threads.
    """
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, _SIGKILL, 0, 0, 0)
    # On Windows a virtual environment's python is a launcher, so that the parent is not the owner; the job
    # does it there.
    if sys.platform != "win32" and os.getppid() != owner:
        print("whisper: the program that started this engine has ended", file=sys.stderr)
        return False
    return True


def cannot_run(binary: str, error: OSError) -> int:
    """Say why in the log; returns the exit code that shells use."""
    print(f"whisper: cannot run '{binary}': {error.strerror}", file=sys.stderr)
    return 127 if isinstance(error, FileNotFoundError) else 126


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
