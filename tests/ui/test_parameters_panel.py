"""The settings of one chat: every change holds from the next message on, and in this chat only."""

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractSpinBox, QWidget
from pytestqt.qtbot import QtBot

from tests.integration.test_scenarios import CHAT_MODEL
from tests.servers.fixtures import ServerFactory
from tests.ui.conftest import WAIT, Shown, Waiter, World
from whisper_desktop.app import App
from whisper_desktop.chat import Session
from whisper_desktop.chat.personas import Persona
from whisper_desktop.chat.records import ChatWishes, Parameters
from whisper_desktop.ui.bridge import Bridge
from whisper_desktop.ui.chat.parameters_panel import ParametersPanel
from whisper_desktop.ui.chat.parameters_panel_fields import Amount, Reasoning, Seed, Stops
from whisper_desktop.ui.personas import PersonasDialog
from whisper_desktop.ui.window import AppWindow
from whisper_desktop.values import Reach


@pytest.fixture
def session(app: App, bridge: Bridge, wait: Waiter) -> Session:
    made: Session = wait(bridge.run(app.chats.new()))
    return made


@pytest.fixture
def panel(app: App, bridge: Bridge, session: Session, shown: Shown, qtbot: QtBot) -> ParametersPanel:
    return panel_of(app, bridge, session, shown, qtbot)


def panel_of(app: App, bridge: Bridge, session: Session, shown: Shown, qtbot: QtBot) -> ParametersPanel:
    window = shown(AppWindow("chat", "", bridge))
    panel = ParametersPanel(bridge, app, window.spawn)
    panel.setParent(window)
    panel.resize(320, 700)
    panel.show()
    panel.follow(session)
    qtbot.waitUntil(lambda: panel.persona.count() > 1, timeout=WAIT)
    return panel


def amount(panel: ParametersPanel, name: str) -> Amount:
    field = panel.fields[name]
    assert isinstance(field, Amount)
    return field


def type_into(field: QAbstractSpinBox, text: str) -> None:
    field.selectAll()
    QTest.keyClicks(field, text)
    QTest.keyClick(field, Qt.Key.Key_Return)


def holds(session: Session, qtbot: QtBot, **wanted: object) -> None:
    """The parameters are these and no others."""
    qtbot.waitUntil(lambda: session.wishes.parameters == Parameters(**wanted), timeout=WAIT)  # type: ignore[arg-type]


def choose(panel: ParametersPanel, name: str) -> None:
    number = panel.persona.findText(name)
    panel.persona.setCurrentIndex(number)
    panel.persona.activated.emit(number)


# --- parameters ---------------------------------------------------------------------------------------------


def test_everything_is_at_its_default_at_first(panel: ParametersPanel, session: Session) -> None:
    assert all(not field.tick.isChecked() for field in panel.fields.values())
    assert not panel.reset.isEnabled()
    assert session.wishes == ChatWishes()


def test_each_parameter_can_be_given_a_value(panel: ParametersPanel, session: Session, qtbot: QtBot) -> None:
    for field in panel.fields.values():
        field.tick.click()
    type_into(amount(panel, "temperature").number, "0.35")
    type_into(amount(panel, "top_p").number, "0.8")
    type_into(amount(panel, "max_tokens").number, "1000")
    type_into(amount(panel, "context_length").number, "4096")
    seed, stops, reasoning = (panel.fields[name] for name in ("seed", "stop", "reasoning"))
    assert isinstance(seed, Seed)
    assert isinstance(stops, Stops)
    assert isinstance(reasoning, Reasoning)
    type_into(seed.number, "42")
    stops.text.setPlainText("END\n\n###")
    reasoning.choice.setCurrentIndex(3)
    holds(
        session,
        qtbot,
        temperature=0.35,
        top_p=0.8,
        max_tokens=1000,
        seed=42,
        stop=("END", "###"),
        context_length=4096,
        reasoning="high",
    )


def test_without_its_tick_the_default_holds_again(
    panel: ParametersPanel, session: Session, qtbot: QtBot
) -> None:
    field = amount(panel, "temperature")
    field.tick.click()
    holds(session, qtbot, temperature=0.7)
    assert field.inside.isVisible()
    field.tick.click()
    holds(session, qtbot)
    assert not field.inside.isVisible()


def test_the_slider_and_the_number_say_the_same(
    panel: ParametersPanel, session: Session, qtbot: QtBot
) -> None:
    temperature, longest = amount(panel, "temperature"), amount(panel, "max_tokens")
    for field in (temperature, longest):
        field.tick.click()
    temperature.slider.setValue(50)
    assert temperature.number.value() == 1.0
    longest.slider.setValue(longest.slider.maximum())
    assert longest.number.value() == 131_072
    holds(session, qtbot, temperature=1.0, max_tokens=131_072)
    longest.number.setValue(16)
    assert longest.slider.value() == 0


def test_all_goes_back_to_the_defaults_at_once(
    panel: ParametersPanel, session: Session, qtbot: QtBot
) -> None:
    for name in ("temperature", "stop", "seed"):
        panel.fields[name].tick.click()
    qtbot.waitUntil(panel.reset.isEnabled, timeout=WAIT)
    panel.reset.click()
    holds(session, qtbot)
    assert not any(field.tick.isChecked() for field in panel.fields.values())


