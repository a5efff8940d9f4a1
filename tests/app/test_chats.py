"""Conversations are kept, shared, found again, and lose nothing when the app ends in whatever way."""

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.integration.worlds import world
from tests.servers.fixtures import ServerFactory
from tests.servers.launch import RunningServer
from whisper_desktop.app import App
from whisper_desktop.app.chats import FILE
from whisper_desktop.chat import Session, TurnState
from whisper_desktop.chat.personas import Persona
from whisper_desktop.chat.records import (
    ChatWishes,
    Choice,
    Conversation,
    Draft,
    Parameters,
    TitleSource,
)
from whisper_desktop.chat.store import ConversationStore
from whisper_desktop.errors import Interrupted, WhisperError
from whisper_desktop.events import ConversationsChanged, Notice
from whisper_desktop.settings.paths import data_dir
from whisper_desktop.values import (
    AnswerContinued,
    Deadlines,
    Reach,
    StreamEvent,
)

MODEL = {"id": "qwen3.5-4b", "loaded": True}
PICTURE = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360"
    "606060000000050001a5f645400000000049454e44ae426082"
)


async def ask(session: Session, text: str) -> str:
    """Ask; the text of the answer."""
    return await read(session.send(text))


async def read(events: AsyncGenerator[StreamEvent, None]) -> str:
    async with aclosing(events) as coming:
        return "".join([event.text async for event in coming])


@asynccontextmanager
async def until(app: App, true: Callable[[], bool]) -> AsyncGenerator[None, None]:
    """At the end of the block, waits until a change of conversations has made something true."""
    happened = asyncio.Event()
    stop = app.bus.listen(ConversationsChanged, lambda _: happened.set() if true() else None)
    yield
    if true():
        happened.set()
    async with asyncio.timeout(10):
        await happened.wait()
    stop()


def asked(server: RunningServer) -> list[list[dict[str, Any]]]:
    """The messages of each question that a server got."""
    bodies = [request["body"] for request in server.requests() if "messages" in (request.get("body") or {})]
    return [body["messages"] for body in bodies]


# --- kept -------------------------------------------------------------------------------------------------


async def test_a_conversation_is_found_again_by_the_next_start_with_all_its_branches(
    servers: ServerFactory,
) -> None:
    lm_studio = servers("lm_studio", models=[MODEL])
    async with world(lm_studio=lm_studio.url, chat__titles_by_model=False) as app:
        session = await app.chats.new(wishes=ChatWishes(system="Be kind."))
        assert session.kept
        await ask(session, "Hello?")
        await read(session.regenerate())
        session.keep_draft(Draft("And"))
    async with world(lm_studio=lm_studio.url) as app:
        (head,) = await app.chats.list()
        assert (head.title, head.draft, head.wishes.system) == ("Hello?", Draft("And"), "Be kind.")
        again = await app.chats.open(head.id)
        assert again.nodes == session.nodes
        assert again.path == session.path
        assert await app.chats.open(head.id) is again
        hits = await app.chats.search("hello")
        assert {hit.conversation for hit in hits} == {head.id}


async def test_starting_the_app_opens_no_file_and_an_empty_conversation_leaves_no_row(
    servers: ServerFactory,
) -> None:
    async with world() as app:
        assert app.chats.recent() == ()
        assert not (data_dir() / FILE).exists()
        await app.chats.new()
        assert await app.chats.list() == ()


async def test_a_draft_outlives_the_app_before_anything_was_sent(servers: ServerFactory) -> None:
    async with world() as app:
        session = await app.chats.new()
        picture = await app.chats.attach_bytes(PICTURE, "cat.png", "image/png")
        session.keep_draft(Draft("Look at", (picture,)))
    async with world() as app:
        (head,) = await app.chats.list()
        assert head.draft == Draft("Look at", (picture,))
        assert await app.chats.data(picture.id) == PICTURE
        (await app.chats.open(head.id)).keep_draft(Draft())
        assert await app.chats.list() == ()


