"""Which lines of llama.cpp's log can tell why it ended. Pure.

Most lines that look like an error are not the reason: a trial that is given up, a request that was refused,
a text out of the model file. What a model says of itself is printed as information, and never believed.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

_PREFIX = re.compile(r"^\d+\.\d\d\.\d{3}\.\d{3} ([A-Z]) ?")
"""Minutes, seconds, milliseconds, microseconds, level (common/log.cpp). Builds before 2026 print none."""

_RECOVERED = re.compile(
    # Pipeline parallelism wants more memory than the plain way that is tried next (llama-context.cpp).
    r"retrying without pipeline parallelism"
    # A model is measured before it is loaded, by loading all but its weights (common/fit.cpp).
    r"|(?:common|llama)_(?:params_)?fit\w*: (?:failed to fit|encountered an error)"
)
_SERVING = re.compile(
    r"listening on \S+://|slot +release: |all slots are idle|log_server_r: (?:done )?request: "
)
"""After such a line all that went before has ended well, or had been answered with an error."""

_NOT_A_REASON = re.compile(
    r"send_error: task id|failed to mlock|failed to VirtualLock|\[mtmd\] failed to get memory usage"
    r"|^llama_model_loader: - kv |^(?:print_info|llm_load_print_meta): "
)
_HARMLESS = frozenset("IWD")


@dataclass(frozen=True, slots=True)
class Line:
    """A line without its time. `level` is llama.cpp's letter, "" where it gives none."""

    level: str
    text: str


def parse(line: str) -> Line:
    """One line of a log."""
    match = _PREFIX.match(line)
    return Line(match[1], line[match.end() :].strip()) if match else Line("", line.strip())


def served(lines: Sequence[str]) -> bool:
    """Whether it had got as far as serving."""
    return any(line.level in ("", "I") and _SERVING.search(line.text) for line in map(parse, lines))


def telling(lines: Sequence[str], *, ready: bool) -> list[Line]:
    """The lines that can be the reason why the process ended, in their order.

    Left out: what is no error, what the program recovered from, and, once it was `ready`, everything until
    it last served somebody.
    """
    parsed = [parse(line) for line in lines]
    start = 0
    for number, line in enumerate(parsed, 1):
        gave_up_a_trial = line.level in ("", "W", "E") and _RECOVERED.search(line.text)
        if gave_up_a_trial or (ready and line.level in ("", "I") and _SERVING.search(line.text)):
            start = number
    return [
        line
        for line in parsed[start:]
        if line.text and line.level not in _HARMLESS and not _NOT_A_REASON.search(line.text)
    ]
