"""The one plain sentence about each server: what is so, and what to do where something is missing."""

from collections.abc import Sequence

from whisper_desktop.values import ModelInfo, ServerStatus


def about_server(
    name: str, status: ServerStatus, models: Sequence[ModelInfo] | None, origin: str, note: str = ""
) -> str:
    """A server that was recognised. `models` is None where its list did not arrive."""
    if note:
        return note
    match status:
        case ServerStatus.LOADING:
            return f"{name} is running and loads a model."
        case ServerStatus.NEEDS_KEY:
            return f"{name} is running and wants a key. Give it one: whisper-desktop keys set {origin}"
        case ServerStatus.NO_MODELS:
            return f"{name} is running but has no model. Add one there, then look again."
    if models is None:
        return f"{name} is running, but its list of models did not arrive in time. Look again."
    return _about_models(name, models)


def _about_models(name: str, models: Sequence[ModelInfo]) -> str:
    loaded = [model.id for model in models if model.loaded]
    remote = sum(model.remote for model in models)
    running = f"{name} is running with {_counted(len(models), 'model')}"
    elsewhere = f" {_counted(remote, 'of them runs', 'of them run')} on another computer." if remote else ""
    if loaded:
        more = f" and {len(loaded) - 1} more" if len(loaded) > 1 else ""
        return f"{running}; {loaded[0]}{more} loaded.{elsewhere}"
    if any(model.loaded is False for model in models):
        return f"{running}; none is loaded yet, the first message loads one.{elsewhere}"
    return f"{running}.{elsewhere}"


def _counted(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def about_stranger(port: int, owners: Sequence[str], manner: str) -> str:
    """A program that is no model server we know. `manner` completes "It ...", or is empty."""
    place = f"Port {port}, where {_either(owners)} usually listens," if owners else f"Port {port}"
    says = f" It {manner}." if manner else ""
    return f"{place} is taken by another program.{says}"


def about_absent(name: str, port: int | None) -> str:
    """A known server that was looked for in vain."""
    where = f" (port {port})" if port else ""
    return f"{name} is not running on this computer{where}."


def _either(names: Sequence[str]) -> str:
    *others, last = dict.fromkeys(names)
    return f"{', '.join(others)} or {last}" if others else last
