"""Plain looks at a server, without any client of ours: http.client, or a socket for raw bytes."""

import http.client
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

DEADLINE_S = 5.0


@dataclass(frozen=True)
class Seen:
    """One whole answer. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    def events(self) -> list[Any]:
        """The data of the server-sent events, parsed, without `[DONE]`."""
        data = [line[6:] for line in self.text.split("\n") if line.startswith("data: ")]
        return [json.loads(each) for each in data if each != "[DONE]"]

    def lines(self) -> list[Any]:
        """The lines of NDJSON, parsed."""
        return [json.loads(line) for line in self.text.split("\n") if line]


def call(
    url: str, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
) -> Seen:
    """One request on a connection of its own; `body` is sent as JSON, bytes as they are."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=DEADLINE_S)
    payload = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
    try:
        connection.request(method, path, payload, dict(headers or {}))
        answer = connection.getresponse()
        fields = {name.lower(): value for name, value in answer.getheaders()}
        return Seen(answer.status, fields, answer.read())
    finally:
        connection.close()


def raw(url: str, data: bytes, deadline_s: float = DEADLINE_S) -> bytes:
    """Everything a server sends after `data` until it closes. Raises ConnectionResetError, TimeoutError."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname or "", parts.port or 80), timeout=deadline_s) as sock:
        sock.sendall(data)
        received = b""
        while piece := sock.recv(65536):
            received += piece
        return received
