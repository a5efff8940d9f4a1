"""Questions and answers: from the settings and what was seen to a chain, a client, and its events."""

import asyncio
import importlib.util
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from whisper_desktop.app.chain_plan import ChainWishes, plan_chain
from whisper_desktop.app.engine_words import OURS
from whisper_desktop.app.keys import Keys, openrouter_url, ports
from whisper_desktop.app.places import Places
from whisper_desktop.app.setup import question_for, report_of
from whisper_desktop.chat import Keeper, Session
from whisper_desktop.chat.records import Conversation, Node
from whisper_desktop.errors import (
    ConsentRequired,
    DependencyError,
    FeatureNotEnabledError,
    LLMConnectionError,
    SettingsError,
    WhisperError,
)
from whisper_desktop.events import AnswerState, Bus, Notice
from whisper_desktop.language import tr
from whisper_desktop.values import (
    AnswerFinished,
    Attempt,
    ConnectionReport,
    Deadlines,
    GenerationConfig,
    Message,
    OnInterruption,
    Provenance,
    Reach,
    ResourceInfo,
    Role,
    ServerInfo,
    ServerStatus,
    SetupGuidance,
    StreamEvent,
    canonical_id,
)
from whisper_desktop.wire.address import origin

if TYPE_CHECKING:
    from whisper_desktop.backends import Backend, BackendConfig
    from whisper_desktop.engines.supervisor import Engine
    from whisper_desktop.llm import LLMClient, Shared
    from whisper_desktop.settings import LLMSettings, LoadedSettings
    from whisper_desktop.wire.http import Http

_GUIDE_HISTORY = 1  # turns: the guide's context window holds little more than one earlier exchange
_TEST_TOKENS = 64


@dataclass(frozen=True, slots=True)
class House:
    """What talking needs of the app: the settings as they are now, the engines, the machine, connections.

    `troubled` is told the sentence about a chain in which nobody answered, "" once one did; `answered` where
    a complete answer came from.
    """

    settings: "Callable[[], LoadedSettings]"
    builtin_model: Callable[[], Path | None]
    engine: "Callable[[str], Awaitable[Engine]]"
    resources: Callable[[], Awaitable[ResourceInfo]]
    known_resources: Callable[[], ResourceInfo | None]
    troubled: Callable[[str], None]
    answered: Callable[[Provenance], None]
    spending_file: Path | None
    http: "Http"
    deadlines: Deadlines
    bus: Bus


