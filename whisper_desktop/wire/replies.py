"""What comes back from a server: a whole response, or one whose body is still on its way."""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

from whisper_desktop.errors import BackendError
from whisper_desktop.language import tr
from whisper_desktop.values import ErrorKind
from whisper_desktop.wire.address import Address

LARGEST_BODY = 8_000_000


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole response. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> object:
        """The body as JSON. Raises `BackendError`: NOT_AN_LLM for a web page, MALFORMED for broken JSON."""
        return parse_json(self.body, self.headers.get("content-type", ""))


class StreamReply(ABC):
    """A response whose body is still coming. Only valid inside the `async with` that gave it."""

    def __init__(self, status: int, headers: Mapping[str, str], address: Address) -> None:
        self.status = status
        self.headers = headers
        self.address = address

    @property
    @abstractmethod
    def ended(self) -> bool:
        """Whether all of the body has been read, as far as that is known without waiting."""

    @abstractmethod
    async def next_piece(self) -> bytes:
        """What has arrived of the body since, decompressed, at least one byte; b"" at the end of the body.

        Raises `BackendError`: STREAM_CUT, or MALFORMED where it cannot be unpacked.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go of the connection: it is kept where the whole body has been read, else closed at once."""

    async def read(self, max_bytes: int = LARGEST_BODY) -> bytes:
        """The rest of the body at once. Raises `BackendError` TOO_LARGE beyond `max_bytes`."""
        pieces, size = [], 0
        while piece := await self.next_piece():
            pieces.append(piece)
            size += len(piece)
            if size > max_bytes:
                raise BackendError(
                    ErrorKind.TOO_LARGE,
                    tr(
                        "{netloc} sent more than {max_bytes:g} MB.",
                        netloc=self.address.netloc,
                        max_bytes=max_bytes / 1000000.0,
                    ),
                    tr("A model server's answer is shorter, so it is probably another program."),
                    tr("Check the address."),
                    status=self.status,
                )
        return b"".join(pieces)


def parse_json(body: bytes, content_type: str = "") -> object:
    """JSON from a server we do not trust. Raises `BackendError` NOT_AN_LLM or MALFORMED."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        pass
    if "json" in content_type.lower():
        raise BackendError(ErrorKind.MALFORMED, tr("The server's answer is broken: it is not valid JSON."))
    if body.lstrip()[:1] == b"<":
        title = tr("This is not a model server: it sent a web page where JSON was expected.")
    elif not body.strip():
        title = tr("This is not a model server: it sent nothing where JSON was expected.")
    else:
        title = tr("This is not a model server: it sent something else where JSON was expected.")
    raise BackendError(
        ErrorKind.NOT_AN_LLM,
        title,
        "",
        tr("Check the address and the port."),
    )
