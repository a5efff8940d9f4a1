"""Every setting, declared once: type, default, environment variable, and the sentence a person reads.

`config set`, the example file, the documentation and the settings window derive from these declarations.
The sections are frozen and keep keys they do not know, so that a newer version's file survives an older one.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from whisper_desktop.language import tr
from whisper_desktop.settings.kinds import (
    AfterBreak,
    AtOnce,
    Backend,
    CacheType,
    Chain,
    ChangesByModel,
    Connections,
    Context,
    Days,
    Dollars,
    EnginePort,
    Far,
    FilePath,
    Flag,
    Folders,
    Hosts,
    Language,
    Layers,
    Megabytes,
    Minutes,
    Mode,
    Names,
    Notify,
    Options,
    Port,
    Quorum,
    ReachByAddress,
    Seconds,
    Shortcut,
    Text,
    TextByName,
    Theme,
    TokenCount,
    TrayIcon,
    Url,
    Urls,
    expected,
)
from whisper_desktop.settings.section import Declared, Section
from whisper_desktop.values import OnInterruption, Reach
from whisper_desktop.wire.typed import Reader, reader

KeyPath = tuple[str, ...]

_UNDECLARED = object()


def _setting(
    default: object,
    title: str,
    description: str,
    *,
    env: str | None = None,
    if_bad: object = _UNDECLARED,
) -> Any:  # noqa: ANN401
    """Declares a setting. `if_bad` is what an unreadable value stands for, whatever is set elsewhere."""
    return Declared(default, title, description, env, () if if_bad is _UNDECLARED else (if_bad,))


class _BackendSection(Section):
    """What the app sets for one backend; anything else in it is an option that the backend checks itself."""


class LMStudioSettings(_BackendSection):
    """LM Studio on this computer."""

    port: Port = _setting(1234, "LM Studio's port", "The port of LM Studio's server on this computer.")
    appimage_path: FilePath = _setting(
        None,
        "LM Studio's AppImage",
        "Where LM Studio's AppImage is, if the app should be able to start it (Linux).",
    )
    use_xvfb: Flag = _setting(
        False,
        "Start LM Studio without a display",
        "Whether LM Studio's AppImage is started on a virtual display (Xvfb), for a computer without one.",
    )


class LlamaCppSettings(_BackendSection):
    """A llama-server: one that runs already, or one that the app starts."""

    server_path: FilePath = _setting(
        None,
        "llama-server program",
        "Where the llama-server program is. Without it: one installed by `engine builds install`, the one on "
        "PATH, else the built-in engine.",
    )
    model_path: FilePath = _setting(
        None,
        "Model file",
        "The GGUF file that the app's own engine runs. Without it, and without a GGUF file, there is none.",
    )
    port: Port = _setting(8080, "llama-server's port", "The port where a running llama-server is looked for.")
    n_gpu_layers: Layers = _setting(
        "auto",
        "Layers on the GPU",
        "How many layers go to the GPU. auto takes as many as fit; "
        "a number is obeyed even where it will not fit.",
    )
    n_ctx: Context = _setting(
        "auto",
        "Context window",
        "How many tokens a conversation can hold. auto takes what fits, 32768 at most; "
        "a number is obeyed even where it will not fit.",
    )
    cache_type: CacheType = _setting(
        "auto",
        "KV cache",
        "How the model remembers the conversation: f16 exactly, q8_0 in half the memory. "
        "auto is f16, unless you accepted q8_0 as a repair.",
    )
    engine_port: EnginePort = _setting(
        None,
        "The engine's port",
        "The port that the app's own engine listens on. auto: a free one, which is almost always right.",
    )
    idle_minutes: Minutes = _setting(
        15.0,
        "Sleep when idle",
        "After how many minutes without a question the engine gives its memory back. The next question wakes "
        "it. 0: never.",
    )
    sleep_under_pressure: Flag = _setting(
        True,
        "Sleep when memory is short",
        "Whether the engine gives its memory back two minutes after the last question when other programs "
        "need it.",
    )
    sleep_on_battery: Flag = _setting(
        False,
        "Sleep on battery",
        "Whether the engine gives its memory back two minutes after the last question while the computer "
        "runs on its battery.",
    )
    repairs: ChangesByModel = _setting(
        {},
        "Accepted repairs",
        "What you accepted for a model that did not start. The app keeps this itself.",
    )
    extra_args: Options = _setting(
        (),
        "Further options",
        "Options of llama-server for the app's own engine, as on a command line. They win over what the app "
        "sets; the built-in engine knows most of them.",
    )
    rpc_servers: Hosts = _setting(
        (),
        "Further computers",
        "Computers that run llama.cpp's rpc-server and lend their memory. The line to them is not "
        "encrypted: only on a network you trust.",
    )
    build_index: Url = _setting(
        None,
        "Where builds are listed",
        "The address of a list of llama.cpp releases, where it is not GitHub's own.",
    )
    build_mirrors: Urls = _setting(
        (), "Mirrors for builds", "Addresses that builds are downloaded from, instead of the listed ones."
    )


class PoolSettings(Section):
    """The pool of engines for agents with roles, one for each role where they fit."""

    roles: Names = _setting(
        ("planner", "coder", "runner", "critic", "summarizer"),
        "Roles",
        "The roles that get an engine (or a slot of one) of their own, in this order.",
    )
    quorum: Quorum = _setting(
        "all", "Enough to begin", "How many roles must be ready before the pool answers: all, or a number."
    )
    start_minutes: Minutes = _setting(
        30.0, "Patience with the start", "How many minutes the pool's start may take at first."
    )
    grant_minutes: Minutes = _setting(
        2.0, "More patience", "How many minutes more each sign of progress gives the start."
    )
    most_minutes: Minutes = _setting(
        60.0, "Most patience", "How many minutes the start may take at most, whatever its progress."
    )
    stall_seconds: Seconds = _setting(
        120.0,
        "Patience without progress",
        "After how many seconds without any progress the start has failed.",
    )
    request_seconds: Seconds = _setting(
        180.0, "Patience with a request", "How many seconds a request may take without any progress."
    )
    stub: Flag = _setting(
        False, "Stub", "Whether fixed texts answer instead of engines (to try programs out)."
    )


class OllamaSettings(_BackendSection):
    """Ollama."""

    base_url: Url = _setting(
        None,
        "Ollama's address",
        "Where Ollama is. Without it: OLLAMA_HOST, else port 11434 on this computer.",
    )
    model: Text = _setting(
        None, "Ollama's model", "The model to use with Ollama. Without it: one that is loaded."
    )


class OpenRouterSettings(_BackendSection):
    """OpenRouter, a cloud service. Its key is kept in the system's keyring, never here."""

    model: Text = _setting(None, "OpenRouter's model", "The model to use with OpenRouter.")
    base_url: Url = _setting(
        None, "OpenRouter's address", "Where OpenRouter is, where that is not openrouter.ai itself."
    )


