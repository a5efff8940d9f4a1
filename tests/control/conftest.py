"""The owner is tested between real processes too."""

from tests.cli.program import program

__all__ = ["program"]
