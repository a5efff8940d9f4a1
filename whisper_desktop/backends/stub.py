"""A stub for trying out the app and scripts around it: no model, no network, always the same answer."""

import re
from collections.abc import AsyncGenerator, Sequence

from whisper_desktop.backends.base import Backend
from whisper_desktop.values import (
    BackendEvent,
    GenerationConfig,
    Message,
    ModelInfo,
    Reach,
    Role,
    StreamEnd,
    TextDelta,
    Usage,
)

MODEL = "stub"


class StubBackend(Backend):
    """Repeats the last message, one word at a time, and says that it is a stub."""

    async def list_models(self, *, allowed: Reach | None = None) -> tuple[ModelInfo, ...]:
        """One model that is none."""
        return (ModelInfo(MODEL, loaded=True),)

    async def stream_batches(
        self,
        messages: Sequence[Message],
        config: GenerationConfig = GenerationConfig(),
        *,
        model: str | None = None,
        allowed: Reach | None = None,
    ) -> AsyncGenerator[Sequence[BackendEvent], None]:
        """Generate. See `Backend`."""
        asked = next((m.content for m in reversed(messages) if m.role is Role.USER), "")
        words = re.findall(r"\S+\s*", f"This is a stub, no model is running. You said: {asked}")
        limit = len(words) if config.max_tokens is None else config.max_tokens
        for word in words[:limit]:
            yield [TextDelta(word)]
        end = StreamEnd(
            "length" if limit < len(words) else "stop",
            Usage(
                prompt_tokens=sum(len(message.content.split()) for message in messages),
                completion_tokens=min(limit, len(words)),
            ),
            self.config.model or MODEL,
        )
        yield [end]
