"""What answers cost: sums that hold, limits that hold, and a file that survives what happens to files."""

import asyncio
import math
import random
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisper_desktop.errors import BackendError
from whisper_desktop.llm.ledger import ASSUMED_TOKENS, MOST_ROWS, Count, Ledger, Reservation
from whisper_desktop.values import ErrorKind, Price, Usage

CENT_A_TOKEN = Price(prompt=0.01, completion=0.01)
PROJECT = Path(__file__).parents[2]
NOVEMBER_21 = (2026, 11, 21, 12, 0, 0, 0, 0, -1)


class Calendar:
    """A wall clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = time.mktime(NOVEMBER_21)

    def __call__(self) -> float:
        return self.now

    def days(self, number: int) -> None:
        self.now += number * 86_400


@pytest.fixture
def calendar() -> Calendar:
    return Calendar()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "costs.db"


def content_of(path: Path) -> bytes:
    return path.read_bytes()


def put(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def permissions(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def admitted(ledger: Ledger, tokens: int, *, price: Price | None = CENT_A_TOKEN) -> Reservation:
    answer = await ledger.admit(price, prompt_tokens=0, max_tokens=tokens)
    assert isinstance(answer, Reservation)
    return answer


async def refused(ledger: Ledger, tokens: int, *, price: Price | None = CENT_A_TOKEN) -> BackendError:
    answer = await ledger.admit(price, prompt_tokens=0, max_tokens=tokens)
    assert isinstance(answer, BackendError)
    assert answer.kind is ErrorKind.BUDGET
    assert not answer.request_sent
    return answer


def spend(ledger: Ledger, dollars: float, model: str = "big") -> None:
    ledger.record("openrouter", model, Usage(prompt_tokens=10, completion_tokens=20), dollars)


# --- sums ------------------------------------------------------------------------------------------------


async def test_answers_add_up_by_day_and_model(calendar: Calendar) -> None:
    ledger = Ledger(None, clock=calendar)
    spend(ledger, 0.25)
    spend(ledger, 0.5, "small")
    calendar.days(1)
    spend(ledger, 1.0)
    assert ledger.today().period == "2026-11-22"
    assert ledger.today().total == Count(1, 0, 10, 20, 10**9)
    assert ledger.this_month().total.cost_usd == 1.75
    assert ledger.this_month().by_model == {
        ("openrouter", "big"): Count(2, 0, 20, 40, 1_250_000_000),
        ("openrouter", "small"): Count(1, 0, 10, 20, 500_000_000),
    }
    calendar.days(10)
    assert ledger.this_month().total == Count()


@given(st.lists(st.integers(0, 10**7), min_size=1, max_size=50))
def test_costs_do_not_drift(microdollars: list[int]) -> None:
    ledger = Ledger(None)
    for amount in microdollars:
        spend(ledger, amount / 10**6)
    assert ledger.this_month().total.nanodollars == sum(microdollars) * 1000


@pytest.mark.parametrize("nonsense", [None, math.nan, math.inf, -1.0])
async def test_an_answer_that_nobody_can_price_is_counted_without_a_cost(nonsense: float | None) -> None:
    ledger = Ledger(None)
    ledger.record("openai", "big", Usage(prompt_tokens=5), nonsense)
    assert ledger.today().total == Count(1, 1, 5, 0, 0)


async def test_figures_of_a_server_are_not_trusted_to_be_sane() -> None:
    ledger = Ledger(None)
    ledger.record("openai", "m" * 5000, Usage(prompt_tokens=10**30, completion_tokens=-5), 1e300)
    (key,) = ledger.today().by_model
    assert len(key[1]) == 200
    assert ledger.today().total == Count(1, 0, 10**9, 0, 10**15)
    for number in range(2 * MOST_ROWS):
        ledger.record("openai", f"model {number}", Usage(), 0.0)
    assert len(ledger.today().by_model) <= MOST_ROWS + 1
    assert ledger.today().total.answers == 2 * MOST_ROWS + 1


@pytest.mark.parametrize(
    ("price", "usage", "cost"),
    [
        (Price(1e-6, 2e-6, 0.001), Usage(1000, 500), 0.003),
        (Price(0.15e-6, 0.6e-6), Usage(1, 1), 7.5e-7),
        (Price(0.0, 0.0), Usage(1000, 500), 0.0),
        (Price(1.0, 1.0), Usage(1, 1, cost_usd=0.5), 0.5),
        (None, Usage(1, 1, cost_usd=0.5), 0.5),
        (None, Usage(1, 1), None),
        (Price(1.0, 1.0), Usage(1, None), None),
        (Price(1.0, 1.0), Usage(1, 1, cost_usd=math.nan), 2.0),
    ],
)
def test_the_cost_of_an_answer(price: Price | None, usage: Usage, cost: float | None) -> None:
    assert Ledger.cost(price, usage) == cost


# --- limits ----------------------------------------------------------------------------------------------


async def test_without_a_limit_everything_is_admitted() -> None:
    ledger = Ledger(None)
    await admitted(ledger, 10**9, price=None)
    await admitted(ledger, 10**9)


async def test_an_unknown_price_is_refused_where_there_is_a_limit() -> None:
    error = await refused(Ledger(None, monthly_cap=100.0), 1, price=None)
    assert str(error) == (
        "Nobody knows what this model costs, and a limit on spending is set. Nothing was sent. "
        "Choose a model with a known price, use one on this computer, or remove the limit "
        "(`whisper-desktop config set llm.spending.daily none`, and `monthly`)."
    )


async def test_what_costs_nothing_is_admitted_even_when_the_limit_is_used_up() -> None:
    ledger = Ledger(None, daily_cap=0.25)
    spend(ledger, 0.5)
    await admitted(ledger, 1000, price=Price(0.0, 0.0))
    await refused(ledger, 1)


async def test_the_daily_limit_ends_with_the_day(calendar: Calendar) -> None:
    ledger = Ledger(None, daily_cap=1.0, clock=calendar)
    spend(ledger, 0.97)
    error = await refused(ledger, 5)
    assert str(error) == (
        "The daily limit of $1.00 leaves too little for this answer. $0.97 was spent today, and this one may "
        "cost up to $0.05. Nothing was sent. "
        "Ask for a shorter answer, use a model on this computer, or raise the limit "
        "(`whisper-desktop config set llm.spending.daily AMOUNT`)."
    )
    (await admitted(ledger, 3)).release()
    calendar.days(1)
    await admitted(ledger, 100)


async def test_the_monthly_limit_ends_with_the_month(calendar: Calendar) -> None:
    ledger = Ledger(None, daily_cap=10.0, monthly_cap=1.0, clock=calendar)
    spend(ledger, 0.99)
    calendar.days(1)
    assert "monthly limit of $1.00" in (await refused(ledger, 2)).title
    calendar.days(10)
    await admitted(ledger, 2)


async def test_fifty_questions_at_once_cannot_overshoot_the_limit_together() -> None:
    ledger = Ledger(None, daily_cap=1.0)

    async def question() -> bool:
        answer = await ledger.admit(CENT_A_TOKEN, prompt_tokens=1, max_tokens=9)
        if isinstance(answer, BackendError):
            return False
        with answer:
            await asyncio.sleep(0)
            spend(ledger, 0.10)
        return True

    answered = await asyncio.gather(*(question() for _ in range(50)))
    assert sum(answered) == 10
    assert ledger.today().total.cost_usd == 1.0


async def test_a_cancelled_question_gives_its_money_back() -> None:
    ledger = Ledger(None, daily_cap=1.0)
    held = await admitted(ledger, 100)
    assert "$1.00 is held for answers on their way" in (await refused(ledger, 1)).detail
    held.release()
    held.release()
    await admitted(ledger, 100)
    await refused(ledger, 1)


async def test_an_answer_without_a_limit_of_its_own_is_taken_to_be_long() -> None:
    ledger = Ledger(None, daily_cap=0.01 * ASSUMED_TOKENS)
    answer = await ledger.admit(CENT_A_TOKEN, prompt_tokens=1, max_tokens=None)
    assert isinstance(answer, BackendError)
    answer = await ledger.admit(CENT_A_TOKEN, prompt_tokens=0, max_tokens=None)
    assert isinstance(answer, Reservation)


# --- the file --------------------------------------------------------------------------------------------


async def test_it_is_kept_across_runs_and_for_this_person_only(path: Path, calendar: Calendar) -> None:
    first = Ledger(path, clock=calendar)
    spend(first, 0.25)
    spend(first, 0.25)
    await first.flush()
    assert permissions(path) == 0o600
    second = Ledger(path, daily_cap=0.6, clock=calendar)
    await refused(second, 11)
    await admitted(second, 10)
    assert second.today().total.cost_usd == 0.5


async def test_nothing_is_written_where_nothing_was_spent(path: Path) -> None:
    ledger = Ledger(path, daily_cap=1.0)
    await admitted(ledger, 10)
    await ledger.flush()
    assert not path.parent.exists()


async def test_two_programs_that_write_at_once_lose_nothing(path: Path, calendar: Calendar) -> None:
    ledgers = [Ledger(path, clock=calendar) for _ in range(4)]
    for _ in range(25):
        for ledger in ledgers:
            spend(ledger, 0.01)
        await asyncio.sleep(0)
    await asyncio.gather(*(ledger.flush() for ledger in ledgers))
    last = Ledger(path, clock=calendar)
    await last.refresh()
    assert last.today().total == Count(100, 0, 1000, 2000, 10**9)


async def test_what_another_program_spends_counts(path: Path, calendar: Calendar) -> None:
    ours, theirs = (Ledger(path, daily_cap=1.0, clock=calendar) for _ in range(2))
    (await admitted(ours, 60)).release()
    spend(theirs, 0.5)
    await theirs.flush()
    await refused(ours, 60)


SPEND_FOR_EVER = """
import asyncio, sys
from pathlib import Path
from whisper_desktop.llm.ledger import Ledger
from whisper_desktop.values import Usage

