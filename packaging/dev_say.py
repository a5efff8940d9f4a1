"""How dev.py speaks: plain sentences on standard error; standard output belongs to the started program."""

import sys


class Trouble(Exception):
    """Something that stops a verb. Its text is what the person reads: what happened, why, what to do next.

    `code` is the exit status: 2 for a command line that cannot be understood, 1 for everything else.
    """

    def __init__(self, text: str, code: int = 1) -> None:
        super().__init__(text)
        self.code = code


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """Seconds as people say them: `0.4 s`, `12 s`, `6 min 5 s`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if rest else f"{minutes} min"
