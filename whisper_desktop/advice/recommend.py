"""The recommendation: machine + servers + catalogue -> what to use here, and the sentences that say why.

Base rule (`runners`): 16 GB and a usable graphics processor -> LM Studio; 8 GB -> Ollama; less -> OpenRouter,
or a 1B model without a network. Within that the ranking decides which model, and nothing is named that does
not fit. A server that already runs with a model wins over installing another. The app's own engine, which
needs no other program, is offered beside the default: LM Studio and Ollama bring windows and updates of their
own, which serves somebody longer who means to stay with local models.
"""

from collections.abc import Sequence
from dataclasses import replace

from whisper_desktop.advice.advised import Advised, choices_for
from whisper_desktop.advice.alternatives import alternatives
from whisper_desktop.advice.judge import Measured
from whisper_desktop.advice.purposes import Purpose
from whisper_desktop.advice.ranking import Choice, Ranking, rank
from whisper_desktop.advice.runners import PROGRAMS, Situation, can_do, needs_build, situation_of, title_on
from whisper_desktop.advice.sentences import fit_sentence, program_name
from whisper_desktop.advice.steps import SETUP_URLS, links, load_steps, setup_steps
from whisper_desktop.language import gigabytes, tr
from whisper_desktop.machine.figures import MachineFigures
from whisper_desktop.models.catalogue import Catalogue, load
from whisper_desktop.models.fit import best_fit
from whisper_desktop.values import (
    IDENTITIES,
    ModelInfo,
    Reach,
    ResourceInfo,
    ServerInfo,
    ServerStatus,
    SetupRecommendation,
)

_MOST_NAMED = 3  # of the ranking's models, before the ones that people ask for by name
_CLASSICS = {
    "lm_studio": ("Llama-3.1-8B-Instruct", "Mistral-7B-Instruct-v0.3", "CodeLlama-7B-Instruct"),
    "ollama": ("Llama-3.2-3B-Instruct", "Phi-3-mini-4k-instruct", "gemma-2b-it"),
}
_USUALLY = {"lm_studio": (7, 13), "ollama": (3, 7)}  # billions of parameters: the classes of the base rule
_OPENROUTER_MODELS = ("openrouter/auto", "meta-llama/llama-3.1-8b-instruct")
_IDLE_OVERHEAD = 1.2  # a model of unknown shape needs about this times its file, with cache and buffers


def get_recommended_setup(
    resources: ResourceInfo,
    servers: Sequence[ServerInfo],
    *,
    purpose: Purpose = Purpose.CHAT,
    catalogue: Catalogue | None = None,
    figures: MachineFigures | None = None,
    measured: Measured | None = None,
) -> SetupRecommendation:
    """What to use on this computer. Pure: the same machine and servers give the same advice."""
    catalogue = catalogue or load()
    ranking = rank(resources, servers, catalogue, purpose=purpose, figures=figures, measured=measured)
    return recommended_setup(resources, servers, catalogue, ranking)


def recommended_setup(
    resources: ResourceInfo, servers: Sequence[ServerInfo], catalogue: Catalogue, ranking: Ranking
) -> SetupRecommendation:
    """The recommendation that follows from a ranking of this machine and these servers."""
    advised = Advised(situation_of(resources), tuple(servers), catalogue, ranking)
    advice = _choice(advised)
    if advice.ready_model is not None:
        return advice
    return replace(advice, reasons=(*advice.reasons, *_not_used_unasked(servers)))


def _choice(advised: Advised) -> SetupRecommendation:
    running = _running_choice(advised)
    if running is not None:
        return running
    base = advised.situation.base
    if base == "openrouter" or not advised.ranking.choices:
        return _cloud_advice(advised)
    return _install_advice(advised)


# --- A server that runs ------------------------------------------------------------------------------------


