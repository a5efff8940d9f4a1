"""Whether windows can be shown here. Imports nothing heavy: the way in asks before anything else is
loaded.
"""

import os
import socket
import sys
from collections.abc import Mapping

# Qt platforms that need no display: someone who chose one wants the desktop app to run without.
_WITHOUT_DISPLAY = ("offscreen", "minimal", "vnc")
_X11_SOCKET = "/tmp/.X11-unix/X"
_X11_PORT = 6000


def has_display(env: Mapping[str, str] | None = None, *, timeout: float = 0.5) -> bool:
    """Whether a display answers; waits at most `timeout` seconds for each that is named.

    On Linux a name is not enough: an old terminal keeps DISPLAY after its display has gone, and Qt ends
    a program that cannot connect.
    """
    if sys.platform in ("win32", "darwin"):
        return True
    variables = os.environ if env is None else env
    if variables.get("QT_QPA_PLATFORM", "").split(":")[0] in _WITHOUT_DISPLAY:
        return True
    wayland = os.path.join(variables.get("XDG_RUNTIME_DIR", ""), variables.get("WAYLAND_DISPLAY", ""))
    if variables.get("WAYLAND_DISPLAY") and os.path.isabs(wayland) and _answers(wayland, timeout):
        return True
    return any(_answers(address, timeout) for address in x11_addresses(variables.get("DISPLAY", "")))


def x11_addresses(display: str) -> tuple[str | tuple[str, int], ...]:
    """Where an X11 display listens: ":1.0" on sockets of this machine, "host:10" over TCP. See X(7)."""
    host, _, number = display.rpartition(":")
    number = number.split(".")[0]
    if not number.isdecimal() or int(number) + _X11_PORT > 65535:
        return ()
    if host in ("", "unix"):
        return (f"{_X11_SOCKET}{number}", f"\0{_X11_SOCKET}{number}")
    return ((host, _X11_PORT + int(number)),)


def _answers(address: str | tuple[str, int], timeout: float) -> bool:
    try:
        if isinstance(address, tuple):
            socket.create_connection(address, timeout).close()
        else:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(timeout)
                connection.connect(address)
    except (OSError, ValueError):  # ValueError: a name that no address can have, such as "..:0"
        return False
    return True
