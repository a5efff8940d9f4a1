"""Which published file is right for this computer. Pure: names, and what the computer has.

Names have changed over the years, toolkits change with every few months, so nothing is matched as a whole:

    llama-b11549-bin-ubuntu-x64.tar.gz              processor only
    llama-b11549-bin-ubuntu-vulkan-x64.tar.gz       and any graphics card whose driver has Vulkan
    llama-b11549-bin-win-cuda-13.4-x64.zip          and NVIDIA, with cudart-llama-bin-win-cuda-13.4-x64.zip
    llama-b4585-bin-win-cuda-cu12.4-x64.zip         the same, early 2025
    llama-b4585-bin-win-avx2-x64.zip                processor only, before one file served all processors

CUDA builds for Linux are published since September 2026. All CUDA builds need NVIDIA's libraries beside them
(`cudart-…`); ROCm builds for Linux need AMD's, of the same version, installed by the person, so they are
taken only where somebody asks for one. Neither was run here.
"""

import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from whisper_desktop.engines.builds.releases import Asset, Release
from whisper_desktop.language import tr
from whisper_desktop.values import GpuInfo, ResourceInfo

_NAME = re.compile(
    r"llama-(?P<tag>[\w.]+)-bin-(?P<system>win|ubuntu|macos)(?:-(?P<variant>[\w.-]+?))?-(?P<arch>x64|arm64|s390x)"
    r"\.(?:zip|tar\.gz)"
)
_RUNTIME = re.compile(
    r"cudart-llama-(?:[\w.]+-)?bin-(?P<system>win|ubuntu)-(?:cuda-)?(?:cu)?(?P<toolkit>[\d.]+)-(?P<arch>x64|arm64)"
    r"\.(?:zip|tar\.gz)"
)
_TOOLKIT = re.compile(r"cuda-(?:cu)?(\d{1,3})((?:\.\d{1,3})*)")

_SYSTEMS = {"Linux": "ubuntu", "Windows": "win", "macOS": "macos"}
_ARCHITECTURES = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64", "s390x": "s390x"}

# In the order of preference. Before llama.cpp chose at run time there was one for each kind of processor;
# all that can run the app can run avx2, or else noavx.
_PROCESSOR = ("cpu", "avx2", "noavx")

_LEAST_DRIVER = {13: 580, 12: 528}
"""The first number of NVIDIA's driver that a CUDA toolkit needs. NVIDIA's table (CUDA compatibility, minor
versions) says 580 for 13.x, and for 12.x 525 on Linux and 527.41 on Windows. Not tried on cards here.
"""

