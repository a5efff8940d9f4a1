"""The kinds of values that settings have: how each is read kindly, and the words for what it expects.

A validator raises `ValueError` with a sentence where it can say more than the expected words, else
`TypeError`.
"""

import re
import shlex
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

from whisper_desktop.language import LANGUAGES, mark, matching, tr
from whisper_desktop.settings.address import EXAMPLE, normalised, origin_of
from whisper_desktop.values import IDENTITIES, OnInterruption, Reach, canonical_id
from whisper_desktop.wire.key_shapes import holds_a_key, may_hold_a_key
from whisper_desktop.wire.typed import After, Before, Bounds


@dataclass(frozen=True, slots=True)
class Expects:
    """What a value of this type looks like, as the end of "expected: ..."."""

    words: str


def expected(kind: Any) -> str:  # noqa: ANN401 - one of the kinds below
    """The words of a kind."""
    return next(part.words for part in get_args(kind)[1:] if isinstance(part, Expects))


_PASSWORD = re.compile(r"://[^/]*@")


def shown(value: object) -> str:
    """A value as a message may show it: short, and not at all where it may be a key."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = str(value) if isinstance(value, StrEnum | Path | int | float) else repr(value)
    if may_hold_a_key(text) or _PASSWORD.search(text):
        return tr("something that is not shown here, because it may be a key")
    return text if len(text) <= 60 else f"{text[:57]}..."


_T = TypeVar("_T")

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})
_NEVER_CHOSEN = frozenset({"guide", "unknown"})


def known_backends() -> tuple[str, ...]:
    """The ids that may be named as a backend or as a step of the chain."""
    return tuple(id_ for id_ in IDENTITIES if id_ not in _NEVER_CHOSEN)


def _flag(value: object) -> object:
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in _TRUE | _FALSE:
        return word in _TRUE
    raise TypeError


def flag(text: str, *, if_bad: bool) -> bool:
    """A yes or no as settings read it."""
    try:
        return bool(_flag(text))
    except TypeError:
        return if_bad


def _auto(value: object) -> object:
    if isinstance(value, str) and value.strip().lower() == "auto":
        return "auto"
    return value


def _all(value: object) -> object:
    if isinstance(value, str) and value.strip().lower() == "all":
        return "all"
    return value


def _name(value: str) -> str:
    value = value.strip().lower()
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,39}", value):
        raise ValueError(
            tr("{value} is not a name: letters, digits, - and _, at most 40.", value=shown(value))
        )
    return value


def _word(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


def _language(value: object) -> object:
    """The code of a language, however it is written; "system" is no language."""
    word = _word(value)
    return matching(value.strip()) or word if isinstance(value, str) and word != "system" else word


def _blank_is_none(value: object) -> object:
    return None if isinstance(value, str) and not value.strip() else value


def _auto_is_none(value: object) -> object:
    if isinstance(value, str) and value.strip().lower() in ("", "auto", "automatic"):
        return None
    return value


def _none_is_none(value: object) -> object:
    if isinstance(value, str) and value.strip().lower() in ("", "none", "no limit"):
        return None
    return value


def _text(value: str) -> str:
    value = value.strip()
    if len(value) > 500 or not value.isprintable():
        raise ValueError(tr("It is too long, or has line breaks or control characters in it."))
    return value


def _path(value: object) -> object:
    if not isinstance(value, str | Path):
        raise TypeError
    text = str(value).strip()
    if not text.isprintable():
        raise ValueError(tr("A path has no line breaks or control characters in it."))
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError:
        raise ValueError(tr("There is no such person's home folder on this computer.")) from None


def _backend(value: object) -> object:
    if not isinstance(value, str):
        raise TypeError
    try:
        backend = canonical_id(value)
    except KeyError:
        backend = "unknown"
    if backend == "guide":
        raise ValueError(
            tr("The guide answers only in a conversation marked Guide, never in place of a model.")
        )
    if backend == "unknown":
        raise ValueError(
            tr("There is no backend of this name. Known: {items}.", items=", ".join(known_backends()))
        )
    return backend


def _listed(value: object) -> object:
    """A comma list (environment, command line) as a list; a list as it is."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def _without_repeats(values: tuple[_T, ...]) -> tuple[_T, ...]:
    return tuple(dict.fromkeys(values))


def _step(value: object) -> object:
    try:
        return _backend(value)
    except ValueError as error:
        raise ValueError(
            tr("{value} cannot be a step of the chain. {error}", value=shown(value), error=error)
        ) from None


