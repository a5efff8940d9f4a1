"""The frozen values that every room speaks in, and the one table of backend and server ids.

Nothing here does I/O, and nothing here is slow to import: the tray icon waits for this module.
Sizes are bytes, durations are seconds, unless a name says otherwise.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from pathlib import Path
from types import MappingProxyType

from whisper_desktop.language import mark, tr

GIB = 2**30
GB = 10**9


# --- Reach: how far a prompt may travel -------------------------------------------------------------------


class Reach(StrEnum):
    """How far a prompt travels, from nearest to farthest. A wider reach includes the nearer ones."""

    THIS_MACHINE = "this_machine"
    MY_NETWORK = "my_network"
    CLOUD = "cloud"

    def allows(self, other: "Reach") -> bool:
        """Whether something that goes as far as `other` may be used when `self` is what is allowed."""
        return _DISTANCE[other] <= _DISTANCE[self]

    @property
    def words(self) -> str:
        """What a person reads: "this computer", "my network", "cloud"."""
        match self:
            case Reach.THIS_MACHINE:
                return tr("this computer")
            case Reach.MY_NETWORK:
                return tr("my network")
            case Reach.CLOUD:
                return tr("cloud")


_DISTANCE = {reach: place for place, reach in enumerate(Reach)}


# --- Ids: one table of backends and servers ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Identity:
    """One row of the table of ids: the canonical id, the name a person reads, and accepted aliases.

    `port` is the default port on loopback (None where there is none), `api_path` what is appended to the
    server's root to reach its OpenAI-compatible API. `root` is the address of a service in the cloud.
    """

    id: str
    name: str
    port: int | None = None
    api_path: str = "/v1"
    aliases: tuple[str, ...] = ()
    root: str = ""


IDENTITIES: Mapping[str, Identity] = MappingProxyType(
    {
        identity.id: identity
        for identity in (
            Identity("lm_studio", "LM Studio", 1234, aliases=("lmstudio", "lm-studio")),
            Identity("ollama", "Ollama", 11434),
            Identity(
                "openrouter",
                "OpenRouter",
                None,
                "/api/v1",
                aliases=("open_router",),
                root="https://openrouter.ai",
            ),
            Identity(
                "llama_cpp",
                "llama.cpp",
                8080,
                aliases=("llamacpp", "llama.cpp", "llama-server", "llama_cpp_metal", "llama_cpp_cuda"),
            ),
            Identity("builtin", mark("Built-in engine"), None, aliases=("built-in", "built_in")),
            Identity("guide", mark("Guide"), None),
            Identity("openai", "OpenAI", None, root="https://api.openai.com"),
            Identity(
                "anthropic", "Anthropic", None, "/v1", aliases=("claude",), root="https://api.anthropic.com"
            ),
            Identity(
                "gemini",
                "Google Gemini",
                None,
                "/v1beta",
                aliases=("google",),
                root="https://generativelanguage.googleapis.com",
            ),
            Identity("openai_compatible", mark("OpenAI-compatible server"), None, aliases=("custom", "http")),
            Identity("stub", mark("Stub (no model)"), None),
            Identity("jan", "Jan", 1337),
            Identity("gpt4all", "GPT4All", 4891),
            Identity("koboldcpp", "KoboldCpp", 5001),
            Identity("textgen", "text-generation-webui", 5000, aliases=("oobabooga",)),
            Identity("localai", "LocalAI", 8080, aliases=("local_ai",)),
            Identity("llamafile", "llamafile", 8080),
            Identity("vllm", "vLLM", 8000),
            Identity("sglang", "SGLang", 30000),
            Identity("lemonade", "Lemonade", 13305, "/api/v1"),
            Identity("docker_model_runner", "Docker Model Runner", 12434, "/engines/v1", aliases=("dmr",)),
            Identity("llama_swap", "llama-swap", 8080),
            Identity("unknown", mark("Another program"), None),
        )
    }
)

_ALIASES = {alias: identity.id for identity in IDENTITIES.values() for alias in identity.aliases}


def canonical_id(name: str) -> str:
    """The canonical id for an id or alias, in any case and with surrounding spaces.

    Raises `KeyError` with the unknown name; callers turn it into a sentence that lists `IDENTITIES`.
    """
    key = name.strip().lower()
    if key in IDENTITIES:
        return key
    return _ALIASES[key]


# --- What the machine has ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class GpuInfo:
    """One graphics processor as the operating system reports it. Unknown figures are None, never 0.

    `vendor` is "NVIDIA", "AMD", "Intel" or "Apple".

    `unified` means that it shares the computer's RAM; then `total_bytes` is what it may take of it.
    `source` says who told us ("nvml", "sysfs", "sysctl", "registry", "list-devices").
    """

    vendor: str
    name: str
    total_bytes: int | None
    free_bytes: int | None = None
    unified: bool = False
    driver: str | None = None
    source: str = ""


@dataclass(frozen=True, slots=True)
class ResourceInfo:
    """What this computer has, with container limits respected.

    `ram_total_bytes` is what programs can use, `ram_installed_bytes` what was bought, where the system tells.
    `container_limit_bytes` is set when a limit below the machine's memory applies.
    `warnings` are whole sentences about probes that failed or were cut short.
    """

    os_name: str
    os_version: str
    arch: str
    cpu_name: str
    cores_physical: int
    cores_logical: int
    ram_total_bytes: int
    ram_available_bytes: int
    ram_installed_bytes: int | None = None
    container_limit_bytes: int | None = None
    cpu_features: tuple[str, ...] = ()
    gpus: tuple[GpuInfo, ...] = ()
    has_display: bool = True
    warnings: tuple[str, ...] = ()

    @property
    def memory_gb(self) -> float:
        """RAM in GiB: the unit of the recommendation's base rule (16 and 8)."""
        return self.ram_total_bytes / GIB


