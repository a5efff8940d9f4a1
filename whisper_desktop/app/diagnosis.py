"""What can be said about this installation: is it well, what is there, what was changed.

`examine` are the checks, `diagnose` all of it. No key is in any of it; what else is private is taken out by
`app.redaction` before it leaves this computer.
"""

import asyncio
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from whisper_desktop.app.choices import status_words
from whisper_desktop.app.engine_words import status_lines
from whisper_desktop.errors import WhisperError
from whisper_desktop.language import gigabytes, in_use, tr, trn
from whisper_desktop.values import GB, GpuInfo, ResourceInfo, ServerInfo, ServerStatus

if TYPE_CHECKING:
    from whisper_desktop.app.core import App
    from whisper_desktop.settings import LoadedSettings, SettingInfo

_PROGRAM = "whisper-desktop"
_PARTS = ("PySide6-Essentials", "qasync", "xllamacpp", "httpx", "aiohttp", "keyring")
_LONGEST_VALUE = 300  # characters of a setting


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the examination. `ok` None: worth knowing, not a fault. `id` stays the same in every
    language.
    """

    id: str
    ok: bool | None
    detail: str
    next_step: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """What is known about one thing, a fact a line."""

    title: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The checks, and everything behind them."""

    checks: tuple[Check, ...]
    parts: tuple[Part, ...]

    @property
    def healthy(self) -> bool:
        """Whether nothing needs attention."""
        return all(check.ok is not False for check in self.checks)

    @property
    def text(self) -> str:
        """All of it, to copy."""
        marks = {True: tr("ok"), False: tr("PROBLEM"), None: tr("note")}
        lines = [
            f"{marks[check.ok]}  {check.id}: {f'{check.detail} {check.next_step}'.strip()}"
            for check in self.checks
        ]
        for part in self.parts:
            lines += ["", part.title, *(f"  {line}" for line in part.lines)]
        return "\n".join(lines) + "\n"


async def diagnose(app: "App") -> Diagnosis:
    """Everything that is known about this installation. Looks for servers; asks no model."""
    checks = await examine(app)
    resources = await app.resources()
    return Diagnosis(
        checks,
        (
            Part(tr("Versions"), _versions()),
            Part(tr("This computer"), _machine(resources)),
            Part(tr("Servers"), _servers(app.servers) or (tr("None were found."),)),
            Part(tr("Who answers"), _backends(app)),
            Part(tr("The app's own engine"), status_lines(app.engine_status())),
            Part(tr("Settings that are changed"), _changed(app.loaded) or (tr("None."),)),
        ),
    )


# --- Checks -------------------------------------------------------------------------------------------------


async def examine(app: "App") -> tuple[Check, ...]:
    """What a working app needs, and what to do about what is wrong."""
    keyring, resources, servers = await asyncio.gather(
        asyncio.to_thread(_keyring, app), app.resources(), app.scan()
    )
    return (
        *_settings(app),
        keyring,
        _display(resources),
        _usable(servers),
        *(Check("machine", None, warning) for warning in resources.warnings),
    )


def _settings(app: "App") -> list[Check]:
    problems = [
        Check("settings", False, f"{problem.title} {problem.detail}".strip(), problem.next_step)
        for problem in app.loaded.problems
    ]
    return problems or [Check("settings", True, tr("every value can be used"))]


def _keyring(app: "App") -> Check:
    return Check("keyring", True if app.secrets.persistent else None, app.secrets.explanation)


def _display(resources: ResourceInfo) -> Check:
    if resources.has_display:
        return Check("display", True, tr("a desktop answers"))
    return Check("display", None, tr("none here: the terminal is used instead of windows"))


def _usable(servers: Sequence[ServerInfo]) -> Check:
    usable = [server.name for server in servers if server.status is ServerStatus.AVAILABLE]
    if usable:
        return Check("servers", True, tr("can answer: {names}", names=", ".join(usable)))
    return Check(
        "servers", None, tr("none that can answer"), tr("`whisper-desktop recommend` says what to do.")
    )


def of_error(id_: str, error: WhisperError) -> Check:
    """The check that ended in this error."""
    return Check(id_, False, f"{error.title} {error.detail}".strip(), error.next_step)


# --- Parts --------------------------------------------------------------------------------------------------


def _versions() -> tuple[str, ...]:
    frozen = tr("bundled") if getattr(sys, "frozen", False) else tr("installed")
    own = f"Whisper Desktop {_version(_PROGRAM)}, {frozen}"
    parts = ", ".join(f"{part} {found}" for part in _PARTS if (found := _version(part)))
    language = tr("Language: {code}", code=in_use())
    return (own, f"Python {platform.python_version()}, {platform.platform()}", parts, language)


def _version(part: str) -> str:
    try:
        return version(part)
    except PackageNotFoundError:
        return ""


def _machine(found: ResourceInfo) -> tuple[str, ...]:
    cores = trn("one core", "{count} cores", found.cores_physical)
    lines = [
        f"{found.os_name} {found.os_version}, {found.arch}",
        tr(
            "Memory: {total:.1f} GB, {free:.1f} GB free",
            total=found.ram_total_bytes / GB,
            free=found.ram_available_bytes / GB,
        ),
        tr("Processor: {name}, {cores}", name=found.cpu_name, cores=cores),
        *(tr("Graphics: {name}", name=_gpu(gpu)) for gpu in found.gpus),
    ]
    return (*lines, *found.warnings)


def _gpu(gpu: GpuInfo) -> str:
    return gpu.name if gpu.total_bytes is None else f"{gpu.name}, {gigabytes(gpu.total_bytes)}"


def _servers(servers: Sequence[ServerInfo]) -> tuple[str, ...]:
    lines: list[str] = []
    for server in servers:
        models = ", ".join(model.id for model in server.models[:5])
        facts = [status_words(server.status), server.url, server.version or "", models, server.detail]
        lines.append(f"{server.name}: {' · '.join(fact for fact in facts if fact)}")
    return tuple(lines)


def _backends(app: "App") -> tuple[str, ...]:
    """The chain as it would be asked now, then each backend and why it stands as it does."""
    lines: list[str] = []
    for choice in app.backend_choices():
        chosen = tr("chosen") if choice.chosen else ""
        reach = choice.reach.words if choice.reach is not None else ""
        facts = [choice.detail, chosen, reach]
        lines.append(f"{choice.name}: {' · '.join(fact for fact in facts if fact)}")
    reach = app.loaded.settings.llm.reach.words
    return (*lines, tr("Prompts may go to: {reach}", reach=reach))


def _changed(loaded: "LoadedSettings") -> tuple[str, ...]:
    from whisper_desktop.settings import SETTINGS, Layer

    lines = []
    for info in SETTINGS.values():
        source = loaded.sources.get(info.key, Layer.DEFAULT)
        if source is not Layer.DEFAULT and not _keeps_to_itself(info):
            lines.append(f"{info.key}: {_shown(loaded.get(info.key))} ({source.value})")
    return tuple(lines)


def _keeps_to_itself(info: "SettingInfo") -> bool:
    """Where windows were says nothing to anybody."""
    return info.path == ("ui", "geometry")


def _shown(value: object) -> str:
    if isinstance(value, list | tuple):
        text = ", ".join(str(entry) for entry in value)
    elif isinstance(value, dict):
        text = ", ".join(f"{name}: {entry}" for name, entry in value.items())
    else:
        text = str(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"
