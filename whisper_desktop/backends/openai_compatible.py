"""Any server that speaks the OpenAI dialect; those that need more are subclasses in modules of their own."""

import time
from collections.abc import Sequence
from typing import ClassVar

from whisper_desktop.backends.base import BackendConfig, KeySource
from whisper_desktop.backends.http_backend import Call, Endpoint, HttpBackend, Question
from whisper_desktop.backends.identity import is_still_there
from whisper_desktop.backends.options import TEXT, Kind
from whisper_desktop.errors import BackendError
from whisper_desktop.values import Deadlines, Embeddings, ErrorKind, ModelInfo, Reach
from whisper_desktop.wire.address import parse_url
from whisper_desktop.wire.http import Http, Reply
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
    """A server with `/chat/completions` and `/models` below its API base.

    One that was found on this computer, and not written down by the person, is recognised again before it
    gets a prompt: another program may have taken its port since.
    """

    capabilities = frozenset(
        {"completion", "stream", "tools", "vision", "json_schema", "embedding", "reasoning"}
    )
    streams: ClassVar[bool] = True
    max_tokens_field: ClassVar[str] = "max_tokens"
    known_options: ClassVar[dict[str, Kind]] = {"embedding_model": TEXT}

    def __init__(
        self,
        config: BackendConfig,
        *,
        http: Http,
        deadlines: Deadlines,
        key: KeySource | None = None,
        owns_http: bool = False,
    ) -> None:
        super().__init__(config, http=http, deadlines=deadlines, key=key, owns_http=owns_http)
        self._recognised_at: float | None = None

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

    # --- who answers --------------------------------------------------------------------------------------

    @property
    def _is_vouched_for(self) -> bool:
        """Whether a person wrote the address, or it is not on this computer."""
        return self.config.as_given or parse_url(self._root).reach is not Reach.THIS_MACHINE

    async def _identify(self, endpoint: Endpoint, allowed: Reach) -> None:
        if self._is_vouched_for:
            return
        since = self._recognised_at
        if since is not None and time.monotonic() - since < self._deadlines.listing:
            return

        async def ask(url: str) -> Reply:
            # A program that is not recognised yet gets the key only if it refuses to talk without one.
            reply = await self._http.request("GET", url, allowed=allowed)
            if reply.status in (401, 403) and endpoint.key is not None:
                reply = await self._http.request("GET", url, allowed=allowed, headers=self._headers(endpoint))
            self._seen(url.removeprefix(self._root), reply)
            return reply

        if not await is_still_there(self.id, self._root, ask):
            raise another_program()
        self._recognised_at = time.monotonic()

    def _seen(self, path: str, reply: Reply) -> None:
        """What the server answered while it was recognised."""

    def _forget(self) -> None:
        super()._forget()
        self._recognised_at = None


def another_program() -> BackendError:
    """What to raise where something else answers than the server that was found."""
    return BackendError(
        ErrorKind.NOT_AN_LLM,
        "Another program answers there now.",
        "Nothing was sent to it.",
        "Search for servers again, or check which program uses this port.",
        request_sent=False,
    )
