"""Which model of a backend a question means, where that runs, and under which name its health is kept."""

from functools import lru_cache

from whisper_desktop.backends.base import Backend
from whisper_desktop.llm.health import Place
from whisper_desktop.values import Reach
from whisper_desktop.wire.address import origin


def model_of(backend: Backend, asked_for: str | None) -> str | None:
    """The model that answers: the one asked for, else the configured one, else the one chosen last."""
    return asked_for or backend.config.model or backend.model_id


def reach_of(backend: Backend, model: str | None) -> Reach:
    """How far a question goes; never nearer than what is known."""
    return backend.reach_of(model) or Reach.CLOUD


def place_of(backend: Backend, asked_for: str | None) -> Place:
    """What the health of a backend and one of its models is kept under."""
    model = model_of(backend, asked_for)
    local = backend.reach_of(model) is Reach.THIS_MACHINE
    return Place(backend.id, _origin(backend.base_url), model, local)


@lru_cache(maxsize=256)
def _origin(url: str) -> str:
    return origin(url) if url else ""