async def test_the_guides_conversations_are_never_kept(servers: ServerFactory) -> None:
    async with world() as app:
        session = await app.chats.new(guide=True)
        assert session.guide
        assert not session.kept
        session.keep_draft(Draft("Hello"))
        assert await app.chats.list() == ()


async def test_who_does_not_want_conversations_kept_has_them_until_the_app_ends(
    servers: ServerFactory,
) -> None:
    lm_studio = servers("lm_studio", "--answer", "Blue", models=[MODEL])
    async with world(lm_studio=lm_studio.url, chat__keep=False, chat__titles_by_model=False) as app:
        assert not app.chats.kept
        session = await app.chats.new()
        await ask(session, "The sky?")
        assert not session.kept
        (head,) = await app.chats.list()
        identity, session = head.id, None  # type: ignore[assignment]
        assert [node.text for node in (await app.chats.open(identity)).path] == ["The sky?", "Blue"]
        (hit,) = await app.chats.search("blue")
        assert hit.snippet == (("Blue", True),)
    async with world(lm_studio=lm_studio.url) as app:
        assert await app.chats.list() == ()
        assert b"sky" not in (data_dir() / FILE).read_bytes()


async def test_what_is_not_kept_can_be_filed_deleted_and_imported_without_leaving_a_trace(
    servers: ServerFactory, tmp_path: Path
) -> None:
    async with world(chat__keep=False) as app:
        session = await app.chats.new()
        picture = await app.chats.attach_bytes(PICTURE, "cat.png", "image/png")
        session.keep_draft(Draft("Secret", (picture,)))
        copy = await app.chats.duplicate(session.id)
        folder = await app.chats.new_folder("Work")
        await app.chats.move(copy.id, folder.id)
        await app.chats.remove_folder(folder.id)
        assert {head.folder for head in await app.chats.list()} == {None}
        await app.chats.export([session.id], "json", tmp_path / "export.json")
        await app.chats.delete(session.id)
        assert [head.id for head in await app.chats.deleted()] == [session.id]
        assert await app.chats.data(picture.id) == PICTURE
        await app.chats.purge(session.id)
        assert [head.id for head in await app.chats.list()] == [copy.id]
        assert await app.chats.data(picture.id) is None
        await app.chats.import_file(tmp_path / "export.json")
        assert len(await app.chats.list()) == 2
        assert await app.chats.data(picture.id) == PICTURE
    async with world() as app:
        assert await app.chats.list() == ()
        assert await app.chats.data(picture.id) is None


async def test_where_nothing_can_be_kept_that_is_said_once_and_chatting_works(servers: ServerFactory) -> None:
    (data_dir() / FILE).mkdir()
    lm_studio = servers("lm_studio", models=[MODEL])
    async with world(lm_studio=lm_studio.url, chat__titles_by_model=False) as app:
        notices: list[Notice] = []
        app.bus.listen(Notice, notices.append)
        session = await app.chats.new()
        await ask(session, "Hello?")
        assert (session.kept, app.chats.kept) == (False, False)
        assert [head.title for head in await app.chats.list()] == ["Hello?"]
        assert [notice.needs_attention for notice in notices] == [True]
        assert notices[0].title in app.chats.why_not


async def test_what_is_recent_can_be_read_by_any_thread_and_every_change_is_told(
    servers: ServerFactory,
) -> None:
    lm_studio = servers("lm_studio", models=[MODEL])
    async with world(lm_studio=lm_studio.url, chat__titles_by_model=False) as app:
        told: list[tuple[str, ...]] = []
        app.bus.listen(ConversationsChanged, lambda event: told.append(event.ids))
        first, second = await app.chats.new(), await app.chats.new()
        await ask(first, "One")
        await ask(second, "Two")
        assert set(told) == {(first.id,), (second.id,)}
        seen: list[Conversation] = []
        reader = threading.Thread(target=lambda: seen.extend(app.chats.recent(1)))
        reader.start()
        reader.join()
        assert [head.title for head in seen] == ["Two"]
        await app.chats.rename(first.id, "Better")
        assert told[-1] == (first.id,)
        assert {head.title for head in app.chats.recent()} == {"Better", "Two"}


