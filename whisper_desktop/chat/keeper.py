"""What a conversation needs of whoever keeps it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from whisper_desktop.chat.records import Attachment, Conversation, Node
from whisper_desktop.values import Message

if TYPE_CHECKING:
    from whisper_desktop.chat.session import Session


class Keeper(Protocol):
    """Who keeps a conversation. Nothing here blocks; all of it but `data` may be called from any thread."""

    @property
    def keeps(self) -> bool:
        """Whether what it is given outlives the app."""
        ...

    def put(self, conversation: Conversation, *, listed: bool) -> None:
        """Keep the head. `listed`: what a list shows of it has changed."""
        ...

    def put_node(self, conversation_id: str, node: Node) -> None:
        """Keep a message; the newest value counts."""
        ...

    def remove_nodes(self, conversation_id: str, ids: Sequence[str]) -> None:
        """Forget messages."""
        ...

    def forget(self, conversation_id: str) -> None:
        """There is nothing in it, not even a draft: it need not be kept."""
        ...

    def hold(self, attachments: Sequence[Attachment]) -> None:
        """Keep the bytes of what goes along."""
        ...

    async def data(self, attachment_id: str) -> bytes | None:
        """Those bytes; None where they are gone."""
        ...

    def answered(self, session: "Session", answer: Node, messages: Sequence[Message]) -> None:
        """An answer is complete; it was given to these messages."""
        ...
