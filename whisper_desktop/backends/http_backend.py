"""A backend behind an address, whatever dialect it speaks.

Data flow of one answer: endpoint (address and key) -> model -> one POST -> a `StreamDecoder` of `wire` ->
batches of events, one for each piece that came from the network. A subclass says what the dialect needs:
`_models`, `_call`, and, where it must, how a model is chosen.

Waiting for the first token and between tokens is the caller's to bound (`llm` does); everything else here has
a deadline. What is known of a server (its models, and who it is) is believed for `Deadlines.listing`, so that
the next request costs no second one.
"""

import asyncio
import time
from abc import abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import ClassVar, NotRequired, TypedDict, TypeVar

from whisper_desktop.backends import words
from whisper_desktop.backends.base import Backend, BackendConfig, KeySource
from whisper_desktop.backends.identity import Ask, is_still_there
from whisper_desktop.backends.listing import Listing, pick, preferred
from whisper_desktop.backends.options import Kind, read_options
from whisper_desktop.backends.remedies import set_key
from whisper_desktop.backends.request import Call, Endpoint, Question, Secret, roots_of
from whisper_desktop.errors import BackendError
from whisper_desktop.language import tr
from whisper_desktop.values import (
    BackendEvent,
    Deadlines,
    Embeddings,
    ErrorKind,
    GenerationConfig,
    Message,
    ModelInfo,
    Phase,
    Progress,
    Reach,
)
from whisper_desktop.wire.address import parse_url, reach_of
from whisper_desktop.wire.decoding import StreamDecoder
from whisper_desktop.wire.errors import error_of
from whisper_desktop.wire.http import Http, Reply, StreamReply, parse_json

T = TypeVar("T")

_IN_ONE_PIECE = ("application/json", "text/html")
_MOST_AFTER_THE_END = 2**20  # bytes; a usage is a few hundred
# After these it is open who answers at the address, and with which models.
_ABOUT_THE_PLACE = frozenset(
    {
        ErrorKind.CONNECT_REFUSED,
        ErrorKind.CONNECT_TIMEOUT,
        ErrorKind.NAME_NOT_FOUND,
        ErrorKind.OFFLINE,
        ErrorKind.TLS,
        ErrorKind.AUTH,
        ErrorKind.CLOSED_EARLY,
        ErrorKind.STREAM_CUT,
        ErrorKind.TRUNCATED,
        ErrorKind.NOT_AN_LLM,
        ErrorKind.MALFORMED,
        ErrorKind.MODEL_MISSING,
    }
)


class HttpParts(TypedDict):
    """What `HttpBackend` is made of beside its configuration, for subclasses that only pass it on."""

    http: Http
    deadlines: Deadlines
    key: NotRequired[KeySource | None]
    owns_http: NotRequired[bool]