def _running_choice(advised: Advised) -> SetupRecommendation | None:
    """The advice to use a server that runs here, with a model it has or, failing that, one to load."""
    ranking = advised.ranking
    here = [
        server
        for server in advised.servers
        if server.reach is Reach.THIS_MACHINE and server.id in IDENTITIES and server.id != "builtin"
    ]
    here.sort(key=lambda server: server.id != advised.situation.base)
    ready = [
        (server, model) for server in here for model in _ready_models(server, ranking) if advised.suits(model)
    ]
    ready.sort(key=lambda pair: (not pair[1].loaded, -advised.score(pair[1])))
    if ready:
        return _ready_advice(*ready[0], advised)
    for server in here:
        choices = choices_for(server.id, ranking) if _can_be_given_a_model(server) else []
        if choices:
            return _load_advice(server, choices, advised)
    return None


def _can_be_given_a_model(server: ServerInfo) -> bool:
    has_others = server.status is ServerStatus.AVAILABLE and server.id in PROGRAMS
    return has_others or server.status is ServerStatus.NO_MODELS


def _not_used_unasked(servers: Sequence[ServerInfo]) -> tuple[str, ...]:
    """What runs too, but may pass prompts on."""
    unplaced = [server for server in servers if server.reach is None and server.chat_models]
    return tuple(
        tr(
            "{server_name} runs too, but it may pass prompts on to other computers, so it is not "
            "used unasked: the chat asks before it is used.",
            server_name=server.name,
        )
        for server in unplaced
        if server.status is ServerStatus.AVAILABLE
    )


def _ready_models(server: ServerInfo, ranking: Ranking) -> list[ModelInfo]:
    """The models that this server has and that have room here."""
    if server.status is not ServerStatus.AVAILABLE:
        return []
    return [
        model
        for model in server.chat_models
        if not model.remote
        and (
            model.loaded
            or model.size_bytes is None
            or model.size_bytes * _IDLE_OVERHEAD <= ranking.budget.all_bytes
        )
    ]


def _ready_advice(server: ServerInfo, model: ModelInfo, advised: Advised) -> SetupRecommendation:
    state = tr("has it loaded") if model.loaded else tr("has it on disk")
    others = [entry for entry in _ready_models(server, advised.ranking) if entry.id != model.id]
    choice = advised.ranked(model)
    return SetupRecommendation(
        preferred_server=server.id,
        recommended_models=(model.id, *(entry.id for entry in others)),
        setup_url=SETUP_URLS.get(server.id, server.url),
        memory_note=_memory_note(advised.resources),
        reasons=(
            tr(
                "{server_name} already runs on this computer and {state}: nothing has to be installed.",
                server_name=server.name,
                state=state,
            ),
            *_reasons_for_ready(choice),
            *advised.situation.graphics.remarks,
        ),
        steps=(
            tr(
                "Ask something: {server_name} answers with {model_id}.",
                server_name=server.name,
                model_id=model.id,
            ),
        ),
        alternatives=alternatives(advised, without=server.id, top=choice),
        ready_model=model.id,
    )


def _reasons_for_ready(choice: Choice | None) -> tuple[str, ...]:
    """What is known of a model that a server has, whichever program the ranking would choose for it."""
    if choice is None:
        return ()
    return fit_sentence(choice.model, choice.fit, present=True), choice.reasons[1]


def _load_advice(server: ServerInfo, choices: Sequence[Choice], advised: Advised) -> SetupRecommendation:
    names = _names(server.id, choices, advised)
    lacks = tr("has no model yet")
    if server.status is ServerStatus.AVAILABLE:
        lacks = tr("none of its models suits {words} here", words=advised.ranking.purpose.words)
    return SetupRecommendation(
        preferred_server=server.id,
        recommended_models=names,
        setup_url=SETUP_URLS.get(server.id, server.url),
        memory_note=_memory_note(advised.resources),
        reasons=(
            tr("{server_name} is running but {lacks}.", server_name=server.name, lacks=lacks),
            *choices[0].reasons[:2],
            *advised.situation.graphics.remarks,
        ),
        steps=load_steps(server.id, server.name, names[0]),
        download_links=links(server.id),
        alternatives=alternatives(advised, without=server.id, top=choices[0]),
    )


# --- A program to install ----------------------------------------------------------------------------------


