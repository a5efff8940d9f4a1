"""LM Studio: a request for a model that it does not have is answered, silently, by whichever model is loaded.

So the name is looked up in its own list before anything is sent, and the name in the answer is compared
before any text is handed out. LM Studio loads a model just in time, with the context window that is set
there; where a larger one is wanted, the model is loaded by the native API (since 0.4) first.
"""

import asyncio
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Unpack

from whisper_desktop.backends.base import BackendConfig
from whisper_desktop.backends.http_backend import HttpParts
from whisper_desktop.backends.openai_compatible import Json, OpenAICompatibleBackend
from whisper_desktop.backends.options import SECONDS, TOKENS, Kind
from whisper_desktop.backends.request import Call, Endpoint, Question
from whisper_desktop.discovery import lm_studio
from whisper_desktop.discovery.answers import Answer, objects, text, texts
from whisper_desktop.errors import BackendError
from whisper_desktop.language import tr
from whisper_desktop.values import BackendEvent, ErrorKind, GenerationConfig, ModelInfo, Reach
from whisper_desktop.wire import fields
from whisper_desktop.wire.errors import error_in, is_error
from whisper_desktop.wire.openai import ChatDecoder

_LISTS_NEWEST_FIRST = (lm_studio.NATIVE, lm_studio.LEGACY, lm_studio.PLAIN)
_LOAD, _UNLOAD = "/api/v1/models/load", "/api/v1/models/unload"
_SECOND_INSTANCE = re.compile(r":\d+$")


@dataclass(frozen=True, slots=True)
class _Instance:
    """A loaded model: its name, its context window in tokens, and how many answers it gives at once."""

    name: str
    context: int | None
    parallel: int | None


@dataclass(frozen=True, slots=True)
class _Entry:
    """A model of the native list: its key, its variants and its loaded instances."""

    key: str
    variants: frozenset[str]
    instances: tuple[_Instance, ...]
    max_context: int | None

    @property
    def names(self) -> tuple[str, ...]:
        """What an instance of it may be called."""
        return (self.key, *self.variants, *(instance.name for instance in self.instances))

    def means(self, name: str) -> bool:
        """Whether a name that somebody asks for is this model."""
        plain, _, variant = name.partition("@")
        if name in self.names:
            return True
        return plain == self.key and not (variant and self.variants)


