"""The page of keys, with the real core, services that answer, and an account without a keyring."""

import pytest
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QLabel, QLineEdit
from pytestqt.qtbot import QtBot

from tests.integration.worlds import closed_port
from tests.servers.fixtures import ServerFactory
from tests.ui.conftest import WAIT, Shown, World
from whisper_desktop.app import App
from whisper_desktop.ui.bridge import Bridge
from whisper_desktop.ui.keys.page import KeysPage, ServiceKey
from whisper_desktop.ui.settings.window import SettingsWindow

GOOD = "sk-or-v1-0123456789abcdef"


@pytest.fixture
def openrouter(world: World, servers: ServerFactory, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a service that takes one key."""
    server = servers("openrouter", "--auth", GOOD)
    monkeypatch.setenv("WHISPER_LLM__OPENROUTER__BASE_URL", server.url)
    return server.url


def opened(bridge: Bridge, app: App, shown: Shown, qtbot: QtBot) -> KeysPage:
    window = shown(SettingsWindow(bridge, app))
    window.show_setting("keys")
    page = window.findChild(KeysPage)
    assert page is not None
    qtbot.waitUntil(lambda: bool(page.services), timeout=WAIT)
    return page


def words(page: KeysPage) -> str:
    return "\n".join(label.text() for label in page.findChildren(QLabel) if label.isVisible())


def enter(service: ServiceKey, key: str) -> None:
    if not service.key.isVisible():
        service.change.click()
    service.key.field.clear()
    QTest.keyClicks(service.key.field, key)
    service.key.button.click()


def test_without_a_keyring_the_page_says_so_and_lists_the_services(
    bridge: Bridge, world: World, shown: Shown, qtbot: QtBot
) -> None:
    page = opened(bridge, world(), shown, qtbot)
    assert "There is no keyring on this computer" in words(page)
    names = [service.standing.name for service in page.services.values()]
    assert names == ["OpenRouter", "OpenAI", "Anthropic", "Google Gemini"]
    assert {service.standing.place for service in page.services.values()} == {"none"}


def test_a_key_is_tested_kept_and_removed(
    openrouter: str, bridge: Bridge, world: World, shown: Shown, qtbot: QtBot
) -> None:
    app = world()
    page = opened(bridge, app, shown, qtbot)
    service = page.services[openrouter]
    service.change.click()
    assert service.key.field.echoMode() is QLineEdit.EchoMode.Password
    enter(service, GOOD)
    qtbot.waitUntil(lambda: service.standing.place == "run", timeout=WAIT)
    assert "OpenRouter accepts the key." in service.words
    assert "for this run only" in words(page)
    assert GOOD not in words(page) + service.key.field.text()
    service.test.click()
    qtbot.waitUntil(lambda: service.words == "OpenRouter accepts the key.", timeout=WAIT)
    service.remove.ask.click()
    assert world.wait(bridge.run(app.keys())) == (openrouter,), "it asks once more"
    service.remove.no.click()
    service.remove.ask.click()
    service.remove.yes.click()
    qtbot.waitUntil(lambda: service.standing.place == "none", timeout=WAIT)
    assert world.wait(bridge.run(app.keys())) == ()


def test_a_key_that_the_service_refuses_is_not_kept(
    openrouter: str, bridge: Bridge, world: World, shown: Shown, qtbot: QtBot
) -> None:
    app = world()
    page = opened(bridge, app, shown, qtbot)
    service = page.services[openrouter]
    enter(service, "sk-or-v1-fedcba9876543210")
    qtbot.waitUntil(lambda: "does not accept this key. It was not kept." in words(page), timeout=WAIT)
    assert service.key.field.text(), "to mend it"
    assert world.wait(bridge.run(app.keys())) == ()


def test_what_is_no_key_is_told_before_anybody_is_asked(
    openrouter: str, bridge: Bridge, world: World, shown: Shown, qtbot: QtBot
) -> None:
    page = opened(bridge, world(), shown, qtbot)
    enter(page.services[openrouter], "two words")
    qtbot.waitUntil(lambda: "⚠  This does not look like a key." in words(page), timeout=WAIT)


def test_a_field_for_a_key_promises_no_keyring_where_there_is_none(
    openrouter: str, bridge: Bridge, world: World, shown: Shown, qtbot: QtBot
) -> None:
    page = opened(bridge, world(), shown, qtbot)
    page.services[openrouter].change.click()
    assert page.services[openrouter].key.isVisible()
    assert "kept in this computer's keyring" not in words(page)


def test_a_key_that_cannot_be_tested_now_is_kept_and_says_so(
    bridge: Bridge, world: World, shown: Shown, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"http://127.0.0.1:{closed_port()}"
    monkeypatch.setenv("WHISPER_LLM__OPENROUTER__BASE_URL", address)
    page = opened(bridge, world(), shown, qtbot)
    service = page.services[address]
    enter(service, GOOD)
    qtbot.waitUntil(lambda: service.standing.place == "run", timeout=WAIT)
    assert "It could not be tested" in service.words


def test_a_key_from_the_environment_is_told_and_cannot_be_changed_here(
    openrouter: str, bridge: Bridge, world: World, shown: Shown, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLM_CHAT_API_KEY", GOOD)
    monkeypatch.setenv("LLM_CHAT_API_URL", openrouter)
    page = opened(bridge, world(), shown, qtbot)
    service = page.services[openrouter]
    assert service.standing.place == "environment"
    assert not service.change.isVisible()
    assert not service.remove.isVisible()
    service.test.click()
    qtbot.waitUntil(lambda: service.words == "OpenRouter accepts the key.", timeout=WAIT)


def test_a_server_of_ones_own_gets_a_key_by_its_address(
    bridge: Bridge, world: World, shown: Shown, qtbot: QtBot, servers: ServerFactory
) -> None:
    server = servers("openai_compatible", "--auth", "my-own-key-0123")
    app = world()
    page = opened(bridge, app, shown, qtbot)
    page.another.address.setText("not an address")
    page.another.button.click()
    qtbot.waitUntil(lambda: "takes a key" in words(page), timeout=WAIT)
    page.another.address.setText(f"{server.url}/v1")
    page.another.button.click()
    qtbot.waitUntil(lambda: server.url in page.services, timeout=WAIT)
    enter(page.services[server.url], "my-own-key-0123")
    qtbot.waitUntil(lambda: page.services[server.url].standing.place == "run", timeout=WAIT)
    assert world.wait(bridge.run(app.keys())) == (server.url,)