class Talking:
    """Asks the chain. Backends are made once for each configuration and kept until the settings change: they
    remember what their server has.
    """

    def __init__(self, house: House, places: Places, keys: Keys) -> None:
        self._house = house
        self._places = places
        self._keys = keys
        self._backends: list[tuple[BackendConfig, Backend]] = []
        self._shared: tuple[object, Shared] | None = None
        self._answering = 0
        self._looking: set[asyncio.Task[object]] = set()

    @property
    def answering(self) -> bool:
        """Whether an answer is being written."""
        return self._answering > 0

    @property
    def shared(self) -> "Shared":
        """What all answers have in common. Other limits than before make a new one."""
        from whisper_desktop.llm import Shared
        from whisper_desktop.llm.ledger import Ledger

        llm = self._house.settings().settings.llm
        limits = (llm.max_concurrent, llm.spending)
        if self._shared is None or self._shared[0] != limits:
            ledger = Ledger(
                self._house.spending_file,
                daily_cap=llm.spending.daily,
                monthly_cap=llm.spending.monthly,
                warn=self._warn,
            )
            deadlines = self._house.deadlines
            shared = Shared(deadlines, at_once=llm.max_concurrent, ledger=ledger, warn=self._warn)
            self._shared = (limits, shared)
        return self._shared[1]

    def _warn(self, sentence: str) -> None:
        self._house.bus.publish(Notice(sentence))

    def seen(self, servers: Sequence[ServerInfo]) -> None:
        """Servers were seen to answer: who had failed may be asked again at once."""
        if self._shared is None:
            return
        for server in servers:
            if server.status is ServerStatus.AVAILABLE and server.url:
                self._shared[1].health.ask_again(origin(server.url))

    def woke_up(self) -> None:
        """The computer slept: failures from before say nothing any more."""
        if self._shared is not None:
            self._shared[1].health.ask_again()

    async def renew(self) -> None:
        """Let go of the backends: the settings or a key have changed, or the app ends."""
        if self._shared is not None:
            self._shared[1].health.forgive()
        kept, self._backends = self._backends, []
        for _config, backend in kept:
            await backend.shutdown()

    async def stop(self) -> None:
        """Let go of everything."""
        for task in self._looking:
            task.cancel()
        await asyncio.gather(*self._looking, return_exceptions=True)
        await self.renew()
        if self._shared is not None and self._shared[1].ledger is not None:
            await self._shared[1].ledger.flush()

    # --- the chain ----------------------------------------------------------------------------------------

    def plan(
        self, backend: str | None = None, model: str | None = None, *, automatic: bool = False
    ) -> tuple["BackendConfig", ...]:
        """The chain as it stands now. `automatic` leaves out the backend that the person chose."""
        wishes = self._wishes(backend, model)
        return plan_chain(replace(wishes, backend=None) if automatic else wishes, self._places.servers)

    def _wishes(self, backend: str | None = None, model: str | None = None) -> ChainWishes:
        settings = self._house.settings().settings
        llm = settings.llm
        return ChainWishes(
            stub=llm.stub,
            base_url=llm.base_url,
            backend=backend or llm.backend,
            model=model or (llm.model_name if _is_its_model(llm, backend) else None),
            fallback_chain=llm.fallback_chain,
            builtin_model=self._house.builtin_model(),
            keyed=self._keys.services,
            context_window=llm.context_window,
            openrouter_url=openrouter_url(llm),
            mode=llm.mode if llm.enable_direct or llm.mode == "direct" else "http",
            ports=ports(llm),
            server_reach=settings.privacy.server_reach,
            options=llm.backend_options,
        )

    async def _chain(self, session: Session) -> tuple["BackendConfig", ...]:
        """The chain for a conversation, once it is known what stands at the places of those it names."""
        wishes = self._wishes(session.backend, session.model)
        chain = plan_chain(wishes, self._places.servers)  # names a backend that there is not
        if wishes.stub:
            return chain
        if wishes.mode == "direct" and wishes.backend is None:
            check_direct(self._house.settings().settings.llm, wishes.builtin_model)
        known_before = self._places.scanned
        named = [wishes.backend] if wishes.backend else wishes.fallback_chain or ()
        await self._places.know(canonical_id(each) for each in named)
        chain = plan_chain(wishes, self._places.servers)
        if not chain and known_before:
            await self._places.scan()
            chain = plan_chain(wishes, self._places.servers)
        if not chain:
            await self._house.resources()  # the guidance that follows is then for this computer
        return chain

    async def _client(self, session: Session, *, test: bool = False) -> "LLMClient":
        """The client for one answer, and the one place where clients are made. A test ends with a break."""
        from whisper_desktop.backends import BackendConfig
        from whisper_desktop.llm import GuideClient, LLMClient

        loaded = self._house.settings()
        deadlines = answer_deadlines(self._house.deadlines, loaded)
        if session.guide:
            guide = BackendConfig(id="guide", name="Guide", model="guide", reach=Reach.THIS_MACHINE)
            return GuideClient(self._backend(guide), shared=self.shared, deadlines=deadlines)
        llm = loaded.settings.llm
        steps = [self._backend(step) for step in await self._chain(session)]
        if session.goes_on:
            from whisper_desktop.app.going_on import GoingOn

            steps = [GoingOn(step) for step in steps]
        # What goes on with an answer is joined to it here, and there is one seam at a time.
        alone = test or session.goes_on
        return LLMClient(
            steps,
            reach=session.reach,
            on_interruption=OnInterruption.STOP if alone else llm.on_interruption,
            hedge=llm.hedge and not alone,
            hedge_paid=llm.hedge_paid,
            guidance=self._guidance if llm.show_setup_guidance else None,
            shared=self.shared,
            deadlines=deadlines,
        )

    def _backend(self, config: "BackendConfig") -> "Backend":
        known = next((backend for kept, backend in self._backends if kept == config), None)
        if known is None:
            known = self._made(config)
            self._backends.append((config, known))
        return known

    def _made(self, config: "BackendConfig") -> "Backend":
        from whisper_desktop.app.lazy_engine import LazyEngine
        from whisper_desktop.backends import create_backend
        from whisper_desktop.backends.unusable import UnusableBackend

        house = self._house
        try:
            if config.id in OURS:
                engine = LazyEngine(config.id, lambda: house.engine(config.id))
                return create_backend(config, http=house.http, engine=engine, deadlines=house.deadlines)
            key = self._keys.source_for(config.url)
            return create_backend(config, http=house.http, key=key, deadlines=house.deadlines)
        except SettingsError as wrong:
            return UnusableBackend(config, wrong, deadlines=house.deadlines)

    def _guidance(self, attempts: tuple[Attempt, ...]) -> SetupGuidance:
        from whisper_desktop.advice import setup_guidance

        return setup_guidance(attempts, self._places.servers, self._house.known_resources())

    # --- asking -------------------------------------------------------------------------------------------

    def open_session(
        self, *, guide: bool, backend: str | None, model: str | None, reach: Reach | None
    ) -> Session:
        """A conversation that nobody keeps. `reach` None is the one from the settings."""
        return Session(
            self.answer,
            guide=guide,
            backend=backend,
            model=model,
            reach=reach or self._usual_reach(),
            history_turns=_GUIDE_HISTORY if guide else None,
        )

    def kept_session(self, conversation: Conversation, nodes: Iterable[Node], keeper: Keeper) -> Session:
        """A conversation that somebody keeps; its reach follows the settings while it has none of its own."""
        return Session(
            self.answer,
            reach=self._usual_reach,
            conversation=conversation,
            nodes=nodes,
            keeper=keeper,
        )

    def _usual_reach(self) -> Reach:
        return self._house.settings().settings.llm.reach

    def window_of(self, session: Session) -> tuple[int | None, str | None]:
        """The context window, in tokens, of who would answer, as far as it is known without asking, and the
        model's name. From any thread.
        """
        if session.guide:  # it is sent one earlier turn at most
            return None, None
        try:
            step = next(iter(self.plan(session.backend, session.model)), None)
        except SettingsError:  # a backend that there is not: the question itself will say so
            return None, None
        if step is None:
            return None, None
        made = next((backend for config, backend in tuple(self._backends) if config == step), None)
        known = made.context_of(step.model) if made is not None else step.context_length
        if step.id == "ollama":  # it alone lets a question say how large the window is to be
            known = session.wishes.parameters.context_length or known
        return known, step.model or (made.model_id if made is not None else None)

    async def title(self, session: Session, answer: Provenance, messages: Sequence[Message]) -> str:
        """A title from the backend and the model that gave an answer to these messages; "" for none.

        It goes exactly where the question went, and only where that costs nothing; nobody is told of it.
        """
        from whisper_desktop.chat import titles
        from whisper_desktop.llm import LLMClient

        asked = next(
            (
                backend
                for _, backend in self._backends
                if (backend.id, backend.base_url) == (answer.backend, answer.url)
            ),
            None,
        )
        if asked is None or asked.is_paid(answer.model) or answer.cost_usd:
            return ""
        client = LLMClient([asked], reach=session.reach, shared=self.shared, deadlines=self._house.deadlines)
        model = answer.attempts[-1].model or answer.model
        try:
            stream = client.stream(titles.question(messages), titles.CONFIG, model=model, batch=True)
            reply = await stream.whole()
        except WhisperError:
            return ""
        return titles.from_reply(reply.text)

    async def answer(
        self, session: Session, messages: Sequence[Message]
    ) -> AsyncGenerator[StreamEvent, None]:
        """The events of one answer, told to the house from its beginning to its end."""
        self._answering += 1
        self._house.bus.publish(AnswerState(True))
        try:
            client = await self._client(session)
            async with aclosing(client.stream(messages, _generation(session))) as events:
                async for event in events:
                    if isinstance(event, AnswerFinished):
                        event = self._on_trust(event)
                        self._house.answered(event.completion.provenance)
                    yield event
            self._house.troubled("")
        except (LLMConnectionError, ConsentRequired) as error:
            if isinstance(error, LLMConnectionError):
                self._house.troubled(error.title)
            self._look_again()  # so that the next message meets what runs by then
            raise
        finally:
            self._answering -= 1
            self._house.bus.publish(AnswerState(self.answering))

    def _on_trust(self, event: AnswerFinished) -> AnswerFinished:
        """Where only the person's word says that a question stays near, its answer says so too."""
        said = event.completion.provenance
        if not self._places.is_on_trust(said.url):
            return event
        return AnswerFinished(replace(event.completion, provenance=replace(said, as_given=True)))

    def _look_again(self) -> None:
        task: asyncio.Task[object] = asyncio.ensure_future(self._places.scan())
        self._looking.add(task)
        task.add_done_callback(self._looking.discard)

    async def test(
        self, backend: str | None, model: str | None, reach: Reach | None
    ) -> AsyncGenerator[StreamEvent | ConnectionReport, None]:
        """Ask for a real answer: its events, and as the last one the report, also where none came."""
        await self._places.scan()
        # Who names a backend to test it allows the test question; automatic goes no farther than otherwise.
        if reach is None and backend is not None:
            reach = Reach.CLOUD
        guide = backend == "guide"
        session = self.open_session(guide=guide, backend=None if guide else backend, model=model, reach=reach)
        config = replace(_generation(session), max_tokens=_TEST_TOKENS)
        try:
            client = await self._client(session, test=True)
            question = [Message(Role.USER, question_for(backend))]
            async with aclosing(client.stream(question, config)) as events:
                async for event in events:
                    yield event
                    if isinstance(event, AnswerFinished):
                        yield report_of(event.completion)
        except WhisperError as error:
            yield report_of(error)


