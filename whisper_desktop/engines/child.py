"""The engine child: what `whisper-desktop --engine-child` runs. It must never outlive the app.

    --engine-child OWNER_PID NONCE builtin FLAGS...           serve with the built-in engine
    --engine-child OWNER_PID NONCE exec|stay BINARY FLAGS...  become, or wait on, a llama-server

What binds it to its owner (`kill -9` included):
- Linux: the kernel sends SIGKILL when the thread that started it ends (PR_SET_PDEATHSIG). Armed here, in the
  child, because doing it between fork and exec is unsafe in a program with threads. Survives `exec`.
- everywhere: the owner holds the other end of standard input; end of file means that it is gone. While the
  built-in engine loads it holds the interpreter's lock, so there the watch acts after the load.
- Windows: the owner puts the child into a job that ends with it (`windows_job`). Not run so far.

To the outside the built-in engine behaves as `llama-server` does: same flags, same HTTP, log on standard
error, exit code 0 on SIGTERM (but at once, whoever reads), 1 when it cannot start with the reason in the log,
killed by SIGTERM while it loads.

Imports stay at the few modules that Python has loaded anyway: start-up is what a person waits for.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

_USAGE = "usage: --engine-child OWNER_PID NONCE builtin|exec|stay ..."


def main(argv: list[str]) -> int:
    """Serve until told to stop or until the owner is gone, and return the exit code."""
    if len(argv) < 3 or not argv[0].isdigit() or argv[2] not in ("builtin", "exec", "stay"):
        print(_USAGE, file=sys.stderr)
        return 2
    _arm_death_signal()
    # After arming: an owner that died before is noticed here, one that dies later by the signal. On Windows a
    # virtual environment's python is a launcher, so that the parent is not the owner; the job does it there.
    if sys.platform != "win32" and os.getppid() != int(argv[0]):
        print("whisper: the program that started this engine has ended", file=sys.stderr)
        return 1
    mode, rest = argv[2], argv[3:]
    if mode == "builtin":
        threading.Thread(target=_end_with_owner, daemon=True).start()
        return _serve_builtin(rest)
    if not rest:
        print(_USAGE, file=sys.stderr)
        return 2
    if mode == "exec":
        return _become(rest[0], rest[1:])
    threading.Thread(target=_end_with_owner, daemon=True).start()
    return _wait_on(rest[0], rest[1:])


def _arm_death_signal() -> None:
    if sys.platform == "linux":
        import ctypes

        set_parent_death_signal = 1  # PR_SET_PDEATHSIG in <linux/prctl.h>
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL, 0, 0, 0)


def _end_with_owner() -> None:
    """Wait for the end of standard input, then end this process and everything it started."""
    while os.read(0, 4096):
        pass
    if sys.platform != "win32" and os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def _become(binary: str, flags: list[str]) -> int:
    try:
        os.execv(binary, [binary, *flags])
    except OSError as error:
        return _cannot_run(binary, error)


def _wait_on(binary: str, flags: list[str]) -> int:
    """Run `binary` as a child of this one, and end as it ends."""
    import subprocess

    for number in (signal.SIGTERM, signal.SIGINT):
        # Sent to the whole process group: the binary gets its own, and this process reports how it ended.
        signal.signal(number, lambda *_: None)
    try:
        code = subprocess.Popen([binary, *flags], stdin=subprocess.DEVNULL).wait()
    except OSError as error:
        return _cannot_run(binary, error)
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


def _cannot_run(binary: str, error: OSError) -> int:
    print(f"whisper: cannot run '{binary}': {error.strerror}", file=sys.stderr)
    return 127 if isinstance(error, FileNotFoundError) else 126


def _serve_builtin(flags: list[str]) -> int:
    try:
        import xllamacpp
    except ImportError as error:
        print(f"whisper: the built-in engine cannot be loaded: {error}", file=sys.stderr)
        return 1
    params = xllamacpp.CommonParams()
    # Popped, so that nothing this process may ever start inherits it.
    key = os.environ.pop("LLAMA_API_KEY", "")
    params.api_keys = [key] if key else []
    try:
        apply_flags(params, flags, xllamacpp)
    except FlagError as error:
        print(error, file=sys.stderr)
        return 1
    try:
        # Blocks, holding the interpreter's lock, until the model is loaded; serves while it is referenced.
        server = xllamacpp.Server(params)  # noqa: F841
    except (RuntimeError, MemoryError) as error:
        # The reason is in llama.cpp's own log lines above; the error only says that there is one.
        print(f"whisper: {error}", file=sys.stderr)
        return 1
    _wait_for_stop()
    # Without taking the server down: right after the load that waits for its main loop for ever (xllamacpp
    # 2026.10.11549, 14 of 25 tries), and later for readers that stall. It has nothing to save.
    sys.stderr.flush()
    os._exit(0)


def _wait_for_stop() -> None:
    """Return at the first SIGTERM or SIGINT.

    Through a pipe: a signal that comes just before a wait on a lock does not end it, a byte in a pipe does.
    """
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    os.read(reading, 1)


class FlagError(Exception):
    """A flag that cannot be used, in llama-server's own words."""


