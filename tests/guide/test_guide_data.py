"""The guide's data: enough of it, without contradictions, and true to the app's own tables."""

import re

import click
import guide_data
import pytest
from guide_data import load, lowered, normalised

from whisper_desktop.settings.environment import KEY_VARIABLE
from whisper_desktop.settings.paths import HOME_VARIABLE
from whisper_desktop.settings.schema import SETTINGS
from whisper_desktop.values import IDENTITIES

DATA = load()
ANSWERS = {entry.id: entry.answer for entry in DATA.entries}


def test_there_are_enough_answers_each_with_several_phrasings() -> None:
    about_app = [entry for entry in DATA.entries if not entry.refusal]
    assert len(about_app) >= 150
    assert [entry.id for entry in about_app if len(entry.asks) < 5] == []


def test_there_are_enough_prompts_to_refuse_and_to_hold_out() -> None:
    assert sum(len(entry.asks) for entry in DATA.entries if entry.refusal) >= 250
    assert len(DATA.held_out) >= 80
    assert len(DATA.off_topic) >= 60


def test_no_test_prompt_is_trained() -> None:
    trained = {normalised(case.ask) for case in DATA.trained}
    assert trained.isdisjoint(DATA.unseen())


def test_answers_are_short_enough_for_three_turns_of_context() -> None:
    assert [entry.id for entry in DATA.entries if len(entry.answer) > 220] == []


@pytest.mark.parametrize(
    ("entry", "server"),
    [
        ("port-lm-studio", "lm_studio"),
        ("port-ollama", "ollama"),
        ("port-llama-cpp", "llama_cpp"),
        ("port-jan", "jan"),
        ("port-gpt4all", "gpt4all"),
        ("port-koboldcpp", "koboldcpp"),
        ("port-textgen", "textgen"),
        ("port-localai", "localai"),
        ("port-vllm", "vllm"),
        ("port-lemonade", "lemonade"),
        ("port-docker", "docker_model_runner"),
    ],
)
def test_ports_are_the_ones_the_app_looks_at(entry: str, server: str) -> None:
    assert str(IDENTITIES[server].port) in re.findall(r"\d+", ANSWERS[entry])


def test_commands_that_answers_name_exist() -> None:
    from whisper_desktop.cli.main import commands

    named = {
        snippet.split('"')[0]
        for answer in ANSWERS.values()
        for snippet in re.findall(r"`(?:\S*/)?whisper-desktop ([^`]+)`", answer)
    }
    assert len(named) > 20
    for snippet in named:
        command: click.Command = commands
        words = snippet.split()
        while words and isinstance(command, click.Group) and not words[0].startswith("-"):
            found = command.get_command(click.Context(command), words.pop(0))
            assert found is not None, snippet
            command = found
        options = {name for parameter in command.params for name in parameter.opts} | {"--help"}
        assert {word for word in words if word.startswith("-")} <= options, snippet


def test_environment_variables_that_answers_name_exist() -> None:
    known = {info.variable for info in SETTINGS.values()} | {
        KEY_VARIABLE,
        HOME_VARIABLE,
        "WHISPER_SECTION__KEY",
    }
    named = {name for text in ANSWERS.values() for name in re.findall(r"\b(?:WHISPER|LLM)_[A-Z_]+", text)}
    assert len(named) > 10
    assert named - known == set()


def test_settings_that_answers_name_exist() -> None:
    sections = {".".join(path[:end]) for path in SETTINGS for end in range(1, len(path) + 1)}
    named = {name for text in ANSWERS.values() for name in re.findall(r"\bllm\.[a-z_.]*[a-z]", text)}
    assert len(named) > 4
    assert named - sections == set()


def test_the_guide_says_what_it_is_in_the_agreed_words() -> None:
    assert ANSWERS["who-are-you"] == "I am a tiny demo model inside this app. I only know this app."


@pytest.mark.parametrize("name", ["answers.yaml", "held_out.yaml", "off_topic_test.yaml"])
def test_a_contradiction_in_the_data_is_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The same prompt with a second answer, or in a test set, must not slip in."""
    read = guide_data.read_yaml
    extra = {
        "answers.yaml": {"id": "second", "answer": "Another one.", "ask": ["What port does OLLAMA use?"]},
        "held_out.yaml": {"ask": "what port does ollama use", "answer": "port-ollama"},
        "off_topic_test.yaml": "what port does ollama use!",
    }[name]
    monkeypatch.setattr(guide_data, "read_yaml", lambda file: read(file) + ([extra] if file == name else []))
    with pytest.raises(ValueError, match="(?i)what port does ollama use") as caught:
        load.__wrapped__()
    assert "port-ollama" in str(caught.value)


def test_lowering_changes_ascii_letters_only_as_the_engine_does() -> None:
    assert lowered("  Guten TAG, ÄÖ ") == "guten tag, ÄÖ"