async def test_the_reach_of_a_conversation_is_its_own_or_follows_the_settings(servers: ServerFactory) -> None:
    async with world() as app:
        session = await app.chats.new()
        own = await app.chats.new(wishes=ChatWishes(reach=Reach.MY_NETWORK))
        assert (session.reach, own.reach) == (Reach.THIS_MACHINE, Reach.MY_NETWORK)
        await app.remember({"llm.reach": "cloud"})
        assert (session.reach, own.reach) == (Reach.CLOUD, Reach.MY_NETWORK)


# --- the list ---------------------------------------------------------------------------------------------


async def filled(app: App, *questions: str) -> list[str]:
    """Conversations with one draft each; their ids."""
    ids = []
    for question in questions:
        session = await app.chats.new()
        session.keep_draft(Draft(question))
        ids.append(session.id)
    return ids


async def titles(app: App) -> list[str]:
    return [head.draft.text for head in await app.chats.list()]


async def test_what_is_deleted_lies_in_the_bin_and_comes_back(servers: ServerFactory) -> None:
    async with world() as app:
        (identity,) = await filled(app, "Hello")
        await app.chats.delete(identity)
        assert await titles(app) == []
        assert [head.id for head in await app.chats.deleted()] == [identity]
        assert app.chats.recent() == ()
        await app.chats.restore(identity)
        assert await titles(app) == ["Hello"]
        await app.chats.purge(identity)
        with pytest.raises(KeyError):
            await app.chats.open(identity)
        for change in (app.chats.delete, app.chats.restore, app.chats.purge):
            with pytest.raises(KeyError):
                await change(identity)


async def test_a_conversation_that_was_purged_is_not_brought_back_by_who_has_it_open(
    servers: ServerFactory,
) -> None:
    async with world() as app:
        session = await app.chats.new()
        session.keep_draft(Draft("Hello"))
        await app.chats.purge(session.id)
        session.keep_draft(Draft("Hello again"))
        assert await app.chats.list() == ()
    async with world() as app:
        assert await app.chats.list() == ()


async def test_the_bin_is_emptied_of_what_lies_there_for_too_long(servers: ServerFactory) -> None:
    async with world() as app:
        old, new, kept = await filled(app, "old", "new", "kept")
        await app.chats.delete(old)
        await app.chats.delete(new)
    store = await ConversationStore.open(data_dir() / FILE, Deadlines())
    head = await store.conversation(old)
    assert head is not None
    store.put(replace(head, deleted=time.time() - 31 * 86_400))
    await store.close()
    async with world() as app:
        assert [each.id for each in await app.chats.list()] == [kept]
        assert [each.id for each in await app.chats.deleted()] == [new]
    async with world(chat__bin_days=0) as app:
        await app.chats.delete(kept)
        assert await app.chats.deleted() == ()


async def test_folders_hold_conversations_and_let_go_of_them_when_they_are_removed(
    servers: ServerFactory,
) -> None:
    async with world() as app:
        open_one, closed = await filled(app, "a", "b")
        session = await app.chats.open(open_one)
        work, home = await app.chats.new_folder("  Work "), await app.chats.new_folder("Home")
        assert [folder.name for folder in await app.chats.folders()] == ["Work", "Home"]
        await app.chats.rename_folder(work.id, "Office")
        await app.chats.move(open_one, work.id)
        await app.chats.move(closed, work.id)
        await app.chats.pin(closed, True)
        assert {(head.folder, head.pinned) for head in await app.chats.list()} == {
            (work.id, False),
            (work.id, True),
        }
        assert (await app.chats.open(open_one)) is session
        with pytest.raises(KeyError):
            await app.chats.move(closed, "nowhere")
        await app.chats.remove_folder(work.id)
        assert [folder.name for folder in await app.chats.folders()] == ["Home"]
        assert {head.folder for head in await app.chats.list()} == {None}
        assert session.conversation.folder is None
        await app.chats.move(closed, home.id)
    async with world() as app:
        assert {head.folder for head in await app.chats.list()} == {None, home.id}


