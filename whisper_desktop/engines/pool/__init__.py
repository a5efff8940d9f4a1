"""The instance pool: isolated engines for the roles of agents, or one server with a slot for each.

`pool_plan` decides what to run, `Pool` runs it, `Pool.session` is a role's conversation. `StubPool` is the
same without a model.
"""

from whisper_desktop.engines.pool.limits import PoolLimits, limits_of
from whisper_desktop.engines.pool.plan import Form, PlacedRole, PoolPlan, pool_plan
from whisper_desktop.engines.pool.pool import AnyPool, Pool
from whisper_desktop.engines.pool.roles import PoolRole, roles_named
from whisper_desktop.engines.pool.session import RoleSession
from whisper_desktop.engines.pool.state import PoolProgress, PoolStatus, RoleStatus
from whisper_desktop.engines.pool.stub import StubPool

__all__ = [
    "AnyPool",
    "Form",
    "PlacedRole",
    "Pool",
    "PoolLimits",
    "PoolPlan",
    "PoolProgress",
    "PoolRole",
    "PoolStatus",
    "RoleSession",
    "RoleStatus",
    "StubPool",
    "limits_of",
    "pool_plan",
    "roles_named",
]
