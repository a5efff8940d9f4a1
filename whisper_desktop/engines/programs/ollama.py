"""Ollama, started and filled for the person: as the service or the app that it was installed as, else by
`ollama serve`.

`ollama serve` has no window, so it is bound to us unless the person wants otherwise. A service or an app
lives its own life, and is ended where the person ends such things. A second server is never started beside
one that answers: it would have to fight for the port, and has other models.

Written for macOS and Windows from Ollama's documents and source, and not run there so far.
"""

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from whisper_desktop.engines.programs import guarded, started
from whisper_desktop.engines.programs.consent import Action, Consent
from whisper_desktop.engines.programs.guarded import Guarded, Lifetime
from whisper_desktop.engines.programs.surroundings import Loaded, Running, Surroundings, root_of
from whisper_desktop.engines.programs.tool import ToolFailed, persons_environment, quoted, run_tool
from whisper_desktop.errors import BackendError, EngineError
from whisper_desktop.language import tr
from whisper_desktop.settings.paths import log_dir
from whisper_desktop.values import IDENTITIES, ErrorKind, Reach
from whisper_desktop.wire import fields

PROGRAM = "ollama"
SYSTEM_START = "sudo systemctl start ollama"
_NAME = IDENTITIES[PROGRAM].name
_VERSION = re.compile(r"\d+\.\d+\.\d+\S*")
_SERVICE_MODELS = "usr/share/ollama/.ollama/models"
_PLACES = {
    "darwin": ("Applications/Ollama.app/Contents/Resources/ollama", "opt/homebrew/bin/ollama"),
    "linux": ("usr/local/bin/ollama", "usr/bin/ollama"),
}
_MAC_APP = "Applications/Ollama.app"
_UNIT = "ollama.service"
_SYSTEM_UNITS = ("etc/systemd/system", "usr/lib/systemd/system", "lib/systemd/system")
_USER_UNITS = ("etc/systemd/user", "usr/lib/systemd/user")


@dataclass(frozen=True, slots=True)
class Installed:
    """How Ollama is installed: its program, the command that starts it as what it is, whether that needs an
    administrator. `as_it_is` is empty where there is only the program.
    """

    program: Path | None
    as_it_is: tuple[str, ...] = ()
    needs_root: bool = False


