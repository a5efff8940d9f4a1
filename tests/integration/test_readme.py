"""The README says what is: its settings table, its commands, its tests and its pictures exist."""

import re
from pathlib import Path

import click

from whisper_desktop.cli.main import commands
from whisper_desktop.settings import SETTINGS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")


def settings_table() -> str:
    """The table as the declarations give it."""
    rows = ["| setting | variable | default | what it is |", "|---|---|---|---|"]
    for info in SETTINGS.values():
        default = ", ".join(info.default) if isinstance(info.default, tuple) else info.default
        shown = "" if default in (None, {}, "") else str(default)
        rows.append(f"| `{info.key}` | `{info.variable}` | {shown} | {info.description} |")
    return "\n".join(rows)


def test_the_settings_table_is_the_one_that_is_declared() -> None:
    assert settings_table() in README


def test_every_command_is_named_and_every_named_command_exists() -> None:
    for name, command in below(commands):
        assert name in README
        for verb, _ in below(command):
            assert verb in README


def below(command: click.Command) -> list[tuple[str, click.Command]]:
    """The commands of a group, with their names."""
    if not isinstance(command, click.Group):
        return []
    context = click.Context(command)
    named = [(name, command.get_command(context, name)) for name in command.list_commands(context)]
    return [(name, found) for name, found in named if found is not None]


def test_every_test_that_is_named_exists() -> None:
    for path in re.findall(r"`(tests/[\w/]+\.py)`", README):
        assert (ROOT / path).is_file(), path
    scenarios = (ROOT / "tests/integration/test_scenarios.py").read_text("utf-8")
    for name in re.findall(r"`(test_scenario_\w+)`", README):
        assert f"def {name}(" in scenarios


def test_every_picture_exists() -> None:
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README)
    assert pictures
    for picture in pictures:
        assert (ROOT / picture).is_file(), picture