async def main() -> None:
    ledger = Ledger(Path(sys.argv[1]))
    while True:
        ledger.record("openai", "big", Usage(1, 1), 0.000001)
        await ledger.flush()
        print(flush=True)

asyncio.run(main())
"""


async def test_a_program_that_is_killed_while_it_writes_breaks_nothing(path: Path) -> None:
    for count in (1, 7, 13):
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", SPEND_FOR_EVER, str(path), stdout=subprocess.PIPE, cwd=PROJECT
        )
        assert child.stdout is not None
        before = await _answers(path)
        for _ in range(count):
            await child.stdout.readline()
        child.send_signal(signal.SIGKILL)
        written = count + len((await child.stdout.read()).splitlines())
        await child.wait()
        assert written <= await _answers(path) - before <= written + 1
    told: list[str] = []
    ledger = Ledger(path, warn=told.append)
    spend(ledger, 1.0)
    await ledger.flush()
    assert told == []


async def _answers(path: Path) -> int:
    ledger = Ledger(path)
    await ledger.refresh()
    return ledger.this_month().total.answers


@pytest.mark.parametrize(
    "damage",
    [
        b"this is no database at all, but it is long enough to be taken for one" * 50,
        b"short",
        b"SQLite format 3\x00" + bytes(5000),
        None,
    ],
)
async def test_a_damaged_file_is_kept_aside_and_told_once(
    path: Path, calendar: Calendar, damage: bytes | None
) -> None:
    first = Ledger(path, clock=calendar)
    for number in range(200):
        first.record("openai", f"model {number}", Usage(), 0.1)
    await first.flush()
    content = bytearray(content_of(path))
    if damage is None:
        content[4096:8192] = random.Random(7).randbytes(4096)
        damage = bytes(content)
    put(path, damage)
    told: list[str] = []
    ledger = Ledger(path, daily_cap=5.0, clock=calendar, warn=told.append)
    for _ in range(3):
        spend(ledger, 0.5)
        await ledger.flush()
    assert told == [
        "The record of costs was damaged. It is kept as costs.db.damaged, and counting begins anew."
    ]
    assert content_of(path.with_name("costs.db.damaged")) == damage
    again = Ledger(path, clock=calendar)
    await again.refresh()
    assert again.today().total.cost_usd == 1.5


async def test_a_file_that_was_made_but_never_written_is_not_damaged(path: Path) -> None:
    path.parent.mkdir()
    put(path, b"")
    told: list[str] = []
    ledger = Ledger(path, daily_cap=1.0, warn=told.append)
    await admitted(ledger, 10)
    spend(ledger, 0.5)
    await ledger.flush()
    assert told == []
    assert await _answers(path) == 1


async def test_damage_that_only_a_check_finds_does_not_reach_the_sums(path: Path) -> None:
    ledger = Ledger(path)
    spend(ledger, 0.5)
    await ledger.flush()
    strict, lax = "answers INTEGER NOT NULL", "answers INTEGER"
    for old, new, change in ((strict, lax, "UPDATE spent SET answers = NULL"), (lax, strict, "SELECT 1")):
        database = sqlite3.connect(path)
        database.execute("PRAGMA writable_schema = ON")
        database.execute("UPDATE sqlite_master SET sql = replace(sql, ?, ?)", (old, new))
        database.commit()
        database.close()
        database = sqlite3.connect(path)
        database.execute(change)
        database.commit()
        database.close()
    told: list[str] = []
    ledger = Ledger(path, warn=told.append)
    await ledger.refresh()
    assert len(told) == 1
    assert ledger.today().total == Count()


async def test_another_programs_database_is_not_written_to(path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE spent (something TEXT)")
        database.execute("PRAGMA user_version = 1")
    database.close()
    told: list[str] = []
    ledger = Ledger(path, warn=told.append)
    spend(ledger, 0.5)
    await ledger.flush()
    assert len(told) == 1
    assert path.with_name("costs.db.damaged").exists()


async def test_a_newer_versions_file_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 2")
    database.close()
    before = content_of(path)
    told: list[str] = []
    ledger = Ledger(path, daily_cap=1.0, warn=told.append)
    await admitted(ledger, 10)
    spend(ledger, 0.5)
    await ledger.flush()
    assert told == [
        "The record of costs cannot be used (a newer version of this app wrote it), "
        "so costs are counted for this run only."
    ]
    assert content_of(path) == before


async def test_where_nothing_can_be_written_the_limit_holds_for_this_run(tmp_path: Path) -> None:
    # A file where the folder should be: as unwritable as a read-only folder, and for every user.
    (tmp_path / "data").write_text("")
    told: list[str] = []
    ledger = Ledger(tmp_path / "data" / "costs.db", daily_cap=1.0, warn=told.append)
    for _ in range(3):
        spend(ledger, 0.3)
        await ledger.flush()
    assert len(told) == 1
    assert told[0].startswith("The record of costs cannot be used (")
    assert told[0].endswith("), so costs are counted for this run only.")
    assert ledger.today().total.cost_usd == 0.9
    await refused(ledger, 11)
    await admitted(ledger, 10)


async def test_a_file_that_can_only_be_read_still_counts(path: Path) -> None:
    earlier = Ledger(path)
    spend(earlier, 0.5)
    await earlier.flush()
    # A write version above 2 makes a database read-only, for every user (SQLite's file format, 1.3.3).
    content = bytearray(content_of(path))
    content[18] = 3
    put(path, bytes(content))
    told: list[str] = []
    ledger = Ledger(path, daily_cap=1.0, warn=told.append)
    (await admitted(ledger, 50)).release()
    for _ in range(2):
        spend(ledger, 0.2)
        await ledger.flush()
    assert len(told) == 1
    assert "read" in told[0]
    assert ledger.today().total.cost_usd == 0.9


async def test_a_file_that_another_program_holds_is_written_later(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("whisper_desktop.llm.ledger_file._BUSY_S", 0.05)
    told: list[str] = []
    ledger = Ledger(path, warn=told.append)
    spend(ledger, 0.25)
    await ledger.flush()
    other = sqlite3.connect(path, isolation_level=None)
    try:
        other.execute("BEGIN EXCLUSIVE")
        spend(ledger, 0.25)
        await ledger.flush()
        assert ledger.today().total.cost_usd == 0.5
    finally:
        other.close()
    await ledger.flush()
    assert told == []
    again = Ledger(path)
    await again.refresh()
    assert again.today().total.cost_usd == 0.5


async def test_what_was_counted_before_there_was_a_loop_is_written_too(path: Path) -> None:
    ledger = Ledger(path)
    await asyncio.to_thread(spend, ledger, 0.25)
    await ledger.flush()
    assert await _answers(path) == 1


def test_nothing_is_lost_where_a_loop_is_being_closed(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What comes while the first is written, and what comes when no thread can be had any more."""
    ledger = Ledger(path)

    async def last_words() -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            loop = asyncio.get_running_loop()
            await loop.shutdown_default_executor()
            spend(ledger, 0.25)

    async def main() -> None:
        for _ in range(5):
            spend(ledger, 0.25)
        left_open.append(last_words())
        await anext(left_open[0])

    left_open: list[AsyncGenerator[None, None]] = []
    asyncio.run(main())
    assert written(path) == 6
    spend(ledger, 0.25)
    assert written(path) == 7, "there is no loop at all"
    assert ledger.today().total.answers == 7
    assert not caplog.records