def _generation(session: Session) -> GenerationConfig:
    # The guide is a lookup with a language model's interface: any randomness only harms its answers.
    if session.guide:
        return GenerationConfig(temperature=0.0, max_tokens=256)
    return session.wishes.parameters.config()


def _is_its_model(llm: "LLMSettings", backend: str | None) -> bool:
    """Whether the model from the settings may be one of this backend: not where it was set for another."""
    if backend is None or llm.backend is None:
        return True
    try:
        return canonical_id(backend) == canonical_id(llm.backend)
    except KeyError:  # one that there is not is named elsewhere
        return True


def answer_deadlines(deadlines: Deadlines, loaded: "LoadedSettings") -> Deadlines:
    """The durations of an answer, with the person's patience where they have set it."""
    llm, sources = loaded.settings.llm, loaded.sources
    if sources["llm.request_timeout"] != "default":
        patience = llm.request_timeout
        deadlines = replace(deadlines, no_progress=patience, first_token=min(deadlines.first_token, patience))
    if sources["llm.wait_for_loading"] != "default":
        deadlines = replace(deadlines, loading_move_on=llm.wait_for_loading)
    return deadlines


def check_direct(llm: "LLMSettings", model: Path | None) -> None:
    """Whether the mode *direct* can answer at all: it uses the app's own engine and nothing else.

    Raises `FeatureNotEnabledError` where that is switched off, `DependencyError` where something is missing.
    """
    from whisper_desktop.engines.builds.found import find_binary

    why = tr("The mode “direct” (llm.mode, WHISPER_LLM_MODE) uses only the app's own engine")
    other = tr("or use servers too: `whisper-desktop config set llm.mode auto`.")
    if not llm.enable_direct:
        raise FeatureNotEnabledError(
            tr("The app's own engine is switched off."),
            tr("{why}, and llm.enable_direct (WHISPER_ENABLE_DIRECT_LLM) says no.", why=why),
            tr("Switch it on, {other}", other=other),
        )
    if importlib.util.find_spec("xllamacpp") is None and find_binary(llm.llamacpp.server_path) is None:
        raise DependencyError(
            tr("The app's own engine is not installed."),
            tr("{why}, and its package xllamacpp is not there, nor a llama-server program.", why=why),
            tr("Install it (`pip install xllamacpp`), {other}", other=other),
        )
    if model is None or not model.is_file():
        missing = (
            tr("no model file is set")
            if model is None
            else tr("its model file is not there: {model}", model=model)
        )
        raise DependencyError(
            tr("The app's own engine has no model."),
            tr("{why}, and {missing}.", why=why, missing=missing),
            tr("Set one (`whisper-desktop config set llm.gguf_model_path FILE`), {other}", other=other),
        )