def _install_advice(advised: Advised) -> SetupRecommendation:
    top = advised.ranking.choices[0]
    choices = choices_for(top.backend, advised.ranking)
    names = _names(top.backend, choices, advised)
    return SetupRecommendation(
        preferred_server=top.backend,
        recommended_models=names,
        setup_url=SETUP_URLS[top.backend],
        memory_note=_memory_note(advised.resources),
        reasons=(
            *top.reasons[:2],
            _base_sentence(top, advised.situation),
            *top.reasons[2:],
            *advised.situation.graphics.remarks,
            *advised.ranking.changes,
        ),
        steps=setup_steps(
            top.backend, names[0], with_build=needs_build(top.backend, top.fit, advised.situation.graphics)
        ),
        download_links=links(top.backend),
        alternatives=alternatives(advised, without=top.backend, top=top),
    )


def _names(program: str, choices: Sequence[Choice], advised: Advised) -> tuple[str, ...]:
    """The best few by name, then the ones that people ask for by name and that have room here."""
    models = [choice.model for choice in choices[:_MOST_NAMED]]
    for name in _CLASSICS.get(program, ()):
        classic = advised.catalogue.find(name)
        if classic is not None and classic not in models:
            fit = best_fit(classic.shape, advised.ranking.budget, advised.resources)
            if fit is not None and can_do(program, classic, fit):
                models.append(classic)
    return tuple(title_on(program, model) for model in models)


def _base_sentence(top: Choice, situation: Situation) -> str:
    """Why this program, and what it usually runs on such a computer, where this model is one of those."""
    program, card = top.backend, situation.graphics.usable
    memory = tr("{gigabytes} of memory", gigabytes=gigabytes(situation.resources.ram_total_bytes))
    if program not in _USUALLY or (program == "lm_studio" and card is None):
        return tr(
            "With {memory}, {program_name} is all that this model needs.",
            memory=memory,
            program_name=program_name(program),
        )
    least, most = _USUALLY[program]
    usual = (
        tr(", usually with models of {least}B to {most}B", least=least, most=most)
        if least <= top.model.billions <= most
        else ""
    )
    cards = len(situation.graphics.gpus)
    has = tr("no graphics card that helps")
    if card is not None:
        has = card.name if cards == 1 else tr("{cards} graphics cards", cards=cards)
    return tr(
        "With {memory} and {has}, {program_name} suits this computer{usual}.",
        memory=memory,
        has=has,
        program_name=program_name(program),
        usual=usual,
    )


def _cloud_advice(advised: Advised) -> SetupRecommendation:
    cloud = next((server for server in advised.servers if server.id == "openrouter"), None)
    has_key = cloud is not None and cloud.status is ServerStatus.AVAILABLE
    return SetupRecommendation(
        preferred_server="openrouter",
        recommended_models=_OPENROUTER_MODELS,
        setup_url=SETUP_URLS["openrouter"],
        memory_note=_memory_note(advised.resources),
        reasons=(
            _no_local_sentence(advised),
            tr(
                "OpenRouter answers from the cloud: the app asks before the first prompt leaves this "
                "computer."
            ),
            *advised.situation.graphics.remarks,
            *advised.ranking.changes,
        ),
        steps=(tr("Ask something: OpenRouter has your key."),) if has_key else setup_steps("openrouter"),
        download_links=() if has_key else links("openrouter"),
        alternatives=alternatives(advised, without="openrouter"),
        ready_model=_OPENROUTER_MODELS[0] if has_key else None,
    )


def _no_local_sentence(advised: Advised) -> str:
    memory = gigabytes(advised.resources.ram_total_bytes)
    if advised.situation.base == "openrouter":
        return tr("{memory} of memory leave no room for a good model beside the system.", memory=memory)
    suits = advised.ranking.purpose.words
    return tr(
        "Of the models that we know, none fits into {memory} of memory, is quick and suits {suits}.",
        memory=memory,
        suits=suits,
    )


def _memory_note(resources: ResourceInfo) -> str:
    total, free = gigabytes(resources.ram_total_bytes), gigabytes(resources.ram_available_bytes)
    if resources.container_limit_bytes is not None:
        return tr(
            "Programs here may use {total} of memory, a limit that was set; {free} of it is free now.",
            total=total,
            free=free,
        )
    if resources.ram_available_bytes >= resources.ram_total_bytes:  # one that is only described
        return tr("This computer has {total} of memory.", total=total)
    return tr("This computer has {total} of memory, {free} of it free at the moment.", total=total, free=free)
