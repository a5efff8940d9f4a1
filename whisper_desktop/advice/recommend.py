"""The recommendation: machine + servers + catalogue -> what to use here, and the sentences that say why.

Base rule: 16 GB and a usable graphics processor -> LM Studio with 7B to 13B; 8 GB -> Ollama with 3B to 7B;
less -> OpenRouter, or a 1B model without a network. Guards: a model is only named when it fits; a server that
already runs with a model wins over installing another; LM Studio needs a desktop, AVX2, and no Intel Mac.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from whisper_desktop.advice.graphics import GraphicsVerdict, judge_graphics
from whisper_desktop.advice.steps import SETUP_URLS, links, load_steps, setup_steps
from whisper_desktop.models import Budget, CatalogueModel, Fit, best_fit, budget_for, load
from whisper_desktop.values import (
    GIB,
    IDENTITIES,
    Alternative,
    ModelInfo,
    Reach,
    ResourceInfo,
    ServerInfo,
    ServerStatus,
    SetupRecommendation,
)

# Computers sold with 16 or 8 GB report less: 13.9 to 15.9 GiB, and from 7.0 GiB on.
TIER_16 = 13.5 * GIB
TIER_8 = 6.8 * GIB

_LARGE = (6.5, 15.0)  # billions of parameters: the "7B to 13B" class
_MEDIUM = (1.8, 7.6)  # "3B to 7B", with the 2B models that stand beside them
_SMALL = (0.5, 1.8)  # "1B"
_CLASSICS = {
    "lm_studio": ("Llama-3.1-8B-Instruct", "Mistral-7B-Instruct-v0.3", "CodeLlama-7B-Instruct"),
    "ollama": ("Llama-3.2-3B-Instruct", "Phi-3-mini-4k-instruct", "gemma-2b-it"),
}
_NEWEST = 2  # how many of the best-scored models come before the classics
_OPENROUTER_MODELS = ("openrouter/auto", "meta-llama/llama-3.1-8b-instruct")
_IDLE_OVERHEAD = 1.2  # a model of unknown shape needs about this times its file, with cache and buffers


@dataclass(frozen=True, slots=True)
class _Situation:
    resources: ResourceInfo
    graphics: GraphicsVerdict
    budget: Budget
    tier: int
    servers: tuple[ServerInfo, ...]

    @property
    def lm_studio_runs_here(self) -> bool:
        """LM Studio is a desktop app that needs AVX2 on x86 and does not support Intel Macs."""
        machine = self.resources
        if not machine.has_display or (machine.os_name == "macOS" and machine.arch != "arm64"):
            return False
        x86 = machine.arch.lower() in ("x86_64", "amd64")
        return not (x86 and machine.cpu_features and "avx2" not in machine.cpu_features)


def get_recommended_setup(resources: ResourceInfo, servers: Sequence[ServerInfo]) -> SetupRecommendation:
    """What to use on this computer. Pure: the same machine and servers give the same advice."""
    graphics = judge_graphics(resources)
    memory = max(resources.ram_total_bytes, resources.ram_installed_bytes or 0)
    if resources.container_limit_bytes is not None:
        memory = resources.ram_total_bytes
    situation = _Situation(
        resources,
        graphics,
        budget_for(resources, graphics.usable),
        16 if memory >= TIER_16 else 8 if memory >= TIER_8 else 0,
        tuple(servers),
    )
    advice = _choice(situation)
    if advice.ready_model is not None:
        return advice
    return replace(advice, reasons=(*advice.reasons, *_not_used_unasked(servers)))


def _choice(situation: _Situation) -> SetupRecommendation:
    running = _running_choice(situation)
    if running is not None:
        return running
    server = _base_server(situation)
    fits = _class_for(server, situation) if server != "openrouter" else []
    if not fits:
        return _cloud_advice(situation)
    return _install_advice(server, fits, situation)


# --- A server that runs ------------------------------------------------------------------------------------


def _running_choice(situation: _Situation) -> SetupRecommendation | None:
    """The advice to use a server that runs here, with a model it has or, failing that, one to load."""
    here = [
        server
        for server in situation.servers
        if server.reach is Reach.THIS_MACHINE and server.id in IDENTITIES and server.id != "builtin"
    ]
    base = _base_server(situation)
    here.sort(key=lambda server: server.id != base)
    ready = [(server, model) for server in here for model in _ready_models(server, situation.budget)]
    ready.sort(key=lambda pair: not pair[1].loaded)
    if ready:
        return _ready_advice(*ready[0], situation)
    empty = [server for server in here if server.status is ServerStatus.NO_MODELS]
    for server in empty:
        kind = server.id if server.id in _CLASSICS else "lm_studio"
        fits = _class_for(kind, situation)
        if fits:
            return _load_advice(server, fits, situation)
    return None


def _not_used_unasked(servers: Sequence[ServerInfo]) -> tuple[str, ...]:
    """What runs too, but may pass prompts on."""
    unplaced = [server for server in servers if server.reach is None and server.chat_models]
    return tuple(
        f"{server.name} runs too, but it may pass prompts on to other computers, so it is not used unasked: "
        "the chat asks before it is used."
        for server in unplaced
        if server.status is ServerStatus.AVAILABLE
    )


def _ready_models(server: ServerInfo, budget: Budget) -> list[ModelInfo]:
    if server.status is not ServerStatus.AVAILABLE:
        return []
    room = budget.host if budget.unified else budget.gpu + budget.host
    return [
        model
        for model in server.chat_models
        if not model.remote
        and (model.loaded or model.size_bytes is None or model.size_bytes * _IDLE_OVERHEAD <= room)
    ]


def _ready_advice(server: ServerInfo, model: ModelInfo, situation: _Situation) -> SetupRecommendation:
    state = "has it loaded" if model.loaded else "has it on disk"
    others = [entry for entry in _ready_models(server, situation.budget) if entry.id != model.id]
    return SetupRecommendation(
        preferred_server=server.id,
        recommended_models=(model.id, *(entry.id for entry in others)),
        setup_url=SETUP_URLS.get(server.id, server.url),
        memory_note=_memory_note(situation.resources),
        reasons=(
            f"{server.name} already runs on this computer and {state}: nothing has to be installed.",
            *situation.graphics.remarks,
        ),
        steps=(f"Ask something: {server.name} answers with {model.id}.",),
        alternatives=_alternatives(situation, without=server.id),
        ready_model=model.id,
    )


def _load_advice(server: ServerInfo, fits: Sequence[Fit], situation: _Situation) -> SetupRecommendation:
    names = tuple(_name(server.id, fit.model) for fit in fits)
    return SetupRecommendation(
        preferred_server=server.id,
        recommended_models=names,
        setup_url=SETUP_URLS.get(server.id, server.url),
        memory_note=_memory_note(situation.resources),
        reasons=(
            f"{server.name} is running but has no model yet.",
            _fit_sentence(fits[0]),
            *situation.graphics.remarks,
        ),
        steps=load_steps(server.id, server.name, names[0]),
        download_links=links(server.id),
        alternatives=_alternatives(situation, without=server.id),
    )


# --- A server to install -----------------------------------------------------------------------------------


def _base_server(situation: _Situation) -> str:
    if situation.tier == 16 and situation.graphics.usable is not None and situation.lm_studio_runs_here:
        return "lm_studio"
    return "ollama" if situation.tier >= 8 else "openrouter"


def _class_for(server: str, situation: _Situation) -> list[Fit]:
    """The models of the server's class that fit, best first; the next smaller class where none does."""
    large = server == "lm_studio" and situation.tier == 16 and situation.graphics.usable is not None
    for bounds in (_LARGE, _MEDIUM, _SMALL) if large else (_MEDIUM, _SMALL):
        fits = _fitting(situation.budget, bounds)
        scored = [fit for fit in fits if fit.model.quality is not None]
        scored.sort(key=lambda fit: -(fit.model.quality or 0))
        classics = [fit for fit in fits if fit.model.id in _CLASSICS[server] and fit not in scored[:_NEWEST]]
        chosen = [*scored[:_NEWEST], *classics]
        if chosen:
            return chosen
    return []