class LMStudioBackend(OpenAICompatibleBackend):
    """LM Studio's server. Without a model named, a loaded one is preferred to one that has to be loaded.

    Options: `ttl`, the seconds after which a model that was loaded just in time is unloaded when idle, and
    `context_length`, the tokens that the model must have room for.
    """

    names_are_checked: ClassVar[bool] = True
    known_options: ClassVar[dict[str, Kind]] = {
        **OpenAICompatibleBackend.known_options,
        "ttl": SECONDS,
        "context_length": TOKENS,
    }

    def __init__(self, config: BackendConfig, **parts: Unpack[HttpParts]) -> None:
        super().__init__(config, **parts)
        self._newest_list = 0
        self._entries: tuple[_Entry, ...] = ()
        self._loaded_by_us: list[str] = []
        self._loading = asyncio.Lock()

    @property
    def slots(self) -> int | None:
        """How many answers the loaded instance gives at once, as the native list told it; None where several
        are loaded and it is open which one answers.
        """
        listed = super()._meant(self.model_id)
        entry = self._entry(listed.id) if listed is not None else None
        if entry is None:
            return None
        fitting = self._fitting(GenerationConfig(), self.model_id or entry.key)
        named = [each for each in entry.instances if each.name == fitting] or entry.instances
        return named[0].parallel if fitting is not None and len(named) == 1 else None

    async def unload_model(self) -> None:
        """Unload what this backend has loaded, and nobody else's."""
        ours, self._loaded_by_us = self._loaded_by_us, []
        if not ours or not self._entries:
            return
        endpoint = await self._endpoint()
        self._forget()
        for instance in ours:
            try:
                await self._order(endpoint, _UNLOAD, {"instance_id": instance}, self._reach(endpoint, None))
            except BackendError as error:
                if error.kind is not ErrorKind.MODEL_MISSING:  # Somebody was faster.
                    raise await self._failure(error, endpoint, instance) from None

    def _forget(self) -> None:
        super()._forget()
        self._newest_list = 0  # It may have been updated.

    # --- its list -----------------------------------------------------------------------------------------

    async def _models(self, endpoint: Endpoint, allowed: Reach) -> tuple[ModelInfo, ...]:
        answers: dict[str, Answer] = {}
        for position, path in enumerate(_LISTS_NEWEST_FIRST):
            if position < self._newest_list:
                continue
            listed = await self._get(endpoint, self._root + path, allowed)
            answers[path] = Answer(200, {}, "", listed)
            models = lm_studio.describe(answers).models
            if models is not None:
                self._newest_list = position
                self._entries = _entries(listed)
                return models
        self._newest_list = 0
        raise BackendError(ErrorKind.NOT_AN_LLM, tr("There is no list of models at this address."))

    def _same(self, named: str, listed: str) -> bool:
        entry = self._entry(named)
        if entry is not None:
            return listed in entry.names
        # Older lists name no variants. "name@q8_0" is one of "name".
        return listed == named or (not self._entries and listed == named.partition("@")[0])

    def _entry(self, name: str | None) -> _Entry | None:
        return next((entry for entry in self._entries if name and entry.means(name)), None)

    def _meant(self, model: str | None) -> ModelInfo | None:
        """What is known of the instance that a question would go to."""
        listed = super()._meant(model)
        if listed is None:
            return None
        named, config = model or self.config.model or listed.id, GenerationConfig()
        fitting, entry = self._fitting(config, named), self._entry(named)
        if fitting is None and entry is not None:
            return replace(listed, loaded=False, context_length=self._context(config, entry))
        return self._known(fitting) or listed

    # --- loading ------------------------------------------------------------------------------------------

    def _context(self, config: GenerationConfig, entry: _Entry) -> int | None:
        """The context window that is wanted, in tokens, as far as the model can have it."""
        wanted = config.context_length or self._option("context_length", int)
        return min(wanted, entry.max_context or wanted) if wanted else None

    def _fitting(self, config: GenerationConfig, model: str) -> str | None:
        """The name of a loaded instance with enough context; None where one has to be loaded first."""
        entry = self._entry(model)
        if entry is None:
            return model
        wanted = self._context(config, entry)
        fitting = [
            each.name for each in entry.instances if not wanted or not each.context or each.context >= wanted
        ]
        if model in fitting or (fitting and "@" in model):
            return model
        return fitting[0] if fitting else None

    def _must_load(self, config: GenerationConfig, model: str | None) -> bool:
        return super()._must_load(config, model) or (
            model is not None and self._fitting(config, model) is None
        )

    async def _prepare(self, question: Question, model: str | None) -> str | None:
        entry = self._entry(model)
        if model is None or entry is None:
            return model
        fitting = self._fitting(question.config, model)
        if fitting is not None:
            return fitting
        wanted = self._context(question.config, entry)
        if wanted is None:
            return model  # It loads it just in time.
        return await self._load_one(question.endpoint, model, question.config, question.reach)

    async def _load(self, endpoint: Endpoint, model: str | None, allowed: Reach) -> str | None:
        if model is None or self._entry(model) is None:
            return model
        return await self._load_one(endpoint, model, GenerationConfig(), allowed)

    async def _load_one(
        self, endpoint: Endpoint, model: str, config: GenerationConfig, allowed: Reach
    ) -> str:
        """A loaded instance that fits. Each load makes one more, so that those who need one take turns."""
        async with self._loading:
            fitting, entry = self._fitting(config, model), self._entry(model)
            if fitting is not None or entry is None:
                return fitting or model
            return await self._load_instance(endpoint, entry, self._context(config, entry), allowed)

    async def _load_instance(
        self, endpoint: Endpoint, entry: _Entry, context: int | None, allowed: Reach
    ) -> str:
        body: Json = {"model": entry.key}
        if context is not None:
            body["context_length"] = context
        said = await self._order(endpoint, _LOAD, body, allowed)
        instance = fields.name(said.get("instance_id")) or entry.key
        self._loaded_by_us.append(instance)
        await self._refresh(endpoint, allowed)
        return instance

    async def _order(self, endpoint: Endpoint, path: str, body: Json, allowed: Reach) -> Json:
        limit = self._deadlines.model_load
        reply = await self._asked(endpoint, "POST", self._root + path, allowed, json=body, total=limit)
        said = reply.json()
        if is_error(said):
            raise error_in(said)
        return fields.table(said)

    # --- answers ------------------------------------------------------------------------------------------

    def _call(self, question: Question, model: str | None) -> Call:
        call = super()._call(question, model)
        if model is not None:
            call.decoder = _NamedDecoder(lambda answered: self._is(answered, model), self._another(model))
        return call

    def _body(self, question: Question, model: str | None) -> Json:
        wanted = question.config.extra.get("response_format")
        if isinstance(wanted, dict) and wanted.get("type") == "json_object":
            raise BackendError(
                ErrorKind.UNSUPPORTED,
                tr("{self_name} does not promise JSON without a schema.", self_name=self.name),
                tr("Nothing was sent."),
                tr("Give a JSON schema, or use another backend."),
                request_sent=False,
            )
        ttl = self._option("ttl", float)
        body = super()._body(question, model)
        return body if ttl is None else {"ttl": int(ttl), **body}

    def _answered(self, call: Call) -> None:
        if call.model is not None and self._loaded(call.model) is False:
            self._loaded_by_us.append(call.model)
        super()._answered(call)

    def _is(self, answered: str, asked: str) -> bool:
        """Whether the name in an answer is that of the model that was asked, in any of its spellings."""
        entry = self._entry(asked)
        names = (asked, *entry.names) if entry else (asked,)
        return answered in names or _bare(answered) in map(_bare, names)

    def _another(self, asked: str) -> Callable[[str], BackendError]:
        def failure(answered: str) -> BackendError:
            return BackendError(
                ErrorKind.MODEL_MISSING,
                tr(
                    "{self_name} answered with {answered} instead of {asked}.",
                    self_name=self.name,
                    answered=answered,
                    asked=asked,
                ),
                tr("The answer was stopped, and none of it is shown."),
                tr(
                    "Load {asked} in {self_name}, or choose a model that it has.",
                    asked=asked,
                    self_name=self.name,
                ),
            )

        return failure


