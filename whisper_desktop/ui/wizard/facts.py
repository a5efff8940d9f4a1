"""What the wizard says about the machine, the servers, and how far the chosen one is, as values. No Qt."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from whisper_desktop.advice.flow import FlowState, chosen_server, is_ready, to_download
from whisper_desktop.ui.code_spans import without_marks
from whisper_desktop.ui.models.job_rows import job_rows
from whisper_desktop.values import GB, IDENTITIES, GpuInfo, ServerInfo, ServerStatus

_ALWAYS = ("lm_studio", "ollama", "openrouter")
_STRANGER = "unknown"  # the id of a program that answers and is no model server


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
    found = {server.id: server for server in state.servers if _answers(server)}
    rows = [_server(found[name]) if name in found else _missing(name, state) for name in _ALWAYS]
    hidden = (*_ALWAYS, "builtin", "guide")
    others = [_server(server) for server in found.values() if server.id not in hidden]
    return (*rows, *others, *_strangers(state))


def _answers(server: ServerInfo) -> bool:
    """Whether it is a model server that is there, in whatever state."""
    return server.status is not ServerStatus.UNREACHABLE and server.id != _STRANGER


def _missing(name: str, state: FlowState) -> Fact:
    title = IDENTITIES[name].name
    if stranger_at(state, name) is not None:
        return Fact(title, f"another program uses its port {IDENTITIES[name].port}", "warn")
    if state.scanning:
        return Fact(title, "looking…", "waiting")
    return Fact(title, "no key yet" if name == "openrouter" else "not running", "neutral")


def _strangers(state: FlowState) -> list[Fact]:
    """Programs that are no model server and stand where none of the rows above expects one."""
    told = [stranger_at(state, name) for name in _ALWAYS]
    return [
        Fact(f"Port {_port(server)}", "another program answers there", "neutral")
        for server in state.servers
        if server.id == _STRANGER and server not in told and server.as_given
    ]


def stranger_at(state: FlowState, name: str) -> ServerInfo | None:
    """The other program that holds the usual port of a server which was not found."""
    port = IDENTITIES[name].port
    if port is None or any(server.id == name and _answers(server) for server in state.servers):
        return None
    there = (server for server in state.servers if server.id == _STRANGER and _port(server) == port)
    return next(there, None)


def _port(server: ServerInfo) -> int | None:
    try:
        return urlsplit(server.url).port
    except ValueError:  # an address that a person wrote
        return None


def _server(server: ServerInfo) -> Fact:
    count = len(server.chat_models)
    models = "one model" if count == 1 else f"{count} models"
    words, tone = {
        ServerStatus.AVAILABLE: (f"running, {models}", "good"),
        ServerStatus.NO_MODELS: ("running, has no model yet", "warn"),
        ServerStatus.LOADING: ("running, loading a model…", "neutral"),
        ServerStatus.NEEDS_KEY: ("running, asks for a key", "warn"),
        ServerStatus.SOMETHING_ELSE: ("another program answers at its address", "warn"),
        ServerStatus.UNREACHABLE: ("not running", "neutral"),
    }[server.status]
    if server.id == "openrouter":
        words = {
            ServerStatus.AVAILABLE: "key found",
            ServerStatus.NEEDS_KEY: "does not accept its key",
        }.get(server.status, words)
    return Fact(server.name, words, tone)


def progress(state: FlowState) -> tuple[str, str]:
    """How far the choice has come: the sentence beside the spinner, and a smaller one with the detail."""
    choice = state.choice
    if choice is None:
        return "", ""
    name = IDENTITIES[choice.backend].name
    if is_ready(state):
        return f"✓  {name} is ready. Test it.", ""
    if choice.backend == "openrouter":
        return "Prompts to OpenRouter leave this computer. A conversation says so before the first one.", ""
    if (stranger := stranger_at(state, choice.backend)) is not None:
        return f"{name} cannot answer yet: another program uses its port.", without_marks(stranger.detail)
    if to_download(state) is not None:
        return _download(state)
    server = chosen_server(state)
    if server is None or server.status is ServerStatus.UNREACHABLE:
        where = f"Looked for at {server.url}." if server is not None and server.as_given else ""
        return f"Waiting for {name} to answer… This page notices by itself.", where
    sentence = {
        ServerStatus.LOADING: f"{name} is loading a model… This page notices when it is ready.",
        ServerStatus.NO_MODELS: f"{name} is running, without a model. This page notices when one is there.",
        ServerStatus.NEEDS_KEY: f"{name} is running and asks for a key.",
        ServerStatus.SOMETHING_ELSE: f"{name} cannot answer yet: another program is at its address.",
    }.get(server.status, f"{name} is running, but none of its models can chat.")
    told = server.status in (ServerStatus.LOADING, ServerStatus.NO_MODELS)
    return sentence, "" if told else without_marks(server.detail)


def _download(state: FlowState) -> tuple[str, str]:
    """How far the model is that the app fetches itself."""
    job = state.download
    if job is None:
        return "Nothing has been downloaded yet.", ""
    if job.state == "done":
        return f"{job.title} is here. The built-in engine takes it…", ""
    status = job_rows((job,))[0].status
    if job.state == "failed":
        return without_marks(status), ""
    return (
        f"{job.title}: {status}",
        "It goes on when this window is closed, and after a restart where it was.",
    )
