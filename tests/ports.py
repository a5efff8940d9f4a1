"""Ports at which nothing listens."""

import itertools
import random
import socket

# Linux gives out ports from 32768 on, macOS and Windows from 49152 on. One of those that was just found free
# may be the next server's, and then something listens there after all.
_GIVEN_TO_NOBODY = range(20_000, 32_000)
_turns = itertools.count(random.SystemRandom().randrange(len(_GIVEN_TO_NOBODY)))


def closed_port() -> int:
    """A port of this computer where nothing listens, nor will by chance. It is another one each time."""
    while True:
        port = _GIVEN_TO_NOBODY[next(_turns) % len(_GIVEN_TO_NOBODY)]
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