def test_another_chat_shows_its_own(
    panel: ParametersPanel, session: Session, app: App, bridge: Bridge, wait: Waiter, qtbot: QtBot
) -> None:
    panel.fields["seed"].tick.click()
    panel.fields["stop"].tick.click()
    wishes = ChatWishes(system="Be brief.", parameters=Parameters(temperature=1.5))
    other: Session = wait(bridge.run(app.chats.new(wishes=wishes)))
    panel.follow(other)
    assert panel.system.toPlainText() == "Be brief."
    assert amount(panel, "temperature").value == 1.5
    assert not panel.fields["seed"].tick.isChecked()
    assert not panel.fields["stop"].tick.isChecked()
    panel.follow(session)
    assert panel.fields["seed"].value == 0
    holds(session, qtbot, seed=0)
    assert other.wishes == wishes


def test_what_is_chosen_elsewhere_meanwhile_stays(
    panel: ParametersPanel, session: Session, qtbot: QtBot
) -> None:
    session.reach = Reach.CLOUD
    panel.fields["seed"].tick.click()
    holds(session, qtbot, seed=0)
    assert session.reach is Reach.CLOUD


def test_the_next_question_is_sent_with_them(
    world: World, servers: ServerFactory, bridge: Bridge, wait: Waiter, shown: Shown, qtbot: QtBot
) -> None:
    server = servers("lm_studio", models=[CHAT_MODEL])
    app = world(lm_studio=server.port)
    session: Session = wait(bridge.run(app.chats.new()))
    panel = panel_of(app, bridge, session, shown, qtbot)
    panel.system.setPlainText("Answer like a sailor.")
    panel.fields["seed"].tick.click()
    qtbot.waitUntil(lambda: session.wishes.system == "Answer like a sailor.", timeout=WAIT)
    wait(bridge.run(asked(session)))
    sent = server.requests("/v1/chat/completions")[0]["body"]  # what follows asks for a title
    assert sent["messages"][0] == {"role": "system", "content": "Answer like a sailor."}
    assert sent["seed"] == 0


async def asked(session: Session) -> None:
    async for _event in session.send("Hello"):
        pass


# --- personas -----------------------------------------------------------------------------------------------


def test_a_persona_fills_the_system_prompt_and_what_it_asks_for(
    panel: ParametersPanel, session: Session, qtbot: QtBot
) -> None:
    choose(panel, "Proofreader")
    qtbot.waitUntil(lambda: session.wishes.persona == "Proofreader", timeout=WAIT)
    assert session.wishes.system.startswith("You are a proofreader.")
    assert session.wishes.parameters == Parameters(temperature=0.2)
    assert panel.system.toPlainText() == session.wishes.system
    choose(panel, "None")
    qtbot.waitUntil(lambda: session.wishes.system == "", timeout=WAIT)
    assert session.wishes.persona == ""


def test_a_change_right_after_a_persona_loses_nothing(
    panel: ParametersPanel, session: Session, qtbot: QtBot
) -> None:
    choose(panel, "Proofreader")
    panel.fields["seed"].tick.click()
    holds(session, qtbot, temperature=0.2, seed=0)
    assert session.wishes.persona == "Proofreader"
    assert panel.persona.currentText() == "Proofreader"


def test_what_a_persona_leaves_open_is_asked_for(
    panel: ParametersPanel, session: Session, app: App, bridge: Bridge, wait: Waiter, qtbot: QtBot
) -> None:
    wait(bridge.run(app.chats.save_persona(Persona("Pirate", "You are {{name}}, a pirate.", own=True))))
    panel.follow(session)
    qtbot.waitUntil(lambda: panel.persona.findText("Pirate") >= 0, timeout=WAIT)
    choose(panel, "Pirate")
    assert panel._form is not None
    assert session.wishes.system == ""
    QTest.keyClicks(panel._form.fields[0], "Anne")
    QTest.keyClick(panel._form.fields[0], Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: session.wishes.system == "You are Anne, a pirate.", timeout=WAIT)


def test_a_system_prompt_is_used_a_moment_after_the_last_key(
    panel: ParametersPanel, session: Session, qtbot: QtBot
) -> None:
    QTest.keyClicks(panel.system, "Be brief.")
    assert session.wishes.system == ""
    qtbot.waitUntil(lambda: session.wishes.system == "Be brief.", timeout=WAIT)


def test_a_system_prompt_is_used_at_once_where_the_person_goes_on_to_write(
    panel: ParametersPanel, session: Session, qtbot: QtBot
) -> None:
    panel._pause.setInterval(10 * WAIT)
    panel.system.setFocus()
    QTest.keyClicks(panel.system, "Be brief.")
    panel.persona.setFocus()
    qtbot.waitUntil(lambda: session.wishes.system == "Be brief.", timeout=WAIT)


def test_a_system_prompt_can_become_a_persona(
    panel: ParametersPanel, session: Session, app: App, bridge: Bridge, wait: Waiter, qtbot: QtBot
) -> None:
    assert not panel.save.isEnabled()
    QTest.keyClicks(panel.system, "Be brief.")
    panel.save.click()
    (dialog,) = (each for each in panel.window().findChildren(QWidget) if isinstance(each, PersonasDialog))
    qtbot.waitUntil(lambda: dialog.list.count() > 3, timeout=WAIT)
    QTest.keyClicks(dialog.name, "Brief")
    dialog.save.click()
    qtbot.waitUntil(lambda: panel.persona.findText("Brief") >= 0, timeout=WAIT)
    kept = wait(bridge.run(app.chats.personas())).personas
    assert [each.text for each in kept if each.name == "Brief"] == ["Be brief."]
    dialog.close()
