"""Which models there are, and whether one will run here: the catalogue, and the arithmetic of memory.

Names are loaded on first use: most runs need few of them.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from whisper_desktop.models.catalogue import CatalogueModel, load
    from whisper_desktop.models.fit import Budget, Fit, best_fit, budget_for, fits, largest_context, why_not
    from whisper_desktop.models.memory import kv_cache_bytes
    from whisper_desktop.models.shape import KvGroup, ModelShape

_HOMES = {
    "CatalogueModel": "catalogue",
    "load": "catalogue",
    "Budget": "fit",
    "Fit": "fit",
    "best_fit": "fit",
    "budget_for": "fit",
    "fits": "fit",
    "largest_context": "fit",
    "why_not": "fit",
    "kv_cache_bytes": "memory",
    "KvGroup": "shape",
    "ModelShape": "shape",
}

__all__ = [
    "Budget",
    "CatalogueModel",
    "Fit",
    "KvGroup",
    "ModelShape",
    "best_fit",
    "budget_for",
    "fits",
    "kv_cache_bytes",
    "largest_context",
    "load",
    "why_not",
]


def __getattr__(name: str) -> object:
    """Loads a public name from its module on first use."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)
