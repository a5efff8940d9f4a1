"""What a break in an answer leaves behind, and its words: text that was set aside, and seams in a text.

Text of two attempts is never joined without a mark, and nothing that was shown is lost.
"""

from dataclasses import dataclass

from whisper_desktop.values import Attempt


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
    names = [seam.failed.server_name for seam in seams]
    return tuple(_seam(name, after) for name, after in zip(names, [*names[1:], last], strict=False))


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
    return "one word" if count == 1 else f"{count:,} words"


def _seam(name: str, after: str) -> str:
    if not after:
        return f"{name} stopped here."
    return f"{name} stopped here, and went on." if after == name else f"{name} stopped here; {after} went on."


def _restart(aside: SetAside, after: str) -> str:
    name = aside.failed.server_name
    when = f"after {counted(aside.text)}" if aside.text.strip() else "before the first word of its answer"
    if not after:
        return f"{name} stopped {when}; the answer begins anew."
    return f"{name} stopped {when}{' and' if after == name else f'; {after}'} began anew."
