"""What the wizard's first page says about the machine and the servers, as values. No Qt."""

from dataclasses import dataclass

from whisper_desktop.advice.flow import FlowState
from whisper_desktop.values import GB, IDENTITIES, GpuInfo, ServerInfo, ServerStatus

_ALWAYS = ("lm_studio", "ollama", "openrouter")


@dataclass(frozen=True, slots=True)
class Fact:
    """One row: what it is about, what was found, and its `tone`: "waiting", "good", "neutral" or "warn"."""

    name: str
    text: str
    tone: str


def facts(state: FlowState) -> tuple[Fact, ...]:
    """All rows, in an order that does not change while results come in."""
    return (*_machine(state), *_servers(state))


def _machine(state: FlowState) -> tuple[Fact, ...]:
    found = state.resources
    if found is None:
        return tuple(Fact(name, "looking…", "waiting") for name in ("Memory", "Processor", "Graphics"))
    cores = f"{found.cores_physical} core{'' if found.cores_physical == 1 else 's'}"
    memory = f"{found.ram_total_bytes / GB:.1f} GB, {found.ram_available_bytes / GB:.1f} GB free"
    graphics = "; ".join(_gpu(gpu) for gpu in found.gpus)
    return (
        Fact("Memory", memory, "good"),
        Fact("Processor", f"{found.cpu_name}, {cores}", "good"),
        Fact("Graphics", graphics or "none that could run a model", "good" if graphics else "neutral"),
    )


def _gpu(gpu: GpuInfo) -> str:
    if gpu.total_bytes is None:
        return gpu.name
    shared = " shared" if gpu.unified else ""
    return f"{gpu.name}, {gpu.total_bytes / GB:.1f} GB{shared}"


def _servers(state: FlowState) -> tuple[Fact, ...]:
    found = {server.id: server for server in state.servers if server.status is not ServerStatus.UNREACHABLE}
    rows = [_server(found[name]) if name in found else _missing(name, state) for name in _ALWAYS]
    hidden = (*_ALWAYS, "builtin", "guide")
    return (*rows, *(_server(server) for server in found.values() if server.id not in hidden))


def _missing(name: str, state: FlowState) -> Fact:
    title = IDENTITIES[name].name
    if state.scanning:
        return Fact(title, "looking…", "waiting")
    return Fact(title, "no key yet" if name == "openrouter" else "not running", "neutral")


def _server(server: ServerInfo) -> Fact:
    count = len(server.chat_models)
    models = "one model" if count == 1 else f"{count} models"
    words, tone = {
        ServerStatus.AVAILABLE: (f"running, {models}", "good"),
        ServerStatus.NO_MODELS: ("running, no model loaded", "warn"),
        ServerStatus.LOADING: ("loading a model", "neutral"),
        ServerStatus.NEEDS_KEY: ("asks for a key", "warn"),
        ServerStatus.SOMETHING_ELSE: ("another program answers at its address", "warn"),
        ServerStatus.UNREACHABLE: ("not running", "neutral"),
    }[server.status]
    if server.id == "openrouter" and server.status is ServerStatus.AVAILABLE:
        words = "key found"
    return Fact(server.name, words, tone)