async def test_a_copy_has_all_branches_and_a_life_of_its_own(servers: ServerFactory) -> None:
    lm_studio = servers("lm_studio", models=[MODEL])
    async with world(lm_studio=lm_studio.url, chat__titles_by_model=False) as app:
        session = await app.chats.new()
        await ask(session, "Hello?")
        await read(session.regenerate())
        copy = await app.chats.duplicate(session.id)
        assert copy.title == "Hello? (copy)"
        other = await app.chats.open(copy.id)
        assert [node.text for node in other.path] == [node.text for node in session.path]
        assert len(other.nodes) == 3
        assert not set(other.nodes) & set(session.nodes)
        await ask(other, "More")
        assert len(session.nodes) == 3


async def test_two_changes_at_the_same_time_are_both_kept(servers: ServerFactory) -> None:
    async with world() as app:
        identities = await filled(app, *"abcdefgh")
    async with world() as app:  # nobody has them open here
        await app.chats.list()
        pinned = [app.chats.pin(each, True) for each in identities]
        await asyncio.gather(*pinned, *(app.chats.delete(each) for each in identities))
        assert [head.pinned for head in await app.chats.deleted()] == [True] * len(identities)


async def test_what_is_purged_while_it_is_being_opened_does_not_come_back(servers: ServerFactory) -> None:
    async with world() as app:
        identities = await filled(app, *"abcdefgh")
    async with world() as app:
        await app.chats.list()
        opening = [app.chats.open(each) for each in identities]
        both = asyncio.gather(*opening, *(app.chats.purge(each) for each in identities))
        for session in (await both)[: len(identities)]:
            assert session is not None
            session.keep_draft(Draft("again"))
        assert await app.chats.list() == ()


# --- two programs -----------------------------------------------------------------------------------------


async def test_what_another_program_deleted_is_not_brought_back_by_who_has_it_open(
    servers: ServerFactory,
) -> None:
    async with world() as app, world() as terminal:
        binned, purged = await filled(app, "a", "b")
        opened = [await app.chats.open(each) for each in (binned, purged)]
        await app.chats.flush()
        await terminal.chats.delete(binned)
        await terminal.chats.purge(purged)
        await terminal.chats.flush()
        await app.chats.look_again([])
        for session in opened:
            session.keep_draft(Draft("again"))
        assert await app.chats.list() == ()
        assert [head.id for head in await app.chats.deleted()] == [binned]


async def test_messages_that_another_program_brought_are_there_where_it_is_open(
    servers: ServerFactory, tmp_path: Path
) -> None:
    lm_studio = servers("lm_studio", models=[MODEL])
    async with world(lm_studio=lm_studio.url, chat__titles_by_model=False) as app, world() as terminal:
        session = await app.chats.new()
        await ask(session, "One?")
        await ask(session, "Two?")
        await app.chats.export([session.id], "json", tmp_path / "a.json")
        asked_last = session.path[2].id
        session.remove(asked_last)
        await app.chats.flush()
        await terminal.chats.import_file(tmp_path / "a.json")
        await terminal.chats.flush()
        assert len(session.path) == 2
        await app.chats.look_again([session.id])
        assert [node.text for node in session.path][2] == "Two?"


async def test_what_is_removed_here_while_another_programs_changes_are_read_stays_removed(
    servers: ServerFactory,
) -> None:
    lm_studio = servers("lm_studio", models=[MODEL])
    async with world(lm_studio=lm_studio.url, chat__titles_by_model=False) as app:
        session = await app.chats.new()
        await ask(session, "One?")
        await ask(session, "Two?")
        await app.chats.flush()
        looking = asyncio.create_task(app.chats.look_again([]))
        await asyncio.sleep(0)  # it reads now
        session.remove(session.path[2].id)
        await looking
        assert [node.text for node in session.path][::2] == ["One?"]
        assert len(session.nodes) == 2


