"""A desktop's portal for global shortcuts, on the bus of a test, as a program (`python -m`).

Its arguments say what the person answers when asked for keys: "allow", "refuse", "none" (no keys), "error".
A line on standard input is the person, or the desktop: "press", "change KEYS", "close" (the session),
"foreign" (a press in somebody else's session). Says on standard output what it is asked. See
https://flatpak.github.io/xdg-desktop-portal/docs/doc-org.freedesktop.portal.GlobalShortcuts.html.
"""

import json
import sys
import threading

from jeepney import (
    DBusAddress,
    HeaderFields,
    Message,
    MessageType,
    message_bus,
    new_error,
    new_method_return,
    new_signal,
)
from jeepney.io.blocking import DBusConnection, open_dbus_connection

NAME = "org.freedesktop.portal.Desktop"
PATH = "/org/freedesktop/portal/desktop"
SHORTCUTS = "org.freedesktop.portal.GlobalShortcuts"


class Portal:
    """Serves one program."""

    def __init__(self, connection: DBusConnection, answer: str) -> None:
        self._connection = connection
        self._answer = answer
        self._client = ""
        self._session = ""
        self._names: list[str] = []

    # --- the program ----------------------------------------------------------------------------------------

    def take(self, call: Message) -> None:
        """Answer one call."""
        fields = call.header.fields
        interface, member = fields.get(HeaderFields.interface), fields[HeaderFields.member]
        if member == "Get" and call.body == (SHORTCUTS, "version"):
            self._connection.send(new_method_return(call, "v", (("u", 1),)))
        elif interface == SHORTCUTS and member in ("CreateSession", "BindShortcuts"):
            self._asked(call, member)
        else:
            self._connection.send(new_error(call, "org.freedesktop.DBus.Error.UnknownMethod"))

    def _asked(self, call: Message, member: str) -> None:
        self._client = call.header.fields[HeaderFields.sender]
        options = call.body[-1]
        sender = self._client.removeprefix(":").replace(".", "_")
        handle = f"{PATH}/request/{sender}/{options['handle_token'][1]}"
        self._connection.send(new_method_return(call, "o", (handle,)))
        if member == "CreateSession":
            self._session = f"{PATH}/session/{sender}/{options['session_handle_token'][1]}"
            self._respond(handle, 0, {"session_handle": ("s", self._session)})
            return
        session, wanted, parent, _options = call.body
        assert session == self._session
        assert parent == ""
        self._names = [name for name, _about in wanted]
        print(json.dumps([[name, about["preferred_trigger"][1]] for name, about in wanted]), flush=True)
        given = wanted if self._answer == "allow" else []
        bound = [(name, {"trigger_description": ("s", "Press Ctrl+Alt+Space")}) for name, _ in given]
        code = {"allow": 0, "none": 0, "refuse": 1, "error": 2}[self._answer]
        self._respond(handle, code, {"shortcuts": ("a(sa{sv})", bound)} if code == 0 else {})

    def _respond(self, handle: str, code: int, results: dict[str, object]) -> None:
        self._signal(handle, "org.freedesktop.portal.Request", "Response", "ua{sv}", (code, results))

    # --- the person -----------------------------------------------------------------------------------------

    def obey(self) -> None:
        """What stands on standard input, to its end."""
        for line in sys.stdin:
            word, _, rest = line.strip().partition(" ")
            if word == "press":
                self._activated(self._session)
            elif word == "foreign":
                self._activated(f"{self._session}_of_another")
            elif word == "change":
                given = [(name, {"trigger_description": ("s", rest)}) for name in self._names]
                body = (self._session, given)
                self._signal(PATH, SHORTCUTS, "ShortcutsChanged", "oa(sa{sv})", body)
            elif word == "close":
                self._signal(self._session, "org.freedesktop.portal.Session", "Closed", "", ())

    def _activated(self, session: str) -> None:
        for name in self._names:
            body = (session, name, 1234, {"activation_token": ("s", "token-5")})
            self._signal(PATH, SHORTCUTS, "Activated", "osta{sv}", body)
            self._signal(PATH, SHORTCUTS, "Deactivated", "osta{sv}", (session, name, 1240, {}))

    def _signal(
        self, path: str, interface: str, member: str, signature: str, body: tuple[object, ...]
    ) -> None:
        signal = new_signal(DBusAddress(path, interface=interface), member, signature, body)
        signal.header.fields[HeaderFields.destination] = self._client
        self._connection.send(signal)


def main() -> None:
    """Serve until the bus ends."""
    connection = open_dbus_connection("SESSION")
    connection.send(message_bus.RequestName(NAME))  # the first call may come before the reply to it
    portal = Portal(connection, sys.argv[1])
    threading.Thread(target=portal.obey, daemon=True).start()
    while True:
        try:
            call = connection.receive()
        except (EOFError, OSError):
            return
        if call.header.message_type is MessageType.method_call:
            portal.take(call)
        elif call.header.message_type is MessageType.method_return:
            print('"ready"', flush=True)


if __name__ == "__main__":
    main()
