"""The one way in: double click, `whisper-desktop`, `python -m whisper_desktop`, and our own child processes.

Imports nothing heavy: the tray icon, and the child that serves a model, wait for this module.
"""

import sys

ENGINE_CHILD = "--engine-child"
MACHINE_CHILD = "--machine-child"
PDF_CHILD = "--pdf-child"
MATH_CHILD = "--math-child"
KEYRING_CHILD = "--keyring-child"
PROGRAM_GUARD = "--program-guard"
BACKGROUND = "--background"


def main(argv: list[str] | None = None) -> int:
    """Run the front end that fits, and return the exit code.

    No arguments: the desktop app, or, where no display answers, the terminal. A `whisper://` link, and `ask`
    without a question: the desktop that runs shows it, or this becomes the desktop. Else: the terminal.
    """
    arguments = sys.argv[1:] if argv is None else argv
    if arguments[:1] == [ENGINE_CHILD]:
        from whisper_desktop.engines.child import main as serve

        return serve(arguments[1:])
    if arguments[:1] == [MACHINE_CHILD]:
        from whisper_desktop.machine.child import main as look

        return look("".join(arguments[1:2]))
    if arguments[:1] == [PDF_CHILD]:
        from whisper_desktop.chat.pdf_child import main as take_text

        return take_text(arguments[1:])
    if arguments[:1] == [MATH_CHILD]:
        from whisper_desktop.ui.chat.math_child import main as typeset

        return typeset()
    if arguments[:1] == [KEYRING_CHILD]:
        from whisper_desktop.settings.keyring_child import main as ask_keyring

        return ask_keyring()
    if arguments[:1] == [PROGRAM_GUARD]:
        from whisper_desktop.engines.programs.guard import main as guard

        return guard(arguments[1:])
    link = _link_in(arguments)
    if link:
        from whisper_desktop.cli.ask import show_in_running

        if (shown := show_in_running(link)) is not None:
            return shown
    if link or arguments in ([], [BACKGROUND]):
        ended = _desktop(background=arguments == [BACKGROUND], link=link)
        if ended is not None:
            return ended
    if link and arguments != ["ask"]:
        from whisper_desktop.language import tr

        print(
            tr("There is no display here, and no desktop app runs that could open the link."), file=sys.stderr
        )
        return 1
    from whisper_desktop.cli.main import run

    return run(arguments)


def _desktop(*, background: bool, link: str) -> int | None:
    """Be the desktop app, and return its exit code; None where no window can be opened."""
    from whisper_desktop.machine.display import has_display

    if not has_display():
        return None
    try:
        from whisper_desktop.ui.main import run_desktop
    except ImportError as error:  # a bare system without the libraries that Qt's own package expects
        from whisper_desktop.language import tr

        print(tr("No window can be opened, so this is the terminal: {why}.", why=error), file=sys.stderr)
        return None
    return run_desktop(background=background, link=link)


def _link_in(arguments: list[str]) -> str:
    """The link that the desktop is to open; "" where something else is wanted."""
    if arguments == ["ask"] and not _is_piped_into():
        return "whisper://ask"
    first = arguments[0] if len(arguments) == 1 else ""
    return first if first.lower().startswith("whisper:") else ""


def _is_piped_into() -> bool:
    """Whether something waits on standard input that is no terminal, as after `xsel |`."""
    import os
    import stat

    try:
        mode = os.fstat(0).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISREG(mode)


if __name__ == "__main__":
    sys.exit(main())
