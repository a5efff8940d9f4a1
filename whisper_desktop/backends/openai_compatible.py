"""Any server that speaks the OpenAI dialect; those that need more are subclasses in modules of their own.

Data flow of one answer: endpoint (address and key) -> model -> POST /chat/completions -> `wire.sse` ->
`wire.openai` -> deltas. Waiting for the first token and between tokens is the caller's to bound (`llm` does);
everything else here has a deadline.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import ClassVar

from whisper_desktop.backends.base import Backend, BackendConfig, KeySource
from whisper_desktop.backends.words import told
from whisper_desktop.errors import BackendError, ConsentRequired
from whisper_desktop.values import (
    IDENTITIES,
    BackendEvent,
    Deadlines,
    ErrorKind,
    GenerationConfig,
    Message,
    ModelInfo,
    Reach,
)
from whisper_desktop.wire.address import normalise_url, parse_url, reach_of
from whisper_desktop.wire.http import Http, Reply, StreamReply, parse_json
from whisper_desktop.wire.openai import ChatDecoder, decode_models, encode_chat
from whisper_desktop.wire.openai_errors import error_of
from whisper_desktop.wire.sse import SSEReader

_SHOWN_MODELS = 5


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where one request goes and with which key. The key is kept out of every repr."""

    api_base: str
    key: "Secret | None" = None

    def headers(self) -> Mapping[str, str]:
        """The header that carries the key."""
        return {"authorization": f"Bearer {self.key.text}"} if self.key else {}


class Secret:
    """A key that does not show itself."""

    def __init__(self, text: str) -> None:
        if not text.isascii() or not text.isprintable():
            raise BackendError(
                ErrorKind.AUTH,
                "The key cannot be sent.",
                "It contains a line break or another character that no key has.",
                request_sent=False,
            )
        self.text = text

    def __repr__(self) -> str:
        return "Secret(…)"