class OpenAISettings(_BackendSection):
    """OpenAI, a cloud service. Its key is kept in the system's keyring, never here."""

    model: Text = _setting(None, "OpenAI's model", "The model to use with OpenAI.")


class AnthropicSettings(_BackendSection):
    """Anthropic, a cloud service. Its key is kept in the system's keyring, never here."""

    model: Text = _setting(None, "Anthropic's model", "The model to use with Anthropic.")


class GeminiSettings(_BackendSection):
    """Google Gemini, a cloud service. Its key is kept in the system's keyring, never here."""

    model: Text = _setting(None, "Gemini's model", "The model to use with Google Gemini.")


class SpendingSettings(Section):
    """What answers may cost. A paid model whose price nobody knows is not asked while a limit is set."""

    daily: Dollars = _setting(
        None, "Most a day", "How many US dollars answers may cost in a day. none: no limit.", if_bad=0.0
    )
    monthly: Dollars = _setting(
        None, "Most a month", "How many US dollars answers may cost in a month. none: no limit.", if_bad=0.0
    )


class LLMSettings(Section):
    """Which model answers, and how it is reached."""

    backend: Backend = _setting(
        None,
        "Backend",
        "Who answers. auto takes the first that does, from what was found: local first, cloud last.",
        env="WHISPER_LLM_BACKEND",
    )
    model_name: Text = _setting(
        None,
        "Model",
        "The model to ask for. Without it: one that the server has loaded.",
        env="LLM_MODEL_NAME",
    )
    base_url: Url = _setting(
        None,
        "Address of an OpenAI-compatible server",
        "A server that you name yourself. It is tried first.",
        env="LLM_CHAT_API_URL",
    )
    context_window: TokenCount = _setting(
        None,
        "Context window",
        "How many tokens to count on, where a server does not say. auto: only what it says.",
    )
    auto_detect: Flag = _setting(
        True,
        "Look for servers",
        "Whether the app looks for LLM servers on this computer.",
        env="WHISPER_LLM_AUTO_DETECT",
    )
    fallback_chain: Chain = _setting(
        None,
        "Fallback chain",
        "Which backends are tried, in this order, until one answers. "
        "auto takes what was found: local first, cloud last and only with your consent.",
        env="WHISPER_LLM_FALLBACK_CHAIN",
    )
    mode: Mode = _setting(
        "auto",
        "Servers or own engine",
        "http asks servers only, direct uses the app's own engine only, auto uses both.",
        env="WHISPER_LLM_MODE",
    )
    on_interruption: AfterBreak = _setting(
        OnInterruption.RESTART,
        "When an answer breaks off",
        "restart asks the next backend from the beginning and keeps what came, continue lets it go on with "
        "the text where it can, stop ends with what came.",
    )
    hedge: Flag = _setting(
        True,
        "Ask the next one side by side",
        "Whether the next backend is asked as well when the first takes long to begin. "
        "It must cost nothing, and have its model loaded.",
    )
    hedge_paid: Flag = _setting(
        False,
        "Ask a paid one side by side",
        "Whether the one that is asked side by side may also be one that costs money.",
        if_bad=False,
    )
    request_timeout: Seconds = _setting(
        180.0,
        "Patience",
        "How many seconds an answer may take without any progress. Reading a long prompt and loading a model "
        "are progress.",
    )
    wait_for_loading: Seconds = _setting(
        2.0,
        "Patience with a loading server",
        "How many seconds a server that loads its model is waited for while another one could answer.",
    )
    max_concurrent: AtOnce = _setting(
        10, "Answers at once", "How many answers may be under way at the same time; further ones wait."
    )
    enable_direct: Flag = _setting(
        True,
        "Own engine",
        "Whether a model may be run by the app's own engine, not only by servers.",
        env="WHISPER_ENABLE_DIRECT_LLM",
    )
    show_setup_guidance: Flag = _setting(
        True,
        "Setup guidance",
        "Whether an error that no model answers comes with steps to set one up.",
        env="WHISPER_SHOW_SETUP_GUIDANCE",
    )
    model_cache_dir: FilePath = _setting(
        None,
        "Folder for models",
        "Where downloaded models are kept. Without it: models, in the app's data folder.",
        env="WHISPER_MODEL_CACHE_DIR",
    )
    model_folders: Folders = _setting(
        (), "Further folders with models", "Folders to look for models in, besides those of known programs."
    )
    gguf_model_path: FilePath = _setting(
        None, "GGUF file", "A model file for the app's own engine.", env="WHISPER_GGUF_MODEL_PATH"
    )
    stub: Flag = _setting(
        False,
        "Stub",
        "Whether a fixed text answers instead of a model (to try programs out).",
        env="WHISPER_LLM_STUB",
    )
    allow_network: Flag = _setting(
        True,
        "Network",
        "Off: nothing is sent beyond this computer, whatever else is set.",
        env="WHISPER_ALLOW_NETWORK",
        if_bad=False,
    )
    reach: Far = _setting(
        Reach.THIS_MACHINE,
        "How far a prompt may travel",
        "How far your words may go: this computer only, your own network too, or the cloud as well. Each of "
        "them includes those before it.",
        if_bad=Reach.THIS_MACHINE,
    )
    addresses: Urls = _setting(
        (), "Further addresses", "Addresses of servers to look at, besides the ones the app knows."
    )
    lmstudio: LMStudioSettings = LMStudioSettings()
    llamacpp: LlamaCppSettings = LlamaCppSettings()
    ollama: OllamaSettings = OllamaSettings()
    openrouter: OpenRouterSettings = OpenRouterSettings()
    openai: OpenAISettings = OpenAISettings()
    anthropic: AnthropicSettings = AnthropicSettings()
    gemini: GeminiSettings = GeminiSettings()
    pool: PoolSettings = PoolSettings()
    spending: SpendingSettings = SpendingSettings()

    @property
    def own_model(self) -> Path | None:
        """The file that the app's own engine runs; None without one."""
        return self.gguf_model_path or self.llamacpp.model_path

    def backend_options(self, backend: str) -> Mapping[str, object]:
        """Everything set under `llm.<backend>`, for the backend to check: it knows its own options.

        `backend` is an id or alias; an unknown one has no options.
        """
        name = SECTION_OF_BACKEND.get(backend, backend)
        section = dict(self.items()).get(name)
        if isinstance(section, Section):
            return {key: value for key, value in section.items() if value is not None}
        return dict(section) if isinstance(section, Mapping) else {}