def _reach(value: object) -> object:
    if isinstance(value, Reach) or not isinstance(value, str):
        return value
    word = value.strip().lower().replace(" ", "_").replace("-", "_")
    return Reach.THIS_MACHINE if word == "this_computer" else word


_MODEL = mark("The model file is set as llm.gguf_model_path.")
_KEY = mark("A key does not belong in the settings, where anybody who reads the file could use it.")
_SET_ELSEWHERE = {
    **dict.fromkeys(("-m", "--model", "-mu", "--model-url", "-dr", "--docker-repo"), _MODEL),
    **dict.fromkeys(("-hf", "-hfr", "--hf-repo", "-hff", "--hf-file"), _MODEL),
    **dict.fromkeys(("-hft", "--hf-token"), _KEY),
    "--host": mark(
        "The app's own engine serves this computer only; start a llama-server yourself for others."
    ),
    "--port": mark("The port is set as llm.llamacpp.engine_port."),
}
_OPTIONS_MOST = 200
_OPTION_LONGEST = 4096


def _split(value: object) -> object:
    """A command line as its words. Quotes keep spaces together; a backslash, as in a path, stays as it is."""
    if not isinstance(value, str):
        return value
    words = shlex.shlex(value, posix=True, punctuation_chars=False)
    words.whitespace_split, words.escape, words.commenters = True, "", ""
    try:
        return list(words)
    except ValueError:
        raise ValueError(tr("A quotation mark in it has no counterpart.")) from None


