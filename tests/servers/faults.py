"""What can go wrong on demand: the modes, where each applies by default, and how often."""

import random
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

# Modes that concern the whole server unless the test says otherwise; all others concern answers (inference).
EVERYWHERE = frozenset({"hang", "slow_accept", "loading", "busy_for", "close_after"})
# Of these the process takes care, not a request: the port refuses connections for a while.
OF_THE_PROCESS = frozenset({"refuse", "flapping"})

# These end by themselves, so many seconds after they were set.
PASSING = frozenset({"loading", "busy_for"})

# Answered instead of the real answer, in the server's own words.
IN_OWN_WORDS = frozenset(
    {
        "busy_503",
        "error_500",
        "rate_429",
        "unauthorized_401",
        "payment_402",
        "forbidden_403_moderation",
        "not_found_404_model",
        "context_400",
        "bad_request_400",
        "crashed",
        "out_of_memory",
        "quota_429",
        "tools_refused",
        "vision_refused",
        "schema_refused",
        "prefill_refused",
    }
)

# The answer is given, but says something else.
TWISTS = frozenset({"empty_answer", "content_filter", "refusal", "other_model", "huge_event"})

# The same answer in other bytes; see `disguises.py`.
DISGUISES = frozenset(
    {
        "crlf",
        "cr",
        "no_space",
        "multi_line",
        "with_comments",
        "byte_by_byte",
        "split_utf8",
        "bom",
        "gzip",
    }
)

# Played in the middle of an answer, after the number of tokens in `arg` (0 without one).
MID_STREAM = frozenset(
    {
        "die_mid_stream",
        "eof_mid_stream",
        "cut_mid_stream",
        "error_mid_stream",
        "stall_mid_stream",
        "stall_reading",
        "error_first",
        "malformed",
        "no_done",
        "no_finish",
        "flood",
    }
)

# Concern the connection or replace the answer by something no such server would say.
OTHER = frozenset(
    {
        "refuse",
        "flapping",
        "reset_before_headers",
        "close_before_headers",
        "close_after",
        "hang",
        "hang_headers",
        "comments_only",
        "loading",
        "busy_for",
        "slow_accept",
        "garbage",
        "html_200",
        "empty_200",
        "json_error_200",
        "redirect",
        "login_302",
    }
)

MODES = IN_OWN_WORDS | TWISTS | DISGUISES | MID_STREAM | OTHER


@dataclass
class Fault:
    """One fault: `arg` as the mode has it, `count` times left (None: always), `on` chat, all or a path.

    `percent` is the share of the requests it concerns that meet it.
    """

    mode: str
    arg: str = ""
    count: int | None = None
    on: str = ""
    percent: float = 100
    since: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ValueError(f"no fault is called {self.mode!r}; there are {', '.join(sorted(MODES))}")
        self.on = self.on or ("all" if self.mode in EVERYWHERE else "chat")

    def number(self, default: float = 0) -> float:
        """The first part of `arg` as a number."""
        first = self.arg.split(":")[0]
        return float(first) if first else default

    @property
    def outages(self) -> Iterator[tuple[float, float | None]]:
        """Of a fault of the process: seconds up, then seconds down (None: for good)."""
        if self.mode == "refuse":
            yield 0.0, self.number() or None
        while self.mode == "flapping":
            yield self.number(), float(self.variant)

    @property
    def seconds_left(self) -> float:
        """Of a fault whose `arg` is a duration: what remains of it, 0 when it is over."""
        return max(0.0, self.number() - (time.monotonic() - self.since))

    @property
    def variant(self) -> str:
        """The second part of `arg`, "" without one."""
        return self.arg.partition(":")[2]

    def concerns(self, path: str, *, chat: bool) -> bool:
        """Whether a request for `path` meets this fault."""
        if self.mode in OF_THE_PROCESS or (self.mode in PASSING and not self.seconds_left):
            return False
        if self.on == "all":
            return True
        return chat if self.on == "chat" else path.startswith(self.on)


def parse(text: str) -> Fault:
    """MODE[:ARG][@WHERE][*COUNT][~PERCENT], as in `error_500*1` or `hang@/v1/models`. Raises ValueError."""
    text, _, percent = text.partition("~")
    text, star, count = text.partition("*")
    text, _, on = text.partition("@")
    mode, _, arg = text.partition(":")
    return Fault(mode, arg, int(count) if star else None, on, float(percent or 100))


def from_json(value: object) -> list[Fault]:
    """The faults of a POST to /__test__/fault: one object or a list, tried in order. Raises ValueError."""
    faults = []
    for item in value if isinstance(value, list) else [value]:
        if not isinstance(item, dict):
            raise ValueError("a fault is an object with mode, arg, count, on, percent")
        if item.get("mode") in (None, "none"):
            continue
        count = item.get("count")
        arg = item.get("arg")
        faults.append(
            Fault(
                str(item["mode"]),
                "" if arg is None else str(arg),
                int(count) if count is not None else None,
                str(item.get("on") or ""),
                float(item.get("percent", 100)),
            )
        )
    return faults


class FaultSwitch:
    """The faults in force; the first that concerns a request and has a count left is taken."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self.faults = list(faults)
        self._random = random.Random(7)  # the same faults in every run

    def outages(self) -> Iterator[tuple[float, float | None]]:
        """The outages of the first fault that has any."""
        found = next((fault for fault in self.faults if fault.mode in OF_THE_PROCESS), None)
        return found.outages if found else iter(())

    def take(self, path: str, *, chat: bool) -> Fault | None:
        """The fault this request meets, counted down, or None."""
        for fault in self.faults:
            if fault.count != 0 and fault.concerns(path, chat=chat):
                if fault.percent < 100 and self._random.random() * 100 >= fault.percent:
                    continue
                if fault.count is not None:
                    fault.count -= 1
                return fault
        return None


def read_faults(value: object, kind: type[Fault]) -> list[Fault]:
    """Faults of this kind, from one JSON object or a list of them. Raises ValueError."""
    faults: list[Fault] = []
    for item in value if isinstance(value, list) else [value]:
        if not isinstance(item, dict):
            raise ValueError("a fault is an object with mode, arg, count, on")
        if item.get("mode") in (None, "none"):
            continue
        count, arg = item.get("count"), item.get("arg")
        faults.append(
            kind(
                str(item["mode"]),
                "" if arg is None else str(arg),
                None if count is None else int(count),
                str(item.get("on") or ""),
            )
        )
    return faults
