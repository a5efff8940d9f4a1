"""Another program's answer being written: a client of its own that reads an endless stream in a thread."""

import contextlib
import http.client
import json
import socket
import threading

from whisper_desktop.engines.spec import EngineAddress


class ForeignStream:
    """Reads an answer without an end from the engine. `first` is set when its first bytes are there."""

    def __init__(self, address: EngineAddress) -> None:
        self.first = threading.Event()
        self.received = 0
        self._connection = http.client.HTTPConnection(address.url.removeprefix("http://"), timeout=30)
        body = {
            "messages": [{"role": "user", "content": "go on"}],
            "stream": True,
            "ignore_eos": True,
            "max_tokens": 100_000,
        }
        headers = {"Authorization": f"Bearer {address.api_key}", "Content-Type": "application/json"}
        self._connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        self._socket = self._connection.sock
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        # The engine's end cuts the answer off, which http.client reports in one of these ways.
        cut_off = contextlib.suppress(http.client.HTTPException, OSError, ValueError, AttributeError)
        with cut_off, self._connection.getresponse() as response:
            while piece := response.read1(4096):
                self.received += len(piece)
                self.first.set()

    @property
    def running(self) -> bool:
        """Whether the answer is still being written."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Hang up."""
        with contextlib.suppress(OSError):  # the other side was first
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(timeout=5)
        self._connection.close()
        self._socket.close()  # the connection lets go of it where its answer ends with it
