"""A person's yes to one effect on another program: asked for in words, good for exactly that, once."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from whisper_desktop.language import mark, tr
from whisper_desktop.values import IDENTITIES

Verb = Literal["start", "serve", "load", "unload", "stop"]
"""`serve` is Ollama's server under the person's own account, although the system has a service for it."""

_QUESTIONS: dict[Verb, str] = {
    "start": mark("Start {name} on port {target}?"),
    "serve": mark("Start {name} on port {target} under your own account, with the models of your account?"),
    "load": mark("Load {target} in {name}? It takes memory until it is unloaded."),
    "unload": mark("Unload {target} in {name}? Programs that use it will have to load it again."),
    "stop": mark("Stop {name}, which this app started? Programs that use it lose it."),
}


@dataclass(frozen=True, slots=True)
class Action:
    """One effect on another program: its id, what is done, and to which port or model."""

    program: str
    verb: Verb
    target: str = ""

    @property
    def question(self) -> str:
        """What the person is asked. It follows from the action, so that a yes cannot mean something else."""
        return tr(_QUESTIONS[self.verb]).format(name=IDENTITIES[self.program].name, target=self.target)


class NotConsented(Exception):
    """A part of the app was about to do what nobody said yes to: a mistake of ours, and nothing was done."""


_YES = object()


class Consent:
    """A yes to one action. Only `ask` makes one; it is used up by the effect that it allows."""

    __slots__ = ("_action", "_spent")

    def __init__(self, action: Action, proof: object) -> None:
        if proof is not _YES:
            raise NotConsented(tr("Consent is made by asking a person."))
        self._action = action
        self._spent = False

    def spend(self, action: Action) -> None:
        """Use it up for `action`. Raises `NotConsented` where the yes was for another one, or was used."""
        if self._spent or action != self._action:
            raise NotConsented(tr("Nobody said yes to: {question}", question=action.question))
        self._spent = True


async def ask(action: Action, person: Callable[[Action], Awaitable[bool]]) -> Consent | None:
    """The person's consent to `action`, or None for anything but a plain yes."""
    return Consent(action, _YES) if await person(action) is True else None
