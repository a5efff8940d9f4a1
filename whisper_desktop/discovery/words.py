"""The one plain sentence about each server: what is so, and what to do where something is missing."""

from collections.abc import Sequence

from whisper_desktop.language import tr, trn
from whisper_desktop.values import ModelInfo, ServerStatus


def about_server(
    name: str, status: ServerStatus, models: Sequence[ModelInfo] | None, origin: str, note: str = ""
) -> str:
    """A server that was recognised. `models` is None where its list did not arrive."""
    if note:
        return note
    match status:
        case ServerStatus.LOADING:
            return tr("{name} is running and loads a model.", name=name)
        case ServerStatus.NEEDS_KEY:
            return tr(
                "{name} is running and wants a key. Give it one: whisper-desktop keys set {origin}",
                name=name,
                origin=origin,
            )
        case ServerStatus.NO_MODELS:
            return tr("{name} is running but has no model. Add one there, then look again.", name=name)
    if models is None:
        return tr("{name} is running, but its list of models did not arrive in time. Look again.", name=name)
    return _about_models(name, models)


def _about_models(name: str, models: Sequence[ModelInfo]) -> str:
    loaded = [model.id for model in models if model.loaded]
    remote = sum(model.remote for model in models)
    running = trn(
        "{name} is running with {count} model",
        "{name} is running with {count} models",
        len(models),
        name=name,
    )
    elsewhere = (
        trn(" {count} of them runs on another computer.", " {count} of them run on another computer.", remote)
        if remote
        else ""
    )
    if loaded:
        more = tr(" and {len} more", len=len(loaded) - 1) if len(loaded) > 1 else ""
        return tr(
            "{running}; {loaded}{more} loaded.{elsewhere}",
            running=running,
            loaded=loaded[0],
            more=more,
            elsewhere=elsewhere,
        )
    if any(model.loaded is False for model in models):
        return tr(
            "{running}; none is loaded yet, the first message loads one.{elsewhere}",
            running=running,
            elsewhere=elsewhere,
        )
    return f"{running}.{elsewhere}"


def about_stranger(port: int, owners: Sequence[str], manner: str) -> str:
    """A program that is no model server we know. `manner` completes "It ...", or is empty."""
    place = (
        tr("Port {port}, where {either} usually listens,", port=port, either=_either(owners))
        if owners
        else tr("Port {port}", port=port)
    )
    says = tr(" It {manner}.", manner=manner) if manner else ""
    return tr("{place} is taken by another program.{says}", place=place, says=says)


def about_absent(name: str, port: int | None) -> str:
    """A known server that was looked for in vain."""
    where = tr(" (port {port})", port=port) if port else ""
    return tr("{name} is not running on this computer{where}.", name=name, where=where)


def _either(names: Sequence[str]) -> str:
    *others, last = dict.fromkeys(names)
    return tr("{items} or {last}", items=", ".join(others), last=last) if others else last
