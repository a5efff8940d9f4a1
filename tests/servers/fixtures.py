"""The pytest fixture `servers`: starts test servers and stops them all when the test ends."""

from collections.abc import Iterator, Sequence

import pytest

from tests.servers.launch import RunningServer, start, start_many


class ServerFactory:
    """`servers("ollama", "--fault", "hang")` starts one; `servers.many(...)` several in one process."""

    def __init__(self) -> None:
        self._running: list[RunningServer] = []

    def __call__(
        self,
        name: str,
        *args: str,
        port: int = 0,
        host: str = "127.0.0.1",
        models: Sequence[object] | None = None,
    ) -> RunningServer:
        """Starts one server; see `launch.start`."""
        server = start(name, *args, port=port, host=host, models=models)
        self._running.append(server)
        return server

    def many(self, *servers: tuple[str, Sequence[str]]) -> list[RunningServer]:
        """Starts several servers in one process; see `launch.start_many`."""
        started = start_many(*servers)
        self._running += started
        return started

    def stop_all(self) -> None:
        """Stops what was started, newest first."""
        for server in reversed(self._running):
            server.stop()


@pytest.fixture
def servers() -> Iterator[ServerFactory]:
    """A factory of test servers that live as long as the test."""
    factory = ServerFactory()
    try:
        yield factory
    finally:
        factory.stop_all()
