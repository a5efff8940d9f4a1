"""Why an engine cannot run, in words for a person: from exit code, signal, log and specification. Pure.

Every load failure appears in llama.cpp's log several times, the most precise line first. The rules below are
asked in order, each about all lines; the lines in the tests were captured from the real programs.

Cause words: model_missing, model_unreadable, model_corrupt, not_a_model, unsupported_model, out_of_memory,
gpu_out_of_memory, port_taken, bad_flag, builtin_missing, binary_missing, binary_not_executable, binary_wrong,
library_missing, cpu_unsupported, cannot_spawn, killed, crashed, ended, start_timeout, foreign_server,
cannot_answer, stopped, cannot_stop.
"""

import re
import signal
from collections.abc import Sequence
from dataclasses import dataclass

from whisper_desktop.engines.evidence import Evidence
from whisper_desktop.engines.spec import EngineSpec
from whisper_desktop.errors import EngineError
from whisper_desktop.values import GB

_QUOTED_LIMIT = 300


@dataclass(frozen=True, slots=True)
class _Rule:
    """A cause, the log lines that prove it, and its three sentences; `{0}`, `{1}` are the pattern's groups.

    `{model}` is the model's file name, `{context}` its context in words, `{program}` who serves it.
    """

    cause: str
    pattern: re.Pattern[str]
    title: str
    detail: str
    next_step: str
    sizes: bool = False  # the groups are sizes as llama.cpp prints them


def _rule(cause: str, pattern: str, title: str, detail: str, next_step: str, *, sizes: bool = False) -> _Rule:
    return _Rule(cause, re.compile(pattern), title, detail, next_step, sizes)


_GET_ANOTHER = "Download the file again, or choose another model."

_RULES = (
    _rule(
        "bad_flag",
        r"error: invalid argument: (.+)",
        "{program} does not know the option {0}.",
        "It is not among the options that this version offers.",
        "Remove it from the engine's extra options in the settings.",
    ),
    _rule(
        "bad_flag",
        r'error while handling (?:argument|environment variable) "(.+?)": (.+)',
        "{program} cannot use the value given for {0}.",
        "It says: {1}.",
        "Correct that option in the settings.",
    ),
    _rule(
        "binary_missing",
        r"whisper: cannot run '(.+)': No such file or directory",
        "The llama-server program is not there: {0}.",
        "It, or what it needs to start, was moved or removed.",
        "Correct llm.llamacpp.server_path in the settings, or remove it to use the built-in engine.",
    ),
    _rule(
        "binary_not_executable",
        r"whisper: cannot run '(.+)': (.+)",
        "{0} cannot be run.",
        "The system says: {1}.",
        "Set llm.llamacpp.server_path to a llama-server for this computer, or remove it.",
    ),
    _rule(
        "builtin_missing",
        r"whisper: the built-in engine cannot be loaded: (No module named .*)",
        "The built-in engine is not installed.",
        "This installation has no xllamacpp ({0}).",
        "Install Whisper Desktop again, or set llm.llamacpp.server_path to a llama-server program.",
    ),
    _rule(
        "port_taken",
        r"couldn't bind HTTP server socket, hostname: \S+, port: (\d+)",
        "Port {0} is taken by another program, so the engine cannot listen there.",
        "",
        "End that program, or let the engine choose a port of its own.",
    ),
    _rule(
        "model_missing",
        r"failed to open GGUF file '(.+?)' \(No such file or directory\)",
        "The model file is not there: {0}.",
        "It was moved, renamed or removed.",
        "Choose the file again in Setup, or download the model.",
    ),
    _rule(
        "model_unreadable",
        r"failed to open GGUF file '(.+?)' \((.+)\)",
        "The model file cannot be opened: {0}.",
        "The system says: {1}.",
        "Allow this account to read the file, or choose another one.",
    ),
    _rule(
        "not_a_model",
        r"invalid magic characters: '(.*)', expected 'GGUF'",
        "{model} is not a model file.",
        "A GGUF file starts with the letters GGUF; this one starts with something else.",
        "Choose a .gguf file, or download the model again.",
    ),
    _rule(
        "model_corrupt",
        r"failed to read magic",
        "The model file {model} is empty or cut off.",
        "Not even its first letters are there; a download was probably interrupted.",
        _GET_ANOTHER,
    ),
    _rule(
        "model_corrupt",
        r"gguf_init_from_(?:reader|file\w*): (failed to .+)",
        "The model file {model} is damaged or cut off.",
        "Its header cannot be read ({0}).",
        _GET_ANOTHER,
    ),
    _rule(
        "model_corrupt",
        r"tensor '(.+)' data is not within the file bounds",
        "The model file {model} is incomplete.",
        "A part of it ({0}) lies beyond the end of the file; a download was probably interrupted.",
        _GET_ANOTHER,
    ),
    _rule(
        "unsupported_model",
        r"unknown (?:model architecture|pre-tokenizer type): '(.*)'",
        "{program} does not know this kind of model ({0}).",
        "The model is newer than the engine, or of a kind that llama.cpp does not run.",
        "Update Whisper Desktop (or your llama-server), or choose another model.",
    ),
    _rule(
        "gpu_out_of_memory",
        r"(?:cudaMalloc|hipMalloc) failed: out of memory|ErrorOutOfDeviceMemory",
        "The graphics card has not enough free memory for this model.",
        "Loading it with {context} needs more than is free there.",
        "Close programs that use the graphics card, use a shorter context, or put fewer layers on it.",
    ),
    _rule(
        "out_of_memory",
        r"insufficient memory \(attempted to allocate +([\d.]+) MB\)",
        "There is not enough memory for this model.",
        "With {context}, it asked for {0} in one piece and the system refused.",
        "Close something, use a shorter context, or choose a smaller model.",
        sizes=True,
    ),
    _rule(
        "out_of_memory",
        r"bad_alloc|[Cc]annot allocate memory|failed to allocate (?:buffer|compute)|unable to allocate"
        r"|MemoryError|failed to map segment|Thread creation failed|out of memory"
        r"|Resource temporarily unavailable|mem_buffer != NULL",
        "There is not enough memory for this model.",
        "Loading it with {context} needs more than the system gives.",
        "Close something, use a shorter context, or choose a smaller model.",
    ),
    _rule(
        "library_missing",
        r"error while loading shared libraries: (\S+): .+|Library not loaded: (\S+)",
        "{program} cannot start: {0} is missing.",
        "The program needs this system library.",
        "Install it, or remove llm.llamacpp.server_path to use the built-in engine.",
    ),
    _rule(
        "library_missing",
        r"whisper: the built-in engine cannot be loaded: (.+)",
        "The built-in engine cannot be loaded.",
        "The system says: {0}.",
        "Install Whisper Desktop again, or set llm.llamacpp.server_path to a llama-server program.",
    ),
    _rule(
        "model_corrupt",
        r"error loading model: (.+)",
        "{program} cannot load the model {model}.",
        "It says: {0}.",
        _GET_ANOTHER,
    ),
)

