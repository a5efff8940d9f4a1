"""A llama-server that somebody else started (our own is in `engine`)."""

from dataclasses import replace

from whisper_desktop.backends.openai_compatible import OpenAICompatibleBackend
from whisper_desktop.errors import BackendError
from whisper_desktop.values import ModelInfo, Reach
from whisper_desktop.wire import fields


class LlamaCppBackend(OpenAICompatibleBackend):
    """llama.cpp's server: one model that answers to any name, or, as a router, several."""

    async def list_models(self, *, allowed: Reach | None = None) -> tuple[ModelInfo, ...]:
        """The models; a single one with the context it really has (`/props`)."""
        models = await super().list_models(allowed=allowed)
        if len(models) != 1:
            return models
        endpoint = await self._endpoint()
        try:
            props = await self._get(endpoint, f"{self._root}/props", self._reach(endpoint, allowed))
        except BackendError:
            return models  # An older server, or one started with --no-props: the list has to do.
        settings = fields.table(fields.table(props).get("default_generation_settings"))
        context = fields.count(settings.get("n_ctx"))
        return (replace(models[0], loaded=True, context_length=context or models[0].context_length),)
