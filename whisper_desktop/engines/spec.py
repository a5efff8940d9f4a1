"""What to start: the model, how much of the computer it may use, which program serves it. Plain values."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from whisper_desktop.models.memory import CacheType, LoadMode
from whisper_desktop.settings.paths import resource
from whisper_desktop.values import ResourceInfo

TRAINED_CONTEXT = 0
"""As `n_ctx`: the context the model was trained with, which the engine reads from the file."""

GUIDE = "guide"


@dataclass(frozen=True, slots=True)
class Expected:
    """What a start should need, as `engines.plan` worked it out; all sizes are bytes, None is unknown.

    `weights_bytes`, `cache_bytes` and `compute_bytes` are for all kinds of memory together. `host_bytes` is
    everything in the computer's own memory, the program included, once a long prompt has filled its buffers;
    `total_bytes` is that and what lies on graphics cards. `gpu_layers` is how many of the model's `layers`
    (the output counts as one) should lie on graphics cards.
    """

    weights_bytes: int | None = None
    cache_bytes: int | None = None
    compute_bytes: int | None = None
    total_bytes: int | None = None
    host_bytes: int | None = None
    gpu_layers: int | None = None
    layers: int | None = None


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """One engine to run. `binary` None means the built-in engine; `port` None means a free port.

    `n_ctx` is in tokens (`TRAINED_CONTEXT` for the model's own). `load_mode` "none" reads the weights into
    memory once: with "mmap", llama.cpp's repacking for the processor keeps a second copy of most of them
    (measured: 1.7 times the file). `extra_args` are the person's own llama-server flags, passed as they are.
    `n_ctx` is for each of the `parallel` slots. `repack` False leaves the weights as they are in the file:
    less memory, slower on the processor. `rpc` are further computers as "address:port". `expected` is what
    the plan says this needs, to be compared with what happens.

    `experts_on_host` is of how many layers, counted from the first, the experts stay in the computer's own
    memory. `tensor_split` is how many layers lie on each graphics card, in their order; () leaves it to the
    engine. After a change of `n_gpu_layers` it is still the proportion.
    """

    model_path: Path
    alias: str
    n_ctx: int
    n_gpu_layers: int | Literal["auto"] = "auto"
    threads: int = 1
    binary: Path | None = None
    port: int | None = None
    extra_args: tuple[str, ...] = ()
    load_mode: LoadMode = "none"
    engine_id: str = ""
    cache_type: CacheType = "f16"
    repack: bool = True
    parallel: int = 1
    rpc: tuple[str, ...] = ()
    expected: Expected | None = None
    experts_on_host: int = 0
    tensor_split: tuple[int, ...] = ()

    @property
    def id(self) -> str:
        """The canonical id: what was given, else "builtin" or "llama_cpp" by the program that serves."""
        return self.engine_id or ("builtin" if self.binary is None else "llama_cpp")


@dataclass(frozen=True, slots=True)
class EngineAddress:
    """Where a ready engine answers. `url` is its root, without `/v1`; `api_key` never goes anywhere else."""

    url: str
    api_key: str | None
    model: str

    def __repr__(self) -> str:
        return f"EngineAddress(url={self.url!r}, model={self.model!r})"


def default_threads(resources: ResourceInfo) -> int:
    """One thread a physical core but one, which is for everything else.

    llama.cpp's threads wait for each other after each step. Measured on two cores: beside one busy program
    two threads write 0.6 tokens a second where one writes 6 to 9; with nothing else to do two write half as
    much again as one (36 and 22). More threads than cores do not help: writing waits for memory.
    """
    return max(1, resources.cores_physical - 1)


def guide_spec() -> EngineSpec:
    """The guide on the built-in engine: one thread (more are slower on so small a model), its own context."""
    return EngineSpec(
        model_path=resource(GUIDE, "guide.gguf"),
        alias=GUIDE,
        n_ctx=TRAINED_CONTEXT,
        threads=1,
        engine_id=GUIDE,
    )
