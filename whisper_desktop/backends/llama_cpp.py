"""llama.cpp's llama-server: one model that answers to any name, or, as a router, several.

This is one that somebody else started; our own is in `engine`.
"""

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import ClassVar, Unpack

from whisper_desktop.backends import replay
from whisper_desktop.backends.base import BackendConfig
from whisper_desktop.backends.http_backend import HttpParts
from whisper_desktop.backends.openai_compatible import Json, OpenAICompatibleBackend
from whisper_desktop.backends.options import FLAG, Kind
from whisper_desktop.backends.request import Call, Endpoint, Question
from whisper_desktop.errors import BackendError, WhisperError
from whisper_desktop.values import ErrorKind, ModelInfo, Reach, Role
from whisper_desktop.wire import fields
from whisper_desktop.wire.endings import to_the_end
from whisper_desktop.wire.http import Reply

# Without these, the begun answer is repeated at the head of the rest.
_GOES_ON: Json = {"continue_final_message": True, "add_generation_prompt": False}


class LlamaCppBackend(OpenAICompatibleBackend):
    """llama.cpp's server. It tells how far it has read the prompt, its real context window and its slots.

    Option: `resume` (default no), whether an answer whose connection was cut goes on where it stopped. The
    server then goes on generating if this program is killed.
    """

    capabilities = OpenAICompatibleBackend.capabilities | {"prefill"}
    known_options: ClassVar[dict[str, Kind]] = {**OpenAICompatibleBackend.known_options, "resume": FLAG}

    def __init__(self, config: BackendConfig, **parts: Unpack[HttpParts]) -> None:
        super().__init__(config, **parts)
        self._resumes = self._option("resume", bool) or False
        self._has_replay: bool | None = None
        self._props: Json | None = None

    def context_of(self, model: str | None) -> int | None:
        """The context window of one slot, as the server told it."""
        return self._context or super().context_of(model)

    @property
    def slots(self) -> int | None:
        """How many answers it gives at once."""
        return fields.count((self._props or {}).get("total_slots"))

    @property
    def _context(self) -> int | None:
        settings = fields.table((self._props or {}).get("default_generation_settings"))
        return fields.count(settings.get("n_ctx")) or None

    @property
    def _is_router(self) -> bool:
        return (self._props or {}).get("role") == "router"

    # --- what it is ---------------------------------------------------------------------------------------

    async def _identify(self, endpoint: Endpoint, allowed: Reach) -> None:
        await super()._identify(endpoint, allowed)
        if self._props is None:
            await self._look(endpoint, allowed)

    async def _look(self, endpoint: Endpoint, allowed: Reach) -> None:
        """Ask for its properties. One that has none, or keeps them for itself, is used without."""
        try:
            self._take_props(await self._asked(endpoint, "GET", self._props_url(endpoint), allowed))
        except BackendError as error:
            if not error.request_sent or error.kind is ErrorKind.LOADING:
                raise
            self._props = {}

    def _props_url(self, endpoint: Endpoint) -> str:
        return f"{endpoint.api_base.removesuffix('/v1')}/props"

    def _seen(self, path: str, reply: Reply) -> None:
        if path == "/props" and reply.status == 200:
            self._take_props(reply)

    def _take_props(self, reply: Reply) -> None:
        self._props = fields.table(reply.json())

    def _forget(self) -> None:
        super()._forget()
        self._props = self._has_replay = None

    async def _models(self, endpoint: Endpoint, allowed: Reach) -> tuple[ModelInfo, ...]:
        models = await super()._models(endpoint, allowed)
        await self._look(endpoint, allowed)
        if len(models) != 1 or self._is_router:
            return models
        asleep = (self._props or {}).get("is_sleeping") is True
        context = self._context or models[0].context_length
        return (replace(models[0], loaded=not asleep, context_length=context),)

    async def _choose(self, endpoint: Endpoint, model: str | None, allowed: Reach) -> str | None:
        if not self._is_router:
            return await super()._choose(endpoint, model, allowed)
        return self._pick(model or self.config.model, await self._listed(endpoint, allowed), allowed)

    async def _choose_embedder(self, endpoint: Endpoint, model: str | None, allowed: Reach) -> str | None:
        if self._is_router:
            return await super()._choose_embedder(endpoint, model, allowed)
        # Its one model says "completion" of itself also where it makes vectors.
        return await self._choose(endpoint, model or self._option("embedding_model", str), allowed)

    # --- answers ------------------------------------------------------------------------------------------

    async def _prepare(self, question: Question, model: str | None) -> str | None:
        if self._resumes and self._has_replay is None and not self._is_router:
            url = replay.lookup_url(question.endpoint.api_base)
            try:
                await self._asked(question.endpoint, "POST", url, question.reach, json=replay.LOOKUP)
                self._has_replay = True
            except BackendError as error:
                if not error.request_sent:
                    raise
                self._has_replay = False
        return model

    def _body(self, question: Question, model: str | None) -> Json:
        body = {"return_progress": self.streams, **super()._body(question, model)}
        last = question.messages[-1] if question.messages else None
        begun = last is not None and last.role is Role.ASSISTANT and not last.tool_calls
        return body | _GOES_ON if begun else body

    def _call(self, question: Question, model: str | None) -> Call:
        call = super()._call(question, model)
        if self._resumes and self._has_replay:
            call.headers = replay.headers()
        return call

    async def _instead(self, question: Question, call: Call, error: BackendError) -> Call:
        conversation = replay.conversation_of(call.headers)
        if conversation is None:
            return await super()._instead(question, call, error)
        if error.kind is not ErrorKind.STREAM_CUT or call.received == call.begins_at:
            raise call.goes_on_after or error
        return Call(
            call.model,
            replay.stream_url(question.endpoint.api_base, conversation, call.received),
            None,
            call.decoder,
            method="GET",
            headers=call.headers,
            received=call.received,
            begins_at=call.received,
            goes_on_after=error,
        )

    async def _abandoned(self, question: Question, call: Call) -> None:
        conversation = replay.conversation_of(call.headers)
        if conversation is not None:
            await to_the_end(self._stop(question, conversation, call))

    async def _stop(self, question: Question, conversation: str, call: Call) -> None:
        url = replay.stream_url(question.endpoint.api_base, conversation)
        with suppress(WhisperError, TimeoutError):
            async with asyncio.timeout(self._deadlines.cleanup):
                await self._asked(question.endpoint, "DELETE", url, question.reach)
                if not call.received:
                    # The server may have read this before the request itself.
                    await asyncio.sleep(2 * self._deadlines.engine_poll)
                    await self._asked(question.endpoint, "DELETE", url, question.reach)


class LlamafileBackend(LlamaCppBackend):
    """llamafile: a llama.cpp of some age, of which nobody can say how it treats a begun answer."""

    capabilities = LlamaCppBackend.capabilities - {"prefill"}
