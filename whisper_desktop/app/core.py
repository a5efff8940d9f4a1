"""`App`: settings, machine, servers, engines, keys and the chain, wired together.

Every coroutine runs on one asyncio loop, the core loop. Plain functions only read what is there and may be
called from any thread. Rooms are imported when they are first needed: the tray icon is shown before them.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from whisper_desktop.app import repairs
from whisper_desktop.app.choices import AppState, BackendChoice, backend_choices, standing
from whisper_desktop.app.engine_words import OURS, in_gigabytes
from whisper_desktop.errors import EngineError, SettingsError
from whisper_desktop.events import BackendChosen, Bus, EngineChanged, Notice, ServersChanged, SettingsChanged
from whisper_desktop.language import tr
from whisper_desktop.values import (
    ConnectionReport,
    Deadlines,
    EngineState,
    EngineStatus,
    Message,
    Provenance,
    Reach,
    ResourceInfo,
    ServerInfo,
    SetupRecommendation,
    StreamEvent,
    canonical_id,
)

if TYPE_CHECKING:
    from whisper_desktop.advice.flow import SetupResult
    from whisper_desktop.app.chats import ChatHost
    from whisper_desktop.app.engine_host import EngineHost
    from whisper_desktop.app.keys import Keys
    from whisper_desktop.app.model_host import ModelHost
    from whisper_desktop.app.places import Places
    from whisper_desktop.app.speeds import Speeds
    from whisper_desktop.app.talking import Talking
    from whisper_desktop.backends import BackendConfig
    from whisper_desktop.chat import Session
    from whisper_desktop.engines.supervisor import Engine
    from whisper_desktop.llm.wakefulness import Resumed
    from whisper_desktop.settings import LLMSettings, LoadedSettings, SecretStore
    from whisper_desktop.wire.http import Http


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
        self._keys: Keys | None = None
        self._places: Places | None = None
        self._talking: Talking | None = None
        self._chats: ChatHost | None = None
        self._host: EngineHost | None = None
        self._models: ModelHost | None = None
        self._speeds: Speeds | None = None
        self._resources: ResourceInfo | None = None
        self._resources_task: asyncio.Task[ResourceInfo] | None = None
        self._sleep_watch: asyncio.Task[None] | None = None
        self._attention = ""
        self._warned_of = ""
        self._ending = False

    # --- life ---------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Load the settings, look for keys, end what a crashed run left behind. Sends nothing."""
        from whisper_desktop.engines.orphans import end_orphans
        from whisper_desktop.wire.http import Http

        self._loaded = await asyncio.to_thread(self._load)
        self._http = Http(self.deadlines, allow_network=self._llm.allow_network)
        self._furnish(self._http)
        with suppress(SettingsError):  # without a run folder nothing was left behind in it
            await asyncio.to_thread(end_orphans)
        await _started(self._keys).refresh()
        self._sleep_watch = asyncio.create_task(self._watch_for_sleep())
        for problem in self._loaded.problems:
            self.bus.publish(Notice(problem.title, f"{problem.detail} {problem.next_step}".strip(), True))

    def _furnish(self, http: "Http") -> None:
        """Make what stands on settings and connections."""
        from whisper_desktop.app.keys import Keys
        from whisper_desktop.app.places import Places
        from whisper_desktop.app.talking import House, Talking
        from whisper_desktop.settings import SecretStore

        store = SecretStore(run_keys=self.loaded.env_keys, deadlines=self.deadlines)
        self._keys = Keys(store, lambda: self._llm)
        self._places = Places(
            settings=lambda: self.loaded.settings,
            env=self._env,
            http=http,
            deadlines=self.deadlines,
            keys=self._keys,
            builtin=self._builtin_server,
            bus=self.bus,
        )
        house = House(
            settings=lambda: self.loaded,
            builtin_model=self._builtin_model,
            engine=self._engine,
            resources=self.resources,
            known_resources=lambda: self._resources,
            troubled=self._troubled,
            answered=self._answered,
            spending_file=_spending_file(self._env),
            http=http,
            deadlines=self.deadlines,
            bus=self.bus,
        )
        self._talking = Talking(house, self._places, self._keys)
        self.bus.listen(ServersChanged, self._servers_changed)

    def _servers_changed(self, change: ServersChanged) -> None:
        if self._talking is not None and not change.scanning:
            self._talking.seen(change.servers)

    async def _watch_for_sleep(self) -> None:
        await asyncio.sleep(self.deadlines.clock_tick)  # the start has better things to import
        from whisper_desktop.llm.wakefulness import watch

        await watch(self._woke_up, self.deadlines)

    async def _woke_up(self, _sleep: "Resumed") -> None:
        """The computer slept: connections from before lead nowhere, and nobody is at fault for it."""
        await self.http.refresh()
        _started(self._talking).woke_up()

    async def stop(self) -> None:
        """End what we started: answers, scans, engines, connections. Safe to call twice."""
        self._ending = True
        if self._sleep_watch is not None:
            self._sleep_watch.cancel()
            await asyncio.gather(self._sleep_watch, return_exceptions=True)
        if self._chats is not None:
            await self._chats.stop()
        if self._talking is not None:
            await self._talking.stop()
        if self._speeds is not None:
            await self._speeds.stop()
        if self._places is not None:
            await self._places.stop()
        if self._resources_task is not None:
            self._resources_task.cancel()
            await asyncio.gather(self._resources_task, return_exceptions=True)
        if self._host is not None:
            with suppress(EngineError):  # one that cannot be ended is ended by its own watch on us
                await self._host.close()
        if self._models is not None:
            await self._models.aclose()
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
    def _llm(self) -> "LLMSettings":
        return self.loaded.settings.llm

    @property
    def http(self) -> "Http":
        """The connections of this app."""
        if self._http is None:
            raise RuntimeError("The app is not running.")
        return self._http

    @property
    def secrets(self) -> "SecretStore":
        """Where keys are kept."""
        return _started(self._keys).store

    @property
    def models(self) -> "ModelHost":
        """Models: those on this computer, those that could be had, and their downloads."""
        if self._models is None:
            from whisper_desktop.app.model_host import ModelHost
            from whisper_desktop.app.model_room import ModelRoom

            room = ModelRoom(lambda: self.loaded, self._env, self.http, self.deadlines, _started(self._keys))
            self._models = ModelHost(
                room,
                resources=self.resources,
                scan=self.scan,
                remember=self.remember,
                engines=self._engine_statuses,
            )
        return self._models

    @property
    def chats(self) -> "ChatHost":
        """The conversations that are kept. Making the object touches no file."""
        if self._chats is None:
            from whisper_desktop.app.chats import ChatHost, ChatRoom

            room = ChatRoom(
                settings=lambda: self.loaded.settings,
                talking=lambda: _started(self._talking),
                env=self._env,
                deadlines=self.deadlines,
                bus=self.bus,
            )
            self._chats = ChatHost(room)
        return self._chats

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
        return self._places.servers if self._places is not None else ()

    async def scan(self) -> tuple[ServerInfo, ...]:
        """Look for servers, telling each as it is found; callers at the same time share one scan."""
        return await _started(self._places).scan()

    async def recommend(self) -> SetupRecommendation:
        """What to use on this computer, with reasons: looks at machine and servers side by side first."""
        from whisper_desktop.advice import get_recommended_setup

        try:
            return (await self.models.advise())[0]
        except (
            SettingsError
        ):  # without folders of ours there is no list of the person's, and nothing measured
            resources, servers = await asyncio.gather(self.resources(), self.scan())
            return await asyncio.to_thread(get_recommended_setup, resources, servers)

    # --- choosing -----------------------------------------------------------------------------------------

    def backend_choices(self) -> tuple[BackendChoice, ...]:
        """The Backend menu as it stands now."""
        automatic = _started(self._talking).plan(automatic=True)
        return backend_choices(
            self.servers,
            chosen=self._llm.backend,
            engine=self.engine_status(),
            builtin_model=self._builtin_model(),
            keyed=_started(self._keys).services,
            cloud_allowed=self._llm.reach is Reach.CLOUD,
            chain_names=[tr(step.name) for step in automatic],
        )

    async def choose(self, backend: str | None, model: str | None = None) -> None:
        """Use this backend from the next message on (None: automatic), and remember it."""
        if backend is not None:
            _started(self._talking).plan(backend)  # names an unknown one
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
        before, known = self._llm, self.loaded.settings
        self._loaded = await asyncio.to_thread(self._load)
        if self._http is not None:
            self._http.allow_network = self._llm.allow_network
        if self._host is not None:
            self._host.use_settings(self._llm)
        if self._models is not None:
            self._models.use_settings()
        if self._llm != before:
            await _started(self._talking).renew()
        await _started(self._keys).refresh()
        if self._loaded.settings != known:
            self.bus.publish(SettingsChanged())

    def state(self) -> AppState:
        """The one glance for the tray. Readable at any time, also before `start` has ended."""
        if self._loaded is None or self._places is None or self._talking is None:
            return AppState("starting", tr("Starting…"), None, None, False)
        chain = self._talking.plan()
        first = chain[0] if chain else None
        setup_done = self._loaded.settings.ui.setup_done
        scanned = self._places.scanned
        answering = self._talking.answering
        if self._attention and not answering:
            activity, headline = "needs_attention", self._attention
        elif first is None and not answering:
            activity = "needs_attention" if scanned else "starting"
            headline = tr("No model found yet: open Setup") if scanned else tr("Looking for servers…")
        else:
            own = self.engine_status() if first is not None and first.id == "builtin" else None
            activity, headline = standing(_who(first), own, answering=answering)
        return AppState(
            activity,
            headline,
            first.id if first else None,
            first.model if first else None,
            first_run=not setup_done,
            memory=self._to_free(),
        )

    def _to_free(self) -> str:
        ready = [each for each in self._engine_statuses().values() if each.state is EngineState.READY]
        size = sum(each.memory_bytes or 0 for each in ready)
        return in_gigabytes(size) if size else ""

    def _answered(self, provenance: Provenance) -> None:
        """An answer is complete: what our own engines' say about their speed is kept."""
        if provenance.backend not in OURS:
            return
        if self._speeds is None:
            from whisper_desktop.app.speeds import Speeds
            from whisper_desktop.models.measured import FILE, MeasuredStore
            from whisper_desktop.settings.paths import data_dir

            try:
                store = MeasuredStore(data_dir(self._env) / FILE, deadlines=self.deadlines)
            except SettingsError:  # nothing can be kept there
                return
            self._speeds = Speeds(store, engine=self._engine, resources=self.resources)
        self._speeds.answered(provenance)

    def _troubled(self, sentence: str) -> None:
        self._attention = sentence

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
    ) -> "Session":
        """A new conversation. `reach` None is the one from the settings (this computer, unless widened)."""
        return _started(self._talking).open_session(guide=guide, backend=backend, model=model, reach=reach)

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
        return _started(self._talking).answer(session, messages)

    def test_stream(
        self, backend: str | None, model: str | None = None, *, reach: Reach | None = None
    ) -> AsyncGenerator[StreamEvent | ConnectionReport, None]:
        """Ask one backend for a real answer: its events, and last the report, also where none came."""
        return _started(self._talking).test(backend, model, reach)

    async def test_connection(self, backend: str | None, model: str | None = None) -> ConnectionReport:
        """Ask one backend for a real answer, and say precisely what is wrong where none comes."""
        async with aclosing(self.test_stream(backend, model)) as events:
            async for event in events:
                if isinstance(event, ConnectionReport):
                    return event
        raise AssertionError("a test ends with its report")

    async def finish_setup(self, result: "SetupResult") -> None:
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
        return self._llm.own_model

    def _builtin_server(self) -> ServerInfo | None:
        from whisper_desktop.engines import builtin_server

        return builtin_server(self._builtin_model(), self.engine_status())

    def _engine_changed(self, status: EngineStatus) -> None:
        if status.warning and status.warning != self._warned_of:
            self._warned_of = status.warning
            self.bus.publish(Notice(tr("The engine runs, but not as planned."), status.warning))
        if status.state is EngineState.READY and self._http is not None:
            self.models.engine_ready()
        self.bus.publish(EngineChanged(status))

    def engine_status(self) -> EngineStatus | None:
        """The built-in engine, or the guide's where only that runs; None when neither was started."""
        return self._host.status() if self._host is not None else None

    def _engine_statuses(self) -> dict[Path, EngineStatus]:
        return self._host.statuses() if self._host is not None else {}

    async def start_engine(self) -> EngineStatus:
        """Start the built-in engine (with the guide's model where none is set) and wait until it answers."""
        engine = await self._engine("builtin" if self._builtin_model() else "guide")
        await engine.revive()
        return engine.status()

    async def stop_engine(self) -> None:
        """Stop every engine of ours; the next request starts what it needs."""
        if self._host is not None:
            await self._host.stop()

    async def free_memory(self) -> bool:
        """Put our idle engines to sleep now; False when there was none."""
        return self._host is not None and await self._host.rest(tr("It sleeps: its memory was asked for."))

    async def repair_engine(self, repair: str) -> None:
        """Accept one of the repairs that an engine of ours offers; from its next start on it holds.

        Raises `EngineError` for one that is not offered, `SettingsError` where it cannot be kept.
        """
        found = repairs.offered(self._engine_statuses(), repair)
        await self.remember({repairs.REPAIRS: repairs.with_changes(self._llm.llamacpp.repairs, found)})

    def accepted_repairs(self) -> tuple[str, ...]:
        """What was accepted for the model that is set, and for the guide."""
        return repairs.of(self._llm.llamacpp.repairs, self._own_models())

    async def forget_repairs(self) -> None:
        """Forget what was accepted for the model that is set, and for the guide."""
        left = repairs.without(self._llm.llamacpp.repairs, self._own_models())
        await self.remember({repairs.REPAIRS: left})

    def _own_models(self) -> tuple[Path, ...]:
        from whisper_desktop.engines import guide_spec

        model = self._builtin_model()
        return (*(() if model is None else (model,)), guide_spec().model_path)

    def engine_log(self, lines: int = 200) -> list[str]:
        """The newest lines of the engines' log, from this run's memory or, before a start, from the file."""
        if self._host is not None:
            return self._host.log(lines)
        from whisper_desktop.engines import read_log

        return read_log(lines)

    @property
    def host(self) -> "EngineHost":
        """The engines. Made with the first one: who asks servers only needs none of what they need."""
        if self._host is None:
            if self._http is None or self._ending:
                raise RuntimeError("The app is not running.")
            from whisper_desktop.app.engine_host import EngineHost

            self._host = EngineHost(
                http=self._http,
                deadlines=self.deadlines,
                detect=self._detect_resources,
                on_change=self._engine_changed,
                warn=lambda sentence: self.bus.publish(Notice(sentence)),
            )
        return self._host

    async def _engine(self, kind: str) -> "Engine":
        if kind == "guide":
            return self.host.guide(self._llm)
        if not self._llm.enable_direct:
            raise EngineError(
                tr("The built-in engine is switched off."),
                tr("The setting llm.enable_direct (WHISPER_ENABLE_DIRECT_LLM) says no."),
                tr("Switch it on, or choose another backend."),
                cause="switched_off",
            )
        return await self.host.builtin(self._builtin_model(), self._llm)

    # --- keys ---------------------------------------------------------------------------------------------

    def key_origin(self, name: str) -> str:
        """The origin a key belongs to, from a backend's id or an address."""
        from whisper_desktop.app.keys import key_origin

        return key_origin(name, self._llm)

    async def set_key(self, name: str, key: str) -> str:
        """Keep a key in the keyring (or for this run only); returns the sentence that says where it went."""
        explanation = await _started(self._keys).set(name, key)
        await _started(self._talking).renew()
        return explanation

    async def remove_key(self, name: str) -> None:
        """Forget a key."""
        await _started(self._keys).remove(name)
        await _started(self._talking).renew()

    async def keys(self) -> tuple[str, ...]:
        """The origins that have a key; never a key."""
        return await _started(self._keys).origins()


def _spending_file(env: Mapping[str, str]) -> Path | None:
    """Where costs are kept; None where nothing can be kept."""
    from whisper_desktop.settings.paths import data_dir

    try:
        return data_dir(env) / "spending.sqlite"
    except SettingsError:
        return None


T = TypeVar("T")


def _started(part: T | None) -> T:
    if part is None:
        raise RuntimeError("The app has not been started.")
    return part


def _who(step: "BackendConfig | None") -> str:
    if step is None:
        return tr("nothing yet")
    return (
        tr("{model} on {step_name}", model=step.model, step_name=tr(step.name))
        if step.model
        else tr(step.name)
    )