def _fitting(budget: Budget, bounds: tuple[float, float]) -> list[Fit]:
    low, high = bounds
    candidates = [model for model in load() if low <= model.billions <= high and not model.mixture]
    return [fit for model in candidates if (fit := best_fit(model, budget)) is not None]


def _install_advice(server: str, fits: Sequence[Fit], situation: _Situation) -> SetupRecommendation:
    names = tuple(_name(server, fit.model) for fit in fits)
    return SetupRecommendation(
        preferred_server=server,
        recommended_models=names,
        setup_url=SETUP_URLS[server],
        memory_note=_memory_note(situation.resources),
        reasons=(
            _fit_sentence(fits[0]),
            _server_sentence(server, situation),
            *situation.graphics.remarks,
        ),
        steps=setup_steps(server, names[0]),
        download_links=links(server),
        alternatives=_alternatives(situation, without=server, smaller_than=fits[0].model),
    )


def _server_sentence(server: str, situation: _Situation) -> str:
    memory = f"{situation.resources.ram_total_bytes / 1e9:.1f} GB of memory"
    gpu = situation.graphics.usable
    if server == "lm_studio" and gpu is not None:
        return f"With {memory} and {gpu.name}, LM Studio runs models of 7B to 13B comfortably."
    if gpu is not None:
        return f"With {memory} and {gpu.name}, Ollama runs models of 3B to 7B."
    return f"With {memory} and no graphics card that helps, Ollama runs models of 3B to 7B on the processor."


