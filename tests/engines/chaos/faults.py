"""The faults, and what each of them is told as.

A fault brings an engine that answers to a moment, does something to it, and returns the causes that are
right. It leaves the engine so that the next question is answered. Where several causes are right, it says
why.
"""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.engines.chaos.world import World

Do = Callable[[World, random.Random], Awaitable[set[str]]]


@dataclass(frozen=True)
class Fault:
    """`reference`: only a llama-server can have it. `lasting`: only a person's own start ends it. `group`: it
    takes a control group.
    """

    name: str
    do: Do
    reference: bool = False
    lasting: bool = False
    group: bool = False


class Catalogue(list[Fault]):
    """Faults of one kind."""

    def add(
        self, name: str, *, reference: bool = False, lasting: bool = False, group: bool = False
    ) -> Callable[[Do], Do]:
        """`@catalogue.add("name")` before what a fault does."""

        def added(do: Do) -> Do:
            self.append(Fault(name, do, reference, lasting, group))
            return do

        return added