class DownloadSettings(Section):
    """How models are fetched."""

    hub: Url = _setting(
        None,
        "Mirror of Hugging Face",
        "Where models come from. Without it: https://huggingface.co.",
        env="HF_ENDPOINT",
    )
    most_mb_per_second: Megabytes = _setting(
        None, "Speed limit", "How many megabytes a second downloads may take together. none: no limit."
    )
    at_once: AtOnce = _setting(1, "Downloads at once", "How many downloads run side by side; others wait.")
    connections: Connections = _setting(
        4, "Connections", "How many connections one download opens to its server."
    )


class PrivacySettings(Section):
    """What you have allowed."""

    server_reach: ReachByAddress = _setting(
        {},
        "Where servers run their models",
        "For addresses where the app cannot tell how far a prompt travels: what you answered when it asked.",
    )


class ChatSettings(Section):
    """Conversations."""

    keep: Flag = _setting(
        True,
        "Keep conversations",
        "Whether conversations are kept on this computer. Off: new ones are forgotten when the app ends.",
    )
    titles_by_model: Flag = _setting(
        True,
        "Titles by the model",
        "Whether the model that answered gives a new conversation its title. It is asked once, after its "
        "first answer, where that costs nothing.",
    )
    bin_days: Days = _setting(
        30, "Days in the bin", "After how many days a deleted conversation is gone for good. 0: at once."
    )


