"""`App`: settings, machine, servers, engines, keys and the chain, wired together.

Every coroutine runs on one asyncio loop, the core loop. Plain functions only read what is there and may be
called from any thread. Rooms are imported when they are first needed: the tray icon is shown before them.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from whisper_desktop.advice.flow import SetupResult
from whisper_desktop.app.chain_plan import OPENROUTER_URL, ChainWishes, plan_chain
from whisper_desktop.app.choices import AppState, BackendChoice, backend_choices
from whisper_desktop.app.setup import report_of
from whisper_desktop.chat import Session
from whisper_desktop.errors import EngineError, LLMConnectionError, SettingsError, WhisperError
from whisper_desktop.events import (
    AnswerState,
    BackendChosen,
    Bus,
    EngineChanged,
    Notice,
    ServersChanged,
)
from whisper_desktop.values import (
    IDENTITIES,
    Attempt,
    Completion,
    ConnectionReport,
    Deadlines,
    EngineState,
    EngineStatus,
    GenerationConfig,
    Message,
    Reach,
    ResourceInfo,
    Role,
    ServerInfo,
    ServerStatus,
    SetupGuidance,
    SetupRecommendation,
    StreamEvent,
    canonical_id,
)

if TYPE_CHECKING:
    from whisper_desktop.app.engine_host import EngineHost
    from whisper_desktop.backends import Backend, BackendConfig
    from whisper_desktop.engines.supervisor import Engine
    from whisper_desktop.llm import LLMClient
    from whisper_desktop.settings import LoadedSettings, SecretStore
    from whisper_desktop.wire.http import Http

_ORDER = [name for name in IDENTITIES if name != "builtin"] + ["builtin"]
_GUIDE_HISTORY = 1  # turns: the guide's context window holds little more than one earlier exchange
_TEST_QUESTION = "Say hello in one short sentence."


class App:
    """Everything the app can do, without a window.

    `flags` are settings from the command line, `overrides` settings from code (both dotted: "llm.backend").
    `env` stands in for the environment.
    """

    def __init__(
        self,
        *,
        flags: Mapping[str, object] | None = None,
        env: Mapping[str, str] | None = None,
        overrides: Mapping[str, object] | None = None,
        deadlines: Deadlines | None = None,
    ) -> None:
        self.bus = Bus()
        self.deadlines = deadlines or Deadlines()
        self._flags = dict(flags or {})
        self._overrides = dict(overrides or {})
        self._env = dict(os.environ if env is None else env)
        self._loaded: LoadedSettings | None = None
        self._http: Http | None = None
        self._secrets: SecretStore | None = None
        self._resources: ResourceInfo | None = None
        self._resources_task: asyncio.Task[ResourceInfo] | None = None
        self._servers: tuple[ServerInfo, ...] = ()
        self._scan_task: asyncio.Task[tuple[ServerInfo, ...]] | None = None
        self._scanned = False
        self._has_openrouter_key = False
        self._host: EngineHost | None = None
        self._answering = 0
        self._attention = ""
        self._background: set[asyncio.Task[object]] = set()

    # --- life ---------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Load the settings, look for a key, end what a crashed run left behind. Sends nothing."""
        from whisper_desktop.app.engine_host import EngineHost
        from whisper_desktop.engines.orphans import end_orphans
        from whisper_desktop.settings import SecretStore
        from whisper_desktop.wire.http import Http

        self._loaded = await asyncio.to_thread(self._load)
        llm = self._loaded.settings.llm
        self._http = Http(self.deadlines, allow_network=llm.allow_network)
        self._secrets = SecretStore(run_keys=self._loaded.env_keys, deadlines=self.deadlines)
        self._host = EngineHost(
            http=self._http,
            deadlines=self.deadlines,
            on_change=self._engine_changed,
            warn=lambda sentence: self.bus.publish(Notice(sentence)),
        )
        with suppress(SettingsError):  # without a run folder nothing was left behind in it
            await asyncio.to_thread(end_orphans)
        await self._refresh_key()
        for problem in self._loaded.problems:
            self.bus.publish(Notice(problem.title, f"{problem.detail} {problem.next_step}".strip(), True))

    async def stop(self) -> None:
        """End what we started: answers, scans, engines, connections. Safe to call twice."""
        tasks = [task for task in (*self._background, self._scan_task, self._resources_task) if task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._background.clear()
        if self._host is not None:
            with suppress(EngineError):  # one that cannot be ended is ended by its own watch on us
                await self._host.stop()
        if self._http is not None:
            await self._http.aclose()
            self._http = None

    def _load(self) -> "LoadedSettings":
        from whisper_desktop.settings import load_settings

        return load_settings(flags=self._flags, env=self._env, overrides=self._overrides)

    @property
    def loaded(self) -> "LoadedSettings":
        """The settings with where each came from. Raises `RuntimeError` before `start`."""
        if self._loaded is None:
            raise RuntimeError("The app has not been started.")
        return self._loaded

    @property
    def http(self) -> "Http":
        if self._http is None:
            raise RuntimeError("The app is not running.")
        return self._http

    @property
    def secrets(self) -> "SecretStore":
        """Where keys are kept."""
        if self._secrets is None:
            raise RuntimeError("The app has not been started.")
        return self._secrets

    # --- the machine and the servers ----------------------------------------------------------------------

    async def resources(self) -> ResourceInfo:
        """What this computer has; looked up once, in a thread."""
        if self._resources is None:
            if self._resources_task is None:
                self._resources_task = asyncio.create_task(asyncio.to_thread(self._detect_resources))
            self._resources = await asyncio.shield(self._resources_task)
        return self._resources

    def _detect_resources(self) -> ResourceInfo:
        from whisper_desktop.machine import detect_resources

        return detect_resources(deadlines=self.deadlines)

    @property
    def servers(self) -> tuple[ServerInfo, ...]:
        """The servers of the last scan."""
        return self._servers

    async def scan(self) -> tuple[ServerInfo, ...]:
        """Look for servers, telling each as it is found; callers at the same time share one scan."""
        if self._scan_task is None or self._scan_task.done():
            self._scan_task = asyncio.create_task(self._scan())
        return await asyncio.shield(self._scan_task)

    async def _scan(self) -> tuple[ServerInfo, ...]:
        from whisper_desktop.discovery import LocalLLMDetector

        llm = self.loaded.settings.llm
        cloud = self.key_origin("openrouter")
        env = {**self._env, "OLLAMA_HOST": llm.ollama.base_url} if llm.ollama.base_url else self._env
        keyed = [place for place in await self.keys() if place != cloud]
        written = [*llm.addresses, *([llm.base_url] if llm.base_url else [])]
        detector = LocalLLMDetector(
            http=self.http,
            deadlines=self.deadlines,
            env=env,
            addresses=tuple(dict.fromkeys([*written, *keyed])),
            key_for=self._key_of,
            openrouter_key=self._openrouter_key if self._has_openrouter_key else None,
            openrouter_url=self._openrouter_url(),
            cloud_allowed=llm.reach is Reach.CLOUD,
            builtin=self._builtin_server,
            ports=self._places(),
        )
        found: list[ServerInfo] = []
        async with aclosing(detector.iter_servers()) as servers:
            async for server in servers:
                found.append(self._placed(_not_vouched_for(server, written, keyed)))
                self.bus.publish(ServersChanged(tuple(found), scanning=True))
        self._servers = tuple(sorted(found, key=lambda server: _ORDER.index(server.id)))
        self._scanned = True
        self.bus.publish(ServersChanged(self._servers, scanning=False))
        return self._servers

    def _places(self) -> dict[str, int]:
        """Where known servers are looked for: 0 means nowhere. Without `auto_detect`, only at the places of
        those that the person named, which must be known before they are trusted with a prompt.
        """
        llm = self.loaded.settings.llm
        ports = self._ports()
        if llm.auto_detect:
            return ports
        named = {llm.backend, *(llm.fallback_chain or ())}
        usual = {id: ports.get(id, identity.port or 0) for id, identity in IDENTITIES.items()}
        return {id: port if id in named else 0 for id, port in usual.items()}

    def _ports(self) -> dict[str, int]:
        """The ports that the settings name."""
        llm = self.loaded.settings.llm
        return {"lm_studio": llm.lmstudio.port, "llama_cpp": llm.llamacpp.port}

    def _placed(self, server: ServerInfo) -> ServerInfo:
        """A server that nobody could place, with what the person has said about its address."""
        from whisper_desktop.wire.address import origin

        if server.reach is not None or not server.url or server.status is ServerStatus.UNREACHABLE:
            return server
        said = self.loaded.settings.privacy.server_reach
        answers = {origin(url): reach for url, reach in said.items()}
        return replace(server, reach=answers.get(origin(server.url)))

    async def recommend(self) -> SetupRecommendation:
        """What to use on this computer, with reasons: looks at machine and servers side by side first."""
        from whisper_desktop.advice import get_recommended_setup

        resources, servers = await asyncio.gather(self.resources(), self.scan())
        return get_recommended_setup(resources, servers)

    # --- choosing -----------------------------------------------------------------------------------------

    def backend_choices(self) -> tuple[BackendChoice, ...]:
        """The Backend menu as it stands now."""
        llm = self.loaded.settings.llm
        automatic = plan_chain(replace(self._wishes(), backend=None), self._servers)
        return backend_choices(
            self._servers,
            chosen=llm.backend,
            engine=self.engine_status(),
            builtin_model=self._builtin_model(),
            openrouter_key=self._has_openrouter_key,
            cloud_allowed=llm.reach is Reach.CLOUD,
            chain_names=[step.name for step in automatic],
        )

    async def choose(self, backend: str | None, model: str | None = None) -> None:
        """Use this backend from the next message on (None: automatic), and remember it."""
        if backend is not None:
            plan_chain(replace(self._wishes(), backend=backend), self._servers)  # names an unknown one
            backend = canonical_id(backend)
        await self.remember({"llm.backend": backend, "llm.model_name": model})
        self.bus.publish(BackendChosen(backend))

    async def remember(self, choices: Mapping[str, object]) -> None:
        """Write choices of the app's own (never the person's config.yaml) and use them at once."""
        from whisper_desktop.settings import remember_all

        await asyncio.to_thread(remember_all, choices, env=self._env)
        await self.reload()

    async def reload(self) -> None:
        """Read the settings again, and look for keys, after somebody wrote them."""
        self._loaded = await asyncio.to_thread(self._load)
        if self._http is not None:
            self._http.allow_network = self._loaded.settings.llm.allow_network
        await self._refresh_key()

    def state(self) -> AppState:
        """The one glance for the tray. Readable at any time, also before `start` has ended."""
        if self._loaded is None:
            return AppState("starting", "Starting…", None, None, False)
        chain = plan_chain(self._wishes(), self._servers)
        first = chain[0] if chain else None
        setup_done = self._loaded.settings.ui.setup_done
        if self._answering:
            activity, headline = "working", f"Working: {_who(first)}"
        elif self._attention:
            activity, headline = "needs_attention", self._attention
        elif first is None:
            activity = "needs_attention" if self._scanned else "starting"
            headline = "No model found yet: open Setup" if self._scanned else "Looking for servers…"
        else:
            activity, headline = "ready", f"Ready: {_who(first)}"
        return AppState(
            activity,
            headline,
            first.id if first else None,
            first.model if first else None,
            first_run=not setup_done,
        )

    def attention_seen(self) -> None:
        """The person has read what needed attention."""
        self._attention = ""

    # --- talking ------------------------------------------------------------------------------------------

    def open_session(
        self,
        *,
        guide: bool = False,
        backend: str | None = None,
        model: str | None = None,
        reach: Reach | None = None,
    ) -> Session:
        """A new conversation. `reach` None is the one from the settings (this computer, unless widened)."""
        return Session(
            self._answer,
            guide=guide,
            backend=backend,
            model=model,
            reach=reach or self.loaded.settings.llm.reach,
            history_turns=_GUIDE_HISTORY if guide else None,
        )

    def stream(
        self,
        messages: Sequence[Message],
        *,
        guide: bool = False,
        backend: str | None = None,
        model: str | None = None,
        reach: Reach | None = None,
    ) -> AsyncGenerator[StreamEvent, None]:
        """One answer to a list of messages, without a conversation that is kept."""
        session = self.open_session(guide=guide, backend=backend, model=model, reach=reach)
        return self._answer(session, messages)

    async def _answer(
        self, session: Session, messages: Sequence[Message]
    ) -> AsyncGenerator[StreamEvent, None]:
        self._answering += 1
        self.bus.publish(AnswerState(True))
        try:
            client = await self._guide_client() if session.guide else await self._client(session)
            stream = client.stream(messages, self._generation(session), reach=session.reach)
            async with aclosing(stream) as events:
                async for event in events:
                    yield event
            self._attention = ""
        except LLMConnectionError as error:
            self._attention = error.title
            self._in_background(self.scan())  # so that the next message meets what runs by then
            raise
        finally:
            self._answering -= 1
            self.bus.publish(AnswerState(self._answering > 0))

    def _generation(self, session: Session) -> GenerationConfig:
        # The guide is a lookup with a language model's interface: any randomness only harms its answers.
        return GenerationConfig(temperature=0.0, max_tokens=256) if session.guide else GenerationConfig()

    async def _client(self, session: Session) -> "LLMClient":
        from whisper_desktop.llm import LLMClient

        wishes = self._wishes(session.backend, session.model)
        chain = plan_chain(wishes, self._servers)
        if not wishes.stub and (not self._scanned or not chain):
            await self.scan()
            chain = plan_chain(wishes, self._servers)
        if not chain:
            await self.resources()  # the guidance that follows is then for this computer
        return LLMClient(
            [await self._backend(step) for step in chain],
            reach=session.reach,
            guidance=self._guidance if self.loaded.settings.llm.show_setup_guidance else None,
            deadlines=self.deadlines,
        )

    async def _guide_client(self) -> "LLMClient":
        from whisper_desktop.backends import BackendConfig
        from whisper_desktop.llm import GuideClient

        config = BackendConfig(
            id="guide", name="Guide", url="", model="guide", reach=Reach.THIS_MACHINE, as_given=False
        )
        return GuideClient(await self._backend(config), deadlines=self.deadlines)

    def _guidance(self, attempts: tuple[Attempt, ...]) -> SetupGuidance:
        from whisper_desktop.advice import setup_guidance

        return setup_guidance(attempts, self._servers, self._resources)

    async def _backend(self, config: "BackendConfig") -> "Backend":
        from whisper_desktop.app.lazy_engine import LazyEngine
        from whisper_desktop.backends import create_backend

        if config.id in ("builtin", "guide"):
            engine = LazyEngine(config.id, lambda: self._engine(config.id))
            return create_backend(config, http=self.http, engine=engine, deadlines=self.deadlines)
        return create_backend(config, http=self.http, key=self._key_for(config.url), deadlines=self.deadlines)

    def _wishes(self, backend: str | None = None, model: str | None = None) -> ChainWishes:
        llm = self.loaded.settings.llm
        return ChainWishes(
            stub=llm.stub,
            base_url=llm.base_url,
            backend=backend or llm.backend,
            model=model or llm.model_name,
            fallback_chain=llm.fallback_chain,
            builtin_model=self._builtin_model(),
            openrouter_key=self._has_openrouter_key,
            openrouter_model=llm.openrouter.model,
            openrouter_url=self._openrouter_url(),
            mode=llm.mode if llm.enable_direct or llm.mode == "direct" else "http",
            ports=self._ports(),
            options=llm.backend_options,
        )

    def _openrouter_url(self) -> str:
        written = self.loaded.settings.llm.openrouter.base_url or OPENROUTER_URL
        return written.removesuffix("/v1").removesuffix("/api")  # people copy the address of the API

    async def test_connection(self, backend: str | None, model: str | None = None) -> ConnectionReport:
        """Ask one backend for a real answer, and say precisely what is wrong where none comes."""
        await self.scan()
        # Who names a backend to test it allows the test question; automatic goes no farther than otherwise.
        reach = Reach.CLOUD if backend is not None else None
        session = self.open_session(guide=backend == "guide", backend=backend, model=model, reach=reach)
        question = "Who are you?" if session.guide else _TEST_QUESTION
        outcome: Completion | WhisperError
        try:
            client = await self._guide_client() if session.guide else await self._client(session)
            outcome = await client.chat_completion([Message(Role.USER, question)], max_tokens=64)
        except WhisperError as error:
            outcome = error
        return report_of(outcome)

    async def finish_setup(self, result: SetupResult) -> None:
        """What the wizard decided is written now, once."""
        decided: dict[str, object] = {
            "llm.backend": result.backend,
            "llm.model_name": result.model,
            "llm.reach": result.reach.value,
        }
        await self.remember({**({} if result.skipped else decided), "ui.setup_done": True})
        if result.skipped:
            return
        self.bus.publish(BackendChosen(result.backend))

    # --- engines ------------------------------------------------------------------------------------------

    def _builtin_model(self) -> Path | None:
        llm = self.loaded.settings.llm
        path = llm.gguf_model_path or llm.llamacpp.model_path
        return Path(path).expanduser() if path else None

    def _builtin_server(self) -> ServerInfo | None:
        from whisper_desktop.engines import builtin_server

        return builtin_server(self._builtin_model(), self.engine_status())

    def _engine_changed(self, status: EngineStatus) -> None:
        if status.state is EngineState.FAILED:
            self._attention = status.detail
        self.bus.publish(EngineChanged(status))

    def engine_status(self) -> EngineStatus | None:
        """The built-in engine, or the guide's where only that runs; None when neither was started."""
        return self._host.status() if self._host is not None else None

    async def start_engine(self) -> EngineStatus:
        """Start the built-in engine (with the guide's model where none is set) and wait until it answers."""
        engine = await self._engine("builtin" if self._builtin_model() else "guide")
        await engine.ensure_ready()
        return engine.status()

    async def stop_engine(self) -> None:
        """Stop every engine of ours; the next request starts what it needs."""
        await self.host.stop()

    def engine_log(self, lines: int = 200) -> list[str]:
        """The newest lines of the engines' log, from this run's memory or, before a start, from the file."""
        return self.host.log(lines)

    @property
    def host(self) -> "EngineHost":
        """The engines."""
        if self._host is None:
            raise RuntimeError("The app is not running.")
        return self._host

    async def _engine(self, kind: str) -> "Engine":
        if kind == "guide":
            return self.host.guide()
        llm = self.loaded.settings.llm
        if not llm.enable_direct:
            raise EngineError(
                "The built-in engine is switched off.",
                "The setting llm.enable_direct (WHISPER_ENABLE_DIRECT_LLM) says no.",
                "Switch it on, or choose another backend.",
                cause="switched_off",
            )
        resources = await self.resources()
        return await self.host.builtin(self._builtin_model(), llm, resources)

    # --- keys ---------------------------------------------------------------------------------------------

    def key_origin(self, name: str) -> str:
        """The origin a key belongs to, from a backend's id or an address."""
        from whisper_desktop.wire.address import normalise_url, origin

        try:
            identity = IDENTITIES[canonical_id(name)]
        except KeyError:
            if any(mark in name for mark in ":."):
                return origin(normalise_url(name))
            raise SettingsError(
                f"Nothing called “{name}” takes a key.",
                "A key belongs to one server.",
                "Name a backend (openrouter, lm_studio, …) or its address (https://…).",
            ) from None
        if identity.id == "openrouter":
            return origin(self._openrouter_url())
        if identity.root:
            return identity.root
        if identity.id == "ollama" and self.loaded.settings.llm.ollama.base_url:
            return origin(self.loaded.settings.llm.ollama.base_url)
        if identity.port is None:
            raise SettingsError(
                f"{identity.name} has no address of its own.",
                "",
                "Name the server's address instead (https://…).",
            )
        return f"http://127.0.0.1:{self._ports().get(identity.id, identity.port)}"

    async def set_key(self, name: str, key: str) -> str:
        """Keep a key in the keyring (or for this run only); returns the sentence that says where it went."""
        place = self.key_origin(name)
        await asyncio.to_thread(self.secrets.set, place, key)
        await self._refresh_key()
        return self.secrets.explanation

    async def remove_key(self, name: str) -> None:
        """Forget a key."""
        await asyncio.to_thread(self.secrets.remove, self.key_origin(name))
        await self._refresh_key()

    async def keys(self) -> tuple[str, ...]:
        """The origins that have a key; never a key."""
        return await asyncio.to_thread(self.secrets.list)

    def _key_for(self, url: str) -> Callable[[], Awaitable[str | None]]:
        from whisper_desktop.wire.address import origin

        async def key() -> str | None:
            return await self._key_of(origin(url)) if url else None

        return key

    async def _key_of(self, place: str) -> str | None:
        return await asyncio.to_thread(self.secrets.get, place)

    async def _openrouter_key(self) -> str | None:
        return await self._key_of(self.key_origin("openrouter"))

    async def _refresh_key(self) -> None:
        self._has_openrouter_key = await self._openrouter_key() is not None

    # --- small things -------------------------------------------------------------------------------------

    def _in_background(self, work: Awaitable[object]) -> None:
        task = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


def _who(step: "BackendConfig | None") -> str:
    if step is None:
        return "nothing yet"
    return f"{step.model} on {step.name}" if step.model else step.name


def _not_vouched_for(server: ServerInfo, written: Sequence[str], keyed: Sequence[str]) -> ServerInfo:
    """A key lets us ask at its address, but says nothing of where the server there runs its models."""
    from whisper_desktop.discovery import runs_here
    from whisper_desktop.wire.address import origin

    if not server.as_given or server.reach is not Reach.THIS_MACHINE or origin(server.url) not in keyed:
        return server
    if origin(server.url) in [origin(url) for url in written]:
        return server
    return replace(server, as_given=False, reach=Reach.THIS_MACHINE if runs_here(server.id) else None)
