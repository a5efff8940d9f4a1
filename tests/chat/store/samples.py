"""Conversations to be kept, made by hand and drawn at random, and how two of them are compared."""

import inspect
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from hashlib import sha256
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from whisper_desktop import errors
from whisper_desktop.chat.breaks import Seam, SetAside
from whisper_desktop.chat.records import (
    Attachment,
    ChatWishes,
    Conversation,
    Draft,
    Folder,
    Node,
    Parameters,
    ReadingPlace,
    TitleSource,
    TurnState,
)
from whisper_desktop.chat.store import ConversationStore
from whisper_desktop.errors import BackendError, Interrupted, LLMConnectionError, WhisperError
from whisper_desktop.values import (
    Attempt,
    Deadlines,
    ErrorKind,
    Provenance,
    Reach,
    Repair,
    Role,
    ToolCall,
    Usage,
)

FAILED = Attempt(
    "lm_studio",
    "LM Studio",
    "http://127.0.0.1:1234",
    "gemma-3-4b",
    ErrorKind.STREAM_CUT,
    "It closed the connection.",
    2.5,
)
ANSWERED = Attempt("ollama", "Ollama", "http://127.0.0.1:11434", "qwen3:4b", None, "It answered.", 1.25)
PROVENANCE = Provenance(
    "ollama",
    "Ollama",
    "http://127.0.0.1:11434",
    "qwen3:4b",
    Reach.THIS_MACHINE,
    False,
    "LM Studio did not answer, so Ollama did.",
    (FAILED, ANSWERED),
    0.4,
    3.2,
    31.5,
    Usage(120, 240, 31.5, 400.25, 0.001),
)
TRAIN, PAPER = b"\x89PNG a picture of a train", b"%PDF the timetable"
TRAIN_ID, PAPER_ID = (sha256(data).hexdigest() for data in (TRAIN, PAPER))


@asynccontextmanager
async def opened(path: Path, **how: Any) -> AsyncIterator[ConversationStore]:
    """A store that is closed again."""
    store = await ConversationStore.open(path, Deadlines().scaled(0.05), **how)
    try:
        yield store
    finally:
        await store.close()


def question(node_id: str, text: str, parent: str | None = None, **more: Any) -> Node:
    return Node(node_id, parent, Role.USER, text, 1000.0, **more)


def answer(node_id: str, text: str, parent: str | None = None, **more: Any) -> Node:
    return Node(node_id, parent, Role.ASSISTANT, text, 1001.0, **more)


def conversation(id_: str, title: str = "", **more: Any) -> Conversation:
    return Conversation(**{"id": id_, "created": 1000.0, "updated": 1000.0, "title": title, **more})


def an_example() -> tuple[Conversation, tuple[Node, ...], Folder]:
    """One of everything that can be kept."""
    picture = Attachment(TRAIN_ID, "train.png", "image/png", len(TRAIN))
    paper = Attachment(
        PAPER_ID, "timetable.pdf", "application/pdf", 90_000, "Lisboa Oriente 08:09, Coimbra 10:02"
    )
    head = conversation(
        "trip",
        "Trip to Lisbon",
        title_source=TitleSource.PERSON,
        folder="travel",
        pinned=True,
        wishes=ChatWishes(
            "ollama",
            "qwen3:4b",
            Reach.MY_NETWORK,
            "Guide",
            "You know trains.",
            Parameters(0.7, 0.9, 500, 42, ("END", "\n\n"), 16384, "low"),
        ),
        leaf="a2",
        draft=Draft("And by boat?", (paper,)),
        place=ReadingPlace("a1", 0.25),
        updated=1300.5,
    )
    nodes = (
        question("q1", "Three days, by train. Ideas?", attachments=(picture, paper)),
        answer(
            "a1",
            "Take the morning train along the river.",
            "q1",
            reasoning="They like trains.",
            reasoning_seconds=1.5,
            provenance=PROVENANCE,
            finish_reason="stop",
            seams=(Seam(9, FAILED),),
            set_aside=(SetAside(FAILED, "Take the", "Hm.", (Seam(2, FAILED),)),),
        ),
        answer(
            "a2",
            "Take the bo",
            "q1",
            state=TurnState.INTERRUPTED,
            error=Interrupted(
                "The answer stopped.", "The server closed the connection.", "Try again.",
                partial_text="Take the bo", kind=ErrorKind.STREAM_CUT, attempts=(FAILED,),
                repairs=(Repair("no_gpu", "Without the graphics card", "It is slower."),),
            ),
            tool_calls=(ToolCall("c1", "timetable", '{"from": "Porto"}', "sig"),),
        ),
        answer(
            "a3", "", "q1", state=TurnState.FAILED,
            error=LLMConnectionError(
                "Nothing answered.", attempts=(FAILED,),
                last_error=BackendError(ErrorKind.QUOTA, "No credit.", status=402, retry_after=3.0),
            ),
        ),
    )  # fmt: skip
    return head, nodes, Folder("travel", "Travel", 2)


def same(one: object, other: object) -> bool:
    """Equal, where errors are equal that say the same."""
    if type(one) is not type(other):
        return False
    if isinstance(one, WhisperError):
        return same(vars(one), vars(other))
    if is_dataclass(one) and not isinstance(one, type):
        return all(same(getattr(one, part.name), getattr(other, part.name)) for part in fields(one))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, Sequence) and not isinstance(one, str | bytes) and isinstance(other, Sequence):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


# --- At random --------------------------------------------------------------------------------------------

_PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    str: st.text(st.characters(codec="utf-8"), max_size=20),
    int: st.integers(-(2**63), 2**63 - 1),
    bool: st.booleans(),
    float: st.floats(allow_nan=False, allow_infinity=False),
    NoneType: st.none(),
}
_ERRORS = [
    kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, WhisperError)
]


@cache
def drawn(kind: Any) -> st.SearchStrategy[Any]:
    """Values of a type, with all that is in them."""
    if kind in _PLAIN:
        return _PLAIN[kind]
    if get_origin(kind) in (Union, UnionType):
        return st.one_of([drawn(part) for part in get_args(kind)])
    if get_origin(kind) is tuple:
        return st.lists(drawn(get_args(kind)[0]), max_size=2).map(tuple)
    if issubclass(kind, Enum):
        return st.sampled_from(kind)
    if kind is WhisperError:
        return st.one_of([_error(one, depth=1) for one in _ERRORS])
    hints = get_type_hints(kind)
    return st.builds(kind, **{part.name: drawn(hints[part.name]) for part in fields(kind)})


def _error(kind: type[WhisperError], depth: int) -> st.SearchStrategy[WhisperError]:
    hints = get_type_hints(kind.__init__)
    parts = {name: drawn(hints[name]) for name in inspect.signature(kind).parameters if name != "last_error"}
    if "last_error" in hints:
        inside = st.one_of([_error(one, depth - 1) for one in _ERRORS]) if depth else st.none()
        parts["last_error"] = st.none() | inside
    return st.builds(kind, **parts)