class UISettings(Section):
    """The desktop."""

    theme: Theme = _setting("system", "Colours", "system, light or dark.")
    language: Language = _setting(
        "system",
        "Language",
        "The language of the app. system: the one your computer speaks, where the app does.",
    )
    tray_icon: TrayIcon = _setting(
        "system", "Icon in the tray", "system, or light, dark or color where the icon cannot be seen well."
    )
    quick_ask_shortcut: Shortcut = _setting(
        "Ctrl+Alt+Space", "Keys for Quick ask", "The keys that open Quick ask from anywhere. none: no keys."
    )
    notifications: Notify = _setting(
        "all", "Notifications", "all, problems only, or none. What needs attention stays at the tray icon."
    )
    setup_done: Flag = _setting(
        False, "Setup done", "Whether the setup was finished; else it opens at the start."
    )
    geometry: TextByName = _setting({}, "Windows", "Where the windows were. The app keeps this itself.")


class Settings(Section):
    """All settings. An object of this class is always valid; `LoadedSettings` tells how it came about."""

    llm: LLMSettings = LLMSettings()
    downloads: DownloadSettings = DownloadSettings()
    privacy: PrivacySettings = PrivacySettings()
    chat: ChatSettings = ChatSettings()
    ui: UISettings = UISettings()


