"""The command line: parses, dispatches, and turns every ending into an exit code."""

import os
import sys

import click

from whisper_desktop.cli.chat import chat
from whisper_desktop.cli.config import config
from whisper_desktop.cli.doctor import doctor
from whisper_desktop.cli.engine import engine
from whisper_desktop.cli.keys import keys
from whisper_desktop.cli.looks import detect, machine, recommend
from whisper_desktop.cli.running import Failed


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Without a command: the desktop app, or, where there is no display, a conversation here.",
)
@click.version_option(package_name="whisper-desktop", prog_name="whisper-desktop")
def commands() -> None:
    """Local AI that simply works: finds the models on this computer, runs one, and says who answered."""


for command in (detect, machine, recommend, chat, engine, keys, config, doctor):
    commands.add_command(command)


def run(argv: list[str]) -> int:
    """Run one command line and return its exit code."""
    try:
        code = commands.main(args=argv, prog_name="whisper-desktop", standalone_mode=False)
    except Failed:
        return 1
    except click.exceptions.Exit as ending:
        return ending.exit_code
    except click.ClickException as error:
        error.show()
        return 2
    except (click.Abort, KeyboardInterrupt):
        click.echo("Stopped.", err=True)
        return 130
    except BrokenPipeError:
        # Whoever read our output (head, less) has enough; Python would complain once more while exiting.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code if isinstance(code, int) else 0