class _NamedDecoder(ChatDecoder):
    """Hands nothing out of an answer that another model gives."""

    def __init__(self, accepts: Callable[[str], bool], failure: Callable[[str], BackendError]) -> None:
        super().__init__()
        self._accepts = accepts
        self._wrong_model = failure
        self._is_checked = False

    def feed(self, piece: bytes) -> list[BackendEvent]:
        """See `StreamDecoder`."""
        events = super().feed(piece)
        if not self._is_checked and self.model is not None:
            self._is_checked = True
            if not self._accepts(self.model):
                self.failure = self._wrong_model(self.model)
                return []
        return events

    def whole(self, value: object) -> list[BackendEvent]:
        """See `StreamDecoder`."""
        events = super().whole(value)
        if self.model is not None and not self._accepts(self.model):
            raise self._wrong_model(self.model)
        return events


def _bare(name: str) -> str:
    """A name without publisher, file ending, variant and number of the instance."""
    plain = name.lower().rsplit("/", 1)[-1].partition("@")[0]
    return _SECOND_INSTANCE.sub("", plain).removesuffix(".gguf")


def _entries(listed: object) -> tuple[_Entry, ...]:
    """The native list with all the names of a model; nothing for the older lists."""
    return tuple(
        _Entry(
            key,
            frozenset(texts(model.get("variants"))),
            tuple(_instances(model)),
            fields.count(model.get("max_context_length")),
        )
        for model in objects(fields.table(listed).get("models"))
        if (key := text(model.get("key")))
    )


def _instances(model: Mapping[str, object]) -> Iterator[_Instance]:
    for instance in objects(model.get("loaded_instances")):
        config = fields.table(instance.get("config"))
        if name := text(instance.get("id")):
            parallel = fields.count(config.get("parallel")) or None
            yield _Instance(name, fields.count(config.get("context_length")), parallel)