class Ollama:
    """Ollama on this computer. Whatever has an effect takes the person's consent to exactly that.

    `root` is where the system's files are. All coroutines raise `EngineError`.
    """

    def __init__(self, around: Surroundings, *, root: Path = Path("/")) -> None:
        self._around = around
        self._root = root

    async def version(self, port: int) -> str | None:
        """The version of the Ollama that answers there, or None."""
        reply = await self._around.get(port, "/api/version")
        told = None if reply is None else fields.parsed(reply.body.decode("utf-8", "replace"))
        version = fields.name(fields.table(told).get("version"))
        return version if version and _VERSION.fullmatch(version) else None

    def installed(self) -> Installed:
        """How it is installed here. Looks at files only."""
        return installed(
            self._root, self._around.home, self._around.env, platform=_family(self._around.platform)
        )

    # --- starting and ending ------------------------------------------------------------------------------

    async def start(self, port: int, consent: Consent, *, lifetime: Lifetime = Lifetime.OURS) -> Running:
        """Its server as the person installed it: service or app, or `ollama serve` where there is neither.

        `lifetime` counts for that last one.
        """
        consent.spend(Action(PROGRAM, "start", str(port)))
        how = self.installed()
        if (there := await self._there(port)) is not None:
            return there
        if how.needs_root:
            raise EngineError(
                tr(
                    "{name} is a service of this computer, and starting that needs an administrator.",
                    name=_NAME,
                ),
                tr("A server of your own would not see the service's models."),
                tr(
                    "Run: {system_start}. Or use your own: whisper-desktop servers start {program} --own",
                    system_start=SYSTEM_START,
                    program=PROGRAM,
                ),
                cause="needs_root",
            )
        if how.as_it_is:
            return await self._start_as_it_is(how.as_it_is, port)
        return await self._serve(how, port, lifetime)

    async def serve(self, port: int, consent: Consent, *, lifetime: Lifetime = Lifetime.OURS) -> Running:
        """`ollama serve` under the person's own account, whatever else is installed."""
        consent.spend(Action(PROGRAM, "serve", str(port)))
        return await self._there(port) or await self._serve(self.installed(), port, lifetime)

    async def stop(self, consent: Consent) -> None:
        """End the server that we started and left running, and nothing else."""
        consent.spend(Action(PROGRAM, "stop"))
        ours = started.recall(PROGRAM)
        if ours is None or "guard" not in ours.parts:
            raise EngineError(
                tr("{name} was not started by this app, so it is left alone.", name=_NAME),
                next_step=tr("End it where it was started."),
                cause="not_ours",
            )
        if not await guarded.end(ours.pid, ours.identity, self._around.deadlines):
            raise EngineError(tr("{name} does not end.", name=_NAME), cause="cannot_stop")
        started.forget(PROGRAM)

    async def _there(self, port: int) -> Running | None:
        if await self.version(port) is not None:
            return Running(PROGRAM, port, was_there=True)
        if await self._around.is_taken(port):
            raise await self._around.port_taken(PROGRAM, port)
        return None

    async def _start_as_it_is(self, command: Sequence[str], port: int) -> Running:
        limit = self._around.deadlines.program_start
        if sys.platform == "win32":
            os.startfile(command[0], "open", subprocess.list2cmdline(command[1:]))
        else:
            await self._order(command, limit)
        if await self._around.wait_for(lambda: self.version(port), limit) is None:
            raise _silent(port, limit)
        return Running(PROGRAM, port, was_there=False)

    async def _order(self, command: Sequence[str], limit: float) -> None:
        try:
            said = await run_tool(command, timeout=limit, env=self._around.env)
        except ToolFailed as failed:
            raise _not_started(f"{command[0]} {failed}.") from None
        if said.code != 0:
            raise _not_started(said.told)

    async def _serve(self, how: Installed, port: int, lifetime: Lifetime) -> Running:
        if how.program is None:
            raise EngineError(
                tr("{name} is not installed on this computer.", name=_NAME),
                tr("There is no program of that name on PATH or in its usual places."),
                tr("Install it from https://ollama.com, then try again."),
                cause="program_missing",
            )
        if sys.platform == "win32":
            raise _not_started(tr("On Windows it runs as an app, and that is not installed."))
        host = root_of(port).removeprefix("http://")
        try:
            child = await guarded.start(
                PROGRAM,
                [str(how.program), "serve"],
                lifetime=lifetime,
                env={**persons_environment(self._around.env), "OLLAMA_HOST": host},
                log=log_dir() / f"program-{PROGRAM}.log",
            )
        except OSError as error:
            raise _not_started(tr("The system says: {strerror}.", strerror=error.strerror)) from None
        try:
            return await self._served(child, port, how)
        except BaseException:
            await child.stop(self._around.deadlines)
            raise

    async def _served(self, child: Guarded, port: int, how: Installed) -> Running:
        limit = self._around.deadlines.program_start
        version = await self._around.wait_for(lambda: self.version(port), limit, child)
        if not child.alive:
            lines = await child.lines(self._around.deadlines)
            if version is not None:  # somebody else's was faster
                return Running(PROGRAM, port, was_there=True)
            if any("address already in use" in line or "Only one usage" in line for line in lines):
                raise await self._around.port_taken(PROGRAM, port)
            last = quoted(next((line for line in reversed(lines) if line.strip()), ""))
            raise _not_started(tr("The last it says is: {last}.", last=last) if last else "")
        if version is None:
            raise _silent(port, limit)
        if child.lifetime is Lifetime.ITS_OWN:
            started.remember(PROGRAM, child.pid, port, "guard")
        return Running(PROGRAM, port, was_there=False, child=child, note=self._about_models(how))

    def _about_models(self, how: Installed) -> str:
        """The trap of two model folders, where there are two."""
        models = self._root / _SERVICE_MODELS
        if not how.needs_root and not models.is_dir():
            return ""
        own = self._around.env.get("OLLAMA_MODELS") or self._around.home / ".ollama" / "models"
        return tr(
            "This {name} has the models in {own}, not those of the computer's service in {models}.",
            name=_NAME,
            own=own,
            models=models,
        )

    # --- models -------------------------------------------------------------------------------------------

    async def load(
        self, model: str, port: int, consent: Consent, *, idle_seconds: int | None = None
    ) -> Loaded:
        """Load a model that it has, to stay for `idle_seconds` without use (None: as Ollama is set)."""
        consent.spend(Action(PROGRAM, "load", model))
        loaded = await self._loaded(port)
        name = _full(model)
        if name in loaded and idle_seconds is None:
            return Loaded(name, loaded[name], was_there=True)
        listed = await self._list(port, "/api/tags")
        entry = next((each for each in listed if each.get("name") == name), None)
        if entry is None:
            names = [told for each in listed[:3] if (told := fields.name(each.get("name")))]
            raise EngineError(
                tr("{name} has no model called {model}.", name=_NAME, model=model),
                tr("It has: {items}.", items=", ".join(names)) if names else tr("It has none yet."),
                tr("Download it: ollama pull {model}", model=model),
                cause="model_missing",
            )
        if entry.get("remote_host") or entry.get("remote_model"):
            raise EngineError(
                tr("{model} does not run on this computer, so there is nothing to load.", model=model),
                tr("{name} passes it on to the cloud.", name=_NAME),
                cause="model_elsewhere",
            )
        wanted = {} if idle_seconds is None else {"keep_alive": idle_seconds}
        await self._generate(port, name, "load", wanted, self._around.deadlines.model_load)
        return Loaded(name, (await self._loaded(port)).get(name), was_there=name in loaded)

    async def unload(self, model: str, port: int, consent: Consent) -> None:
        """Take a loaded model out of memory."""
        consent.spend(Action(PROGRAM, "unload", model))
        loaded = await self._loaded(port)
        if _full(model) not in loaded:
            names = tr("Loaded: {items}.", items=", ".join(loaded)) if loaded else ""
            raise EngineError(
                tr("{name} has no model {model} loaded.", name=_NAME, model=model), names, cause="not_loaded"
            )
        limit = self._around.deadlines.request
        await self._generate(port, _full(model), "unload", {"keep_alive": 0}, limit)

    async def _loaded(self, port: int) -> dict[str, int | None]:
        """The models that are loaded, each with its context in tokens."""
        running = await self._list(port, "/api/ps")
        return {
            name: fields.count(each.get("context_length"))
            for each in running
            if (name := fields.name(each.get("name")))
        }

    async def _list(self, port: int, path: str) -> list[Mapping[str, object]]:
        reply = await self._around.get(port, path)
        if reply is None:
            raise EngineError(
                tr("{name} is not running.", name=_NAME),
                next_step=tr("Start it first: whisper-desktop servers start {program}", program=PROGRAM),
                cause="not_running",
            )
        told = fields.table(fields.parsed(reply.body.decode("utf-8", "replace"))).get("models")
        return [each for each in told if isinstance(each, dict)] if isinstance(told, list) else []

    async def _generate(
        self, port: int, model: str, what: str, wanted: Mapping[str, object], limit: float
    ) -> None:
        """An empty question, which only loads or unloads; `done_reason` says which it did."""
        body = {"model": model, "stream": False, **wanted}
        try:
            reply = await self._around.http.request(
                "POST", root_of(port) + "/api/generate", allowed=Reach.THIS_MACHINE, json=body, total=limit
            )
        except BackendError as error:
            kind = "program_silent" if error.kind is ErrorKind.TOTAL_TIMEOUT else "not_running"
            raise EngineError(
                _could_not(what, model),
                str(error),
                cause=kind,
            ) from None
        told: Mapping[str, object] = {}
        with contextlib.suppress(BackendError):
            told = fields.table(reply.json())
        if reply.status == 200 and told.get("done") is True and told.get("done_reason", what) == what:
            return
        error_text = told.get("error")
        detail = (
            tr("It says: {error_text}.", error_text=quoted(error_text))
            if isinstance(error_text, str) and error_text
            else ""
        )
        short = "memory" in detail.lower()
        raise EngineError(
            _could_not(what, model),
            detail,
            tr("Close something, or choose a smaller model.")
            if short
            else tr("Look into {name}'s log.", name=_NAME),
            cause="out_of_memory" if short else "program_refused",
        )


