"""`servers start|stop|load|unload|ports`: LM Studio and Ollama, and who has a port."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import click

from whisper_desktop.cli import output
from whisper_desktop.cli.running import Failed, json_option, run
from whisper_desktop.discovery import configured
from whisper_desktop.discovery.owners import Claim, Verdict, arbitrate, describe_owner
from whisper_desktop.discovery.places import usual_ports
from whisper_desktop.engines.programs.consent import Action, Consent, Verb, ask
from whisper_desktop.engines.programs.guarded import Guarded, Lifetime
from whisper_desktop.engines.programs.lm_studio import LMStudio
from whisper_desktop.engines.programs.ollama import Ollama
from whisper_desktop.engines.programs.surroundings import Loaded, Running, Surroundings
from whisper_desktop.errors import EngineError
from whisper_desktop.settings import LLMSettings, load_settings
from whisper_desktop.values import IDENTITIES, Deadlines, Reach, canonical_id
from whisper_desktop.wire.address import parse_url
from whisper_desktop.wire.http import Http

_PROGRAMS = ("lm_studio", "ollama")
_ANY_PORT = click.IntRange(1, 65535)


def _known(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    """The id for an id or an alias."""
    try:
        found = canonical_id(value)
    except KeyError:
        found = value
    if found not in _PROGRAMS:
        raise click.BadParameter(f"{value} is none of {', '.join(_PROGRAMS)}.")
    return found


_program = click.argument("program", callback=_known)
_port = click.option("--port", type=_ANY_PORT, help="Its port (default: the one in the settings).")
_yes = click.option("--yes", "-y", is_flag=True, help="Say yes beforehand, instead of being asked.")
_minutes = click.option(
    "--minutes", type=click.IntRange(1), help="Unload the model after so many minutes without use."
)


@click.group()
def servers() -> None:
    """Start LM Studio or Ollama for you; see who has a port.

    Nothing is done without a yes, and nothing is ended that this app did not start.
    """


@servers.command()
@_program
@_port
@click.option("--load", "model", metavar="MODEL", help="Load this model afterwards.")
@click.option("--own", is_flag=True, help="Ollama: a server of your own, although it is a service here.")
@click.option("--detach", is_flag=True, help="Leave it running when this command ends.")
@_minutes
@_yes
@json_option
def start(
    program: str,
    port: int | None,
    model: str | None,
    own: bool,
    detach: bool,
    minutes: int | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Start LM Studio's or Ollama's server, where none answers.

    What has a window, or is a service, lives its own life. What has none runs here until Ctrl-C; or, with
    --detach, until `whisper-desktop servers stop`.
    """
    lifetime = Lifetime.ITS_OWN if detach else Lifetime.OURS

    async def work() -> None:
        async with _House(yes).opened() as house:
            at = house.port_of(program, port)
            with output.progress(f"Starting {_name(program)}…") as waiting:
                running = await house.running(program, at, waiting)
                if running is None:
                    running = await house.start(program, at, lifetime, own=own, waiting=waiting)
            try:
                loaded = None
                if model is not None:
                    loaded = await house.load(program, running.port, model, minutes)
                _tell_running(running, loaded, as_json=as_json)
                if running.child is not None and lifetime is Lifetime.OURS:
                    await _stay(running.child, as_json=as_json)
            finally:
                if running.child is not None and lifetime is Lifetime.OURS:
                    await running.child.stop(house.around.deadlines)

    run(work(), as_json=as_json)


@servers.command()
@_program
@_yes
@json_option
def stop(program: str, yes: bool, as_json: bool) -> None:
    """End what this app started of it, and left running."""

    async def work() -> None:
        async with _House(yes).opened() as house:
            consent = await house.consent(program, "stop")
            await (house.lm_studio if program == "lm_studio" else house.ollama).stop(consent)

    run(work(), as_json=as_json)
    _tell_done(as_json, {"program": program, "stopped": True}, f"{_name(program)} is stopped.")


