"""What a model is wanted for, and what that asks of it: context, a usual question, patience."""

from dataclasses import dataclass
from enum import StrEnum

from whisper_desktop.language import mark, tr


class Purpose(StrEnum):
    """What a person wants a model for."""

    CHAT = "chat"
    CODE = "code"
    LONG = "long"
    VISION = "vision"
    SMALL = "small"

    @property
    def words(self) -> str:
        """The end of "Recommended for …"."""
        return tr(_WORDS[self])


_WORDS = {
    Purpose.CHAT: mark("chat"),
    Purpose.CODE: mark("coding"),
    Purpose.LONG: mark("long documents"),
    Purpose.VISION: mark("questions about pictures"),
    Purpose.SMALL: mark("the least memory"),
}


@dataclass(frozen=True, slots=True)
class Wish:
    """What a purpose asks for. `contexts` are in tokens, the wished one first and the least one last.

    `prompt` is how long a usual question is, in tokens, `answer` how long the answer without any thinking.
    An answer that takes longer than `patience` seconds counts against a model, and one that takes longer than
    `limit` rules it out. `beside_bytes` is what is loaded beside the model, `for_each_gb` how much a GB of
    memory counts against it.
    """

    contexts: tuple[int, ...] = (32768, 16384, 8192, 4096)
    prompt: int = 1000
    answer: int = 300
    patience: float = 20.0
    limit: float = 90.0
    beside_bytes: int = 0
    for_each_gb: float = 0.0


# A program takes a while to read and a long document takes minutes, on any home computer, so the patience is
# another one. The part that sees is a file of its own, of up to 1 GB for the models we list.
WISHES = {
    Purpose.CHAT: Wish(),
    Purpose.CODE: Wish(contexts=(65536, 32768), prompt=8000, patience=40.0, limit=240.0),
    Purpose.LONG: Wish(contexts=(131072, 65536), prompt=32000, patience=120.0, limit=600.0),
    Purpose.VISION: Wish(contexts=(16384, 8192), prompt=1500, beside_bytes=1_000_000_000),
    Purpose.SMALL: Wish(contexts=(8192, 4096), for_each_gb=10.0),
}
