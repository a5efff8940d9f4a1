"""How long a search over 100,000 messages takes, and opening one conversation of 10,000.

The messages are drawn: 10 to 150 words of a vocabulary in which, as in a language, the second word is half as
common as the first; every twentieth is of Chinese characters. They go through the store, and are searched
through it, as the window does. Run it with `python3 packaging/dev.py bench search` on an idle machine; needs
400 MB of disk.
"""

import asyncio
import itertools
import os
import random
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from pathlib import Path

from whisper_desktop.chat.records import Conversation, Node
from whisper_desktop.chat.store import ConversationStore
from whisper_desktop.values import Attempt, Deadlines, Provenance, Reach, Role, Usage

MESSAGES = 100_000
CONVERSATIONS = 1000
LONG = 10_000
RUNS = 15
MOST, MOST_LOAD, AIM_LOAD = 50.0, 200.0, 60.0  # milliseconds


def main() -> bool:
    """Measure and print; whether all of it is fast enough."""
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_measure(Path(folder) / "conversations.db"))


async def _measure(path: Path) -> bool:
    random.seed(6)
    words, common = _vocabulary()
    started = time.perf_counter()
    store = await ConversationStore.open(path, Deadlines())
    for number in range(CONVERSATIONS):
        store.put(Conversation(f"c{number}", number, number, " ".join(random.choices(words, common, k=4))))
    for number, text in enumerate(_texts(words, common)):
        store.put_node(f"c{number % CONVERSATIONS}", _node(number, text))
    store.put(Conversation("long", 0, 0, "A long one"))
    for number in range(LONG):
        store.put_node("long", _node(number, f"Message {number} of a long conversation. " * 8, "l"))
    await store.flush()
    await store.close()
    taken = time.perf_counter() - started
    size = await asyncio.to_thread(os.path.getsize, path)
    print(f"{MESSAGES + LONG:,} messages written in {taken:.1f} s, {size / 1e6:.0f} MB")
    for how in ("after a run that ended well", "after one that died"):
        if "died" in how:
            await store.close()
            await asyncio.to_thread(_die, path)
        started = time.perf_counter()
        store = await ConversationStore.open(path, Deadlines())
        print(f"opened in {(time.perf_counter() - started) * 1000:.0f} ms {how}")
    fine = [
        await _timed(what, lambda query=query, chat=chat: store.search(query, 50, chat), MOST)  # type: ignore[misc]
        for what, query, chat in _queries(words)
    ]
    fine.append(await _timed(f"open {LONG:,} messages", lambda: store.nodes("long"), MOST_LOAD, AIM_LOAD))
    await store.close()
    return all(fine)


def _die(path: Path) -> None:
    """As a run leaves the file that did not come to close it: it is looked through when it is opened."""
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute("UPDATE facts SET value = 0 WHERE name = 'closed'")


def _queries(words: list[str]) -> Iterator[tuple[str, str, str | None]]:
    yield "the most common word", words[0] + " ", None
    yield "two common words", f"{words[0]} {words[1]} ", None
    yield "six common words", " ".join(words[:6]) + " ", None
    yield "a phrase of two common words", f'"{words[0]} {words[1]}"', None
    yield "a rare word", words[25_000] + " ", None
    yield "a common and a rare word", f"{words[0]} {words[25_000]} ", None
    yield "words that nothing has", "nowhere to be found ", None
    yield "a word of one letter, unfinished", "a", None
    yield "a word of two letters, unfinished", words[0][:2], None
    yield "a word of five letters, unfinished", words[40][:5], None
    yield "a common word and a letter", f"{words[0]} s", None
    yield "the most common Chinese character", "的", None
    yield "two common Chinese characters", "的一", None
    yield "four Chinese characters", "的一是不", None
    yield "a common word in one chat", words[0] + " ", "c501"
    yield "what every long message has", "message of a long", None


def _vocabulary() -> tuple[list[str], list[float]]:
    letters = "etaoinshrdlucmfwypvbgkjqxz"
    likely = [1 / (place + 2) for place in range(len(letters))]
    words: dict[str, None] = {}
    while len(words) < 30_000:
        words["".join(random.choices(letters, likely, k=random.randint(2, 9)))] = None
    return list(words), [1 / (place + 1) for place in range(len(words))]


def _texts(words: list[str], common: list[float]) -> Iterator[str]:
    sums = list(itertools.accumulate(common))
    characters = [*"的一是不了在人有我他这", *map(chr, range(0x4E00, 0x5600))]
    han = list(itertools.accumulate(1 / (place + 1) for place in range(len(characters))))
    for number in range(MESSAGES):
        length = random.randint(10, 150)
        if number % 20:
            yield " ".join(random.choices(words, cum_weights=sums, k=length))
        else:
            yield "".join(random.choices(characters, cum_weights=han, k=length))


def _node(number: int, text: str, kind: str = "n") -> Node:
    if number % 2 == 0:
        return Node(f"{kind}{number}", None, Role.USER, text, time.time())
    attempt = Attempt("ollama", "Ollama", "http://127.0.0.1:11434", "qwen3:4b", None, "It answered.", 1.2)
    provenance = Provenance(
        "ollama",
        "Ollama",
        "http://127.0.0.1:11434",
        "qwen3:4b",
        Reach.THIS_MACHINE,
        False,
        "Ollama is the first of your chain.",
        (attempt,),
        0.4,
        3.2,
        31.5,
        Usage(100, 200 + number, 31.5, 400.2),
    )
    return Node(
        f"{kind}{number}",
        f"{kind}{number - 1}",
        Role.ASSISTANT,
        text,
        time.time(),
        provenance=provenance,
        finish_reason="stop",
    )


async def _timed(
    what: str, do: Callable[[], Awaitable[tuple[object, ...]]], must: float, aim: float | None = None
) -> bool:
    taken, found = [], 0
    for _ in range(RUNS):
        started = time.perf_counter()
        found = len(await do())
        taken.append((time.perf_counter() - started) * 1000)
    median, longest = statistics.median(taken), max(taken)
    state = f"at most {must:g}: {'met' if median <= must else 'MISSED'}"
    if aim is not None:
        state += f"; aim {aim:g}: {'met' if median <= aim else 'not yet'}"
    print(f"  {median:7.1f} ms  longest {longest:7.1f}  {found:6,} found  {what} ({state})")
    return median <= must


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
