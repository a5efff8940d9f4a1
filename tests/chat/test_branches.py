"""A conversation is a tree: asking once more, wording otherwise, and two side by side are all kept."""

import asyncio
from contextlib import aclosing
from dataclasses import replace

import pytest

from tests.chat.keeping import STARTED, WHO, Script, Shelf, ask, read, whole
from whisper_desktop.chat import Session, TurnState
from whisper_desktop.chat.records import (
    Attachment,
    ChatWishes,
    Choice,
    Conversation,
    Draft,
    Node,
    Parameters,
    ReadingPlace,
    TitleSource,
)
from whisper_desktop.errors import Interrupted, LLMConnectionError, WhisperError
from whisper_desktop.values import Message, Reach, ReasoningDelta, Role, StreamEvent, TextDelta


def texts(session: Session) -> list[str]:
    return [node.text for node in session.path]


async def test_asking_once_more_keeps_both_answers_and_shows_the_new_one() -> None:
    script = Script(whole("First"), whole("Second"))
    session = Session(script)
    first = await ask(session, "Hi")
    await read(session.regenerate())
    assert texts(session) == ["Hi", "Second"]
    second = session.path[-1]
    assert session.siblings(first.id) == (first.id, second.id)
    assert script.sent[1] == script.sent[0]
    session.show(first.id)
    assert texts(session) == ["Hi", "First"]


async def test_an_answer_of_another_backend_is_asked_of_it_alone_and_leaves_the_choice_as_it_was() -> None:
    script = Script(whole("First"), whole("Second"), whole("Third"))
    session = Session(script, backend="lm_studio", model="qwen3.5-4b", reach=Reach.MY_NETWORK)
    first = await ask(session, "Hi")
    await read(session.regenerate(first.id, backend="ollama"))
    assert (script.asked[1].backend, script.asked[1].model) == ("ollama", None)
    assert script.asked[1].reach is Reach.MY_NETWORK
    await ask(session, "And?")
    assert (script.asked[2].backend, script.asked[2].model) == ("lm_studio", "qwen3.5-4b")


async def test_another_wording_is_a_sibling_and_what_followed_the_old_one_stays_below_it() -> None:
    script = Script(whole("One"), whole("Two"), whole("Three"))
    session = Session(script)
    await ask(session, "First")
    question = session.path[0].id
    await ask(session, "Second")
    await read(session.edit(question, "First, better"))
    assert texts(session) == ["First, better", "Three"]
    assert script.sent[2] == (Message(Role.USER, "First, better"),)
    assert session.siblings(question) == (question, session.path[0].id)
    session.show(question)
    assert texts(session) == ["First", "One", "Second", "Two"]


async def test_only_the_path_is_sent() -> None:
    script = Script(whole("A"), whole("B"), whole("C"))
    session = Session(script)
    first = await ask(session, "Hi")
    await read(session.regenerate())
    session.show(first.id)
    await ask(session, "Next")
    assert [message.content for message in script.sent[2]] == ["Hi", "A", "Next"]


async def test_two_answers_are_written_side_by_side_and_one_that_is_stopped_does_not_stop_the_other() -> None:
    wait = asyncio.Event()
    script = Script([STARTED, TextDelta("left"), asyncio.Event()], [STARTED, wait, *whole("right")[1:]])
    shelf = Shelf()
    session = Session(script, keeper=shelf)
    came: list[tuple[int, StreamEvent | WhisperError]] = []
    async with aclosing(session.compare("Hi", (), Choice("ollama", "a"), Choice("lm_studio"))) as pairs:
        async for number, event in pairs:
            came.append((number, event))
            if event == TextDelta("left"):
                first, second = session.answering_ids
                await session.stop(first)
                assert session.answering_ids == (second,)
                wait.set()
    assert [asked.backend for asked in script.asked] == ["ollama", "lm_studio"]
    assert {number for number, _ in came} == {0, 1}
    left, right = (session.nodes[each] for each in session.children(session.path[0].id))
    assert (left.text, left.state) == ("left", TurnState.STOPPED)
    assert (right.text, right.state) == ("right", TurnState.COMPLETE)
    assert session.path[-1].id == left.id
    assert shelf.nodes[right.id] == right
    assert script.closed == 2


