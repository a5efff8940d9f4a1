"""OpenRouter: many cloud models behind one key."""

from collections.abc import Mapping
from typing import ClassVar

from whisper_desktop.backends.http_backend import Endpoint
from whisper_desktop.backends.openai_compatible import OpenAICompatibleBackend
from whisper_desktop.errors import BackendError
from whisper_desktop.values import ErrorKind, Reach


class OpenRouterBackend(OpenAICompatibleBackend):
    """OpenRouter. It names no default model: which one answers decides what it costs, so a person chooses."""

    needs_key: ClassVar[bool] = True
    # How OpenRouter asks applications to introduce themselves; this one has no web site.
    extra_headers: ClassVar[Mapping[str, str]] = {
        "http-referer": "whisper://desktop",
        "x-openrouter-title": "Whisper Desktop",
    }

    async def _choose(self, endpoint: Endpoint, model: str | None, allowed: Reach) -> str | None:
        named = model or self.config.model
        if named is None:
            raise BackendError(
                ErrorKind.NOT_CONFIGURED,
                "No OpenRouter model is chosen.",
                "They differ in price, so the choice is yours. Nothing was sent.",
                "Choose one: `whisper-desktop config set llm.openrouter.model NAME`.",
                request_sent=False,
            )
        return named
