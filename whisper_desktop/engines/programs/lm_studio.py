"""LM Studio, started and filled for the person: through its tool `lms`, or through its AppImage.

What `lms` starts lives its own life, as if the person had opened it; it is ended only when the person asks
for that, and only as far as it was we who started it. The AppImage on a virtual display is bound to us unless
the person wants otherwise: nobody could see it or close it after us.
"""

import difflib
from collections.abc import Sequence
from pathlib import Path

from whisper_desktop.engines.programs import appimage, guarded, started
from whisper_desktop.engines.programs.consent import Action, Consent
from whisper_desktop.engines.programs.guarded import Guarded, Lifetime
from whisper_desktop.engines.programs.lm_studio_home import lm_studio_home
from whisper_desktop.engines.programs.lms import App, Lms, Model, find_lms, refused
from whisper_desktop.engines.programs.started import Part
from whisper_desktop.engines.programs.surroundings import Loaded, Running, Surroundings
from whisper_desktop.errors import EngineError
from whisper_desktop.language import tr
from whisper_desktop.values import IDENTITIES
from whisper_desktop.wire import fields

PROGRAM = "lm_studio"
_NAME = IDENTITIES[PROGRAM].name
_INTERNAL_PORT_FILE = ".internal/http-server.json"
_MOST_BYTES = 10_000


