"""Any server that speaks the OpenAI dialect; those that need more are subclasses in modules of their own."""

from collections.abc import Sequence
from typing import ClassVar

from whisper_desktop.backends.http_backend import HttpBackend
from whisper_desktop.backends.options import TEXT, Kind
from whisper_desktop.backends.request import Call, Endpoint, Question
from whisper_desktop.values import Embeddings, ModelInfo, Reach
from whisper_desktop.wire.openai import (
    ChatDecoder,
    decode_embeddings,
    decode_models,
    encode_chat,
    encode_embeddings,
    reasoning_effort,
    reasoning_in_template,
)

Json = dict[str, object]

# llama.cpp and the servers around it, vLLM and SGLang hand it to the model's chat template.
_TOLD_IN_TEMPLATE = frozenset(
    {"builtin", "guide", "llama_cpp", "llamafile", "llama_swap", "jan", "vllm", "sglang"}
)


class OpenAICompatibleBackend(HttpBackend):
    """A server with `/chat/completions` and `/models` below its API base."""

    capabilities = frozenset(
        {"completion", "stream", "tools", "vision", "json_schema", "embedding", "reasoning"}
    )
    streams: ClassVar[bool] = True
    max_tokens_field: ClassVar[str] = "max_tokens"
    known_options: ClassVar[dict[str, Kind]] = {"embedding_model": TEXT}

    async def _models(self, endpoint: Endpoint, allowed: Reach) -> tuple[ModelInfo, ...]:
        return decode_models(await self._get(endpoint, f"{endpoint.api_base}/models", allowed))

    def _call(self, question: Question, model: str | None) -> Call:
        body = self._body(question, model)
        return Call(model, f"{question.endpoint.api_base}/chat/completions", body, ChatDecoder())

    def _body(self, question: Question, model: str | None) -> Json:
        return encode_chat(
            question.messages,
            question.config,
            model,
            stream=self.streams,
            max_tokens_field=self.max_tokens_field,
            reasoning=self._reasoning,
        )

    def _reasoning(self, level: str) -> Json:
        """How the server is told how much to think."""
        return reasoning_in_template(level) if self.id in _TOLD_IN_TEMPLATE else reasoning_effort(level)

    def _embedding_request(
        self, endpoint: Endpoint, texts: Sequence[str], model: str | None
    ) -> tuple[str, object]:
        return f"{endpoint.api_base}/embeddings", encode_embeddings(texts, model)

    def _embeddings(self, value: object) -> Embeddings:
        return decode_embeddings(value)
