"""Why an engine cannot run, in words for a person, with what could mend it. Pure.

Asked in this order: who ended it, where it cannot have been the engine itself; what its log says (see
`diagnosis_rules`, `log_lines`); what the way it ended says (`exit_codes`). Out of memory is never guessed: it
takes a line of the log, or the kernel's own count of what it ended.

Cause words:
- the model: model_missing, model_unreadable, model_corrupt, not_a_model, unsupported_model, chat_template,
  cache_type, extra_file
- memory: out_of_memory (refused), oom_killed (ended by the kernel), gpu_out_of_memory, disk_full
- graphics: gpu_unusable (driver and build do not fit), driver (stopped working)
- the program: binary_missing, binary_not_executable, binary_wrong, builtin_missing, library_missing,
  cpu_unsupported, bad_flag, cannot_spawn
- ports and other computers: port_taken, port_forbidden, foreign_server, computer_lost
- its end: killed, crashed, aborted, ended, stuck, start_timeout, cannot_answer, stopped, cannot_stop
- the app itself: closing
"""

from collections.abc import Sequence

from whisper_desktop.engines.diagnosis_rules import RULES, Rule
from whisper_desktop.engines.evidence import Evidence, forbids_port
from whisper_desktop.engines.exit_codes import End, Way, end_of
from whisper_desktop.engines.log_lines import NOTE, Line, served, telling
from whisper_desktop.engines.repair import repairs_for
from whisper_desktop.engines.spec import EngineSpec
from whisper_desktop.errors import EngineError
from whisper_desktop.language import gigabytes, mark, tr

_QUOTED_LIMIT = 300

DETERMINISTIC = frozenset(
    {
        "model_missing", "model_unreadable", "model_corrupt", "not_a_model", "unsupported_model",
        "chat_template", "cache_type", "extra_file", "gpu_unusable", "binary_missing", "binary_wrong",
        "binary_not_executable", "builtin_missing", "library_missing", "cpu_unsupported", "bad_flag",
        "port_forbidden",
    }
)  # fmt: skip
"""Causes that stay until somebody changes something: trying again is pointless."""

NEEDS_CHANGE = frozenset({"out_of_memory", "oom_killed", "gpu_out_of_memory", "disk_full"})
"""Causes that come back unless the start is changed, or something else gives back what was missing."""

TRANSIENT = frozenset(
    {"killed", "crashed", "aborted", "ended", "stuck", "cannot_spawn", "driver", "computer_lost"}
)
"""Causes that may pass by themselves. The rest is worth another try only when somebody asks for it."""

_OF_MEMORY = frozenset({"out_of_memory", "gpu_out_of_memory"})
_GRAPHICS = frozenset({"gpu_unusable", "driver"})


def diagnose(spec: EngineSpec, evidence: Evidence) -> EngineError:
    """Why the process of `spec` ended, or hangs, from what is known about it."""
    end = end_of(evidence.code)
    lines = telling(evidence.lines, ready=evidence.ready)
    return (
        _ended_by_others(spec, evidence, end)
        or _by_log(spec, evidence, lines, end)
        or _by_end(spec, evidence, lines, end)
    )


def explain(cause: str, spec: EngineSpec, *, port: int | None = None, detail: str = "") -> EngineError:
    """The error for a cause that we found out ourselves. `detail` is a sentence to add."""
    return _told(cause, spec, Evidence(None, (), port=port), detail)


def of_answer(spec: EngineSpec, said: str) -> EngineError | None:
    """Why an engine that runs failed to answer, from the sentence that it said; None where that is no lack of
    memory.
    """
    for rule in RULES:
        if rule.cause in _OF_MEMORY and rule.pattern.search(said[:_QUOTED_LIMIT]):
            repairs = repairs_for(rule.cause, spec, Evidence(None, (), ready=True))
            return EngineError(
                tr("There is not enough memory for this answer."),
                said,
                tr("Close something, use a shorter context, or choose a smaller model."),
                cause=rule.cause,
                repairs=repairs,
            )
    return None


# --- The three witnesses ----------------------------------------------------------------------------------


def _ended_by_others(spec: EngineSpec, evidence: Evidence, end: End) -> EngineError | None:
    """For an end that no program brings upon itself, whatever its log says."""
    if end.way is Way.KILLED:
        if evidence.oom_kills:
            return _told("oom_killed", spec, evidence, _memory_then(evidence))
        detail = tr(
            "The system does so when memory runs out, and people and programs can do it; {which}",
            which=tr(_WHICH),
        )
        return _told("killed", spec, evidence, f"{detail} {_memory_then(evidence)}")
    if end.way is Way.LIMITED:
        return _told("killed", spec, evidence, tr("It had used up the processor time that is allowed here."))
    # A program that ends with 0 without having served was started for something else, by an option.
    if end.way is Way.ASKED and (evidence.code != 0 or evidence.ready or served(evidence.lines)):
        return _told("killed", spec, evidence, tr("It was told to stop by another program, or by a person."))
    return None