def _fit_sentence(fit: Fit) -> str:
    where = {"gpu": "on the graphics card", "partial": "on graphics card and processor", "cpu": "in memory"}
    about = "about " if fit.model.file_bytes_source == "approximate" else ""
    size, spare = f"{about}{fit.model.file_bytes / 1e9:.1f} GB", f"{fit.spare_bytes / 1e9:.1f} GB"
    return (
        f"{fit.model.id} ({fit.model.quant}, {size} to download) fits {where[fit.mode]} "
        f"with {spare} to spare at {fit.context:,} tokens of context."
    )


def _cloud_advice(situation: _Situation) -> SetupRecommendation:
    cloud = next((server for server in situation.servers if server.id == "openrouter"), None)
    has_key = cloud is not None and cloud.status is ServerStatus.AVAILABLE
    ram = situation.resources.ram_total_bytes / 1e9
    return SetupRecommendation(
        preferred_server="openrouter",
        recommended_models=_OPENROUTER_MODELS,
        setup_url=SETUP_URLS["openrouter"],
        memory_note=_memory_note(situation.resources),
        reasons=(
            f"{ram:.1f} GB of memory leave no room for a good model beside the system.",
            "OpenRouter answers from the cloud: the app asks before the first prompt leaves this computer.",
            *situation.graphics.remarks,
        ),
        steps=("Ask something: OpenRouter has your key.",) if has_key else setup_steps("openrouter"),
        download_links=() if has_key else links("openrouter"),
        alternatives=_alternatives(situation, without="openrouter"),
        ready_model=_OPENROUTER_MODELS[0] if has_key else None,
    )


def _alternatives(
    situation: _Situation, *, without: str, smaller_than: CatalogueModel | None = None
) -> tuple[Alternative, ...]:
    """What else there is: a smaller model, another server, the cloud, and always the guide."""
    offers: list[Alternative] = []
    small = max(_fitting(situation.budget, _SMALL), key=lambda fit: fit.model.quality or 0, default=None)
    if small is not None and (smaller_than is None or small.model.params < smaller_than.params):
        size = f"{small.model.file_bytes / 1e9:.1f} GB"
        reason = f"Smaller and faster, and it works offline: {size} to download."
        offers.append(Alternative("ollama", _name("ollama", small.model), reason))
    other = "ollama" if without == "lm_studio" else "lm_studio"
    if situation.tier >= 8 and (other == "ollama" or situation.lm_studio_runs_here):
        fits = _class_for(other, situation)
        if fits:
            offers.append(Alternative(other, _name(other, fits[0].model), _MANNER[other]))
    if without != "openrouter":
        reason = "The cloud: nothing to download, and prompts leave this computer."
        offers.append(Alternative("openrouter", None, reason))
    offers.append(Alternative("guide", None, "A tiny demo model that only knows this app."))
    return tuple(offers)


_MANNER = {
    "ollama": "A plain service that is steered from a terminal.",
    "lm_studio": "An app with windows of its own.",
}


def _name(server: str, model: CatalogueModel) -> str:
    """The model's name as that server knows it."""
    return model.ollama_name if server == "ollama" else model.id


def _memory_note(resources: ResourceInfo) -> str:
    total, free = resources.ram_total_bytes / 1e9, resources.ram_available_bytes / 1e9
    return f"This computer has {total:.1f} GB of memory, {free:.1f} GB of it free at the moment."