def installed(root: Path, home: Path, env: Mapping[str, str], *, platform: str) -> Installed:
    """How Ollama is installed, by the files of a computer whose system is linux, darwin or win32."""
    if platform == "win32":
        folder = Path(env.get("LOCALAPPDATA") or home / "AppData" / "Local") / "Programs" / "Ollama"
        app, program = folder / "ollama app.exe", folder / "ollama.exe"
        found = program if program.is_file() else _on_path(env)
        return Installed(found, (str(app), "--hide", "--fast-startup") if app.is_file() else ())
    places = (root / place for place in _PLACES[platform])
    found = _on_path(env) or next((place for place in places if place.is_file()), None)
    if platform == "darwin":
        app = root / _MAC_APP
        command = ("open", "-j", "-a", "Ollama.app", "--args", "--fast-startup")
        return Installed(found, command if app.is_dir() else ())
    user_units = (home / ".config" / "systemd" / "user", *(root / folder for folder in _USER_UNITS))
    if any((folder / _UNIT).is_file() for folder in user_units):
        return Installed(found, ("systemctl", "--user", "start", "ollama"))
    needs_root = any((root / folder / _UNIT).is_file() for folder in _SYSTEM_UNITS)
    return Installed(found, needs_root=needs_root)


def _on_path(env: Mapping[str, str]) -> Path | None:
    found = shutil.which(PROGRAM, path=env.get("PATH"))
    return Path(found) if found else None


def _family(platform: str) -> str:
    return platform if platform in ("win32", "darwin") else "linux"


def _full(model: str) -> str:
    """A model's name as Ollama lists it: with its tag."""
    return model if ":" in model.rsplit("/", 1)[-1] else f"{model}:latest"


def _not_started(why: str) -> EngineError:
    return EngineError(
        tr("{name} could not be started.", name=_NAME),
        why,
        tr("Start {name} by hand to see more.", name=_NAME),
        cause="program_refused",
    )


def _silent(port: int, seconds: float) -> EngineError:
    return EngineError(
        tr("{name} was started, but does not answer on port {port}.", name=_NAME, port=port),
        tr("It was given {seconds:g} s.", seconds=seconds),
        tr("Look into {name}'s log, or restart it.", name=_NAME),
        cause="program_silent",
    )


def _could_not(what: str, model: str) -> str:
    if what == "load":
        return tr("{name} could not load {model}.", name=_NAME, model=model)
    return tr("{name} could not unload {model}.", name=_NAME, model=model)
