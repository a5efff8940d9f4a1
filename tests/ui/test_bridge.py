"""The bridge: results, errors, streams and events cross between the core's loop and Qt's."""

import asyncio
import gc
import threading
import time
import weakref
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest
from PySide6.QtCore import QObject
from pytestqt.qtbot import QtBot

from tests.ui.conftest import WAIT, Waiter
from whisper_desktop.errors import WhisperError
from whisper_desktop.events import AnswerState, BackendChosen, Bus
from whisper_desktop.ui.bridge import FLUSH_INTERVAL, Bridge


async def numbers(count: int) -> AsyncGenerator[int, None]:
    for number in range(count):
        yield number
        await asyncio.sleep(0)


async def collected(bridge: Bridge, source: AsyncGenerator[int, None]) -> list[tuple[int, ...]]:
    async with aclosing(bridge.stream(source)) as batches:
        return [batch async for batch in batches]


def test_a_core_coroutine_runs_in_the_core_thread_and_its_result_arrives_in_qts(
    bridge: Bridge, wait: Waiter
) -> None:
    async def core() -> str:
        return threading.current_thread().name

    async def ui() -> tuple[str, bool]:
        name = await bridge.run(core())
        return name, threading.current_thread() is threading.main_thread()

    assert wait(ui()) == ("core", True)


def test_an_error_of_a_core_coroutine_is_raised_where_it_is_awaited(bridge: Bridge, wait: Waiter) -> None:
    async def core() -> None:
        raise WhisperError("It broke.")

    with pytest.raises(WhisperError, match="It broke"):
        wait(bridge.run(core()))


def test_cancelling_the_future_cancels_the_core_coroutine(bridge: Bridge, qtbot: QtBot) -> None:
    begun, cancelled = threading.Event(), threading.Event()

    async def core() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    future = bridge.run(core())
    qtbot.waitUntil(begun.is_set, timeout=WAIT)
    future.cancel()
    qtbot.waitUntil(cancelled.is_set, timeout=WAIT)


def test_a_stream_delivers_every_item_in_order(bridge: Bridge, wait: Waiter) -> None:
    batches = wait(collected(bridge, numbers(2000)))
    assert [number for batch in batches for number in batch] == list(range(2000))


def test_a_stream_comes_in_no_more_batches_than_a_window_can_show(bridge: Bridge, wait: Waiter) -> None:
    async def paced() -> AsyncGenerator[int, None]:
        for number in range(200):
            yield number
            await asyncio.sleep(0.002)

    started = time.monotonic()
    batches = wait(collected(bridge, paced()))
    assert len(batches) <= (time.monotonic() - started) / FLUSH_INTERVAL + 2


def test_an_error_in_a_stream_comes_after_the_items_before_it(bridge: Bridge, wait: Waiter) -> None:
    async def breaking() -> AsyncGenerator[int, None]:
        yield 1
        yield 2
        raise WhisperError("It broke.")

    seen: list[int] = []

    async def ui() -> None:
        async with aclosing(bridge.stream(breaking())) as batches:
            async for batch in batches:
                seen.extend(batch)

    with pytest.raises(WhisperError, match="It broke"):
        wait(ui())
    assert seen == [1, 2]


def test_closing_a_stream_closes_its_source_before_it_returns(bridge: Bridge, wait: Waiter) -> None:
    closed = threading.Event()

    async def endless() -> AsyncGenerator[int, None]:
        try:
            while True:
                yield 1
                await asyncio.sleep(0)
        finally:
            closed.set()

    async def ui() -> bool:
        async with aclosing(bridge.stream(endless())) as batches:
            await anext(batches)
        return closed.is_set()

    assert wait(ui())


def test_a_stream_goes_on_in_the_core_while_the_qt_thread_is_blocked(bridge: Bridge, wait: Waiter) -> None:
    far = threading.Event()

    async def source() -> AsyncGenerator[int, None]:
        for number in range(100):
            yield number
            await asyncio.sleep(0)
        far.set()

    async def ui() -> int:
        count = 0
        async with aclosing(bridge.stream(source())) as batches:
            async for batch in batches:
                assert far.wait(10), "the core waited for the window"  # blocks the Qt thread on purpose
                count += len(batch)
        return count

    assert wait(ui()) == 100


def test_events_of_the_core_arrive_in_the_qt_thread_in_order(bridge: Bridge, qtbot: QtBot) -> None:
    bus = Bus()
    bridge.listen(bus)
    seen: list[tuple[object, bool]] = []

    class Receiver(QObject):
        def take(self, event: object) -> None:
            seen.append((event, threading.current_thread() is threading.main_thread()))

    receiver = Receiver()
    bridge.event_arrived.connect(receiver.take)

    async def core() -> None:
        bus.publish(AnswerState(True))
        bus.publish(BackendChosen("ollama"))

    bridge.run(core())
    qtbot.waitUntil(lambda: len(seen) == 2, timeout=WAIT)
    assert seen == [(AnswerState(True), True), (BackendChosen("ollama"), True)]


def test_an_error_in_a_ui_task_is_reported(bridge: Bridge, errors: list[BaseException], qtbot: QtBot) -> None:
    async def ui() -> None:
        raise ValueError("a mistake")

    bridge.spawn(ui())
    qtbot.waitUntil(lambda: bool(errors), timeout=WAIT)
    assert str(errors.pop()) == "a mistake"


def test_stopping_cancels_what_runs_and_ends_the_thread(bridge: Bridge, wait: Waiter, qtbot: QtBot) -> None:
    begun, cancelled = threading.Event(), threading.Event()

    async def core() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async def ui() -> None:
        await bridge.run(core())

    task = bridge.spawn(ui())
    qtbot.waitUntil(begun.is_set, timeout=WAIT)
    assert wait(bridge.stop(5.0))
    assert cancelled.is_set()
    assert task.cancelled()
    assert not bridge.busy


def test_cycles_are_collected_in_the_qt_thread_only(bridge: Bridge, wait: Waiter, qtbot: QtBot) -> None:
    class Cycle:
        def __init__(self) -> None:
            self.itself = self

    ended_in: list[str] = []
    weakref.finalize(Cycle(), lambda: ended_in.append(threading.current_thread().name))

    kept: list[list[int]] = []

    async def core() -> None:
        kept.extend([number] for number in range(100_000))  # enough for a collection by whoever does it

    wait(bridge.run(core()))
    qtbot.waitUntil(lambda: bool(ended_in), timeout=WAIT)
    assert ended_in == [threading.main_thread().name]


def test_the_collector_is_given_back_when_the_core_thread_has_ended(bridge: Bridge, wait: Waiter) -> None:
    assert not gc.isenabled()
    wait(bridge.stop(5.0))
    assert gc.isenabled()
