"""Will this model run here? Arithmetic only: weights + KV cache + compute buffers against a budget.

The KV formula is llama.cpp's own (llama-kv-cache.cpp, llama-kv-cache-iswa.cpp) and agrees with it to the byte
for every model of the catalogue. Budgets follow total memory minus a fixed reserve, so that an open browser
tab does not change the advice; whether the memory is free is checked when a model is started.
"""

from dataclasses import dataclass

from whisper_desktop.models.catalogue import CatalogueModel
from whisper_desktop.models.memory import kv_cache_bytes
from whisper_desktop.values import GIB, GpuInfo, ResourceInfo

CONTEXTS = (32768, 16384, 8192, 4096)
"""The context windows that are tried, largest first, in tokens."""

_GRAPHICS_CONTEXT = (
    450_000_000  # bytes that CUDA, ROCm or Metal take beside the model (Ollama reserves 457 MiB)
)
_PROCESS = 500_000_000  # bytes of the server program itself and its prompt cache
_SAFETY_PER_GPU = GIB
_DISPLAY = {"Windows": 0.8, "Linux": 0.5}  # GiB of graphics memory that the desktop itself uses
_MOST_ON_HOST = 0.7  # of the weights: with more than this outside the GPU, the GPU no longer helps


@dataclass(frozen=True, slots=True)
class Budget:
    """What a model may take, in bytes, after the reserves. `gpu` is 0 without a usable one.

    `unified`: the GPU's part is taken out of the same memory as the host's.
    """

    gpu: int
    host: int
    unified: bool = False


@dataclass(frozen=True, slots=True)
class Fit:
    """How a model fits: `mode` is "gpu", "partial" (layers on both) or "cpu"; sizes are bytes."""

    model: CatalogueModel
    context: int
    mode: str
    need_bytes: int
    budget_bytes: int

    @property
    def spare_bytes(self) -> int:
        """What is left of the budget."""
        return self.budget_bytes - self.need_bytes


def budget_for(resources: ResourceInfo, gpu: GpuInfo | None) -> Budget:
    """What a model may take on this machine, given the GPU that counts (None: none does)."""
    ram = resources.ram_total_bytes
    share, reserve = (0.6, 3.5) if resources.has_display else (0.8, 1.5)
    # A small computer with little else open: the rule above would leave it nothing at all.
    little = min(0.4 * ram, ram - 2 * GIB)
    host = max(0, int(max(min(share * ram, ram - reserve * GIB), little)))
    if gpu is None or gpu.total_bytes is None:
        return Budget(0, host)
    if gpu.unified and gpu.vendor == "Apple":
        return Budget(max(0, min(gpu.total_bytes - GIB, ram - 4 * GIB)), host, unified=True)
    if gpu.unified:
        return Budget(max(0, min(gpu.total_bytes - GIB, host)), host, unified=True)
    display = _DISPLAY.get(resources.os_name, 0.0) if resources.has_display else 0.0
    return Budget(max(0, int(gpu.total_bytes - display * GIB) - _SAFETY_PER_GPU), host)


def best_fit(model: CatalogueModel, budget: Budget, *, least_context: int = 4096) -> Fit | None:
    """The largest context that fits, wholly on the GPU if possible, else on both, else on the processor.

    None when it does not fit. Above 8192 tokens a tenth of the budget must stay free.
    """
    for mode in _modes(budget):
        for context in CONTEXTS:
            if context > model.train_ctx or context < min(least_context, model.train_ctx):
                continue
            fit = _fit(model, budget, context, mode)
            if fit is not None:
                return fit
        if model.train_ctx < min(CONTEXTS):
            fit = _fit(model, budget, model.train_ctx, mode)
            if fit is not None:
                return fit
    return None


def _modes(budget: Budget) -> tuple[str, ...]:
    if budget.gpu == 0:
        return ("cpu",)
    return ("gpu", "cpu") if budget.unified else ("gpu", "partial", "cpu")


def _fit(model: CatalogueModel, budget: Budget, context: int, mode: str) -> Fit | None:
    cache = kv_cache_bytes(model.kv, context, state_bytes=model.state_bytes)
    compute = model.compute_device_bytes + 1024 * context
    if mode == "gpu":
        need = model.gpu_weights + cache + compute + _GRAPHICS_CONTEXT
        limit = budget.gpu
        if not budget.unified and model.host_weights + model.compute_host_bytes + _PROCESS > budget.host:
            return None
    elif mode == "partial":
        need = model.file_bytes + cache + compute + _GRAPHICS_CONTEXT + _PROCESS
        limit = budget.gpu + budget.host
        if budget.gpu - compute - _GRAPHICS_CONTEXT < (1 - _MOST_ON_HOST) * (model.file_bytes + cache):
            return None
    else:
        need = model.file_bytes + cache + compute + _PROCESS
        limit = budget.host
    if need > (limit if context <= 8192 else 0.9 * limit):
        return None
    return Fit(model, context, mode, need, limit)
