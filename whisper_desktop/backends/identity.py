"""Whether the server that was found at an address is still the one that answers there.

A server that was found on this computer counts as this computer only because it was recognised as an engine
that runs here. Another program may take its port at any time, and may pass a prompt on to anywhere. So it is
recognised again, by discovery's own signs, before it gets one.
"""

from collections.abc import Awaitable, Callable, Container

from whisper_desktop.discovery.answers import Answer
from whisper_desktop.discovery.known import GIVEN_MODELS, KNOWN, Known
from whisper_desktop.errors import BackendError
from whisper_desktop.values import ErrorKind
from whisper_desktop.wire.http import Reply, parse_json

Ask = Callable[[str], Awaitable[Reply]]
"""What a GET of an address answers, whatever its status. Raises `BackendError`."""


# What another kind of program says to a path that it does not know.
_NOT_ITS_WAY = (ErrorKind.NOT_AN_LLM, ErrorKind.MALFORMED, ErrorKind.TOO_LARGE)
_NEITHER = (*_NOT_ITS_WAY, ErrorKind.CLOSED_EARLY)  # Small servers hang up on a path that they do not know.
_LM_STUDIO, _OLLAMA = (next(row for row in KNOWN if row.id == id) for id in ("lm_studio", "ollama"))


async def is_still_there(backend: str, root: str, ask: Ask) -> bool:
    """Whether the server at `root` shows the signs of this kind; True for a kind that has none.

    Raises `BackendError` where nobody answers.
    """
    rows = [row for row in KNOWN if row.id == backend and row.signs[0].path != GIVEN_MODELS]
    for row in rows:
        if await _fits(row, root, ask):
            return True
    return not rows


async def who_passes_on(root: str, ask: Ask) -> str | None:
    """Whether LM Studio or Ollama is at `root`: the two that may run a model on another machine unseen.

    Raises `BackendError` where nobody answers.
    """
    if await _fits(_LM_STUDIO, root, ask, _NEITHER):
        return _LM_STUDIO.id
    if not await _fits(_OLLAMA, root, ask, _NEITHER):
        return None
    for row in KNOWN[: KNOWN.index(_OLLAMA)]:
        if await _fits(row, root, ask, _NEITHER):
            return None  # One that imitates it.
    return _OLLAMA.id


async def _fits(row: Known, root: str, ask: Ask, ways: Container[ErrorKind] = _NOT_ITS_WAY) -> bool:
    for sign in row.signs:
        try:
            answer = as_answer(await ask(root + sign.path))
        except BackendError as error:
            if error.kind in ways:
                return False
            raise
        if not sign.fits(answer):
            return False
    return True


def as_answer(reply: Reply) -> Answer:
    """A reply as discovery reads it."""
    try:
        content = parse_json(reply.body)
    except BackendError:
        content = None
    return Answer(reply.status, reply.headers, reply.body.decode("utf-8", "replace"), content)
