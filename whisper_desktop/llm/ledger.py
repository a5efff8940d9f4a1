"""What answers have cost, by day and model, and the limits that a person sets on it.

Money is counted in whole nanodollars (a thousandth of a microdollar), so that sums do not drift: a token
costs from 20 of them up. Days and months are those of the local calendar.

The file (see `ledger_file`) is read and written in a thread, never in the loop; only where a loop is being
closed, and has no more threads to give, is it written there and then, so that nothing is lost.
"""

import asyncio
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from whisper_desktop.errors import BackendError
from whisper_desktop.language import tr
from whisper_desktop.values import ErrorKind, Price, Usage

if TYPE_CHECKING:
    from whisper_desktop.llm.ledger_file import Exchanged, LedgerFile

ASSUMED_TOKENS = 8192
"""How long an answer is taken to become at most, in tokens, where the question sets no limit."""

_NANO = Decimal(10**9)
_MOST_TOKENS = 10**9
_MOST_NANODOLLARS = 10**15
_LONGEST_NAME = 200

MOST_ROWS = 2000
"""How many rows a month may have: model names come from servers, and may be without number."""

Key = tuple[str, str, str]
"""Day, backend, model."""


@dataclass(frozen=True, slots=True)
class Count:
    """What was used. `unpriced` answers are those whose cost nobody knows; they are not in the cost."""

    answers: int = 0
    unpriced: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    nanodollars: int = 0

    def __add__(self, other: "Count") -> "Count":
        return Count(
            self.answers + other.answers,
            self.unpriced + other.unpriced,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.nanodollars + other.nanodollars,
        )

    @property
    def cost_usd(self) -> float:
        """The known cost in US dollars."""
        return self.nanodollars / 10**9


Counts = dict[Key, Count]


@dataclass(frozen=True, slots=True)
class Spent:
    """What was used in a day ("2026-11-21") or a month ("2026-11"), in all and by (backend, model)."""

    period: str
    total: Count
    by_model: Mapping[tuple[str, str], Count]


