"""Keys from anywhere: how they are written, what each system is asked for, and the portal."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from pathlib import Path

import pytest

from tests.ui.desktop.panel import Bus
from tests.ui.desktop.screen import ROOT
from whisper_desktop.ui.hotkey import macos, windows
from whisper_desktop.ui.hotkey.activation import use_token
from whisper_desktop.ui.hotkey.hotkey import linux_way
from whisper_desktop.ui.hotkey.portal import Bound, NoKeys, Pressed, presses, trigger_of
from whisper_desktop.ui.hotkey.shortcut import Modifier, read_shortcut

needs_bus = pytest.mark.skipif(
    not all(map(shutil.which, ("dbus-daemon", "gdbus"))), reason="not installed: dbus-daemon, gdbus"
)
_DEADLINE = 20  # seconds for a step on a busy machine


# --- what a person writes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Ctrl+Alt+Space", "Ctrl+Alt+Space"),
        (" alt + ctrl + space ", "Ctrl+Alt+Space"),
        ("Control+Option+a", "Ctrl+Alt+A"),
        ("super+Enter", "Meta+Return"),
        ("Cmd+Shift+PgUp", "Shift+Meta+PageUp"),
        ("F9", "F9"),
        ("Shift+F24", "Shift+F24"),
        ("Ctrl+.", "Ctrl+Period"),
        ("Ctrl++", "Ctrl+Plus"),
        ("Ctrl+Alt+3", "Ctrl+Alt+3"),
    ],
)
def test_keys_are_read_as_people_write_them(text: str, shown: str) -> None:
    shortcut = read_shortcut(text)
    assert str(shortcut) == shown
    assert read_shortcut(str(shortcut)) == shortcut


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "“” is no shortcut: write keys such as Ctrl+Alt+Space."),
        ("Ctrl+", "“Ctrl+” is no shortcut: write keys such as Ctrl+Alt+Space."),
        ("+", "“+” is no shortcut: write keys such as Ctrl+Alt+Space."),
        ("Strg+Alt+Leertaste", "“Strg” is no key that is known here: write keys such as Ctrl+Alt+Space."),
        ("Ctrl+Leertaste", "“Leertaste” is no key that is known here: write keys such as Ctrl+Alt+Space."),
        ("Ctrl+Alt", "“Ctrl+Alt” only has keys that are held: add one, such as Space."),
        ("Ctrl+Control+A", "“Ctrl+Control+A” names a key twice."),
        ("Space", "“Space” would be taken away from typing: add Ctrl, Alt or Meta."),
        ("Shift+A", "“Shift+A” would be taken away from typing: add Ctrl, Alt or Meta."),
        (
            "Ctrl+\x07" + "x" * 99,
            f"“{'x' * 39}” is no key that is known here: write keys such as Ctrl+Alt+Space.",
        ),
    ],
)
def test_what_is_no_shortcut_is_answered_in_one_sentence(text: str, why: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the words are compared whole
        read_shortcut(text)
    assert str(caught.value) == why


# --- what each system is asked for --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        # WinUser.h: MOD_ALT 1, MOD_CONTROL 2, MOD_SHIFT 4, MOD_WIN 8, MOD_NOREPEAT 0x4000
        ("Ctrl+Alt+Space", (0x4003, 0x20)),
        ("Meta+Shift+Z", (0x400C, 0x5A)),
        ("F12", (0x4000, 0x7B)),
        ("Ctrl+7", (0x4002, 0x37)),
        ("Alt+PageDown", (0x4001, 0x22)),
    ],
)
def test_windows_is_asked_with_its_codes(text: str, codes: tuple[int, int]) -> None:
    assert windows.codes_of(read_shortcut(text)) == codes


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        # Events.h: cmdKey 0x100, shiftKey 0x200, optionKey 0x800, controlKey 0x1000; kVK_Space 0x31
        ("Ctrl+Alt+Space", (0x31, 0x1800)),
        ("Cmd+Shift+Z", (0x06, 0x300)),
        ("F12", (0x6F, 0)),
        ("Ctrl+7", (0x1A, 0x1000)),
        ("Meta+P", (0x23, 0x100)),
        ("Ctrl+F24", None),
    ],
)
def test_macos_is_asked_with_its_codes(text: str, codes: tuple[int, int] | None) -> None:
    assert macos.codes_of(read_shortcut(text)) == codes


@pytest.mark.parametrize(
    ("text", "trigger"),
    [
        ("Ctrl+Alt+Space", "CTRL+ALT+space"),
        ("Meta+Shift+PageUp", "SHIFT+LOGO+Page_Up"),
        ("F9", "F9"),
        ("Ctrl+A", "CTRL+a"),
    ],
)
def test_the_portal_is_asked_in_the_words_of_its_specification(text: str, trigger: str) -> None:
    assert trigger_of(read_shortcut(text)) == trigger


@pytest.mark.parametrize(
    ("platform", "env", "way"),
    [
        ("xcb", {"XDG_SESSION_TYPE": "x11"}, "x11"),
        ("xcb", {}, "x11"),
        ("xcb", {"XDG_SESSION_TYPE": "wayland"}, "portal"),
        ("xcb", {"WAYLAND_DISPLAY": "wayland-0"}, "portal"),
        ("wayland", {"XDG_SESSION_TYPE": "wayland"}, "portal"),
        ("offscreen", {}, "none"),
    ],
)
def test_the_way_to_keys_follows_the_session(platform: str, env: dict[str, str], way: str) -> None:
    assert linux_way(platform, env.get) == way


def test_every_modifier_is_known_to_every_system() -> None:
    for modifier in Modifier:
        shortcut = read_shortcut(f"{modifier.value}+F1")
        assert macos.codes_of(shortcut) is not None
        assert windows.codes_of(shortcut)[0] != 0x4000
        assert "+" in trigger_of(shortcut)


@pytest.mark.parametrize("token", ["", "x" * 400, "with\0zero", "with space\n", "é"])
def test_what_is_no_token_changes_nothing(token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_ACTIVATION_TOKEN", "before")
    use_token(token)
    assert os.environ["XDG_ACTIVATION_TOKEN"] == "before"
    use_token("kwin-1")
    assert os.environ["XDG_ACTIVATION_TOKEN"] == "kwin-1"


# --- the portal ---------------------------------------------------------------------------------------------


class PortalService:
    """The desktop's portal, and the person in front of it."""

    def __init__(self, address: str, answer: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.ui.portal_service", answer],
            cwd=ROOT,
            env={**os.environ, "DBUS_SESSION_BUS_ADDRESS": address},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.asked() == "ready"

    def asked(self) -> object:
        """What it was asked next."""
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def do(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def end(self) -> None:
        self.process.kill()
        self.process.wait(_DEADLINE)
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()


@pytest.fixture
def bus(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a session bus that only this test is on."""
    with Bus() as bus:
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", bus.address)
        yield bus.address


Portals = Callable[[str], PortalService]


@pytest.fixture
def portal(bus: str) -> Iterator[Portals]:
    """`portal(answer)`: starts one."""
    started: list[PortalService] = []

    def start(answer: str) -> PortalService:
        started.append(PortalService(bus, answer))
        return started[-1]

    yield start
    for each in started:
        each.end()


def keys() -> "AsyncGenerator[Bound | Pressed, None]":
    return presses(read_shortcut("Ctrl+Alt+Space"), "Open Quick ask")


async def next_of(news: "AsyncGenerator[Bound | Pressed, None]") -> Bound | Pressed:
    async with asyncio.timeout(_DEADLINE):
        return await anext(news)


@needs_bus
async def test_the_portal_gives_the_keys_and_tells_each_press(portal: Portals) -> None:
    service = portal("allow")
    async with aclosing(keys()) as news:
        assert await next_of(news) == Bound("Press Ctrl+Alt+Space")
        assert service.asked() == [["quick-ask", "CTRL+ALT+space"]]
        service.do("foreign")
        service.do("press")
        assert await next_of(news) == Pressed("token-5")
        service.do("change Meta+A")
        assert await next_of(news) == Bound("Meta+A")
        service.do("press")
        assert await next_of(news) == Pressed("token-5")


@needs_bus
async def test_keys_that_are_taken_back_end_with_a_sentence(portal: Portals) -> None:
    service = portal("allow")
    async with aclosing(keys()) as news:
        await next_of(news)
        service.do("close")
        with pytest.raises(NoKeys, match="taken the keys for Quick ask back"):
            await next_of(news)


@needs_bus
@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("refuse", "The keys for Quick ask were not allowed."),
        ("none", "The desktop gave no keys to Quick ask."),
        ("error", "The desktop gave no keys to Quick ask."),
    ],
)
async def test_a_person_or_a_desktop_that_says_no_is_understood(
    portal: Portals, answer: str, why: str
) -> None:
    portal(answer)
    async with aclosing(keys()) as news:
        with pytest.raises(NoKeys) as caught:
            await next_of(news)
    assert str(caught.value) == why


@needs_bus
async def test_a_portal_that_is_started_anew_is_asked_again(portal: Portals) -> None:
    first = portal("allow")
    async with aclosing(keys()) as news:
        await next_of(news)
        first.process.kill()
        again = asyncio.create_task(next_of(news))
        second = await asyncio.to_thread(portal, "allow")
        assert await again == Bound("Press Ctrl+Alt+Space")
        second.do("press")
        assert await next_of(news) == Pressed("token-5")


_SERVICE = """[D-BUS Service]
Name=org.freedesktop.portal.Desktop
Exec={python} -m tests.ui.portal_service allow
"""


@needs_bus
def test_a_portal_that_only_starts_when_it_is_asked_gives_the_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "portal.service").write_text(_SERVICE.format(python=sys.executable))
    usual = (ROOT / "packaging" / "dev_bus.conf").read_text()
    config = tmp_path / "bus.conf"
    config.write_text(usual.replace("<policy", f"<servicedir>{tmp_path}</servicedir><policy"))
    command = ["dbus-daemon", f"--config-file={config}", "--nofork", "--print-address"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as bus:
        assert bus.stdout is not None
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", bus.stdout.readline().strip())
        try:
            assert asyncio.run(first_news()) == Bound("Press Ctrl+Alt+Space")
        finally:
            bus.terminate()


async def first_news() -> Bound | Pressed:
    async with aclosing(keys()) as news:
        return await next_of(news)


@needs_bus
@pytest.mark.usefixtures("bus")
async def test_a_desktop_without_a_portal_is_told_with_the_way_round() -> None:
    async with aclosing(keys()) as news:
        with pytest.raises(NoKeys, match="whisper-desktop ask$"):
            await next_of(news)


@pytest.mark.parametrize("address", ["", "disabled:", "unix:path=/nowhere/bus"])
async def test_without_a_session_bus_the_same_is_told(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", address)
    async with aclosing(keys()) as news:
        with pytest.raises(NoKeys, match="whisper-desktop ask$"):
            await next_of(news)


@needs_bus
async def test_a_bus_that_ends_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with Bus() as bus:
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", bus.address)
        service = PortalService(bus.address, "allow")
        async with aclosing(keys()) as news:
            await next_of(news)
            await asyncio.to_thread(bus.__exit__, None, None, None)
            with pytest.raises(NoKeys):
                await next_of(news)
        service.end()