def apply_flags(params: Any, flags: list[str], engine: Any) -> None:
    """Set llama-server `flags` on xllamacpp's `CommonParams`; `engine` is the module xllamacpp.

    Raises `FlagError` for a flag that is unknown, lacks its value, or has one that cannot be used.
    """
    words = iter(flags)
    for flag in words:
        if flag in _SWITCHES:
            _set(params, *_SWITCHES[flag])
            continue
        if flag not in _VALUES:
            raise FlagError(f"error: invalid argument: {flag}")
        attribute, convert = _VALUES[flag]
        text = next(words, None)
        if text is None:
            raise FlagError(f'error while handling argument "{flag}": expected value for argument')
        try:
            _set(params, attribute, convert(text, engine))
        except (ValueError, KeyError, OverflowError, TypeError) as error:
            raise FlagError(f'error while handling argument "{flag}": {error}') from None


def _set(params: Any, attribute: str, value: object) -> None:
    *path, last = attribute.split(".")
    for name in path:
        params = getattr(params, name)
    setattr(params, last, value)


def _text(text: str, _engine: Any) -> str:
    return text


def _whole(text: str, _engine: Any) -> int:
    return int(text)


def _at_least(least: int) -> Callable[[str, Any], int]:
    def convert(text: str, _engine: Any) -> int:
        number = int(text)
        if number < least:
            raise ValueError(f"{number} is less than {least}")
        return number

    return convert


def _port(text: str, _engine: Any) -> int:
    number = int(text)
    if not 0 <= number <= 65535:
        raise ValueError(f"{number} is not a port (0 to 65535)")
    return number


def _gpu_layers(text: str, _engine: Any) -> int:
    return {"auto": -1, "all": -2}[text] if text in ("auto", "all") else _at_least(0)(text, None)


def _load_mode(text: str, engine: Any) -> Any:
    names = {"auto": "AUTO", "none": "NONE", "mmap": "MMAP", "mlock": "MLOCK", "mmap+mlock": "MMAP_MLOCK"}
    return engine.llama_load_mode[f"LLAMA_LOAD_MODE_{ {**names, 'dio': 'DIRECT_IO'}[text] }"]


def _cache_type(text: str, engine: Any) -> Any:
    return engine.ggml_type[f"GGML_TYPE_{text.upper()}"]


def _flash_attention(text: str, engine: Any) -> Any:
    names = {"auto": "AUTO", "on": "ENABLED", "off": "DISABLED"}
    return engine.llama_flash_attn_type[f"LLAMA_FLASH_ATTN_TYPE_{names[text]}"]


_SWITCHES: dict[str, tuple[str, object]] = {
    "--metrics": ("endpoint_metrics", True),
    "--no-slots": ("endpoint_slots", False),
    "--no-ui": ("ui", False),
    "--no-webui": ("ui", False),
    "--no-warmup": ("warmup", False),
    "--no-repack": ("no_extra_bufts", True),
}

_VALUES: dict[str, tuple[str, Callable[[str, Any], object]]] = {
    name: entry
    for names, entry in (
        (("-m", "--model"), ("model.path", _text)),
        (("-a", "--alias"), ("model_alias", lambda text, _engine: set(text.split(",")))),
        (("-c", "--ctx-size"), ("n_ctx", _at_least(0))),
        (("--host",), ("hostnames", lambda text, _engine: text.split(","))),
        (("--port",), ("port", _port)),
        (("-np", "--parallel"), ("n_parallel", _at_least(1))),
        (("-t", "--threads"), ("cpuparams.n_threads", _at_least(1))),
        (("-tb", "--threads-batch"), ("cpuparams_batch.n_threads", _at_least(1))),
        (("-ngl", "--gpu-layers", "--n-gpu-layers"), ("n_gpu_layers", _gpu_layers)),
        (("-b", "--batch-size"), ("n_batch", _at_least(1))),
        (("-ub", "--ubatch-size"), ("n_ubatch", _at_least(1))),
        (("-ctk", "--cache-type-k"), ("cache_type_k", _cache_type)),
        (("-ctv", "--cache-type-v"), ("cache_type_v", _cache_type)),
        (("-fa", "--flash-attn"), ("flash_attn_type", _flash_attention)),
        (("-lm", "--load-mode"), ("load_mode", _load_mode)),
        (("--cache-ram",), ("cache_ram_mib", _whole)),
        (("--sse-ping-interval",), ("sse_ping_interval", _whole)),
        (("-lv", "--verbosity"), ("verbosity", _at_least(0))),
    )
    for name in names
}
