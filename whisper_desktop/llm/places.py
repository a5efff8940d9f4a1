"""Under which name the health of a backend is kept."""

from functools import lru_cache

from whisper_desktop.backends.base import Backend
from whisper_desktop.llm.health import Place
from whisper_desktop.values import Reach
from whisper_desktop.wire.address import origin


def place_of(backend: Backend, model: str | None) -> Place:
    """What the health of a backend is kept under."""
    local = backend.config.reach is Reach.THIS_MACHINE
    return Place(backend.id, _origin(backend.base_url), model or backend.model_id, local)


@lru_cache(maxsize=256)
def _origin(url: str) -> str:
    return origin(url) if url else ""