def _option(value: object) -> object:
    """One word of a command line."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise TypeError
    word = str(value)
    if not word.isprintable() or len(word) > _OPTION_LONGEST:
        raise ValueError(tr("An option is too long, or has line breaks or control characters in it."))
    flag = word.partition("=")[0]
    if flag.startswith("--api-key"):
        raise ValueError(tr("The app makes a new key for each start of its engine; none can be set."))
    if flag in _SET_ELSEWHERE:
        raise ValueError(
            tr(
                "{flag} cannot be one of these options. {set_elsewhere}",
                flag=flag,
                set_elsewhere=tr(_SET_ELSEWHERE[flag]),
            )
        )
    # The long name of a file looks like a key, but for its dots and slashes.
    is_path = any(sign in word for sign in "./\\")
    if holds_a_key(word) or (may_hold_a_key(word) and not is_path):
        raise ValueError(tr("One of the options looks like a key. {key}", key=tr(_KEY)))
    return word


def _not_too_many(options: tuple[str, ...]) -> tuple[str, ...]:
    if len(options) > _OPTIONS_MOST:
        raise TypeError
    return options


def _host_and_port(value: str) -> str:
    host, _, port = value.strip().rpartition(":")
    if not re.fullmatch(r"[\w.-]+|\[[0-9A-Fa-f:.]+\]", host) or not port.isascii() or not port.isdigit():
        raise ValueError(
            tr("{value} is not an address with a port, such as 192.168.1.20:50052.", value=shown(value))
        )
    if not 1 <= int(port) <= 65535:
        raise ValueError(tr("{value} has no port from 1 to 65535.", value=shown(value)))
    return f"{host}:{int(port)}"


Flag = Annotated[bool, Before(_flag), Expects("yes or no (also true/false, on/off, 1/0)")]
Port = Annotated[int, Bounds(1, 65535), Expects("a port, a whole number from 1 to 65535")]
EnginePort = Annotated[
    Annotated[int, Bounds(1, 65535)] | None,
    Before(_auto_is_none),
    Expects("a port, a whole number from 1 to 65535, or auto"),
]
Quorum = Annotated[
    Annotated[int, Bounds(1, 100)] | Literal["all"],
    Before(_all),
    Expects("all, or a whole number from 1"),
]
Names = Annotated[
    tuple[Annotated[str, After(_name)], ...],
    Before(_listed),
    After(_without_repeats),
    Expects("a list of names such as planner,coder"),
]
Layers = Annotated[
    Annotated[int, Bounds(0, 100_000)] | Literal["auto"],
    Before(_auto),
    Expects("auto, or a number of layers (0 keeps the model on the processor)"),
]
Context = Annotated[
    Annotated[int, Bounds(1, 100_000_000)] | Literal["auto"],
    Before(_auto),
    Expects("auto, or a number of tokens such as 8192"),
]
TokenCount = Annotated[
    Annotated[int, Bounds(1, 100_000_000)] | None,
    Before(_auto_is_none),
    Expects("a number of tokens such as 8192, or auto"),
]
Seconds = Annotated[
    float,
    Bounds(0, 86_400, above=True),
    Expects("a number of seconds above 0, such as 180"),
]
Minutes = Annotated[
    float,
    Bounds(0, 100_000),
    Expects("a number of minutes such as 15, or 0 for never"),
]
CacheType = Annotated[Literal["auto", "f16", "q8_0"], Before(_word), Expects("auto, f16 or q8_0")]
AtOnce = Annotated[int, Bounds(1, 1000), Expects("a whole number from 1 to 1000")]
Connections = Annotated[int, Bounds(1, 16), Expects("a whole number from 1 to 16")]
Megabytes = Annotated[
    Annotated[float, Bounds(0, 100_000, above=True)] | None,
    Before(_none_is_none),
    Expects("megabytes a second such as 2.5, or none"),
]
Dollars = Annotated[
    Annotated[float, Bounds(0)] | None,
    Before(_none_is_none),
    Expects("an amount in US dollars such as 2.50, or none"),
]
Text = Annotated[
    Annotated[str, After(_text)] | None,
    Before(_blank_is_none),
    Expects("text (in quotes where it looks like a number or a date)"),
]
FilePath = Annotated[Annotated[Path, Before(_path)] | None, Before(_blank_is_none), Expects("a path")]
Folders = Annotated[
    tuple[Annotated[Path, Before(_path)], ...],
    Before(_listed),
    After(_without_repeats),
    Expects("a list of folders such as /data/models,~/more"),
]
Url = Annotated[Annotated[str, After(normalised)] | None, Before(_blank_is_none), Expects(EXAMPLE)]
Urls = Annotated[
    tuple[Annotated[str, After(normalised)], ...],
    Before(_listed),
    After(_without_repeats),
    Expects(f"a list of addresses, each {EXAMPLE}"),
]
Backend = Annotated[
    Annotated[str, Before(_backend)] | None,
    Before(_auto_is_none),
    Expects("auto, or the id of a backend such as lm_studio"),
]
Chain = Annotated[
    Annotated[
        tuple[Annotated[str, Before(_step)], ...],
        Before(_listed),
        After(_without_repeats),
    ]
    | None,
    Before(_auto_is_none),
    Expects("auto, or a list of backends such as lm_studio,ollama,openrouter"),
]
Mode = Annotated[Literal["auto", "http", "direct"], Before(_word), Expects("auto, http or direct")]
AfterBreak = Annotated[OnInterruption, Before(_word), Expects("restart, continue or stop")]
Theme = Annotated[Literal["system", "light", "dark"], Before(_word), Expects("system, light or dark")]
Language = Annotated[
    Literal["system", *LANGUAGES],  # type: ignore[valid-type]
    Before(_language),
    Expects(f"system, or one of {', '.join(LANGUAGES)}"),
]
Notify = Annotated[Literal["all", "problems", "none"], Before(_word), Expects("all, problems or none")]
TrayIcon = Annotated[
    Literal["system", "light", "dark", "color"],
    Before(_word),
    Expects("system, light, dark or color"),
]
Shortcut = Annotated[
    str | None,
    Before(_none_is_none),
    Expects("keys such as Ctrl+Alt+Space, or none"),
]
Days = Annotated[int, Bounds(0, 36500), Expects("a whole number of days such as 30")]
Far = Annotated[Reach, Before(_reach), Expects("this_machine, my_network or cloud")]
ReachByAddress = Annotated[
    dict[Annotated[str, After(origin_of)], Far],
    Expects("a list of addresses, each with this_machine, my_network or cloud"),
]
Hosts = Annotated[
    tuple[Annotated[str, After(_host_and_port)], ...],
    Before(_listed),
    After(_without_repeats),
    Expects("a list of computers, each as address:port such as 192.168.1.20:50052"),
]
Options = Annotated[
    tuple[Annotated[str, Before(_option)], ...],
    Before(_split),
    After(_not_too_many),
    Expects("options of llama-server as on a command line, or a list of their words"),
]
ChangesByModel = Annotated[
    dict[str, tuple[str, ...]],
    Expects("a list of model files, each with a list of changes such as n_ctx=4096"),
]
TextByName = Annotated[dict[str, str], Expects("a list of names, each with a text")]
