"""What the tests of other makers' programs share: a home with stand-ins, and a person who says yes."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.servers.programs import Home
from whisper_desktop.engines.programs.consent import Action, Consent, Verb, ask
from whisper_desktop.engines.programs.surroundings import Surroundings
from whisper_desktop.values import Deadlines
from whisper_desktop.wire.http import Http

PATIENT = Deadlines(program_start=30, engine_ask=20, probe_connect=5, probe_request=5, loading_poll=0.02)
"""For what is to succeed, on machines that are busy."""

IMPATIENT = replace(PATIENT, program_start=0.5, model_load=0.5, probe_connect=0.3, probe_request=0.3)
"""For what never starts, loads or answers."""

Say = Callable[..., Awaitable[Consent]]
MakeSurroundings = Callable[..., Surroundings]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """A home folder with no programs yet; what they leave running ends with the test."""
    folder = Home(tmp_path / "home")
    try:
        yield folder
    finally:
        folder.end_all()


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    client = Http(allow_network=False)
    yield client
    await client.aclose()


@pytest.fixture
def around(home: Home, http: Http) -> MakeSurroundings:
    """Makes the programs' surroundings: `around(deadlines=SHORT, DISPLAY=":0")`."""

    def make(deadlines: Deadlines = PATIENT, **env: str) -> Surroundings:
        return Surroundings(
            http, {**home.env, **env}, deadlines, lambda port: f"It belongs to somebody on {port}."
        )

    return make


async def yes(program: str, verb: Verb, target: object = "") -> Consent:
    """The consent of a person who says yes to this one thing."""

    async def person(_action: Action) -> bool:
        return True

    consent = await ask(Action(program, verb, str(target)), person)
    assert consent is not None
    return consent
