"""A role's conversation: it keeps its own context, and takes its turn."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from whisper_desktop.engines.pool.answering import Answering
from whisper_desktop.engines.pool.place import Place
from whisper_desktop.engines.pool.roles import PoolRole
from whisper_desktop.values import (
    AnswerFinished,
    GenerationConfig,
    Message,
    Phase,
    Progress,
    Role,
    StreamEvent,
)


class RoleSession:
    """One conversation with one role. Made by `Pool.session`; it belongs to the pool's event loop.

    `messages` is its context without the role's own opening: it grows by a question and its answer once that
    answer is complete, and stays as it was when it fails or is cancelled.
    """

    def __init__(self, role: PoolRole, place: Place) -> None:
        self.role = role
        self.messages: tuple[Message, ...] = ()
        self._place = place

    async def stream(
        self, messages: Sequence[Message] | str, generation: GenerationConfig = GenerationConfig()
    ) -> AsyncGenerator[StreamEvent, None]:
        """Go on with this conversation: `messages` (or a question) are added to it and answered.

        Sessions of the same role take turns; whoever waits is told so (`Progress`, QUEUED). Close the
        generator to cancel: the engine then stops writing. Raises `BackendError` (kind ENGINE where the
        engine cannot be started), and `Interrupted` where the answer broke off for good after its first
        text.
        """
        asked = (Message(Role.USER, messages),) if isinstance(messages, str) else tuple(messages)
        answering = Answering(self.role, self._place)
        if self._place.turn.ahead:
            yield Progress(Phase.QUEUED, ahead=self._place.turn.ahead, server_name=answering.server_name)
        async with self._place.turn:
            before = self.messages  # Only now: another question of this session may have been before us.
            events = answering.events((*self.role.opening, *before, *asked), generation)
            async with aclosing(events):
                async for event in events:
                    if isinstance(event, AnswerFinished):
                        told = event.completion
                        answer = Message(Role.ASSISTANT, told.text, tool_calls=told.tool_calls)
                        self.messages = (*before, *asked, answer)
                    yield event

    def forget(self) -> None:
        """Begin anew: the context is dropped, the role stays."""
        self.messages = ()