@servers.command()
@_program
@click.argument("model")
@_port
@_minutes
@_yes
@json_option
def load(program: str, model: str, port: int | None, minutes: int | None, yes: bool, as_json: bool) -> None:
    """Load MODEL, which it must have already."""

    async def work() -> Loaded:
        async with _House(yes).opened() as house:
            return await house.load(program, house.port_of(program, port), model, minutes)

    loaded = run(work(), as_json=as_json)
    _tell_done(as_json, {"program": program, **_loaded_shape(loaded)}, _loaded_sentence(program, loaded))


@servers.command()
@_program
@click.argument("model")
@_port
@_yes
@json_option
def unload(program: str, model: str, port: int | None, yes: bool, as_json: bool) -> None:
    """Take MODEL, as it is called where it is loaded, out of memory."""

    async def work() -> None:
        async with _House(yes).opened() as house:
            at = house.port_of(program, port)
            consent = await house.consent(program, "unload", model)
            if program == "lm_studio":
                await house.lm_studio.unload(model, consent)
            else:
                await house.ollama.unload(model, at, consent)

    run(work(), as_json=as_json)
    _tell_done(as_json, {"program": program, "unloaded": model}, f"{model} is unloaded.")


@servers.command()
@click.argument("ports", nargs=-1, type=_ANY_PORT)
@json_option
def ports(ports: tuple[int, ...], as_json: bool) -> None:
    """Say who has these PORTS of this computer, or else the ones where model servers usually are."""

    async def work() -> list[Claim]:
        async with _House(False).opened() as house:
            asked = ports or usual_ports({"lm_studio": house.port_of("lm_studio", None)})
            looks = (arbitrate(port, http=house.http, deadlines=house.around.deadlines) for port in asked)
            return list(await asyncio.gather(*looks))

    claims = run(work(), as_json=as_json, words="Looking who has them…")
    if as_json:
        output.emit_json({"ports": [_claim_shape(claim) for claim in claims]})
        return
    shown = [claim for claim in claims if ports or claim.verdict is not Verdict.FREE]
    for claim in shown:
        output.say(claim.sentence)
    if len(shown) < len(claims):
        free = [str(claim.port) for claim in claims if claim not in shown]
        output.say(f"Free: {', '.join(free)}.")


# --- What the commands stand on ---------------------------------------------------------------------------


class _House:
    """The two programs as the settings describe them, and the person in front of this terminal."""

    def __init__(self, yes: bool) -> None:
        self._yes = yes

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["_House"]:
        self._settings: LLMSettings = (await asyncio.to_thread(load_settings)).settings.llm
        self.http = Http(allow_network=False)
        self.around = Surroundings(self.http, os.environ, Deadlines(), describe_owner)
        lm_studio = self._settings.lmstudio
        self.lm_studio = LMStudio(
            self.around, appimage_path=lm_studio.appimage_path, virtual=lm_studio.use_xvfb
        )
        self.ollama = Ollama(self.around)
        try:
            yield self
        finally:
            await self.http.aclose()

    def port_of(self, program: str, given: int | None) -> int:
        """Where its server is to be. Raises `EngineError` where the settings name another computer."""
        if given is not None:
            return given
        if program == "lm_studio":
            return self._settings.lmstudio.port
        written = self._settings.ollama.base_url or configured.ollama_url(os.environ.get("OLLAMA_HOST", ""))
        address = parse_url(written)
        if address.reach is not Reach.THIS_MACHINE:
            raise EngineError(
                f"Ollama is set to be on another computer: {address.netloc}.",
                "This app starts programs on this computer only.",
                "Give a --port to use one here, or correct llm.ollama.base_url or OLLAMA_HOST.",
                cause="elsewhere",
            )
        return address.port

    async def consent(
        self, program: str, verb: Verb, target: str = "", waiting: output.Waiting | None = None
    ) -> Consent:
        """The person's yes. Raises `EngineError` where nobody can be asked, `Failed` after a no."""
        if waiting is not None:
            waiting.stop()
        consent = await ask(Action(program, verb, target), _person(self._yes))
        if consent is None:
            output.note("Nothing was done.")
            raise Failed
        return consent

    async def running(self, program: str, port: int, waiting: output.Waiting) -> Running | None:
        """Its server, where it runs already."""
        if program == "lm_studio":
            return await self.lm_studio.running(port)
        is_there = await self.ollama.version(port) is not None
        return Running(program, port, was_there=True) if is_there else None

    async def start(
        self, program: str, port: int, lifetime: Lifetime, *, own: bool, waiting: output.Waiting
    ) -> Running:
        """Start it, after a yes."""
        serves = own and program == "ollama"
        consent = await self.consent(program, "serve" if serves else "start", str(port), waiting)
        waiting.say(f"Starting {_name(program)}…")
        if program == "lm_studio":
            return await self.lm_studio.start(port, consent, lifetime=lifetime)
        start = self.ollama.serve if serves else self.ollama.start
        return await start(port, consent, lifetime=lifetime)

    async def load(self, program: str, port: int, model: str, minutes: int | None) -> Loaded:
        """Load a model, after a yes."""
        consent = await self.consent(program, "load", model)
        seconds = None if minutes is None else minutes * 60
        with output.progress(f"Loading {model}…"):
            if program == "lm_studio":
                return await self.lm_studio.load(model, consent, idle_seconds=seconds)
            return await self.ollama.load(model, port, consent, idle_seconds=seconds)