_WHICH = mark("it does not say which.")


def _by_log(spec: EngineSpec, evidence: Evidence, lines: Sequence[Line], end: End) -> EngineError | None:
    """By the first rule that one of the lines proves."""
    for rule in RULES:
        if end.way is Way.HUNG and rule.cause not in _GRAPHICS:
            continue  # it still ran: only a dead card explains that
        for line in lines:
            match = rule.pattern.search(line.text)
            if match is None or not _proved_besides(rule, lines):
                continue
            if rule.cause == "port_taken" and forbids_port(evidence.port_error):
                return _told("port_forbidden", spec, evidence)
            groups = [_quoted(group) for group in match.groups() if group is not None]
            option = groups[rule.option] if rule.option is not None else ""
            if rule.sizes:
                groups = [gigabytes(float(group) * 2**20) for group in groups]
            words = (rule.title, rule.detail, rule.next_step)
            return _error(rule.cause, words, spec, evidence, groups=groups, option=option)
    return None


def _proved_besides(rule: Rule, lines: Sequence[Line]) -> bool:
    return rule.besides is None or any(rule.besides.search(line.text) for line in lines)


def _by_end(spec: EngineSpec, evidence: Evidence, lines: Sequence[Line], end: End) -> EngineError:
    """By the way it ended alone."""
    said = _last_words(lines)
    match end.way:
        case Way.HUNG:
            return _told("stuck", spec, evidence, evidence.stuck)
        case Way.ILLEGAL if not evidence.ready:  # one that has answered knows all that it needs
            return _told("cpu_unsupported", spec, evidence)
        case Way.PAGE_LOST if _maps_its_model(spec):
            return _told("model_unreadable", spec, evidence, tr(_CUT_UNDER_US))
        case Way.NO_MEMORY:
            return _told("out_of_memory", spec, evidence)
        case Way.NO_LIBRARY:
            return _told("library_missing", spec, evidence)
        case Way.OTHER_SYSTEM:
            return _told(
                "binary_not_executable", spec, evidence, tr("It is for another system or processor.")
            )
        case Way.ENDED | Way.ASKED:
            return _told(
                "ended", spec, evidence, tr("It left with {end_name}. {said}", end_name=end.name, said=said)
            )
        case _:
            return _told(
                "crashed",
                spec,
                evidence,
                tr("The system reports {end_name}. {said}", end_name=end.name, said=said),
            )


_CUT_UNDER_US = mark("It was changed, moved or cut while the engine read it, or its disk is failing or gone.")


def _maps_its_model(spec: EngineSpec) -> bool:
    return "mmap" in spec.load_mode or any("mmap" in word for word in spec.extra_args)


# --- Words ------------------------------------------------------------------------------------------------

_AGAIN = mark("Send the message again; the engine starts by itself.")

