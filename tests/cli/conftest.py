"""The terminal's tests start the real program."""

from tests.cli.program import program

__all__ = ["program"]