DETERMINISTIC = frozenset(rule.cause for rule in _RULES) - {
    "port_taken", "out_of_memory", "gpu_out_of_memory"
}  # fmt: skip
"""Causes that stay until somebody changes something: trying again is pointless."""

_SIGNALS = {
    "SIGKILL": (
        "killed",
        "{program} was ended from outside.",
        "The system does so when memory runs out, and people and programs can do it; it does not say which.",
        "Send the message again: the engine starts anew. If it happens again, use a smaller model.",
    ),
    "SIGTERM": (
        "killed",
        "{program} was told to stop by another program.",
        "",
        "Send the message again: the engine starts anew.",
    ),
    "SIGILL": (
        "cpu_unsupported",
        "{program} cannot run on this processor.",
        "It was built for instructions that this processor does not have.",
        "Set llm.llamacpp.server_path to a llama-server that was built for this computer.",
    ),
}
_CRASH = ("crashed", "{program} crashed.", "{evidence}", "Start it again; its log has the details.")
_ENDED = ("ended", "{program} ended by itself (exit code {code}).", "{evidence}", "Its log has the details.")


def diagnose(spec: EngineSpec, evidence: Evidence) -> EngineError:
    """Why the process of `spec` ended, from what is known about it."""
    lines, code = evidence.lines, evidence.code or 0
    facts = _facts(spec, evidence.port)
    for rule in _RULES:
        for line in lines:
            if match := rule.pattern.search(line):
                groups = [_quoted(group) for group in match.groups() if group is not None]
                if rule.sizes:
                    groups = [_gigabytes(group) for group in groups]
                return _error(rule.cause, (rule.title, rule.detail, rule.next_step), groups, facts)
    facts |= {"code": str(code), "evidence": _evidence(lines)}
    name = _signal_name(code)
    if name in _SIGNALS:
        cause, *sentences = _SIGNALS[name]
    else:
        cause, *sentences = _CRASH if name else _ENDED
        if name:
            facts["evidence"] = f"The system reports {name}. {facts['evidence']}".strip()
    return _error(cause, tuple(sentences), [], facts)


