"""Coming to the front where the system only lets those who hold a token: the XDG activation protocol.

https://wayland.app/protocols/xdg-activation-v1. Qt takes the token from the environment when a window asks to
be activated, and uses it once.
"""

import os

_LONGEST = 300  # characters
_NAME = "XDG_ACTIVATION_TOKEN"


def use_token(token: str) -> None:
    """The next window that asks to come to the front does so with this token. "" changes nothing.

    On the Qt thread, where it is read.
    """
    if token and len(token) <= _LONGEST and token.isascii() and token.isprintable():
        os.environ[_NAME] = token
