"""Ports at which nothing listens."""

import itertools
import os
import random
import socket

from whisper_desktop.values import IDENTITIES

# Linux gives out ports from 32768 on, macOS and Windows from 49152 on. One of those that was just found free
# may be the next server's, and then something listens there after all.
_FIRST, _END = 20_000, 32_000
_USUAL = {identity.port for identity in IDENTITIES.values()}  # every scan looks there

# "0/2" and "1/2" are two runs side by side: what is closed in one must not be a server's in the other.
_number, _runs = map(int, os.environ.get("WHISPER_TEST_PORTS", "0/1").split("/"))
_each = (_END - _FIRST) // _runs
_from = _FIRST + _number * _each
_OURS = [port for port in range(_from, _from + _each) if port not in _USUAL]
_turns = itertools.count(random.SystemRandom().randrange(len(_OURS)))


def closed_port() -> int:
    """A port of this computer where nothing listens, nor will by chance. It is another one each time."""
    while True:
        port = _OURS[next(_turns) % len(_OURS)]
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
