"""All that a recommendation follows from, and what is asked of it again and again."""

from dataclasses import dataclass

from whisper_desktop.advice.purposes import Purpose
from whisper_desktop.advice.ranking import Choice, Ranking
from whisper_desktop.advice.runners import PROGRAMS, Situation, can_do
from whisper_desktop.models.catalogue import Catalogue
from whisper_desktop.values import ModelInfo, ResourceInfo, ServerInfo


@dataclass(frozen=True, slots=True)
class Advised:
    """A computer, what runs on it, and what was ranked for it."""

    situation: Situation
    servers: tuple[ServerInfo, ...]
    catalogue: Catalogue
    ranking: Ranking

    @property
    def resources(self) -> ResourceInfo:
        """The computer."""
        return self.situation.resources

    def ranked(self, held: ModelInfo) -> Choice | None:
        """The choice that a server's model is; None for one that is not ranked here."""
        known = self.catalogue.find(held.id)
        return next((choice for choice in self.ranking.choices if choice.model is known), None)

    def suits(self, held: ModelInfo) -> bool:
        """Whether a server's model is one for the purpose. Any model is one for a conversation."""
        purpose = self.ranking.purpose
        if purpose is Purpose.VISION and "vision" in held.capabilities:
            return True
        return purpose is Purpose.CHAT or self.ranked(held) is not None

    def score(self, held: ModelInfo) -> float:
        """The points of a server's model; below all others where it is not ranked here."""
        choice = self.ranked(held)
        return choice.score if choice is not None else float("-inf")


def choices_for(program: str, ranking: Ranking) -> list[Choice]:
    """What this program could run, best first. One that we do not know is taken to place a model as
    LM Studio does.
    """
    known = program if program in PROGRAMS else "lm_studio"
    return [choice for choice in ranking.choices if can_do(known, choice.model, choice.fit)]
