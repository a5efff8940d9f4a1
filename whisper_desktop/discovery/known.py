"""The table of known servers: how each is recognised, and what it is asked next.

A row's signs must all fit. The first row that fits wins, and the order matters: KoboldCpp, LocalAI and
Lemonade imitate Ollama, KoboldCpp also llama.cpp, LM Studio answers 200 to every path, and everybody speaks
OpenAI's API. Nothing is recognised by its port or by a status alone, and nothing is asked that could change
anything: GET only.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from whisper_desktop.discovery import compatible, llama_cpp, lm_studio, ollama
from whisper_desktop.discovery.answers import Answer, Answers
from whisper_desktop.discovery.description import Description
from whisper_desktop.values import IDENTITIES, Reach
from whisper_desktop.wire.address import reach_of

GIVEN_MODELS = "{given}/models"
"""The model list below the path of an address as a person wrote it; not asked where they wrote no path."""


@dataclass(frozen=True, slots=True)
class Sign:
    """A path, and whether what it answers is what this server says there."""

    path: str
    fits: Callable[[Answer], bool]


@dataclass(frozen=True, slots=True)
class Known:
    """One row. `lists` are asked, all at once, after it was recognised; `describe` reads whatever came.

    `runs_here`: whether its models run on the computer it listens on, as far as an engine can be known to.
    A proxy may pass a prompt on to anywhere, and so may a server that has models of its own and of services
    in the cloud side by side.
    """

    id: str
    signs: tuple[Sign, ...]
    describe: Callable[[Answers], Description]
    lists: tuple[str, ...] = ()
    runs_here: bool = True

    @property
    def name(self) -> str:
        return IDENTITIES[self.id].name


KNOWN: tuple[Known, ...] = (
    Known(
        "lm_studio",
        (Sign("/lmstudio-greeting", lm_studio.is_greeting),),
        lm_studio.describe,
        (lm_studio.NATIVE, lm_studio.LEGACY, lm_studio.PLAIN),
    ),
    Known(
        "koboldcpp",
        (Sign("/api/extra/version", compatible.is_koboldcpp),),
        compatible.describe_koboldcpp,
        ("/v1/models", "/api/v1/model", "/api/extra/true_max_context_length"),
    ),
    Known(
        "localai",
        (Sign("/.well-known/localai.json", compatible.is_localai),),
        compatible.describe_localai,
        ("/v1/models",),
        runs_here=False,  # it has backends that pass requests on to cloud services
    ),
    Known(
        "lemonade",
        (Sign("/v1/health", compatible.is_lemonade),),
        compatible.describe_lemonade,
        ("/api/v1/models",),
        runs_here=False,  # it can hand requests over to a cloud service
    ),
    Known(
        "ollama",
        (Sign("/", ollama.is_root), Sign("/api/version", ollama.is_version)),
        ollama.describe,
        (ollama.TAGS, ollama.RUNNING),
    ),
    Known(
        "localai",
        (Sign("/", compatible.is_old_localai),),
        compatible.describe_localai,
        ("/v1/models",),
        runs_here=False,  # it has backends that pass requests on to cloud services
    ),
    Known(
        "llamafile",
        (Sign("/props", llama_cpp.is_llamafile),),
        llama_cpp.describe,
        ("/v1/models",),
    ),
    Known(
        "llama_cpp",
        (Sign("/props", llama_cpp.is_props),),
        llama_cpp.describe,
        ("/v1/models",),
    ),
    Known(
        "textgen",
        (Sign("/v1/internal/model/info", compatible.is_textgen),),
        compatible.describe_textgen,
        ("/v1/models",),
    ),
    Known(
        "vllm",
        (Sign("/v1/models", compatible.owned_by("vllm")), Sign("/version", compatible.is_version)),
        compatible.describe_vllm,
    ),
    Known(
        "sglang",
        (Sign("/v1/models", compatible.owned_by("sglang")),),
        compatible.describe_vllm,
    ),
    Known(
        "gpt4all",
        # Its refusal of POST is the sign that its source suggests, but a POST to a stranger might do
        # something.
        (Sign("/v1/models", compatible.owned_by("humanity")),),
        compatible.describe_list,
        runs_here=False,  # it lists models of cloud services beside its own
    ),
    Known(
        "llama_swap",
        (Sign("/v1/models", compatible.owned_by("llama-swap")), Sign("/running", compatible.is_llama_swap)),
        compatible.describe_llama_swap,
        runs_here=False,
    ),
    Known(
        "jan",
        (Sign("/openapi.json", compatible.is_jan),),
        compatible.describe_running,
        ("/v1/models",),
        runs_here=False,  # its server passes requests for a provider's models on
    ),
    Known(
        "docker_model_runner",
        (Sign("/engines/v1/models", compatible.is_docker),),
        compatible.describe_docker,
    ),
    Known(
        "openai_compatible",
        (Sign(GIVEN_MODELS, compatible.is_model_list),),
        lambda answers: compatible.describe_list(answers, GIVEN_MODELS),
        runs_here=False,
    ),
    Known(
        "openai_compatible",
        (Sign("/v1/models", compatible.is_model_list),),
        compatible.describe_list,
        runs_here=False,
    ),
    Known(
        "openai_compatible",
        # A refusal in bare words counts only from a program that knows this path from one that it has not.
        (Sign("/v1/models", compatible.is_bare_refusal), Sign("/lmstudio-greeting", compatible.is_missing)),
        compatible.describe_list,
        runs_here=False,
    ),
)

_PASSES_ON = frozenset(row.id for row in KNOWN if not row.runs_here)


def reach_at(id: str, url: str, *, as_given: bool) -> Reach | None:
    """How far a question to this kind of server travels: an address that was given counts as what it says;
    what was only found or named there as where an engine listens, and nobody can say where a program that
    passes prompts on sends them. Raises `SettingsError` for an address that cannot be used.
    """
    reach = reach_of(url)
    return None if id in _PASSES_ON and not as_given and reach is not Reach.CLOUD else reach


# What may be asked of an address in the cloud: only what any client of such a service asks.
IN_THE_CLOUD: tuple[Known, ...] = tuple(row for row in KNOWN if row.id == "openai_compatible")

MORE_PORTS: tuple[tuple[str, int], ...] = (
    # https://github.com/ggml-org/llama.cpp/pull/26508 announces that the default becomes 9931.
    ("llama_cpp", 9931),
    # Before version 9 Lemonade listened on 8000; vLLM does too.
    ("lemonade", 8000),
    # Msty brings an Ollama of its own.
    ("ollama", 10000),
)
"""Ports where known servers are found besides the defaults in `values.IDENTITIES`."""


def usual_owners(port: int, moved: Mapping[str, int]) -> tuple[str, ...]:
    """The ids of the servers that usually listen on a port, where `moved` has other ports for some."""
    usual = [id for id, identity in IDENTITIES.items() if moved.get(id, identity.port) == port]
    more = [id for id, extra in MORE_PORTS if extra == port]
    return tuple(dict.fromkeys((*usual, *more)))
