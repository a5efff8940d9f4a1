"""What a GGUF file says of itself, and the reading of files on this computer.

For files elsewhere there is `remote_header`; `gguf_parser` does the work for both.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar

from whisper_desktop.errors import ModelFileError
from whisper_desktop.language import tr
from whisper_desktop.models.gguf_parser import Broken, NeedMore, Parsed, Work, parse, parse_beginning
from whisper_desktop.models.gguf_types import Scalar, Tensor

__all__ = ["GgufHeader", "Scalar", "Tensor", "header_if_readable", "read_beginning", "read_header"]

_T = TypeVar("_T")

_MOST_PARTS = 1_000
_MOST_LAYERS = 512  # LLAMA_MAX_LAYERS (llama-hparams.h)
_MOST_NAMED = 3  # files that are named in a sentence
_PART = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$")


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """What a GGUF file says of itself. `metadata` holds scalars, texts and short arrays.

    For a model in several files it is all of them together. `tensors` is empty where they were not read.
    `missing_bytes` is what a file is too short by for the weights it announces, as after a download that was
    cut short; it is known where the tensors were read.
    """

    metadata: Mapping[str, Scalar | tuple[Scalar, ...]]
    file_bytes: int
    tensors: tuple[Tensor, ...] = ()
    missing_bytes: int = 0

    @property
    def architecture(self) -> str:
        """llama.cpp's name of the architecture, such as "llama" or "gemma3"."""
        return str(self.metadata.get("general.architecture", ""))

    def number(self, key: str) -> int | None:
        """A whole number above 0 under the architecture's own prefix, else None."""
        value = self.metadata.get(f"{self.architecture}.{key}")
        return value if isinstance(value, int) and value > 0 else None

    @property
    def train_ctx(self) -> int | None:
        """The context window that the model was trained with, in tokens."""
        return self.number("context_length")

    @property
    def layers(self) -> int | None:
        """How many repeating layers there are (llama.cpp counts the output as one more); None: not told."""
        count = self.number("block_count")
        return count if count is not None and count <= _MOST_LAYERS else None


def read_header(path: Path, *, tensors: bool = True) -> GgufHeader:
    """The header of the model at `path`, which may be the first of several files.

    `tensors` False reads the metadata alone, and of the first file alone, which is faster. Raises
    `ModelFileError` with what is wrong with it.
    """
    work = Work()
    first = _read_file(path, tensors, work)
    if not tensors:
        return GgufHeader(first[0].metadata, first[1])
    paths = [path.with_name(name) for name in further_parts(path.name, first[0].metadata)]
    if missing := [part.name for part in paths if not part.exists()]:
        raise parts_missing(path.name, missing, tr("Download them again, into the same folder."))
    return together(path.name, [first, *(_read_file(part, tensors, work) for part in paths)])


def read_beginning(path: Path) -> GgufHeader:
    """What a list of models needs of the header at `path`, many times faster than the whole of it.

    That is the metadata before the vocabulary, `general.file_type`, and whether there is a chat template
    (`tokenizer.chat_template` is True then, or its text). Raises `ModelFileError`.
    """
    metadata, size = _read(path, lambda file, size: parse_beginning(file, size, Work()))
    return GgufHeader(metadata, size)


def header_if_readable(path: Path | None) -> GgufHeader | None:
    """The header of the model at `path`; None without a file, or where it cannot be read."""
    try:
        return read_header(path) if path is not None else None
    except (ModelFileError, OSError):
        return None


def further_parts(name: str, metadata: Mapping[str, object]) -> list[str]:
    """The names of the files that belong to the first one, which says in its metadata how many there are.

    The rule for names is llama.cpp's (llama_split_path). Raises `ModelFileError` where `name` breaks it.
    """
    count, place = metadata.get("split.count"), metadata.get("split.no")
    if place or not isinstance(count, int) or not 1 < count <= _MOST_PARTS:
        return []
    match = _PART.search(name)
    if match is None or (int(match[1]), int(match[2])) != (1, count):
        raise ModelFileError(
            tr("The model file {name} cannot be used under this name.", name=name),
            tr(
                "It is the first of {count} files that belong together, and llama.cpp finds the "
                "others by name.",
                count=count,
            ),
            tr("Give it the name that it had, which ends with -00001-of-{count:05}.gguf.", count=count),
        )
    return [f"{name[: match.start()]}-{number:05}-of-{count:05}.gguf" for number in range(2, count + 1)]


def together(name: str, parts: Sequence[tuple[Parsed, int]]) -> GgufHeader:
    """The header of a model from those of its files, the first one first, each with its size in bytes.

    Raises `ModelFileError` where they do not belong together; `name` is that of the first.
    """
    for place, (part, _) in enumerate(parts):
        if part.metadata.get("split.no", place) != place and len(parts) > 1:
            raise ModelFileError(
                tr("The model {name} cannot be used.", name=name),
                tr(
                    "What should be its part {place} of {parts} is another file.",
                    place=place + 1,
                    parts=len(parts),
                ),
                tr("Download that part again."),
            )
    return GgufHeader(
        parts[0][0].metadata,
        sum(size for _, size in parts),
        tuple(tensor for part, _ in parts for tensor in part.tensors),
        sum(max(0, part.end - size) for part, size in parts),
    )


def parts_missing(name: str, missing: Sequence[str], next_step: str) -> ModelFileError:
    """The error for a model of which some files are not there."""
    named = ", ".join(missing[:_MOST_NAMED])
    if len(missing) > _MOST_NAMED:
        named += tr(" and {len} more", len=len(missing) - _MOST_NAMED)
    return ModelFileError(
        tr("The model {name} is not complete.", name=name), tr("Missing: {named}.", named=named), next_step
    )


def broken_file(name: str, broken: Broken) -> ModelFileError:
    """The error for a file that is not a model that can be used."""
    return ModelFileError(
        tr("The file {name} is not a model that can be used.", name=name),
        f"{broken}",
        broken.next_step or tr("Download it again, or choose another GGUF file."),
    )


def _read_file(path: Path, tensors: bool, work: Work) -> tuple[Parsed, int]:
    """What one file says, and how many bytes it has."""
    return _read(path, lambda file, size: parse(file, size, work, tensors=tensors))


def _read(path: Path, reader: Callable[[BinaryIO, int], _T]) -> tuple[_T, int]:
    """What `reader` makes of a file, and how many bytes it has."""
    try:
        if path.exists() and not path.is_file():  # to open a pipe is to wait for somebody who writes into it
            raise ModelFileError(
                tr("The model file {path_name} cannot be read.", path_name=path.name),
                tr("It is a folder or a device, not a file."),
                tr("Choose a GGUF file."),
            )
        size = path.stat().st_size
        with path.open("rb") as file:
            return reader(file, size), size
    except FileNotFoundError:
        raise ModelFileError(
            tr("The model file {path_name} is not there.", path_name=path.name),
            tr("Nothing is at {path}.", path=path),
            tr("Choose another file in Setup, or download it again."),
        ) from None
    except OSError as error:
        raise ModelFileError(
            tr("The model file {path_name} cannot be read.", path_name=path.name),
            tr("The system says: {strerror}.", strerror=error.strerror),
            tr("Check the file and its permissions."),
        ) from None
    except NeedMore:
        raise broken_file(path.name, Broken(tr("It became shorter while it was read."))) from None
    except Broken as broken:
        raise broken_file(path.name, broken) from None
