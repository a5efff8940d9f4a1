"""A way to a server that breaks off: it passes bytes on in both directions and cuts the first long answer."""

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Self


class CuttingProxy:
    """Listens on a port of its own. After `cut_after` bytes it drops a connection, `times` times in all."""

    def __init__(self, port: int, *, cut_after: int, times: int = 1) -> None:
        self._port = port
        self._cut_after = cut_after
        self.cuts_left = times
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Where it listens."""
        assert self._server is not None
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"http://{host}:{port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        asking = asyncio.ensure_future(self._pass_on(reader, far_writer, None))
        # A cancelled handler of a connection would make asyncio complain.
        with suppress(asyncio.CancelledError):
            await self._pass_on(far_reader, writer, self._cut_after)
        asking.cancel()
        writer.transport.abort()
        far_writer.close()
        await asyncio.wait([asking])

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, cut_after: int | None
    ) -> None:
        passed = 0
        with suppress(ConnectionError):
            while piece := await reader.read(1000):
                passed += len(piece)
                writer.write(piece)
                await writer.drain()
                if cut_after is not None and passed > cut_after and self.cuts_left:
                    self.cuts_left -= 1
                    return
            writer.close()
