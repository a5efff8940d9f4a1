"""Name lookups that can hang without hurting anybody else.

The system's resolver blocks its thread, sometimes for minutes, and cannot be told to stop. Python's own pool
for such calls has few threads, is shared with everything else, and is waited for at the end of the program.
Each lookup therefore has a daemon thread of its own. Questions that are alike share one, and when `MOST` of
them hang, further ones fail at once as if the computer were offline, which it probably is.
"""

import asyncio
import socket
import threading
from contextlib import suppress

from whisper_desktop.language import tr

MOST = 16

Found = tuple[tuple[socket.AddressFamily, str], ...]
"""Numeric addresses, in the system's order."""


class Lookups:
    """Asks the system's resolver. It belongs to one event loop."""

    def __init__(self) -> None:
        self._running: dict[_Question, asyncio.Future[Found | OSError]] = {}

    async def __call__(self, host: str, port: int, family: int = socket.AF_UNSPEC) -> Found:
        """The addresses of a host. Raises `socket.gaierror`; cancelling leaves the lookup to the others."""
        question = (host, port, family)
        answer = self._running.get(question)
        if answer is None:
            if len(self._running) >= MOST:
                raise socket.gaierror(socket.EAI_AGAIN, tr("too many lookups hang"))
            answer = self._running[question] = asyncio.get_running_loop().create_future()
            threading.Thread(target=self._ask, args=(question, answer), name="lookup", daemon=True).start()
        found = await asyncio.shield(answer)
        if isinstance(found, OSError):
            raise found
        return found

    def _ask(self, question: "_Question", answer: "asyncio.Future[Found | OSError]") -> None:
        host, port, family = question
        found: Found | OSError
        try:
            infos = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, 0, socket.AI_ADDRCONFIG)
            found = tuple((info[0], _numeric(info[4])) for info in infos)
        except OSError as error:
            found = error
        except UnicodeError:
            found = socket.gaierror(socket.EAI_NONAME, tr("not a name"))

        def tell() -> None:
            del self._running[question]
            answer.set_result(found)

        # The loop may have ended long before a hanging resolver gave up.
        with suppress(RuntimeError):
            answer.get_loop().call_soon_threadsafe(tell)


_Question = tuple[str, int, int]


def _numeric(address: tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]) -> str:
    host = str(address[0])
    scope = address[3] if len(address) == 4 else 0
    return f"{host}%{scope}" if scope and "%" not in host else host