class Ledger:
    """The record of what was used. `path` None keeps it in memory.

    `daily_cap` and `monthly_cap` are US dollars; None is no limit. `clock` gives the wall time in seconds;
    `warn` gets a sentence for the person when the file cannot be used. One loop uses it.
    """

    def __init__(
        self,
        path: Path | None,
        *,
        daily_cap: float | None = None,
        monthly_cap: float | None = None,
        clock: Callable[[], float] = time.time,
        warn: Callable[[str], None] | None = None,
    ) -> None:
        self._file = None if path is None else _file(path)
        self._caps: dict[str, int] = {}
        for word, cap in (("daily", daily_cap), ("monthly", monthly_cap)):
            if cap is not None:
                self._caps[word] = _nanodollars(cap) or 0
        self._clock = clock
        self._warn = warn
        self._known: Counts = {}
        self._writing: Counts = {}
        self._pending: Counts = {}
        self._reserved = 0
        self._job: asyncio.Future[Exchanged] | None = None
        self._wrote = True

    # --- Before an answer ---------------------------------------------------------------------------------

    @property
    def is_limited(self) -> bool:
        """Whether the person has set a limit."""
        return bool(self._caps)

    async def admit(
        self, price: Price | None, *, prompt_tokens: int, max_tokens: int | None
    ) -> "Reservation | BackendError":
        """Leave to spend what an answer may cost at most, held until it is released; or why not (BUDGET).

        Without a limit everything is admitted. With one, a model whose price nobody knows is not.
        """
        if not self._caps:
            return Reservation(self, 0)
        if price is None:
            return _price_unknown()
        await self.refresh()
        worst = _worst(price, prompt_tokens, ASSUMED_TOKENS if max_tokens is None else max_tokens)
        for word, cap in self._caps.items():
            spent = (self.today() if word == "daily" else self.this_month()).total.nanodollars
            if worst and spent + self._reserved + worst > cap:
                return _over(word, cap, spent, self._reserved, worst)
        self._reserved += worst
        return Reservation(self, worst)

    # --- After an answer ----------------------------------------------------------------------------------

    @staticmethod
    def cost(price: Price | None, usage: Usage) -> float | None:
        """What an answer cost in US dollars: what the provider says, else tokens times price, else None."""
        said = None if usage.cost_usd is None else _nanodollars(usage.cost_usd)
        if said is not None:
            return said / 10**9
        if price is None or usage.prompt_tokens is None or usage.completion_tokens is None:
            return None
        return _worst(price, usage.prompt_tokens, usage.completion_tokens) / 10**9

    def record(self, backend: str, model: str, usage: Usage, cost_usd: float | None) -> None:
        """Count an answer. It is written soon, in a thread; `flush` waits for that."""
        nanodollars = None if cost_usd is None else _nanodollars(cost_usd)
        count = Count(
            answers=1,
            unpriced=int(nanodollars is None),
            prompt_tokens=_tokens(usage.prompt_tokens),
            completion_tokens=_tokens(usage.completion_tokens),
            nanodollars=nanodollars or 0,
        )
        key = (self._day(), _name(backend), _name(model))
        if len(self._known) + len(self._pending) >= MOST_ROWS and key not in self._known:
            key = (key[0], key[1], "other models")
        _add(self._pending, key, count)
        self._start()

    def today(self) -> "Spent":
        """What was used today, as far as it was read; see `refresh`."""
        return self._spent(self._day())

    def this_month(self) -> "Spent":
        """What was used this month, as far as it was read; see `refresh`."""
        return self._spent(self._month())

    # --- The file -----------------------------------------------------------------------------------------

    async def refresh(self) -> None:
        """Read what the file says: earlier runs, and other programs that run now."""
        self._start(even_if_nothing_is_new=True)
        if self._job is not None:
            await asyncio.wait({self._job})

    async def flush(self) -> None:
        """Wait until everything is written, or cannot be."""
        while self._job is not None or self._pending:
            self._start()
            if self._job is None:
                return
            await asyncio.wait({self._job})
            if not self._wrote:
                return

    def _start(self, *, even_if_nothing_is_new: bool = False) -> None:
        if self._job is not None and self._job.get_loop().is_closed():
            self._outlived()
        if self._file is None or self._job is not None or not (self._pending or even_if_nothing_is_new):
            return
        self._writing, self._pending = self._pending, {}
        exchange = partial(self._file.exchange, self._writing, self._day())
        try:
            self._job = asyncio.get_running_loop().run_in_executor(None, exchange)
        except RuntimeError:  # there is no loop, or it is being closed
            self._take(exchange())
        else:
            self._job.add_done_callback(self._exchanged)

    def _outlived(self) -> None:
        """The loop was closed before the thread was ready: it writes to its end, and nobody hears of it."""
        self._job = None
        for key, count in self._writing.items():
            _add(self._known, key, count)
        self._writing = {}

    def _exchanged(self, job: "asyncio.Future[Exchanged]") -> None:
        self._job = None
        self._take(job.result())

    def _take(self, result: "Exchanged") -> None:
        if result.rows is not None:
            self._known = result.rows
        self._wrote = result.rows is not None
        writing, self._writing = self._writing, {}
        if not self._wrote:
            for key, count in writing.items():
                _add(self._pending, key, count)
        if result.give_up:
            self._file = None
        if result.notice and self._warn is not None:
            self._warn(result.notice)
        if self._wrote:
            self._start()

    def _spent(self, period: str) -> "Spent":
        by_model: dict[tuple[str, str], Count] = {}
        total = Count()
        for counts in (self._known, self._writing, self._pending):
            for (day, backend, model), count in counts.items():
                if day.startswith(period):
                    by_model[backend, model] = by_model.get((backend, model), Count()) + count
                    total += count
        return Spent(period, total, by_model)

    def _day(self) -> str:
        return time.strftime("%Y-%m-%d", time.localtime(self._clock()))

    def _month(self) -> str:
        return self._day()[:7]


