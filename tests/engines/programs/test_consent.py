"""Nothing is done to another program without a person's yes to exactly that."""

import pytest

from tests.engines.programs.conftest import MakeSurroundings, yes
from tests.ports import closed_port
from tests.servers.programs import Home
from whisper_desktop.engines.programs.consent import Action, Consent, NotConsented, ask
from whisper_desktop.engines.programs.lm_studio import LMStudio
from whisper_desktop.engines.programs.ollama import Ollama

START = Action("lm_studio", "start", "1234")


async def test_the_person_is_asked_about_what_is_going_to_happen() -> None:
    asked = []

    async def person(action: Action) -> bool:
        asked.append(action.question)
        return True

    assert await ask(START, person) is not None
    assert asked == ["Start LM Studio on port 1234?"]


@pytest.mark.parametrize("answer", [False, None, "yes", 1])
async def test_anything_but_a_plain_yes_is_no_consent(answer: object) -> None:
    async def person(_action: Action) -> bool:
        return answer  # type: ignore[return-value]  # what a careless front end might hand in

    assert await ask(START, person) is None


def test_consent_cannot_be_made_without_asking() -> None:
    with pytest.raises(NotConsented):
        Consent(START, object())


@pytest.mark.parametrize(
    "other",
    [
        Action("ollama", "start", "1234"),
        Action("lm_studio", "stop", "1234"),
        Action("lm_studio", "start", "1235"),
    ],
)
async def test_consent_to_one_thing_is_none_to_another(other: Action) -> None:
    consent = await yes("lm_studio", "start", 1234)
    with pytest.raises(NotConsented):
        consent.spend(other)


async def test_consent_is_good_for_one_time() -> None:
    consent = await yes("lm_studio", "start", 1234)
    consent.spend(START)
    with pytest.raises(NotConsented):
        consent.spend(START)


async def test_without_the_right_consent_no_program_is_touched(home: Home, around: MakeSurroundings) -> None:
    home.install_lms()
    home.install_ollama()
    studio, ollama, port = LMStudio(around()), Ollama(around()), closed_port()
    wrong = await yes("lm_studio", "start", 1)
    for effect in (
        studio.start(port, wrong),
        studio.load("qwen/qwen3-4b-2507", wrong),
        studio.unload("qwen/qwen3-4b-2507", wrong),
        studio.stop(wrong),
        ollama.start(port, wrong),
        ollama.serve(port, wrong),
        ollama.load("llama3.2", port, wrong),
        ollama.unload("llama3.2", port, wrong),
        ollama.stop(wrong),
    ):
        with pytest.raises(NotConsented):
            await effect
    assert home.calls() == []
