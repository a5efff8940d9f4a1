"""`lms`, the command-line tool of LM Studio: where it is, what it is asked, how its answers are read.

It speaks to people on standard error and to programs (`--json`) on standard output
(https://github.com/lmstudio-ai/lms). Everything but `server status` and `daemon status` starts LM Studio
where it does not run, so nothing else is called before somebody has agreed to that.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from whisper_desktop.engines.programs.lm_studio_home import lm_studio_home
from whisper_desktop.engines.programs.tool import Said, ToolFailed, run_tool
from whisper_desktop.errors import EngineError
from whisper_desktop.language import mark, tr
from whisper_desktop.values import Deadlines
from whisper_desktop.wire import fields

_LAST_PORT = 65535
_BY_HAND = mark("Open LM Studio and do it there, then look again.")
# commander.js, of a command or option that this version has not.
_UNKNOWN = ("unknown command", "unknown option", "too many arguments")


@dataclass(frozen=True, slots=True)
class Server:
    """LM Studio's HTTP server. `port` is the one it used last, None where it was never started."""

    running: bool
    port: int | None


@dataclass(frozen=True, slots=True)
class App:
    """LM Studio itself. `is_daemon`: without a window, so that `lms` can end it."""

    pid: int | None
    is_daemon: bool


@dataclass(frozen=True, slots=True)
class Model:
    """A model as `lms` lists it. `identifier` names a loaded instance, "" for one that is only on the disk.

    `is_here`: on this computer, not on another one that LM Studio is linked with.
    """

    key: str
    identifier: str
    context_length: int | None
    is_here: bool


def find_lms(home: Path, env: Mapping[str, str], *, platform: str) -> Path | None:
    """The tool: in LM Studio's folder, else on PATH."""
    name = "lms.exe" if platform == "win32" else "lms"
    own = lm_studio_home(home) / "bin" / name
    if own.is_file():
        return own
    found = shutil.which(name, path=env.get("PATH"))
    return Path(found) if found else None


class Lms:
    """Asks and orders by the tool. Everything raises `EngineError`."""

    def __init__(self, path: Path, env: Mapping[str, str], deadlines: Deadlines) -> None:
        self._path = path
        self._env = env
        self._deadlines = deadlines

    async def server(self) -> Server:
        """Whether the server runs, as far as the tool knows: it looks only at the port used last."""
        said = fields.table(await self._json(dict, "server", "status"))
        port = fields.count(said.get("port"))
        return Server(said.get("running") is True, port if port and port <= _LAST_PORT else None)

    async def app(self) -> App | None:
        """LM Studio, where it runs."""
        said = await self._run(("daemon", "status", "--json"), self._deadlines.engine_ask)
        if _is_unknown(said):  # older than the daemon: then the server is the only sign there is
            return App(None, is_daemon=False) if (await self.server()).running else None
        return _app(fields.table(said.json))

    async def wake(self) -> App | None:
        """Start LM Studio where it does not run; None where a tool without that command leaves it to
        `start_server`.
        """
        said = await self._run(("daemon", "up", "--json"), self._deadlines.program_start)
        if _is_unknown(said):
            return None
        if said.code != 0:
            raise refused("start", said)
        return _app(fields.table(said.json))

    async def start_server(self, port: int) -> EngineError | None:
        """Start the server; the error is returned, because the server may get ready after all."""
        said = await self._run(("server", "start", "--port", str(port)), self._deadlines.program_start)
        return refused(tr("start its server"), said) if said.code != 0 else None

    async def stop_server(self) -> None:
        """Stop the server."""
        said = await self._run(("server", "stop"), self._deadlines.engine_ask)
        if said.code != 0:
            raise refused(tr("stop its server"), said)

    async def end_daemon(self) -> None:
        """End LM Studio where it runs without a window."""
        said = await self._run(("daemon", "down"), self._deadlines.engine_ask)
        if said.code != 0:
            raise refused(tr("end"), said)

    async def models(self) -> tuple[Model, ...]:
        """What is on the disk."""
        return _models(await self._json(list, "ls"))

    async def loaded(self) -> tuple[Model, ...]:
        """What is loaded."""
        return tuple(model for model in _models(await self._json(list, "ps")) if model.identifier)

    async def load(self, key: str, options: Sequence[str]) -> Said:
        """Load a model, never asking back. It takes whatever model resembles `key`: see what was loaded."""
        return await self._run(("load", key, "--yes", *options), self._deadlines.model_load)

    async def unload(self, identifier: str) -> Said:
        """Unload an instance. A name that it does not know is no failure to it: see what is still loaded."""
        return await self._run(("unload", identifier), self._deadlines.engine_ask)

    async def _json(self, kind: type, *words: str) -> object:
        said = await self._run((*words, "--json"), self._deadlines.engine_ask)
        told = said.json
        if said.code != 0 and not _is_unknown(said):
            raise refused(tr("answer (lms {items})", items=" ".join(words)), said)
        if not isinstance(told, kind):
            raise EngineError(
                tr("LM Studio's command-line tool answers in a way that this app does not understand."),
                tr(
                    "It was asked: lms {items} --json. It is probably of another version.",
                    items=" ".join(words),
                ),
                tr("Update LM Studio. {by_hand}", by_hand=tr(_BY_HAND)),
                cause="tool_unknown",
            )
        return told

    async def _run(self, words: Sequence[str], timeout: float) -> Said:
        try:
            return await run_tool([str(self._path), *words], timeout=timeout, env=self._env)
        except ToolFailed as failed:
            raise EngineError(
                tr("LM Studio's command-line tool, {path}, {failed}.", path=self._path, failed=failed),
                tr("It was to do: lms {items}.", items=" ".join(words)),
                tr(_BY_HAND),
                cause="tool_stuck",
            ) from None


def refused(what: str, said: Said, meanwhile: str = "") -> EngineError:
    """The error for a tool that ended with one: LM Studio could not do `what`. `meanwhile` is a sentence on
    what else has happened, or empty.
    """
    cause: Literal["app_moved", "tool_refused"] = "tool_refused"
    detail, next_step = said.told or tr("It does not say why."), tr(_BY_HAND)
    if "ENOENT" in said.err and "spawn" in said.err:
        cause = "app_moved"
        detail = tr("It is no longer where its command-line tool looks for it, as after running an AppImage.")
        next_step = tr("Start LM Studio once by hand, or set llm.lmstudio.appimage_path to its AppImage.")
    return EngineError(
        tr("LM Studio could not {what}.", what=what), f"{detail} {meanwhile}".strip(), next_step, cause=cause
    )


def _is_unknown(said: Said) -> bool:
    return said.code != 0 and any(words in said.err.lower() for words in _UNKNOWN)


def _app(told: Mapping[str, object]) -> App | None:
    if told.get("status") != "running":
        return None
    return App(fields.count(told.get("pid")), told.get("isDaemon") is True)


def _models(listed: object) -> tuple[Model, ...]:
    entries = listed if isinstance(listed, list) else []
    found = (
        Model(
            key,
            fields.name(entry.get("identifier")) or "",
            fields.count(entry.get("contextLength")),
            entry.get("deviceIdentifier") is None,
        )
        for entry in entries
        if isinstance(entry, dict) and (key := fields.name(entry.get("modelKey")))
    )
    # Names go back to the tool, where one that begins with a dash would be an option ("unload --all").
    return tuple(model for model in found if not model.key.startswith("-") and model.identifier[:1] != "-")
