"""What the name of a model's file tells, wherever the file is. No I/O."""

import re
from dataclasses import dataclass

_QUANT = re.compile(
    r"(?:^|[-_.])((?:UD-)?I?Q\d(?:_[A-Z0-9]+)*|BF16|F16|F32|MXFP4|NVFP4|TQ\d_0)(?=[-_.]|$)", re.I
)
_PART = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})", re.DOTALL)
_PROJECTOR = re.compile(r"(?:^|[-_.])mmproj(?:[-_.]|$)", re.IGNORECASE)
_GGUF = ".gguf"


@dataclass(frozen=True, slots=True)
class Part:
    """Which file of a model it is, from 1, by the rule of llama.cpp for names (llama_split_path).

    `stem` is the path without that and without ".gguf"; `count` is 0 where the name tells of no parts.
    """

    stem: str
    number: int = 1
    count: int = 0


def part_in(path: str) -> Part:
    """Which part of a model this is."""
    whole = stem_of(path)
    match = _PART.fullmatch(whole)
    return Part(match["stem"], int(match["number"]), int(match["count"])) if match else Part(whole)


def stem_of(path: str) -> str:
    """The path without ".gguf"."""
    return path[: -len(_GGUF)] if path.lower().endswith(_GGUF) else path


def quant_in(name: str) -> str:
    """The quantization that a file's name tells, such as "Q4_K_M"; "" where it does not."""
    found = _QUANT.findall(stem_of(name))
    return str(found[-1]).upper() if found else ""


def printable(text: str) -> str:
    """Names may hold anything, also what changes a terminal or cannot be written to one."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)


def is_projector(path: str) -> bool:
    """Whether it lets a model see images."""
    return _PROJECTOR.search(stem_of(path.rpartition("/")[2])) is not None


def projects_for(projector: str, model: str) -> bool:
    """Whether the name of a projector says that it belongs to this model, or leaves that open."""
    meant, named = _plain(_PROJECTOR.sub("-", stem_of(projector))), _plain(part_in(model).stem)
    return named.startswith(meant) or meant.startswith(named) or meant == "model"


def _plain(stem: str) -> str:
    return re.sub(r"[-_. ]+", "-", _QUANT.sub("", stem)).strip("-").casefold()
