"""How the tests look: at ports of their own, never at the usual ones of whoever runs them."""

from collections.abc import Iterable, Mapping
from contextlib import aclosing

from tests.servers.launch import RunningServer
from whisper_desktop.discovery import LocalLLMDetector
from whisper_desktop.values import IDENTITIES, Deadlines, ServerInfo

NOWHERE: Mapping[str, int] = dict.fromkeys(IDENTITIES, 0)
"""No usual port at all."""

PATIENT = Deadlines(scan_total=20, probe_connect=10, probe_request=10)
"""For tests that are not about time, on machines that are busy."""


def usual(*ports: int) -> dict[str, int]:
    """These ports as places where servers are usually found, whichever they are."""
    assert len(ports) <= len(IDENTITIES)
    return {**NOWHERE, **dict(zip(IDENTITIES, ports, strict=False))}


async def found_at(*servers: RunningServer, deadlines: Deadlines = PATIENT) -> dict[int, ServerInfo]:
    """What a scan that merely comes across these servers reports, by port."""
    detector = LocalLLMDetector(
        deadlines=deadlines, env={}, ports=usual(*(server.port for server in servers))
    )
    return by_port(await detector.detect_available_servers())


def by_port(servers: Iterable[ServerInfo]) -> dict[int, ServerInfo]:
    """One server for each port; fails where a port has two."""
    listed = list(servers)
    ports = {int(server.url.rsplit(":", 1)[1]): server for server in listed}
    assert len(ports) == len(listed), listed
    return ports


async def all_of(detector: LocalLLMDetector, *, include_absent: bool = False) -> list[ServerInfo]:
    """Everything the detector tells, in the order of telling."""
    async with aclosing(detector.iter_servers(include_absent=include_absent)) as servers:
        return [server async for server in servers]
