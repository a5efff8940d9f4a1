"""Notifications by the desktop's own service: https://specifications.freedesktop.org/notification-spec/latest/.

Spoken with jeepney on the core loop: PySide6 cannot write the unsigned number that the call begins with.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jeepney import Message
    from jeepney.io.asyncio import DBusRouter

log = logging.getLogger("whisper_desktop.ui")

_NAME = "org.freedesktop.Notifications"
_PATH = "/org/freedesktop/Notifications"
_ANSWER = 2.0  # seconds for the service to answer
_MOST_CHARACTERS = 400
_KEPT = 50


class DesktopNotifications:
    """On the core loop. `clicked` is called there with what was handed to `show` as `target`."""

    def __init__(self, clicked: Callable[[object], None]) -> None:
        self._clicked = clicked
        self._turn = asyncio.Lock()
        self._open = AsyncExitStack()
        self._router: DBusRouter | None = None
        self._markup = False
        self._ids: dict[str, int] = {}
        self._targets: dict[int, object] = {}
        self._listening: asyncio.Task[None] | None = None

    async def show(self, title: str, detail: str, *, key: str, target: object, label: str) -> bool:
        """Show a message in place of the one before with this `key`; False where no service takes it.

        `label` stands on its button; a click on it, or on the message, tells `target` to `clicked`.
        """
        async with self._turn:
            try:
                async with asyncio.timeout(_ANSWER):
                    if self._router is None:
                        await self._connect()
                    body = detail[:_MOST_CHARACTERS]
                    number = await self._call(
                        "Notify",
                        "susssasa{sv}i",
                        (
                            "Whisper Desktop",
                            self._ids.get(key, 0),
                            "whisper-desktop",
                            title[:_MOST_CHARACTERS],
                            escape(body, quote=False) if self._markup else body,
                            ["default", label, "open", label] if target is not None else [],
                            {"desktop-entry": ("s", "whisper-desktop")},
                            -1,
                        ),
                    )
            except Exception:  # whatever a bus, or the service on it, may do: it is told in another way
                log.debug("No notification service", exc_info=True)
                await self._hang_up()
                return False
            self._keep(key, int(number[0]), target)
            return True

    def _keep(self, key: str, number: int, target: object) -> None:
        self._ids[key] = number
        self._targets[number] = target
        for old in list(self._targets)[:-_KEPT]:
            del self._targets[old]
        self._ids = {name: kept for name, kept in self._ids.items() if kept in self._targets}

    async def close(self) -> None:
        """Let go of the bus."""
        async with self._turn:
            await self._hang_up()

    async def _connect(self) -> None:
        from jeepney import MatchRule, message_bus
        from jeepney.io.asyncio import Proxy, open_dbus_router

        router = await self._open.enter_async_context(open_dbus_router(bus="SESSION"))
        self._router = router
        capabilities = await self._call("GetCapabilities", None, ())
        self._markup = "body-markup" in capabilities[0]
        rule = MatchRule(type="signal", interface=_NAME, path=_PATH, member="ActionInvoked")
        await Proxy(message_bus, router).AddMatch(rule)
        queue = self._open.enter_context(router.filter(rule, bufsize=16))
        self._listening = asyncio.create_task(self._listen(queue))

    async def _call(
        self, method: str, signature: str | None, arguments: tuple[object, ...]
    ) -> tuple[Any, ...]:
        from jeepney import DBusAddress, new_method_call
        from jeepney.wrappers import unwrap_msg

        address = DBusAddress(_PATH, bus_name=_NAME, interface=_NAME)
        assert self._router is not None
        call = new_method_call(address, method, signature, arguments)
        answer: tuple[Any, ...] = unwrap_msg(await self._router.send_and_get_reply(call))
        return answer

    async def _listen(self, queue: "asyncio.Queue[Message]") -> None:
        while True:
            number, _action = (await queue.get()).body
            if (target := self._targets.get(number)) is not None:
                self._clicked(target)

    async def _hang_up(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)
        self._listening, self._router = None, None
        opened, self._open = self._open, AsyncExitStack()
        with suppress(Exception):  # it may be the bus that has ended
            await opened.aclose()