async def test_an_error_of_one_of_two_is_told_and_the_other_goes_on() -> None:
    error = LLMConnectionError("Nobody answered.")
    session = Session(Script([error], whole("right")))
    async with aclosing(session.compare("Hi", (), Choice("a"), Choice("b"))) as pairs:
        came = [pair async for pair in pairs]
    assert [event for number, event in came if number == 0] == [error]
    assert [node.state for node in session.nodes.values()] == [
        TurnState.COMPLETE,
        TurnState.FAILED,
        TurnState.COMPLETE,
    ]


async def test_leaving_a_comparison_stops_both_and_keeps_what_came() -> None:
    script = Script([TextDelta("left"), asyncio.Event()], [TextDelta("right"), asyncio.Event()])
    session = Session(script)
    async with aclosing(session.compare("Hi", (), Choice("a"), Choice("b"))) as pairs:
        seen = 0
        async for _ in pairs:
            seen += 1
            if seen == 2:
                break
    assert not session.answering
    answers = [session.nodes[each] for each in session.children(session.path[0].id)]
    assert [(each.text, each.state) for each in answers] == [
        ("left", TurnState.STOPPED),
        ("right", TurnState.STOPPED),
    ]
    assert script.closed == 2


class Impatient(Shelf):
    """Somebody who stops everything at the moment at which a question is sent."""

    def put_node(self, conversation_id: str, node: Node) -> None:
        super().put_node(conversation_id, node)
        task = asyncio.current_task()
        assert task is not None
        task.cancel()


async def test_a_comparison_that_is_given_up_before_it_has_begun_leaves_nothing_open() -> None:
    session = Session(Script(), keeper=Impatient())
    comparing = asyncio.create_task(anext(session.compare("Hi", (), Choice("a"), Choice("b"))))
    await asyncio.wait({comparing})
    assert comparing.cancelled()
    assert not session.answering
    assert {session.nodes[each].state for each in session.children(session.path[0].id)} == {TurnState.STOPPED}


async def test_a_mistake_of_ours_in_one_of_two_is_not_kept_silent() -> None:
    session = Session(Script([ZeroDivisionError()], whole("right")))
    async with aclosing(session.compare("Hi", (), Choice("a"), Choice("b"))) as pairs:
        with pytest.raises(ZeroDivisionError):
            [pair async for pair in pairs]
    assert not session.answering


async def test_stopping_from_beside_ends_the_events_without_an_error() -> None:
    script = Script([STARTED, TextDelta("So"), asyncio.Event()])
    session = Session(script)
    reading = asyncio.create_task(read(session.send("Hi")))
    await script.waits.wait()
    await session.stop()
    assert session.path[-1].state is TurnState.STOPPED
    assert await reading == [STARTED, TextDelta("So")]
    assert script.closed == 1
    await session.stop()


async def test_who_is_stopped_while_showing_an_event_sees_no_more_of_them() -> None:
    session = Session(Script(whole("one two three")))
    seen = []
    async with aclosing(session.send("Hi")) as events:
        async for event in events:
            seen.append(event)
            if event == TextDelta("one "):
                await session.stop()
    assert seen[-1] == TextDelta("one ")
    assert (session.path[-1].text, session.path[-1].state) == ("one ", TurnState.STOPPED)


async def test_a_cancelled_reader_is_cancelled_also_where_its_answer_is_stopped() -> None:
    script = Script([TextDelta("So"), asyncio.Event()])
    session = Session(script)
    reading = asyncio.create_task(read(session.send("Hi")))
    await script.waits.wait()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert session.path[-1].state is TurnState.STOPPED


