"""LM Studio: a request for a model that it does not have is answered, silently, by whichever model is loaded.

So the name is looked up in its own list before anything is sent.
"""

from whisper_desktop.backends.openai_compatible import Endpoint, OpenAICompatibleBackend
from whisper_desktop.errors import BackendError
from whisper_desktop.values import ErrorKind, ModelInfo, Reach
from whisper_desktop.wire.lm_studio import LIST_V0, LIST_V1, decode_list
from whisper_desktop.wire.openai_errors import error_of


class LMStudioBackend(OpenAICompatibleBackend):
    """LM Studio's server. Without a model named, a loaded one is preferred to one that has to be loaded."""

    async def _models(self, endpoint: Endpoint, allowed: Reach) -> tuple[ModelInfo, ...]:
        for path in (LIST_V1, LIST_V0):
            reply = await self._request(endpoint, self._root + path, allowed)
            if reply.status >= 400 and reply.status != 404:
                raise error_of(reply.status, reply.headers, reply.body)
            try:
                return decode_list(reply.json())
            except BackendError as error:
                if error.kind is not ErrorKind.NOT_AN_LLM:
                    raise
        return await super()._models(endpoint, allowed)

    async def _choose(self, endpoint: Endpoint, model: str | None, allowed: Reach) -> str | None:
        return self._pick(model or self.config.model, await self._models(endpoint, allowed), allowed)

    def _same(self, named: str, listed: str) -> bool:
        # A second instance is "name:2", a variant "name@q8_0".
        return listed in (named, named.partition("@")[0], named.rpartition(":")[0])
