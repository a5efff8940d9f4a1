"""The notification service of a desktop, on the bus of a test, as a program (`python -m`).

Says on standard output what it is asked to show; "click ID ACTION" on standard input is a person. See
https://specifications.freedesktop.org/notification-spec/latest/protocol.html.
"""

import json
import sys
import threading

from jeepney import DBusAddress, HeaderFields, MessageType, message_bus, new_method_return, new_signal
from jeepney.io.blocking import DBusConnection, open_dbus_connection

NAME = "org.freedesktop.Notifications"
OBJECT = DBusAddress("/org/freedesktop/Notifications", bus_name=NAME, interface=NAME)


def clicks(connection: DBusConnection) -> None:
    """Hand on what the person clicks."""
    for line in sys.stdin:
        _click, number, action = line.split()
        connection.send(new_signal(OBJECT, "ActionInvoked", "us", (int(number), action)))


def main() -> None:
    """Serve until the bus ends."""
    connection = open_dbus_connection("SESSION")
    connection.send(message_bus.RequestName(NAME))
    threading.Thread(target=clicks, args=(connection,), daemon=True).start()
    last = 0
    while True:
        try:
            call = connection.receive()
        except (EOFError, OSError):
            return
        if call.header.message_type is not MessageType.method_call:
            continue
        member = call.header.fields[HeaderFields.member]
        if member == "GetCapabilities":
            connection.send(new_method_return(call, "as", (["actions", "body", "body-markup"],)))
        elif member == "Notify":
            _app, replaces, icon, title, body, actions, _hints, _time = call.body
            last = replaces or last + 1
            print(json.dumps([last, replaces, title, body, actions, icon]), flush=True)
            connection.send(new_method_return(call, "u", (last,)))


if __name__ == "__main__":
    main()
