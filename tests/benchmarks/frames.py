"""How long the main thread is blocked while 1,000 tokens a second stream into a chat of 400 messages.

A frame is what happens between two flushes of the bridge, 30 of them a second; its time is the longest
block of the main thread in it, by a heartbeat that beats whenever there is nothing else to do. The window
is drawn by the processor (offscreen). The processor's time of the same blocks is shown beside it, because
the clock also counts what other programs take. Run it with `python3 packaging/dev.py bench frames` on an
idle machine.
"""

import asyncio
import os
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

import qasync
from PySide6.QtWidgets import QApplication

from tests.benchmarks._chats import CODE, MIXED, SENTENCE, Heartbeat, conversation, percentile, spread
from tests.benchmarks._measure import verdict
from whisper_desktop.ui.bridge import Bridge
from whisper_desktop.ui.chat import rows
from whisper_desktop.ui.chat.transcript import TranscriptModel
from whisper_desktop.ui.chat.view import TranscriptView
from whisper_desktop.values import StreamEvent, TextDelta

SECONDS = float(os.environ.get("BENCH_SECONDS", "12"))
TOKENS = 1_000  # a second
LETTERS = 4  # of a token
MESSAGES = 400
MUST = 16.0  # ms

KINDS = {
    "all kinds of markdown": MIXED * 60,
    "one endless paragraph": SENTENCE * 700,
    "one endless code block": "```python\n" + CODE.removeprefix("```python\n").removesuffix("```\n\n") * 700,
    "one endless list": ("- " + SENTENCE + "\n") * 700,
    "one endless table": "| a | b |\n|---|---|\n" + "| Lisbon | the morning train |\n" * 3000,
}


async def tokens(text: str) -> AsyncGenerator[StreamEvent, None]:
    """The text as a model that writes 1,000 tokens a second would give it."""
    started, at = time.perf_counter(), 0
    while at < len(text):
        due = int((time.perf_counter() - started) * TOKENS) * LETTERS
        if due >= SECONDS * TOKENS * LETTERS:
            return
        while at < min(due, len(text)):
            yield TextDelta(text[at : at + LETTERS])
            at += LETTERS
        await asyncio.sleep(0.002)


async def streamed(bridge: Bridge, text: str) -> tuple[Heartbeat, int]:
    """How the main thread was blocked while the text streamed, and how many characters were shown."""
    model = TranscriptModel()
    view = TranscriptView(model)
    view.resize(760, 640)
    view.show()
    view.set_rows(conversation(MESSAGES))
    number = model.append(rows.waiting(guide=False))
    await asyncio.sleep(1.0)  # what is near is laid out
    heart = Heartbeat()
    heart.start()
    async with aclosing(bridge.stream(tokens(text))) as batches:
        async for events in batches:
            heart.frame()
            model.replace(number, rows.with_events(model.row(number), events))
    await asyncio.sleep(0.1)
    heart.frame()
    heart.stop()
    shown = len(model.row(number).text)
    view.close()
    view.deleteLater()
    return heart, shown


async def measure(bridge: Bridge) -> bool:
    """Measure, and print a line for each kind of text; whether what must be met is met."""
    await streamed(bridge, MIXED)  # imports, fonts
    met = []
    for name, text in KINDS.items():
        heart, shown = await streamed(bridge, text)
        print(f"\n{name} ({shown / 1000:.0f} kB, {len(heart.blocks)} frames)")
        print(f"  {spread(heart.blocks)}   by the clock\n  {spread(heart.busy)}   of the processor")
        met.append(verdict("p99", percentile(heart.blocks, 0.99) * 1000, must=MUST, unit="ms"))
    return all(met)


def main() -> int:
    """Exit code 1 when a frame takes too long."""
    app = QApplication(sys.argv)
    loop = qasync.QEventLoop(app)
    bridge = Bridge(loop, print)
    bridge.start()
    with loop:
        met = loop.run_until_complete(measure(bridge))
        loop.run_until_complete(bridge.stop(5.0))
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