def explain(cause: str, spec: EngineSpec, *, port: int | None = None, detail: str = "") -> EngineError:
    """The error for a cause that we found out ourselves. `detail` is a sentence to add."""
    title, why, next_step = _FOUND[cause]
    return _error(cause, (title, f"{why} {detail}".strip(), next_step), [], _facts(spec, port))


_FOUND = {
    "model_missing": (
        "The model file is not there: {model_path}.",
        "",
        "Choose the file again in Setup, or download the model.",
    ),
    "not_a_model": ("{model_path} is a folder, not a model file.", "", "Choose the .gguf file inside it."),
    "model_unreadable": (
        "The model file cannot be opened: {model_path}.",
        "",
        "Allow this account to read the file, or choose another one.",
    ),
    "binary_missing": (
        "The llama-server program is not there: {binary}.",
        "",
        "Correct llm.llamacpp.server_path in the settings, or remove it to use the built-in engine.",
    ),
    "binary_not_executable": (
        "{binary} cannot be run.",
        "",
        "Set llm.llamacpp.server_path to a llama-server for this computer, or remove it.",
    ),
    "binary_wrong": (
        "{binary} is not a llama-server.",
        "",
        "Set llm.llamacpp.server_path to a llama-server for this computer, or remove it.",
    ),
    "bad_flag": ("The engine cannot be started like this.", "", "Correct the setting."),
    "cannot_spawn": ("{program} cannot be started.", "", "Close something and try again."),
    "start_timeout": (
        "{program} did not get ready.",
        "It neither answers nor makes progress.",
        "Choose a smaller model, or look into its log.",
    ),
    "port_taken": (
        "Port {port} is taken by another program, so the engine cannot listen there.",
        "",
        "End that program, or let the engine choose a port of its own.",
    ),
    "foreign_server": (
        "Another program answers on port {port}, where the engine should.",
        "It does not know the key that only our engine has, so nothing was sent to it.",
        "End that program, or let the engine choose a port of its own.",
    ),
    "cannot_answer": (
        "{program} runs, but cannot answer with this model.",
        "",
        "Choose another model, or look into the engine's log.",
    ),
    "stopped": ("{program} was stopped.", "", "Send the message again to start it."),
    "cannot_stop": (
        "{program} does not end.",
        "It was asked twice and then killed, and the system still lists it.",
        "Restart the computer if it keeps its memory.",
    ),
}


def _facts(spec: EngineSpec, port: int | None) -> dict[str, str]:
    return {
        "program": "The built-in engine" if spec.binary is None else "llama-server",
        "model": spec.model_path.name,
        "model_path": str(spec.model_path),
        "binary": str(spec.binary),
        "port": str(port),
        "context": f"a context of {spec.n_ctx:,} tokens" if spec.n_ctx else "its own context",
    }


def _error(cause: str, sentences: tuple[str, ...], groups: list[str], facts: dict[str, str]) -> EngineError:
    title, detail, next_step = (sentence.format(*groups, **facts) for sentence in sentences)
    return EngineError(title, detail, next_step, cause=cause)


def _quoted(text: str) -> str:
    """What a log says, as a part of a sentence: one line, not endless, without its full stop."""
    return text.strip()[:_QUOTED_LIMIT].rstrip(".")


def _gigabytes(text: str) -> str:
    """llama.cpp's "MB" are 2**20 bytes; a person reads GB of 10**9."""
    return f"{float(text) * 2**20 / GB:.1f} GB"


def _evidence(lines: Sequence[str]) -> str:
    """The first error line of the log, which is the most precise one, else the last line."""
    marked = [line.split(" E ", 1)[1] for line in lines if " E " in line[:24]]
    told = marked[:1] or [line for line in lines if line.strip()][-1:]
    return f"Its log says: {_quoted(told[0])}." if told else "It left no message."


def _signal_name(code: int) -> str | None:
    # A shell, and our own waiting child on some systems, report signal N as exit code 128 + N.
    number = -code if code < 0 else code - 128 if code > 128 else 0
    try:
        return signal.Signals(number).name
    except ValueError:
        return None
