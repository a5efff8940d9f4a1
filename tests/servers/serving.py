"""The process around a test server: listens, announces itself in one line, and ends with its parent."""

import asyncio
import contextlib
import itertools
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Sequence

from tests.servers.base import Service, common_options


class Listener:
    """Listening sockets of one service. While it refuses, the port stays bound: nobody else gets it."""

    def __init__(self, service: Service, hosts: Sequence[str], port: int) -> None:
        self._service = service
        self._hosts = hosts
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._held: list[socket.socket] = []
        self.settled = asyncio.Event()
        self._bound = _bind_all(hosts, port)
        self.port: int = self._bound[0].getsockname()[1]

    @property
    def url(self) -> str:
        """The root of the first address."""
        host = self._hosts[0]
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    async def open(self) -> None:
        """Starts to accept connections; does nothing where it does already."""
        for sock in self._bound:
            if self._service.accepts:
                self._servers.append(await asyncio.start_server(self._connected, sock=sock, backlog=256))
            else:
                self._held += [sock, *_fill_backlog(sock)]
        self._bound = []

    def refuse(self) -> None:
        """Breaks what is open and lets the kernel refuse new connections."""
        for server in self._servers:
            server.close()
        self._servers = []
        self._service.drop_connections()
        self._bound = self._bound or _bind_all(self._hosts, self.port)

    async def obey(self) -> None:
        """Listens, but for the service's outages. `settled` is set once it does what it should first."""
        while True:
            for up_s, down_s in self._service.outages:
                if up_s:
                    await self.open()
                    self.settled.set()
                if await self._told_within(up_s):
                    break
                self.refuse()
                self.settled.set()
                if await self._told_within(down_s):
                    break
                await self.open()
            else:
                await self.open()
                self.settled.set()
                await self._told_within(None)
            self._service.outages_changed.clear()
            await asyncio.sleep(0.02)  # the answer to the request that asked for it goes out first

    async def _told_within(self, seconds: float | None) -> bool:
        """Whether the outages changed within that time (None: waits until they do)."""
        try:
            async with asyncio.timeout(seconds):
                await self._service.outages_changed.wait()
        except TimeoutError:
            return False
        return True

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._converse(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._service.writers.add(writer)
        try:
            await self._service.converse(reader, writer)
        except ConnectionError:
            pass
        finally:
            self._service.writers.discard(writer)
            writer.close()


def _bind_all(hosts: Sequence[str], port: int) -> list[socket.socket]:
    """Sockets bound to one port on all hosts; with port 0 a port that is free on each of them."""
    for _ in range(20):
        bound: list[socket.socket] = []
        chosen = port
        try:
            for host in hosts:
                family = socket.AF_INET6 if ":" in host else socket.AF_INET
                # Named, because asyncio sets TCP_NODELAY only on sockets whose protocol is known.
                sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
                bound.append(sock)
                if os.name == "posix":  # elsewhere the option lets two programs share a port
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.bind((host, chosen))
                chosen = sock.getsockname()[1]
        except OSError:
            for sock in bound:
                sock.close()
            if port:
                raise
        else:
            return bound
    raise OSError(f"no port is free on all of {', '.join(hosts)}")


def _fill_backlog(sock: socket.socket) -> list[socket.socket]:
    """Takes the only place in the queue, so that every further handshake is dropped (Linux and macOS)."""
    sock.listen(0)
    fillers = []
    for _ in range(3):
        filler = socket.socket(sock.family, socket.SOCK_STREAM)
        filler.setblocking(False)
        filler.connect_ex(sock.getsockname())
        fillers.append(filler)
    return fillers


async def _serve(services: Sequence[tuple[Service, str, int, float]], *, as_list: bool, stay: bool) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))
    if not stay:
        threading.Thread(target=_watch_input, args=(loop, stop), daemon=True).start()
    listeners = []
    obeying = []
    for service, host, port, delay in services:
        listener = Listener(service, host.split(","), port)
        if delay:
            service.outages = itertools.chain([(0.0, delay)], service.outages)
        listeners.append(listener)
        obeying.append(asyncio.ensure_future(listener.obey()))
        await listener.settled.wait()
    said = [{"url": each.url, "port": each.port, "pid": os.getpid()} for each in listeners]
    print(json.dumps(said if as_list else said[0]), flush=True)
    await stop.wait()
    for task in obeying:
        task.cancel()


def _watch_input(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """Ends the process when whoever started it closes its standard input, or dies."""
    with contextlib.suppress(OSError):
        while os.read(0, 4096):
            pass
    with contextlib.suppress(RuntimeError):  # the loop is closed: we are ending anyway
        loop.call_soon_threadsafe(stop.set)


def main(kind: type[Service], argv: Sequence[str] | None = None) -> None:
    """Runs one server until SIGTERM, Ctrl-C or the end of standard input."""
    serve_all([(kind, sys.argv[1:] if argv is None else argv)], as_list=False)


def serve_all(kinds: Sequence[tuple[type[Service], Sequence[str]]], *, as_list: bool) -> None:
    """Runs several servers in this process."""

    async def run() -> None:
        services = []
        stay = False
        for kind, argv in kinds:
            options = common_options(kind, f"python -m tests.servers.{kind.name}").parse_args(argv)
            stay = stay or options.stay
            services.append((kind.create(options), options.host, options.port, options.delay_listen))
        await _serve(services, as_list=as_list, stay=stay)

    asyncio.run(run())
