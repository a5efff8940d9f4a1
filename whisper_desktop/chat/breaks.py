"""What a break in an answer leaves behind, and its words: text that was set aside, and seams in a text.

Text of two attempts is never joined without a mark, and nothing that was shown is lost.
"""

from dataclasses import dataclass

from whisper_desktop.language import number, tr, trn
from whisper_desktop.values import Attempt, ErrorKind


@dataclass(frozen=True, slots=True)
class Seam:
    """A place in a text, in characters, from which somebody else went on with it. `failed` stopped there."""

    position: int
    failed: Attempt


@dataclass(frozen=True, slots=True)
class SetAside:
    """A beginning that is no part of the answer: it broke off, and somebody else began anew."""

    failed: Attempt
    text: str
    reasoning: str = ""
    seams: tuple[Seam, ...] = ()


def parts(text: str, seams: tuple[Seam, ...]) -> tuple[str, ...]:
    """A text cut at its seams: one part more than there are seams, and together the whole text."""
    edges = [0, *(seam.position for seam in seams), len(text)]
    return tuple(text[start:end] for start, end in zip(edges[:-1], edges[1:], strict=True))


def marked(text: str, seams: tuple[Seam, ...], last: str = "") -> str:
    """A text as it may be copied or read out: with a line at each seam. `last` is who wrote its end."""
    first, *others = parts(text, seams)
    lines = seam_lines(seams, last)
    return first + "".join(f"\n\n[{line}]\n\n{part}" for line, part in zip(lines, others, strict=True))


def seam_lines(seams: tuple[Seam, ...], last: str = "") -> tuple[str, ...]:
    """What stands at each seam: "LM Studio stopped here; Ollama went on." """
    followers = [*(seam.failed.server_name for seam in seams[1:]), last]
    return tuple(_seam(seam.failed, after) for seam, after in zip(seams, followers, strict=False))


def restart_lines(set_aside: tuple[SetAside, ...], last: str = "") -> tuple[str, ...]:
    """What is said of each text that was set aside. `last` is who gives the answer now, where that is known.

    "LM Studio stopped after 42 words; Ollama began anew."
    """
    names = [aside.failed.server_name for aside in set_aside]
    followers = [*names[1:], last]
    return tuple(_restart(aside, after) for aside, after in zip(set_aside, followers, strict=False))


def counted(text: str) -> str:
    """How many words a text has: "one word", "42 words"."""
    count = len(text.split())
    return trn("one word", "{number} words", count, number=number(count, ","))


def _seam(failed: Attempt, after: str) -> str:
    name = failed.server_name
    if failed.kind is ErrorKind.CANCELLED or not name:  # the person, or the end of the app
        return (
            tr("The answer was stopped here; {after} went on.", after=after)
            if after
            else tr("The answer was stopped here.")
        )
    if failed.kind is None:
        if after:
            return tr("The answer was as long as allowed here; {after} went on.", after=after)
        return tr("The answer was as long as allowed here.")
    if not after:
        return tr("{name} stopped here.", name=name)
    if after == name:
        return tr("{name} stopped here, and went on.", name=name)
    return tr("{name} stopped here; {after} went on.", name=name, after=after)


def _restart(aside: SetAside, after: str) -> str:
    name = aside.failed.server_name
    if not name or aside.failed.kind is ErrorKind.CANCELLED:
        return tr("Instead of going on, the answer began anew.")
    if not aside.text.strip():
        if not after:
            return tr(
                "{name} stopped before the first word of its answer; the answer begins anew.", name=name
            )
        if after == name:
            return tr("{name} stopped before the first word of its answer and began anew.", name=name)
        return tr(
            "{name} stopped before the first word of its answer; {after} began anew.", name=name, after=after
        )
    words = counted(aside.text)
    if not after:
        return tr("{name} stopped after {words}; the answer begins anew.", name=name, words=words)
    if after == name:
        return tr("{name} stopped after {words} and began anew.", name=name, words=words)
    return tr("{name} stopped after {words}; {after} began anew.", name=name, words=words, after=after)