async def test_a_file_brings_no_wider_reach_than_the_settings_have(
    servers: ServerFactory, tmp_path: Path
) -> None:
    async with world() as app:
        session = await app.chats.new(wishes=ChatWishes(reach=Reach.CLOUD))
        session.keep_draft(Draft("a"))
        await app.chats.export([session.id], "json", tmp_path / "a.json")
        await app.chats.purge(session.id)
        await app.chats.import_file(tmp_path / "a.json")
        assert (await app.chats.open(session.id)).wishes.reach is None


# --- attachments, files, personas -------------------------------------------------------------------------


async def test_what_is_attached_is_sent_and_kept_and_what_cannot_be_is_refused_in_words(
    servers: ServerFactory, tmp_path: Path
) -> None:
    ollama = servers("ollama", models=[{"id": "llava:7b", "capabilities": ["completion", "vision"]}])
    notes = tmp_path / "notes.txt"
    notes.write_text("Buy milk.")
    async with world(ollama=ollama.url, chat__titles_by_model=False) as app:
        session = await app.chats.new()
        file = await app.chats.attach(notes)
        picture = await app.chats.attach_bytes(PICTURE, "cat.png", "image/png")
        await read(session.send("What is it?", (file, picture)))
        (message,) = asked(ollama)[0]
        assert "Buy milk." in message["content"]
        assert message["content"].endswith("What is it?")
        assert len(message["images"]) == 1
        with pytest.raises(WhisperError):
            await app.chats.attach(tmp_path / "nothing")
    async with world(ollama=ollama.url) as app:
        assert await app.chats.data(picture.id) == PICTURE


async def test_an_export_comes_back_as_it_was(servers: ServerFactory, tmp_path: Path) -> None:
    lm_studio = servers("lm_studio", models=[MODEL])
    async with world(lm_studio=lm_studio.url, chat__titles_by_model=False) as app:
        session = await app.chats.new()
        await ask(session, "Hello?")
        await read(session.regenerate())
        for name in ("json", "markdown", "html"):
            await app.chats.export([session.id], name, tmp_path / name)
        assert "Hello?" in (tmp_path / "markdown").read_text()
        report = await app.chats.import_file(tmp_path / "json")
        assert (report.conversations, report.already) == (0, 1)
        before = session.nodes
        await app.chats.purge(session.id)
        report = await app.chats.import_file(tmp_path / "json")
        assert (report.conversations, report.messages) == (1, 3)
        again = await app.chats.open(session.id)
        assert again is not session
        assert {node.text for node in again.nodes.values()} == {node.text for node in before.values()}
        await ask(again, "More")
        assert len(await app.chats.list()) == 1


async def test_personas_of_the_person_are_kept_beside_those_of_the_app(servers: ServerFactory) -> None:
    async with world() as app:
        count = len((await app.chats.personas()).personas)
        await app.chats.save_persona(Persona("Pirate", "Arr."))
        assert len((await app.chats.personas()).personas) == count + 1
        await app.chats.remove_persona("Pirate")
        assert len((await app.chats.personas()).personas) == count


async def test_how_full_the_context_is_and_what_does_not_fit_is_known_before_it_is_sent(
    servers: ServerFactory,
) -> None:
    lm_studio = servers("lm_studio", models=[{**MODEL, "context_length": 2048}])
    async with world(lm_studio=lm_studio.url, chat__titles_by_model=False) as app:
        await app.scan()
        session = await app.chats.new()
        window = app.chats.context(session).window_tokens
        assert window is not None
        assert app.chats.too_long(session, "word " * window) != ""
        assert app.chats.too_long(session, "word") == ""
        await ask(session, "Hello?")
        use = app.chats.context(session)
        assert use.exact
        assert app.chats.context(session, "word " * 100).used_tokens > use.used_tokens + 90
        wish = Parameters(context_length=1024)
        session.use(ChatWishes(parameters=wish))
        assert app.chats.context(session).window_tokens == window
        session.use(ChatWishes(backend="ollama", parameters=wish))
        assert app.chats.context(session).window_tokens == 1024


# --- titles -----------------------------------------------------------------------------------------------


