"""What a llama-server program can do, as it says itself. It is a stranger: everything about it is bounded."""

import asyncio
import re
from dataclasses import dataclass
from pathlib import Path

from whisper_desktop.engines.builds.answers import Binary, Mark, mark_of, recall, remember
from whisper_desktop.engines.output import output_of
from whisper_desktop.engines.spec import EngineSpec
from whisper_desktop.language import tr
from whisper_desktop.values import Deadlines

_QUOTED_LIMIT = 200
_MIB = 2**20

# What the child says that was to become the program.
_CANNOT_RUN_CODES = (126, 127)
_CANNOT_RUN = re.compile(r"whisper: cannot run '.*': (.+)")

_COLUMN = re.compile(r"(?<! ) {2,}(?![- ])")
_FLAG = re.compile(r"(?<![\w-])--?[a-zA-Z][\w-]*")
# `  CUDA0: NVIDIA GeForce RTX 4090 (24080 MiB, 23000 MiB free)`, as llama.cpp's common/arg.cpp prints it.
_DEVICE = re.compile(r"^ +(\S+): (.*) \((\d{1,9}) MiB, (\d{1,9}) MiB free\)$")


@dataclass(frozen=True, slots=True)
class Device:
    """A graphics processor that a build can use: "CUDA0", "NVIDIA GeForce RTX 4090", sizes in bytes."""

    id: str
    name: str
    total_bytes: int
    free_bytes: int


class NotUsable(Exception):
    """The program cannot be run or is not a llama-server; the text is a sentence that says what it did."""


_answers: dict[Mark, Binary] = {}
_devices: dict[Mark, tuple[Device, ...]] = {}


async def ask(binary: Path, deadlines: Deadlines) -> Binary:
    """What `binary` says of itself, asked once for each version of the file. Raises `NotUsable`."""
    mark = await _mark(binary)
    if mark not in _answers:
        told = await asyncio.to_thread(recall, mark)
        if told is None:
            told = await _asked(binary, deadlines)
            await asyncio.to_thread(remember, mark, told)
        _answers[mark] = told
    return _answers[mark]


async def _asked(binary: Path, deadlines: Deadlines) -> Binary:
    # Side by side, because a start waits for it; both to their end, so that neither is left behind.
    asking = (_output(binary, flag, deadlines) for flag in ("--version", "--help"))
    said = await asyncio.gather(*asking, return_exceptions=True)
    for each in said:
        if isinstance(each, BaseException):
            raise each
    version, help_text = (each for each in said if isinstance(each, str))
    return parse(version, help_text)


async def devices(binary: Path, deadlines: Deadlines) -> tuple[Device, ...]:
    """The graphics processors that `binary` can use, asked once for each version of the file.

    Apart from `ask`, which every start needs: this loads the drivers, which can take seconds. Raises
    `NotUsable`.
    """
    mark = await _mark(binary)
    if mark not in _devices:
        _devices[mark] = parse_devices(await _output(binary, "--list-devices", deadlines))
    return _devices[mark]


async def _mark(binary: Path) -> Mark:
    try:
        return await asyncio.to_thread(mark_of, binary)
    except OSError as error:
        raise NotUsable(tr("The system says: {strerror}.", strerror=error.strerror)) from None


def parse(version_text: str, help_text: str) -> Binary:
    """From the outputs of `--version` and `--help`. Raises `NotUsable` when they are not a llama-server's."""
    flags = flags_in(help_text)
    if not {"--model", "--port", "--ctx-size"} <= flags:
        said = next((line.strip() for line in help_text.splitlines() if line.strip()), "")
        quoted = tr(" It says: {part}.", part=said[:_QUOTED_LIMIT].rstrip(".")) if said else ""
        raise NotUsable(tr("Its help does not list the options of a llama-server.{quoted}", quoted=quoted))
    version = next((line for line in version_text.splitlines() if line.startswith("version:")), "")
    return Binary(version.removeprefix("version:").strip()[:_QUOTED_LIMIT] or "unknown", flags)


def flags_in(help_text: str) -> frozenset[str]:
    """The flags at the start of the help's entries: `-c,    --ctx-size N     size of the prompt context`."""
    entries = (line for line in help_text.splitlines() if line.startswith("-"))
    return frozenset(flag for line in entries for flag in _FLAG.findall(_COLUMN.split(line, 1)[0]))


def parse_devices(text: str) -> tuple[Device, ...]:
    """From the output of `--list-devices`; the drivers' own messages around the list are passed over.

    So are libraries that are listed as devices without memory, such as BLAS.
    """
    found = (_DEVICE.match(line) for line in text.splitlines())
    listed = (
        Device(match[1], match[2].strip(), int(match[3]) * _MIB, int(match[4]) * _MIB)
        for match in found
        if match
    )
    return tuple(device for device in listed if device.total_bytes)


async def _output(binary: Path, flag: str, deadlines: Deadlines) -> str:
    """What the program prints, on either output."""
    try:
        output = await output_of(EngineSpec(binary, binary.name, n_ctx=0, binary=binary), [flag], deadlines)
    except OSError as error:
        raise NotUsable(tr("The system says: {strerror}.", strerror=error.strerror)) from None
    if output.endless:
        raise NotUsable(tr("It prints without an end when asked for {flag}.", flag=flag))
    if output.code is None:
        raise NotUsable(
            tr(
                "It did not answer to {flag} within {engine_ask:g} s.",
                flag=flag,
                engine_ask=deadlines.engine_ask,
            )
        )
    said = "\n".join(output.lines)
    if output.code in _CANNOT_RUN_CODES and (cannot_run := _CANNOT_RUN.fullmatch(said)):
        raise NotUsable(tr("The system says: {cannot_run}.", cannot_run=cannot_run[1]))
    return said
