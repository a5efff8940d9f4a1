"""A machine described in a file, to ask what would suit a computer that is not this one.

YAML or JSON, every name but `ram_gb` optional:

    name: Gaming laptop
    os: Windows              # Windows, macOS or Linux
    arch: x86_64             # or arm64
    cpu: Core i7-13620H      # its name tells how fast the memory is
    cpu_features: [avx2]
    cores: 10
    ram_gb: 16               # as it is sold: GB here are GiB
    display: true
    gpus:
      - {name: RTX 4050 Laptop, vram_gb: 6, vendor: NVIDIA, unified: false}
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Never

from whisper_desktop.errors import SettingsError
from whisper_desktop.language import tr
from whisper_desktop.settings.yaml_text import plain_value
from whisper_desktop.values import GIB, GpuInfo, ResourceInfo

MAX_CHARACTERS = 100_000
_MOST_GPUS = 16
_SOURCE = "profile"

_SYSTEMS = {"windows": "Windows", "macos": "macOS", "darwin": "macOS", "linux": "Linux"}
_ARCHITECTURES = {
    "x86_64": "x86_64",
    "amd64": "x86_64",
    "x64": "x86_64",
    "arm64": "arm64",
    "aarch64": "arm64",
}
_VENDORS = {"nvidia": "NVIDIA", "amd": "AMD", "intel": "Intel", "apple": "Apple"}
_BY_NAME = (
    (re.compile(r"nvidia|geforce|\brtx\b|\bgtx\b|quadro|tesla|\bgb10\b", re.IGNORECASE), "NVIDIA"),
    (re.compile(r"apple|\bm\d\b", re.IGNORECASE), "Apple"),
    (re.compile(r"\bamd\b|radeon|\brx\b|\d{3}m\b", re.IGNORECASE), "AMD"),
    (re.compile(r"intel|\barc\b|\biris\b|\buhd\b|\bhd\b", re.IGNORECASE), "Intel"),
)
_NAMES = frozenset({"name", "os", "arch", "cpu", "cpu_features", "cores", "ram_gb", "display", "gpus"})
_GPU_NAMES = frozenset({"name", "vram_gb", "vendor", "unified"})


@dataclass(frozen=True, slots=True)
class MachineProfile:
    """A described computer, and what it is called."""

    name: str
    resources: ResourceInfo


def read_profile(text: str, where: str) -> MachineProfile:
    """The machine that a profile's text describes. `where` is the file's name, for the sentences.

    Raises `SettingsError` with what is wrong and what is expected.
    """
    if len(text) > MAX_CHARACTERS:
        raise SettingsError(
            tr("{where} is no machine profile: it is too long for one.", where=where), next_step=_EXAMPLE
        )
    told = plain_value(text)
    if not isinstance(told, dict):
        raise SettingsError(
            tr("{where} is no machine profile.", where=where), tr("It has no `name: value` lines."), _EXAMPLE
        )
    return profile_of(told, where)


def profile_of(told: Mapping[Any, Any], where: str) -> MachineProfile:
    """The machine that these values describe. Raises `SettingsError` as `read_profile` does."""
    fields = _Fields(told, where, "", _NAMES)
    ram = int(fields.number("ram_gb", 0.25, 4096, required=True) * GIB)
    system = fields.one_of("os", _SYSTEMS, "Linux")
    arch = fields.one_of("arch", _ARCHITECTURES, "arm64" if system == "macOS" else "x86_64")
    entries = fields.listed("gpus", _MOST_GPUS)
    gpus = [_gpu(entry, where, f"gpus[{at}].", ram) for at, entry in enumerate(entries, 1)]
    cores = int(fields.number("cores", 1, 1024, 4))
    apple = next((gpu.name for gpu in gpus if gpu.vendor == "Apple"), "")
    features = fields.listed("cpu_features", 64) if "cpu_features" in told else _usual_features(arch)
    resources = ResourceInfo(
        os_name=system,
        os_version="",
        arch=arch,
        cpu_name=fields.text("cpu", apple or tr("A processor")),
        cores_physical=cores,
        cores_logical=cores,
        ram_total_bytes=ram,
        ram_available_bytes=ram,
        cpu_features=tuple(str(feature).lower() for feature in features),
        gpus=tuple(gpus),
        has_display=fields.yes("display", True),
    )
    return MachineProfile(fields.text("name", where), resources)


def _gpu(told: object, where: str, prefix: str, ram: int) -> GpuInfo:
    if not isinstance(told, Mapping):
        _refuse(where, prefix.rstrip("."), tr("has to have a name and vram_gb"), "")
    fields = _Fields(told, where, prefix, _GPU_NAMES)
    name = fields.text("name", "")
    if not name:
        _refuse(where, prefix + "name", tr("is missing"), "RTX 4060")
    known = next((vendor for pattern, vendor in _BY_NAME if pattern.search(name)), None)
    if known is None and "vendor" not in told:
        _refuse(
            where, prefix + "vendor", tr("is missing, and “{name}” does not tell it", name=name), "NVIDIA"
        )
    vendor = fields.one_of("vendor", _VENDORS, known or "")
    unified = fields.yes("unified", vendor == "Apple")
    if not unified or "vram_gb" in told:
        memory = int(fields.number("vram_gb", 0, 4096, required=True) * GIB)
    else:
        memory = _share_of(ram, vendor)
    return GpuInfo(vendor, name, min(memory, ram) if unified else memory, unified=unified, source=_SOURCE)


def _share_of(ram: int, vendor: str) -> int:
    """What a graphics part may take of the computer's memory, where the profile does not say."""
    if vendor == "Apple":
        return ram * 2 // 3 if ram <= 32 * GIB else ram * 3 // 4
    return ram // 2


