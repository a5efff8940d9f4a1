"""Google's Gemini API. The key goes into a header, never into an address, which ends up in logs."""

from collections.abc import Mapping, Sequence

from whisper_desktop.backends.cloud import CloudBackend
from whisper_desktop.backends.request import Call, Endpoint, Question
from whisper_desktop.values import Embeddings, ModelInfo, Reach
from whisper_desktop.wire.gemini import (
    ChatDecoder,
    chat_path,
    decode_embeddings,
    decode_models,
    embeddings_path,
    encode_chat,
    encode_embeddings,
)

_MOST_MODELS = 1000


class GeminiBackend(CloudBackend):
    """Google Gemini."""

    capabilities = frozenset(
        {"completion", "stream", "tools", "vision", "json_schema", "embedding", "reasoning"}
    )

    async def _models(self, endpoint: Endpoint, allowed: Reach) -> tuple[ModelInfo, ...]:
        url = f"{endpoint.api_base}/models?pageSize={_MOST_MODELS}"
        return decode_models(await self._get(endpoint, url, allowed))

    def _call(self, question: Question, model: str | None) -> Call:
        body = encode_chat(question.messages, question.config, model or "")
        return Call(model, question.endpoint.api_base + chat_path(model or ""), body, ChatDecoder())

    def _headers(self, endpoint: Endpoint) -> Mapping[str, str]:
        return {"x-goog-api-key": endpoint.key.text} if endpoint.key else {}

    def _embedding_request(
        self, endpoint: Endpoint, texts: Sequence[str], model: str | None
    ) -> tuple[str, object]:
        return endpoint.api_base + embeddings_path(model or ""), encode_embeddings(texts, model or "")

    def _embeddings(self, value: object) -> Embeddings:
        return decode_embeddings(value)

    def _same(self, named: str, listed: str) -> bool:
        return named.removeprefix("models/") == listed
