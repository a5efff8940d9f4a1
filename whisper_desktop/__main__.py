"""The one way in: double click, `whisper-desktop`, `python -m whisper_desktop`, and our own child processes.

Imports nothing heavy: the tray icon, and the child that serves a model, wait for this module.
"""

import sys

ENGINE_CHILD = "--engine-child"
MACHINE_CHILD = "--machine-child"
PROGRAM_GUARD = "--program-guard"
BACKGROUND = "--background"


def main(argv: list[str] | None = None) -> int:
    """Run the front end that fits, and return the exit code.

    No arguments: the desktop app, or, where no display answers, the terminal. Anything else: the terminal.
    """
    arguments = sys.argv[1:] if argv is None else argv
    if arguments[:1] == [ENGINE_CHILD]:
        from whisper_desktop.engines.child import main as serve

        return serve(arguments[1:])
    if arguments[:1] == [MACHINE_CHILD]:
        from whisper_desktop.machine.child import main as look

        return look("".join(arguments[1:2]))
    if arguments[:1] == [PROGRAM_GUARD]:
        from whisper_desktop.engines.programs.guard import main as guard

        return guard(arguments[1:])
    if arguments in ([], [BACKGROUND]):
        from whisper_desktop.machine.display import has_display

        if has_display():
            try:
                from whisper_desktop.ui.main import run_desktop
            except ImportError as error:  # a bare system without the libraries that Qt's own package expects
                print(f"No window can be opened, so this is the terminal: {error}.", file=sys.stderr)
            else:
                return run_desktop(background=bool(arguments))
    from whisper_desktop.cli.main import run

    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