# --- Which servers answer ---------------------------------------------------------------------------------


class ServerStatus(StrEnum):
    """What was found at an address."""

    AVAILABLE = "available"
    NO_MODELS = "no_models"
    LOADING = "loading"
    NEEDS_KEY = "needs_key"
    SOMETHING_ELSE = "something_else"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class Price:
    """What a provider asks for a model, in US dollars a token (and a request)."""

    prompt: float
    completion: float
    request: float = 0.0


class ModelType(StrEnum):
    """What a model is for. A model that sees images and one that writes code can chat as well."""

    CHAT = "chat"
    COMPLETION = "completion"
    EMBEDDING = "embedding"
    CODE = "code"
    VISION = "vision"


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """One model as a server, or the registry, lists it. `context_length` is the loaded instance's, if known.

    `remote` is True for a model that does not run on the machine that lists it (an Ollama cloud model, an
    LM Link device). `capabilities` use "completion", "vision", "tools", "embedding", "reasoning".
    `type`, `path` and `memory_requirement_gb` are the registry's: what it is for, its file on this computer
    (None: it is not here), and what it needs on the processor with 4,096 tokens of context, in GiB.
    """

    id: str
    loaded: bool | None = None
    context_length: int | None = None
    max_context_length: int | None = None
    size_bytes: int | None = None
    remote: bool = False
    capabilities: tuple[str, ...] = ()
    quantization: str | None = None
    parameter_size: str | None = None
    price: "Price | None" = None
    type: ModelType | None = None
    path: Path | None = None
    memory_requirement_gb: float | None = None

    @property
    def can_chat(self) -> bool:
        """Whether it answers chats, as far as the server says: embedding models do not."""
        return "embedding" not in self.capabilities


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """One server that was looked for. `url` is its root, without `/v1` and without a trailing slash.

    `api_base` is where its OpenAI-compatible API starts. `reach` is None when nobody can say where its models
    run (a loopback server that was found, not written down, and not identified as an engine that runs here).
    `detail` is one plain sentence about the status; `as_given` marks an address the person wrote.
    """

    id: str
    name: str
    url: str
    status: ServerStatus
    version: str | None = None
    latency_ms: float | None = None
    models: tuple[ModelInfo, ...] = ()
    api_base: str | None = None
    reach: Reach | None = None
    as_given: bool = False
    detail: str = ""

    @property
    def chat_models(self) -> tuple[ModelInfo, ...]:
        """The models that can answer a chat, loaded ones first, remote ones last."""
        models = (model for model in self.models if model.can_chat)
        return tuple(sorted(models, key=lambda model: (model.remote, not model.loaded)))


