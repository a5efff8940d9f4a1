"""What starts where there is no display: look around, recommend, and talk, all in the terminal."""

import sys

import click

from whisper_desktop.app import App
from whisper_desktop.cli import output
from whisper_desktop.cli.chat import GUIDE_NOTE, ChatChoices, ask_once, converse, piped_question
from whisper_desktop.cli.looks import print_machine, print_recommendation, print_servers
from whisper_desktop.cli.running import Failed, run, with_app
from whisper_desktop.values import ResourceInfo, ServerInfo, SetupRecommendation

_FIRST_QUESTION = "What can you do?"


def run_without_display() -> int:
    """Say what was found and what is recommended, then answer; returns the exit code."""
    try:
        output.say("There is no display here, so this is the terminal.")
        output.say()
        resources, servers, advice, anyone = run(with_app(_look), as_json=False)
        print_machine(resources)
        output.say()
        print_servers(servers)
        output.say()
        print_recommendation(advice)
        output.say()
        _talk(ChatChoices(guide=not anyone))
    except Failed:
        return 1
    except (KeyboardInterrupt, click.Abort):
        click.echo("Stopped.", err=True)
        return 130
    return 0


async def _look(app: App) -> tuple[ResourceInfo, tuple[ServerInfo, ...], SetupRecommendation, bool]:
    advice = await app.recommend()
    chain = app.backend_choices()[0]
    return await app.resources(), app.servers, advice, chain.state == "ready"


def _talk(choices: ChatChoices) -> None:
    if sys.stdin is not None and sys.stdin.isatty():
        converse(choices)
        return
    question = piped_question() or _FIRST_QUESTION
    if choices.guide:
        output.say(GUIDE_NOTE)
    output.say(f"> {question}")
    run(ask_once(question, choices, show=True), as_json=False)