WORDS = {
    "model_missing": (
        mark("The model file is not there: {model_path}."),
        "",
        mark("Choose the file again in Setup, or download the model."),
    ),
    "not_a_model": (
        mark("{model_path} is a folder, not a model file."),
        "",
        mark("Choose the .gguf file inside it."),
    ),
    "model_unreadable": (
        mark("The model file cannot be read: {model_path}."),
        "",
        mark("Allow this account to read the file, or choose another one."),
    ),
    "binary_missing": (
        mark("The llama-server program is not there: {binary}."),
        "",
        mark("Correct llm.llamacpp.server_path in the settings, or remove it to use the built-in engine."),
    ),
    "binary_not_executable": (
        mark("{binary} cannot be run."),
        "",
        mark("Set llm.llamacpp.server_path to a llama-server for this computer, or remove it."),
    ),
    "binary_wrong": (
        mark("{binary} is not a llama-server."),
        "",
        mark("Set llm.llamacpp.server_path to a llama-server for this computer, or remove it."),
    ),
    "library_missing": (
        mark("{program} cannot start: a system library that it needs is missing."),
        mark("The system does not say which one."),
        mark("Install the build's libraries beside it, or remove llm.llamacpp.server_path."),
    ),
    "cpu_unsupported": (
        mark("{program} cannot run on this processor."),
        mark("It was built for instructions that this processor does not have."),
        mark("Set llm.llamacpp.server_path to a llama-server that was built for this computer."),
    ),
    "bad_flag": (mark("The engine cannot be started like this."), "", mark("Correct the setting.")),
    "cannot_spawn": (mark("{program} cannot be started."), "", mark("Close something and try again.")),
    "out_of_memory": (
        mark("There is not enough memory for this model."),
        mark("Loading it with {context} needs more than the system gives."),
        mark("Close something, use a shorter context, or choose a smaller model."),
    ),
    "oom_killed": (
        mark("The system ended {program} because memory had run out."),
        mark("The kernel counted it."),
        mark("Close something, use a shorter context, or choose a smaller model."),
    ),
    "start_timeout": (
        mark("{program} did not get ready."),
        mark("It neither answers nor makes progress."),
        mark("Choose a smaller model, or look into its log."),
    ),
    "port_taken": (
        mark("Port {port} is taken by another program, so the engine cannot listen there."),
        "",
        mark("End that program, or let the engine choose a port of its own."),
    ),
    "port_forbidden": (
        mark("The system does not let the engine listen on port {port}."),
        mark(
            "Ports below 1024 belong to the administrator, and some systems keep further ranges "
            "for themselves."
        ),
        mark("Let the engine choose a port of its own."),
    ),
    "foreign_server": (
        mark("Another program answers on port {port}, where the engine should."),
        mark("It does not know the key that only our engine has, so nothing was sent to it."),
        mark("End that program, or let the engine choose a port of its own."),
    ),
    "cannot_answer": (
        mark("{program} runs, but cannot answer with this model."),
        "",
        mark("Choose another model, or look into the engine's log."),
    ),
    "killed": (mark("{program} was ended from outside."), "", _AGAIN),
    "crashed": (
        mark("{program} crashed."),
        "",
        mark("Send the message again; the engine starts by itself. Its log has the details."),
    ),
    "ended": (mark("{program} ended by itself."), "", mark("Its log has the details.")),
    "stuck": (mark("{program} stopped making progress."), "", _AGAIN),
    "stopped": (mark("{program} was stopped."), "", mark("Send the message again to start it.")),
    "closing": (
        mark("{program} was stopped."),
        mark("The app is closing."),
        mark("Open it and send the message again."),
    ),
    "cannot_stop": (
        mark("{program} does not end."),
        mark("It was asked twice and then killed, and the system still lists it."),
        mark("Restart the computer if it keeps its memory."),
    ),
}


def _told(cause: str, spec: EngineSpec, evidence: Evidence, detail: str = "") -> EngineError:
    title, why, next_step = WORDS[cause]
    return _error(cause, (title, why, next_step), spec, evidence, added=detail)


def _error(
    cause: str,
    sentences: tuple[str, str, str],
    spec: EngineSpec,
    evidence: Evidence,
    *,
    groups: Sequence[str] = (),
    option: str = "",
    added: str = "",
) -> EngineError:
    facts = {
        "program": tr("The built-in engine") if spec.binary is None else "llama-server",
        "model": spec.model_path.name,
        "model_path": str(spec.model_path),
        "binary": str(spec.binary),
        "port": str(evidence.port),
        "context": tr("a context of {n_ctx:,} tokens", n_ctx=spec.n_ctx)
        if spec.n_ctx
        else tr("its own context"),
    }
    title, why, next_step = (tr(sentence).format(*groups, **facts) for sentence in sentences)
    if cause == "out_of_memory":
        added = f"{added} {_shortage(spec, evidence)}"
    detail = " ".join(f"{why} {added}".split())
    repairs = repairs_for(cause, spec, evidence, option=option)
    return EngineError(title, detail, next_step, cause=cause, repairs=repairs)


def _shortage(spec: EngineSpec, evidence: Evidence) -> str:
    """What is needed and what is free, where the two explain the failure."""
    plan = spec.expected
    needed = (plan.host_bytes or plan.total_bytes) if plan else None
    free = evidence.available_bytes
    if not needed or not free or free >= needed:
        return ""
    return tr(
        "About {gigabytes} are needed and {gigabytes2} are free.",
        gigabytes=gigabytes(needed),
        gigabytes2=gigabytes(free),
    )


def _memory_then(evidence: Evidence) -> str:
    """The memory it had and what was left, as far as somebody looked."""
    if not evidence.peak_bytes:
        return ""
    free = evidence.available_bytes
    left = tr(", and {gigabytes} are free now that it is gone", gigabytes=gigabytes(free)) if free else ""
    return tr("It had {gigabytes}{left}.", gigabytes=gigabytes(evidence.peak_bytes), left=left)


def _quoted(text: str) -> str:
    """What a log says, as a part of a sentence: one line, not endless, without its full stop."""
    return text.strip()[:_QUOTED_LIMIT].rstrip(".")


def _last_words(lines: Sequence[Line]) -> str:
    """The first error line, which is the most precise one, else the last line that is not a note of ours."""
    its_own = [line for line in lines if not line.text.startswith(NOTE)]
    told = [line.text for line in its_own if line.level == "E"][:1] or [line.text for line in its_own][-1:]
    return tr("Its log says: {quoted}.", quoted=_quoted(told[0])) if told else tr("It left no message.")
