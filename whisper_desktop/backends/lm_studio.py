"""LM Studio: a request for a model that it does not have is answered, silently, by whichever model is loaded.

So the name is looked up in its own list before anything is sent.
"""

from whisper_desktop.backends.openai_compatible import Endpoint, OpenAICompatibleBackend
from whisper_desktop.discovery import lm_studio
from whisper_desktop.discovery.answers import Answer
from whisper_desktop.errors import BackendError
from whisper_desktop.values import ErrorKind, ModelInfo, Reach

_LISTS_NEWEST_FIRST = (lm_studio.NATIVE, lm_studio.LEGACY, lm_studio.PLAIN)


class LMStudioBackend(OpenAICompatibleBackend):
    """LM Studio's server. Without a model named, a loaded one is preferred to one that has to be loaded."""

    async def _models(self, endpoint: Endpoint, allowed: Reach) -> tuple[ModelInfo, ...]:
        answers: dict[str, Answer] = {}
        for path in _LISTS_NEWEST_FIRST:
            listed = await self._get(endpoint, self._root + path, allowed)
            answers[path] = Answer(200, {}, "", listed)
            models = lm_studio.describe(answers).models
            if models is not None:
                return models
        raise BackendError(ErrorKind.NOT_AN_LLM, "There is no list of models at this address.")

    async def _choose(self, endpoint: Endpoint, model: str | None, allowed: Reach) -> str | None:
        return self._pick(model or self.config.model, await self._models(endpoint, allowed), allowed)

    def _same(self, named: str, listed: str) -> bool:
        return listed in (named, named.partition("@")[0])  # "name@q8_0" is a variant of "name"