# --- What is sent to a model and what comes back ----------------------------------------------------------


class Role(StrEnum):
    """Who speaks in a conversation."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


@dataclass(frozen=True, slots=True)
class Image:
    """A picture that goes along with a message: its bytes, never an address that somebody would fetch."""

    data: bytes
    media_type: str = "image/png"


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A function that a model may call. `parameters` is the JSON schema of its arguments."""

    name: str
    description: str = ""
    parameters: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A model's wish to call a function. `arguments` is JSON text, complete but not checked.

    `signature` is what some providers want back, unread, with the next request (Gemini's thought signature).
    """

    id: str
    name: str
    arguments: str
    signature: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation.

    `tool_calls` are an assistant's; `tool_call_id` and `name` say which call a tool's message answers.
    """

    role: Role
    content: str
    images: tuple[Image, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class GenerationConfig:
    """What a caller may set for one answer. None means: the server's own default.

    `tool_choice` is "auto", "none", "required", or the name of a tool. `json_schema` asks for an answer of
    that shape. `reasoning` is "off", "low", "medium" or "high", for models that think. `context_length` asks
    for a context window, in tokens, where a server lets a request choose it. `extra` is put into the request
    as it is; a backend takes what it knows from it.
    """

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    tools: tuple[ToolSpec, ...] = ()
    tool_choice: str | None = None
    json_schema: Mapping[str, object] | None = None
    reasoning: str | None = None
    context_length: int | None = None
    extra: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens counted by the server, and its own timing where it tells (llama.cpp `timings`)."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    tokens_per_second: float | None = None
    prompt_tokens_per_second: float | None = None
    cost_usd: float | None = None
    cached_prompt_tokens: int | None = None
    reasoning_tokens: int | None = None


class ErrorKind(StrEnum):
    """Why an attempt failed. One taxonomy for all backends; `llm` decides by it what happens next."""

    NOT_CONFIGURED = "not_configured"
    CONSENT_REQUIRED = "consent_required"
    BUDGET = "budget"
    CONNECT_REFUSED = "connect_refused"
    CONNECT_TIMEOUT = "connect_timeout"
    NAME_NOT_FOUND = "name_not_found"
    TLS = "tls"
    OFFLINE = "offline"
    CLOSED_EARLY = "closed_early"
    LOADING = "loading"
    OVERLOADED = "overloaded"
    QUEUE_FULL = "queue_full"
    RATE_LIMITED = "rate_limited"
    QUOTA = "quota"
    AUTH = "auth"
    MODEL_MISSING = "model_missing"
    BAD_REQUEST = "bad_request"
    UNSUPPORTED = "unsupported"
    CONTEXT_OVERFLOW = "context_overflow"
    CONTENT_FILTER = "content_filter"
    SERVER_ERROR = "server_error"
    FIRST_TOKEN_TIMEOUT = "first_token_timeout"
    STALLED = "stalled"
    TOTAL_TIMEOUT = "total_timeout"
    STREAM_CUT = "stream_cut"
    TRUNCATED = "truncated"
    EMPTY = "empty"
    NOT_AN_LLM = "not_an_llm"
    MALFORMED = "malformed"
    TOO_LARGE = "too_large"
    ENGINE = "engine"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of one backend. `kind` is None for the attempt that answered; `detail` is a plain sentence.

    `skipped` marks one that was left out without being asked: it failed a moment ago, goes too far, or costs
    too much; `kind` then says why.
    """

    backend: str
    server_name: str
    url: str
    model: str | None
    kind: ErrorKind | None
    detail: str
    seconds: float
    status: int | None = None
    skipped: bool = False

    @property
    def ms(self) -> float:
        """How long it took, in milliseconds."""
        return self.seconds * 1000


@dataclass(frozen=True, slots=True)
class Provenance:
    """Who answered, where it ran, and why it was this one.

    `reason` is a sentence ("LM Studio did not answer, so Ollama did"). `attempts` holds every try in order,
    the last being the one that answered. `ttft_seconds` is the time to the first token, counted from the
    moment the person asked. `tokens_per_second` is the server's own figure where it gives one, else ours.
    """

    backend: str
    server_name: str
    url: str
    model: str
    reach: Reach
    as_given: bool
    reason: str
    attempts: tuple[Attempt, ...]
    ttft_seconds: float | None
    total_seconds: float
    tokens_per_second: float | None
    usage: Usage = Usage()

    @property
    def cost_usd(self) -> float | None:
        """What the answer cost, where the provider or its price list tells."""
        return self.usage.cost_usd


class _Event:
    """An event of an answer. `text` is what it adds to the answer: "" for everything but a `TextDelta`."""

    __slots__ = ()

    @property
    def text(self) -> str:
        return ""


@dataclass(frozen=True, slots=True)
class AttemptFailed(_Event):
    """A step of the chain did not answer; the next one is being tried."""

    attempt: Attempt


class Phase(StrEnum):
    """What an answer waits for."""

    QUEUED = "queued"
    LOADING = "loading"
    READING = "reading"
    CALLING = "calling"


@dataclass(frozen=True, slots=True)
class Progress(_Event):
    """The answer has not begun, but it is under way: `done` (0 to 1, None unknown) of what `phase` names.

    LOADING is the model, READING the prompt; QUEUED waits for a free place, with `ahead` others before it.
    CALLING: the model writes the arguments of a function call, which is handed out when it is complete.
    `server_name` is who is waited for, once a chain hands the event on.
    """

    phase: Phase
    done: float | None = None
    ahead: int = 0
    server_name: str = ""


@dataclass(frozen=True, slots=True)
class AnswerStarted(_Event):
    """The first token is there, and this is who speaks."""

    backend: str
    server_name: str
    model: str
    reach: Reach


@dataclass(frozen=True, slots=True)
class TextDelta:
    """The next piece of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class ReasoningDelta(_Event):
    """The next piece of the model's reasoning, kept apart from the answer."""

    reasoning: str


@dataclass(frozen=True, slots=True)
class ToolCallDelta(_Event):
    """The model calls a function; the call is complete. It is handed out once, whatever breaks later."""

    call: ToolCall


@dataclass(frozen=True, slots=True)
class AnswerRestarted(_Event):
    """The answer broke off, and somebody else begins it anew. `partial_text` and `partial_reasoning` are what
    was shown so far: they are not part of what follows. `failed` says who stopped and why.
    """

    failed: Attempt
    partial_text: str
    partial_reasoning: str = ""


@dataclass(frozen=True, slots=True)
class AnswerContinued(_Event):
    """The answer broke off, and somebody else goes on with its text from here. `failed` says who stopped."""

    failed: Attempt
    position: int


@dataclass(frozen=True, slots=True)
class StreamEnd:
    """What a backend says at the end of its stream: why it stopped, and what it counted."""

    finish_reason: str
    usage: Usage = Usage()
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Embeddings:
    """One vector for each text that was given, in its order, and who made them."""

    vectors: tuple[tuple[float, ...], ...]
    model: str | None
    usage: Usage = Usage()


@dataclass(frozen=True, slots=True)
class Completion:
    """A whole answer with its provenance."""

    text: str
    reasoning: str
    finish_reason: str
    usage: Usage
    provenance: Provenance
    tool_calls: tuple[ToolCall, ...] = ()
    seams: tuple[int, ...] = ()
    """Positions in `text` where another backend went on with it."""


@dataclass(frozen=True, slots=True)
class AnswerFinished(_Event):
    """The last event of a stream that succeeded."""

    completion: Completion


BackendEvent = Progress | TextDelta | ReasoningDelta | ToolCallDelta | StreamEnd
"""What one backend yields while it answers."""

StreamEvent = (
    AttemptFailed
    | Progress
    | AnswerStarted
    | TextDelta
    | ReasoningDelta
    | ToolCallDelta
    | AnswerRestarted
    | AnswerContinued
    | AnswerFinished
)
"""What the chain yields: the pieces of the answer, and everything a person should be told on the way."""


class OnInterruption(StrEnum):
    """What happens when an answer breaks off after part of it was shown.

    RESTART asks the next backend from the beginning, CONTINUE lets it go on with the text where that is
    possible (else it is a restart), STOP ends with what came.
    """

    RESTART = "restart"
    CONTINUE = "continue"
    STOP = "stop"


# --- What is recommended ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DownloadLink:
    """A page where something is to be had. `title` is what a person reads."""

    title: str
    url: str


@dataclass(frozen=True, slots=True)
class SetupGuidance:
    """What to do when nothing answers: a headline, numbered steps, links, and whether the guide can help."""

    headline: str
    steps: tuple[str, ...] = ()
    links: tuple[DownloadLink, ...] = ()
    offer_guide: bool = True


@dataclass(frozen=True, slots=True)
class Alternative:
    """Another choice and the sentence that says when to take it."""

    server: str
    model: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class SetupRecommendation:
    """What to use on this computer, and why.

    `preferred_server` is a canonical id; `recommended_models` are names as that server knows them, the first
    being the default; every one of them fits. `reasons`, `steps` and `memory_note` are whole sentences.
    `ready_model` is set when a server that already runs can answer at once with that model.
    """

    preferred_server: str
    recommended_models: tuple[str, ...]
    setup_url: str
    memory_note: str
    reasons: tuple[str, ...]
    steps: tuple[str, ...]
    download_links: tuple[DownloadLink, ...] = ()
    alternatives: tuple[Alternative, ...] = ()
    ready_model: str | None = None


@dataclass(frozen=True, slots=True)
class ConnectionReport:
    """The outcome of *test connection*: a real answer, or precisely what is wrong and what to do next."""

    ok: bool
    title: str
    detail: str = ""
    next_step: str = ""
    completion: Completion | None = None


# --- Time -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Every duration the app waits for, in seconds, in one place, so that tests can scale time.

    Of an answer: `first_token` bounds the time until its first token, on every step but the last; each sign
    of progress (a prompt being read, a model being loaded) moves that moment to `progress_grace` from then,
    at most to `first_token_most`; a model that is known not to be loaded gets `model_load`. `no_progress`
    bounds the last step. `stall` is the time between two tokens, `comments_only` how long keep-alive comments
    alone may stretch it. `total_network` and `total_cloud` bound a whole answer; on this computer nothing
    does while there is progress. `hedge` is after how long the next backend is asked side by side.
    The `breaker_*` times say how long a backend that failed is left out at first, and at most.
    `listing` is how long a server's list of models is believed.

    Of an engine: `engine_restart` is the wait before its second restart in a row, doubled each time up to
    `engine_restart_most`; three failures within `engine_budget_window` end the restarts, and an engine that
    ran for `engine_stable` starts counting anew. `engine_hang` is how long a question may make no progress
    inside it, `engine_hang_busy` the same while it visibly computes. `engine_slot_free` is how long after
    everybody has left it may still be busy. `engine_watch` is the time between two looks at it.
    `engine_leave` is how long a start goes on that nobody waits for any more.
    Of the pool of engines: `pool_start` bounds its start; each sign of progress moves the end to `pool_grant`
    from then, at most to `pool_start_most`; without any for `pool_stall` the start has failed.
    `pool_request` bounds a request that makes no progress.
    """

    scan_total: float = 1.5
    probe_connect: float = 0.5
    probe_request: float = 0.8
    machine_probe: float = 2.0
    connect_local: float = 0.5
    connect_network: float = 2.0
    connect_cloud: float = 5.0
    request: float = 10.0
    first_token: float = 60.0
    first_token_most: float = 1800.0
    progress_grace: float = 30.0
    model_load: float = 300.0
    no_progress: float = 180.0
    stall: float = 60.0
    stall_cloud: float = 30.0
    comments_only: float = 120.0
    total_network: float = 1800.0
    total_cloud: float = 600.0
    drain: float = 0.25
    cleanup: float = 2.0
    loading_wait: float = 120.0
    loading_move_on: float = 2.0
    loading_poll: float = 0.25
    retry_pause: float = 0.3
    retry_after_most: float = 3.0
    retry_after_most_batch: float = 120.0
    hedge: float = 4.0
    queue: float = 30.0
    hook: float = 0.25
    breaker_local: float = 1.0
    breaker_local_most: float = 30.0
    breaker_far: float = 5.0
    breaker_far_most: float = 120.0
    breaker_window: float = 60.0
    not_an_llm: float = 30.0
    key_blocked: float = 900.0
    clock_tick: float = 2.0
    clock_gap: float = 30.0
    clock_drift: float = 5.0
    listing: float = 5.0
    engine_start: float = 120.0
    engine_start_most: float = 3600.0
    engine_stall: float = 120.0
    engine_ask: float = 10.0
    engine_poll: float = 0.025
    engine_stop_grace: float = 0.75
    engine_stop_term: float = 2.0
    engine_stop_kill: float = 3.0
    engine_restart: float = 1.0
    engine_restart_most: float = 60.0
    engine_budget_window: float = 300.0
    engine_stable: float = 60.0
    engine_hang: float = 120.0
    engine_hang_busy: float = 600.0
    engine_slot_free: float = 3.0
    engine_watch: float = 2.0
    engine_leave: float = 10.0
    pool_start: float = 1800.0
    pool_grant: float = 120.0
    pool_start_most: float = 3600.0
    pool_stall: float = 120.0
    pool_request: float = 180.0
    program_start: float = 60.0
    download_stall: float = 60.0
    control_connect: float = 1.0
    control_reply: float = 10.0
    control_linger: float = 120.0
    keyring: float = 5.0
    settings_lock: float = 5.0
    shutdown: float = 3.0

    def scaled(self, factor: float) -> "Deadlines":
        """All durations multiplied by `factor`."""
        return Deadlines(**{name: getattr(self, name) * factor for name in self.__slots__})


class EngineState(Enum):
    """Where an engine (a server process that we own) is in its life."""

    STOPPED = "stopped"
    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"
    FAILED = "failed"
    BACKING_OFF = "backing_off"
    """It ended by itself and is started again by itself, a moment later."""
    SLEEPING = "sleeping"
    """It was ended to free its memory; the next question starts it."""


@dataclass(frozen=True, slots=True)
class Repair:
    """One way to mend an engine that cannot run, for a button.

    `id` is one of smaller_context, quantized_cache, fewer_layers, no_gpu, no_repack, other_port,
    download_again, other_build, remove_option. `label` names it in a few words, `detail` says in a sentence
    what it does and what it costs. `change` is what it changes in how this model is started, such as
    "n_ctx=4096" (see `engines.repair`); "" where it is not a change of that kind and `command` is what a
    person runs, or a front end opens, instead.
    """

    id: str
    label: str
    detail: str
    change: str = ""
    command: str = ""


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """A snapshot of an engine. `url` and `pid` are set while a process lives; `detail` is a sentence.

    `cause` is the stable word for why it failed or was started again, `repairs` what could mend it, the
    likeliest first. `warning` is a sentence about an engine that runs, but not as planned (on the processor
    instead of the graphics card). `progress` is how much of the model is loaded, from 0 to 1, where that is
    known; `restart_in` how many seconds from this snapshot it starts again; `tokens_per_second` what it
    writes on average, once it has written something.
    """

    engine: str
    state: EngineState
    model: str | None
    url: str | None
    pid: int | None
    detail: str
    memory_bytes: int | None = None
    cause: str = ""
    repairs: tuple[Repair, ...] = ()
    warning: str = ""
    progress: float | None = None
    restart_in: float | None = None
    tokens_per_second: float | None = None
