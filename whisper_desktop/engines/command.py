"""What a child of ours is told: its command line and its environment. Pure.

The command line can be read by every user of the computer, so the key is not in it; the environment only by
the same user. The nonce is in both and is no secret: it shows that a process is one of ours (see `orphans`).
"""

import sys
from collections.abc import Mapping
from pathlib import Path

from whisper_desktop.engines import become
from whisper_desktop.engines.own_options import overriding
from whisper_desktop.engines.spec import EngineSpec
from whisper_desktop.models.memory import CHECKPOINTS

ENGINE_CHILD = "--engine-child"
NONCE_VARIABLE = "WHISPER_ENGINE_NONCE"
KEY_VARIABLE = "LLAMA_API_KEY"
HOST = "127.0.0.1"

_SECRET_ENDINGS = ("_API_KEY", "_TOKEN", "_SECRET", "_PASSWORD")
_SSE_PING_SECONDS = "1"
"""llama-server sees between two pings that it should stop; its own 30 s would make stops that slow."""

_PROMPT_CACHE_MIB = "512"
"""llama.cpp's own 8192 has ended programs on computers with 8 and 16 GB."""

_LOG_SIZES = "4"
"""The level at which recent builds log what they allocate; in older ones it would log what people say."""


def engine_flags(spec: EngineSpec, port: int, known: frozenset[str] | None = None) -> list[str]:
    """The llama-server flags for `spec`, the person's own last, so that they win.

    `known` are the flags that the program lists in its help; a flag it lacks is replaced by its older
    spelling or left out. None means that it knows all (the built-in engine).
    """
    options: list[list[str]] = [
        ["-m", str(spec.model_path)],
        ["-a", spec.alias],
        # Without a unified cache, the context is divided among the slots.
        ["-c", str(spec.n_ctx * spec.parallel)],
        ["--host", HOST],
        ["--port", str(port)],
        ["-np", str(spec.parallel)],
        ["-t", str(spec.threads)],
    ]
    recent = known is None or "-lm" in known
    if spec.parallel > 1:
        options.append(["--no-kv-unified"])
    if spec.n_gpu_layers != "auto" and _can_place_experts(spec, known):
        # Numbers of our own: without this, the engine measures the model first, and with layers set gives up.
        options += [["-ngl", str(spec.n_gpu_layers)], ["--fit", "off"]]
        if spec.experts_on_host:
            options.append(["--n-cpu-moe", str(spec.experts_on_host)])
        if spec.tensor_split and spec.binary is not None:
            options.append(["--tensor-split", ",".join(map(str, spec.tensor_split))])
    if spec.n_gpu_layers == 0 and not overriding(spec.extra_args, "n_gpu_layers"):
        # Without layers, a build for graphics cards still opens the card, and computes long prompts there.
        options.append(["--device", "none"])
    if recent:
        options.append(["-lm", spec.load_mode])
    elif spec.load_mode == "none":
        options.append(["--no-mmap"])  # until early 2026 this was the spelling; now it is refused
    if not spec.repack:
        options.append(["--no-repack"])
    if spec.cache_type != "f16":
        options.append(["-ctk", spec.cache_type])
        if known is None or "--fit" in known:
            # Values need flash attention, which builds without --fit may not have switched on: there, only
            # the keys are quantized.
            options += [["-ctv", spec.cache_type], ["-fa", "on"]]
    if spec.rpc:
        options.append(["--rpc", ",".join(spec.rpc)])
    options += [["--sse-ping-interval", _SSE_PING_SECONDS], ["--metrics"], ["--cache-ram", _PROMPT_CACHE_MIB]]
    options.append(["--ctx-checkpoints", str(CHECKPOINTS)])
    options.append(["--no-warmup"])  # it has to write a token before it counts as ready: see `readiness`
    if recent:
        options.append(["-lv", _LOG_SIZES])
    ours = [option for option in options if known is None or option[0] in known]
    return [word for option in ours for word in option] + list(spec.extra_args)


def _can_place_experts(spec: EngineSpec, known: frozenset[str] | None) -> bool:
    """Where it cannot, the layers would bring all their experts along, which is more than the cards hold."""
    if not spec.experts_on_host:
        return True
    return spec.binary is not None and (known is None or "--n-cpu-moe" in known)


def own_program() -> list[str]:
    """The words that start our own program: from source, installed, or frozen."""
    if _is_frozen():
        return [sys.executable]
    return [sys.executable, "-m", "whisper_desktop"]


def _is_frozen() -> bool:
    return getattr(sys, "frozen", False) is True


def child_command(spec: EngineSpec, flags: list[str], *, owner_pid: int, nonce: str) -> list[str]:
    """The command line of an engine child. Its flags are those of `engine_flags`."""
    program, serve = [*own_program(), ENGINE_CHILD], ["builtin"]
    if spec.binary is not None:
        # On Linux the child becomes the binary: its death signal and its process id live on through `exec`,
        # and no second process has to be watched. Elsewhere nothing ties a foreign program to our life, so
        # the child stays, waits on the binary and watches standard input for our end.
        serve = ["exec" if sys.platform == "linux" else "stay", str(spec.binary)]
        if sys.platform == "linux" and not _is_frozen():
            program = [sys.executable, "-S", "-P", become.__file__]
    return [*program, str(owner_pid), nonce, *serve, *flags]


def child_folder() -> Path:
    """The working folder of children: where `-m whisper_desktop` finds this package, installed or not."""
    return Path(__file__).resolve().parents[2]


def scrubbed(environment: Mapping[str, str]) -> dict[str, str]:
    """`environment` without secrets, proxies, and settings for llama.cpp that were meant for another one."""

    def kept(name: str) -> bool:
        upper = name.upper()
        foreign = upper.endswith((*_SECRET_ENDINGS, "_PROXY")) or upper.startswith("LLAMA_ARG_")
        return not foreign

    result = {name: value for name, value in environment.items() if kept(name)}
    # On a failed assertion ggml would attach a debugger to print a backtrace, which can take seconds.
    result["GGML_NO_BACKTRACE"] = "1"
    # CUDA would number the fastest card first; layers are divided among cards in the order they are found in.
    result.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    return result


def child_environment(environment: Mapping[str, str], *, api_key: str, nonce: str) -> dict[str, str]:
    """The environment of one engine child."""
    return {**scrubbed(environment), KEY_VARIABLE: api_key, NONCE_VARIABLE: nonce}
