"""What an import could not take along, counted by kind, and said in sentences."""

from collections import Counter
from enum import Enum

from whisper_desktop.language import trn


class Loss(Enum):
    """A kind of thing that is not taken along."""

    CONVERSATION = "conversation"
    MESSAGE = "message"
    TOOL = "tool"
    PICTURE = "picture"
    FILE = "file"


Losses = Counter[Loss]


def sentences(losses: Losses) -> tuple[str, ...]:
    """What was left out, one sentence for each kind."""
    return tuple(_sentence(loss, losses[loss]) for loss in Loss if losses[loss])


def _sentence(loss: Loss, count: int) -> str:
    match loss:
        case Loss.CONVERSATION:
            return trn(
                "One conversation could not be read.", "{count} conversations could not be read.", count
            )
        case Loss.MESSAGE:
            return trn("One message could not be read.", "{count} messages could not be read.", count)
        case Loss.TOOL:
            return trn("One step of a tool was left out.", "{count} steps of tools were left out.", count)
        case Loss.PICTURE:
            return trn(
                "One picture is not in the file, or is none that can be shown.",
                "{count} pictures are not in the file, or are none that can be shown.",
                count,
            )
        case Loss.FILE:
            return trn(
                "One attached file is not in the export.",
                "{count} attached files are not in the export.",
                count,
            )
