"""Personas and prompts: variables, those of the app, and the person's own file."""

import os
import stat
from pathlib import Path

import pytest

from whisper_desktop.chat import persona_file
from whisper_desktop.chat.personas import Persona, PersonaFile, Prompt, filled, variables
from whisper_desktop.chat.records import Parameters
from whisper_desktop.errors import SettingsError
from whisper_desktop.settings.paths import config_dir


def own_file() -> Path:
    return config_dir() / persona_file.FILE


def test_variables_are_found_once_each_in_their_order() -> None:
    assert variables("{{subject}} for {{ reader }}, again {{subject}} on {{date}} { {no} } {{}}") == (
        "subject",
        "reader",
    )


def test_what_nobody_fills_stays_as_it_is_and_what_is_filled_in_is_only_text() -> None:
    assert filled("{{a}} {{b}}", {"a": "{{b}}"}) == "{{b}} {{b}}"
    assert filled("{{language}} {{clipboard}}") == "English {{clipboard}}"
    assert len(filled("{{date}}")) == len("2026-11-22")
    assert filled("{{ time }}")[2] == ":"
    assert filled("{{language}}", {"language": "French"}) == "French"


def test_the_app_brings_personas_and_prompts_of_its_own() -> None:
    brought = persona_file.load().with_built_in()
    assert {"Assistant", "Proofreader", "Translator", "Explainer", "Programmer"} == {
        each.name for each in brought.personas
    }
    assert len(brought.prompts) >= 3
    assert not any(each.own for each in brought.personas)
    assert not any(each.own for each in brought.prompts)
    assert all(variables(each.text) == () for each in brought.personas)
    assert brought.problem == ""


def test_what_is_saved_is_found_again_with_all_it_says() -> None:
    pirate = Persona(
        "Pirate", "Arr.\nYou are {{name}}: “x”", "Arr", Parameters(0.9, 0.5, 100, 7, ("a",), 4096, "off")
    )
    persona_file.save(PersonaFile((pirate,), (Prompt("Weekly", "Report on {{week}}"),)))
    found = persona_file.load()
    assert [(each.name, each.text, each.parameters, each.own) for each in found.personas] == [
        ("Pirate", pirate.text, pirate.parameters, True)
    ]
    assert found.prompts[0].text == "Report on {{week}}"
    assert found.problem == ""
    if os.name == "posix":
        assert stat.S_IMODE(own_file().stat().st_mode) == 0o600


def test_an_own_one_takes_the_place_of_one_of_the_app_until_it_is_removed() -> None:
    persona_file.save(PersonaFile((Persona("Translator", "Mine."),)))
    mine = [each for each in persona_file.load().with_built_in().personas if each.name == "Translator"]
    assert [(each.text, each.own) for each in mine] == [("Mine.", True)]
    persona_file.remove(("Translator",))
    back = [each for each in persona_file.load().with_built_in().personas if each.name == "Translator"]
    assert [each.own for each in back] == [False]


def test_saving_one_keeps_the_others_and_the_last_word_counts() -> None:
    persona_file.save(PersonaFile((Persona("A", "1"),)))
    persona_file.save(PersonaFile((Persona("B", "2"),)))
    persona_file.save(PersonaFile((Persona("A", "3"),)))
    assert {each.name: each.text for each in persona_file.load().personas} == {"A": "3", "B": "2"}


def test_a_file_written_by_hand_is_used_as_far_as_it_is_understood() -> None:
    own_file().write_text(
        "personas:\n"
        "  Pirate: Arr, in one line.\n"
        "  Terse:\n"
        "    text: Be terse.\n"
        "    temperature: hot\n"
        "    top_p: 0.5\n"
        "    reasoning: off\n"
        "  Empty:\n"
        "    description: no text\n"
        "something: else\n"
    )
    found = persona_file.load()
    assert [each.name for each in found.personas] == ["Pirate", "Terse"]
    assert found.personas[1].parameters == Parameters(top_p=0.5, reasoning="off")
    assert found.problem == "Something in personas.yaml is not understood: see line 10."


def test_a_file_that_is_no_yaml_is_said_kindly_and_never_overwritten() -> None:
    own_file().write_text("personas:\n  Pirate: [\n")
    found = persona_file.load()
    assert found.personas == ()
    assert found.problem.startswith("personas.yaml cannot be read from line ")
    with pytest.raises(SettingsError, match="Nothing was changed"):
        persona_file.save(PersonaFile((Persona("A", "1"),)))
    assert own_file().read_text() == "personas:\n  Pirate: [\n"


@pytest.mark.parametrize(
    "persona", [Persona("", "x"), Persona("x", " "), Persona("x" * 81, "y"), Persona("a\nb", "y")]
)
def test_one_without_a_name_or_a_text_is_refused(persona: Persona) -> None:
    with pytest.raises(SettingsError):
        persona_file.save(PersonaFile((persona,)))
    assert not own_file().exists()