async def test_a_reader_who_is_cancelled_while_its_answer_is_being_stopped_is_cancelled() -> None:
    script = Script([TextDelta("So"), asyncio.Event()])
    session = Session(script)
    reading = asyncio.create_task(read(session.send("Hi")))
    await script.waits.wait()
    stopping = asyncio.create_task(session.stop())
    await asyncio.sleep(0)
    reading.cancel()
    await asyncio.wait({reading, stopping})
    assert reading.cancelled()
    assert session.path[-1].state is TurnState.STOPPED


async def test_a_conversation_answers_one_question_at_a_time() -> None:
    session = Session(Script([TextDelta("So"), asyncio.Event()]))
    async with aclosing(session.send("Hi")) as events:
        await anext(events)
        question, answer = session.path
        for second in (
            session.send("Now?"),
            session.regenerate(answer.id),
            session.edit(question.id, "x"),
            session.continue_(answer.id),
        ):
            with pytest.raises(RuntimeError, match="already"):
                await anext(second)
        with pytest.raises(RuntimeError, match="already"):
            session.remove(answer.id)


async def test_removing_a_message_shows_what_is_beside_it_or_else_above() -> None:
    shelf = Shelf()
    session = Session(Script(whole("A"), whole("B"), whole("C")), keeper=shelf)
    first = await ask(session, "Hi")
    await read(session.regenerate())
    second = session.path[-1]
    await ask(session, "Next")
    session.remove(second.id)
    assert texts(session) == ["Hi", "A"]
    session.remove(first.id)
    assert texts(session) == ["Hi"]
    assert set(shelf.nodes) == {session.path[0].id}
    question = session.path[0].id
    session.remove(question)
    assert session.path == ()
    assert shelf.heads == {}
    with pytest.raises(KeyError):
        session.remove(question)


async def test_a_question_whose_answer_failed_can_be_asked_again_and_is_sent_once() -> None:
    script = Script([LLMConnectionError("Nobody.")], whole("Here"))
    session = Session(script)
    with pytest.raises(LLMConnectionError):
        await ask(session, "Hi")
    await read(session.regenerate())
    assert texts(session) == ["Hi", "Here"]
    assert script.sent[1] == (Message(Role.USER, "Hi"),)
    assert session.siblings(session.path[-1].id) == (session.path[-1].id,)


async def test_what_came_of_a_failed_answer_is_not_sent_as_if_it_was_one() -> None:
    script = Script([STARTED, TextDelta("So"), LLMConnectionError("Nobody.")], whole("Here"))
    session = Session(script)
    with pytest.raises(LLMConnectionError):
        await ask(session, "Hi")
    assert (session.path[-1].text, session.path[-1].state) == ("So", TurnState.FAILED)
    await ask(session, "Still there?")
    assert script.sent[1] == (Message(Role.USER, "Still there?"),)


async def test_without_a_question_there_is_nothing_to_ask_again() -> None:
    with pytest.raises(ValueError, match="no question"):
        await read(Session(Script()).regenerate())


# --- what is kept -----------------------------------------------------------------------------------------


async def test_every_message_is_kept_before_it_is_shown_and_an_empty_conversation_is_not() -> None:
    shelf = Shelf()
    session = Session(Script(whole("Hello there")), keeper=shelf)
    assert shelf.heads == {}
    async with aclosing(session.send("Hi")) as events:
        async for _ in events:
            assert [node.role for node in shelf.nodes.values()] == [Role.USER, Role.ASSISTANT]
    assert shelf.heads[session.id] == session.conversation
    assert shelf.nodes == session.nodes
    assert shelf.answers[0][0] == session.path[-1]


