"""A program that keeps answers while they stream until it is killed, and what of them was lost.

It writes down outside the store when it put each piece; the pieces are numbered, so that a gap shows.
"""

import asyncio
import os
import struct
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from whisper_desktop.chat.records import Conversation, Node, TurnState
from whisper_desktop.chat.store import ConversationStore
from whisper_desktop.values import Deadlines, Role

_MARK = struct.Struct("=Qd")
_PIECE = "{:07d} "
_EACH = len(_PIECE.format(0))
_ANSWER = 150  # pieces
_PACE = 0.002  # seconds between two pieces
ROOT = Path(__file__).parents[3]


@dataclass(frozen=True, slots=True)
class Lost:
    """What a killed run had put and is not in the file. `put` are the pieces that it had put altogether."""

    put: int
    pieces: int
    seconds: float

    @property
    def characters(self) -> int:
        return self.pieces * _EACH


def started(path: Path, run: str) -> "subprocess.Popen[bytes]":
    """The program, writing the conversation `run`."""
    command = [sys.executable, "-m", "tests.chat.store.dying", str(path), run]
    return subprocess.Popen(command, cwd=ROOT)


def marks(path: Path, run: str) -> list[tuple[int, float]]:
    """The pieces that were put, and when (as `time.monotonic` counts)."""
    try:
        written = _marks_file(path, run).read_bytes()
    except FileNotFoundError:
        return []
    whole = len(written) // _MARK.size * _MARK.size
    return list(_MARK.iter_unpack(written[:whole]))


async def lost(path: Path, run: str, killed: float) -> Lost:
    """What is missing; that what is there is whole is checked on the way. `killed` is when, as above."""
    put = marks(path, run)
    store = await ConversationStore.open(path, Deadlines())
    try:
        assert store.report.notice is None, store.report.notice
        nodes = await store.nodes(run)
        assert nodes == () or await store.conversation(run) is not None
        assert all(node.state is not TurnState.STREAMING for node in nodes)
        assert all(node.state is TurnState.COMPLETE for node in nodes[:-2])
        text = "".join(node.text for node in nodes if node.role is Role.ASSISTANT)
        there = len(text) // _EACH
        assert text == "".join(_PIECE.format(number) for number in range(there)), "a piece is missing inside"
    finally:
        await store.close()
    missing = [when for number, when in put if number >= there]
    return Lost(len(put), len(missing), killed - missing[0] if missing else 0.0)


async def _write(path: Path, run: str) -> None:
    store = await ConversationStore.open(path, Deadlines())
    descriptor = os.open(_marks_file(path, run), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    number, turn, parent = 0, 0, None
    while True:
        question = Node(f"q{turn}", parent, Role.USER, f"Question {turn}", time.time())
        answer = Node(f"a{turn}", question.id, Role.ASSISTANT, "", time.time(), state=TurnState.STREAMING)
        store.put(Conversation(run, 0.0, time.time(), "Dying", leaf=answer.id))
        store.put_node(run, question)
        text = ""
        for _ in range(_ANSWER):
            text += _PIECE.format(number)
            answer = Node(answer.id, question.id, Role.ASSISTANT, text, answer.created, state=answer.state)
            store.put_node(run, answer)
            os.write(descriptor, _MARK.pack(number, time.monotonic()))
            number += 1
            await asyncio.sleep(_PACE)
        store.put_node(run, Node(answer.id, question.id, Role.ASSISTANT, text, answer.created))
        turn, parent = turn + 1, answer.id


def _marks_file(path: Path, run: str) -> Path:
    return path.with_name(f"{run}.marks")


if __name__ == "__main__":
    asyncio.run(_write(Path(sys.argv[1]), sys.argv[2]))
