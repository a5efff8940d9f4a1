"""The engine child: what `whisper-desktop --engine-child` runs. It must never outlive the app.

    --engine-child OWNER_PID NONCE builtin FLAGS...           serve with the built-in engine
    --engine-child OWNER_PID NONCE exec|stay BINARY FLAGS...  become, or wait on, a llama-server

What binds it to its owner (`kill -9` included):
- Linux: the kernel sends SIGKILL when the thread that started it ends (PR_SET_PDEATHSIG, see `become`).
- everywhere: the owner holds the other end of standard input; end of file means that it is gone. While the
  built-in engine loads it holds the interpreter's lock, so there the watch acts after the load.
- macOS: besides, the kernel tells when the owner's process exits (kqueue). Not run so far.
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
import time
from collections.abc import Callable
from typing import Any

from whisper_desktop.engines import become

_USAGE = "usage: --engine-child OWNER_PID NONCE builtin|exec|stay ..."


def main(argv: list[str]) -> int:
    """Serve until told to stop or until the owner is gone, and return the exit code."""
    if len(argv) < 3 or not argv[0].isdigit() or argv[2] not in ("builtin", "exec", "stay"):
        print(_USAGE, file=sys.stderr)
        return 2
    owner, mode, rest = int(argv[0]), argv[2], argv[3:]
    if mode != "builtin" and not rest:
        print(_USAGE, file=sys.stderr)
        return 2
    if mode == "exec":
        return become.main(argv)
    if not become.bind_to(owner):
        return 1
    if mode == "builtin":
        _watch(owner, lambda _words: None)
        return _serve_builtin(rest)
    return _wait_on(owner, rest[0], rest[1:])


def _watch(owner: int, pass_on: Callable[[bytes], None]) -> None:
    """From now on, end with the owner. What it writes to standard input goes to `pass_on`."""
    threading.Thread(target=_end_with_input, args=(pass_on,), daemon=True).start()
    if sys.platform == "darwin":
        threading.Thread(target=_end_with_process, args=(owner,), daemon=True).start()


def _end_with_input(pass_on: Callable[[bytes], None]) -> None:
    while words := os.read(0, 4096):
        pass_on(words)
    _end_all()


def _end_with_process(owner: int) -> None:
    if sys.platform == "darwin":
        import contextlib
        import select

        exits = select.kevent(owner, select.KQ_FILTER_PROC, select.KQ_EV_ADD, select.KQ_NOTE_EXIT)
        with contextlib.suppress(ProcessLookupError):  # it has gone already
            select.kqueue().control([exits], 1, None)
        _end_all()


def _end_all() -> None:
    """End this process and everything it started."""
    if sys.platform != "win32" and os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def _wait_on(owner: int, binary: str, flags: list[str]) -> int:
    """Run `binary` as a child of this one, and end as it ends."""
    import contextlib
    import subprocess

    for number in (signal.SIGTERM, signal.SIGINT):
        # Sent to the whole process group: the binary gets its own, and this process reports how it ended.
        signal.signal(number, lambda *_: None)
    try:
        process = subprocess.Popen([binary, *flags], stdin=subprocess.PIPE)
    except OSError as error:
        return become.cannot_run(binary, error)
    assert process.stdin is not None
    pipe = process.stdin.fileno()

    def pass_on(words: bytes) -> None:
        with contextlib.suppress(OSError):  # it has ended, or does not listen
            os.write(pipe, words)

    _watch(owner, pass_on)
    code = process.wait()
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


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
        _let_log_finish(xllamacpp.xllamacpp.__file__)
        print(f"whisper: {error}", file=sys.stderr)
        return 1
    _wait_for_stop()
    # Without taking the server down: right after the load that waits for its main loop for ever (xllamacpp
    # 2026.10.11549, 14 of 25 tries), and later for readers that stall. It has nothing to save.
    sys.stderr.flush()
    os._exit(0)


def _let_log_finish(library: str) -> None:
    """Wait until llama.cpp's log thread has written what it was given: the reason of a failure is in there.

    Seen to be lost in 1 to 3 of 102 failing starts on a busy computer. There is no public way to ask for it.
    """
    import ctypes

    try:
        llama = ctypes.CDLL(library)
        main_log = llama["_Z15common_log_mainv"]
        flush = llama["_Z16common_log_flushP10common_log"]
    except (OSError, AttributeError):
        time.sleep(0.1)  # this build has them under other names
        return
    main_log.restype = ctypes.c_void_p
    flush.argtypes = [ctypes.c_void_p]
    flush(main_log())


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
            value = convert(text, engine)
            if flag in _DEVICE:
                # xllamacpp has no list of devices. A single one, and that one -1, means none to llama.cpp.
                _set(params, "split_mode", engine.llama_split_mode.LLAMA_SPLIT_MODE_NONE)
            _set(params, attribute, value)
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


def _on_or_off(text: str, _engine: Any) -> bool:
    return {"on": True, "off": False}[text]


def _adapters(text: str, engine: Any) -> list[Any]:
    adapters = []
    for path in text.split(","):
        adapter = engine.CommonAdapterLoraInfo()
        adapter.path, adapter.scale = path, 1.0
        adapters.append(adapter)
    return adapters


def _no_device(text: str, _engine: Any) -> int:
    if text != "none":
        raise ValueError(f"invalid device: {text}")
    return -1


_DEVICE = ("-dev", "--device")

_SWITCHES: dict[str, tuple[str, object]] = {
    "--metrics": ("endpoint_metrics", True),
    "--no-slots": ("endpoint_slots", False),
    "--no-ui": ("ui", False),
    "--no-webui": ("ui", False),
    "--no-warmup": ("warmup", False),
    "--repack": ("no_extra_bufts", False),
    "-nr": ("no_extra_bufts", True),
    "--no-repack": ("no_extra_bufts", True),
    "-kvu": ("kv_unified", True),
    "--kv-unified": ("kv_unified", True),
    "-no-kvu": ("kv_unified", False),
    "--no-kv-unified": ("kv_unified", False),
    # Not llama-server's: measure what the model needs, take no memory for it. See `oracle`.
    "--no-alloc": ("no_alloc", True),
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
        (_DEVICE, ("main_gpu", _no_device)),
        (("-b", "--batch-size"), ("n_batch", _at_least(1))),
        (("-ub", "--ubatch-size"), ("n_ubatch", _at_least(1))),
        (("-ctk", "--cache-type-k"), ("cache_type_k", _cache_type)),
        (("-ctv", "--cache-type-v"), ("cache_type_v", _cache_type)),
        (("-fa", "--flash-attn"), ("flash_attn_type", _flash_attention)),
        (("-lm", "--load-mode"), ("load_mode", _load_mode)),
        (("-fit", "--fit"), ("fit_params", _on_or_off)),
        (("--lora",), ("lora_adapters", _adapters)),
        (("--cache-ram",), ("cache_ram_mib", _whole)),
        (("--ctx-checkpoints",), ("n_ctx_checkpoints", _at_least(0))),
        (("--sse-ping-interval",), ("sse_ping_interval", _whole)),
        (("-lv", "--verbosity"), ("verbosity", _at_least(0))),
    )
    for name in names
}
