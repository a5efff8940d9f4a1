"""Ollama, in its own dialect: only there can a request choose the context window, and only there is a failure
in the middle of an answer told. Its own list says which models it only passes on to the cloud.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import ClassVar, Unpack

from whisper_desktop.backends.base import BackendConfig
from whisper_desktop.backends.http_backend import HttpBackend, HttpParts
from whisper_desktop.backends.options import TEXT, TOKENS, Kind, read_duration
from whisper_desktop.backends.request import Call, Endpoint, Question
from whisper_desktop.discovery import ollama
from whisper_desktop.discovery.answers import Answer
from whisper_desktop.errors import BackendError
from whisper_desktop.language import mark, tr
from whisper_desktop.values import (
    BackendEvent,
    Embeddings,
    ErrorKind,
    GenerationConfig,
    ModelInfo,
    Reach,
)
from whisper_desktop.wire.ollama import ChatDecoder, decode_embeddings, encode_chat, encode_embeddings

_VERSION_UNASKED = {"/api/version": Answer(404, {}, "")}
_MOST_PASSED_ON = 1000
_CHAT, _EMBED = "/api/chat", "/api/embed"


class OllamaBackend(HttpBackend):
    """Ollama's server. A model that it only passes on to the cloud is never asked without consent.

    Options: `num_ctx`, the context window in tokens, and `keep_alive`, how long a model stays in memory when
    idle (seconds, or text such as "10m"; -1 for ever).
    """

    capabilities = frozenset(
        {"completion", "stream", "tools", "vision", "json_schema", "prefill", "embedding", "reasoning"}
    )
    names_are_checked: ClassVar[bool] = True
    known_options: ClassVar[dict[str, Kind]] = {
        "num_ctx": TOKENS,
        "keep_alive": Kind(mark("seconds, or text such as 10m; -1 for ever"), read_duration),
        "embedding_model": TEXT,
    }

    def __init__(self, config: BackendConfig, **parts: Unpack[HttpParts]) -> None:
        super().__init__(config, **parts)
        self._loaded_by_us: set[str] = set()
        self._passed_on: set[str] = set()

    def reach_of(self, model: str | None) -> Reach | None:
        """Where a model runs: as its answers say, where they say another thing than the list."""
        return Reach.CLOUD if self._is_passed_on(model) else super().reach_of(model)

    def context_of(self, model: str | None) -> int | None:
        """The context window that a request gets: the one that is set, else that of the loaded model."""
        return self._option("num_ctx", int) or super().context_of(model)

    # --- models -------------------------------------------------------------------------------------------

    async def _models(self, endpoint: Endpoint, allowed: Reach) -> tuple[ModelInfo, ...]:
        answers = dict(_VERSION_UNASKED)
        for path in (ollama.TAGS, ollama.RUNNING):
            listed = await self._get(endpoint, self._root + path, allowed)
            answers[path] = Answer(200, {}, "", listed)
        models = ollama.describe(answers).models
        if models is None:
            raise BackendError(ErrorKind.NOT_AN_LLM, tr("There is no list of models at this address."))
        return tuple(
            replace(each, remote=True, loaded=None) if self._is_passed_on(each.id) else each
            for each in models
        )

    def _is_passed_on(self, model: str | None) -> bool:
        """Whether an answer has said that this model runs on another machine."""
        name = model or self.model_id
        return name is not None and any(
            self._same(name, known) or self._same(known, name) for known in self._passed_on
        )

    def _same(self, named: str, listed: str) -> bool:
        return listed in (named, f"{named}:latest")

    async def _load(self, endpoint: Endpoint, model: str | None, allowed: Reach) -> str | None:
        if model is not None and self._loaded(model) is False:
            await self._order(endpoint, model, self._option("keep_alive", object), allowed)
            self._loaded_by_us.add(model)
            self._forget()
        return model

    async def unload_model(self) -> None:
        """Unload what was not in memory before this backend asked for it."""
        ours, self._loaded_by_us = self._loaded_by_us, set()
        if not ours:
            return
        endpoint = await self._endpoint()
        self._forget()
        for model in ours:
            try:
                await self._order(endpoint, model, 0, self._reach(endpoint, None))
            except BackendError as error:
                raise await self._failure(error, endpoint, model) from None

    async def _order(self, endpoint: Endpoint, model: str, keep_alive: object, allowed: Reach) -> None:
        """Load a model, or unload it (`keep_alive` 0): a chat without a message."""
        body = encode_chat((), self._fitted(GenerationConfig(), model), model, stream=False)
        if keep_alive is not None:
            body["keep_alive"] = keep_alive
        limit = self._deadlines.model_load
        await self._asked(endpoint, "POST", self._root + _CHAT, allowed, json=body, total=limit)

    def _answered(self, call: Call) -> None:
        if call.model is not None and self._loaded(call.model) is False:
            self._loaded_by_us.add(call.model)
        super()._answered(call)

    # --- answers ------------------------------------------------------------------------------------------

    def _call(self, question: Question, model: str | None) -> Call:
        config = self._fitted(question.config, model)
        body = encode_chat(question.messages, config, model)
        return Call(model, self._root + _CHAT, body, _Watched(lambda: self._learn_of(model)))

    def _learn_of(self, model: str | None) -> None:
        """An answer comes from another machine, whatever the list said: it is told, and asked for the next
        time.
        """
        if model is not None and len(self._passed_on) < _MOST_PASSED_ON:
            self._passed_on.add(model)
            self._forget()

    def _must_load(self, config: GenerationConfig, model: str | None) -> bool:
        entry = self._known(model)
        if entry is None or entry.remote or entry.loaded is not True:
            return super()._must_load(config, model)
        wanted, loaded = self._wanted_context(config), entry.context_length
        return wanted is not None and loaded is not None and wanted > loaded  # It loads it anew.

    def _fitted(self, config: GenerationConfig, model: str | None) -> GenerationConfig:
        """The settings as this model takes them."""
        entry = self._known(model)
        context = self._wanted_context(config)
        if context is not None and entry is not None and entry.loaded and entry.context_length is not None:
            # A smaller window than the loaded one would make Ollama load the model anew.
            context = max(context, entry.context_length)
        extra = dict(config.extra)
        keep_alive = self._option("keep_alive", object)
        if keep_alive is not None:
            extra.setdefault("keep_alive", keep_alive)
        thinks = entry is not None and "reasoning" in entry.capabilities
        reasoning = config.reasoning if thinks else None  # It refuses the question else.
        return replace(config, context_length=context, reasoning=reasoning, extra=extra)

    def _wanted_context(self, config: GenerationConfig) -> int | None:
        return config.context_length or self._option("num_ctx", int)

    def _embedding_request(
        self, endpoint: Endpoint, texts: Sequence[str], model: str | None
    ) -> tuple[str, object]:
        return self._root + _EMBED, encode_embeddings(texts, model or "")

    def _embeddings(self, value: object) -> Embeddings:
        return decode_embeddings(value)

    async def _explained(self, error: BackendError, model: str | None) -> BackendError:
        entry = self._known(model)
        if error.kind is not ErrorKind.AUTH or entry is None or not entry.remote:
            return error
        return BackendError(
            ErrorKind.AUTH,
            tr("{self_name} is not signed in to its cloud.", self_name=self.name),
            tr("{entry_id} runs there, not on this computer.", entry_id=entry.id),
            tr("Sign in with `ollama signin`, or use a model that runs on this computer."),
            status=error.status,
        )


class _Watched(ChatDecoder):
    """Says at once where an answer comes from another machine."""

    def __init__(self, on_remote: Callable[[], None]) -> None:
        super().__init__()
        self._on_remote: Callable[[], None] | None = on_remote

    def _notice(self, events: list[BackendEvent]) -> None:
        super()._notice(events)
        if self.is_remote and self._on_remote is not None:
            on_remote, self._on_remote = self._on_remote, None
            on_remote()