class OpenAICompatibleBackend(Backend):
    """A server with `/chat/completions` and `/models` below its API base."""

    streams: ClassVar[bool] = True
    needs_key: ClassVar[bool] = False
    max_tokens_field: ClassVar[str] = "max_tokens"
    extra_headers: ClassVar[Mapping[str, str]] = {}

    def __init__(
        self, config: BackendConfig, *, http: Http, deadlines: Deadlines, key: KeySource | None = None
    ) -> None:
        super().__init__(config, deadlines=deadlines)
        self._http = http
        self._key = key
        self._root, self._api_base = roots_of(config)

    @property
    def base_url(self) -> str:
        """Where the API starts, `/v1` included."""
        return self._api_base

    async def list_models(self, *, allowed: Reach | None = None) -> tuple[ModelInfo, ...]:
        """The models the server lists. Raises `BackendError` or `ReachError`."""
        endpoint = None
        try:
            endpoint = await self._endpoint()
            return await self._models(endpoint, self._reach(endpoint, allowed))
        except BackendError as error:
            raise self._told(error, endpoint, None) from None

    async def load_model(self) -> str | None:
        """The model that would answer now; servers load it with the first request."""
        endpoint = None
        try:
            endpoint = await self._endpoint()
            self._model = await self._choose(endpoint, None, self._reach(endpoint, None))
        except BackendError as error:
            if error.kind is ErrorKind.MODEL_MISSING:
                return None
            raise self._told(error, endpoint, None) from None
        return self._model

    async def generate_stream(
        self,
        messages: Sequence[Message],
        config: GenerationConfig = GenerationConfig(),
        *,
        model: str | None = None,
        allowed: Reach | None = None,
    ) -> AsyncGenerator[BackendEvent, None]:
        """Generate. See `Backend`."""
        endpoint, chosen = None, model or self.config.model
        try:
            endpoint = await self._endpoint()
            reach = self._reach(endpoint, allowed)
            chosen = await self._choose(endpoint, model, reach)
            self._model = chosen or self._model
            async with aclosing(self._answer(endpoint, messages, config, chosen, reach)) as events:
                async for event in events:
                    yield event
        except BackendError as error:
            raise self._told(error, endpoint, chosen) from None

    # --- what subclasses change ---------------------------------------------------------------------------

    async def _endpoint(self) -> Endpoint:
        if not self._api_base:
            raise BackendError(
                ErrorKind.NOT_CONFIGURED,
                f"{self.name} has no address yet.",
                "",
                "Set one: `whisper-desktop config set llm.base_url http://…`.",
                request_sent=False,
            )
        key = await self._key() if self._key is not None else None
        if self.needs_key and not key:
            raise BackendError(
                ErrorKind.NOT_CONFIGURED,
                f"{self.name} needs a key.",
                "None is stored. Nothing was sent.",
                f"Set it in Settings, or with `whisper-desktop keys set {self.id}`.",
                request_sent=False,
            )
        return Endpoint(self._api_base, Secret(key) if key else None)

    async def _models(self, endpoint: Endpoint, allowed: Reach) -> tuple[ModelInfo, ...]:
        return decode_models(await self._get(endpoint, f"{endpoint.api_base}/models", allowed))

    async def _choose(self, endpoint: Endpoint, model: str | None, allowed: Reach) -> str | None:
        """The model to ask for; by default what was named, else the first that the server lists."""
        named = model or self.config.model
        return named or self._pick(None, await self._models(endpoint, allowed), allowed)

    def _body(self, messages: Sequence[Message], config: GenerationConfig, model: str | None) -> object:
        return encode_chat(
            messages, config, model, stream=self.streams, max_tokens_field=self.max_tokens_field
        )

    # --- shared -------------------------------------------------------------------------------------------

    def _pick(self, named: str | None, models: Sequence[ModelInfo], allowed: Reach) -> str:
        """One of the models that the server lists: the named one, else a loaded one, else the first here.

        Raises `BackendError` MODEL_MISSING, or `ConsentRequired` for a model that runs somewhere else.
        """
        if named is not None:
            found = next((model for model in models if self._same(named, model.id)), None)
        else:
            able = [
                model for model in models if model.can_chat and (not model.remote or allowed is Reach.CLOUD)
            ]
            found = min(able, key=lambda model: (model.remote, not model.loaded), default=None)
        if found is None:
            names = [model.id for model in models if model.can_chat]
            shown = ", ".join(names[:_SHOWN_MODELS]) + (" and more" if len(names) > _SHOWN_MODELS else "")
            raise BackendError(
                ErrorKind.MODEL_MISSING,
                "The model is not there.",
                f"It has: {shown}." if names and named else "",
                request_sent=False,
            )
        if found.remote and allowed is not Reach.CLOUD:
            raise ConsentRequired(
                f"Nothing was sent: {found.id} does not run on this computer.",
                f"{self.name} passes it on to another machine.",
                "Allow the cloud for this conversation, or choose another model.",
                needed=Reach.CLOUD,
            )
        return named or found.id

    def _same(self, named: str, listed: str) -> bool:
        return named == listed

    def _reach(self, endpoint: Endpoint, allowed: Reach | None) -> Reach:
        return allowed or self.config.reach or reach_of(endpoint.api_base)

    async def _get(self, endpoint: Endpoint, url: str, allowed: Reach) -> object:
        reply = await self._request(endpoint, url, allowed)
        if reply.status >= 400:
            raise error_of(reply.status, reply.headers, reply.body)
        return reply.json()

    async def _request(self, endpoint: Endpoint, url: str, allowed: Reach) -> Reply:
        return await self._http.request("GET", url, allowed=allowed, headers=endpoint.headers())

    async def _answer(
        self,
        endpoint: Endpoint,
        messages: Sequence[Message],
        config: GenerationConfig,
        model: str | None,
        allowed: Reach,
    ) -> AsyncGenerator[BackendEvent, None]:
        async with self._http.stream(
            "POST",
            f"{endpoint.api_base}/chat/completions",
            allowed=allowed,
            json=self._body(messages, config, model),
            headers={**self.extra_headers, **endpoint.headers()},
        ) as reply:
            if reply.status >= 400:
                raise error_of(reply.status, reply.headers, await self._error_body(reply))
            decoder = ChatDecoder()
            content_type = reply.headers.get("content-type", "")
            # Servers that do not know the path, or do not stream, answer 200 with something else.
            read = (
                self._whole if content_type.startswith(("application/json", "text/html")) else self._streamed
            )
            async with aclosing(read(reply, decoder)) as events:
                async for event in events:
                    yield event
            yield decoder.end()

    async def _whole(self, reply: StreamReply, decoder: ChatDecoder) -> AsyncGenerator[BackendEvent, None]:
        value = parse_json(await reply.read(), reply.headers.get("content-type", ""))
        for delta in decoder.whole(value):
            yield delta

    async def _streamed(self, reply: StreamReply, decoder: ChatDecoder) -> AsyncGenerator[BackendEvent, None]:
        reader = SSEReader()
        async with aclosing(reply.iter_bytes()) as pieces:
            async for piece in pieces:
                for event in reader.feed(piece):
                    for delta in decoder.deltas(event.data):
                        yield delta
                if decoder.finished:
                    for late in await self._drain(pieces, reader, decoder):
                        yield late
                    return
        for event in reader.finish():
            for delta in decoder.deltas(event.data):
                yield delta

    async def _drain(
        self, pieces: AsyncGenerator[bytes, None], reader: SSEReader, decoder: ChatDecoder
    ) -> list[BackendEvent]:
        """What follows a complete answer: the usage, and the regular end that lets the connection be kept.

        Some servers never send it and never close, so it is waited for briefly and not insisted on.
        """
        late: list[BackendEvent] = []
        with suppress(BackendError, TimeoutError):
            async with asyncio.timeout(self._deadlines.drain):
                async for piece in pieces:
                    for event in reader.feed(piece):
                        if not decoder.done:
                            late += decoder.deltas(event.data)
        return late

    async def _error_body(self, reply: StreamReply) -> bytes:
        with suppress(BackendError, TimeoutError):
            async with asyncio.timeout(self._deadlines.request):
                return await reply.read()
        return b""

    def _told(self, error: BackendError, endpoint: Endpoint | None, model: str | None) -> BackendError:
        url = endpoint.api_base if endpoint else ""
        key = endpoint.key.text if endpoint and endpoint.key else None
        reach = reach_of(endpoint.api_base) if endpoint else self.config.reach
        return told(error, backend=self.id, name=self.name, url=url, model=model, reach=reach, key=key)


def roots_of(config: BackendConfig) -> tuple[str, str]:
    """A server's root and its API base, from either of them. ("", "") without an address."""
    if not config.url:
        return "", ""
    api_path = IDENTITIES[config.id].api_path
    url = normalise_url(config.url)
    if parse_url(url).path:
        return url.removesuffix(api_path), url
    return url, url + api_path
