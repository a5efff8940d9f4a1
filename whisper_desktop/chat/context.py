"""How much of a model's context window a conversation takes, as far as that can be known without asking.

The estimate. What is sent is weighed by its characters: a vocabulary has most English words, and pieces of
about four letters of the others; of other alphabets it has pieces of two to three letters, of Chinese,
Japanese and Korean mostly single characters. Weights: 4 ASCII characters a token, 2.5 characters of other
alphabets (up to U+07FF), 1.3 characters above; 6 tokens around each message for who speaks; 800 for a picture
(providers count between 85 and some thousands). That is right to about a third, so it is then multiplied by
how far it was off for the answers on this path: servers return how many tokens a prompt had.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from whisper_desktop.chat.records import Attachment, Node, TurnState
from whisper_desktop.language import number, tr
from whisper_desktop.values import Role

_ASCII = 4.0
_ALPHABETS = 2.5
_IDEOGRAPHS = 1.3
_AROUND_A_MESSAGE = 6
_A_PICTURE = 800
_CALIBRATED_BY = 3  # answers: the newest ones
_FURTHEST_OFF = 4.0  # a count that differs more than so is about something else than this path
_LEAST_FOR_AN_ANSWER = 64  # tokens


@dataclass(frozen=True, slots=True)
class ContextUse:
    """Tokens that the next question would send, and the window of who would answer it.

    `window_tokens` None: nobody said how large it is. `exact`: `used_tokens` was counted by the server; else
    it is an estimate.
    """

    used_tokens: int
    window_tokens: int | None = None
    exact: bool = False

    @property
    def share(self) -> float | None:
        """How much of the window is taken, from 0 (over 1: it does not fit); None where it is not known."""
        return None if not self.window_tokens else self.used_tokens / self.window_tokens


class Scale:
    """Weighs the path of one conversation. It remembers what each message weighs: asking often is cheap."""

    def __init__(self) -> None:
        self._weights: dict[str, tuple[int, float]] = {}

    def used(
        self,
        path: Sequence[Node],
        *,
        system: str = "",
        text: str = "",
        attachments: Sequence[Attachment] = (),
        model: str | None = None,
        same_system: bool = True,
    ) -> tuple[int, bool]:
        """The tokens of the messages of a path (as `history.sent_of` picks them) and of what is about to be
        sent, and whether a server has counted them.

        `model` is who would answer; `same_system` that the newest answer was given under this system prompt.
        """
        weight = _around(system) if system.strip() else 0.0
        counted: list[tuple[int, float, int]] = []  # tokens of a prompt, its weight, the place of its answer
        for place, node in enumerate(path):
            tokens = _counted_for(node, model)
            if tokens:
                counted.append((tokens, weight, place))
            weight += self._weight(node)
        composed = sum(map(attachment_tokens, attachments)) + (_around(text) if text or attachments else 0.0)
        if not counted:
            return round(weight + composed), False
        newest = counted[-_CALIBRATED_BY:]
        off = sum(tokens for tokens, _, _ in newest) / max(sum(weight for _, weight, _ in newest), 1.0)
        off = min(max(off, 1 / _FURTHEST_OFF), _FURTHEST_OFF)
        tokens, before, place = counted[-1]
        if place == len(path) - 1 and not composed and same_system:
            answered = _own_tokens(path[place])
            if answered is not None:
                return tokens + answered, True
        return round(tokens + (weight - before + composed) * off), False

    def _weight(self, node: Node) -> float:
        length, weight = self._weights.get(node.id, (-1, 0.0))
        if length != len(node.text):
            weight = _around(node.text) + sum(map(attachment_tokens, node.attachments))
            self._weights[node.id] = (len(node.text), weight)
        return weight


def text_tokens(text: str) -> float:
    """About how many tokens a text has."""
    if text.isascii():
        return len(text) / _ASCII
    # From the sizes: how many characters take one byte in UTF-8, how many two, and how many more.
    others = len(text) - len(text.encode("ascii", "ignore"))
    more = max(len(text.encode(errors="replace")) - len(text) - others, 0)
    high = min(more, others)
    return (len(text) - others) / _ASCII + (others - high) / _ALPHABETS + high / _IDEOGRAPHS


def attachment_tokens(attachment: Attachment) -> float:
    """About how many tokens an attachment adds to a prompt."""
    return _A_PICTURE if attachment.is_image else text_tokens(attachment.text) + _AROUND_A_MESSAGE


def too_long(use: ContextUse, model: str | None) -> str:
    """What is said before a question is sent that does not fit; "" where it fits, or nobody can know."""
    if use.window_tokens is None or use.used_tokens + _LEAST_FOR_AN_ANSWER <= use.window_tokens:
        return ""
    needed, most = number(use.used_tokens, ","), number(use.window_tokens, ",")
    if model:
        return tr(
            "This conversation has about {needed} tokens with this message, and {model} takes {most}. Remove "
            "an attachment, shorten the message, begin a new chat, or choose a model with a larger context.",
            needed=needed,
            model=model,
            most=most,
        )
    return tr(
        "This conversation has about {needed} tokens with this message, and the model takes {most}. Remove "
        "an attachment, shorten the message, begin a new chat, or choose a model with a larger context.",
        needed=needed,
        most=most,
    )


def _around(text: str) -> float:
    return text_tokens(text) + _AROUND_A_MESSAGE


def _counted_for(node: Node, model: str | None) -> int | None:
    """How many tokens the prompt had that this message answers, where its server said so."""
    said = node.provenance
    if node.role is not Role.ASSISTANT or said is None or node.seams or node.set_aside:
        return None
    return said.usage.prompt_tokens if model in (None, said.model) else None


def _own_tokens(node: Node) -> int | None:
    """How many tokens an answer adds to the next prompt, where its server said so; its thoughts add none."""
    usage = node.provenance.usage if node.provenance is not None else None
    if usage is None or usage.completion_tokens is None or node.state is not TurnState.COMPLETE:
        return None
    if node.reasoning and usage.reasoning_tokens is None:
        return None
    return usage.completion_tokens - (usage.reasoning_tokens or 0)
