"""How fast an engine writes, by its own counters."""

import re
from typing import TYPE_CHECKING

from whisper_desktop.engines.readiness import authorization
from whisper_desktop.engines.spec import EngineAddress
from whisper_desktop.errors import BackendError
from whisper_desktop.values import Reach

if TYPE_CHECKING:
    from whisper_desktop.wire.http import Http

_METRICS_MOST = 256 * 1024
_COUNTER = re.compile(
    r"^llamacpp:(tokens_predicted(?:_seconds)?_total) ([\d.eE+-]{1,40})[ \t]{0,8}$", re.MULTILINE
)


async def measured_speed(http: "Http", address: EngineAddress) -> float | None:
    """How many tokens a second the engine at `address` has written on average; None where it cannot tell.

    From its own counters, since its start. Never raises for what it answers.
    """
    try:
        reply = await http.request(
            "GET",
            f"{address.url}/metrics",
            allowed=Reach.THIS_MACHINE,
            headers=authorization(address),
            max_bytes=_METRICS_MOST,
        )
    except BackendError:
        return None
    return speed_in(reply.body.decode("utf-8", "replace")) if reply.status == 200 else None


def speed_in(metrics: str) -> float | None:
    """Tokens a second from llama-server's metrics; None before it has written any."""
    try:
        counted = {name: float(value) for name, value in _COUNTER.findall(metrics)}
    except ValueError:
        return None
    tokens = counted.get("tokens_predicted_total", 0.0)
    seconds = counted.get("tokens_predicted_seconds_total", 0.0)
    return tokens / seconds if tokens > 0 and seconds > 0 else None