async def test_what_was_shown_is_handed_on_within_a_moment_also_where_nothing_follows() -> None:
    shelf = Shelf()
    shelf.expected = "word " * 500
    session = Session(Script([STARTED, *[TextDelta("word ")] * 500, asyncio.Event()]), keeper=shelf)
    reading = asyncio.create_task(read(session.send("Hi")))
    async with asyncio.timeout(5):
        await shelf.arrived.wait()
    assert len(shelf.puts) < 10
    await session.stop()
    await reading


async def test_a_long_answer_takes_time_in_proportion_to_its_length() -> None:
    async def seconds(count: int) -> float:
        session = Session(Script([*[TextDelta("word ")] * count, *whole("end")]), keeper=Shelf())
        begun = asyncio.get_running_loop().time()
        await ask(session, "Hi")
        return asyncio.get_running_loop().time() - begun

    await seconds(1000)
    short = min(await seconds(10_000), await seconds(10_000))
    assert await seconds(100_000) < 30 * short


async def test_a_draft_is_kept_before_the_first_message_and_taken_back_when_it_is_empty() -> None:
    shelf = Shelf()
    session = Session(Script(), keeper=shelf)
    picture = Attachment("ab", "cat.png", "image/png", 3)
    session.keep_draft(Draft("Half a", (picture,)))
    assert shelf.heads[session.id].draft.text == "Half a"
    assert shelf.held == [picture]
    session.keep_draft(Draft())
    assert shelf.heads == {}


async def test_where_the_person_reads_is_kept_and_the_list_is_not_told() -> None:
    shelf = Shelf()
    session = Session(Script(whole("Hello")), keeper=shelf)
    answer = await ask(session, "Hi")
    told = shelf.listed
    session.keep_place(ReadingPlace(answer.id, 0.5))
    session.use(ChatWishes(model="other"))
    assert shelf.heads[session.id].place == ReadingPlace(answer.id, 0.5)
    assert shelf.heads[session.id].wishes.model == "other"
    assert shelf.listed == told


async def test_the_title_is_the_question_until_the_person_says_otherwise() -> None:
    session = Session(Script(whole("Hello")), keeper=Shelf())
    await ask(session, "What is\n a   tree?")
    assert (session.conversation.title, session.conversation.title_source) == (
        "What is a tree?",
        TitleSource.QUESTION,
    )
    session.rename("  Botany ")
    session.entitle("Trees Explained")
    assert (session.conversation.title, session.conversation.title_source) == ("Botany", TitleSource.PERSON)
    session.rename("")
    assert session.conversation.title == "What is a tree?"
    session.entitle("Trees Explained")
    assert session.conversation.title_source is TitleSource.MODEL


async def test_what_is_kept_opens_as_it_was() -> None:
    shelf = Shelf()
    session = Session(Script(whole("A"), whole("B")), keeper=shelf)
    first = await ask(session, "Hi")
    await read(session.regenerate())
    session.show(first.id)
    again = Session(
        Script(whole("C")), conversation=shelf.heads[session.id], nodes=shelf.nodes.values(), keeper=shelf
    )
    assert again.path == session.path
    assert again.nodes == session.nodes
    await ask(again, "Next")
    assert texts(again) == ["Hi", "A", "Next", "C"]


async def test_an_answer_that_nobody_writes_any_more_is_stopped_and_says_why() -> None:
    question = Node("q", None, Role.USER, "Hi", 1.0)
    answer = Node("a", "q", Role.ASSISTANT, "Half", 2.0, state=TurnState.STREAMING)
    session = Session(
        Script(), conversation=Conversation("c", 1.0, 2.0, leaf="a"), nodes=[question, answer], keeper=Shelf()
    )
    left = session.path[-1]
    assert (left.text, left.state) == ("Half", TurnState.STOPPED)
    assert left.error is not None
    assert left.error.title == "The app ended while this answer was written."
    assert session.can_continue("a")


