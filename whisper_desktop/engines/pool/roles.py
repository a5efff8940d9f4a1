"""The roles of a pool: who they are, and what each is told to be."""

from collections.abc import Iterable
from dataclasses import dataclass

from whisper_desktop.values import Message, Role

_PROMPTS = {
    "planner": "You are the planner. Break the task into numbered steps, and say what each must achieve.",
    "coder": "You are the coder. Write code that does what is asked, complete, and nothing beside it.",
    "runner": "You are the runner. Say which commands to run, in order, and what each should print.",
    "critic": "You are the critic. Name what is wrong or missing, the worst first, and how to mend it.",
    "summarizer": "You are the summarizer. Say what matters in a few plain sentences.",
}

DEFAULT_ROLES = tuple(_PROMPTS)


@dataclass(frozen=True, slots=True)
class PoolRole:
    """One role. `system` is put before every conversation of it ("" for none), and read once at the start."""

    name: str
    system: str = ""

    @property
    def opening(self) -> tuple[Message, ...]:
        """What every conversation of this role begins with."""
        return (Message(Role.SYSTEM, self.system),) if self.system else ()


def roles_named(names: Iterable[str] = DEFAULT_ROLES) -> tuple[PoolRole, ...]:
    """Roles by their names, each once; those that are not among the usual five are told their name alone."""
    unique = dict.fromkeys(names)
    return tuple(PoolRole(name, _PROMPTS.get(name, f"You are the {name}.")) for name in unique)
