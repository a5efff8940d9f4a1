"""What is done with a `Session` on the core's loop, and how its messages become rows."""

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from whisper_desktop.chat import Session
from whisper_desktop.chat.records import Attachment, ChatWishes, Draft, Node, ReadingPlace
from whisper_desktop.ui.chat import rows
from whisper_desktop.ui.chat.rows import Kind, Row
from whisper_desktop.values import Reach, Role

if TYPE_CHECKING:
    from whisper_desktop.app.chats import ChatHost

# --- changes: coroutines, because they belong on the core's loop -------------------------------------------


async def show(session: Session, node: str) -> None:
    """Go to the branch of a message."""
    session.show(node)


async def remove(session: Session, node: str) -> None:
    """Remove a message and what hangs below it."""
    session.remove(node)


async def widen(session: Session, reach: Reach) -> None:
    """Let the messages of this conversation go as far as this."""
    session.reach = reach


async def use(session: Session, wishes: ChatWishes) -> None:
    """What the person chose for this conversation."""
    session.use(wishes)


async def rename(session: Session, title: str) -> None:
    """The person's own title."""
    session.rename(title)


async def keep_draft(session: Session, draft: Draft) -> None:
    """What is written and not sent."""
    session.keep_draft(draft)


async def keep_place(session: Session, place: ReadingPlace | None) -> None:
    """Where the person reads."""
    session.keep_place(place)


async def take_back(session: Session) -> tuple[str, tuple[Attachment, ...]]:
    """Remove the last question with its answer; what it was."""
    asked = next((node for node in reversed(session.path) if node.role is Role.USER), None)
    if asked is None:
        return "", ()
    session.drop_last()
    return asked.text, asked.attachments


async def opened(chats: "ChatHost", conversation_id: str) -> tuple[Session, list[Row]]:
    """A conversation that is kept, and its rows. Raises what `ChatHost.open` does."""
    session = await chats.open(conversation_id)
    return session, await asyncio.to_thread(rows_of, session)


# --- rows --------------------------------------------------------------------------------------------------


def rows_of(session: Session) -> list[Row]:
    """The path that is shown, as rows."""
    path = session.path
    return [row_of(session, node, last=number == len(path)) for number, node in enumerate(path, 1)]


def row_of(session: Session, node: Node, *, last: bool) -> Row:
    """One message with its place among those beside it."""
    beside = session.siblings(node.id)
    row = rows.of_node(node, (beside.index(node.id), len(beside)), last=last)
    return replace(row, guide=True) if session.guide else row


def folded_like(row: Row, shown: Row) -> Row:
    """The row with what the person folded and opened in it."""
    return replace(row, open=shown.open, reasoning_open=shown.reasoning_open, aside_open=shown.aside_open)


def settled(shown: Row, kept: Row) -> Row:
    """A row that was shown while it grew, now that it is kept: with its id and its place.

    What was kept wins, except over a failure that the session does not know of (a mistake of ours).
    """
    unknown = shown.error is not None and kept.error is None
    if unknown or kept.active:
        facts = replace(shown, node=kept.node, branch=kept.branch, created=kept.created)
        return replace(facts, can_retry=kept.can_retry or unknown)
    return folded_like(kept, shown) if kept.kind is not Kind.QUESTION else kept