class Reservation:
    """Money held for an answer that is on its way: so much may it cost at most. A context manager."""

    __slots__ = ("_ledger", "nanodollars")

    def __init__(self, ledger: Ledger, nanodollars: int) -> None:
        self._ledger = ledger
        self.nanodollars = nanodollars

    def release(self) -> None:
        """The answer's real cost is recorded, or there is none. A second time changes nothing."""
        self._ledger._reserved -= self.nanodollars
        self.nanodollars = 0

    def __enter__(self) -> "Reservation":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _file(path: Path) -> "LedgerFile":
    # SQLite is only loaded where there is a file.
    from whisper_desktop.llm.ledger_file import LedgerFile

    return LedgerFile(path)


def _name(given: str) -> str:
    """A name that can be kept: servers name their models, and half a character is possible in JSON."""
    return given[:_LONGEST_NAME].encode(errors="replace").decode()


def _add(counts: Counts, key: Key, count: Count) -> None:
    counts[key] = counts.get(key, Count()) + count


# --- Money ------------------------------------------------------------------------------------------------


def _nanodollars(dollars: float) -> int | None:
    """US dollars in whole nanodollars; None for what is no amount."""
    if not math.isfinite(dollars) or dollars < 0:
        return None
    return min(int((Decimal(str(dollars)) * _NANO).to_integral_value()), _MOST_NANODOLLARS)


def _worst(price: Price, prompt_tokens: int, completion_tokens: int) -> int:
    """What so many tokens cost, in nanodollars, rounded up."""
    dollars = (
        Decimal(str(price.prompt)) * _tokens(prompt_tokens)
        + Decimal(str(price.completion)) * _tokens(completion_tokens)
        + Decimal(str(price.request))
    )
    if not dollars.is_finite():
        return _MOST_NANODOLLARS
    nanodollars = int((dollars * _NANO).to_integral_value(ROUND_CEILING))
    return min(max(nanodollars, 0), _MOST_NANODOLLARS)


def _tokens(count: int | None) -> int:
    return min(max(count or 0, 0), _MOST_TOKENS)


def _price_unknown() -> BackendError:
    return BackendError(
        ErrorKind.BUDGET,
        tr("Nobody knows what this model costs, and a limit on spending is set."),
        tr("Nothing was sent."),
        tr(
            "Choose a model with a known price, use one on this computer, or remove the limit "
            "(`whisper-desktop config set llm.spending.daily none`, and `monthly`)."
        ),
        request_sent=False,
    )


def _over(word: str, cap: int, spent: int, reserved: int, worst: int) -> BackendError:
    daily = word == "daily"
    period = tr("today") if daily else tr("this month")
    held = tr(", {dollars} is held for answers on their way", dollars=_dollars(reserved)) if reserved else ""
    return BackendError(
        ErrorKind.BUDGET,
        tr("The daily limit of {dollars} leaves too little for this answer.", dollars=_dollars(cap))
        if daily
        else tr("The monthly limit of {dollars} leaves too little for this answer.", dollars=_dollars(cap)),
        tr(
            "{dollars} was spent {period}{held}, and this one may cost up to {dollars2}. Nothing was sent.",
            dollars=_dollars(spent),
            period=period,
            held=held,
            dollars2=_dollars(worst),
        ),
        tr(
            "Ask for a shorter answer, use a model on this computer, or raise the limit "
            "(`whisper-desktop config set llm.spending.{word} AMOUNT`).",
            word=word,
        ),
        request_sent=False,
    )


def _dollars(nanodollars: int) -> str:
    dollars = Decimal(nanodollars) / _NANO
    digits = 2 if nanodollars == 0 or nanodollars >= 10**7 else 6
    return f"${dollars:.{digits}f}"
