"""What is kept of a conversation, as frozen values: itself, and its messages, which form a tree.

A message names its parent; answers to one question, and other wordings of one question, are siblings. The
path from the first message to `Conversation.leaf` is what is shown.
"""

from dataclasses import dataclass, field
from enum import Enum, StrEnum

from whisper_desktop.chat.breaks import Seam, SetAside
from whisper_desktop.errors import WhisperError
from whisper_desktop.values import GenerationConfig, Provenance, Reach, Role, ToolCall


class TurnState(Enum):
    """How far an answer got. A question is always complete."""

    STREAMING = "streaming"
    COMPLETE = "complete"
    STOPPED = "stopped"
    INTERRUPTED = "interrupted"
    FAILED = "failed"


class TitleSource(StrEnum):
    """Where a title comes from. What the person wrote is never replaced."""

    NONE = ""
    QUESTION = "question"
    MODEL = "model"
    PERSON = "person"


@dataclass(frozen=True, slots=True)
class Attachment:
    """Something that goes along with a message. `id` is the SHA-256 of its bytes, which the store keeps.

    `text` is what was taken out of a text file or a PDF, and is what the model reads; "" for an image.
    `note` is a sentence about what was guessed or left out in doing so.
    """

    id: str
    name: str
    media_type: str
    size_bytes: int
    text: str = ""
    note: str = ""

    @property
    def is_image(self) -> bool:
        """Whether the model is shown it, instead of reading its text."""
        return self.media_type.startswith("image/")


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a conversation asks of every answer. None: the model's, or the server's, own default."""

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    context_length: int | None = None
    reasoning: str | None = None

    def config(self) -> GenerationConfig:
        """The same for a client."""
        return GenerationConfig(
            temperature=self.temperature,
            top_p=self.top_p,
            max_tokens=self.max_tokens,
            seed=self.seed,
            stop=self.stop,
            context_length=self.context_length,
            reasoning=self.reasoning,
        )


@dataclass(frozen=True, slots=True)
class ChatWishes:
    """What the person chose for one conversation. None: what the settings say.

    `system` is the system prompt as it is sent, `persona` the name of the one it was made from.
    """

    backend: str | None = None
    model: str | None = None
    reach: Reach | None = None
    persona: str = ""
    system: str = ""
    parameters: Parameters = Parameters()


@dataclass(frozen=True, slots=True)
class Choice:
    """Who is to give one answer. None: what the conversation says."""

    backend: str | None = None
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """What was written and not sent."""

    text: str = ""
    attachments: tuple[Attachment, ...] = ()


@dataclass(frozen=True, slots=True)
class ReadingPlace:
    """Where the person was reading: the topmost message in sight, and its share above the edge (0 to 1)."""

    message: str
    above: float = 0.0


@dataclass(frozen=True, slots=True)
class Node:
    """One message. Times are seconds since 1970, in UTC. Everything below `state` is an answer's.

    `reasoning_seconds` is how long the model reasoned; `seams` are where somebody else went on with the text;
    `set_aside` are beginnings that broke off before somebody began anew, and are never sent along.
    """

    id: str
    parent: str | None
    role: Role
    text: str
    created: float
    attachments: tuple[Attachment, ...] = ()
    state: TurnState = TurnState.COMPLETE
    reasoning: str = ""
    reasoning_seconds: float | None = None
    provenance: Provenance | None = None
    finish_reason: str = ""
    error: WhisperError | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    seams: tuple[Seam, ...] = ()
    set_aside: tuple[SetAside, ...] = ()


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of the list of conversations."""

    id: str
    name: str
    position: int = 0


@dataclass(frozen=True, slots=True)
class Conversation:
    """The head of a conversation. `leaf` is the last message of the path that is shown.

    `place` None: at the end. `deleted` is when it was put into the bin, None while it is not there.
    """

    id: str
    created: float
    updated: float
    title: str = ""
    title_source: TitleSource = TitleSource.NONE
    folder: str | None = None
    pinned: bool = False
    wishes: ChatWishes = field(default_factory=ChatWishes)
    leaf: str | None = None
    draft: Draft = field(default_factory=Draft)
    place: ReadingPlace | None = None
    deleted: float | None = None


@dataclass(frozen=True, slots=True)
class Hit:
    """A place where a search found its words. `message` is None where they stand in the title.

    `snippet` is the text around them in parts, each with whether it is one of the words.
    """

    conversation: str
    title: str
    message: str | None
    role: Role | None
    created: float
    snippet: tuple[tuple[str, bool], ...]
