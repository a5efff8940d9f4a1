"""What has to be cleared up is cleared up, however often whoever does it is cancelled."""

import asyncio
import threading

import pytest

from whisper_desktop.wire.endings import to_its_end, to_the_end


async def test_a_cancellation_waits_for_the_end_and_is_not_lost() -> None:
    go_on, done = asyncio.Event(), []

    async def clear() -> None:
        await go_on.wait()
        done.append("cleared")

    task = asyncio.create_task(to_the_end(clear(), clear()))
    for _ in range(3):
        await asyncio.sleep(0)
        task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done == ["cleared", "cleared"]


async def test_what_one_part_raises_keeps_the_others_from_nothing() -> None:
    done = []

    async def fail() -> None:
        raise ValueError

    async def clear() -> None:
        await asyncio.sleep(0)
        done.append("cleared")

    await to_the_end(fail(), clear())
    assert done == ["cleared"]


async def test_work_in_a_thread_is_waited_for_also_by_a_cancelled_caller() -> None:
    go_on = threading.Event()
    told: list[str] = []
    task = asyncio.create_task(to_its_end(asyncio.to_thread(go_on.wait), lambda: told.append("hurry")))
    for _ in range(3):
        await asyncio.sleep(0)
        task.cancel()
    await asyncio.sleep(0)
    waited = not task.done()
    go_on.set()
    assert (waited, told) == (True, ["hurry"])
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await to_its_end(asyncio.to_thread(lambda: 7)) == 7
