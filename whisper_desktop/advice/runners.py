"""Which programs can run a model on this computer, what each one can do, and which one is the default.

The base rule: 16 GB and a usable graphics processor -> LM Studio with 7B to 13B; 8 GB -> Ollama with 3B to
7B; less -> OpenRouter, or a 1B model without a network.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from whisper_desktop.models.catalogue import CatalogueModel
from whisper_desktop.models.fit import Fit
from whisper_desktop.models.graphics import GraphicsVerdict, judge_graphics
from whisper_desktop.values import GIB, Reach, ResourceInfo, ServerInfo, ServerStatus

# Computers sold with 16 or 8 GB report less: 13.9 to 15.9 GiB, and from 7.0 GiB on.
TIER_16 = 13.5 * GIB
TIER_8 = 6.8 * GIB

PROGRAMS = ("lm_studio", "ollama", "builtin")
"""The programs that run a model of the catalogue on this computer."""


_LM_STUDIO_SYSTEMS = ("Windows", "macOS", "Linux")


@dataclass(frozen=True, slots=True)
class Situation:
    """A computer as the base rule sees it. `tier` is 16, 8 or 0; `base` the id of the default program."""

    resources: ResourceInfo
    graphics: GraphicsVerdict
    tier: int
    runs_lm_studio: bool

    @property
    def base(self) -> str:
        """The default program, "openrouter" where no good model fits."""
        if self.tier == 16 and self.graphics.usable is not None and self.runs_lm_studio:
            return "lm_studio"
        return "ollama" if self.tier >= 8 else "openrouter"

    @property
    def programs(self) -> tuple[str, ...]:
        """The programs that can run a model here, the default one first."""
        if self.base == "lm_studio":
            return ("lm_studio", "builtin", "ollama")
        return ("ollama", "builtin", "lm_studio") if self.runs_lm_studio else ("ollama", "builtin")


def situation_of(resources: ResourceInfo) -> Situation:
    """What the base rule goes by. Pure."""
    memory = max(resources.ram_total_bytes, resources.ram_installed_bytes or 0)
    if resources.container_limit_bytes is not None:
        memory = resources.ram_total_bytes
    return Situation(
        resources,
        judge_graphics(resources),
        16 if memory >= TIER_16 else 8 if memory >= TIER_8 else 0,
        _runs_lm_studio(resources),
    )


def _runs_lm_studio(machine: ResourceInfo) -> bool:
    """LM Studio is a desktop app that needs AVX2 on x86 and does not support Intel Macs."""
    intel_mac = machine.os_name == "macOS" and machine.arch != "arm64"
    if not machine.has_display or machine.os_name not in _LM_STUDIO_SYSTEMS or intel_mac:
        return False
    x86 = machine.arch.lower() in ("x86_64", "amd64")
    return not (x86 and machine.cpu_features and "avx2" not in machine.cpu_features)


def running_here(servers: Iterable[ServerInfo]) -> frozenset[str]:
    """The ids of the servers that run on this computer; the app's own engine is always at hand."""
    up = (ServerStatus.AVAILABLE, ServerStatus.NO_MODELS, ServerStatus.LOADING)
    return frozenset(
        server.id
        for server in servers
        if server.id != "builtin" and server.reach is Reach.THIS_MACHINE and server.status in up
    )


def can_do(program: str, model: CatalogueModel, fit: Fit) -> bool:
    """Whether that program can fetch the model and place it so.

    LM Studio's server decides itself how much goes to a graphics card: it has no option that keeps the
    experts of a mixture in the computer's own memory, and none that keeps everything off the card. Ollama
    does not pull a repository's model that lies in several files.
    """
    if program == "ollama":
        return model.pulls_with_ollama
    if program == "lm_studio":
        return fit.placement.experts_on_host == 0 and (fit.mode != "cpu" or not any(fit.budget.gpus))
    return True


def needs_build(program: str, fit: Fit, graphics: GraphicsVerdict) -> bool:
    """Whether the app's own engine can place a model so only with a llama.cpp build: the one that is built
    in uses Apple's graphics and no other, and keeps experts with their layers.
    """
    if program != "builtin" or not fit.placement.layers_on_gpus:
        return False
    apple = graphics.usable is not None and graphics.usable.vendor == "Apple"
    return fit.mode == "experts" or not apple


def name_on(program: str, model: CatalogueModel) -> str:
    """The model's name as that program knows it, or as it is asked to fetch it."""
    return {"ollama": model.ollama_name, "lm_studio": model.lm_studio_name}.get(program, model.id)


def title_on(program: str, model: CatalogueModel) -> str:
    """What a person looks for in LM Studio, what Ollama is told to pull."""
    return model.ollama_name if program == "ollama" else model.id
