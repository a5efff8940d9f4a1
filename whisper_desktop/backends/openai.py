"""OpenAI's own API."""

from typing import ClassVar

from whisper_desktop.backends.cloud import CloudBackend
from whisper_desktop.backends.openai_compatible import OpenAICompatibleBackend


class OpenAIBackend(CloudBackend, OpenAICompatibleBackend):
    """OpenAI. Its newer models refuse `max_tokens`."""

    max_tokens_field: ClassVar[str] = "max_completion_tokens"
