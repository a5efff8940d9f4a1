"""The command line: parses, dispatches, and turns every ending into an exit code."""

import os
import sys

import click

from whisper_desktop.cli import output, shapes
from whisper_desktop.cli.lazy import LazyGroup
from whisper_desktop.cli.logbook import log, mistake, start_logbook
from whisper_desktop.cli.running import Failed
from whisper_desktop.errors import WhisperError

OUR_MISTAKE = 70  # EX_SOFTWARE of sysexits.h
INTERRUPTED = 130  # what shells say of a program that Ctrl-C ended


_COMMANDS = {
    "ask": "ask",
    "bench": "bench",
    "chat": "chat",
    "chats": "chats",
    "detect": "looks",
    "machine": "looks",
    "models": "models",
    "recommend": "looks",
    "engine": "engine",
    "servers": "programs",
    "keys": "keys",
    "config": "config",
    "doctor": "doctor",
}


@click.group(
    cls=LazyGroup,
    modules=_COMMANDS,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Without a command: the desktop app; without a display, a conversation here.",
)
@click.version_option(package_name="whisper-desktop", prog_name="whisper-desktop")
@click.option("--background", is_flag=True, hidden=True)
@click.pass_context
def commands(context: click.Context, background: bool) -> None:
    """Local AI that works: finds this computer's models, and says who answered."""
    if context.invoked_subcommand is not None:
        return
    if background:
        output.note("There is no display here, so nothing was started in the background.")
        raise Failed
    from whisper_desktop.cli.first_run import start_without_display

    start_without_display()


def run(argv: list[str]) -> int:
    """Run one command line and return its exit code."""
    _fill_missing_streams()
    start_logbook()
    try:
        return _run(argv)
    except BrokenPipeError:
        _stop_writing()  # whoever read our output (head, less) has enough
        return 0
    except OSError as error:
        # What the system refuses everywhere is not our mistake: a full disk, no more files, no permission.
        log.warning("The system refused", exc_info=error)
        _stop_writing(keep_errors=True)
        output.note(f"The system refused: {error.strerror or error}.")
        return 1


def _run(argv: list[str]) -> int:
    try:
        # Not by `commands.main`: it ends the program with code 1 when whoever reads our output has enough.
        with commands.make_context("whisper-desktop", list(argv)) as context:
            commands.invoke(context)
        return 0
    except Failed:
        return 1
    except click.exceptions.Exit as ending:
        return ending.exit_code
    except click.UsageError as error:
        _say_usage(error)
        return 2
    except (click.Abort, KeyboardInterrupt):
        output.note("Stopped.")
        return INTERRUPTED
    except OSError:
        raise
    except Exception as error:
        _say_mistake(mistake(error), as_json="--json" in argv)
        return OUR_MISTAKE


def _say_usage(error: click.UsageError) -> None:
    message = error.format_message()
    output.note(message)
    if error.ctx is not None and not message.startswith("Usage:"):
        output.note(f"`{error.ctx.command_path} --help` shows how.")


def _say_mistake(error: WhisperError, *, as_json: bool) -> None:
    if as_json:
        output.emit_json(shapes.error_shape(error))
    else:
        output.say_error(error)


def _fill_missing_streams() -> None:
    """A program may be started with its standard streams closed; and a terminal may not know every letter."""
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - for the whole run
        elif number and hasattr(getattr(sys, name), "reconfigure"):
            getattr(sys, name).reconfigure(errors="backslashreplace")


def _stop_writing(*, keep_errors: bool = False) -> None:
    """What is still buffered goes nowhere; else Python would complain once more while it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    if not keep_errors:
        os.dup2(nowhere, sys.stderr.fileno())
