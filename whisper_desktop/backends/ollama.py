"""Ollama, through its OpenAI-compatible API. Its own list tells which models run in the cloud."""

from whisper_desktop.backends.openai_compatible import Endpoint, OpenAICompatibleBackend
from whisper_desktop.values import ModelInfo, Reach
from whisper_desktop.wire.ollama import LIST, decode_tags


class OllamaBackend(OpenAICompatibleBackend):
    """Ollama's server. A model that it only passes on to the cloud is never asked without consent."""

    async def _models(self, endpoint: Endpoint, allowed: Reach) -> tuple[ModelInfo, ...]:
        return decode_tags(await self._get(endpoint, self._root + LIST, allowed))

    async def _choose(self, endpoint: Endpoint, model: str | None, allowed: Reach) -> str | None:
        return self._pick(model or self.config.model, await self._models(endpoint, allowed), allowed)

    def _same(self, named: str, listed: str) -> bool:
        return listed in (named, f"{named}:latest")
