"""Answers without an end, read through our own backend."""

from collections.abc import Callable, Sequence
from contextlib import aclosing

from whisper_desktop.backends import Backend
from whisper_desktop.values import GenerationConfig, Message, Role, TextDelta

ASK: Sequence[Message] = [Message(Role.USER, "Hello there")]
SHORT = GenerationConfig(max_tokens=8, temperature=0.0, extra={"ignore_eos": True})
ENDLESS = GenerationConfig(max_tokens=100_000, temperature=0.0, extra={"ignore_eos": True})


async def read_until(backend: Backend, happening: Callable[[], object]) -> None:
    """Read an answer without an end; at its first text, something happens. Raises what it ends with."""
    happened = False
    async with aclosing(backend.generate_stream(ASK, ENDLESS)) as events:
        async for event in events:
            if isinstance(event, TextDelta) and not happened:
                happened = True
                happening()
