"""What a test server saw, in memory and as JSON lines, so that tests can prove what was (not) sent where."""

import json
import time
from pathlib import Path

from tests.servers.http_wire import Request


class RequestLog:
    """Numbered events: connection, request, response, disconnect, malformed.

    A request carries method, path (with the query), headers (lower case) and body (parsed where it is JSON);
    response and disconnect carry status, tokens_sent and after_s, the seconds since the request was read.
    """

    def __init__(self, path: str | None) -> None:
        self.events: list[dict[str, object]] = []
        self._file = Path(path).open("a", encoding="utf-8") if path else None  # noqa: SIM115 (lives as we do)

    def note(self, event: str, **facts: object) -> None:
        """Adds one event and writes it out at once."""
        if str(facts.get("path", "")).startswith("/__test__/"):
            return
        entry = {"event": event, "time": time.time(), **facts}
        self.events.append(entry)
        if self._file:
            self._file.write(json.dumps(entry) + "\n")
            self._file.flush()

    def note_request(self, request: Request) -> None:
        """Adds a request as it arrived."""
        body: object = None
        if request.body:
            try:
                body = request.json()
            except ValueError:
                body = request.body.decode("utf-8", "replace")
        self.note(
            "request", method=request.method, path=request.target, headers=dict(request.headers), body=body
        )
