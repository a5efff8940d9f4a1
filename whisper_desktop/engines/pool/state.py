"""What a pool says of itself."""

from dataclasses import dataclass

from whisper_desktop.engines.pool.plan import Form
from whisper_desktop.values import EngineState


@dataclass(frozen=True, slots=True)
class PoolProgress:
    """How far a pool's start is, for a bar: `fraction` from 0 to 1, which never goes back, and a sentence."""

    fraction: float
    sentence: str
    ready: int
    roles: int


@dataclass(frozen=True, slots=True)
class RoleStatus:
    """One role. `state` is READY once its place has been warmed; `detail` is a sentence about its engine.

    `instance` counts from 0; `slot` is None where no process stands behind it. `ahead` is how many questions
    are being answered or wait there.
    """

    role: str
    state: EngineState
    detail: str
    instance: int
    slot: int | None = None
    pid: int | None = None
    ahead: int = 0


@dataclass(frozen=True, slots=True)
class PoolStatus:
    """The pool. READY means that as many roles as were asked for answer; `detail` says who does not, and why.

    `form` is None for a stub.
    """

    state: EngineState
    form: Form | None
    detail: str
    progress: PoolProgress
    roles: tuple[RoleStatus, ...]
