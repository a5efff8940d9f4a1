"""What one request to a server is made of: where it goes, with which key, and who reads the answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from whisper_desktop.backends.base import BackendConfig
from whisper_desktop.errors import BackendError
from whisper_desktop.language import tr
from whisper_desktop.values import IDENTITIES, ErrorKind, GenerationConfig, Message, Reach
from whisper_desktop.wire.address import normalise_url, parse_url
from whisper_desktop.wire.decoding import StreamDecoder


class Secret:
    """A key that does not show itself."""

    def __init__(self, text: str) -> None:
        if not text.isascii() or not text.isprintable():
            raise BackendError(
                ErrorKind.AUTH,
                tr("The key cannot be sent."),
                tr("It contains a line break or another character that no key has."),
                request_sent=False,
            )
        self.text = text

    def __repr__(self) -> str:
        return "Secret(…)"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where one request goes and with which key. The key is kept out of every repr."""

    api_base: str
    key: Secret | None = None

    @property
    def key_text(self) -> str | None:
        """The key as it is sent."""
        return self.key.text if self.key is not None else None


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked for, the model that was named for it, where it goes, and how far it may travel."""

    messages: Sequence[Message]
    config: GenerationConfig
    named: str | None
    endpoint: Endpoint
    reach: Reach


@dataclass(slots=True)
class Call:
    """One request for an answer, and who reads what comes back.

    `received` counts the bytes of the answer; a request that goes on with one that was cut has `begins_at`
    and the failure that it follows.
    """

    model: str | None
    url: str
    body: object
    decoder: StreamDecoder
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict)
    received: int = 0
    begins_at: int = 0
    goes_on_after: BackendError | None = None
    in_place_of_another: bool = False


def roots_of(config: BackendConfig) -> tuple[str, str]:
    """A server's root and its API base, from either of them. ("", "") without an address."""
    if not config.url:
        return "", ""
    api_path = IDENTITIES[config.id].api_path
    url = normalise_url(config.url)
    if parse_url(url).path:
        return url.removesuffix(api_path), url
    return url, url + api_path
