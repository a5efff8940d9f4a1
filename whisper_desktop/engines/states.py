"""The states of an engine, and every way from one to another, as data.

What is not in the table must not happen: it is a bug, and raises with the state in its message.
"""

from collections.abc import Mapping
from enum import Enum

from whisper_desktop.values import EngineState


class Happening(Enum):
    """What can change an engine's state."""

    START = "start"
    PROVED = "proved"
    """It has answered."""
    LOST = "lost"
    """Its process ended or hung, and it is started again by itself."""
    GIVEN_UP = "given up"
    """It cannot run, or cannot be ended, and is left alone."""
    STOP = "stop"
    """Its process is being ended, whatever for."""
    GONE = "gone"
    ASLEEP = "asleep"
    """Its process is gone so that its memory is free."""


_S, _H = EngineState, Happening

TRANSITIONS: Mapping[tuple[EngineState, Happening], EngineState] = {
    (_S.STOPPED, _H.START): _S.STARTING,
    (_S.SLEEPING, _H.START): _S.STARTING,
    (_S.BACKING_OFF, _H.START): _S.STARTING,
    (_S.FAILED, _H.START): _S.STARTING,
    (_S.STOPPING, _H.START): _S.STARTING,
    (_S.STARTING, _H.PROVED): _S.READY,
    (_S.STARTING, _H.LOST): _S.BACKING_OFF,
    (_S.READY, _H.LOST): _S.BACKING_OFF,
    (_S.STOPPING, _H.LOST): _S.BACKING_OFF,
    (_S.STARTING, _H.GIVEN_UP): _S.FAILED,
    (_S.READY, _H.GIVEN_UP): _S.FAILED,
    (_S.STOPPING, _H.GIVEN_UP): _S.FAILED,
    (_S.STARTING, _H.STOP): _S.STOPPING,
    (_S.READY, _H.STOP): _S.STOPPING,
    (_S.BACKING_OFF, _H.STOP): _S.STOPPED,
    (_S.FAILED, _H.STOP): _S.STOPPED,
    (_S.SLEEPING, _H.STOP): _S.STOPPED,
    (_S.STOPPING, _H.GONE): _S.STOPPED,
    (_S.STOPPING, _H.ASLEEP): _S.SLEEPING,
    (_S.BACKING_OFF, _H.ASLEEP): _S.SLEEPING,
}


def after(state: EngineState, happening: Happening) -> EngineState:
    """The state that follows. Raises `RuntimeError` for what must not happen in `state`."""
    try:
        return TRANSITIONS[state, happening]
    except KeyError:
        raise RuntimeError(f"an engine that is {state.value} cannot take: {happening.value}") from None
