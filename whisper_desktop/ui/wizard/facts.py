"""What the wizard says about the machine, the servers, and how far the chosen one is, as values. No Qt."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from whisper_desktop.advice.flow import FlowState, Option, chosen_server, is_ready, to_download
from whisper_desktop.advice.steps import model_title
from whisper_desktop.language import tr, trn
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
        names = (tr("Memory"), tr("Processor"), tr("Graphics"))
        return tuple(Fact(name, tr("looking…"), "waiting") for name in names)
    cores = trn("one core", "{count} cores", found.cores_physical)
    memory = tr(
        "{total:.1f} GB, {free:.1f} GB free",
        total=found.ram_total_bytes / GB,
        free=found.ram_available_bytes / GB,
    )
    graphics = "; ".join(_gpu(gpu) for gpu in found.gpus)
    return (
        Fact(tr("Memory"), memory, "good"),
        Fact(tr("Processor"), f"{found.cpu_name}, {cores}", "good"),
        Fact(
            tr("Graphics"),
            graphics or tr("none that could run a model"),
            "good" if graphics else "neutral",
        ),
    )


def _gpu(gpu: GpuInfo) -> str:
    if gpu.total_bytes is None:
        return gpu.name
    size = gpu.total_bytes / GB
    if gpu.unified:
        return tr("{name}, {size:.1f} GB shared", name=gpu.name, size=size)
    return tr("{name}, {size:.1f} GB", name=gpu.name, size=size)


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
        return Fact(title, tr("another program uses its port {port}", port=IDENTITIES[name].port), "warn")
    if state.scanning:
        return Fact(title, tr("looking…"), "waiting")
    return Fact(title, tr("no key yet") if name == "openrouter" else tr("not running"), "neutral")


def _strangers(state: FlowState) -> list[Fact]:
    """Programs that are no model server and stand where none of the rows above expects one."""
    told = [stranger_at(state, name) for name in _ALWAYS]
    return [
        Fact(tr("Port {port}", port=_port(server)), tr("another program answers there"), "neutral")
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
    models = trn("running, one model", "running, {count} models", len(server.chat_models))
    words, tone = {
        ServerStatus.AVAILABLE: (models, "good"),
        ServerStatus.NO_MODELS: (tr("running, has no model yet"), "warn"),
        ServerStatus.LOADING: (tr("running, loading a model…"), "neutral"),
        ServerStatus.NEEDS_KEY: (tr("running, asks for a key"), "warn"),
        ServerStatus.SOMETHING_ELSE: (tr("another program answers at its address"), "warn"),
        ServerStatus.UNREACHABLE: (tr("not running"), "neutral"),
    }[server.status]
    if server.id == "openrouter":
        words = {
            ServerStatus.AVAILABLE: tr("key found"),
            ServerStatus.NEEDS_KEY: tr("does not accept its key"),
        }.get(server.status, words)
    return Fact(server.name, words, tone)


def progress(state: FlowState) -> tuple[str, str]:
    """How far the choice has come: the sentence beside the spinner, and a smaller one with the detail."""
    choice = state.choice
    if choice is None:
        return "", ""
    name = IDENTITIES[choice.backend].name
    if is_ready(state):
        return tr("✓  {name} is ready. Test it.", name=name), ""
    if choice.backend == "openrouter":
        return tr(
            "Prompts to OpenRouter leave this computer. A conversation says so before the first one."
        ), ""
    if (stranger := stranger_at(state, choice.backend)) is not None:
        words = tr("{name} cannot answer yet: another program uses its port.", name=name)
        return words, without_marks(stranger.detail)
    if to_download(state) is not None:
        return _download(state)
    return _waiting(state, choice, name)


def _waiting(state: FlowState, choice: Option, name: str) -> tuple[str, str]:
    """What the program that is to be installed still lacks."""
    server = chosen_server(state)
    if server is None or server.status is ServerStatus.UNREACHABLE:
        given = server is not None and server.as_given
        where = tr("Looked for at {address}.", address=server.url) if server is not None and given else ""
        return tr("Waiting for {name} to answer… This page notices by itself.", name=name), where
    if server.status is ServerStatus.AVAILABLE and server.chat_models and choice.model is not None:
        there = tr("{name} is running, without {model}.", name=name, model=model_title(choice.model))
        return there, tr("This page notices when the model is there.")
    sentence = {
        ServerStatus.LOADING: tr("{name} is loading a model… This page notices when it is ready.", name=name),
        ServerStatus.NO_MODELS: tr(
            "{name} is running, without a model. This page notices when one is there.", name=name
        ),
        ServerStatus.NEEDS_KEY: tr("{name} is running and asks for a key.", name=name),
        ServerStatus.SOMETHING_ELSE: tr(
            "{name} cannot answer yet: another program is at its address.", name=name
        ),
    }.get(server.status, tr("{name} is running, but none of its models can chat.", name=name))
    told = server.status in (ServerStatus.LOADING, ServerStatus.NO_MODELS)
    return sentence, "" if told else without_marks(server.detail)


def _download(state: FlowState) -> tuple[str, str]:
    """How far the model is that the app fetches itself."""
    job = state.download
    if job is None:
        return tr("Nothing has been downloaded yet."), ""
    if job.state == "done":
        return tr("{title} is here. The built-in engine takes it…", title=job.title), ""
    status = job_rows((job,))[0].status
    if job.state == "failed":
        return without_marks(status), ""
    return (
        tr("{title}: {status}", title=job.title, status=status),
        tr("It goes on when this window is closed, and after a restart where it was."),
    )