async def test_a_damaged_file_opens_with_all_its_messages() -> None:
    nodes = [Node("a", "gone", Role.USER, "Hi", 1.0), Node("b", "a", Role.ASSISTANT, "Ho", 2.0)]
    session = Session(Script(), conversation=Conversation("c", 1.0, 2.0, leaf="nobody"), nodes=nodes)
    assert texts(session) == ["Hi", "Ho"]


async def test_what_an_import_brings_is_there_at_once_for_who_has_the_conversation_open() -> None:
    shelf = Shelf()
    session = Session(Script(whole("A")), keeper=shelf)
    answer = await ask(session, "Hi")
    more = [Node("q", answer.id, Role.USER, "Next", 3.0), Node("a", "q", Role.ASSISTANT, "B", 4.0)]
    session.take_in(replace(session.conversation, leaf="a", updated=5.0, title="Theirs"), more)
    assert texts(session) == ["Hi", "A", "Next", "B"]
    assert (shelf.heads[session.id].title, shelf.heads[session.id].updated) == ("Hi", 5.0)


# --- what is sent -----------------------------------------------------------------------------------------


async def test_the_system_prompt_and_the_parameters_of_the_conversation_go_along() -> None:
    script = Script(whole("Ahoy"))
    session = Session(script)
    session.use(ChatWishes(system="You are a pirate.", parameters=Parameters(temperature=0.5, stop=("x",))))
    await ask(session, "Hi")
    assert script.sent[0] == (Message(Role.SYSTEM, "You are a pirate."), Message(Role.USER, "Hi"))
    assert script.asked[0].wishes.parameters.config().temperature == 0.5


async def test_the_guide_gets_no_system_prompt_and_no_more_history_than_it_holds() -> None:
    script = Script(*[whole("Yes")] * 4)
    session = Session(script, guide=True, history_turns=1)
    session.use(ChatWishes(system="You are a pirate."))
    for question in ("1", "2", "3"):
        await ask(session, question)
    assert [message.content for message in script.sent[2]] == ["2", "Yes", "3"]


async def test_pictures_go_with_their_message_and_those_that_are_gone_are_left_out() -> None:
    shelf = Shelf()
    shelf.bytes["cat"] = b"meow"
    script = Script(whole("A cat"), whole("Yes"))
    session = Session(script, keeper=shelf)
    pictures = tuple(Attachment(name, f"{name}.png", "image/png", 4) for name in ("cat", "gone"))
    await read(session.send("What is it?", pictures))
    await ask(session, "Sure?")
    for sent in script.sent:
        assert [image.data for image in sent[0].images] == [b"meow"]
    assert script.sent[1][2].images == ()


async def test_files_stand_before_the_question_in_fences_that_hold_them() -> None:
    script = Script(whole("Fine"))
    session = Session(script)
    file = Attachment("id", "notes\n.md", "text/markdown", 9, "```\ncode\n```\n")
    await read(session.send("Is it right?", (file,)))
    assert script.sent[0][0].content == "notes .md:\n````\n```\ncode\n```\n````\n\nIs it right?"
    assert session.path[0].text == "Is it right?"


# --- going on ---------------------------------------------------------------------------------------------


async def stopped(script: Script, keeper: Shelf | None = None) -> Session:
    """A conversation whose answer was stopped by the person after "One two "."""
    session = Session(script, keeper=keeper)
    async with aclosing(session.send("Count")) as events:
        async for event in events:
            if event == TextDelta("two "):
                break
    assert session.path[-1].state is TurnState.STOPPED
    return session


async def test_a_stopped_answer_goes_on_in_its_place_with_a_seam() -> None:
    script = Script([STARTED, TextDelta("One "), TextDelta("two "), asyncio.Event()], whole("three four"))
    shelf = Shelf()
    session = await stopped(script, shelf)
    answer = session.path[-1]
    assert answer.provenance is not None
    assert answer.provenance.server_name == "Ollama"
    events = await read(session.continue_())
    assert script.asked[1].goes_on
    assert script.sent[1] == (Message(Role.USER, "Count"), Message(Role.ASSISTANT, "One two "))
    again = session.path[-1]
    assert (again.id, again.text, again.state) == (answer.id, "One two three four", TurnState.COMPLETE)
    assert [seam.position for seam in again.seams] == [len("One two ")]
    assert [type(event).__name__ for event in events][:2] == ["AnswerStarted", "AnswerContinued"]
    assert "".join(event.text for event in events) == "three four"
    assert again.provenance == WHO
    assert shelf.nodes[answer.id] == again
    assert not session.can_continue(answer.id)


