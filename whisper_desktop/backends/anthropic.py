"""Anthropic's Messages API."""

from collections.abc import Mapping
from typing import ClassVar, Unpack

from whisper_desktop.backends.base import BackendConfig
from whisper_desktop.backends.cloud import CloudBackend
from whisper_desktop.backends.http_backend import HttpParts
from whisper_desktop.backends.options import Kind
from whisper_desktop.backends.request import Call, Endpoint, Question
from whisper_desktop.values import ModelInfo, Reach
from whisper_desktop.wire.anthropic import (
    VERSION,
    ChatDecoder,
    accepts_prefill,
    decode_models,
    encode_chat,
)

_MOST_MODELS = 1000


class AnthropicBackend(CloudBackend):
    """Anthropic. It has no embeddings."""

    capabilities = frozenset({"completion", "stream", "tools", "vision", "json_schema", "reasoning"})
    extra_headers: ClassVar[Mapping[str, str]] = {"anthropic-version": VERSION}
    known_options: ClassVar[dict[str, Kind]] = {"price": CloudBackend.known_options["price"]}

    def __init__(self, config: BackendConfig, **parts: Unpack[HttpParts]) -> None:
        super().__init__(config, **parts)
        if accepts_prefill(config.model):
            self.capabilities = self.capabilities | {"prefill"}

    async def _models(self, endpoint: Endpoint, allowed: Reach) -> tuple[ModelInfo, ...]:
        url = f"{endpoint.api_base}/models?limit={_MOST_MODELS}"
        return decode_models(await self._get(endpoint, url, allowed))

    def _call(self, question: Question, model: str | None) -> Call:
        body = encode_chat(question.messages, question.config, model)
        return Call(model, f"{question.endpoint.api_base}/messages", body, ChatDecoder())

    def _headers(self, endpoint: Endpoint) -> Mapping[str, str]:
        key = {"x-api-key": endpoint.key.text} if endpoint.key else {}
        return {**self.extra_headers, **key}