async def test_the_model_that_answered_gives_the_title_after_the_first_answer_and_once(
    servers: ServerFactory,
) -> None:
    lm_studio = servers("lm_studio", "--answer", '"Colours of the Sky"', models=[MODEL])
    async with world(lm_studio=lm_studio.url) as app:
        session = await app.chats.new()
        async with until(app, lambda: session.conversation.title_source is TitleSource.MODEL):
            await ask(session, "Why is the sky blue?")
            assert session.conversation.title == "Why is the sky blue?"
        assert session.conversation.title == "Colours of the Sky"
        await ask(session, "And red?")
        wish = asked(lm_studio)[1]
        assert [message["role"] for message in wish] == ["user", "assistant", "user"]
    async with world(lm_studio=lm_studio.url) as app:
        assert [head.title for head in await app.chats.list()] == ["Colours of the Sky"]
    assert len(asked(lm_studio)) == 3


async def test_the_persons_own_title_is_not_replaced_and_no_title_is_asked_for(
    servers: ServerFactory,
) -> None:
    lm_studio = servers("lm_studio", models=[MODEL])
    async with world(lm_studio=lm_studio.url) as app:
        session = await app.chats.new()
        session.rename("Mine")
        await ask(session, "Why?")
        await ask(session, "Why else?")
        assert session.conversation.title == "Mine"
    assert len(asked(lm_studio)) == 2


async def test_who_wants_no_titles_by_the_model_has_none_asked_for(servers: ServerFactory) -> None:
    lm_studio = servers("lm_studio", models=[MODEL])
    async with world(lm_studio=lm_studio.url, chat__titles_by_model=False) as app:
        session = await app.chats.new()
        await ask(session, "Why?")
        await ask(session, "Why else?")
    assert len(asked(lm_studio)) == 2


async def test_a_title_is_asked_for_where_it_is_free_and_not_where_it_would_cost_money(
    servers: ServerFactory,
) -> None:
    models = ["openai/gpt-5", "openai/gpt-oss:free"]
    router = servers("openrouter", "--auth", "sk-or-v1-right", "--answer", "Sky", models=models)
    async with world(openrouter=router.url, llm__reach="cloud") as app:
        await app.set_key("openrouter", "sk-or-v1-right")
        await app.scan()
        paid, free = [
            await app.chats.new(wishes=ChatWishes(backend="openrouter", model=model)) for model in models
        ]
        await ask(paid, "Why?")
        async with until(app, lambda: free.conversation.title_source is TitleSource.MODEL):
            await ask(free, "Why?")  # its title comes after that of the other one, if there is any
        assert paid.conversation.title == "Why?"
    assert len(asked(router)) == 3


async def test_the_next_question_stops_the_title_that_is_being_written_and_brings_a_new_chance(
    servers: ServerFactory,
) -> None:
    lm_studio = servers("lm_studio", "--answer", "Sky", models=[MODEL])
    async with world(lm_studio=lm_studio.url) as app:
        session = await app.chats.new()
        lm_studio.set_fault("hang", on="Give this conversation a title")
        await ask(session, "Why?")
        async with asyncio.timeout(5):
            while len(asked(lm_studio)) < 2:
                await asyncio.to_thread(lm_studio.wait_for, "request", 4)
        lm_studio.set_fault()
        async with until(app, lambda: session.conversation.title_source is TitleSource.MODEL):
            await ask(session, "Why else?")
        assert session.conversation.title == "Sky"


async def test_a_title_waits_until_nobody_is_answered(servers: ServerFactory) -> None:
    slow = servers("lm_studio", "--tokens", "20", "--token-delay", "0.02", models=[MODEL])
    quick = servers("ollama", "--answer", "Sky", models=["llama3.2:3b"])
    async with world(lm_studio=slow.url, ollama=quick.url) as app:
        long = await app.chats.new(wishes=ChatWishes(backend="lm_studio"))
        long.rename("Mine")
        short = await app.chats.new(wishes=ChatWishes(backend="ollama"))
        async with (
            until(app, lambda: short.conversation.title_source is TitleSource.MODEL),
            aclosing(long.send("Tell me a story.")) as events,
        ):
            while not (await anext(events)).text:
                pass
            await ask(short, "Why?")
            async for _ in events:
                assert short.conversation.title == "Why?"
        assert short.conversation.title == "Sky"


