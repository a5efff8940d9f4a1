"""Our own engine as a row in the list of servers, whether it runs or not."""

import importlib.util
from pathlib import Path

from whisper_desktop.engines.builds.found import find_binary
from whisper_desktop.language import mark, tr
from whisper_desktop.models.naming import name_of
from whisper_desktop.values import (
    IDENTITIES,
    EngineState,
    EngineStatus,
    ModelInfo,
    Reach,
    ServerInfo,
    ServerStatus,
)

BUILTIN = "builtin"


def builtin_server(model: Path | None, status: EngineStatus | None) -> ServerInfo | None:
    """Our own engine as a server in the list, asleep or awake; None where this installation has none."""
    if importlib.util.find_spec("xllamacpp") is None and find_binary(None) is None:
        return None
    state = status.state if status is not None and status.engine == BUILTIN else EngineState.STOPPED
    url = status.url or "" if status is not None and state is EngineState.READY else ""
    found, models, detail = _offer(model, state)
    if status is not None and status.detail and state in (EngineState.FAILED, EngineState.BACKING_OFF):
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
        return ServerStatus.NO_MODELS, (), tr("It has no model yet; until then, the guide answers.")
    try:
        size = model.stat().st_size
    except OSError:
        return ServerStatus.NO_MODELS, (), tr("Its model file is not there: {model}.", model=model)
    info = ModelInfo(name_of(model), loaded=state is EngineState.READY, size_bytes=size)
    if state in (EngineState.STARTING, EngineState.BACKING_OFF):
        return ServerStatus.LOADING, (info,), tr(_SAID[state])
    return ServerStatus.AVAILABLE, (info,), tr(_SAID.get(state, _OFF))


_OFF = mark("It is off and starts with the first question.")
_SAID = {
    EngineState.STARTING: mark("It is loading its model."),
    EngineState.READY: mark("It is ready."),
    EngineState.SLEEPING: mark("It sleeps, so that its memory is free, and wakes with the next question."),
    EngineState.BACKING_OFF: mark("It ended unexpectedly and is started again in a moment."),
}