def _usual_features(arch: str) -> list[object]:
    return ["avx2"] if arch == "x86_64" else []


class _Fields:
    """The values of one mapping, each checked; what is wrong is said by name."""

    def __init__(self, told: Mapping[Any, Any], where: str, prefix: str, names: frozenset[str]) -> None:
        self._told, self._where, self._prefix = told, where, prefix
        for name in told:
            if name not in names:
                known = ", ".join(sorted(names))
                _refuse(
                    where,
                    f"{prefix}{str(name)[:60]}",
                    tr("is not known. Known are: {known}", known=known),
                    "",
                )

    def number(
        self, name: str, low: float, high: float, usual: float = 0, *, required: bool = False
    ) -> float:
        """A number between the two."""
        value = self._told.get(name)
        if value is None:
            if required:
                _refuse(self._where, self._prefix + name, tr("is missing"), "16")
            return usual
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            _refuse(
                self._where,
                self._prefix + name,
                tr("has to be a number from {low:g} to {high:g}", low=low, high=high),
                "16",
            )
        return float(value)

    def text(self, name: str, usual: str) -> str:
        """One line of text."""
        value = self._told.get(name, usual)
        if isinstance(value, bool | list | dict) or value is None:
            _refuse(self._where, self._prefix + name, tr("has to be a line of text"), "RTX 4060")
        return " ".join(str(value).split())[:200] or usual

    def yes(self, name: str, usual: bool) -> bool:
        """True or false."""
        value = self._told.get(name, usual)
        if not isinstance(value, bool):
            _refuse(self._where, self._prefix + name, tr("has to be true or false"), "true")
        return value

    def one_of(self, name: str, known: Mapping[str, str], usual: str) -> str:
        """One of the words that are known, in any case."""
        if name not in self._told:
            return usual
        found = known.get(str(self._told[name]).lower())
        if found is None:
            words = ", ".join(dict.fromkeys(known.values()))
            _refuse(
                self._where,
                self._prefix + name,
                tr("has to be one of {words}", words=words),
                next(iter(known.values())),
            )
        return found

    def listed(self, name: str, most: int) -> list[object]:
        """A list."""
        value = self._told.get(name, [])
        if not isinstance(value, list) or len(value) > most:
            _refuse(
                self._where,
                self._prefix + name,
                tr("has to be a list of at most {most}", most=most),
                _LISTED[name],
            )
        return value


_LISTED = {"gpus": "[{name: RTX 4060, vram_gb: 8}]", "cpu_features": "[avx2]"}
_EXAMPLE = "A profile is a file with lines such as `ram_gb: 16` and `gpus: [{name: RTX 4060, vram_gb: 8}]`."


def _refuse(where: str, name: str, what: str, example: str) -> Never:
    shown = (
        tr("For example: `{rsplit}: {example}`.", rsplit=name.rsplit(".", 1)[-1], example=example)
        if example
        else _EXAMPLE
    )
    raise SettingsError(f"{where}: `{name}` {what}.", next_step=shown, key=name, where=where)
