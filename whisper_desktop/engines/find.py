"""Finding a llama-server program, and what the one found can do."""

import asyncio
import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from whisper_desktop.engines.command import child_folder, scrubbed
from whisper_desktop.engines.log import EngineLog
from whisper_desktop.engines.process import spawn
from whisper_desktop.values import Deadlines

_PROGRAM = "llama-server"
# Programs started from a desktop on macOS do not get the shell's PATH.
_MORE_FOLDERS = ("/opt/homebrew/bin", "/usr/local/bin") if sys.platform == "darwin" else ()
_OUTPUT_LIMIT = 1_000_000
_FLAG = re.compile(r"(?<![\w-])--?[a-zA-Z][\w-]*")


@dataclass(frozen=True, slots=True)
class Binary:
    """What a llama-server says of itself. `flags` are those that its help lists, with and without values."""

    version: str
    flags: frozenset[str]


class NotUsable(Exception):
    """The program cannot be run or is not a llama-server; the text is a sentence that says what it did."""


def find_binary(settings_value: str | Path | None, path: str | None = None) -> Path | None:
    """The llama-server to use, or None for the built-in engine.

    What the person set is obeyed even when it is not there: starting it then says so, which is better than
    quietly using another one. `path` replaces the PATH variable.
    """
    if settings_value is not None and str(settings_value).strip():
        given = Path(str(settings_value).strip()).expanduser().absolute()
        return given / _file_name() if given.is_dir() else given
    searched = os.environ.get("PATH", os.defpath) if path is None else path
    found = shutil.which(_PROGRAM, path=os.pathsep.join((searched, *_MORE_FOLDERS)))
    return Path(found).absolute() if found else None


def _file_name() -> str:
    return f"{_PROGRAM}.exe" if sys.platform == "win32" else _PROGRAM


async def ask(binary: Path, deadlines: Deadlines) -> Binary:
    """What `binary` says of itself, asked once for each version of the file. Raises `NotUsable`."""
    try:
        stat = await asyncio.to_thread(binary.stat)
    except OSError as error:
        raise NotUsable(f"The system says: {error.strerror}.") from None
    mark = (binary, stat.st_mtime_ns, stat.st_size)
    if mark not in _answers:
        version = await _output(binary, "--version", deadlines)
        _answers[mark] = parse(version, await _output(binary, "--help", deadlines))
    return _answers[mark]


_answers: dict[tuple[Path, int, int], Binary] = {}


def parse(version_text: str, help_text: str) -> Binary:
    """From the outputs of `--version` and `--help`. Raises `NotUsable` when they are not a llama-server's."""
    flags = flags_in(help_text)
    if not {"--model", "--port", "--ctx-size"} <= flags:
        raise NotUsable("Its help does not list the options of a llama-server.")
    version = next((line for line in version_text.splitlines() if line.startswith("version:")), "")
    return Binary(version.removeprefix("version:").strip() or "unknown", flags)


def flags_in(help_text: str) -> frozenset[str]:
    """The flags at the start of the help's entries: `-c,    --ctx-size N     size of the prompt context`."""
    entries = (line for line in help_text.splitlines() if line.startswith("-"))
    return frozenset(flag for line in entries for flag in _FLAG.findall(re.split(r" {2,}(?![- ])", line)[0]))


async def _output(binary: Path, flag: str, deadlines: Deadlines) -> str:
    """What the program prints, on either output. It and everything it started are ended at the deadline."""
    log = EngineLog(None, ring_bytes=_OUTPUT_LIMIT)
    try:
        process = await spawn([str(binary), flag], env=scrubbed(os.environ), folder=child_folder(), log=log)
    except OSError as error:
        raise NotUsable(f"The system says: {error.strerror}.") from None
    try:
        await asyncio.wait({process.exited}, timeout=deadlines.engine_ask)
        if process.alive:
            process.kill()
            await asyncio.wait({process.exited}, timeout=deadlines.drain)
            raise NotUsable(f"It did not answer to {flag} within {deadlines.engine_ask:g} s.")
        await process.finish(deadlines)
    finally:
        process.kill()
    return "\n".join(log.since(0))