# From CUDA 13 on there is no code for cards before Turing (2018). These names are Turing's or newer; a card
# with another name gets a CUDA 12 build, which has code for old and new ones.
_TURING_OR_NEWER = re.compile(
    r"\bRTX\b|\bGTX 16\d\d\b|\b(?:T4G?|T\d{3,4}|A\d{1,4}[A-Z]?|L\d{1,2}S?|G?[BH]\d{2,3})\b", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Choice:
    """One build that could be installed: its archive, what has to lie beside it, and why this one.

    `variant` is what it can use besides the processor ("vulkan", "cuda-12.8", "cpu"); `reason` a sentence.
    """

    release: Release
    variant: str
    archives: tuple[Asset, ...]
    reason: str

    @property
    def name(self) -> str:
        """What the build is called when it is installed: "b11549-vulkan"."""
        return f"{self.release.tag}-{self.variant}"

    @property
    def download_bytes(self) -> int | None:
        """How much has to be downloaded, where the list tells."""
        sizes = [archive.size for archive in self.archives]
        return None if None in sizes else sum(size for size in sizes if size)

    @property
    def needs_card(self) -> bool:
        """Whether it makes no sense where it sees no graphics card."""
        return self.variant not in (*_PROCESSOR, "metal")


def best_choices(
    releases: Sequence[Release], resources: ResourceInfo, gpu: GpuInfo | None
) -> tuple[Choice, ...]:
    """What to install here, the best first, at most one of each kind; empty where nothing fits.

    `gpu` is the card that counts (None: none does). The kind counts for more than the release: while one is
    being published, its builds for graphics cards may be missing for an hour.
    """
    kinds = (_Kind(kind, resources, gpu) for kind in _kinds(resources, gpu))
    found = (next(filter(None, map(kind.of, releases)), None) for kind in kinds)
    return tuple(choice for choice in found if choice is not None)


def named_choice(releases: Sequence[Release], resources: ResourceInfo, variant: str) -> Choice | None:
    """The newest build of the variant that a person asked for: "vulkan", "cuda-12.8", "cuda" (the newest)."""
    wanted = variant.strip().lower()
    for release in releases:
        builds = _builds(release, resources)
        names = [name for name in builds if name == wanted or name.startswith(f"{wanted}-")]
        if names:
            name = wanted if wanted in builds else max(names, key=_numbers)
            return Choice(release, name, builds[name], tr("You asked for it."))
    return None


def variants(releases: Sequence[Release], resources: ResourceInfo) -> tuple[str, ...]:
    """All variants that are published for this system and processor, whether or not they would run."""
    return tuple(dict.fromkeys(name for release in releases for name in sorted(_builds(release, resources))))


def _builds(release: Release, resources: ResourceInfo) -> dict[str, tuple[Asset, ...]]:
    """The release's builds for this system and processor, by variant. Only those that can be checked."""
    system = _SYSTEMS.get(resources.os_name, "")
    arch = _ARCHITECTURES.get(resources.arch.lower(), "")
    known = [asset for asset in release.assets if asset.sha256 is not None]
    runtimes = {
        match["toolkit"]: asset
        for asset in known
        if (match := _RUNTIME.fullmatch(asset.name)) and (match["system"], match["arch"]) == (system, arch)
    }
    builds: dict[str, tuple[Asset, ...]] = {}
    for asset in known:
        match = _NAME.fullmatch(asset.name)
        if match is None or (match["system"], match["arch"]) != (system, arch):
            continue
        plain = "metal" if (system, arch) == ("macos", "arm64") else "cpu"
        variant = (match["variant"] or plain).lower().replace("cuda-cu", "cuda-")
        if not variant.startswith("cuda-"):
            builds[variant] = (asset,)
        elif (runtime := runtimes.get(variant.removeprefix("cuda-"))) is not None:
            builds[variant] = (asset, runtime)
    return builds


def _kinds(resources: ResourceInfo, gpu: GpuInfo | None) -> tuple[str, ...]:
    """The kinds of build that make sense here, the best first."""
    if resources.os_name == "macOS":
        return ("metal", "processor")
    if gpu is None:
        return ("processor", "vulkan")
    return ("cuda", "vulkan", "processor") if gpu.vendor == "NVIDIA" else ("vulkan", "processor")


@dataclass(frozen=True, slots=True)
class _Kind:
    """One kind of build, for one computer."""

    kind: str
    resources: ResourceInfo
    gpu: GpuInfo | None

    def of(self, release: Release) -> Choice | None:
        """The release's build of this kind."""
        builds = _builds(release, self.resources)
        variant = self._variant(builds)
        return None if variant is None else Choice(release, variant, builds[variant], self._reason(variant))

    def _variant(self, names: Iterable[str]) -> str | None:
        names = tuple(names)
        if self.kind == "processor":
            return next((name for name in _PROCESSOR if name in names), None)
        if self.kind == "cuda":
            return max(filter(self._cuda_runs, names), key=_numbers, default=None)
        return self.kind if self.kind in names else None

    def _cuda_runs(self, variant: str) -> bool:
        """Whether the cards and their driver can run this build. Without a driver's number: no."""
        toolkit = _TOOLKIT.fullmatch(variant)
        driver = re.match(r"(\d{3,4})(?:\.|$)", (self.gpu.driver if self.gpu else None) or "")
        if toolkit is None or driver is None:
            return False
        major = int(toolkit[1])
        cards = [card for card in self.resources.gpus if card.vendor == "NVIDIA"]
        too_old = major >= 13 and not all(_TURING_OR_NEWER.search(card.name) for card in cards)
        return not too_old and int(driver[1]) >= _LEAST_DRIVER.get(major, sys.maxsize)

    def _reason(self, variant: str) -> str:
        if self.kind == "metal":
            return tr("It uses this Mac's graphics through Metal.")
        if self.gpu is None or self.resources.os_name == "macOS":
            if self.kind == "processor":
                return tr("No graphics card of this computer helps, so models run on the processor.")
            return tr("It tries the graphics card, although that is likely to be slower than the processor.")
        if self.kind == "cuda":
            return tr(
                "It uses {gpu_name} through CUDA {numbers}, for which NVIDIA's driver {driver} is "
                "new enough.",
                gpu_name=self.gpu.name,
                numbers=_numbers(variant)[0],
                driver=self.gpu.driver,
            )
        if self.kind == "vulkan":
            return tr(
                "It uses {gpu_name} through Vulkan, which the graphics driver brings along.",
                gpu_name=self.gpu.name,
            )
        return tr("It runs models on the processor, which is slower than the graphics card.")


def _numbers(variant: str) -> tuple[int, ...]:
    """ "cuda-12.8" as (12, 8), so that 12.10 is more than 12.8."""
    return tuple(int(number) for number in re.findall(r"\d{1,6}", variant))