def test_a_loop_that_was_closed_too_early_takes_nothing_along(path: Path) -> None:
    """Its thread writes to the end; the next loop goes on from there."""
    ledger = Ledger(path)

    async def spend_once() -> None:
        spend(ledger, 0.25)

    path.parent.mkdir()
    loop = asyncio.new_event_loop()
    threads = ThreadPoolExecutor(1)
    loop.set_default_executor(threads)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        loop.run_until_complete(spend_once())
        loop.close()
    threads.shutdown()
    asyncio.run(two_more(ledger))
    assert ledger.today().total.answers == written(path) == 3


async def two_more(ledger: Ledger) -> None:
    spend(ledger, 0.25)
    spend(ledger, 0.25)
    await ledger.flush()


def written(path: Path) -> int:
    with closing(sqlite3.connect(path)) as database:
        (answers,) = database.execute("SELECT sum(answers) FROM spent").fetchone()
    return int(answers)


async def test_half_a_character_in_a_models_name_breaks_nothing(path: Path) -> None:
    ledger = Ledger(path)
    spend(ledger, 0.25, "big \ud83d")
    await ledger.flush()
    assert written(path) == 1


async def test_the_file_is_not_kept_for_ever(path: Path, calendar: Calendar) -> None:
    ledger = Ledger(path, clock=calendar)
    spend(ledger, 0.25)
    await ledger.flush()
    calendar.days(500)
    spend(ledger, 0.25)
    await ledger.flush()
    with sqlite3.connect(path) as database:
        assert database.execute("SELECT count(*) FROM spent").fetchone() == (1,)
    database.close()


async def test_writing_leaves_no_task_and_no_open_file(path: Path) -> None:
    ledger = Ledger(path)
    spend(ledger, 0.25)
    await ledger.flush()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert str(path) not in [file.path for file in psutil.Process().open_files()]
