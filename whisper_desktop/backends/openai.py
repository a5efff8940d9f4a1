"""OpenAI's own API."""

from typing import ClassVar

from whisper_desktop.backends.openai_compatible import OpenAICompatibleBackend


class OpenAIBackend(OpenAICompatibleBackend):
    """OpenAI. Its newer models refuse `max_tokens`."""

    paid = True
    needs_key: ClassVar[bool] = True
    max_tokens_field: ClassVar[str] = "max_completion_tokens"
