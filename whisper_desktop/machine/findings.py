"""What the probes report: the parts from which a `ResourceInfo` is put together."""

from dataclasses import dataclass

from whisper_desktop.values import GpuInfo


@dataclass(frozen=True, slots=True)
class System:
    """The operating system. `name` is "Linux", "macOS" or "Windows"; `arch` as in "x86_64" or "arm64"."""

    name: str
    version: str
    arch: str
    has_display: bool


@dataclass(frozen=True, slots=True)
class Memory:
    """RAM in bytes. `total` and `available` respect `limit`, which is set where a container's limit
    applies.
    """

    total: int
    available: int
    installed: int | None = None
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Cpu:
    """The processor. `logical` counts what this process may use, `physical` the cores among those."""

    name: str
    physical: int
    logical: int
    features: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Gpus:
    """Graphics processors from one source, with sentences about what that source could not tell."""

    cards: tuple[GpuInfo, ...] = ()
    warnings: tuple[str, ...] = ()


class ProbeFailed(Exception):
    """A source could not answer. The text completes "<source> ...", for example "did not answer within 2
    s".
    """
