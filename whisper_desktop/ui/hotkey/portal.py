"""Global keys where the desktop hands them out: the GlobalShortcuts portal, which Wayland needs.

https://flatpak.github.io/xdg-desktop-portal/docs/doc-org.freedesktop.portal.GlobalShortcuts.html. Spoken with
jeepney on the core loop, because PySide6 cannot write the types of these calls. Imported where it is used.
"""

import asyncio
import logging
import secrets
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

from jeepney import DBusAddress, HeaderFields, MatchRule, Message

from whisper_desktop.language import tr
from whisper_desktop.ui.hotkey.bus import Bus, BusError, session_bus
from whisper_desktop.ui.hotkey.shortcut import Modifier, Shortcut

log = logging.getLogger("whisper_desktop.ui")

_NAME = "org.freedesktop.portal.Desktop"
_PATH = "/org/freedesktop/portal/desktop"
_SHORTCUTS = "org.freedesktop.portal.GlobalShortcuts"
_REQUEST = "org.freedesktop.portal.Request"
_SESSION = "org.freedesktop.portal.Session"
_REGISTRY = "org.freedesktop.host.portal.Registry"
_BUS = "org.freedesktop.DBus"
_APP_ID = "whisper-desktop"  # the name of the desktop entry
_OURS = "quick-ask"
_ANSWER = 10.0  # seconds for a session to be made; only the keys are a question to the person
_ALLOWED, _CANCELLED = 0, 1  # of a Response

# https://specifications.freedesktop.org/shortcuts-spec/latest/
_MODIFIERS = {Modifier.CTRL: "CTRL", Modifier.ALT: "ALT", Modifier.SHIFT: "SHIFT", Modifier.META: "LOGO"}


class NoKeys(Exception):
    """The portal gives no keys, or takes them back; in one sentence."""


@dataclass(frozen=True, slots=True)
class Bound:
    """The keys work; `keys` is how the desktop writes them, which may be others than those asked for."""

    keys: str


@dataclass(frozen=True, slots=True)
class Pressed:
    """The keys were pressed. `token` lets a window come to the front."""

    token: str = ""


def trigger_of(shortcut: Shortcut) -> str:
    """The keys as the shortcuts specification writes them: "CTRL+ALT+space"."""
    held = [_MODIFIERS[each] for each in Modifier if each in shortcut.modifiers]
    return "+".join([*held, shortcut.key.keysym])


async def presses(shortcut: Shortcut, about: str) -> AsyncGenerator[Bound | Pressed, None]:
    """Ask for the keys, and tell each press, for as long as the generator is open.

    `about` says what they do; the desktop may show it while it asks the person. A portal that ends is asked
    again when another takes its place. Raises `NoKeys`.
    """
    try:
        async with session_bus() as bus:
            await _listen(bus)
            while True:
                portal = _Portal(bus, shortcut)
                yield Bound(await portal.bind(about))
                while not _has_ended(told := await _next(bus)):
                    if (news := portal.news(told)) is not None:
                        yield news
                while _member(told) != "NameOwnerChanged" or not told.body[2]:
                    told = await _next(bus)
    except (BusError, TimeoutError) as error:
        log.info("No keys from a portal: %s", error)
        raise NoKeys(
            tr(
                "This desktop gives no keys to programs. In its own settings you can give some to the "
                "command: whisper-desktop ask"
            )
        ) from None


async def _listen(bus: Bus) -> None:
    for rule in (
        MatchRule(type="signal", interface=_SHORTCUTS, path=_PATH),
        MatchRule(type="signal", interface=_SESSION, member="Closed"),
        MatchRule(type="signal", interface=_REQUEST, member="Response"),
        _owner_changes(),
    ):
        await bus.listen(rule)


def _owner_changes() -> MatchRule:
    rule = MatchRule(type="signal", interface=_BUS, member="NameOwnerChanged")
    rule.add_arg_condition(0, _NAME)
    return rule


