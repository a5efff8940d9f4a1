"""Ollama, through its OpenAI-compatible API. Its own list tells which models run in the cloud."""

from whisper_desktop.backends.openai_compatible import Endpoint, OpenAICompatibleBackend
from whisper_desktop.discovery import ollama
from whisper_desktop.discovery.answers import Answer
from whisper_desktop.errors import BackendError
from whisper_desktop.values import ErrorKind, ModelInfo, Reach

_VERSION_UNASKED = {"/api/version": Answer(404, {}, "")}


class OllamaBackend(OpenAICompatibleBackend):
    """Ollama's server. A model that it only passes on to the cloud is never asked without consent."""

    async def _models(self, endpoint: Endpoint, allowed: Reach) -> tuple[ModelInfo, ...]:
        answers = dict(_VERSION_UNASKED)
        for path in (ollama.TAGS, ollama.RUNNING):
            listed = await self._get(endpoint, self._root + path, allowed)
            answers[path] = Answer(200, {}, "", listed)
        models = ollama.describe(answers).models
        if models is None:
            raise BackendError(ErrorKind.NOT_AN_LLM, "There is no list of models at this address.")
        return models

    async def _choose(self, endpoint: Endpoint, model: str | None, allowed: Reach) -> str | None:
        return self._pick(model or self.config.model, await self._models(endpoint, allowed), allowed)

    def _same(self, named: str, listed: str) -> bool:
        return listed in (named, f"{named}:latest")
