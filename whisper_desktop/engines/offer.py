"""What our own engine offers: a row in the list of servers, and a specification from the settings."""

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from whisper_desktop.engines.context import choose_context
from whisper_desktop.engines.find import find_binary
from whisper_desktop.engines.spec import EngineSpec, default_threads
from whisper_desktop.models.gguf import GgufHeader
from whisper_desktop.values import (
    IDENTITIES,
    EngineState,
    EngineStatus,
    ModelInfo,
    Reach,
    ResourceInfo,
    ServerInfo,
    ServerStatus,
)

if TYPE_CHECKING:
    from whisper_desktop.settings.schema import LLMSettings

BUILTIN = "builtin"


def builtin_server(model: Path | None, status: EngineStatus | None) -> ServerInfo | None:
    """Our own engine as a server in the list, asleep or awake; None where this installation has none."""
    if importlib.util.find_spec("xllamacpp") is None and find_binary(None) is None:
        return None
    state = status.state if status is not None and status.engine == BUILTIN else EngineState.STOPPED
    url = status.url or "" if status is not None and state is EngineState.READY else ""
    found, models, detail = _offer(model, state)
    if state is EngineState.FAILED and status is not None:
        detail = status.detail
    return ServerInfo(
        id=BUILTIN,
        name=IDENTITIES[BUILTIN].name,
        url=url,
        status=found,
        models=models,
        api_base=f"{url}/v1" if url else None,
        reach=Reach.THIS_MACHINE,
        detail=detail,
    )


def _offer(model: Path | None, state: EngineState) -> tuple[ServerStatus, tuple[ModelInfo, ...], str]:
    if model is None:
        return ServerStatus.NO_MODELS, (), "It has no model yet; until then, the guide answers."
    try:
        size = model.stat().st_size
    except OSError:
        return ServerStatus.NO_MODELS, (), f"Its model file is not there: {model}."
    info = ModelInfo(model.stem, loaded=state is EngineState.READY, size_bytes=size)
    if state is EngineState.STARTING:
        return ServerStatus.LOADING, (info,), "It is loading its model."
    awake = (
        "It is ready." if state is EngineState.READY else "It is asleep and starts with the first question."
    )
    return ServerStatus.AVAILABLE, (info,), awake


def engine_for(
    model: Path, header: GgufHeader | None, llm: "LLMSettings", resources: ResourceInfo
) -> EngineSpec:
    """Our own engine with the person's model and settings: their llama-server, the one on PATH, or built in.

    Whichever program serves, it is the engine "builtin". Numbers that the person set are obeyed.
    """
    given = llm.llamacpp
    return EngineSpec(
        model_path=model.absolute(),
        alias=model.stem,
        n_ctx=given.n_ctx if given.n_ctx != "auto" else choose_context(header, resources),
        n_gpu_layers=given.n_gpu_layers,
        threads=default_threads(resources),
        binary=find_binary(given.server_path),
        engine_id=BUILTIN,
    )
