"""When a model is asked for a title, and when not."""

import asyncio
from collections.abc import Sequence

from tests.chat.keeping import WHO, Script, ask, whole
from whisper_desktop.app.titling import Titling
from whisper_desktop.chat import Session
from whisper_desktop.chat.records import TitleSource
from whisper_desktop.events import AnswerState, Bus
from whisper_desktop.values import Message, Provenance


class Model:
    """Gives the same title to all who ask, once it is let."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.asked = 0
        self.begun = asyncio.Event()
        self.let = asyncio.Event()

    async def __call__(self, session: Session, answer: Provenance, messages: Sequence[Message]) -> str:
        self.asked += 1
        self.begun.set()
        await self.let.wait()
        return self.title


async def settled() -> None:
    """Lets everything that waits for nothing go on."""
    for _ in range(10):
        await asyncio.sleep(0)


async def answered(titling: Titling, bus: Bus, session: Session) -> None:
    """An answer in a conversation, from its beginning to its end."""
    bus.publish(AnswerState(True))
    await ask(session, "Why?")
    titling.answered(session, WHO, ())
    bus.publish(AnswerState(False))


async def test_a_model_that_has_no_title_is_not_asked_again_after_every_answer() -> None:
    bus, model, session = Bus(), Model(""), Session(Script(whole("So"), whole("So"), whole("So")))
    model.let.set()
    titling = Titling(model, bus)
    for _ in range(3):
        await answered(titling, bus, session)
        await settled()
    await titling.stop()
    assert model.asked == 1
    assert session.conversation.title == "Why?"


async def test_an_answer_that_begins_anywhere_stops_the_title_and_its_end_brings_it_back() -> None:
    bus, model = Bus(), Model("Sky")
    session, other = Session(Script(whole("So"))), Session(Script(whole("So")))
    other.rename("Mine")
    titling = Titling(model, bus)
    await answered(titling, bus, session)
    await model.begun.wait()
    model.let.set()
    bus.publish(AnswerState(True))
    await settled()
    assert session.conversation.title_source is TitleSource.QUESTION
    bus.publish(AnswerState(False))
    await settled()
    assert session.conversation.title == "Sky"
    assert model.asked == 2
    await titling.stop()


async def test_a_title_that_is_always_interrupted_is_given_up() -> None:
    bus, model, session = Bus(), Model("Sky"), Session(Script(whole("So")))
    titling = Titling(model, bus)
    await answered(titling, bus, session)
    for _ in range(6):
        model.begun.clear()
        bus.publish(AnswerState(False))
        await settled()
        bus.publish(AnswerState(True))
    await titling.stop()
    assert model.asked == 3


async def test_a_person_who_names_the_conversation_meanwhile_has_the_last_word() -> None:
    bus, model, session = Bus(), Model("Sky"), Session(Script(whole("So")))
    titling = Titling(model, bus)
    await answered(titling, bus, session)
    await model.begun.wait()
    session.rename("Mine")
    model.let.set()
    await settled()
    await titling.stop()
    assert session.conversation.title == "Mine"


async def test_after_the_end_no_title_is_asked_for() -> None:
    bus, model, session = Bus(), Model("Sky"), Session(Script(whole("So")))
    titling = Titling(model, bus)
    await titling.stop()
    await answered(titling, bus, session)
    await settled()
    assert model.asked == 0