async def _next(bus: Bus) -> Message:
    told = await bus.signals.get()
    if told is None:
        raise BusError("the bus has ended")
    return told


def _has_ended(told: Message) -> bool:
    """Whether the portal is not the one any more that we have talked to."""
    return _member(told) == "NameOwnerChanged" and bool(told.body[1])


class _Portal:
    """One portal, from the first question to its end."""

    def __init__(self, bus: Bus, shortcut: Shortcut) -> None:
        self._bus = bus
        self._shortcut = shortcut
        self._session = ""

    async def bind(self, about: str) -> str:
        """Take the keys; how the desktop writes them. Raises `NoKeys`, and `BusError` where it has none."""
        await self._call(f"{_BUS}.Properties", "Get", "ss", _SHORTCUTS, "version")
        try:
            await self._call(_REGISTRY, "Register", "sa{sv}", _APP_ID, {})
        except BusError:
            log.debug("The portal knows the app by other means")
        token = {"session_handle_token": ("s", _token())}
        async with asyncio.timeout(_ANSWER):
            made = await self._request("CreateSession", "a{sv}", options=token)
        self._session = _text(made, "session_handle")
        wanted = [
            (_OURS, {"description": ("s", about), "preferred_trigger": ("s", trigger_of(self._shortcut))})
        ]
        bound = await self._request("BindShortcuts", "oa(sa{sv})sa{sv}", self._session, wanted, "")
        given = bound.get("shortcuts", ("", []))[1]
        if not any(name == _OURS for name, _ in given):
            raise NoKeys(tr("The desktop gave no keys to Quick ask."))
        return self._trigger(given)

    def news(self, told: Message) -> Bound | Pressed | None:
        """What a signal says about our keys. Raises `NoKeys` where they are taken back."""
        match _member(told), told.body:
            case "Closed", _ if told.header.fields.get(HeaderFields.path) == self._session:
                raise NoKeys(tr("The desktop has taken the keys for Quick ask back."))
            case "Activated", (self._session, name, _, options) if name == _OURS:
                return Pressed(_text(options, "activation_token"))
            case "ShortcutsChanged", (self._session, shortcuts):
                return Bound(self._trigger(shortcuts))
        return None

    def _trigger(self, shortcuts: list[tuple[str, dict[str, Any]]]) -> str:
        about = next((each for name, each in shortcuts if name == _OURS), {})
        return _text(about, "trigger_description") or str(self._shortcut)

    async def _request(
        self, method: str, signature: str, *arguments: object, options: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """A call that is answered by a signal of its own; what that brings. Raises `NoKeys`."""
        options = {**(options or {}), "handle_token": ("s", _token())}
        (handle,) = await self._call(_SHORTCUTS, method, signature, *arguments, options)
        while True:
            told = await _next(self._bus)
            if _has_ended(told):
                raise NoKeys(tr("The desktop ended its answer to the question for keys."))
            if _member(told) == "Response" and told.header.fields.get(HeaderFields.path) == handle:
                code, results = told.body
                break
        if code == _CANCELLED:
            raise NoKeys(tr("The keys for Quick ask were not allowed."))
        if code != _ALLOWED:
            raise NoKeys(tr("The desktop gave no keys to Quick ask."))
        found: dict[str, Any] = results
        return found

    async def _call(self, interface: str, method: str, signature: str, *arguments: object) -> Any:  # noqa: ANN401
        address = DBusAddress(_PATH, bus_name=_NAME, interface=interface)
        return await self._bus.call(address, method, signature, *arguments)


def _member(told: Message) -> str:
    return str(told.header.fields.get(HeaderFields.member, ""))


def _text(values: dict[str, Any], name: str) -> str:
    """A text among the values of a portal, which come with their types; "" where there is none."""
    kind, value = values.get(name, ("s", ""))
    return value if kind in ("s", "o") else ""


def _token() -> str:
    return f"whisper_{secrets.token_hex(8)}"