class HttpBackend(Backend):
    """A backend that is asked over HTTP. The class attributes are what servers differ in."""

    needs_key: ClassVar[bool] = False
    names_are_checked: ClassVar[bool] = False
    """Whether a model that was named is looked up in the server's list before anything is sent."""
    extra_headers: ClassVar[Mapping[str, str]] = {}
    known_options: ClassVar[dict[str, Kind]] = {}

    def __init__(
        self,
        config: BackendConfig,
        *,
        http: Http,
        deadlines: Deadlines,
        key: KeySource | None = None,
        owns_http: bool = False,
    ) -> None:
        super().__init__(config, deadlines=deadlines)
        self._options = read_options(config.id, config.options, self.known_options)
        self._http = http
        self._owns_http = owns_http
        self._key = key
        self._root, self._api_base = roots_of(config)
        here = bool(self._root) and parse_url(self._root).reach is Reach.THIS_MACHINE
        self._was_found_here = here and not config.as_given
        self._listing = Listing()
        self._recognised_at: float | None = None

    # --- what every backend offers ------------------------------------------------------------------------

    @property
    def base_url(self) -> str:
        """Where the API starts."""
        return self._api_base

    def reach_of(self, model: str | None) -> Reach | None:
        """Where a model runs: in the cloud where the server only passes it on, else where the server is."""
        entry = self._meant(model)
        return Reach.CLOUD if entry is not None and entry.remote else self.config.reach

    def context_of(self, model: str | None) -> int | None:
        """The context window of a model, from the server's list or the configuration."""
        entry = self._meant(model)
        return (entry.context_length if entry else None) or super().context_of(model)

    def is_ready(self, model: str | None) -> bool | None:
        """Whether a model is loaded, as the server said last; one that runs elsewhere always is."""
        entry = self._meant(model)
        return super().is_ready(model) if entry is None else entry.remote or entry.loaded

    async def list_models(self, *, allowed: Reach | None = None) -> tuple[ModelInfo, ...]:
        """The models the server lists now. Raises `BackendError` or `ReachError`."""
        endpoint = None
        try:
            endpoint = await self._endpoint()
            reach = self._reach(endpoint, allowed)
            await self._identify(endpoint, reach)
            return await self._refresh(endpoint, reach)
        except BackendError as error:
            raise await self._failure(error, endpoint, None) from None

    async def embed(
        self, texts: Sequence[str], *, model: str | None = None, allowed: Reach | None = None
    ) -> Embeddings:
        """Vectors for texts. See `Backend`."""
        if "embedding" not in self.capabilities:
            return await super().embed(texts, model=model, allowed=allowed)
        if not texts:
            return Embeddings((), model)
        endpoint, chosen = None, model
        try:
            endpoint = await self._endpoint()
            reach = self._reach(endpoint, allowed)
            await self._identify(endpoint, reach)
            chosen = await self._choose_embedder(endpoint, model, reach)
            url, body = self._embedding_request(endpoint, texts, chosen)
            # It may have to load the model first.
            limit = self._deadlines.no_progress
            reply = await self._asked(endpoint, "POST", url, reach, json=body, total=limit)
            found = self._embeddings(reply.json())
            if len(found.vectors) != len(texts):
                raise BackendError(ErrorKind.MALFORMED, tr("The number of vectors is not that of the texts."))
            return found
        except BackendError as error:
            raise await self._failure(error, endpoint, chosen) from None

    async def load_model(self) -> str | None:
        """Load the model that would answer now; most servers do it with the first request."""
        endpoint = None
        try:
            endpoint = await self._endpoint()
            reach = self._reach(endpoint, None)
            await self._identify(endpoint, reach)
            loaded = await self._load(endpoint, await self._choose(endpoint, None, reach), reach)
        except BackendError as error:
            if error.kind is ErrorKind.MODEL_MISSING:
                return None
            raise await self._failure(error, endpoint, self.config.model) from None
        self._remember(None, loaded)
        return loaded

    async def shutdown(self) -> None:
        """Close the connections, where they are this backend's alone."""
        if self._owns_http:
            await self._http.aclose()

    async def stream_batches(
        self,
        messages: Sequence[Message],
        config: GenerationConfig = GenerationConfig(),
        *,
        model: str | None = None,
        allowed: Reach | None = None,
    ) -> AsyncGenerator[Sequence[BackendEvent], None]:
        """Generate. See `Backend`."""
        endpoint, chosen = None, model or self.config.model
        call: Call | None = None
        ended = False
        try:
            if self._must_start:
                yield [Progress(Phase.LOADING)]
            endpoint = await self._endpoint()
            question = Question(messages, config, model, endpoint, self._reach(endpoint, allowed))
            await self._identify(endpoint, question.reach)
            chosen = await self._choose(endpoint, model, question.reach)
            if self._must_load(question.config, chosen):
                yield [Progress(Phase.LOADING)]
            chosen = await self._prepare(question, chosen)
            call = self._call(question, chosen)
            while True:
                ended = False
                chosen = call.model
                self._remember(model, chosen)
                decoder = call.decoder
                try:
                    async with self._http.stream(
                        call.method,
                        call.url,
                        allowed=question.reach,
                        json=call.body,
                        headers={**self._headers(endpoint), **call.headers},
                        introduce=self._introduction(endpoint, question.reach),
                    ) as reply:
                        if reply.status >= 400:
                            ended = True
                            raise error_of(reply.status, reply.headers, await self._error_body(reply))
                        content_type = reply.headers.get("content-type", "")
                        # Servers that do not know the path, or do not stream, answer 200 with something else.
                        if content_type.startswith(_IN_ONE_PIECE):
                            yield decoder.whole(parse_json(await reply.read(), content_type))
                        else:
                            while piece := await reply.next_piece():
                                call.received += len(piece)
                                yield decoder.feed(piece)
                                if decoder.failure is not None:
                                    raise decoder.failure
                                if decoder.finished:
                                    await self._drain(reply, decoder)
                                    break
                            else:
                                ended = True
                                yield decoder.close()
                        end = decoder.end()
                        ended = True
                        self._answered(call)
                        named = end.model or call.model
                        named = named and words.shown(endpoint.key_text, named)
                        yield [end if named == end.model else replace(end, model=named)]
                        return
                except BackendError as error:
                    call = await self._instead(question, call, error)
        except BackendError as error:
            raise await self._failure(error, endpoint, chosen) from None
        finally:
            if endpoint is not None and call is not None and not ended:
                await self._abandoned(question, call)

    # --- what subclasses say ------------------------------------------------------------------------------

    @property
    def _must_start(self) -> bool:
        """Whether something of ours has to be started before there is an endpoint."""
        return False

    async def _endpoint(self) -> Endpoint:
        """Where the next request goes. Raises `BackendError` where there is no address or no key."""
        if not self._api_base:
            raise BackendError(
                ErrorKind.NOT_CONFIGURED,
                tr("{self_name} has no address yet.", self_name=self.name),
                "",
                tr("Set one: `whisper-desktop config set llm.base_url http://…`."),
                request_sent=False,
            )
        key = await self._key() if self._key is not None else None
        if self.needs_key and not key:
            raise BackendError(
                ErrorKind.NOT_CONFIGURED,
                tr("{self_name} needs a key.", self_name=self.name),
                tr("None is stored. Nothing was sent."),
                set_key(self.id, words.key_place(self.id, self._api_base)),
                request_sent=False,
            )
        return Endpoint(self._api_base, Secret(key) if key else None)

    @abstractmethod
    async def _models(self, endpoint: Endpoint, allowed: Reach) -> tuple[ModelInfo, ...]:
        """What the server lists, asked now."""

    @abstractmethod
    def _call(self, question: Question, model: str | None) -> Call:
        """The request for an answer of a model."""

    def _embedding_request(
        self, endpoint: Endpoint, texts: Sequence[str], model: str | None
    ) -> tuple[str, object]:
        """Address and body of a request for vectors."""
        raise NotImplementedError

    def _embeddings(self, value: object) -> Embeddings:
        """The vectors of an answer. Raises `BackendError`."""
        raise NotImplementedError

    def _headers(self, endpoint: Endpoint) -> Mapping[str, str]:
        """The headers of every request, the key's among them."""
        if endpoint.key is None:
            return self.extra_headers
        return {**self.extra_headers, "authorization": f"Bearer {endpoint.key.text}"}

    async def _choose(self, endpoint: Endpoint, model: str | None, allowed: Reach) -> str | None:
        """The model to ask for: what was named, else one that the server lists."""
        named = model or self.config.model
        if named is not None and not self.names_are_checked:
            return named
        return self._pick(named, await self._listed(endpoint, allowed), allowed)

    def _must_load(self, config: GenerationConfig, model: str | None) -> bool:
        """Whether the model has to be loaded before it can answer, as far as is known."""
        return self._loaded(model) is False

    async def _prepare(self, question: Question, model: str | None) -> str | None:
        """What has to be done once the model is chosen; returns the name to ask for."""
        return model

    async def _load(self, endpoint: Endpoint, model: str | None, allowed: Reach) -> str | None:
        """Load a model, where the server takes orders; returns the name to ask for."""
        return model

    async def _instead(self, question: Question, call: Call, error: BackendError) -> Call:
        """What to send in place of a request that failed. Raises the failure where there is nothing.

        A model that was taken from the list, and is gone since, is replaced by another one that is there.
        """
        taken_from_list = self._listing.is_known and not (question.named or self.config.model)
        if error.kind is not ErrorKind.MODEL_MISSING or not taken_from_list or call.in_place_of_another:
            raise error
        self._forget()
        model = await self._choose(question.endpoint, None, question.reach)
        if model == call.model:
            raise error
        other = self._call(question, model)
        other.in_place_of_another = True
        return other

    async def _abandoned(self, question: Question, call: Call) -> None:
        """The answer is not read to its end, and the socket is closed already."""

    async def _explained(self, error: BackendError, model: str | None) -> BackendError:
        """A failure, with the reason where one can be found out."""
        return error

    async def _choose_embedder(self, endpoint: Endpoint, model: str | None, allowed: Reach) -> str | None:
        """The model that makes vectors: what was named, else one that is listed as able to."""
        named = model or self._option("embedding_model", str)
        if named is not None and not self.names_are_checked:
            return named
        models = await self._listed(endpoint, allowed)
        if named is None:
            # A list without capabilities does not tell; then the server has to.
            able = [entry for entry in models if not entry.can_chat] or [
                entry for entry in models if not entry.capabilities
            ]
            models = tuple(replace(entry, capabilities=()) for entry in able)
            if not models:
                raise BackendError(
                    ErrorKind.MODEL_MISSING,
                    tr("{self_name} has no embedding model.", self_name=self.name),
                    tr("The models that it has only write text."),
                    tr("Name another one, or use another backend."),
                    request_sent=False,
                )
        return self._pick(named, models, allowed)

    def _same(self, named: str, listed: str) -> bool:
        """Whether a name means an entry of the list."""
        return named == listed

    # --- who answers --------------------------------------------------------------------------------------

    async def _identify(self, endpoint: Endpoint, allowed: Reach) -> None:
        """Make sure that who answers is who was found. Raises `BackendError` NOT_AN_LLM.

        What a person wrote down counts as what it says. Where a server was found on this computer, another
        program may have taken its port since.
        """
        if not self._was_found_here:
            return
        since = self._recognised_at
        if since is not None and time.monotonic() - since < self._deadlines.listing:
            return
        await self._recognise(endpoint, allowed)

    def _introduction(self, endpoint: Endpoint, allowed: Reach) -> Callable[[], Awaitable[None]] | None:
        """What is done before a new connection is used: it may lead to another program than the last one."""
        if not self._was_found_here:
            return None
        return lambda: self._recognise(endpoint, allowed)

    async def _recognise(self, endpoint: Endpoint, allowed: Reach) -> None:
        if not await is_still_there(self.id, self._root, self._asker(endpoint, allowed)):
            raise BackendError(
                ErrorKind.NOT_AN_LLM,
                tr("Another program answers there now."),
                tr("Nothing was sent to it."),
                tr("Search for servers again, or check which program uses this port."),
                request_sent=False,
            )
        self._recognised_at = time.monotonic()

    def _asker(self, endpoint: Endpoint, allowed: Reach) -> Ask:
        """How a program that is not recognised yet is asked: it gets the key only if it refuses to talk
        without one.
        """

        async def ask(url: str) -> Reply:
            reply = await self._http.request("GET", url, allowed=allowed)
            if reply.status in (401, 403) and endpoint.key is not None:
                reply = await self._http.request("GET", url, allowed=allowed, headers=self._headers(endpoint))
            self._seen(url.removeprefix(self._root), reply)
            return reply

        return ask

    def _seen(self, path: str, reply: Reply) -> None:
        """What the server answered while it was recognised."""

    # --- the list of models -------------------------------------------------------------------------------

    async def _listed(self, endpoint: Endpoint, allowed: Reach) -> tuple[ModelInfo, ...]:
        """The server's list, asked again once it is older than `Deadlines.listing`."""
        if self._listing.is_believed(self._deadlines.listing):
            return self._listing.models
        return await self._refresh(endpoint, allowed)

    async def _refresh(self, endpoint: Endpoint, allowed: Reach) -> tuple[ModelInfo, ...]:
        with self._listing.being_asked():
            try:
                listed = await self._models(endpoint, allowed)
                # Where a server gives our key back as a name, it is no name.
                key = endpoint.key_text
                self._listing.take(tuple(each for each in listed if words.shown(key, each.id) == each.id))
            except BackendError:
                self._forget()
                raise
        return self._listing.models

    def share_list(self, other: "HttpBackend") -> None:
        """Believe the same list as another backend of the same server, and take part in keeping it."""
        self._listing = other._listing

    def _forget(self) -> None:
        """Nothing is believed of the server any more; it is asked again."""
        self._listing.forget()
        self._recognised_at = None

    def _answered(self, call: Call) -> None:
        """An answer is complete."""
        if self._loaded(call.model) is False:
            self._forget()  # It has loaded the model for us.

    def _loaded(self, model: str | None) -> bool | None:
        """Whether a model is loaded or runs elsewhere, as the server said last."""
        entry = self._known(model)
        return None if entry is None else entry.remote or entry.loaded

    def _remember(self, named: str | None, chosen: str | None) -> None:
        """Keep the model that was chosen where nobody had a say: not where a question named one."""
        if named is None and self.config.model is None:
            self._model = chosen

    def _meant(self, model: str | None) -> ModelInfo | None:
        """What the last list says about a model that a question names, or would get without naming one."""
        named = model or self.config.model
        if named is None:
            return preferred(self._listing.models)
        return self._known(named)

    def _known(self, model: str | None) -> ModelInfo | None:
        """What the last list says about a model."""
        return self._listing.entry(model, self._same) if model is not None else None

    def _pick(self, named: str | None, models: Sequence[ModelInfo], allowed: Reach) -> str:
        network = self._http.allow_network
        return pick(named, models, allowed, server=self.name, same=self._same, allow_network=network)

    # --- shared -------------------------------------------------------------------------------------------

    def _option(self, name: str, kind: type[T]) -> T | None:
        """An option's value, where it is set."""
        value = self._options.get(name)
        return value if isinstance(value, kind) else None

    def _reach(self, endpoint: Endpoint, allowed: Reach | None) -> Reach:
        return allowed or self.config.reach or reach_of(endpoint.api_base)

    async def _get(self, endpoint: Endpoint, url: str, allowed: Reach) -> object:
        return (await self._asked(endpoint, "GET", url, allowed)).json()

    async def _asked(
        self,
        endpoint: Endpoint,
        method: str,
        url: str,
        allowed: Reach,
        *,
        json: object = None,
        total: float | None = None,
    ) -> Reply:
        """A short question beside the answers. Raises `BackendError` for a status of 400 and above."""
        reply = await self._http.request(
            method,
            url,
            allowed=allowed,
            json=json,
            headers=self._headers(endpoint),
            total=total,
            introduce=self._introduction(endpoint, allowed),
        )
        if reply.status >= 400:
            raise error_of(reply.status, reply.headers, reply.body)
        return reply

    async def _drain(self, reply: StreamReply, decoder: StreamDecoder) -> None:
        """What follows a complete answer: the usage, and the regular end that lets the connection be kept.

        Some servers never send it and never close, so it is waited for briefly and not insisted on. What else
        comes is no part of the answer.
        """
        if reply.ended:
            return
        size = 0
        with suppress(BackendError, TimeoutError):
            async with asyncio.timeout(self._deadlines.drain):
                while piece := await reply.next_piece():
                    decoder.feed(piece)
                    size += len(piece)
                    if size > _MOST_AFTER_THE_END:
                        return

    async def _error_body(self, reply: StreamReply) -> bytes:
        with suppress(BackendError, TimeoutError):
            async with asyncio.timeout(self._deadlines.request):
                return await reply.read()
        return b""

    async def _failure(
        self, error: BackendError, endpoint: Endpoint | None, model: str | None
    ) -> BackendError:
        """A failure as a person reads it, in this backend's name."""
        error = await self._explained(error, model)
        if error.kind in _ABOUT_THE_PLACE:
            self._forget()
        url = endpoint.api_base if endpoint else ""
        key = endpoint.key_text if endpoint else None
        reach = reach_of(endpoint.api_base) if endpoint else self.config.reach
        return words.told(error, backend=self.id, name=self.name, url=url, model=model, reach=reach, key=key)