# --- several answers --------------------------------------------------------------------------------------


async def test_two_servers_answer_side_by_side_and_either_can_be_asked_once_more(
    servers: ServerFactory,
) -> None:
    lm_studio = servers("lm_studio", "--answer", "From the one", models=[MODEL])
    ollama = servers("ollama", "--answer", "From the other", models=["llama3.2:3b"])
    async with world(lm_studio=lm_studio.url, ollama=ollama.url, chat__titles_by_model=False) as app:
        await app.scan()
        session = await app.chats.new()
        pairs = session.compare("Who?", (), Choice("lm_studio"), Choice("ollama", "llama3.2:3b"))
        async with aclosing(pairs) as coming:
            said = dict.fromkeys((0, 1), "")
            async for number, event in coming:
                assert not isinstance(event, WhisperError)
                said[number] += event.text
        assert said == {0: "From the one", 1: "From the other"}
        assert await read(session.regenerate(backend="ollama")) == "From the other"
        answers = [session.nodes[each] for each in session.children(session.path[0].id)]
        assert [node.provenance.backend for node in answers if node.provenance] == [
            "lm_studio",
            "ollama",
            "ollama",
        ]
        identity = session.id
    async with world() as app:
        assert len((await app.chats.open(identity)).nodes) == 4


# --- going on ---------------------------------------------------------------------------------------------

STORY = "Once upon a time there was a fox who lived by the sea and counted the ships"


async def stopped_after(session: Session, question: str, words: int) -> None:
    """Ask, and stop after so many words."""
    async with aclosing(session.send(question)) as events:
        async for event in events:
            words -= bool(event.text)
            if not words:
                return


@pytest.mark.parametrize(
    ("kind", "options", "roles"),
    [
        ("ollama", (), ["user", "assistant"]),
        ("llama_cpp", (), ["user", "assistant"]),
        ("lm_studio", (), ["user", "assistant", "user"]),
        ("llama_cpp", ("--no-prefill",), ["user", "assistant", "user"]),
    ],
)
async def test_a_stopped_answer_goes_on_as_its_server_can_take_it(
    servers: ServerFactory, kind: str, options: tuple[str, ...], roles: list[str]
) -> None:
    server = servers(kind, "--answer", STORY, *options, models=[MODEL])
    places: dict[str, Any] = (
        {"llm__llamacpp__port": int(server.url.rsplit(":", 1)[1])}
        if kind == "llama_cpp"
        else {kind: server.url}
    )
    async with world(chat__titles_by_model=False, **places) as app:
        await app.scan()
        session = await app.chats.new()
        await stopped_after(session, "Tell me a story.", 6)
        begun = session.path[-1]
        assert (begun.text, begun.state) == ("Once upon a time there was", TurnState.STOPPED)
        if roles[-1] == "user":
            server.stop()
            port = server.url.rsplit(":", 1)[1]
            server = servers(
                kind, "--answer", " a cat.", *options, port=int(port), models=[MODEL]
            )  # asked in words, a test server would say all of it once more
        async with aclosing(session.continue_()) as events:
            seams = [event.position async for event in events if isinstance(event, AnswerContinued)]
        answer = session.path[-1]
        assert answer.id == begun.id
        assert answer.state is TurnState.COMPLETE
        assert answer.text == (STORY if roles[-1] == "assistant" else "Once upon a time there was a cat.")
        assert seams == [len(begun.text)]
        assert [message["role"] for message in asked(server)[-1]] == roles