def _person(yes: bool) -> Callable[[Action], Awaitable[bool]]:
    async def answer(action: Action) -> bool:
        if yes:
            return True
        if not sys.stdin.isatty():
            raise EngineError(
                "Nothing was done: it needs a yes, and there is no terminal to ask in.",
                f"The question is: {action.question}",
                "Add --yes to say it beforehand.",
                cause="not_asked",
            )
        return bool(click.confirm(action.question, default=False, err=True))

    return answer


async def _stay(child: Guarded, *, as_json: bool) -> None:
    """Until Ctrl-C, or until the program ends by itself."""
    if not as_json:
        output.say("It runs here until Ctrl-C.")
    ending = asyncio.Event()
    if sys.platform != "win32":
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, ending.set)
    while child.alive and not ending.is_set():
        try:
            async with asyncio.timeout(Deadlines().engine_watch):
                await ending.wait()
        except TimeoutError:
            continue
    if not ending.is_set():
        output.note("It has ended by itself.")
        raise Failed


def _tell_running(running: Running, loaded: Loaded | None, *, as_json: bool) -> None:
    name = _name(running.program)
    shape = {
        "program": running.program,
        "url": running.url,
        "port": running.port,
        "was_running": running.was_there,
        "process": running.child.pid if running.child else None,
        "note": running.note,
        "model": None if loaded is None else _loaded_shape(loaded),
    }
    already = " already" if running.was_there else ""
    sentence = f"{name} runs{already} on port {running.port}."
    told = [sentence, running.note, _loaded_sentence(running.program, loaded) if loaded else ""]
    _tell_done(as_json, shape, " ".join(part for part in told if part))


def _tell_done(as_json: bool, shape: object, sentence: str) -> None:
    if as_json:
        output.emit_json(shape)
    else:
        output.say(sentence)
    sys.stdout.flush()


def _loaded_shape(loaded: Loaded) -> dict[str, object]:
    return {"name": loaded.name, "context_length": loaded.context_length, "was_loaded": loaded.was_there}


def _loaded_sentence(program: str, loaded: Loaded) -> str:
    already = "already loaded" if loaded.was_there else "loaded"
    room = f" with {loaded.context_length:,} tokens of context" if loaded.context_length else ""
    return f"{loaded.name} is {already} in {_name(program)}{room}."


def _claim_shape(claim: Claim) -> dict[str, object]:
    owner, server = claim.owner, claim.server
    return {
        "port": claim.port,
        "verdict": claim.verdict.value,
        "owner": owner
        and {
            "program": owner.program,
            "process": owner.pid,
            "user": owner.user,
            "whose": owner.whose.value,
            "address": owner.address,
        },
        "server": server and {"id": server.id, "name": server.name, "version": server.version},
        "sentence": claim.sentence,
    }


def _name(program: str) -> str:
    return IDENTITIES[program].name
