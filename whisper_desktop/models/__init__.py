"""Which models there are, and whether one will run here: the catalogue, and the arithmetic of memory."""

from whisper_desktop.models.catalogue import CatalogueModel, load
from whisper_desktop.models.fit import Budget, Fit, best_fit, budget_for, fits, largest_context, why_not
from whisper_desktop.models.memory import kv_cache_bytes
from whisper_desktop.models.shape import KvGroup, ModelShape

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