SECTION_OF_BACKEND: Mapping[str, str] = {"lm_studio": "lmstudio", "llama_cpp": "llamacpp"}
"""Sub-sections of `llm` whose name in the file differs from the backend's id; both spellings are read."""


# --- The declarations as a table --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SettingInfo:
    """One setting as a table row. `env` is its own variable's name, besides the general form.

    `type` is what its section declares, `read` makes a value of it.

    `if_bad` holds one value or none: what a misspelt value of this setting stands for, so that a slip of the
    pen cannot open what the person wanted shut.
    """

    path: KeyPath
    title: str
    description: str
    type: Any
    read: Reader
    expects: str
    default: object
    nullable: bool
    env: str | None
    if_bad: tuple[object, ...]

    @property
    def key(self) -> str:
        """The dotted name, as in `config set`."""
        return ".".join(self.path)

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return self.env or f"WHISPER_{'__'.join(self.path).upper()}"


def _table(section: type[Section], path: KeyPath = ()) -> dict[KeyPath, SettingInfo]:
    rows: dict[KeyPath, SettingInfo] = {}
    for name, type_ in section.types.items():
        here, declared = (*path, name), getattr(section, name)
        if isinstance(declared, Declared):
            rows[here] = _row(here, type_, declared)
        else:
            rows |= _table(type_, here)
    return rows


def _row(path: KeyPath, type_: Any, declared: Declared) -> SettingInfo:  # noqa: ANN401
    return SettingInfo(
        path=path,
        title=declared.title,
        description=declared.description,
        type=type_,
        read=reader(type_),
        expects=expected(type_),
        default=declared.default,
        nullable=type(None) in get_args(get_args(type_)[0]),
        env=declared.env,
        if_bad=declared.if_bad,
    )


SETTINGS: Mapping[KeyPath, SettingInfo] = _table(Settings)
"""Every declared setting by its path."""

SECTIONS: frozenset[KeyPath] = frozenset(path[:depth] for path in SETTINGS for depth in range(1, len(path)))
"""The paths that have settings under them instead of a value."""


def heading(section: KeyPath) -> str:
    """The sentence about a section, from its declaration."""
    found: type[Section] = Settings
    for name in section:
        found = found.types[name]
    return (found.__doc__ or "").strip()


def canonical_path(path: KeyPath) -> KeyPath:
    """The path with aliases of section names resolved (`llm.lm_studio.port` is `llm.lmstudio.port`)."""
    if len(path) >= 2 and path[0] == "llm":
        return (path[0], SECTION_OF_BACKEND.get(path[1], path[1]), *path[2:])
    return path


_BACKEND_SECTIONS = frozenset(
    ("llm", name)
    for name, type_ in LLMSettings.types.items()
    if isinstance(type_, type) and issubclass(type_, _BackendSection)
)


def is_passed_through(path: KeyPath) -> bool:
    """Whether it is an option of a backend's own: `llm.<backend>.<option>`, which that backend checks.

    Beside settings that are declared here, a name that is nearly one of them is a slip of the pen.
    """
    if len(path) < 3 or path[0] != "llm" or path[:2] in SETTINGS:
        return False
    if path[:2] not in SECTIONS:
        return True
    declared = [known[2] for known in SETTINGS if known[:2] == path[:2]]
    meant = difflib.get_close_matches(path[2], declared, n=1, cutoff=0.7)
    return path[:2] in _BACKEND_SECTIONS and not meant


def nearest(path: KeyPath) -> str | None:
    """The declared key that was probably meant, as a dotted name."""
    keys = [info.key for info in SETTINGS.values()]
    found = difflib.get_close_matches(".".join(path), keys, n=1, cutoff=0.8)
    return found[0] if found else None


def checked(info: SettingInfo, value: object) -> object:
    """The value as the setting's type. Raises `ValueError` with the sentence that says what is wrong."""
    try:
        return info.read(value)
    except TypeError:
        raise ValueError(tr("Expected: {expects}.", expects=tr(info.expects))) from None