class LMStudio:
    """LM Studio on this computer. Whatever has an effect takes the person's consent to exactly that.

    `appimage_path` is the AppImage to start it from where it does not run; `virtual` starts that on a virtual
    display. All coroutines raise `EngineError`.
    """

    def __init__(
        self, around: Surroundings, *, appimage_path: Path | None = None, virtual: bool = False
    ) -> None:
        self._around = around
        self._appimage = None if appimage_path is None else appimage_path.expanduser().absolute()
        self._virtual = virtual

    async def greets(self, port: int) -> bool:
        """Whether LM Studio's server answers there."""
        reply = await self._around.get(port, "/lmstudio-greeting")
        if reply is None:
            return False
        if reply.status == 401:  # it wants a token from everybody
            return b"LM Studio API token" in reply.body
        told = fields.parsed(reply.body.decode("utf-8", "replace"))
        return reply.status == 200 and fields.table(told).get("lmstudio") is True

    async def running(self, port: int) -> Running | None:
        """Its server, on this port or the one that it used last. Starts nothing."""
        if await self.greets(port):
            return Running(PROGRAM, port, was_there=True)
        lms = self._lms()
        if lms is None:
            return None
        last = await lms.server()
        if last.port is None or last.port == port or not await self.greets(last.port):
            return None
        note = tr(
            "{name}'s server runs on port {port}, not on {port2}.", name=_NAME, port=last.port, port2=port
        )
        return Running(PROGRAM, last.port, was_there=True, note=note)

    # --- starting and ending ------------------------------------------------------------------------------

    async def start(self, port: int, consent: Consent, *, lifetime: Lifetime = Lifetime.OURS) -> Running:
        """Its server, started where it does not run. `lifetime` counts for the AppImage only."""
        consent.spend(Action(PROGRAM, "start", str(port)))
        there = await self.running(port)
        if there is not None:
            return there
        if await self._around.is_taken(port):
            raise await self._around.port_taken(PROGRAM, port)
        lms = self._lms()
        if self._appimage is not None and (lms is None or await lms.app() is None):
            return await self._start_appimage(self._appimage, port, lifetime)
        if lms is None:
            raise _not_installed()
        return await self._start_by_tool(lms, port)

    async def stop(self, consent: Consent) -> None:
        """End what we started of it, and nothing else."""
        consent.spend(Action(PROGRAM, "stop"))
        ours = started.recall(PROGRAM)
        if ours is None:
            raise EngineError(
                tr("{name} was not started by this app, so it is left alone.", name=_NAME),
                next_step=tr("End it in {name} itself.", name=_NAME),
                cause="not_ours",
            )
        if "guard" in ours.parts:
            if not await guarded.end(ours.pid, ours.identity, self._around.deadlines):
                raise EngineError(tr("{name} does not end.", name=_NAME), cause="cannot_stop")
        else:
            lms = self._lms()
            if lms is None:
                raise _not_installed()
            if "server" in ours.parts and (await lms.server()).running:
                await lms.stop_server()
            started.forget(PROGRAM, "server")
            app = await lms.app() if "app" in ours.parts else None
            if app is not None and app.is_daemon and app.pid == ours.pid:
                await lms.end_daemon()
        started.forget(PROGRAM)

    async def _start_by_tool(self, lms: Lms, port: int) -> Running:
        was_awake = await lms.app() is not None
        if not was_awake:
            _remember(await lms.wake(), port, "app")
        failed = await self._start_server(lms, port)
        if failed is not None:
            raise failed
        _remember(await lms.app(), port, "server")
        return Running(PROGRAM, port, was_there=False)

    async def _start_server(self, lms: Lms, port: int) -> EngineError | None:
        """The tool looks for the server's greeting for five seconds only; we believe the greeting alone."""
        try:
            failed = await lms.start_server(port)
        except EngineError as error:
            failed = error
        limit = self._around.deadlines.request
        if await self._around.wait_for(lambda: self._greeting(port), limit):
            return None
        if await self._around.is_taken(port):
            return await self._around.port_taken(PROGRAM, port)
        return failed or _silent(port, limit)

    async def _greeting(self, port: int) -> bool | None:
        return await self.greets(port) or None

    # --- the AppImage -------------------------------------------------------------------------------------

    async def _start_appimage(self, program: Path, port: int, lifetime: Lifetime) -> Running:
        child = await appimage.start(program, self._around, virtual=self._virtual, lifetime=lifetime)
        try:
            lines = await self._until_greeting(child, port)
            if lines is not None and appimage.needs_unpacking(lines):
                child = await appimage.start_unpacked(
                    program, self._around, virtual=self._virtual, lifetime=lifetime
                )
                lines = await self._until_greeting(child, port)
            if lines is not None:
                raise appimage.why_it_ended(program, lines)
        except BaseException:
            await child.stop(self._around.deadlines)
            raise
        if lifetime is Lifetime.ITS_OWN:
            started.remember(PROGRAM, child.pid, port, "guard")
        return Running(PROGRAM, port, was_there=False, child=child)

    async def _until_greeting(self, child: Guarded, port: int) -> list[str] | None:
        """None when the server greets, or what the program printed before it ended. Raises when neither
        happens in time.

        The app does not always start its server by itself: once it is up, its tool is told to.
        """
        told: list[EngineError | None] = []

        async def greeting() -> bool | None:
            if not told and await self._is_up() and not await self.greets(port):
                lms = self._lms()
                told.append(None if lms is None else await lms.start_server(port))
            return await self._greeting(port)

        limit = self._around.deadlines.program_start
        if await self._around.wait_for(greeting, limit, child):
            return None
        if not child.alive:
            return await child.lines(self._around.deadlines)
        raise next((failed for failed in told if failed), None) or _silent(port, limit)

    async def _is_up(self) -> bool:
        """Whether the app answers its own tools: its tool would start another one before that."""
        try:
            file = lm_studio_home(self._around.home) / _INTERNAL_PORT_FILE
            with file.open("rb") as content:
                told = fields.parsed(content.read(_MOST_BYTES).decode("utf-8", "replace"))
        except OSError:
            return False
        port = fields.count(fields.table(told).get("port"))
        reply = await self._around.get(port, "/lms-status") if port and port < 65536 else None
        return reply is not None and reply.status == 200

    # --- models -------------------------------------------------------------------------------------------

    async def loaded(self) -> tuple[Model, ...]:
        """What is loaded; nothing where LM Studio does not run."""
        lms = self._lms()
        return () if lms is None or await lms.app() is None else await lms.loaded()

    async def load(
        self,
        key: str,
        consent: Consent,
        *,
        context_length: int | None = None,
        identifier: str | None = None,
        idle_seconds: int | None = None,
        gpu: str | None = None,
    ) -> Loaded:
        """Load a model that it has; one that is loaded with enough context is used as it is.

        `identifier` is what requests are to call it. `idle_seconds`: unload it when it has not been used for
        so long. `gpu`: "off", "max", or the share of its layers from 0 to 1.
        """
        consent.spend(Action(PROGRAM, "load", key))
        lms = await self._awake()
        before = await lms.loaded()
        for model in before:
            is_right = model.key == key and model.is_here and identifier in (None, model.identifier)
            if is_right and (model.context_length or 0) >= (context_length or 0):
                return Loaded(model.identifier, model.context_length, was_there=True)
        await self._check_key(lms, key)
        wanted = {
            "context-length": context_length,
            "identifier": identifier,
            "ttl": idle_seconds,
            "gpu": gpu,
        }
        options = [f"--{name}={value}" for name, value in wanted.items() if value is not None]
        said = await lms.load(key, options)
        names = {model.identifier for model in before}
        fresh = [model for model in await lms.loaded() if model.identifier not in names]
        right = next((model for model in fresh if model.key == key and model.is_here), None)
        if said.code == 0 and right is not None:
            return Loaded(right.identifier, right.context_length, was_there=False)
        # In place of the right one, or meanwhile by somebody else: nothing tells which, so it is left alone.
        raise refused(
            tr("load {key}", key=key),
            said,
            _listed(tr("Loaded meanwhile"), [model.identifier for model in fresh]),
        )

    async def unload(self, identifier: str, consent: Consent) -> None:
        """Take a loaded model out of memory."""
        consent.spend(Action(PROGRAM, "unload", identifier))
        lms = await self._awake()
        names = [model.identifier for model in await lms.loaded()]
        if identifier not in names:
            raise EngineError(
                tr("{name} has no model {identifier} loaded.", name=_NAME, identifier=identifier),
                _listed(tr("Loaded"), names),
                cause="not_loaded",
            )
        said = await lms.unload(identifier)
        if any(model.identifier == identifier for model in await lms.loaded()):
            raise refused(tr("unload {identifier}", identifier=identifier), said)

    async def _check_key(self, lms: Lms, key: str) -> None:
        """Raise where it has no model of exactly this name: it would load another one that resembles it."""
        keys = [model.key for model in await lms.models() if model.is_here]
        if key not in keys:
            near = dict.fromkeys((*difflib.get_close_matches(key, keys), *keys))
            raise EngineError(
                tr("{name} has no model called {key} on this computer.", name=_NAME, key=key),
                _listed(tr("It has"), list(near)[:3]),
                tr("Download it in {name}, or choose one that it has.", name=_NAME),
                cause="model_missing",
            )

    async def _awake(self) -> Lms:
        lms = self._lms()
        if lms is None or await lms.app() is None:
            raise EngineError(
                tr("{name} is not running.", name=_NAME),
                next_step=tr("Start it first: whisper-desktop servers start {program}", program=PROGRAM),
                cause="not_running",
            )
        return lms

    def _lms(self) -> Lms | None:
        around = self._around
        path = find_lms(around.home, around.env, platform=around.platform)
        return None if path is None else Lms(path, around.env, around.deadlines)


def _remember(app: App | None, port: int, part: Part) -> None:
    if app is not None and app.pid is not None:
        started.remember(PROGRAM, app.pid, port, part)


def _listed(words: str, names: Sequence[str]) -> str:
    return f"{words}: {', '.join(names)}." if names else ""


def _not_installed() -> EngineError:
    return EngineError(
        tr("{name} is not installed on this computer, or was never started.", name=_NAME),
        tr("Its command-line tool (lms) is neither in its own folder nor on PATH."),
        tr(
            "Install it from https://lmstudio.ai and start it once, or set "
            "llm.lmstudio.appimage_path to its AppImage."
        ),
        cause="program_missing",
    )


def _silent(port: int, seconds: float) -> EngineError:
    return EngineError(
        tr("{name} was started, but its server did not answer on port {port}.", name=_NAME, port=port),
        tr("It was given {seconds:g} s.", seconds=seconds),
        tr("Switch the server on in {name} (Developer, Start server), or try another port.", name=_NAME),
        cause="program_silent",
    )