async def test_an_answer_that_broke_off_with_its_server_is_gone_on_with_by_another(
    servers: ServerFactory,
) -> None:
    lm_studio = servers("lm_studio", "--answer", STORY, "--token-delay", "0.02", models=[MODEL])
    ollama = servers("ollama", "--answer", STORY, models=["llama3.2:3b"])
    settings: dict[str, Any] = {"chat__titles_by_model": False, "llm__on_interruption": "stop"}
    async with world(lm_studio=lm_studio.url, ollama=ollama.url, **settings) as app:
        await app.scan()
        session = await app.chats.new(wishes=ChatWishes(backend="lm_studio"))
        async with aclosing(session.send("Tell me a story.")) as events:
            shown = ""
            while len(shown.split()) < 4:
                shown += (await anext(events)).text
            lm_studio.kill()
            with pytest.raises(Interrupted):
                [event async for event in events]
        broken = session.path[-1]
        assert broken.state is TurnState.INTERRUPTED
        session.use(ChatWishes(backend="ollama"))
        await read(session.continue_())
        answer = session.path[-1]
        assert answer.text == STORY
        assert answer.seams[0].failed.server_name == "LM Studio"
        assert answer.provenance is not None
        assert answer.provenance.backend == "ollama"


# --- the end of the app -----------------------------------------------------------------------------------


async def test_an_answer_that_is_written_while_the_app_ends_is_kept_as_a_stopped_one(
    servers: ServerFactory,
) -> None:
    lm_studio = servers("lm_studio", "--answer", STORY, "--token-delay", "0.02", models=[MODEL])
    async with world(lm_studio=lm_studio.url) as app:
        session = await app.chats.new()
        begun = asyncio.Event()

        async def reading() -> str:
            shown = ""
            async with aclosing(session.send("Tell me a story.")) as events:
                async for event in events:
                    shown += event.text
                    if shown:
                        begun.set()
            return shown

        task = asyncio.create_task(reading())
        await begun.wait()
        await app.stop()
        shown = await task
    async with world() as app:
        answer = (await app.chats.open(session.id)).path[-1]
        assert (answer.text, answer.state, answer.error) == (shown, TurnState.STOPPED, None)


_WRITER = """
import asyncio, json, sys, time
from contextlib import aclosing
from tests.integration.worlds import world

async def main():
    async with world(lm_studio=sys.argv[1]) as app:
        session = await app.chats.new()
        shown = 0
        async with aclosing(session.send("Tell me a long story.")) as events:
            async for event in events:
                shown += len(event.text)
                print(json.dumps([session.id, time.monotonic(), shown]), flush=True)

asyncio.run(main())
"""


def killed_after(words: int, server: str) -> tuple[list[tuple[str, float, int]], float]:
    """An app in a process of its own is killed while it writes: what it showed, and when it was killed."""
    with subprocess.Popen([sys.executable, "-c", _WRITER, server], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        try:
            shown = [json.loads(writer.stdout.readline()) for _ in range(words)]
        finally:
            writer.kill()
        killed = time.monotonic()
        shown += [json.loads(line) for line in writer.stdout if line.endswith(b"\n")]
        return shown, killed


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
@pytest.mark.parametrize("words", [3, 40, 120])
async def test_an_app_that_is_killed_while_it_writes_loses_at_most_half_a_second(
    servers: ServerFactory, words: int
) -> None:
    lm_studio = servers("lm_studio", "--tokens", "5000", "--token-delay", "0.01", models=[MODEL])
    shown, killed = await asyncio.to_thread(killed_after, words, lm_studio.url)
    identity = shown[0][0]
    must = max((length for _, at, length in shown if at < killed - 0.5), default=0)
    async with world(lm_studio=lm_studio.url) as app:
        session = await app.chats.open(identity)
        question, answer = session.path
        assert question.text == "Tell me a long story."
        assert must <= len(answer.text)
        assert answer.state is TurnState.STOPPED
        assert answer.error is not None
        assert answer.error.title == "The app ended while this answer was written."
        assert session.can_continue(answer.id) is bool(answer.text)
    async with world(lm_studio=lm_studio.url) as app:
        again = (await app.chats.open(identity)).path[-1]
        assert again.error is not None
        assert again.error.title == answer.error.title
