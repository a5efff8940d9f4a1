"""From what a script writes down as a step of a chain (an address, a name, a configuration) to a backend."""

import asyncio
from collections.abc import Mapping

from whisper_desktop.backends import Backend, BackendConfig, create_backend
from whisper_desktop.backends.base import KeySource
from whisper_desktop.backends.factory import config_from, connections
from whisper_desktop.errors import SettingsError
from whisper_desktop.values import Deadlines, Reach, canonical_id
from whisper_desktop.wire.address import normalise_url, origin, reach_of
from whisper_desktop.wire.http import Http

__all__ = ["backend_of", "connections"]


def backend_of(
    step: BackendConfig | Mapping[str, object] | str, *, http: Http, deadlines: Deadlines
) -> Backend:
    """The backend. A service in the cloud takes its key from the keyring, when it is first asked.

    Raises `ValueError` for a name that is neither a backend's nor an address, `SettingsError` for an address
    that cannot be used.
    """
    config = step if isinstance(step, BackendConfig) else config_from(_written(step))
    given = None if isinstance(step, str | BackendConfig) else step.get("api_key")
    key = None if given or _is_near(config.url) else _kept_key(config.url)
    written = config if given is None or isinstance(step, str) else step
    return create_backend(written, http=http, key=key, deadlines=deadlines)


def _written(step: Mapping[str, object] | str) -> Mapping[str, object]:
    if not isinstance(step, str):
        return step
    try:
        return {"backend": canonical_id(step)}
    except KeyError:
        if not any(mark in step for mark in ":./"):
            return {"backend": step}  # says what is known
        return {"backend": "openai_compatible", "url": step}


def _is_near(url: str) -> bool:
    try:
        return not url or reach_of(url) is Reach.THIS_MACHINE
    except SettingsError:
        return True


def _kept_key(url: str) -> KeySource:
    from whisper_desktop.settings import SecretStore

    store = SecretStore()
    place = origin(normalise_url(url))

    async def key() -> str | None:
        return await asyncio.to_thread(store.get, place)

    return key
