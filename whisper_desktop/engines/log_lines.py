"""Which lines of llama.cpp's log can tell why it ended. Pure.

Most lines that look like an error are not the reason: a trial that is given up, a request that was refused,
a text out of the model file. What a model says of itself, or writes, is never believed: neither the line that
quotes it, nor those that it makes of one line by breaking it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

_PREFIX = re.compile(r"^\d{1,6}\.\d\d\.\d{3}\.\d{3} ([A-Z]) ?")
"""Minutes, seconds, milliseconds, microseconds, level (common/log.cpp). Builds before 2026 print none."""

NOTE = "whisper: "
"""How a line of ours begins: the app's notes, and what the program that starts the engine says."""

LINE_MOST = 1024
"""Characters of a line that are looked at: more than any that tells something has."""

_RECOVERED = re.compile(
    # Pipeline parallelism wants more memory than the plain way that is tried next (llama-context.cpp).
    r"retrying without pipeline parallelism"
    # A model is measured before it is loaded, by loading all but its weights (common/fit.cpp).
    r"|(?:common|llama)_(?:params_)?fit\w{0,40}: (?:failed to fit|encountered an error)"
)
_SERVING = re.compile(
    r"listening on \S{1,20}://|slot {1,20}release: |all slots are idle|log_server_r: (?:done )?request: "
)
"""After such a line all that went before has ended well, or had been answered with an error."""

_OF_A_MODEL = re.compile(r"^(?:llama_model_loader: - (?:kv|type) |(?:print_info|llm_load_print_meta): )")
"""What it prints of a model's header, once that was read (llama-model-loader.cpp, llama-model.cpp)."""

_QUOTES = re.compile(
    # The model's own words: of its vocabulary, its template, its picture part, its answers.
    r"^(?:load|init_tokenizer|load_hparams|clip_\w{1,40}): |: chat template, |: unparsed "
    # Words of a request, or of an answer, in what is said of them.
    r"|send_error: task id|got exception: "
)

_NOT_A_REASON = re.compile(
    r"send_error: task id|failed to mlock|failed to VirtualLock|\[mtmd\] failed to get memory usage"
)
_HARMLESS = frozenset("IWD")


@dataclass(frozen=True, slots=True)
class Line:
    """A line without its time. `level` is llama.cpp's letter, "" where it gives none."""

    level: str
    text: str


_READ = Line("I", "the header of a model")


def parse(line: str) -> Line:
    """One line of a log."""
    line = line[:LINE_MOST]
    match = _PREFIX.match(line)
    return Line(match[1], line[match.end() :].strip()) if match else Line("", line.strip())


def served(lines: Sequence[str]) -> bool:
    """Whether it had got as far as serving."""
    return any(line.level in ("", "I") and _SERVING.search(line.text) for line in own(lines))


def own(lines: Sequence[str]) -> list[Line]:
    """The lines that are the program's own words, in their order.

    Nothing of its own stands between the first and the last line about a model's header: it prints that in
    one go. And a line without a time, after one that quotes a model, goes on with the quotation. What a model
    writes while it serves can still be given a time; that much is believed, and does no more than explain.
    """
    parsed = [parse(line) for line in lines]
    of_a_model = [number for number, line in enumerate(parsed) if _OF_A_MODEL.search(line.text)]
    if of_a_model:
        parsed[of_a_model[0] : of_a_model[-1] + 1] = [_READ]
    found: list[Line] = []
    quoting = False
    for line in parsed:
        if line.level:
            quoting = _QUOTES.search(line.text) is not None
        elif quoting:
            continue
        found.append(line)
    return found


def telling(lines: Sequence[str], *, ready: bool) -> list[Line]:
    """The lines that can be the reason why the process ended, in their order.

    Left out: what is no error, what the program recovered from, and, once it was `ready`, everything until
    it last served somebody. A header that was read to its end was not the reason, nor was anything before.
    """
    found = own(lines)
    start = 0
    for number, line in enumerate(found, 1):
        gave_up_a_trial = line.level in ("", "W", "E") and _RECOVERED.search(line.text)
        served_somebody = ready and line.level in ("", "I") and _SERVING.search(line.text)
        if line is _READ or gave_up_a_trial or served_somebody:
            start = number
    return [
        line
        for line in found[start:]
        if line.text and line.level not in _HARMLESS and not _NOT_A_REASON.search(line.text)
    ]