async def test_an_answer_that_is_begun_anew_instead_is_not_glued_to_the_old_one() -> None:
    beginning = "Once upon a time there was a cat"
    script = Script(
        [STARTED, TextDelta(beginning), TextDelta("two "), asyncio.Event()],
        [STARTED, *[TextDelta(letter) for letter in beginning], *whole(" and a dog")[1:]],
    )
    session = await stopped(script)
    events = await read(session.continue_())
    answer = session.path[-1]
    assert answer.text == f"{beginning} and a dog"
    assert answer.seams == ()
    assert [aside.text for aside in answer.set_aside] == [f"{beginning}two "]
    shown = "".join(event.text for event in events)
    assert shown == answer.text


async def test_an_answer_that_only_begins_like_the_old_one_is_gone_on_with() -> None:
    script = Script(
        [STARTED, TextDelta("One "), TextDelta("two "), asyncio.Event()],
        [STARTED, TextDelta("One"), TextDelta(" more"), *whole("!")[1:]],
    )
    session = await stopped(script)
    await read(session.continue_())
    assert session.path[-1].text == "One two One more!"
    assert len(session.path[-1].seams) == 1


async def test_an_answer_with_reasoning_is_asked_in_words_to_go_on() -> None:
    script = Script(
        [STARTED, ReasoningDelta("hm"), TextDelta("One "), TextDelta("two "), asyncio.Event()], whole("three")
    )
    session = await stopped(script)
    assert session.path[-1].reasoning_seconds is not None
    await read(session.continue_())
    assert [message.role for message in script.sent[1]] == [Role.USER, Role.ASSISTANT, Role.USER]
    assert session.path[-1].text == "One two three"


async def test_going_on_that_fails_keeps_what_there_was() -> None:
    script = Script(
        [STARTED, TextDelta("One "), TextDelta("two "), asyncio.Event()],
        [LLMConnectionError("Nobody.")],
        whole("three"),
    )
    session = await stopped(script)
    with pytest.raises(LLMConnectionError):
        await read(session.continue_())
    answer = session.path[-1]
    assert (answer.text, answer.state, answer.seams) == ("One two ", TurnState.INTERRUPTED, ())
    await read(session.continue_())
    assert session.path[-1].text == "One two three"


async def test_an_answer_that_was_cut_at_its_length_can_be_gone_on_with_and_a_complete_one_cannot() -> None:
    script = Script(whole("One two", finish_reason="length"), whole(" three"), whole("Bye"))
    session = Session(script)
    answer = await ask(session, "Count")
    assert session.can_continue(answer.id)
    await read(session.continue_(answer.id))
    assert session.path[-1].text == "One two three"
    assert session.path[-1].seams[0].failed.kind is None
    with pytest.raises(ValueError, match="cannot"):
        await read(session.continue_())
    with pytest.raises(ValueError, match="cannot"):
        await read(session.continue_(session.path[0].id))


async def test_an_answer_that_broke_off_goes_on_after_who_broke_it_off() -> None:
    broken = Interrupted("It broke off.", partial_text="One ", attempts=WHO.attempts)
    script = Script([STARTED, TextDelta("One "), broken], whole("two"))
    session = Session(script)
    with pytest.raises(Interrupted):
        await ask(session, "Count")
    await read(session.continue_())
    assert session.path[-1].seams[0].failed == WHO.attempts[-1]
    assert session.path[-1].error is None
