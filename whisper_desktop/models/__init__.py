"""Which models there are, and whether one will run here: the catalogue, and the arithmetic of memory."""

from whisper_desktop.models.catalogue import CatalogueModel, KvGroup, load
from whisper_desktop.models.fit import Budget, Fit, best_fit, budget_for, kv_cache_bytes

__all__ = ["Budget", "CatalogueModel", "Fit", "KvGroup", "best_fit", "budget_for", "kv_cache_bytes", "load"]
