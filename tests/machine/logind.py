"""logind's lock against sleep, on the bus of a test, as a program: says on standard output who holds it.

What `org.freedesktop.login1.Manager.Inhibit` does is in org.freedesktop.login1(5): the caller gets the end
of a pipe, and lets go by closing it.
"""

import os
import threading

from jeepney import HeaderFields, MessageType, message_bus, new_error, new_method_return
from jeepney.io.blocking import open_dbus_connection

MANAGER = "org.freedesktop.login1.Manager"


def say(*words: str) -> None:
    print("\t".join(words), flush=True)


def watch(end: int) -> None:
    """Until the other end of the pipe is closed."""
    os.read(end, 1)
    os.close(end)
    say("released")


def main() -> None:
    """Serve until the bus ends."""
    with open_dbus_connection(os.environ["DBUS_SYSTEM_BUS_ADDRESS"], enable_fds=True) as connection:
        connection.send_and_get_reply(message_bus.RequestName("org.freedesktop.login1"))
        say("ready")
        while True:
            try:
                call = connection.receive()
            except (EOFError, OSError):
                return
            if call.header.message_type is not MessageType.method_call:
                continue
            fields = call.header.fields
            if (fields.get(HeaderFields.interface), fields[HeaderFields.member]) != (MANAGER, "Inhibit"):
                connection.send(new_error(call, "org.freedesktop.DBus.Error.UnknownMethod"))
                continue
            ours, theirs = os.pipe()
            connection.send(new_method_return(call, "h", (theirs,)))
            os.close(theirs)
            say("held", *call.body)
            threading.Thread(target=watch, args=(ours,), daemon=True).start()


if __name__ == "__main__":
    main()
